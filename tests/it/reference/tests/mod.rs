//! Tests of the reference decoder against bytes that are put together by hand.

mod bundle;
mod compacted;
mod damage;
mod encoder;
mod forgotten;
mod parts;
mod pruned;
mod salts;
mod segment;
mod snapshot;

use proptest::prelude::*;

/// Asserts that `result` is an error that cites `rule`.
#[track_caller]
fn assert_cites<T: std::fmt::Debug>(result: Result<T, String>, rule: &str) {
    match result {
        Ok(value) => panic!("expected {rule}, got {value:?}"),
        Err(message) => assert!(message.contains(rule), "expected {rule}, got {message:?}"),
    }
}

proptest! {
    /// Bytes from anywhere are an error, never a panic.
    #[test]
    fn arbitrary_bytes_are_no_segment(bytes in proptest::collection::vec(any::<u8>(), 0..40_000)) {
        prop_assert!(super::segment::decode(&bytes).is_err());
        prop_assert!(super::bundle::decode(&bytes).is_err());
        prop_assert!(super::batch::decode(&bytes).is_err());
        let _ = super::salts::decode(&bytes);
        let _ = super::prune::decode(&encoder::LOG, &bytes);
        let _ = super::snapshot::decode(&bytes);
        let _ = super::forgotten::decode(&bytes);
        let _ = super::entry::claim(&bytes);
    }

    /// So is what stands in a record that is right but for a few bytes.
    #[test]
    fn changed_records_never_panic(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let record = encoder::prune_record(&pruned::before().entries);
        for mut bytes in [record, snapshot::claim(), forgotten::redaction(1, 2, b"why")] {
            for (at, value) in &changes {
                let at = at % bytes.len();
                bytes[at] = *value;
            }
            let _ = super::prune::decode(&encoder::LOG, &bytes);
            let _ = super::forgotten::decode(&bytes);
            let _ = super::entry::claim(&bytes);
        }
    }
}

//! Tests of the reference decoder against bytes that are put together by hand.

mod bundle;
mod damage;
mod encoder;
mod parts;
mod segment;

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
    }
}

use super::*;
use crate::{
    bytes::{DecodeError, LogId},
    entry::LOG_ENTRY_COUNT_MAX,
};

fn claim(log: u8, index: u64) -> ClaimRef {
    ClaimRef { log: LogId::from_bytes([log; 16]), index }
}

fn sample() -> Release {
    Release { id: COUNTING, claims: vec![claim(1, 0x0203), claim(1, 0x0302), claim(2, 1)] }
}

/// The text of A-3, by hand.
fn sample_bytes() -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, 3, 0, 0, 0];
    bytes.extend(0..32);
    for (log, index) in [(1, [3, 2]), (1, [2, 3]), (2, [1, 0])] {
        bytes.extend([log; 16]);
        bytes.extend(index);
        bytes.extend([0; 6]);
    }
    bytes
}

#[test]
fn a_release_is_laid_out_like_the_text() {
    assert_eq!(sample().encode(), Ok(sample_bytes()));
    assert_eq!(Release::decode(&sample_bytes()), Ok(sample()));
}

#[test]
fn claims_are_written_in_order_and_once() {
    let claims = vec![claim(2, 1), claim(1, 0x0302), claim(2, 1), claim(1, 0x0203), claim(2, 1)];
    assert_eq!(Release { id: COUNTING, claims }.encode(), Ok(sample_bytes()));
}

#[test]
fn claims_out_of_order_or_twice_are_refused() {
    let swapped = |(a, b): (usize, usize)| {
        let mut bytes = sample_bytes();
        let rows: Vec<Vec<u8>> = bytes[40..].chunks(24).map(<[u8]>::to_vec).collect();
        bytes[40 + 24 * a..][..24].copy_from_slice(&rows[b]);
        Release::decode(&bytes)
    };
    for rows in [(0, 1), (1, 0), (0, 2), (2, 1), (2, 0)] {
        assert_eq!(swapped(rows), Err(AssetEntryError::Order), "{rows:?}");
    }
}

#[test]
fn limits_hold_at_the_edge_and_not_beyond() {
    let count = RELEASE_CLAIM_COUNT_MAX as u64;
    let release =
        |count| Release { id: COUNTING, claims: (0..count).map(|i| claim(1, i)).collect() };
    let edge = release(count).encode().unwrap();
    assert_eq!(Release::decode(&edge), Ok(release(count)));
    let beyond = AssetEntryError::ClaimCount(RELEASE_CLAIM_COUNT_MAX + 1);
    assert_eq!(release(count + 1).encode(), Err(beyond));
    assert_eq!(release(0).encode(), Err(AssetEntryError::ClaimCount(0)));

    // So many different ones: what comes twice does not count.
    let mut twice = release(count);
    twice.claims.extend_from_within(..);
    assert_eq!(twice.encode().as_ref(), Ok(&edge));

    let mut longer = edge;
    longer.extend([0xFF; 24]);
    longer[4..8].copy_from_slice(&(1_u32 << 15 | 1).to_le_bytes());
    assert_eq!(Release::decode(&longer), Err(beyond));
    let mut none = sample_bytes()[..40].to_vec();
    none[4] = 0;
    assert_eq!(Release::decode(&none), Err(AssetEntryError::ClaimCount(0)));
}

#[test]
fn an_index_is_one_that_a_log_can_have() {
    let release = |index| Release { id: COUNTING, claims: vec![claim(1, index)] };
    let edge = release(LOG_ENTRY_COUNT_MAX - 1).encode().unwrap();
    assert_eq!(Release::decode(&edge), Ok(release(LOG_ENTRY_COUNT_MAX - 1)));
    let beyond = AssetEntryError::Index(LOG_ENTRY_COUNT_MAX);
    assert_eq!(release(LOG_ENTRY_COUNT_MAX).encode(), Err(beyond));
    let mut bytes = edge;
    bytes[56..].copy_from_slice(&LOG_ENTRY_COUNT_MAX.to_le_bytes());
    assert_eq!(Release::decode(&bytes), Err(beyond));
}

#[test]
fn other_forms_and_reserved_bytes_are_refused() {
    let refused = |at: usize| {
        let mut bytes = sample_bytes();
        bytes[at] = 1;
        Release::decode(&bytes).unwrap_err()
    };
    assert_eq!(refused(0), AssetEntryError::Form(1));
    for at in 1..4 {
        assert_eq!(refused(at), AssetEntryError::Malformed(DecodeError::Reserved));
    }
    assert_eq!(Release::decode(&[9]), Err(AssetEntryError::Form(9)));
    let mut longer = sample_bytes();
    longer.push(0);
    assert_eq!(Release::decode(&longer), Err(AssetEntryError::Malformed(DecodeError::Trailing)));
}

#[test]
fn a_count_is_not_believed_before_the_claims_are_there() {
    let mut bytes = sample_bytes();
    bytes[4..8].copy_from_slice(&[0xFF; 4]);
    assert_eq!(Release::decode(&bytes), Err(AssetEntryError::ClaimCount(u32::MAX as usize)));
    bytes[4..8].copy_from_slice(&[0, 0x80, 0, 0]);
    assert_eq!(Release::decode(&bytes), Err(AssetEntryError::Malformed(DecodeError::Truncated)));
}

#[test]
fn every_cut_of_a_release_is_an_error() {
    let bytes = sample_bytes();
    for len in 0..bytes.len() {
        assert_eq!(
            Release::decode(&bytes[..len]),
            Err(AssetEntryError::Malformed(DecodeError::Truncated)),
            "{len}"
        );
    }
}

#[test]
fn every_changed_byte_is_refused_or_another_release() {
    for at in 0..sample_bytes().len() {
        for value in 0..=u8::MAX {
            let mut bytes = sample_bytes();
            bytes[at] = value;
            if let Ok(release) = Release::decode(&bytes) {
                assert_eq!(release.encode(), Ok(bytes), "{at} {value}");
            }
        }
    }
}

proptest! {
    #[test]
    fn releases_round_trip(id in ids(), places in vec((0_u8..4, 0..LOG_ENTRY_COUNT_MAX), 1..50)) {
        let mut claims: Vec<ClaimRef> =
            places.into_iter().map(|(log, index)| claim(log, index)).collect();
        let payload = Release { id, claims: claims.clone() }.encode()?;
        claims.sort();
        claims.dedup();
        prop_assert_eq!(Release::decode(&payload), Ok(Release { id, claims }));
    }
}

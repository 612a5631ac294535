use proptest::{collection::vec, prelude::*};

use crate::{
    bytes::DecodeError,
    entry::LOG_ENTRY_COUNT_MAX,
    merkle::{SaltCursor, SaltError, SaltTree},
};

const SEED: [u8; 32] = [7; 32];

fn xof(key: &[u8; 32], context: &str, out: &mut [u8]) {
    blake3::Hasher::new_keyed(key).update(context.as_bytes()).finalize_xof().fill(out);
}

/// The values of the nodes from the seed down to the leaf of an entry's group (P-1, P-2).
fn nodes_above(index: u64) -> Vec<[u8; 32]> {
    let mut nodes = vec![SEED];
    for bit in (0..42).rev() {
        let mut children = [0; 64];
        xof(nodes.last().unwrap(), "annals v1 salt node", &mut children);
        let at = if index >> 6 >> bit & 1 == 0 { 0 } else { 32 };
        nodes.push(children[at..at + 32].try_into().unwrap());
    }
    nodes
}

/// P-1 and P-2 as they are written.
fn expected_salt(index: u64) -> [u8; 16] {
    let mut salts = [0; 1024];
    xof(nodes_above(index).last().unwrap(), "annals v1 salt group", &mut salts);
    let at = usize::try_from(index % 64).unwrap() * 16;
    salts[at..at + 16].try_into().unwrap()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Entries of the first groups, and around the powers of two.
fn interesting_indexes() -> impl Iterator<Item = u64> {
    let around = (7..=48_u32).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 65]);
    (0..200).chain(around.filter(|index| *index < LOG_ENTRY_COUNT_MAX))
}

fn any_index() -> impl Strategy<Value = u64> {
    prop_oneof![0..400_u64, 0..LOG_ENTRY_COUNT_MAX]
}

#[test]
fn tree_and_cursor_give_the_salts_of_the_specification() {
    let tree = SaltTree::from_seed(SEED);
    let mut cursor = SaltCursor::new();
    for index in interesting_indexes() {
        let expected = Some(expected_salt(index));
        assert_eq!(tree.salt(index), expected, "{index}");
        assert_eq!(cursor.salt(&tree, index), expected, "{index}");
    }
}

#[test]
fn no_log_is_longer_than_the_salts_reach() {
    let mut tree = SaltTree::from_seed(SEED);
    let whole = tree.clone();
    for index in [LOG_ENTRY_COUNT_MAX, u64::MAX] {
        assert_eq!(tree.salt(index), None);
        assert_eq!(SaltCursor::new().salt(&tree, index), None);
        tree.puncture(index);
        assert_eq!(tree, whole);
    }
}

#[test]
fn a_puncture_takes_one_salt_and_leaves_all_others() {
    for erased in [0, 63, 64, 130, 1 << 30, LOG_ENTRY_COUNT_MAX - 1] {
        let mut tree = SaltTree::from_seed(SEED);
        tree.puncture(erased);
        let mut cursor = SaltCursor::new();
        for index in interesting_indexes().chain([erased ^ 1, erased ^ 64, erased]) {
            let expected = (index != erased).then(|| expected_salt(index));
            assert_eq!(tree.salt(index), expected, "{index}");
            assert_eq!(cursor.salt(&tree, index), expected, "{index}");
        }
    }
}

#[test]
fn a_punctured_record_holds_nothing_that_gives_the_erased_salt() {
    for erased in [0, 70, 1 << 30, LOG_ENTRY_COUNT_MAX - 1] {
        let mut tree = SaltTree::from_seed(SEED);
        tree.puncture(erased);
        tree.puncture(erased ^ 64);
        let record = tree.encode();
        for gone in [erased, erased ^ 64] {
            assert!(!contains(&record, &expected_salt(gone)));
            assert!(contains(&record, &expected_salt(gone ^ 1)));
            assert!(nodes_above(gone).iter().all(|node| !contains(&record, node)));
        }
    }
}

#[test]
fn a_puncture_again_changes_nothing() {
    let mut tree = SaltTree::from_seed(SEED);
    tree.puncture(99);
    let once = tree.clone();
    tree.puncture(99);
    assert_eq!(tree, once);
}

#[test]
fn a_group_that_lost_all_salts_leaves_the_record() {
    let mut tree = SaltTree::from_seed(SEED);
    for index in 64..128 {
        tree.puncture(index);
    }
    for index in [63, 128] {
        assert_eq!(tree.salt(index), Some(expected_salt(index)));
    }
    assert!((64..128).all(|index| tree.salt(index).is_none()));
    let record = tree.encode();
    assert_eq!(record.len(), 16 + 42 * 48);
    assert_eq!(SaltTree::decode(&record), Ok(tree));
}

#[test]
fn a_cursor_gives_no_salt_that_was_erased_under_it() {
    let mut tree = SaltTree::from_seed(SEED);
    let mut cursor = SaltCursor::new();
    assert_eq!(cursor.salt(&tree, 5), Some(expected_salt(5)));
    tree.puncture(5);
    assert_eq!(cursor.salt(&tree, 5), None);
    assert_eq!(cursor.salt(&tree, 6), Some(expected_salt(6)));
    // The node that now covers group 1 stands where it stood, but for another puncture.
    assert_eq!(cursor.salt(&tree, 64), Some(expected_salt(64)));
    tree.puncture(64);
    assert_eq!(cursor.salt(&tree, 64), None);
    assert_eq!(cursor.salt(&tree, 65), Some(expected_salt(65)));
}

#[test]
fn a_cursor_serves_another_tree() {
    let (tree, other) = (SaltTree::from_seed(SEED), SaltTree::from_seed([8; 32]));
    let mut cursor = SaltCursor::new();
    for index in 0..3 {
        assert_eq!(cursor.salt(&tree, index), tree.salt(index));
        assert_eq!(cursor.salt(&other, index), other.salt(index));
    }
}

#[test]
fn the_whole_tree_is_a_record_of_one_node() {
    let record = SaltTree::from_seed(SEED).encode();
    let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    expected.extend([0; 16]);
    expected.extend(SEED);
    assert_eq!(record, expected);
}

#[test]
fn secrets_are_not_printed() {
    let mut tree = SaltTree::from_seed([0xEE; 32]);
    assert_eq!(format!("{tree:?}"), "SaltTree { node_count: 1, group_count: 0, .. }");
    let mut cursor = SaltCursor::new();
    assert_eq!(format!("{cursor:?}"), "SaltCursor { group: None, .. }");
    assert!(cursor.salt(&tree, 64).is_some());
    assert_eq!(format!("{cursor:?}"), "SaltCursor { group: Some(1), .. }");
    tree.puncture(0);
    assert_eq!(format!("{tree:?}"), "SaltTree { node_count: 42, group_count: 1, .. }");
}

/// A record of these nodes (depth, position) and groups (number, kept).
fn record(nodes: &[(u8, u64)], groups: &[(u64, u64)]) -> Vec<u8> {
    let mut record = vec![1, 0, 0, 0, 0, 0, 0, 0];
    record.extend(u32::try_from(nodes.len()).unwrap().to_le_bytes());
    record.extend(u32::try_from(groups.len()).unwrap().to_le_bytes());
    for (depth, position) in nodes {
        record.extend([*depth, 0, 0, 0, 0, 0, 0, 0]);
        record.extend(position.to_le_bytes());
        record.extend([0x11; 32]);
    }
    for (group, kept) in groups {
        record.extend(group.to_le_bytes());
        record.extend(kept.to_le_bytes());
        record.extend((0..kept.count_ones()).flat_map(|_| [0x22; 16]));
    }
    record
}

#[test]
fn records_that_break_a_rule_are_refused() {
    let decode = |nodes: &[_], groups: &[_]| SaltTree::decode(&record(nodes, groups)).map(|_| ());
    let last = (1 << 42) - 1;
    assert_eq!(decode(&[], &[]), Ok(()));
    assert_eq!(decode(&[(42, 0), (42, 1), (1, 1)], &[(2, 5), (7, u64::MAX), (8, 0)]), Ok(()));
    assert_eq!(decode(&[(42, last)], &[(last - 1, 1)]), Ok(()));

    assert_eq!(decode(&[(43, 0)], &[]), Err(SaltError::Depth(43)));
    let position = |depth, position| Err(SaltError::Position { depth, position });
    assert_eq!(decode(&[(0, 1)], &[]), position(0, 1));
    assert_eq!(decode(&[(42, last + 1)], &[]), position(42, last + 1));
    assert_eq!(decode(&[(5, u64::MAX)], &[]), position(5, u64::MAX));
    assert_eq!(decode(&[], &[(last + 1, 1)]), position(42, last + 1));
    for nodes in [[(0, 0), (0, 0)], [(0, 0), (42, 5)], [(42, 5), (0, 0)], [(1, 1), (1, 0)]] {
        assert_eq!(decode(&nodes, &[]), Err(SaltError::NodeOrder), "{nodes:?}");
    }
    assert_eq!(decode(&[], &[(3, 1), (3, 2)]), Err(SaltError::GroupOrder));
    assert_eq!(decode(&[], &[(3, 1), (2, 2)]), Err(SaltError::GroupOrder));
    assert_eq!(decode(&[(1, 0)], &[(3, 1)]), Err(SaltError::GroupCovered(3)));
    assert_eq!(decode(&[(42, 3)], &[(2, 1), (3, 1)]), Err(SaltError::GroupCovered(3)));
}

#[test]
fn records_with_another_head_are_refused() {
    let changed = |offset: usize, byte: u8| {
        let mut record = record(&[(0, 0)], &[]);
        record[offset] = byte;
        SaltTree::decode(&record).unwrap_err()
    };
    assert_eq!(changed(0, 2), SaltError::Version(2));
    assert_eq!(changed(1, 1), SaltError::CipherSuite(1));
    for offset in (2..8).chain(17..24) {
        assert_eq!(changed(offset, 1), SaltError::Malformed(DecodeError::Reserved), "{offset}");
    }
    // Counts of more than there is: refused before anything is allocated for them.
    for offset in 8..16 {
        assert_eq!(changed(offset, 255), SaltError::Malformed(DecodeError::Truncated), "{offset}");
    }
    assert_eq!(changed(8, 0), SaltError::Malformed(DecodeError::Trailing));
}

#[test]
fn a_record_cut_anywhere_or_followed_by_more_is_refused() {
    let mut tree = SaltTree::from_seed(SEED);
    tree.puncture(70);
    let mut record = tree.encode();
    for len in 0..record.len() {
        let result = SaltTree::decode(&record[..len]);
        assert_eq!(result, Err(SaltError::Malformed(DecodeError::Truncated)), "{len}");
    }
    record.push(0);
    let result = SaltTree::decode(&record);
    assert_eq!(result, Err(SaltError::Malformed(DecodeError::Trailing)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn punctured_trees_give_all_other_salts_and_survive_their_record(
        erased in vec(any_index(), 0..20),
        asked in vec(any_index(), 0..100),
    ) {
        let mut tree = SaltTree::from_seed(SEED);
        let mut cursor = SaltCursor::new();
        for index in &erased {
            // Between punctures, so that the cursor holds what is then given up.
            prop_assert_eq!(cursor.salt(&tree, *index), tree.salt(*index));
            tree.puncture(*index);
        }
        let decoded = SaltTree::decode(&tree.encode());
        prop_assert_eq!(decoded.as_ref(), Ok(&tree));

        for index in asked.iter().flat_map(|index| [*index, *index ^ 1, *index ^ 64]).chain(erased.clone()) {
            let expected = (!erased.contains(&index)).then(|| expected_salt(index));
            prop_assert_eq!(tree.salt(index), expected);
            prop_assert_eq!(cursor.salt(&tree, index), expected);
        }
    }

    #[test]
    fn the_order_of_punctures_does_not_matter(mut erased in vec(any_index(), 0..10)) {
        let punctured = |erased: &[u64]| {
            let mut tree = SaltTree::from_seed(SEED);
            for index in erased {
                tree.puncture(*index);
            }
            tree
        };
        let tree = punctured(&erased);
        erased.reverse();
        prop_assert_eq!(punctured(&erased), tree);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes in vec(any::<u8>(), 0..300), indexes in vec(any_index(), 5)) {
        let mut bytes = bytes;
        // Past the head, so that the rest is reached.
        bytes.splice(..bytes.len().min(8), [1, 0, 0, 0, 0, 0, 0, 0]);
        for offset in [9, 10, 11, 13, 14, 15] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte = 0;
            }
        }
        let _ = SaltTree::decode(&bytes);
        if let Some(byte) = bytes.get_mut(8) {
            *byte = 0;
        }
        if let Ok(mut tree) = SaltTree::decode(&bytes) {
            prop_assert_eq!(tree.encode(), bytes);
            for index in indexes {
                tree.puncture(index);
                prop_assert_eq!(tree.salt(index), None);
            }
        }
    }

    #[test]
    fn a_changed_byte_makes_another_record_or_an_error(erased in any_index(), at: usize, flip in 1..=255_u8) {
        let mut tree = SaltTree::from_seed(SEED);
        tree.puncture(erased);
        let mut record = tree.encode();
        let at = at % record.len();
        record[at] ^= flip;
        if let Ok(other) = SaltTree::decode(&record) {
            prop_assert_eq!(other.encode(), record);
        }
    }
}

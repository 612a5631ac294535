//! Salt records: whole, and with parts erased.

use proptest::prelude::*;

use super::assert_cites;
use super::encoder::{self, SALT_ROOT, put};
use crate::reference::salts::{self, decode};

/// What is left of the salts without those of entry 70 and of entries 128 to 199.
fn partial() -> Vec<u8> {
    encoder::salt_record_without(&[(70, 71), (128, 200)])
}

#[test]
fn a_new_record_is_the_whole_tree() {
    let record = encoder::salt_record();
    assert_eq!(decode(&record).unwrap().root(), Some(SALT_ROOT));
    assert_eq!(encoder::salt_record_without(&[]), record);
    for (offset, rule) in
        [(0, "P-3"), (1, "P-3"), (2, "P-3"), (4, "P-3"), (8, "P-3"), (12, "P-3"), (17, "P-3")]
    {
        let mut changed = record.clone();
        changed[offset] ^= 2;
        assert_cites(decode(&changed), rule);
    }
    for (offset, value, rule) in [(16, 43, "P-3: a node of depth 43"), (24, 1, "P-3: position 1")] {
        let mut changed = record.clone();
        changed[offset] = value;
        assert_cites(decode(&changed), rule);
    }
    for len in 0..record.len() {
        assert_cites(decode(&record[..len]), "P-3");
    }
    assert_cites(decode(&[record, vec![0]].concat()), "P-3");
}

#[test]
fn what_nothing_covers_is_erased() {
    let salts = decode(&partial()).unwrap();
    assert_eq!((salts.root(), salts.first_kept()), (None, Some(0)));
    assert_eq!(salts.groups.iter().map(|kept| kept.number).collect::<Vec<_>>(), [1, 3]);
    for index in (0..400).chain([1 << 20, (1 << 48) - 1]) {
        let is_erased = index == 70 || (128..200).contains(&index);
        let expected = Some(encoder::salt_of(index)).filter(|_| !is_erased);
        assert_eq!(salts.of(index), Ok(expected), "salt of {index}");
    }
    let first_kept =
        |upto: u64| decode(&encoder::salt_record_without(&[(0, upto)])).unwrap().first_kept();
    assert_eq!([1, 64, 100].map(first_kept), [1, 64, 100].map(Some));
}

#[test]
fn everything_may_be_erased() {
    let record = encoder::salt_record_without(&[(0, 1 << 48)]);
    let salts = decode(&record).unwrap();
    assert_eq!((record.len(), &salts), (16, &salts::Salts::default()));
    assert_eq!((salts.of(5), salts.first_kept()), (Ok(None), None));
}

#[test]
fn records_are_in_order_and_say_nothing_twice() {
    let record = partial();
    let node_count = usize::from(record[8]);
    let groups_at = 16 + 48 * node_count;

    let mut swapped = record.clone();
    swapped[16..112].rotate_left(48);
    assert_cites(decode(&swapped), "P-4: the node at depth");
    let mut twice = record.clone();
    twice.copy_within(16..64, 64);
    assert_cites(decode(&twice), "P-4: the node at depth");
    let mut nothing = record.clone();
    put(&mut nothing, groups_at + 8, &[0; 8]);
    assert_cites(decode(&nothing), "P-4: group 1 keeps nothing");
    let mut fewer = record.clone();
    fewer[groups_at + 8] ^= 1;
    assert_cites(decode(&fewer), "P-");
    let mut later = record.clone();
    put(&mut later, groups_at, &[3]);
    assert_cites(decode(&later), "P-4: the groups are not in ascending order");
    let mut covered = record.clone();
    put(&mut covered, groups_at, &[0]);
    assert_cites(decode(&covered), "P-4: group 0 is covered by a node");
    let mut beyond = record;
    put(&mut beyond, groups_at, &(1_u64 << 42).to_le_bytes());
    assert_cites(decode(&beyond), "P-3: group 4398046511104");
}

proptest! {
    #[test]
    fn changed_records_never_panic(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut record = partial();
        for (at, value) in changes {
            let at = at % record.len();
            record[at] = value;
        }
        if let Ok(salts) = decode(&record) {
            let _ = salts.first_kept();
            for index in [0, 70, 130, (1 << 48) - 1] {
                prop_assert!(salts.of(index).is_ok());
            }
        }
    }
}

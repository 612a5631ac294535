use proptest::prelude::*;

use super::{Tree, largest_power_below, leaf};
use crate::{
    bytes::{Hash, LogKeys},
    entry::LOG_ENTRY_COUNT_MAX,
    merkle::{
        CONSISTENCY_PATH_LEN_MAX, INCLUSION_PATH_LEN_MAX, NodeSource, PEAK_COUNT_MAX, Peaks,
        consistency_path, inclusion_path, peaks_at,
    },
};

/// PATH of RFC 9162, 2.1.3.1.
fn rfc_path(tree: &Tree, index: u64, start: u64, end: u64) -> Vec<Hash> {
    if end - start == 1 {
        return Vec::new();
    }
    let k = largest_power_below(end - start);
    let mut path;
    if index < k {
        path = rfc_path(tree, index, start, start + k);
        path.push(tree.mth(start + k, end));
    } else {
        path = rfc_path(tree, index - k, start + k, end);
        path.push(tree.mth(start, start + k));
    }
    path
}

/// SUBPROOF of RFC 9162, 2.1.4.1.
fn rfc_subproof(tree: &Tree, from: u64, start: u64, end: u64, known: bool) -> Vec<Hash> {
    if from == end - start {
        return if known { Vec::new() } else { vec![tree.mth(start, end)] };
    }
    let k = largest_power_below(end - start);
    let mut path;
    if from <= k {
        path = rfc_subproof(tree, from, start, start + k, known);
        path.push(tree.mth(start + k, end));
    } else {
        path = rfc_subproof(tree, from - k, start + k, end, false);
        path.push(tree.mth(start, start + k));
    }
    path
}

#[test]
fn peaks_and_roots_are_those_of_the_recursive_definition() {
    let tree = Tree::new((0..130).map(leaf));
    for size in 0..=130 {
        let peaks = peaks_at(&tree, size).unwrap();
        assert_eq!(peaks, tree.peaks[usize::try_from(size).unwrap()]);
        assert_eq!(peaks.tree_hash(&tree.keys), tree.mth(0, size));
        assert_eq!(peaks.root(&tree.keys), tree.keys.root(size, &tree.mth(0, size)));
        assert_eq!(Peaks::from_parts(size, peaks.hashes()), Some(peaks));
    }
}

#[test]
fn every_node_is_reported_once_and_is_the_hash_of_its_leaves() {
    let tree = Tree::new((0..130).map(leaf));
    for (level, nodes) in tree.levels.iter().enumerate() {
        assert_eq!(nodes.len(), 130 >> level);
        for (position, node) in (0..).zip(nodes) {
            assert_eq!(*node, tree.mth(position << level, (position + 1) << level));
        }
    }
}

#[test]
fn paths_are_those_of_the_recursive_definition() {
    let tree = Tree::new((0..130).map(leaf));
    for size in 0..=130 {
        for index in 0..size {
            let path = inclusion_path(&tree, &tree.keys, index, size).unwrap();
            assert_eq!(path, rfc_path(&tree, index, 0, size), "{index} of {size}");
        }
        for from in 1..size {
            let mut expected = rfc_subproof(&tree, from, 0, size, true);
            if from.is_power_of_two() {
                expected.insert(0, tree.mth(0, from));
            }
            let path = consistency_path(&tree, &tree.keys, from, size).unwrap();
            assert_eq!(path, expected, "{from} to {size}");
        }
        for from in [0, size] {
            assert_eq!(consistency_path(&tree, &tree.keys, from, size), Ok(Vec::new()));
        }
    }
}

#[test]
fn peaks_need_the_number_of_hashes_that_their_size_has() {
    let hashes = [Hash::ZERO; PEAK_COUNT_MAX + 1];
    assert_eq!(Peaks::from_parts(0, &[]), Some(Peaks::new()));
    for (size, count) in [(0, 1), (5, 1), (5, 3), (LOG_ENTRY_COUNT_MAX, 2), (u64::MAX, 49)] {
        assert_eq!(Peaks::from_parts(size, &hashes[..count]), None, "{count} for {size}");
    }
    assert_eq!(Peaks::from_parts(LOG_ENTRY_COUNT_MAX + 1, &hashes[..2]), None);
    assert!(Peaks::from_parts(LOG_ENTRY_COUNT_MAX - 1, &hashes[..PEAK_COUNT_MAX]).is_some());
}

#[test]
fn peaks_with_equal_hashes_are_equal_whatever_came_before() {
    let keys = LogKeys::new(super::LOG);
    let mut grown = Peaks::new();
    for index in 0..4 {
        grown.push(&keys, leaf(index), |_, _, _| ());
    }
    assert_eq!(Peaks::from_parts(4, grown.hashes()), Some(grown));
}

#[test]
fn the_last_leaf_of_the_largest_log_completes_one_tree() {
    let tree = Uniform::new();
    let mut peaks = peaks_at(&tree, LOG_ENTRY_COUNT_MAX - 1).unwrap();
    assert_eq!(peaks.hashes().len(), PEAK_COUNT_MAX);
    let mut completed = Vec::new();
    peaks.push(&tree.keys, leaf(0), |level, position, _| completed.push((level, position)));
    let expected: Vec<_> = (1..=48).map(|level| (level, (1 << (48 - level)) - 1)).collect();
    assert_eq!(completed, expected);
    assert_eq!(peaks, peaks_at(&tree, LOG_ENTRY_COUNT_MAX).unwrap());
}

#[test]
#[should_panic(expected = "the log is full")]
fn the_largest_log_does_not_grow() {
    let tree = Uniform::new();
    let mut peaks = peaks_at(&tree, LOG_ENTRY_COUNT_MAX).unwrap();
    peaks.push(&tree.keys, leaf(0), |_, _, _| ());
}

#[test]
fn an_error_of_the_source_is_handed_on() {
    let tree = Tree::new((0..3).map(leaf));
    assert_eq!(peaks_at(&tree, 5), Err((2, 0)));
    assert_eq!(inclusion_path(&tree, &tree.keys, 0, 4), Err((1, 1)));
    assert_eq!(consistency_path(&tree, &tree.keys, 3, 4), Err((0, 3)));
}

/// A tree of any size, all of whose leaves are equal: so are all nodes of a level.
pub(super) struct Uniform {
    pub(super) keys: LogKeys,
    levels: Vec<Hash>,
    lookup_count: std::cell::Cell<usize>,
}

impl Uniform {
    pub(super) fn new() -> Self {
        Self::of(leaf(0))
    }

    pub(super) fn of(leaf: Hash) -> Self {
        let keys = LogKeys::new(super::LOG);
        let mut levels = vec![leaf];
        for level in 0..48 {
            levels.push(keys.node(&levels[level], &levels[level]));
        }
        Self { keys, levels, lookup_count: std::cell::Cell::new(0) }
    }
}

impl NodeSource for Uniform {
    type Error = std::convert::Infallible;

    fn node(&self, level: u32, _: u64) -> Result<Hash, Self::Error> {
        self.lookup_count.set(self.lookup_count.get() + 1);
        Ok(self.levels[usize::try_from(level).unwrap()])
    }
}

/// A size of any magnitude, and a smaller one.
pub(super) fn sizes() -> impl Strategy<Value = (u64, u64)> {
    let near_power =
        (1..=48_u32, 0..4_u64).prop_map(|(bit, below)| (1 << bit) - below.min(1 << (bit - 1)));
    let size = prop_oneof![near_power, 1..=LOG_ENTRY_COUNT_MAX];
    (size, any::<u64>(), 0..64_u32).prop_map(|(size, any, shift)| (size, (any >> shift) % size))
}

proptest! {
    #[test]
    fn paths_cost_less_than_100_nodes_and_keep_their_limits((size, smaller) in sizes()) {
        let tree = Uniform::new();
        let path = inclusion_path(&tree, &tree.keys, smaller, size).unwrap();
        prop_assert!(path.len() <= INCLUSION_PATH_LEN_MAX);
        prop_assert!(tree.lookup_count.take() < 100);
        let path = consistency_path(&tree, &tree.keys, smaller, size).unwrap();
        prop_assert!(path.len() <= CONSISTENCY_PATH_LEN_MAX);
        prop_assert!(tree.lookup_count.take() < 100);
    }
}

#[test]
fn the_longest_paths_are_as_long_as_the_limits() {
    let tree = Uniform::new();
    let path = inclusion_path(&tree, &tree.keys, 0, LOG_ENTRY_COUNT_MAX).unwrap();
    assert_eq!(path.len(), INCLUSION_PATH_LEN_MAX);
    for from in [1, 3, LOG_ENTRY_COUNT_MAX - 1] {
        let path = consistency_path(&tree, &tree.keys, from, LOG_ENTRY_COUNT_MAX).unwrap();
        assert_eq!(path.len(), CONSISTENCY_PATH_LEN_MAX);
    }
}

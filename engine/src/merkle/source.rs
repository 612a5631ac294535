//! The paths of proofs, from a store of perfect subtrees (M-7; RFC 9162, 2.1.3.1 and 2.1.4.1).

use super::Peaks;
use crate::{
    bytes::{Hash, LogKeys},
    entry::LOG_ENTRY_COUNT_MAX,
};

/// Gives the nodes of a tree.
pub trait NodeSource {
    /// Why a node cannot be had.
    type Error;

    /// The root of the perfect subtree number `position` of level `level`: that over the 2^`level`
    /// leaves from `position` 2^`level` on. Level 0 is the leaves themselves.
    ///
    /// Asked only for subtrees within the size that a caller named.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn node(&self, level: u32, position: u64) -> Result<Hash, Self::Error>;
}

/// The peaks of the first `size` leaves. One node for each peak.
///
/// # Errors
///
/// Those of `source`.
///
/// # Panics
///
/// If `size` is above [`LOG_ENTRY_COUNT_MAX`].
pub fn peaks_at<S: NodeSource + ?Sized>(source: &S, size: u64) -> Result<Peaks, S::Error> {
    Peaks::collect(size, |level, position| source.node(level, position))
}

/// The audit path of leaf `index` in the tree of the first `size` leaves, from the leaf upwards.
///
/// Cost: fewer than 100 nodes and fewer than 48 compressions, whatever the size.
///
/// # Errors
///
/// Those of `source`.
///
/// # Panics
///
/// Unless `index` < `size` <= [`LOG_ENTRY_COUNT_MAX`].
pub fn inclusion_path<S: NodeSource + ?Sized>(
    source: &S,
    keys: &LogKeys,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, S::Error> {
    assert!(index < size && size <= LOG_ENTRY_COUNT_MAX, "no entry {index} in a log of {size}");
    let mut path = Siblings::new(source, keys);
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = split(start, end);
        if index < middle {
            path.push(middle, end)?;
            end = middle;
        } else {
            path.push(start, middle)?;
            start = middle;
        }
    }
    Ok(path.upwards())
}

/// The path that shows that the first `from` of the first `size` leaves are as they were.
///
/// It is the path of RFC 9162, with the tree hash of the first `from` leaves before it if `from`
/// is a power of two. The RFC leaves that to the verifier, who knows the hash; ours knows the root
/// (M-5), from which the tree hash cannot be had. Empty if `from` is 0 or `size`.
///
/// Cost: fewer than 100 nodes and fewer than 48 compressions, whatever the sizes.
///
/// # Errors
///
/// Those of `source`.
///
/// # Panics
///
/// Unless `from` <= `size` <= [`LOG_ENTRY_COUNT_MAX`].
pub fn consistency_path<S: NodeSource + ?Sized>(
    source: &S,
    keys: &LogKeys,
    from: u64,
    size: u64,
) -> Result<Vec<Hash>, S::Error> {
    assert!(from <= size && size <= LOG_ENTRY_COUNT_MAX, "no size {from} in a log of {size}");
    let mut path = Siblings::new(source, keys);
    if from == 0 || from == size {
        return Ok(path.upwards());
    }
    // Down along the boundary at `from`, to the largest subtree that ends there.
    let (mut start, mut end) = (0, size);
    while from < end {
        let middle = split(start, end);
        if from <= middle {
            path.push(middle, end)?;
            end = middle;
        } else {
            path.push(start, middle)?;
            start = middle;
        }
    }
    path.push(start, end)?;
    Ok(path.upwards())
}

/// Where the tree over the leaves `start` to `end`, at least two, divides (M-4).
fn split(start: u64, end: u64) -> u64 {
    start + (1 << (end - start - 1).ilog2())
}

/// Tree hashes of ranges, collected from the top of the tree downwards.
struct Siblings<'a, S: ?Sized> {
    source: &'a S,
    keys: &'a LogKeys,
    downwards: Vec<Hash>,
}

impl<'a, S: NodeSource + ?Sized> Siblings<'a, S> {
    fn new(source: &'a S, keys: &'a LogKeys) -> Self {
        Self { source, keys, downwards: Vec::new() }
    }

    /// Adds the tree hash of the leaves from `start` up to, not including, `end`. The range is one
    /// that the tree has: `start` is a multiple of a power of two not below its length.
    ///
    /// Of the ranges of one path at most one is not a perfect subtree, since all that is left of a
    /// division is perfect. So a path costs O(log n) nodes, not O(log^2 n).
    fn push(&mut self, start: u64, end: u64) -> Result<(), S::Error> {
        let (mut length, mut end) = (end - start, end);
        let mut joined = None;
        while length > 0 {
            // The smallest subtree is the last one; joining goes from right to left.
            let level = length.trailing_zeros();
            end -= 1 << level;
            length -= 1 << level;
            let node = self.source.node(level, end >> level)?;
            joined = Some(joined.map_or(node, |right| self.keys.node(&node, &right)));
        }
        self.downwards.extend(joined);
        Ok(())
    }

    fn upwards(mut self) -> Vec<Hash> {
        self.downwards.reverse();
        self.downwards
    }
}

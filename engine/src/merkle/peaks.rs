//! Peaks: the part of a tree that its root and its growth depend on (M-4, M-5).

use std::fmt;

use crate::{
    bytes::{Hash, Lanes, LogKeys},
    entry::LOG_ENTRY_COUNT_MAX,
};

/// Most peaks of a tree: those of 2^48 - 1 leaves.
pub const PEAK_COUNT_MAX: usize = 48;

const _: () = assert!((LOG_ENTRY_COUNT_MAX - 1).count_ones() as usize == PEAK_COUNT_MAX);

/// The size of a tree and the roots of its perfect subtrees, largest first.
///
/// All that is needed to append leaves and to compute the root. Held in place: appending and
/// cloning allocate nothing; a clone copies about 1.5 KiB.
#[derive(Clone)]
pub struct Peaks {
    size: u64,
    /// As many as `size` has one bits are in use.
    hashes: [Hash; PEAK_COUNT_MAX],
}

impl Peaks {
    /// The peaks of the empty tree: none.
    pub const fn new() -> Self {
        Self { size: 0, hashes: [Hash::ZERO; PEAK_COUNT_MAX] }
    }

    /// The peaks of a tree of `size` leaves, largest first, as [`Peaks::hashes`] gives them.
    ///
    /// `None` if `size` is above [`LOG_ENTRY_COUNT_MAX`] or has another number of peaks. That the
    /// hashes are the right ones only a root can tell ([`Peaks::root`]).
    pub fn from_parts(size: u64, hashes: &[Hash]) -> Option<Self> {
        if size > LOG_ENTRY_COUNT_MAX || hashes.len() != peak_count(size) {
            return None;
        }
        let mut peaks = Self { size, ..Self::new() };
        peaks.hashes[..hashes.len()].copy_from_slice(hashes);
        Some(peaks)
    }

    /// The peak that is the perfect subtree number `position` of level `level`, if it is one.
    pub fn peak(&self, level: u32, position: u64) -> Option<Hash> {
        let is_peak = self.size >> level & 1 == 1 && (self.size >> level) - 1 == position;
        // The largest subtree comes first.
        let before = (self.size >> level >> 1).count_ones() as usize;
        is_peak.then(|| self.hashes[before])
    }

    /// The peaks of `size` leaves, each asked for by level and position.
    pub(super) fn collect<E>(
        size: u64,
        mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
    ) -> Result<Self, E> {
        assert!(size <= LOG_ENTRY_COUNT_MAX, "a log of {size} entries is above the limit");
        let mut peaks = Self { size, ..Self::new() };
        for (peak, (level, position)) in peaks.hashes.iter_mut().zip(perfect_subtrees(size)) {
            *peak = node(level, position)?;
        }
        Ok(peaks)
    }

    /// Appends a leaf. Calls `on_node` with level, position and hash for each perfect subtree that
    /// the leaf completes, from level 1 upwards; the leaf itself is not among them.
    ///
    /// Cost: one compression for each completed subtree, that is one per leaf on average.
    ///
    /// # Panics
    ///
    /// If there are [`LOG_ENTRY_COUNT_MAX`] leaves already, which the writer must have refused.
    pub fn push(&mut self, keys: &LogKeys, leaf: Hash, mut on_node: impl FnMut(u32, u64, &Hash)) {
        assert!(self.size < LOG_ENTRY_COUNT_MAX, "the log is full");
        let mut count = peak_count(self.size);
        let mut node = leaf;
        // Adding one to the size carries through its trailing ones; each carry joins two peaks.
        for level in 1..=self.size.trailing_ones() {
            count -= 1;
            node = keys.node(&self.hashes[count], &node);
            on_node(level, self.size >> level, &node);
        }
        self.hashes[count] = node;
        self.size += 1;
    }

    /// Appends many leaves, with `lanes` for the hashing: the same as [`Peaks::push`] for each of them, but that
    /// `on_node` is called level by level.
    ///
    /// # Panics
    ///
    /// As [`Peaks::push`].
    pub(crate) fn extend(
        &mut self,
        keys: &LogKeys,
        lanes: &mut Lanes,
        leaves: &[Hash],
        mut on_node: impl FnMut(u32, u64, &Hash),
    ) {
        let end = self.size + leaves.len() as u64;
        assert!(end <= LOG_ENTRY_COUNT_MAX, "the log is full");
        let mut peaks = Self { size: end, ..Self::new() };
        // Of both trees: how many peaks have this level or a higher one.
        let (mut old_count, mut count) = (peak_count(self.size), peak_count(end));
        // The new nodes of a level, behind the peak that the first of them is to be joined with.
        let mut nodes = leaves.to_vec();
        for level in 0.. {
            if nodes.is_empty() {
                // From here on nothing changes.
                peaks.hashes[..count].copy_from_slice(&self.hashes[..old_count]);
                break;
            }
            if self.size >> level & 1 == 1 {
                old_count -= 1;
                nodes.insert(0, self.hashes[old_count]);
            }
            if end >> level & 1 == 1 {
                count -= 1;
                peaks.hashes[count] = nodes[nodes.len() - 1];
            }
            lanes.start(keys.of_nodes());
            for [left, right] in nodes.as_chunks().0 {
                lanes.push(left.as_bytes(), right.as_bytes());
            }
            nodes.clear();
            nodes.extend_from_slice(lanes.finish());
            for (position, node) in (self.size >> level >> 1..).zip(&nodes) {
                on_node(level + 1, position, node);
            }
        }
        *self = peaks;
    }

    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The peaks, largest subtree first: as many as the size has one bits.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes[..peak_count(self.size)]
    }

    /// `MTH` of all leaves (M-4): one compression for each peak but the first.
    pub fn tree_hash(&self, keys: &LogKeys) -> Hash {
        let joined =
            self.hashes().iter().rev().copied().reduce(|right, left| keys.node(&left, &right));
        joined.unwrap_or(Hash::ZERO)
    }

    /// The root (M-5): one compression more than [`Peaks::tree_hash`].
    pub fn root(&self, keys: &LogKeys) -> Hash {
        keys.root(self.size, &self.tree_hash(keys))
    }
}

impl Default for Peaks {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Peaks {
    fn eq(&self, other: &Self) -> bool {
        // What is behind the peaks in use is left over from earlier sizes and means nothing.
        self.size == other.size && self.hashes() == other.hashes()
    }
}

impl Eq for Peaks {}

impl fmt::Debug for Peaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peaks").field("size", &self.size).field("hashes", &self.hashes()).finish()
    }
}

/// Level and position of each peak of a tree of `size` leaves, largest first.
fn perfect_subtrees(size: u64) -> impl Iterator<Item = (u32, u64)> {
    let mut rest = size;
    std::iter::from_fn(move || {
        let level = rest.checked_ilog2()?;
        let start = size - rest;
        rest -= 1 << level;
        Some((level, start >> level))
    })
}

fn peak_count(size: u64) -> usize {
    // At most 64, whatever the size.
    size.count_ones() as usize
}

mod proofs;
mod salts;
mod tree;

use std::cell::Cell;

use super::{NodeSource, Peaks};
use crate::bytes::{Hash, LogId, LogKeys};

const LOG: LogId = LogId::from_bytes([0x5A; 16]);

/// All nodes of a tree, and how many of them were asked for.
struct Tree {
    keys: LogKeys,
    levels: Vec<Vec<Hash>>,
    /// Peaks by size.
    peaks: Vec<Peaks>,
    lookup_count: Cell<usize>,
}

impl Tree {
    fn new(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let keys = LogKeys::new(LOG);
        let mut levels = vec![Vec::new(); 20];
        let mut peaks = vec![Peaks::new()];
        for leaf in leaves {
            let mut grown = peaks[peaks.len() - 1].clone();
            levels[0].push(leaf);
            grown.push(&keys, leaf, |level, position, hash| {
                let level = &mut levels[usize::try_from(level).unwrap()];
                assert_eq!(position, level.len() as u64, "nodes are reported in order");
                level.push(*hash);
            });
            peaks.push(grown);
        }
        Self { keys, levels, peaks, lookup_count: Cell::new(0) }
    }

    fn root(&self, size: u64) -> Hash {
        self.peaks[usize::try_from(size).unwrap()].root(&self.keys)
    }

    /// MTH of RFC 9162, 2.1.1, as it is written there.
    fn mth(&self, start: u64, end: u64) -> Hash {
        match end - start {
            0 => Hash::ZERO,
            1 => self.levels[0][usize::try_from(start).unwrap()],
            len => {
                let k = start + largest_power_below(len);
                self.keys.node(&self.mth(start, k), &self.mth(k, end))
            }
        }
    }
}

impl NodeSource for Tree {
    type Error = (u32, u64);

    fn node(&self, level: u32, position: u64) -> Result<Hash, Self::Error> {
        self.lookup_count.set(self.lookup_count.get() + 1);
        let nodes = self.levels.get(usize::try_from(level).unwrap());
        let node = nodes.and_then(|nodes| nodes.get(usize::try_from(position).unwrap()));
        node.copied().ok_or((level, position))
    }
}

fn largest_power_below(len: u64) -> u64 {
    let mut k = 1;
    while k * 2 < len {
        k *= 2;
    }
    k
}

/// Leaf number `index` of a tree whose leaves have no entries.
fn leaf(index: u64) -> Hash {
    Hash::from_bytes(blake3::hash(&index.to_le_bytes()).into())
}

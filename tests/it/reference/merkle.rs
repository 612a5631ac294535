//! The Merkle tree (section 8).

use super::bytes::Uuid;

/// 32 bytes (G-5).
pub(crate) type Hash = [u8; 32];

/// `K_x` (M-1).
pub(crate) fn key(x: &str, log: &Uuid) -> Hash {
    blake3::derive_key(&format!("annals v1 {x}"), log)
}

/// `keyed(key, first || second)` (G-5).
fn keyed(key: &Hash, first: &[u8], second: &[u8]) -> Hash {
    *blake3::Hasher::new_keyed(key).update(first).update(second).finalize().as_bytes()
}

/// M-2.
pub(crate) fn payload_hash(log: &Uuid, salt: &[u8; 16], payload: &[u8]) -> Hash {
    keyed(&key("payload", log), salt, payload)
}

/// M-3.
pub(crate) fn leaf(log: &Uuid, header: &[u8; 32], payload_hash: &Hash) -> Hash {
    keyed(&key("leaf", log), header, payload_hash)
}

/// `MTH` (M-4).
pub(crate) fn mth(log: &Uuid, leaves: &[Hash]) -> Hash {
    mth_with(&key("node", log), leaves)
}

fn mth_with(node_key: &Hash, leaves: &[Hash]) -> Hash {
    match leaves {
        [] => [0; 32],
        [leaf] => *leaf,
        _ => {
            // The largest power of two below n; next_power_of_two(n) / 2 for every n > 1.
            let k = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(k);
            keyed(node_key, &mth_with(node_key, left), &mth_with(node_key, right))
        }
    }
}

/// M-5 over all leaves of a log, from the definition.
pub(crate) fn root(log: &Uuid, leaves: &[Hash]) -> Hash {
    root_of(log, super::bytes::to_u64(leaves.len()), &mth(log, leaves))
}

/// M-5.
pub(crate) fn root_of(log: &Uuid, n: u64, mth: &Hash) -> Hash {
    keyed(&key("root", log), &n.to_le_bytes(), mth)
}

/// `MTH` from the peaks (M-4), largest first: each is the left child of what follows it.
pub(crate) fn mth_of_peaks(log: &Uuid, peaks: &[Hash]) -> Hash {
    let node_key = key("node", log);
    let mut peaks = peaks.iter().rev();
    let Some(smallest) = peaks.next() else { return [0; 32] };
    peaks.fold(*smallest, |right, left| keyed(&node_key, left, &right))
}

/// A tree that grows leaf by leaf: a root after each batch would otherwise cost the whole log
/// again. Its agreement with [`root`] is tested.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    log: Uuid,
    node_key: Hash,
    size: u64,
    /// Size and hash of the perfect subtrees, largest first.
    peaks: Vec<(u64, Hash)>,
}

impl Tree {
    pub(crate) fn new(log: &Uuid) -> Self {
        Self { log: *log, node_key: key("node", log), size: 0, peaks: Vec::new() }
    }

    /// The tree of `size` leaves that has these peaks (M-4).
    pub(crate) fn from_peaks(log: &Uuid, size: u64, peaks: &[Hash]) -> Result<Self, String> {
        let ones = (0..u64::BITS).rev().map(|bit| 1 << bit).filter(|one| size & one != 0);
        let sizes: Vec<u64> = ones.collect();
        if sizes.len() != peaks.len() {
            return Err(format!("M-4: {} peaks of {size} leaves", peaks.len()));
        }
        let peaks = sizes.into_iter().zip(peaks.iter().copied()).collect();
        Ok(Self { size, peaks, ..Self::new(log) })
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        self.size += 1;
        let mut subtree = (1, leaf);
        while let Some((size, left)) = self.peaks.pop_if(|(size, _)| *size == subtree.0) {
            subtree = (2 * size, keyed(&self.node_key, &left, &subtree.1));
        }
        self.peaks.push(subtree);
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn peaks(&self) -> Vec<Hash> {
        self.peaks.iter().map(|(_, hash)| *hash).collect()
    }

    pub(crate) fn root(&self) -> Hash {
        root_of(&self.log, self.size, &mth_of_peaks(&self.log, &self.peaks()))
    }
}

/// The roots of a log whose first entries may be pruned (H-11).
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    /// The tree of what comes before the first leaf.
    before: Tree,
    /// The leaves that are known, in order.
    pub(crate) leaves: Vec<Hash>,
}

impl From<Tree> for Roots {
    fn from(before: Tree) -> Self {
        Self { before, leaves: Vec::new() }
    }
}

impl Roots {
    /// The root of the first `size` entries (M-5), leaf by leaf from the peaks.
    pub(crate) fn at(&self, size: u64) -> Result<Hash, String> {
        let first = self.before.size();
        let count = size.checked_sub(first);
        let count = count.ok_or_else(|| format!("H-11: {size} entries, and {first} are pruned"))?;
        let leaves = self.leaves.get(..super::bytes::to_usize(count)?);
        let leaves = leaves.ok_or_else(|| format!("M-5: not all of {size} entries are known"))?;
        let mut tree = self.before.clone();
        for leaf in leaves {
            tree.push(*leaf);
        }
        Ok(tree.root())
    }
}

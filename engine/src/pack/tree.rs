//! Chaining values: BLAKE3's tree above chunks (K-6).
//!
//! A chunk of 64 KiB is a subtree of BLAKE3's own tree, whose leaves have 1 KiB. What stands above
//! chunks follows from their chaining values alone, whatever their bytes are. A parent's left subtree
//! covers the largest power of two of chunks that leaves something to the right; each group of
//! [`TABLE_FANOUT`](super::TABLE_FANOUT) nodes, and each shorter one at the end, is a subtree of that
//! shape. See <https://github.com/BLAKE3-team/BLAKE3-specs>, section 2.1.

use std::ops::Range;

use blake3::{
    Hasher,
    hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use super::{ASSET_SIZE_MAX, CHUNK_LEN};
use crate::bytes::Hash;

/// Levels of the binary tree above the chunks of the largest asset, and one for the root.
const DEPTH_MAX: usize = ASSET_SIZE_MAX.ilog2() as usize - CHUNK_LEN.ilog2() as usize + 1;

/// The chaining value of chunk `chunk_index` of a content of more than one chunk.
///
/// # Panics
///
/// If `bytes` are empty or longer than [`CHUNK_LEN`], or the chunk is beyond the end of any asset.
pub fn chunk_cv(chunk_index: u64, bytes: &[u8]) -> Hash {
    Hash::from_bytes(chunk_hasher(chunk_index, bytes).finalize_non_root())
}

/// The chaining value of the only chunk of a content, and the id of that content.
pub(super) fn only_chunk(bytes: &[u8]) -> (Hash, Hash) {
    let hasher = chunk_hasher(0, bytes);
    let id = hasher.finalize();
    (Hash::from_bytes(hasher.finalize_non_root()), Hash::from_bytes(id.into()))
}

fn chunk_hasher(chunk_index: u64, bytes: &[u8]) -> Hasher {
    assert!(!bytes.is_empty() && bytes.len() <= CHUNK_LEN, "a chunk has 1 to {CHUNK_LEN} bytes");
    assert!(chunk_index < ASSET_SIZE_MAX / CHUNK_LEN as u64, "a chunk of an asset");
    let mut hasher = Hasher::new();
    hasher.set_input_offset(chunk_index * CHUNK_LEN as u64).update(bytes);
    hasher
}

/// The chaining value of the subtree over `nodes` that are equal subtrees, but for the last one, which
/// may be smaller, and that is not the root.
///
/// In a table, `nodes` are a group: up to [`TABLE_FANOUT`](super::TABLE_FANOUT) of one level. One node
/// alone is its own subtree.
///
/// # Panics
///
/// If there are no nodes, or more than an asset has chunks.
pub fn merge_level(nodes: &[Hash]) -> Hash {
    let nodes = nodes.iter().map(|node| *node.as_bytes());
    merge(nodes)
}

/// [`merge_level`] of nodes that are not hashes yet.
pub(super) fn merge(nodes: impl Iterator<Item = [u8; 32]>) -> Hash {
    match halves(nodes) {
        (only, None) => only,
        (left, Some(right)) => merge_two(&left, &right),
    }
}

/// The id of a content of more than one chunk from the nodes of the highest level of its table.
///
/// # Panics
///
/// If there are less than two nodes, or more than an asset has chunks.
pub fn merge_root(nodes: &[Hash]) -> Hash {
    let nodes = nodes.iter().map(|node| *node.as_bytes());
    let (left, right) = halves(nodes);
    merge_two_to_root(&left, &right.expect("what has one chunk is hashed as a whole"))
}

/// The chaining value of the parent of two subtrees, which is not the root.
pub(super) fn merge_two(left: &Hash, right: &Hash) -> Hash {
    Hash::from_bytes(merge_subtrees_non_root(left.as_bytes(), right.as_bytes(), Mode::Hash))
}

/// The hash of the root above two subtrees.
pub(super) fn merge_two_to_root(left: &Hash, right: &Hash) -> Hash {
    let id = merge_subtrees_root(left.as_bytes(), right.as_bytes(), Mode::Hash);
    Hash::from_bytes(id.into())
}

/// The two subtrees below the top of the tree over `nodes`; the second is missing if there is one node.
fn halves(nodes: impl Iterator<Item = [u8; 32]>) -> (Hash, Option<Hash>) {
    // Before each node the stack holds perfect subtrees as the one bits of the count say, the largest
    // first; the last two that are equal are merged only when it is known that something follows.
    let mut stack = [Hash::ZERO; DEPTH_MAX + 1];
    let mut len = 0;
    for (before, node) in nodes.enumerate() {
        for _ in 0..if before == 0 { 0 } else { before.trailing_zeros() } {
            len -= 1;
            stack[len - 1] = merge_two(&stack[len - 1], &stack[len]);
        }
        stack[len] = Hash::from_bytes(node);
        len += 1;
    }
    assert!(len > 0, "a subtree has nodes");
    while len > 2 {
        len -= 1;
        stack[len - 1] = merge_two(&stack[len - 1], &stack[len]);
    }
    (stack[0], (len == 2).then_some(stack[1]))
}

/// Splits a subtree over more than one chunk into its left and its right one.
pub(super) fn split(chunks: &Range<u64>) -> (Range<u64>, Range<u64>) {
    let count = chunks.end - chunks.start;
    debug_assert!(count > 1, "a chunk is not split");
    let middle = chunks.start + count.next_power_of_two() / 2;
    (chunks.start..middle, middle..chunks.end)
}

//! Range proofs (K-16): chunks for somebody who has nothing but the id and the size.
//!
//! A proof is a list of chaining values: of the largest subtrees without any chunk of the range, from
//! the left to the right along BLAKE3's tree over all chunks.
//!
//! ```text
//! chunks 2 and 3 of 7          root
//!                         /          \
//!                      .                [4 5 6]      proof: [0 1], [4 5 6]
//!                   /     \
//!               [0 1]     (2 3)  from the content
//! ```

use std::ops::Range;

use super::{
    ASSET_SIZE_MAX, CHUNK_LEN, Codec, TABLE_FANOUT, TableShape, chunk_count,
    tree::{chunk_cv, merge_level, merge_root, merge_two, merge_two_to_root, only_chunk, split},
};
use crate::bytes::Hash;

/// Most hashes of a range proof: two for each level of the binary tree above the chunks.
pub const RANGE_PROOF_LEN_MAX: usize =
    2 * (ASSET_SIZE_MAX.ilog2() as usize - CHUNK_LEN.ilog2() as usize);

/// Why a content and its proof do not lead to the id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFault {
    /// No asset is that large.
    #[error("{0} bytes are more than an asset can have")]
    Size(u64),
    /// The content is no range of whole chunks of an asset of that size.
    #[error("the content is not a range of whole chunks")]
    Range,
    /// The proof has too few hashes or too many.
    #[error("a proof of {found} hashes instead of {expected}")]
    Length {
        /// Hashes that the range needs.
        expected: usize,
        /// Hashes of the proof.
        found: usize,
    },
    /// The content, its place, its size or the proof is wrong.
    #[error("content and proof do not lead to the id")]
    Mismatch,
}

/// The proof for the chunks of `range` of a content of `chunk_count` chunks.
///
/// `node` gives node j of a level of the table; they are asked for from the left to the right, at most
/// 256 for each hash of the proof, which has at most [`RANGE_PROOF_LEN_MAX`].
///
/// # Errors
///
/// What `node` returned.
///
/// # Panics
///
/// If `range` is empty or ends behind the last chunk, or no asset has that many chunks.
pub fn range_proof<E>(
    chunk_count: u64,
    range: Range<u64>,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    assert!(range.start < range.end && range.end <= chunk_count, "a range of the chunks");
    assert!(chunk_count <= ASSET_SIZE_MAX / CHUNK_LEN as u64, "chunks of an asset");
    let shape = TableShape { chunk_count, codec: Codec::Stored };
    let mut proof = Vec::new();
    for subtree in outside(chunk_count, &range) {
        let (level, nodes) = nodes_of(&shape, &subtree);
        let nodes: Vec<Hash> = nodes.map(|j| node(level, j)).collect::<Result<_, E>>()?;
        proof.push(merge_level(&nodes));
    }
    Ok(proof)
}

/// Verifies that `content` stands from chunk `first_chunk` on in the content of `size` bytes that has
/// this id; returns the chaining values of its chunks.
///
/// `size` is believed as far as K-16 says: a range with the last chunk proves it.
///
/// Cost: hashing the content, and one compression for each chunk and each hash of the proof. What is
/// wrong in its form costs nothing.
///
/// # Errors
///
/// See [`ProofFault`].
pub fn verify_range(
    id: Hash,
    size: u64,
    first_chunk: u64,
    content: &[u8],
    proof: &[Hash],
) -> Result<Vec<Hash>, ProofFault> {
    if size > ASSET_SIZE_MAX {
        return Err(ProofFault::Size(size));
    }
    let count = chunk_count(size);
    let len = content.len() as u64;
    let start = first_chunk.checked_mul(CHUNK_LEN as u64).ok_or(ProofFault::Range)?;
    let end = start.checked_add(len).filter(|&end| end <= size).ok_or(ProofFault::Range)?;
    if len == 0 || (end != size && !len.is_multiple_of(CHUNK_LEN as u64)) {
        return Err(ProofFault::Range);
    }
    let range = first_chunk..first_chunk + chunk_count(len);
    let expected = outside(count, &range).len();
    if proof.len() != expected {
        return Err(ProofFault::Length { expected, found: proof.len() });
    }

    if count == 1 {
        let (cv, root) = only_chunk(content);
        return if root == id { Ok(vec![cv]) } else { Err(ProofFault::Mismatch) };
    }
    let chunks = range.clone().zip(content.chunks(CHUNK_LEN));
    let cvs: Vec<Hash> = chunks.map(|(chunk, bytes)| chunk_cv(chunk, bytes)).collect();
    let root = if cvs.len() as u64 == count {
        merge_root(&cvs)
    } else {
        let mut known = Known { range, cvs: &cvs, proof };
        let (left, right) = split(&(0..count));
        let (left, right) = (known.subtree(left), known.subtree(right));
        merge_two_to_root(&left, &right)
    };
    if root == id { Ok(cvs) } else { Err(ProofFault::Mismatch) }
}

/// What is known of a tree of which a range of chunks is there.
struct Known<'a> {
    range: Range<u64>,
    /// Chaining values of the chunks of the range.
    cvs: &'a [Hash],
    /// Of subtrees outside of it: those that were not needed yet.
    proof: &'a [Hash],
}

impl Known<'_> {
    /// The chaining value of a subtree. Goes as deep as the tree does: 30 levels at most.
    fn subtree(&mut self, chunks: Range<u64>) -> Hash {
        match lie(&chunks, &self.range) {
            Lie::Outside => {
                let (first, rest) = self.proof.split_first().expect("the proof has its length");
                self.proof = rest;
                *first
            }
            Lie::Inside => {
                let at = |chunk: u64| {
                    usize::try_from(chunk - self.range.start).expect("the range is in memory")
                };
                merge_level(&self.cvs[at(chunks.start)..at(chunks.end)])
            }
            Lie::Across => {
                let (left, right) = split(&chunks);
                let (left, right) = (self.subtree(left), self.subtree(right));
                merge_two(&left, &right)
            }
        }
    }
}

/// How a subtree lies to a range of chunks.
enum Lie {
    Outside,
    Inside,
    Across,
}

fn lie(chunks: &Range<u64>, range: &Range<u64>) -> Lie {
    if chunks.end <= range.start || range.end <= chunks.start {
        Lie::Outside
    } else if range.start <= chunks.start && chunks.end <= range.end {
        Lie::Inside
    } else {
        Lie::Across
    }
}

/// The largest subtrees without any chunk of `range`, from the left to the right.
fn outside(chunk_count: u64, range: &Range<u64>) -> Vec<Range<u64>> {
    fn collect(chunks: Range<u64>, range: &Range<u64>, found: &mut Vec<Range<u64>>) {
        match lie(&chunks, range) {
            Lie::Outside => found.push(chunks),
            Lie::Inside => {}
            // As deep as the tree is: 30 levels at most.
            Lie::Across => {
                let (left, right) = split(&chunks);
                collect(left, range, found);
                collect(right, range, found);
            }
        }
    }
    let mut found = Vec::new();
    collect(0..chunk_count, range, &mut found);
    found
}

/// The fewest nodes of one level that make up a subtree of BLAKE3's tree, at most 128.
fn nodes_of(shape: &TableShape, chunks: &Range<u64>) -> (u32, Range<u64>) {
    let ends = |span: u64| chunks.end.is_multiple_of(span) || chunks.end == shape.chunk_count;
    let fits = |&level: &u32| {
        let span = TABLE_FANOUT.pow(level);
        chunks.start.is_multiple_of(span) && ends(span)
    };
    // A node of a higher level than the subtree's own would cover chunks that are not in it.
    let level = (0..shape.level_count()).rev().find(fits).unwrap_or(0);
    let span = TABLE_FANOUT.pow(level);
    (level, chunks.start / span..chunks.end.div_ceil(span))
}

//! The Merkle tree of a log, its proofs, and the salts of its entries. Pure: knows no files.
//!
//! A log of n entries is a tree over n leaves in the shape of RFC 9162, section 2.1.1 (M-4). A
//! *perfect subtree* of level l has 2^l leaves; number p of its level covers the leaves from
//! p 2^l on. It never changes once its leaves exist, so it can be stored and named by (l, p).
//! The *peaks* of a size are the perfect subtrees that the one bits of the size stand for:
//!
//! ```text
//! size 7 = 0b111            tree hash = node(a, node(b, c))
//!
//!        a                  peaks: a (level 2, number 0),
//!      /   \                       b (level 1, number 2),
//!     o     o     b                c (level 0, number 6)
//!    / \   / \   / \
//!   0   1 2   3 4   5   c = 6
//! ```
//!
//! | file | what |
//! |---|---|
//! | `peaks` | [`Peaks`]: what appending and computing roots needs, 48 hashes at most |
//! | `source` | paths of proofs from stored nodes, O(log n) of them |
//! | `proof` | [`InclusionProof`], [`ConsistencyProof`]: verified without any workspace |
//! | `json` | both as JSON (M-8) |
//! | `salts` | [`SaltTree`], [`SaltCursor`]: the salts of all entries, and how to erase some |
//!
//! Normative: `format-spec.md`, sections 7 and 8.

mod json;
mod peaks;
mod proof;
mod salts;
mod source;

pub use self::{
    peaks::{PEAK_COUNT_MAX, Peaks},
    proof::{
        CONSISTENCY_PATH_LEN_MAX, ConsistencyProof, INCLUSION_PATH_LEN_MAX, InclusionProof,
        ProofError,
    },
    salts::{SALT_LEN, SaltCursor, SaltError, SaltTree},
    source::{NodeSource, consistency_path, inclusion_path, peaks_at},
};

#[cfg(test)]
mod tests;

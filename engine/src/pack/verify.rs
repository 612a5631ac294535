//! From a chunk up to the id (K-6), with nodes from a table that nobody trusts yet.

use std::ops::Range;

use super::{
    Codec, TABLE_FANOUT, TableShape, chunk_count, chunk_len,
    tree::{chunk_cv, merge_level, merge_root},
};
use crate::bytes::Hash;

/// How many groups of nodes are kept: 512 KiB at most. The lowest ones stand for 1 GiB of content.
const GROUP_COUNT_MAX: usize = 64;

/// Why a chunk could not be verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError<E> {
    /// The nodes could not be had.
    #[error("{0}")]
    Fetch(E),
    /// The nodes of a group do not lead to their parent: the table is damaged there.
    #[error("group {group} of level {level} of the table is not what the id stands for")]
    Group {
        /// The level, from 0.
        level: u32,
        /// The group: nodes from 256 times this.
        group: u64,
    },
    /// The chunk is not what its chaining value stands for.
    #[error("chunk {0} is not what the id stands for")]
    Chunk(u64),
}

/// A group of nodes that was verified.
#[derive(Clone, Debug)]
struct Group {
    level: u32,
    number: u64,
    nodes: Vec<Hash>,
    /// When it was last needed, in lookups.
    used: u64,
}

/// Verifies chunks of one content against its id.
///
/// Each group of up to 256 nodes is checked against its parent when it is first needed and is then
/// kept, as long as there is room: the 64 groups last used. Whoever reads on, or again and again in
/// the same GiB, fetches and checks each group once.
#[derive(Clone, Debug)]
pub struct Verifier {
    id: Hash,
    size: u64,
    shape: TableShape,
    groups: Vec<Group>,
    lookups: u64,
}

impl Verifier {
    /// A verifier of the content of `size` bytes that has this id.
    pub const fn new(id: Hash, size: u64) -> Self {
        // Where the nodes are does not depend on the codec.
        let shape = TableShape { chunk_count: chunk_count(size), codec: Codec::Stored };
        Self { id, size, shape, groups: Vec::new(), lookups: 0 }
    }

    /// Checks the bytes of a chunk; those of a content of at most one chunk are chunk 0.
    ///
    /// `nodes` gives the nodes of a level of the table, at most 256 at once: it is asked for whole groups
    /// only. Cost: hashing the chunk, and 255 compressions for each group that is not kept.
    ///
    /// # Errors
    ///
    /// See [`VerifyError`]. [`VerifyError::Chunk`] also if the chunk has another length, or there is no
    /// such chunk.
    pub fn verify_chunk<E>(
        &mut self,
        chunk: u64,
        bytes: &[u8],
        nodes: impl FnMut(u32, Range<u64>) -> Result<Vec<Hash>, E>,
    ) -> Result<(), VerifyError<E>> {
        if chunk >= self.shape.chunk_count.max(1) || bytes.len() != chunk_len(self.size, chunk) {
            return Err(VerifyError::Chunk(chunk));
        }
        let is_sound = if self.shape.chunk_count <= 1 {
            blake3::hash(bytes) == *self.id.as_bytes()
        } else {
            self.expected(chunk, nodes)? == chunk_cv(chunk, bytes)
        };
        if is_sound { Ok(()) } else { Err(VerifyError::Chunk(chunk)) }
    }

    /// The chaining value of a chunk, verified against the id, of a content of more than one chunk.
    ///
    /// `nodes` as for [`Verifier::verify_chunk`].
    ///
    /// # Errors
    ///
    /// See [`VerifyError`]. A wrong number of nodes is an error like wrong nodes.
    ///
    /// # Panics
    ///
    /// If there is no such chunk, or no other one: then there are no chaining values to verify.
    pub fn expected<E>(
        &mut self,
        chunk: u64,
        mut nodes: impl FnMut(u32, Range<u64>) -> Result<Vec<Hash>, E>,
    ) -> Result<Hash, VerifyError<E>> {
        assert!(self.shape.chunk_count > 1, "a single chunk is verified by its hash");
        assert!(chunk < self.shape.chunk_count, "a chunk of the content");
        self.lookups += 1;
        // From the lowest group that is known down to the chunk's own. Those above it count as used too:
        // otherwise who reads on would lose them first.
        let mut level = self.shape.level_count();
        let mut parent = None;
        for above in (0..level).rev() {
            if let Some(node) = self.known(above, chunk / TABLE_FANOUT.pow(above)) {
                (level, parent) = (above, Some(node));
            }
        }
        while level > 0 {
            level -= 1;
            let node = chunk / TABLE_FANOUT.pow(level);
            let group = node / TABLE_FANOUT;
            let start = group * TABLE_FANOUT;
            let range = start..self.shape.level_len(level).min(start + TABLE_FANOUT);
            let found = nodes(level, range.clone()).map_err(VerifyError::Fetch)?;
            let leads_up = found.len() as u64 == range.end - range.start
                && match parent {
                    Some(parent) => merge_level(&found) == parent,
                    None => merge_root(&found) == self.id,
                };
            if !leads_up {
                return Err(VerifyError::Group { level, group });
            }
            parent = Some(found[in_group(node)]);
            self.keep(Group { level, number: group, nodes: found, used: self.lookups });
        }
        Ok(parent.expect("there is a level, or the node was known"))
    }

    /// A node whose group was verified before.
    fn known(&mut self, level: u32, node: u64) -> Option<Hash> {
        let number = node / TABLE_FANOUT;
        let group = self.groups.iter_mut().find(|it| (it.level, it.number) == (level, number))?;
        group.used = self.lookups;
        Some(group.nodes[in_group(node)])
    }

    fn keep(&mut self, group: Group) {
        if self.groups.len() < GROUP_COUNT_MAX {
            self.groups.push(group);
        } else if let Some(oldest) = self.groups.iter_mut().min_by_key(|it| (it.used, it.level)) {
            *oldest = group;
        }
    }
}

/// The place of a node in its group.
fn in_group(node: u64) -> usize {
    usize::try_from(node % TABLE_FANOUT).expect("a group is small")
}

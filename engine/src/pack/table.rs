//! The table of a record (K-5): chaining values, and where chunks end.

use super::{CHUNK_LEN, Codec, TABLE_FANOUT, tree};
use crate::bytes::{Hash, Put as _};

/// Levels of the table of the largest asset.
const LEVEL_COUNT_MAX: u32 = 4;
const _: () = assert!(
    super::chunk_count(super::ASSET_SIZE_MAX) <= TABLE_FANOUT.pow(LEVEL_COUNT_MAX),
    "the highest level is one group"
);
const HASH_LEN: u64 = Hash::LEN as u64;
const END_LEN: u64 = 8;
const GROUP_LEN: usize = 256 * Hash::LEN;
const _: () = assert!(GROUP_LEN as u64 == TABLE_FANOUT * HASH_LEN);

/// Where things are in a table. Offsets count from its start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TableShape {
    /// Number of chunks of the content.
    pub chunk_count: u64,
    /// How they stand in the data.
    pub codec: Codec,
}

impl TableShape {
    /// Number of levels: 0 with at most one chunk, 1 with at most 256, 4 at most.
    pub const fn level_count(&self) -> u32 {
        if self.chunk_count <= 1 {
            return 0;
        }
        // Not more than one group is left of a level that a fanout to the power of its number covers.
        let mut level = 0;
        let mut nodes = self.chunk_count;
        while nodes > TABLE_FANOUT {
            nodes = nodes.div_ceil(TABLE_FANOUT);
            level += 1;
        }
        level + 1
    }

    /// Number of nodes of a level; 0 if there is no such level.
    pub const fn level_len(&self, level: u32) -> u64 {
        if level >= self.level_count() {
            return 0;
        }
        self.chunk_count.div_ceil(TABLE_FANOUT.pow(level))
    }

    /// Offset of node `j` of a level.
    pub fn node_offset(&self, level: u32, j: u64) -> u64 {
        let below = (0..level).map(|level| self.level_len(level));
        below.fold(j, u64::saturating_add).saturating_mul(HASH_LEN)
    }

    /// Offset of the ends of chunks; the length of the table if it has none.
    ///
    /// The end of chunk i is a u64 at 8 i from here; see
    /// [`RecordHeader::chunk_place`](super::RecordHeader::chunk_place).
    pub fn ends_offset(&self) -> u64 {
        self.node_offset(self.level_count(), 0)
    }

    /// Length of the table, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "it is a length of bytes, not of a collection")]
    pub fn len(&self) -> u64 {
        let ends = match self.codec {
            Codec::Stored => 0,
            Codec::Zstd => self.chunk_count.saturating_mul(END_LEN),
        };
        self.ends_offset().saturating_add(ends)
    }
}

/// Builds a table chunk by chunk. Holds the table, and little else.
#[derive(Clone, Debug)]
pub struct TableBuilder {
    codec: Codec,
    chunk_count: u64,
    data_len: u64,
    /// Nodes as bytes. Level 0 becomes the table in place, as it is nearly all of it. A level above
    /// holds a node for each full group below that something follows.
    levels: Vec<Vec<u8>>,
    /// Offsets in the data behind each chunk, encoded; empty with `Codec::Stored`.
    ends: Vec<u8>,
}

impl TableBuilder {
    /// A table of no chunks yet.
    pub fn new(codec: Codec) -> Self {
        Self { codec, chunk_count: 0, data_len: 0, levels: vec![Vec::new()], ends: Vec::new() }
    }

    /// Adds the next chunk: its chaining value, and how many bytes it takes in the data.
    ///
    /// Cost: constant; 255 times one compression for 256 chunks.
    pub fn push(&mut self, chunk_cv: Hash, stored_len: u32) {
        self.chunk_count += 1;
        self.data_len += u64::from(stored_len);
        if self.codec == Codec::Zstd {
            self.ends.put_u64(self.data_len);
        }
        self.push_node(0, chunk_cv);
    }

    /// Adds a node to a level; before that, to the one above what stands for a group that is full.
    fn push_node(&mut self, level: usize, mut node: Hash) {
        for nodes in &mut self.levels[level..] {
            let is_full = !nodes.is_empty() && nodes.len().is_multiple_of(GROUP_LEN);
            let above = is_full.then(|| merge_bytes(&nodes[nodes.len() - GROUP_LEN..]));
            nodes.put(node.as_bytes());
            match above {
                Some(above) => node = above,
                None => return,
            }
        }
        self.levels.push(node.as_bytes().to_vec());
    }

    /// How many chunks there are so far.
    pub const fn chunk_count(&self) -> u64 {
        self.chunk_count
    }

    /// How many bytes they take in the data.
    pub const fn data_len(&self) -> u64 {
        self.data_len
    }

    /// How chunks stand in the data.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The same chunks with [`Codec::Stored`]: for a content of which zstd made no chunk shorter, so
    /// that `data_len` is its size.
    #[must_use]
    pub fn into_stored(self) -> Self {
        Self { codec: Codec::Stored, ends: Vec::new(), ..self }
    }

    /// The table and the id of the content.
    ///
    /// `short` is the whole content if that is at most one chunk: its id is its plain hash. Otherwise it
    /// is not looked at.
    ///
    /// # Panics
    ///
    /// If `short` is needed and does not have as many chunks as were added.
    pub fn finish(mut self, short: &[u8]) -> (Vec<u8>, Hash) {
        if self.chunk_count <= 1 {
            let chunk_count = u64::from(!short.is_empty());
            assert!(short.len() <= CHUNK_LEN, "a short content has at most one chunk");
            assert!(self.chunk_count == chunk_count, "the short content is what was added");
            return (self.ends, Hash::from_bytes(blake3::hash(short).into()));
        }
        // The last group of a level is not full, or nothing followed it yet.
        let mut level = 0;
        while self.levels[level].len() > GROUP_LEN {
            let nodes = &self.levels[level];
            let last = (nodes.len() - 1) / GROUP_LEN * GROUP_LEN;
            let above = merge_bytes(&nodes[last..]);
            level += 1;
            self.push_node(level, above);
        }
        let top: Vec<Hash> = hashes(&self.levels[level]).map(Hash::from_bytes).collect();
        let id = tree::merge_root(&top);
        let mut levels = self.levels.into_iter();
        let mut table = levels.next().unwrap_or_default();
        table.extend(levels.flatten());
        table.append(&mut self.ends);
        (table, id)
    }
}

fn hashes(nodes: &[u8]) -> impl Iterator<Item = [u8; Hash::LEN]> {
    nodes.as_chunks().0.iter().copied()
}

fn merge_bytes(nodes: &[u8]) -> Hash {
    tree::merge(hashes(nodes))
}

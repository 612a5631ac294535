mod codec;
mod damage;
mod head;
mod lists;
mod proof;
mod record;
mod table;
mod tree;
mod verify;
mod worth;

use std::{cell::Cell, ops::Range};

use super::{
    CHUNK_LEN, ChunkEncoder, Codec, TableBuilder, TableShape, chunk_cv, merge_level, merge_root,
};
use crate::bytes::{Hash, SaltedCrc};

fn crc() -> SaltedCrc {
    SaltedCrc::new(&[0xC5; 16])
}

/// Content that neither repeats nor compresses, the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn id_of(content: &[u8]) -> Hash {
    Hash::from_bytes(blake3::hash(content).into())
}

/// The data, the table and the id of a content.
fn encode(content: &[u8], codec: Codec) -> (Vec<u8>, Vec<u8>, Hash) {
    let mut encoder = ChunkEncoder::new(1);
    let mut table = TableBuilder::new(codec);
    let mut data = Vec::new();
    for (index, chunk) in (0..).zip(content.chunks(CHUNK_LEN)) {
        let stored = match codec {
            Codec::Stored => chunk,
            Codec::Zstd => encoder.encode(chunk),
        };
        data.extend_from_slice(stored);
        table.push(chunk_cv(index, chunk), u32::try_from(stored.len()).unwrap());
    }
    let (table, id) = table.finish(&content[..content.len().min(CHUNK_LEN)]);
    (data, table, id)
}

/// A tree over chunks of which only the chaining values are known, level by level as tables have it.
struct Levels {
    shape: TableShape,
    rows: Vec<Vec<Hash>>,
    id: Hash,
    /// How many nodes were asked for.
    fetched: Cell<u64>,
}

impl Levels {
    fn new(cvs: Vec<Hash>) -> Self {
        let shape = TableShape { chunk_count: cvs.len() as u64, codec: Codec::Stored };
        let mut rows = vec![cvs];
        while rows.last().unwrap().len() > 256 {
            let above = rows.last().unwrap().chunks(256).map(merge_level).collect();
            rows.push(above);
        }
        let id = match rows[0][..] {
            // The id of a single chunk does not follow from its chaining value.
            [_] => Hash::ZERO,
            _ => merge_root(rows.last().unwrap()),
        };
        Self { shape, rows, id, fetched: Cell::new(0) }
    }

    /// Chunks of which nobody knows the bytes.
    fn synthetic(count: u32) -> Self {
        let cv = |i: u32| Hash::from_bytes(*blake3::hash(&i.to_le_bytes()).as_bytes());
        Self::new((0..count).map(cv).collect())
    }

    /// A tree over the chunks of `content`.
    fn of(content: &[u8]) -> Self {
        let chunks = (0..).zip(content.chunks(CHUNK_LEN));
        Self::new(chunks.map(|(index, chunk)| chunk_cv(index, chunk)).collect())
    }

    fn node(&self, level: u32, j: u64) -> Hash {
        self.fetched.set(self.fetched.get() + 1);
        self.rows[usize::try_from(level).unwrap()][usize::try_from(j).unwrap()]
    }

    #[expect(clippy::unnecessary_wraps, reason = "what a verifier asks can fail")]
    fn nodes(&self, level: u32, range: Range<u64>) -> Result<Vec<Hash>, &'static str> {
        Ok(range.map(|j| self.node(level, j)).collect())
    }
}

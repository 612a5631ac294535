//! A plain file of compressed blocks: 64 KiB of entries in zstd level 1, with length and CRC-32, one write and one
//! `fdatasync` for each commit, which ends a block. Opening goes from block to block, and looks only into the last one;
//! where the blocks begin is held in memory. One decoded block is kept for reading.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Mutex, MutexGuard, RwLock},
};

use anyhow::{Context as _, Result, ensure};
use zstd::bulk::{Compressor, Decompressor};

use crate::{
    data::Entries,
    engine::{Cache, Engine, Look, Role, Subject, place},
};

/// Bytes before a block: compressed length, checksum of what is compressed, length of what is in it, entries.
const HEADER_LEN: usize = 16;
/// Bytes of entries and their lengths in one block, roughly.
const BLOCK_LEN: usize = 64 << 10;

pub(super) fn subjects() -> Vec<Subject> {
    vec![Subject {
        name: "plain-zstd",
        role: Role::Log,
        packages: &["zstd-sys"],
        source: include_str!("blocks.rs"),
        open: |folder, cache| Ok(Box::new(Blocks::open(folder, cache)?)),
    }]
}

struct Blocks {
    file: File,
    /// Where blocks begin, and the index of their first entry.
    starts: RwLock<Vec<(u64, u64)>>,
    end: Mutex<End>,
    reader: Mutex<Reader>,
    keeps_block: bool,
}

/// The end of the file, and what is to be written there.
struct End {
    len: u64,
    count: u64,
    block: Vec<u8>,
    /// Entries in the block.
    held: u32,
    compressor: Compressor<'static>,
}

/// A decoded block.
struct Reader {
    start: u64,
    block: Vec<u8>,
    /// Where the payloads are in it.
    payloads: Vec<std::ops::Range<usize>>,
    decompressor: Decompressor<'static>,
}

/// What stands before a block.
struct Header {
    compressed: u32,
    crc: u32,
    len: u32,
    count: u32,
}

impl Header {
    fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let field = |at| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Self { compressed: field(0), crc: field(4), len: field(8), count: field(12) }
    }

    fn encode(&self) -> Vec<u8> {
        let fields = [self.compressed, self.crc, self.len, self.count];
        fields.into_iter().flat_map(u32::to_le_bytes).collect()
    }

    fn at(file: &File, start: u64) -> Result<Self> {
        let mut bytes = [0; HEADER_LEN];
        file.read_exact_at(&mut bytes, start)?;
        Ok(Self::decode(&bytes))
    }
}

impl Blocks {
    fn open(folder: &Path, cache: Cache) -> Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false);
        let file = file.open(folder.join("log"))?;
        File::open(folder)?.sync_all()?;
        let mut reader = Reader {
            start: u64::MAX,
            block: Vec::new(),
            payloads: Vec::new(),
            decompressor: Decompressor::new()?,
        };
        let (mut starts, mut len, mut count) = (Vec::new(), 0, 0);
        let allocated = file.metadata()?.len();
        while len + (HEADER_LEN as u64) < allocated {
            let header = Header::at(&file, len)?;
            let next = len + HEADER_LEN as u64 + u64::from(header.compressed);
            if next > allocated || (next == allocated && reader.load(&file, len).is_err()) {
                break;
            }
            starts.push((len, count));
            count += u64::from(header.count);
            len = next;
        }
        file.set_len(len)?;
        let compressor = Compressor::new(1)?;
        let end = End { len, count, block: Vec::new(), held: 0, compressor };
        Ok(Self {
            file,
            starts: RwLock::new(starts),
            end: Mutex::new(end),
            reader: Mutex::new(reader),
            keeps_block: cache != Cache::None,
        })
    }

    fn append<'a>(&self, payloads: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let mut end = self.end.lock().expect("nobody panicked");
        for payload in payloads {
            end.block.extend_from_slice(&u32::try_from(payload.len())?.to_le_bytes());
            end.block.extend_from_slice(payload);
            end.held += 1;
            if end.block.len() >= BLOCK_LEN {
                self.flush(&mut end)?;
            }
        }
        if end.held > 0 {
            self.flush(&mut end)?;
        }
        Ok(self.file.sync_data()?)
    }

    fn flush(&self, end: &mut MutexGuard<'_, End>) -> Result<()> {
        let end = &mut **end;
        let compressed = end.compressor.compress(&end.block)?;
        let header = Header {
            compressed: u32::try_from(compressed.len())?,
            crc: crc32fast::hash(&compressed),
            len: u32::try_from(end.block.len())?,
            count: end.held,
        };
        let mut bytes = header.encode();
        bytes.extend_from_slice(&compressed);
        self.file.write_all_at(&bytes, end.len)?;
        self.starts.write().expect("nobody panicked").push((end.len, end.count));
        end.len += bytes.len() as u64;
        end.count += u64::from(end.held);
        end.block.clear();
        end.held = 0;
        Ok(())
    }
}

impl Reader {
    /// Reads the block that begins at `start`, and checks it.
    fn load(&mut self, file: &File, start: u64) -> Result<()> {
        self.start = u64::MAX;
        let header = Header::at(file, start)?;
        let mut compressed = vec![0; usize::try_from(header.compressed)?];
        file.read_exact_at(&mut compressed, start + HEADER_LEN as u64)?;
        ensure!(crc32fast::hash(&compressed) == header.crc, "a damaged block at {start}");
        self.block = self.decompressor.decompress(&compressed, usize::try_from(header.len)?)?;
        self.payloads.clear();
        let mut at = 0;
        while let Some(len) = self.block.get(at..at + 4) {
            let len = u32::from_le_bytes(len.try_into().expect("four bytes"));
            let payload = at + 4..at + 4 + usize::try_from(len)?;
            at = payload.end;
            self.payloads.push(payload);
        }
        self.start = start;
        Ok(())
    }
}

impl Engine for Blocks {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        self.append(entries.iter())
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        self.append(payloads.iter().copied())
    }

    fn count(&self) -> Result<u64> {
        Ok(self.end.lock().expect("nobody panicked").count)
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        let starts = self.starts.read().expect("nobody panicked");
        let after = starts.partition_point(|(_, first)| *first <= index);
        let (start, first) = starts[after.checked_sub(1).context("there is no such entry")?];
        drop(starts);
        let mut reader = self.reader.lock().expect("nobody panicked");
        if reader.start != start || !self.keeps_block {
            reader.load(&self.file, start)?;
        }
        let payload = reader.payloads.get(place(index - first)?);
        look(&reader.block[payload.context("there is no such entry")?.clone()]);
        Ok(())
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        let starts = self.starts.read().expect("nobody panicked");
        let mut reader = self.reader.lock().expect("nobody panicked");
        for (start, _) in &*starts {
            reader.load(&self.file, *start)?;
            for payload in &reader.payloads {
                look(&reader.block[payload.clone()]);
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.file.sync_all()?)
    }
}

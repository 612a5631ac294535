//! Writing bundles.

use std::io::{self, Write};

use super::{
    BundleRow, BundledLog, FLAG_CRITICAL, HEADER_LEN, HEADER_MAGIC, KIND_BATCH, KIND_END,
    KIND_FRONTIER, KIND_LOG, KIND_PRUNED, RECORD_MAGIC, VERSION_MAJOR,
};
use crate::bytes::{Hash, Put as _, SaltedCrc, WorkspaceId, crc};

/// Writes one bundle. The order of calls is the caller's: frontier, then each log with its batches, then the end.
#[derive(Debug)]
pub struct BundleWriter<W> {
    out: W,
    crc: SaltedCrc,
    hasher: blake3::Hasher,
    sequence: u64,
    written: u64,
}

impl<W: Write> BundleWriter<W> {
    /// Starts a bundle of `workspace`; `bundle` is a random number, `writer` names the program.
    ///
    /// # Errors
    ///
    /// Those of `out`; so it is for all methods here.
    pub fn new(out: W, workspace: WorkspaceId, bundle: [u8; 16], writer: &str) -> io::Result<Self> {
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.put(&HEADER_MAGIC);
        header.put_u16(VERSION_MAJOR);
        header.put_u16(0);
        header.put_u32(0);
        header.put_u64(0);
        header.put_u64(0);
        header.put(workspace.as_bytes());
        header.put(&bundle);
        header.put(&writer.as_bytes()[..writer.floor_char_boundary(24)]);
        header.pad_to(HEADER_LEN - 4);
        let checksum = crc(&header);
        header.put_u32(checksum);
        let mut this = Self {
            out,
            crc: SaltedCrc::new(&bundle),
            hasher: blake3::Hasher::new(),
            sequence: 0,
            written: 0,
        };
        this.write(&header)?;
        Ok(this)
    }

    /// Says what the bundle holds.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn frontier(&mut self, rows: &[BundleRow]) -> io::Result<()> {
        self.record(KIND_FRONTIER, &BundleRow::encode_all(rows))
    }

    /// Starts the batches of a log.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn log(&mut self, log: &BundledLog) -> io::Result<()> {
        self.record(KIND_LOG, &log.encode())?;
        log.prune_record.as_ref().map_or(Ok(()), |record| self.record(KIND_PRUNED, record))
    }

    /// Adds an encoded batch.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn batch(&mut self, batch: &[u8]) -> io::Result<()> {
        self.record(KIND_BATCH, batch)
    }

    /// Ends the bundle; returns its length in bytes.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<u64> {
        let mut end = Vec::new();
        end.put_u64(self.sequence);
        end.put(Hash::from_bytes(self.hasher.finalize().into()).as_bytes());
        self.record(KIND_END, &end)?;
        self.out.flush()?;
        Ok(self.written)
    }

    fn record(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let len = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut header = Vec::new();
        header.put(&RECORD_MAGIC);
        header.put_u8(kind);
        header.put_u8(FLAG_CRITICAL);
        header.put_u16(0);
        header.put_u64(self.sequence);
        header.put_u32(len);
        header.put_u32(self.crc.crc(payload));
        header.put_u32(0);
        let checksum = self.crc.crc(&header);
        header.put_u32(checksum);
        self.sequence += 1;
        self.write(&header)?;
        self.write(payload)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

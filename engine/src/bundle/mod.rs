//! Bundles: batches and their frontier as one stream of bytes. Normative: `format-spec.md` U-1 to U-6.
//!
//! ```text
//! offset  size  field of a record's header
//!      0     4  magic        "ANR1"
//!      4     1  kind         1 frontier, 2 log, 3 batch, 4 end
//!      5     1  flags        1 critical
//!      6     2  zero
//!      8     8  sequence     of the record, from 0
//!     16     4  payload_len
//!     20     4  payload_crc
//!     24     4  zero
//!     28     4  header_crc
//! ```
//!
//! A bundle is written and read without seeking and without being held in memory: it can come out of a
//! pipe. Its CRCs are bound to a random number of its own, so that records of two bundles never mix.

mod reader;
mod writer;

use crate::{
    bytes::{ClientId, DecodeError, Hash, LogId, Put as _, Reader, Timestamp},
    entry::{FRONTIER_LOG_COUNT_MAX, FrontierRow, LOG_ENTRY_COUNT_MAX},
    log::Predecessor,
    merkle::Peaks,
};

pub use self::{
    reader::{BundleError, BundleReader, Record},
    writer::BundleWriter,
};

const HEADER_LEN: usize = 96;
const RECORD_HEADER_LEN: usize = 32;
const HEADER_MAGIC: [u8; 8] = [0x89, b'A', b'N', b'L', b'B', 0x0D, 0x0A, 0x1A];
const RECORD_MAGIC: [u8; 4] = *b"ANR1";
const VERSION_MAJOR: u16 = 1;
const FLAG_CRITICAL: u8 = 1;
const END_LEN: usize = 8 + Hash::LEN;

const KIND_FRONTIER: u8 = 1;
const KIND_LOG: u8 = 2;
const KIND_BATCH: u8 = 3;
const KIND_END: u8 = 4;
const KIND_PRUNED: u8 = 5;

/// What a bundle holds of one log: the entries `from` to `row.size - 1`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BundleRow {
    /// Where the log ends with the bundle.
    pub row: FrontierRow,
    /// Index of the first entry in the bundle.
    pub from: u64,
}

impl BundleRow {
    /// Encoded size, in bytes.
    pub const LEN: usize = FrontierRow::LEN + 8;

    fn encode_all(rows: &[Self]) -> Vec<u8> {
        let mut out = Vec::with_capacity(rows.len() * Self::LEN);
        for row in rows {
            row.row.encode(&mut out);
            out.put_u64(row.from);
        }
        out
    }

    fn decode_all(payload: &[u8]) -> Result<Vec<Self>, DecodeError> {
        if !payload.len().is_multiple_of(Self::LEN)
            || payload.len() / Self::LEN > FRONTIER_LOG_COUNT_MAX
        {
            return Err(DecodeError::Trailing);
        }
        let mut reader = Reader::new(payload);
        let mut rows: Vec<Self> = Vec::with_capacity(payload.len() / Self::LEN);
        while !reader.rest().is_empty() {
            let row = Self { row: FrontierRow::decode(&mut reader)?, from: reader.u64()? };
            let in_order = rows.last().is_none_or(|last| last.row.log < row.row.log);
            if !in_order || row.from > row.row.size {
                return Err(DecodeError::Reserved);
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

/// What a replica needs to know of a log beside its batches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BundledLog {
    /// The client that writes it.
    pub client: ClientId,
    /// The log.
    pub log: LogId,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// The log that it continues.
    pub predecessor: Option<Predecessor>,
    /// The tree of the entries before those in the bundle.
    pub peaks: Peaks,
    /// The salt record (P-3), encoded.
    pub salt_record: Vec<u8>,
    /// The prune record (H-10), encoded, of a log that begins where the bundle begins.
    pub prune_record: Option<Vec<u8>>,
}

impl BundledLog {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(self.client.as_bytes());
        out.put(self.log.as_bytes());
        out.put_i64(Timestamp::encode(self.created));
        Predecessor::encode(self.predecessor.as_ref(), &mut out);
        out.put_u32(self.peaks.size().count_ones());
        self.peaks.hashes().iter().for_each(|peak| out.put(peak.as_bytes()));
        out.put(&self.salt_record);
        out
    }

    /// Decodes the record of a log whose entries start at `from`.
    fn decode(payload: &[u8], from: u64) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let client = ClientId::from_bytes(reader.array()?);
        let log = LogId::from_bytes(reader.array()?);
        let created = Timestamp::decode(reader.i64()?);
        let predecessor = Predecessor::decode(&mut reader)?;
        let peak_count = reader.u32()?;
        if from > LOG_ENTRY_COUNT_MAX || peak_count != from.count_ones() {
            return Err(DecodeError::Reserved);
        }
        let mut peaks = Vec::with_capacity(peak_count as usize);
        for _ in 0..peak_count {
            peaks.push(Hash::from_bytes(reader.array()?));
        }
        let peaks = Peaks::from_parts(from, &peaks).ok_or(DecodeError::Reserved)?;
        Ok(Self {
            client,
            log,
            created,
            predecessor,
            peaks,
            salt_record: reader.rest().to_vec(),
            prune_record: None,
        })
    }
}

#[cfg(test)]
mod tests;

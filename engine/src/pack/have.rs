//! Which chunks of a partial asset are here (K-13): the journal `.have`.
//!
//! ```text
//! offset  size  field
//!      0     8  magic        89 "ANLH" 0D 0A 1A
//!      8     8  size         of the content
//!     16    32  id
//!     48    16  salt
//!     64     4  crc          of the 64 bytes before, not salted
//!     68     4               zero
//!
//!      0     8  first_chunk  of a row
//!      8     4  chunk_count  1 to 256
//!     12     4  crc          salted CRC of the 12 bytes before and the hashes behind
//!     16     .  chaining values, 32 bytes each
//! ```
//!
//! Rows end at the first one that is short or wrong. That is where the next one is written.

use super::{ASSET_SIZE_MAX, TABLE_FANOUT, chunk_count};
use crate::bytes::{DecodeError, Hash, Put as _, Reader, SaltedCrc, crc, fixed};

const MAGIC: [u8; 8] = [0x89, b'A', b'N', b'L', b'H', 0x0D, 0x0A, 0x1A];
const CRC_OFFSET: usize = 64;
const ROW_FIELDS_LEN: usize = 12;
const ROW_HEAD_LEN: usize = ROW_FIELDS_LEN + 4;

/// Length of the header of a journal, in bytes; the first row starts here.
pub const HAVE_HEADER_LEN: usize = CRC_OFFSET + 8;
/// Most chunks of one row.
pub const HAVE_ROW_CHUNK_COUNT_MAX: usize = 256;
/// Longest row, in bytes.
pub const HAVE_ROW_LEN_MAX: usize = ROW_HEAD_LEN + HAVE_ROW_CHUNK_COUNT_MAX * Hash::LEN;

const _: () = assert!(HAVE_ROW_CHUNK_COUNT_MAX as u64 == TABLE_FANOUT);

/// Why a journal cannot be used. What is wrong with a row is no error: rows end there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HaveError {
    /// Not such a journal at all.
    #[error("not a journal of a partial asset (wrong magic)")]
    Foreign,
    /// The header fails its checksum.
    #[error("bad checksum of a journal of a partial asset")]
    Crc,
    /// The checksum is right, the fields are not.
    #[error("malformed journal of a partial asset")]
    Malformed,
}

impl From<DecodeError> for HaveError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

/// What a journal is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HaveHeader {
    /// Size of the content, in bytes.
    pub size: u64,
    /// Id of the asset.
    pub id: Hash,
    /// Seeds the checksums of rows.
    pub salt: [u8; 16],
}

/// Chunks that were verified and are durable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HaveRow {
    /// The first one.
    pub first_chunk: u64,
    /// Chaining values of this and the following ones, 1 to 256.
    pub cvs: Vec<Hash>,
}

impl HaveHeader {
    /// CRCs seeded with the journal's salt.
    pub fn crc(&self) -> SaltedCrc {
        SaltedCrc::new(&self.salt)
    }

    /// Encodes the header.
    pub fn encode(&self) -> [u8; HAVE_HEADER_LEN] {
        fixed(|out| {
            out.put(&MAGIC);
            out.put_u64(self.size);
            out.put(self.id.as_bytes());
            out.put(&self.salt);
            out.put_u32(crc(out));
            out.put_u32(0);
        })
    }

    /// Decodes the header of a journal.
    ///
    /// # Errors
    ///
    /// See [`HaveError`].
    pub fn decode(bytes: &[u8; HAVE_HEADER_LEN]) -> Result<Self, HaveError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(HaveError::Foreign);
        }
        let header = Self {
            size: reader.u64()?,
            id: Hash::from_bytes(reader.array()?),
            salt: reader.array()?,
        };
        if reader.u32()? != crc(&bytes[..CRC_OFFSET]) {
            return Err(HaveError::Crc);
        }
        reader.zeros(4)?;
        if header.size > ASSET_SIZE_MAX {
            return Err(HaveError::Malformed);
        }
        Ok(header)
    }

    /// Decodes the row at the start of `bytes`; also returns its length. `None` where rows end: it is
    /// short or wrong, or names chunks that the content does not have.
    pub fn decode_row(&self, bytes: &[u8]) -> Option<(HaveRow, usize)> {
        let mut reader = Reader::new(bytes);
        let first_chunk = reader.u64().ok()?;
        let count = reader.u32().ok()?;
        let checksum = reader.u32().ok()?;
        let len = usize::try_from(count).ok().filter(|len| (1..=256).contains(len))?;
        let hashes = reader.take(len * Hash::LEN).ok()?;
        let end = first_chunk.checked_add(count.into())?;
        let crc = self.crc().bound_to(&bytes[..ROW_FIELDS_LEN]);
        if crc.crc(hashes) != checksum || end > chunk_count(self.size) {
            return None;
        }
        let cvs = hashes.as_chunks().0.iter().map(|hash| Hash::from_bytes(*hash)).collect();
        Some((HaveRow { first_chunk, cvs }, ROW_HEAD_LEN + hashes.len()))
    }
}

impl HaveRow {
    /// Encodes the row for the journal with these salted CRCs.
    ///
    /// # Panics
    ///
    /// If the row has no chunks, or more than [`HAVE_ROW_CHUNK_COUNT_MAX`].
    pub fn encode(&self, crc: SaltedCrc) -> Vec<u8> {
        assert!(
            (1..=HAVE_ROW_CHUNK_COUNT_MAX).contains(&self.cvs.len()),
            "a row has 1 to {HAVE_ROW_CHUNK_COUNT_MAX} chunks"
        );
        let mut out = Vec::with_capacity(ROW_HEAD_LEN + self.cvs.len() * Hash::LEN);
        out.put_u64(self.first_chunk);
        out.put_u32(u32::try_from(self.cvs.len()).expect("checked above"));
        let crc = crc.bound_to(&out);
        out.pad_to(ROW_HEAD_LEN);
        for cv in &self.cvs {
            out.put(cv.as_bytes());
        }
        let checksum = crc.crc(&out[ROW_HEAD_LEN..]);
        out[ROW_FIELDS_LEN..ROW_HEAD_LEN].copy_from_slice(&checksum.to_le_bytes());
        out
    }
}

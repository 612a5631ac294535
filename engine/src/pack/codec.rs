//! Single chunks with zstd (K-4).

use zstd::bulk::{Compressor, Decompressor};

use super::CHUNK_LEN;
use crate::batch::zstd_frame::{self, FrameFault};

/// Shortest chunk, in bytes, that is worth a try with zstd: its frame alone takes 9 bytes.
const COMPRESS_LEN_MIN: usize = 64;

/// Why stored bytes are not the chunk that was expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// More bytes than the chunk has, or none.
    #[error("a chunk cannot be stored in so many bytes")]
    StoredLen,
    /// Not exactly one zstd frame.
    #[error("the chunk is not one zstd frame")]
    ZstdFrame,
    /// The frame needs a dictionary.
    #[error("the chunk needs a dictionary")]
    Dictionary,
    /// The frame does not decompress, at least not within the length of the chunk.
    #[error("the chunk cannot be decompressed to its length")]
    Zstd,
    /// The frame decompresses to another length.
    #[error("the chunk decompresses to another length")]
    RawLen,
}

impl From<FrameFault> for ChunkError {
    fn from(fault: FrameFault) -> Self {
        match fault {
            FrameFault::NotOne => Self::ZstdFrame,
            FrameFault::Dictionary => Self::Dictionary,
            FrameFault::Content => Self::Zstd,
            FrameFault::RawLen => Self::RawLen,
        }
    }
}

/// Compresses chunks. Keeps its zstd context and room for one chunk.
pub struct ChunkEncoder {
    compressor: Compressor<'static>,
    frame: Vec<u8>,
}

impl std::fmt::Debug for ChunkEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkEncoder").finish_non_exhaustive()
    }
}

impl ChunkEncoder {
    /// An encoder that compresses with zstd's `level`; one that zstd does not have becomes the
    /// nearest that it has, and 0 is zstd's default.
    ///
    /// # Panics
    ///
    /// If there is no memory for zstd's context.
    pub fn new(level: i32) -> Self {
        Self { compressor: zstd_frame::compressor(level), frame: Vec::new() }
    }

    /// The bytes that stand for `chunk` in the data: a zstd frame if that is shorter, else itself.
    ///
    /// # Panics
    ///
    /// If `chunk` is longer than [`CHUNK_LEN`].
    pub fn encode<'a>(&'a mut self, chunk: &'a [u8]) -> &'a [u8] {
        assert!(chunk.len() <= CHUNK_LEN, "a chunk has at most {CHUNK_LEN} bytes");
        if chunk.len() < COMPRESS_LEN_MIN {
            return chunk;
        }
        self.frame.clear();
        self.frame.reserve(zstd::zstd_safe::compress_bound(CHUNK_LEN));
        // zstd fails only for want of memory: then, too, the chunk can be stored.
        match self.compressor.compress_to_buffer(chunk, &mut self.frame) {
            Ok(len) if len < chunk.len() => &self.frame,
            _ => chunk,
        }
    }
}

/// Decompresses chunks. Keeps its zstd context.
#[derive(Default)]
pub struct ChunkDecoder {
    /// Made for the first chunk that needs it.
    decompressor: Option<Decompressor<'static>>,
}

impl std::fmt::Debug for ChunkDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkDecoder").finish_non_exhaustive()
    }
}

impl ChunkDecoder {
    /// A decoder. It takes memory when it is first used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces `out` by the chunk of `raw_len` bytes that is `stored` in the data of a record with
    /// [`Codec::Zstd`](super::Codec::Zstd). It is not verified yet.
    ///
    /// # Errors
    ///
    /// See [`ChunkError`]; `out` may then hold anything, and never more than `raw_len` bytes.
    ///
    /// # Panics
    ///
    /// If `raw_len` is more than [`CHUNK_LEN`].
    pub fn decode(
        &mut self,
        stored: &[u8],
        raw_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ChunkError> {
        assert!(raw_len <= CHUNK_LEN, "a chunk has at most {CHUNK_LEN} bytes");
        if stored.is_empty() || stored.len() > raw_len {
            return Err(ChunkError::StoredLen);
        }
        if stored.len() == raw_len {
            stored.clone_into(out);
            return Ok(());
        }
        let decompressor = self.decompressor.get_or_insert_default();
        Ok(zstd_frame::decompress(decompressor, stored, raw_len, out)?)
    }
}

//! Reading batches.

use zstd::bulk::Decompressor;

use super::{
    Batch, BatchError, BatchHeader, BatchMeta, Codec, Section,
    header::{SectionHeader, absent_extension},
    zstd_frame::{self, FrameFault},
};
use crate::bytes::Reader;

/// Decodes batches. Keeps its zstd context and scratch memory, at most `BATCH_META_LEN_MAX` bytes.
#[derive(Default)]
pub struct Decoder {
    /// Made for the first section that needs it: to open a log, most of the time none does.
    decompressor: Option<Decompressor<'static>>,
    meta: Vec<u8>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder. It takes memory as it is used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes a batch and checks it against all of B-1 to B-7.
    ///
    /// `bytes` are exactly one batch. Allocates the payload section once, and 1 to 8 bytes for
    /// each entry and column that is neither constant nor linear.
    ///
    /// # Errors
    ///
    /// [`BatchError::Unsupported`] for what only a later version can read, the broken rule
    /// otherwise.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Batch, BatchError> {
        let (meta, payload) = self.split(bytes)?;
        let mut payloads = Vec::new();
        let SectionHeader { codec, raw_len, .. } = meta.header().payload;
        match codec {
            Codec::Stored => payload.clone_into(&mut payloads),
            Codec::Zstd => decompress(
                self.decompressor.get_or_insert_default(),
                Section::Payload,
                payload,
                raw_len as usize,
                &mut payloads,
            )?,
        }
        Ok(Batch::new(meta, payloads))
    }

    /// Decodes the header and the columns of a batch, and leaves the payloads alone.
    ///
    /// `bytes` are exactly one batch; the payload section is only measured.
    ///
    /// # Errors
    ///
    /// As for [`Decoder::decode`], but for what is wrong inside of the payload section.
    pub fn decode_meta(&mut self, bytes: &[u8]) -> Result<BatchMeta, BatchError> {
        self.split(bytes).map(|(meta, _)| meta)
    }

    /// Decodes all but the payload section, and returns that as it stands.
    fn split<'a>(&mut self, bytes: &'a [u8]) -> Result<(BatchMeta, &'a [u8]), BatchError> {
        let header = BatchHeader::decode(bytes)?;
        let mut reader = Reader::new(bytes);
        reader.take(BatchHeader::LEN)?;
        let extensions = reader.take(header.extension_len as usize)?;
        let meta = reader.take(header.meta.len as usize)?;
        let payload = reader.take(header.payload.len as usize)?;
        reader.finish()?;

        let absent = absent_extension(extensions)?;
        let meta = match header.meta.codec {
            Codec::Stored => meta,
            Codec::Zstd => {
                let raw_len = header.meta.raw_len as usize;
                let decompressor = self.decompressor.get_or_insert_default();
                decompress(decompressor, Section::Meta, meta, raw_len, &mut self.meta)?;
                &self.meta
            }
        };
        Ok((BatchMeta::decode(header, meta, absent)?, payload))
    }
}

/// Replaces `out` by the `raw_len` bytes that the section `frame`, one zstd frame, decompresses to (B-2).
pub(super) fn decompress(
    decompressor: &mut Decompressor<'static>,
    section: Section,
    frame: &[u8],
    raw_len: usize,
    out: &mut Vec<u8>,
) -> Result<(), BatchError> {
    zstd_frame::decompress(decompressor, frame, raw_len, out).map_err(|fault| match fault {
        FrameFault::NotOne => BatchError::ZstdFrame(section),
        FrameFault::Dictionary => BatchError::Dictionary(section),
        FrameFault::Content => BatchError::Zstd(section),
        FrameFault::RawLen => BatchError::RawLen(section),
    })
}

//! Record headers (K-2, K-3): what a record holds, and where its parts are.

use std::ops::Range;

use super::{
    ASSET_SIZE_MAX, CHUNK_LEN, CHUNK_LOG2, DATA_PAD_MAX, LaterVersion, PACK_HEAD_LEN, RECORD_ALIGN,
    RECORD_FOOTER_LEN, RECORD_HEADER_LEN, RecordError, TableShape, chunk_count, chunk_len,
};
use crate::bytes::{Hash, Put as _, Reader, SaltedCrc, fixed};

const MAGIC: [u8; 4] = *b"ANK1";
const CRC_OFFSET: usize = RECORD_HEADER_LEN - 4;
const FLAG_CRITICAL: u8 = 1;
/// No file is that long: offsets of the parts of a record below it do not overflow.
const OFFSET_MAX: u64 = 1 << 62;

/// What a record is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordKind {
    /// The content of an asset.
    Asset,
    /// Says that another record no longer counts (K-8).
    Drop,
    /// The end of a pack that was closed (K-8).
    Mark,
    /// One of a later version. It has data, and no table.
    Other(u8),
}

impl RecordKind {
    const fn encode(self) -> u8 {
        match self {
            Self::Asset => 1,
            Self::Drop => 2,
            Self::Mark => 3,
            Self::Other(kind) => kind,
        }
    }

    const fn decode(kind: u8) -> Self {
        match kind {
            1 => Self::Asset,
            2 => Self::Drop,
            3 => Self::Mark,
            _ => Self::Other(kind),
        }
    }
}

/// How the chunks of an asset stand in the data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Codec {
    /// As they are: the data is the content.
    Stored,
    /// Each as a zstd frame, or as it is where that would not be shorter.
    Zstd,
}

impl Codec {
    const fn encode(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Zstd => 1,
        }
    }
}

/// A record header that was found valid at its offset, or that is about to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecordHeader {
    /// What the record is.
    pub kind: RecordKind,
    /// A reader that does not know the kind must not go on.
    pub critical: bool,
    /// How the chunks of an asset stand in the data; `Stored` for other kinds.
    pub codec: Codec,
    /// Zeros between the header and the data, in bytes.
    pub data_pad: u32,
    /// Offset of the record in its file.
    pub offset: u64,
    /// Offset below which the file was known to be durable when the record was built.
    pub synced_upto: u64,
    /// Id of the asset; of a mark zero.
    pub id: Hash,
    /// Size of the content, in bytes. Of a drop the number of a pack: see [`RecordHeader::dropped`].
    pub size: u64,
    /// Length of the data. Of a drop an offset in that pack: see [`RecordHeader::dropped`].
    pub data_len: u64,
}

impl RecordHeader {
    /// The header of an asset of `size` bytes that take `data_len` bytes with `codec`.
    pub const fn asset(id: Hash, size: u64, codec: Codec, data_len: u64, data_pad: u32) -> Self {
        Self { codec, data_pad, id, size, data_len, ..Self::bare(RecordKind::Asset) }
    }

    /// A drop of the record of `id` at `offset` of the shared pack `number`.
    pub const fn drop_of(id: Hash, number: u64, offset: u64) -> Self {
        Self { id, size: number, data_len: offset, ..Self::bare(RecordKind::Drop) }
    }

    /// A mark; the place that it is put to (see [`RecordHeader::at`]) must be durable up to itself.
    pub const fn mark() -> Self {
        Self::bare(RecordKind::Mark)
    }

    const fn bare(kind: RecordKind) -> Self {
        Self {
            kind,
            critical: true,
            codec: Codec::Stored,
            data_pad: 0,
            offset: 0,
            synced_upto: 0,
            id: Hash::ZERO,
            size: 0,
            data_len: 0,
        }
    }

    /// The same record at `offset` of a file that is durable below `synced_upto`.
    #[must_use]
    pub const fn at(self, offset: u64, synced_upto: u64) -> Self {
        Self { offset, synced_upto, ..self }
    }

    /// Encodes the header.
    ///
    /// # Panics
    ///
    /// If it would not be valid (K-3): for instance if it was not yet put [`at`](Self::at) a place.
    pub fn encode(&self, crc: SaltedCrc) -> [u8; RECORD_HEADER_LEN] {
        assert!(self.is_well_formed(), "a record header within the rules of its kind");
        fixed(|out| {
            out.put(&MAGIC);
            out.put_u8(self.kind.encode());
            out.put_u8(if self.critical { FLAG_CRITICAL } else { 0 });
            out.put_u8(if self.kind == RecordKind::Asset { CHUNK_LOG2 } else { 0 });
            out.put_u8(self.codec.encode());
            out.put_u32(self.data_pad);
            out.pad_to(16);
            out.put_u64(self.offset);
            out.put_u64(self.synced_upto);
            out.put(self.id.as_bytes());
            out.put_u64(self.size);
            out.put_u64(self.data_len);
            out.pad_to(CRC_OFFSET);
            out.put_u32(crc.crc(out));
        })
    }

    /// Decodes the header at `offset` of a file and checks all of K-3 that concerns it.
    ///
    /// Kinds that are not known are decoded too: whether to skip or to refuse them, `critical` says.
    ///
    /// # Errors
    ///
    /// [`RecordError::Magic`], [`RecordError::HeaderCrc`], [`RecordError::Misplaced`],
    /// [`RecordError::Unsupported`] or [`RecordError::Malformed`]: the first that applies, in this order.
    pub fn decode(
        bytes: &[u8; RECORD_HEADER_LEN],
        offset: u64,
        crc: SaltedCrc,
    ) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(RecordError::Magic);
        }
        if crc.crc(&bytes[..CRC_OFFSET]) != Self::header_crc(bytes) {
            return Err(RecordError::HeaderCrc);
        }
        let kind = RecordKind::decode(reader.u8()?);
        let flags = reader.u8()?;
        let chunk_log2 = reader.u8()?;
        let codec = reader.u8()?;
        let data_pad = reader.u32()?;
        let cipher_suite = reader.u8()?;
        let reserved = reader.zeros(3);
        let record_offset = reader.u64()?;
        if record_offset != offset {
            return Err(RecordError::Misplaced(record_offset));
        }
        let header = Self {
            kind,
            critical: flags & FLAG_CRITICAL != 0,
            codec: decode_format(kind, chunk_log2, codec, cipher_suite)?,
            data_pad,
            offset,
            synced_upto: reader.u64()?,
            id: Hash::from_bytes(reader.array()?),
            size: reader.u64()?,
            data_len: reader.u64()?,
        };
        reserved?;
        reader.zeros(4 + 8)?;
        if flags > FLAG_CRITICAL || !header.is_well_formed() {
            return Err(RecordError::Malformed);
        }
        Ok(header)
    }

    /// The checksum at the end of an encoded header, which the footer repeats.
    pub fn header_crc(encoded: &[u8; RECORD_HEADER_LEN]) -> u32 {
        let [.., a, b, c, d] = *encoded;
        u32::from_le_bytes([a, b, c, d])
    }

    /// Whether all fields are within their limits and fit each other (K-3).
    fn is_well_formed(&self) -> bool {
        let placed = self.offset <= OFFSET_MAX
            && self.offset.is_multiple_of(RECORD_ALIGN)
            && (PACK_HEAD_LEN..=self.offset).contains(&self.synced_upto);
        let fits = match self.kind {
            RecordKind::Asset => {
                let data_fits = match self.codec {
                    Codec::Stored => self.data_len == self.size,
                    Codec::Zstd => self.data_len <= self.size,
                };
                self.critical && self.size <= ASSET_SIZE_MAX && data_fits
            }
            RecordKind::Drop => {
                let (number, offset) = (self.size, self.data_len);
                let is_record = offset >= PACK_HEAD_LEN && offset.is_multiple_of(RECORD_ALIGN);
                self.critical && self.data_pad == 0 && number > 0 && is_record
            }
            RecordKind::Mark => {
                let empty = Self::mark().at(self.offset, self.offset);
                *self == empty
            }
            RecordKind::Other(kind) => {
                RecordKind::decode(kind) == self.kind && self.data_len <= ASSET_SIZE_MAX
            }
        };
        let has_codec = self.kind == RecordKind::Asset || self.codec == Codec::Stored;
        placed && fits && has_codec && self.data_pad <= DATA_PAD_MAX
    }

    /// Of a drop, the number of the pack and the offset of the record in it that no longer counts.
    pub const fn dropped(&self) -> Option<(u64, u64)> {
        match self.kind {
            RecordKind::Drop => Some((self.size, self.data_len)),
            _ => None,
        }
    }

    /// Number of chunks of the content; 0 if the record is not an asset.
    pub const fn chunk_count(&self) -> u64 {
        match self.kind {
            RecordKind::Asset => chunk_count(self.size),
            _ => 0,
        }
    }

    /// Length of chunk `chunk` of the content, in bytes: 0 if there is no such chunk.
    pub fn chunk_len(&self, chunk: u64) -> usize {
        if chunk < self.chunk_count() { chunk_len(self.size, chunk) } else { 0 }
    }

    /// The shape of the table.
    pub const fn shape(&self) -> TableShape {
        TableShape { chunk_count: self.chunk_count(), codec: self.codec }
    }

    /// Length of the table, in bytes.
    pub fn table_len(&self) -> u64 {
        self.shape().len()
    }

    /// Length of the data as it stands in the file, in bytes.
    const fn stored_len(&self) -> u64 {
        match self.kind {
            RecordKind::Asset | RecordKind::Other(_) => self.data_len,
            RecordKind::Drop | RecordKind::Mark => 0,
        }
    }

    /// Length of the whole record, in bytes (K-2).
    pub fn record_len(&self) -> u64 {
        let fixed = (RECORD_HEADER_LEN + RECORD_FOOTER_LEN) as u64 + u64::from(self.data_pad);
        // What was decoded is far from overflowing; fields that somebody made up need not be.
        let len = fixed.saturating_add(self.stored_len()).saturating_add(self.table_len());
        len.checked_next_multiple_of(RECORD_ALIGN).unwrap_or(u64::MAX)
    }

    /// Offset of the data in the file.
    pub fn data_offset(&self) -> u64 {
        self.offset.saturating_add(RECORD_HEADER_LEN as u64 + u64::from(self.data_pad))
    }

    /// Offset of the table in the file: where the data ends.
    pub fn table_offset(&self) -> u64 {
        self.data_offset().saturating_add(self.stored_len())
    }

    /// Offset of the footer in the file.
    pub fn footer_offset(&self) -> u64 {
        self.end_offset().saturating_sub(RECORD_FOOTER_LEN as u64)
    }

    /// Offset of the end of the record in the file: where the next one starts.
    pub fn end_offset(&self) -> u64 {
        self.offset.saturating_add(self.record_len())
    }

    /// Where chunk `chunk` stands in the file.
    ///
    /// `ends` are the offsets in the data behind the chunk before (0 of the first one) and behind this
    /// one, as the table says with [`Codec::Zstd`]. With [`Codec::Stored`] they are not looked at.
    ///
    /// # Errors
    ///
    /// [`RecordError::ChunkEnd`] if a chunk cannot lie there (K-5), or there is no such chunk.
    pub fn chunk_place(&self, chunk: u64, ends: (u64, u64)) -> Result<Range<u64>, RecordError> {
        let raw_len = self.chunk_len(chunk) as u64;
        let (start, end) = match self.codec {
            Codec::Stored => {
                let start = chunk.saturating_mul(CHUNK_LEN as u64);
                (start, start.saturating_add(raw_len))
            }
            Codec::Zstd => ends,
        };
        let is_last = chunk.saturating_add(1) == self.chunk_count();
        let fits = start < end && end - start <= raw_len && end <= self.data_len;
        if !fits || is_last != (end == self.data_len) || (start == 0) != (chunk == 0) {
            return Err(RecordError::ChunkEnd);
        }
        let place = |at| self.data_offset().saturating_add(at);
        Ok(place(start)..place(end))
    }
}

/// Judges what a later version may have changed, before anything else is called malformed (K-3).
fn decode_format(
    kind: RecordKind,
    chunk_log2: u8,
    codec: u8,
    cipher_suite: u8,
) -> Result<Codec, RecordError> {
    if cipher_suite != 0 {
        return Err(LaterVersion::CipherSuite(cipher_suite).into());
    }
    let is_asset = kind == RecordKind::Asset;
    if chunk_log2 != if is_asset { CHUNK_LOG2 } else { 0 } {
        return Err(LaterVersion::ChunkLog2(chunk_log2).into());
    }
    match codec {
        0 => Ok(Codec::Stored),
        1 if is_asset => Ok(Codec::Zstd),
        _ => Err(LaterVersion::Codec(codec).into()),
    }
}

//! The batch header (B-1, B-2) and the extension sections behind it (B-3).

use std::ops::Range;

use super::{
    BATCH_ENTRY_COUNT_MAX, BATCH_EXTENSION_LEN_MAX, BATCH_META_LEN_MAX, BATCH_PAYLOAD_LEN_MAX,
    BatchError, Section, Unsupported,
};
use crate::{
    bytes::{DecodeError, Hash, LogId, Put as _, Reader},
    entry::LOG_ENTRY_COUNT_MAX,
};

pub(super) const MAGIC: [u8; 4] = *b"ANB1";
/// Where the root stands in a batch.
pub(super) const ROOT: Range<usize> = 64..64 + Hash::LEN;

const EXTENSION_CRITICAL: u16 = 1;
/// The extension that lists absent payloads (B-8).
const EXTENSION_ABSENT: u16 = 1;

pub(super) const FLAGS: Range<usize> = 12..16;
pub(super) const FLAG_CONTINUES: u32 = 1;

const _: () = assert!(ROOT.end == BatchHeader::LEN);

/// How a section stands in the batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Codec {
    /// As it is.
    Stored,
    /// As one zstd frame without a dictionary.
    Zstd,
}

impl Codec {
    fn decode(codec: u8, section: Section) -> Result<Self, Unsupported> {
        match codec {
            0 => Ok(Self::Stored),
            1 => Ok(Self::Zstd),
            _ => Err(Unsupported::Codec { section, codec }),
        }
    }

    const fn encode(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Zstd => 1,
        }
    }
}

/// The codec and the lengths of a section.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SectionHeader {
    pub(super) codec: Codec,
    /// Uncompressed, in bytes.
    pub(super) raw_len: u32,
    /// As it stands in the batch, in bytes.
    pub(super) len: u32,
}

impl SectionHeader {
    fn decode(reader: &mut Reader<'_>, codec: Codec) -> Result<Self, DecodeError> {
        Ok(Self { codec, raw_len: reader.u32()?, len: reader.u32()? })
    }

    fn check(&self, section: Section, raw_len_max: u32) -> Result<(), BatchError> {
        if self.raw_len > raw_len_max {
            return Err(BatchError::SectionLen { section, raw_len: self.raw_len });
        }
        if self.codec == Codec::Stored && self.len != self.raw_len {
            return Err(BatchError::StoredLen(section));
        }
        Ok(())
    }
}

/// The header of a batch. It is valid in itself and within all limits, whatever follows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BatchHeader {
    pub(super) continues: bool,
    pub(super) log: LogId,
    pub(super) first_index: u64,
    pub(super) entry_count: u32,
    pub(super) extension_len: u32,
    pub(super) meta: SectionHeader,
    pub(super) payload: SectionHeader,
    pub(super) root: Hash,
}

impl BatchHeader {
    /// Encoded size, in bytes.
    pub const LEN: usize = 96;

    /// Decodes the header at the start of `bytes`; what follows it is not looked at.
    ///
    /// # Errors
    ///
    /// [`BatchError::Unsupported`] for codecs, ciphers and flags of later versions; otherwise the
    /// rule of B-1, B-2 or L-1 that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(BatchError::Magic);
        }
        let [meta_codec, payload_codec, cipher_suite, zero] = reader.array()?;
        let key_epoch = reader.u32()?;
        let flags = reader.u32()?;
        // Before all other rules, because a later version may have changed those as well.
        if cipher_suite != 0 {
            return Err(Unsupported::CipherSuite(cipher_suite).into());
        }
        if flags & !FLAG_CONTINUES != 0 {
            return Err(Unsupported::Flags(flags).into());
        }
        let meta_codec = Codec::decode(meta_codec, Section::Meta)?;
        let payload_codec = Codec::decode(payload_codec, Section::Payload)?;
        if zero != 0 || key_epoch != 0 {
            return Err(DecodeError::Reserved.into());
        }
        let header = Self {
            continues: flags & FLAG_CONTINUES != 0,
            log: LogId::from_bytes(reader.array()?),
            first_index: reader.u64()?,
            entry_count: reader.u32()?,
            extension_len: reader.u32()?,
            meta: SectionHeader::decode(&mut reader, meta_codec)?,
            payload: SectionHeader::decode(&mut reader, payload_codec)?,
            root: Hash::from_bytes(reader.array()?),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), BatchError> {
        if self.entry_count == 0 || self.entry_count > BATCH_ENTRY_COUNT_MAX {
            return Err(BatchError::EntryCount(self.entry_count));
        }
        if self.first_index > LOG_ENTRY_COUNT_MAX - u64::from(self.entry_count) {
            return Err(BatchError::FirstIndex(self.first_index));
        }
        if self.extension_len > BATCH_EXTENSION_LEN_MAX {
            let section = Section::Extensions;
            return Err(BatchError::SectionLen { section, raw_len: self.extension_len });
        }
        self.meta.check(Section::Meta, BATCH_META_LEN_MAX)?;
        self.payload.check(Section::Payload, BATCH_PAYLOAD_LEN_MAX)
    }

    /// The encoded header.
    pub(super) fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let mut put = |offset: usize, value: &[u8]| {
            bytes[offset..offset + value.len()].copy_from_slice(value);
        };
        put(0, &MAGIC);
        put(4, &[self.meta.codec.encode(), self.payload.codec.encode()]);
        // Zeros in between: no cipher, no key epoch.
        put(FLAGS.start, &if self.continues { FLAG_CONTINUES } else { 0 }.to_le_bytes());
        put(16, self.log.as_bytes());
        put(32, &self.first_index.to_le_bytes());
        put(40, &self.entry_count.to_le_bytes());
        put(44, &self.extension_len.to_le_bytes());
        put(48, &self.meta.raw_len.to_le_bytes());
        put(52, &self.meta.len.to_le_bytes());
        put(56, &self.payload.raw_len.to_le_bytes());
        put(60, &self.payload.len.to_le_bytes());
        put(ROOT.start, self.root.as_bytes());
        bytes
    }

    /// Whether the next batch belongs to the same atomic group (F-6).
    pub const fn continues(&self) -> bool {
        self.continues
    }

    /// The log that the entries are of.
    pub const fn log(&self) -> LogId {
        self.log
    }

    /// Index of the first entry.
    pub const fn first_index(&self) -> u64 {
        self.first_index
    }

    /// Indices of the entries.
    pub fn indices(&self) -> Range<u64> {
        self.first_index..self.first_index + u64::from(self.entry_count)
    }

    /// Number of entries, at least 1.
    pub const fn entry_count(&self) -> u32 {
        self.entry_count
    }

    /// Codec of the columns.
    pub const fn meta_codec(&self) -> Codec {
        self.meta.codec
    }

    /// Codec of the payloads.
    pub const fn payload_codec(&self) -> Codec {
        self.payload.codec
    }

    /// Length of all payloads together, uncompressed, in bytes.
    pub const fn payload_raw_len(&self) -> u32 {
        self.payload.raw_len
    }

    /// Length of the extension sections, in bytes.
    pub const fn extension_len(&self) -> u32 {
        self.extension_len
    }

    /// Length of the whole batch, in bytes.
    pub fn batch_len(&self) -> u64 {
        let lens = [self.extension_len, self.meta.len, self.payload.len];
        Self::LEN as u64 + lens.into_iter().map(u64::from).sum::<u64>()
    }

    /// What the batch claims to be the root of the log with all its entries. Nothing in a batch can
    /// prove it.
    pub const fn root(&self) -> Hash {
        self.root
    }
}

/// Splits extension sections; returns the content of the one that this version knows (B-8), refuses unknown ones that
/// are critical, and ignores all others (B-3).
pub(super) fn absent_extension(bytes: &[u8]) -> Result<Option<&[u8]>, BatchError> {
    let mut reader = Reader::new(bytes);
    let mut absent = None;
    while !reader.rest().is_empty() {
        let (kind, is_critical, content) = extension(&mut reader).map_err(BatchError::Extension)?;
        match kind {
            EXTENSION_ABSENT if is_critical && absent.is_none() => absent = Some(content),
            EXTENSION_ABSENT => return Err(BatchError::Absent),
            unknown if is_critical => return Err(Unsupported::Extension(unknown).into()),
            _ => {}
        }
    }
    Ok(absent)
}

/// Reads one extension section: its type, whether it is critical, and its content.
fn extension<'a>(reader: &mut Reader<'a>) -> Result<(u16, bool, &'a [u8]), DecodeError> {
    let kind = reader.u16()?;
    let flags = reader.u16()?;
    let len = reader.u32()?;
    if flags & !EXTENSION_CRITICAL != 0 {
        return Err(DecodeError::Reserved);
    }
    Ok((kind, flags == EXTENSION_CRITICAL, reader.take(len as usize)?))
}

/// Appends the extension section whose content is `len` bytes that follow.
pub(super) fn put_absent_extension(len: u32, out: &mut Vec<u8>) {
    out.put_u16(EXTENSION_ABSENT);
    out.put_u16(EXTENSION_CRITICAL);
    out.put_u32(len);
}

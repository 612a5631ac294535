//! The layout of run files, without any file: names, header, sections, and the items in them.

use std::ops::Range;

use super::{
    FOLD, FRAME_LEN_MAX, HEAD_LEN, Identity, NODE_LEVEL_MAX, NODE_LEVEL_MIN, Position, STRETCH_LEN,
    SpanRef,
    types::{Declaration, DeclarationForm},
};
use crate::{
    bytes::{DecodeError, Hash, LogId, Put as _, Reader, SaltedCrc, StreamId, Timestamp},
    entry::{LOG_ENTRY_COUNT_MAX, STREAM_NAME_LEN_MAX},
};

/// Bytes of a page.
pub(super) const PAGE_LEN: usize = 4096;
/// Bytes of content in a page: all but the CRC.
pub(super) const CONTENT_LEN: usize = PAGE_LEN - 4;
/// Encoded size of the header, at the start of the content.
pub(super) const HEADER_LEN: usize = 192;
/// Encoded size of a stream's row.
pub(super) const STREAM_ROW_LEN: usize = 12;
/// Encoded size of a posting.
pub(super) const POSTING_LEN: usize = 4;
/// Encoded size of a declaration before its name.
pub(crate) const DECLARATION_HEAD_LEN: usize = 16;

const MAGIC: [u8; 8] = [0x89, b'A', b'N', b'L', b'I', 0x0D, 0x0A, 0x1A];
const VERSION: u32 = 3;
/// Highest level of a run: 8^15 stretches are 2^63 bytes.
const LEVEL_MAX: u32 = 15;
/// More stretches than this do not fit below offset 2^63.
const STRETCH_COUNT_MAX: u64 = 1 << 45;

const _: () = assert!(1 << 3 == FOLD && 1 << (3 * LEVEL_MAX) == STRETCH_COUNT_MAX);

/// Level and number of a run, and so its name and what it covers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct RunId {
    pub(super) level: u32,
    pub(super) number: u64,
}

impl RunId {
    /// The run of one stretch.
    pub(super) const fn of_stretch(stretch: u64) -> Self {
        Self { level: 0, number: stretch }
    }

    /// The name of its file (W-1).
    pub(super) fn file_name(self) -> String {
        format!("{}-{}.run", self.level, self.number)
    }

    /// The run with this file name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (level, number) = name.strip_suffix(".run")?.split_once('-')?;
        let id = Self { level: level.parse().ok()?, number: number.parse().ok()? };
        // One run has one name: not `00-0.run` or `0-+0.run` as well.
        (id.file_name() == name && id.stretches().is_some()).then_some(id)
    }

    /// The stretches that it covers; `None` if there cannot be such a run.
    pub(super) fn stretches(self) -> Option<Range<u64>> {
        if self.level > LEVEL_MAX {
            return None;
        }
        let len = 1 << (3 * self.level);
        let start = self.number.checked_mul(len)?;
        let end = start.checked_add(len).filter(|&end| end <= STRETCH_COUNT_MAX)?;
        Some(start..end)
    }

    /// The run that this one becomes a part of, and the place that it has there.
    pub(super) fn parent(self) -> Option<(Self, u64)> {
        let parent = Self { level: self.level + 1, number: self.number >> 3 };
        parent.stretches().map(|_| (parent, self.number & 7))
    }

    /// Computes the CRCs of its pages, but for the page number.
    pub(super) fn page_crc(self, identity: &Identity, generation: u64) -> SaltedCrc {
        let mut bound = Vec::with_capacity(36);
        bound.put(identity.log.as_bytes());
        bound.put_u64(generation);
        bound.put_u32(self.level);
        bound.put_u64(self.number);
        SaltedCrc::new(&identity.salt).bound_to(&bound)
    }
}

/// The offset at which the stretches before `stretch` end.
/// The generation that the first page of a run names; the page is not checked yet.
pub(super) fn generation_of(page: &[u8]) -> Option<u64> {
    page.get(24..32)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

pub(super) const fn stretch_start(stretch: u64) -> u64 {
    HEAD_LEN + STRETCH_LEN * stretch
}

/// The header of a run, without what the identity of the index says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct RunHeader {
    pub(super) id: RunId,
    pub(super) start_offset: u64,
    pub(super) first_index: u64,
    pub(super) end: Position,
    pub(super) span_count: u32,
    pub(super) stream_count: u32,
    pub(super) posting_count: u32,
    pub(super) declaration_count: u32,
    pub(super) declarations_len: u32,
}

impl RunHeader {
    pub(super) fn encode(&self, identity: &Identity) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.put(&MAGIC);
        bytes.put_u32(VERSION);
        bytes.put_u32(self.id.level);
        bytes.put_u64(self.id.number);
        bytes.put_u64(self.end.generation);
        bytes.put(identity.log.as_bytes());
        bytes.put_u64(self.start_offset);
        bytes.put_u64(self.end.end_offset);
        bytes.put_u64(self.first_index);
        bytes.put_u64(self.end.end_index);
        bytes.put_u64(self.end.change_count);
        bytes.put_i64(Timestamp::encode(self.end.time_max));
        bytes.put_u32(self.span_count);
        bytes.put_u32(self.stream_count);
        bytes.put_u32(self.posting_count);
        bytes.put_u32(self.declaration_count);
        bytes.put_u32(self.declarations_len);
        bytes.put_u32(0);
        bytes.put(self.end.root.as_bytes());
        bytes.pad_to(HEADER_LEN);
        bytes
    }

    /// Decodes the header of the run `id` and checks that it can be one.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Reserved`] for everything that X-4 does not allow, as for the rows below.
    pub(super) fn decode(
        bytes: &[u8],
        id: RunId,
        identity: &Identity,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let ours = reader.array()? == MAGIC
            && reader.u32()? == VERSION
            && reader.u32()? == id.level
            && reader.u64()? == id.number;
        let generation = reader.u64()?;
        let ours = ours
            && generation <= identity.generation
            && LogId::from_bytes(reader.array()?) == identity.log;
        if !ours {
            return Err(DecodeError::Reserved);
        }
        let start_offset = reader.u64()?;
        let end_offset = reader.u64()?;
        let first_index = reader.u64()?;
        let end_index = reader.u64()?;
        let change_count = reader.u64()?;
        let time_max = Timestamp::decode(reader.i64()?);
        let span_count = reader.u32()?;
        let stream_count = reader.u32()?;
        let posting_count = reader.u32()?;
        let declaration_count = reader.u32()?;
        let declarations_len = reader.u32()?;
        reader.zeros(4)?;
        let root = Hash::from_bytes(reader.array()?);
        reader.zeros(40)?;
        //
        if generation < identity.generation && end_offset > identity.carried_upto {
            return Err(DecodeError::Reserved);
        }
        let end = Position { end_offset, generation, end_index, change_count, time_max, root };
        let header = Self {
            id,
            start_offset,
            first_index,
            end,
            span_count,
            stream_count,
            posting_count,
            declaration_count,
            declarations_len,
        };
        if header.is_sound() { Ok(header) } else { Err(DecodeError::Reserved) }
    }

    fn is_sound(&self) -> bool {
        let Some(stretches) = self.id.stretches() else { return false };
        self.start_offset >= stretch_start(stretches.start)
            && self.start_offset <= self.end.end_offset
            // Complete.
            && self.end.end_offset >= stretch_start(stretches.end)
            // A frame that starts in a stretch reaches only so far beyond it.
            && self.end.end_offset - stretch_start(stretches.end) < FRAME_LEN_MAX
            && (self.span_count == 0) == (self.start_offset == self.end.end_offset)
            && self.first_index <= self.end.end_index
            && self.end.end_index <= LOG_ENTRY_COUNT_MAX
    }

    /// How many nodes of `level` it holds.
    pub(super) const fn node_count(&self, level: u32) -> u64 {
        (self.end.end_index >> level) - (self.first_index >> level)
    }

    /// Where each section lies.
    pub(super) fn sections(&self) -> Sections {
        let nodes = HEADER_LEN as u64 + u64::from(self.span_count) * Span::LEN as u64;
        let node_count: u64 =
            (NODE_LEVEL_MIN..=NODE_LEVEL_MAX).map(|level| self.node_count(level)).sum();
        let streams = nodes + node_count * Hash::LEN as u64;
        let postings = streams + u64::from(self.stream_count) * STREAM_ROW_LEN as u64;
        let declarations = postings + u64::from(self.posting_count) * POSTING_LEN as u64;
        let end = declarations + u64::from(self.declarations_len);
        Sections { nodes, streams, postings, declarations, end }
    }

    /// Where the nodes of `level` lie.
    pub(super) fn nodes_of_level(&self, level: u32) -> Range<u64> {
        let before: u64 = (NODE_LEVEL_MIN..level).map(|level| self.node_count(level)).sum();
        let start = self.sections().nodes + before * Hash::LEN as u64;
        start..start + self.node_count(level) * Hash::LEN as u64
    }
}

/// Where the sections of a run start, in the content; spans start behind the header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sections {
    pub(super) nodes: u64,
    pub(super) streams: u64,
    pub(super) postings: u64,
    pub(super) declarations: u64,
    pub(super) end: u64,
}

impl Sections {
    /// Number of pages.
    pub(super) const fn page_count(&self) -> u64 {
        self.end.div_ceil(CONTENT_LEN as u64)
    }
}

/// A span as it is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span {
    pub(super) offset: u64,
    pub(super) first_index: u64,
    pub(super) change_count: u64,
    pub(super) time_max: Option<Timestamp>,
}

impl Span {
    pub(super) const LEN: usize = 32;

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64(self.offset);
        bytes.put_u64(self.first_index);
        bytes.put_u64(self.change_count);
        bytes.put_i64(Timestamp::encode(self.time_max));
    }

    /// With what the next span, or the end of the run, adds to it.
    pub(super) const fn to_ref(self, end_offset: u64, end_index: u64) -> SpanRef {
        let Self { offset, first_index, change_count, time_max } = self;
        SpanRef { offset, end_offset, first_index, end_index, change_count, time_max }
    }

    pub(super) fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            word
        };
        Self {
            offset: u64::from_le_bytes(word(0)),
            first_index: u64::from_le_bytes(word(8)),
            change_count: u64::from_le_bytes(word(16)),
            time_max: Timestamp::decode(i64::from_le_bytes(word(24))),
        }
    }
}

/// The row of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct StreamRow {
    pub(super) stream: StreamId,
    pub(super) first_posting: u32,
    pub(super) posting_count: u32,
}

impl StreamRow {
    pub(super) fn encode(&self) -> [u8; STREAM_ROW_LEN] {
        let mut bytes = [0; STREAM_ROW_LEN];
        bytes[..4].copy_from_slice(&self.stream.0.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.first_posting.to_le_bytes());
        bytes[8..].copy_from_slice(&self.posting_count.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; STREAM_ROW_LEN]) -> Self {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self { stream: StreamId(word(0)), first_posting: word(4), posting_count: word(8) }
    }
}

impl Declaration {
    /// Encoded size, in bytes.
    pub(crate) const fn encoded_len(&self) -> usize {
        DECLARATION_HEAD_LEN + self.name.len()
    }

    /// Whether the name can be one (E-3).
    pub(super) fn is_sound(&self) -> bool {
        name_len_fits(self.form, self.name.len())
    }

    /// Appends the declaration, which must be sound.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let name_len =
            u8::try_from(self.name.len()).expect("a declared name has 255 bytes at most");
        bytes.put_u32(self.stream.0);
        bytes.put_u8(match self.form {
            DeclarationForm::Name => 0,
            DeclarationForm::Uuid => 1,
        });
        bytes.put_u8(name_len);
        bytes.put_u16(0);
        bytes.put_u64(self.index);
        bytes.put(&self.name);
    }

    /// Decodes what stands before the name; also returns the length of the name.
    pub(crate) fn decode_head(
        bytes: &[u8; DECLARATION_HEAD_LEN],
    ) -> Result<(Self, usize), DecodeError> {
        let mut reader = Reader::new(bytes);
        let stream = StreamId(reader.u32()?);
        let form = match reader.u8()? {
            0 => DeclarationForm::Name,
            1 => DeclarationForm::Uuid,
            _ => return Err(DecodeError::Reserved),
        };
        let name_len = usize::from(reader.u8()?);
        reader.zeros(2)?;
        let index = reader.u64()?;
        if !name_len_fits(form, name_len) {
            return Err(DecodeError::Reserved);
        }
        Ok((Self { stream, form, name: Box::default(), index }, name_len))
    }
}

fn name_len_fits(form: DeclarationForm, len: usize) -> bool {
    match form {
        DeclarationForm::Name => (1..=STREAM_NAME_LEN_MAX).contains(&len),
        DeclarationForm::Uuid => len == 16,
    }
}

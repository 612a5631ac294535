//! The segment header (S-2 to S-6): pure encoding and decoding.

use crate::{
    bytes::{
        ClientId, DecodeError, Hash, LogId, Put as _, Reader, SaltedCrc, Timestamp, WorkspaceId,
        crc,
    },
    entry::LOG_ENTRY_COUNT_MAX,
    frame::{FRAME_ALIGN_LOG2_MAX, FRAME_ALIGN_LOG2_MIN, FrameContext, FrameKind},
    index::Identity,
};

/// Length of a header unit and of a checkpoint slot, in bytes.
pub const UNIT_LEN: usize = 4096;
/// Length of the head of a segment, in bytes; the first frame starts here.
pub const HEAD_LEN: u64 = 4 * UNIT_LEN as u64;
/// Offset of the checkpoint slots in the head.
pub(crate) const SLOTS_OFFSET: u64 = 2 * UNIT_LEN as u64;

const MAGIC: [u8; 8] = [0x89, b'A', b'N', b'L', b'S', 0x0D, 0x0A, 0x1A];
const _: () = assert!(UNIT_LEN == CRC_OFFSET + 4);

/// The program that writes segments and bundles.
pub(crate) const WRITER: &str = concat!("annals ", env!("CARGO_PKG_VERSION"));

const VERSION_MAJOR: u16 = 1;
const VERSION_MINOR: u16 = 0;
const HASH_SUITE: u8 = 1;
const FLAG_PREALLOCATED: u8 = 1;
const KNOWN_INCOMPATIBLE: u64 = 0;
const WRITER_LEN: usize = 32;
const SALTS_OFFSET: usize = 256;
const CRC_OFFSET: usize = UNIT_LEN - 4;

/// The log that a log continues.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Predecessor {
    /// Its id.
    pub log: LogId,
    /// How many of its entries were there.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

impl Predecessor {
    /// Encoded size, in bytes.
    pub(crate) const LEN: usize = 56;

    pub(crate) fn encode(this: Option<&Self>, out: &mut Vec<u8>) {
        match this {
            Some(predecessor) => {
                out.put(predecessor.log.as_bytes());
                out.put_u64(predecessor.size);
                out.put(predecessor.root.as_bytes());
            }
            None => out.put(&[0; Self::LEN]),
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let predecessor = Self {
            log: LogId::from_bytes(reader.array()?),
            size: reader.u64()?,
            root: Hash::from_bytes(reader.array()?),
        };
        if predecessor.log.as_bytes() != &[0; 16] {
            return Ok(Some(predecessor));
        }
        // No predecessor has no size and no root (S-5).
        let is_none = predecessor.size == 0 && predecessor.root == Hash::ZERO;
        if is_none { Ok(None) } else { Err(DecodeError::Reserved) }
    }
}

/// What a segment says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SegmentHeader {
    /// Frames start at multiples of 2 to the power of this.
    pub align_log2: u8,
    /// Space behind the last frame may be preallocated zeros.
    pub preallocated: bool,
    /// Features that an old reader may ignore; kept as they are.
    pub compatible_features: u64,
    /// How often the segment has been compacted.
    pub generation: u64,
    /// Offset below which frames keep an older generation.
    pub carried_upto: u64,
    /// The workspace of the log.
    pub workspace: WorkspaceId,
    /// The client that writes the log.
    pub client: ClientId,
    /// The log.
    pub log: LogId,
    /// Seeds all CRCs of the log.
    pub salt: [u8; 16],
    /// When the log was created.
    pub created: Option<Timestamp>,
    /// Entries that were pruned: the log begins with this one (H-10).
    pub first_index: u64,
    /// The log that this one continues.
    pub predecessor: Option<Predecessor>,
    /// Name and version of the program that wrote the header.
    pub writer: String,
    /// Offset of the frame that holds the salt record, or 0 if the header does (P-5).
    pub salts_offset: u64,
    /// Offset below which all frames were written by compactions, or 0 (H-2).
    pub compacted_upto: u64,
    /// How many frames these are.
    pub compacted_frames: u64,
    /// The salt record (P-3), encoded.
    pub salt_record: Vec<u8>,
}

/// Why a head cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// Not a segment at all: opening it changes nothing in it.
    #[error("not an Annals segment (wrong magic)")]
    Foreign,
    /// The file is shorter than the head of a segment.
    #[error("the file ends inside its head of {HEAD_LEN} bytes")]
    Short,
    /// Both copies of the header are damaged.
    #[error("both copies of the segment header are damaged")]
    Damaged,
    /// The checksum is right, the fields are not.
    #[error("malformed segment header")]
    Malformed,
    /// A record that the header leads to, and without which the log cannot be read, is damaged in both of its copies.
    #[error("both copies of the {0} are damaged")]
    Record(FrameKind),
    /// Written by a program that is newer than this one.
    #[error("written by {writer:?} in a format that this version cannot read ({what})")]
    Unsupported {
        /// The program that wrote it.
        writer: String,
        /// Which part is unknown.
        what: &'static str,
    },
}

impl From<DecodeError> for HeadError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

/// Whether the two copies of the header are in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnitState {
    /// Valid.
    Valid,
    /// Damaged; the other copy serves.
    Damaged,
}

impl SegmentHeader {
    /// The header of a new log's first generation, without a predecessor and a time of creation.
    pub(crate) fn new(
        workspace: WorkspaceId,
        client: ClientId,
        log: LogId,
        salt: [u8; 16],
    ) -> Self {
        Self {
            align_log2: FRAME_ALIGN_LOG2_MIN,
            preallocated: false,
            compatible_features: 0,
            generation: 0,
            carried_upto: 0,
            workspace,
            client,
            log,
            salt,
            created: None,
            first_index: 0,
            predecessor: None,
            writer: WRITER.to_owned(),
            salts_offset: 0,
            compacted_upto: 0,
            compacted_frames: 0,
            salt_record: Vec::new(),
        }
    }

    /// What all frames of the file have in common.
    pub fn frames(&self) -> FrameContext {
        FrameContext {
            crc: self.crc(),
            align_log2: self.align_log2,
            generation: self.generation,
            carried_upto: self.carried_upto,
        }
    }

    /// CRCs seeded with the log's salt.
    pub fn crc(&self) -> SaltedCrc {
        SaltedCrc::new(&self.salt)
    }

    /// What the first frame links to (S-6).
    pub fn link_seed(&self) -> u32 {
        self.crc().crc(self.log.as_bytes())
    }

    /// What index runs of this file are bound to.
    pub fn identity(&self) -> Identity {
        let Self { log, salt, generation, carried_upto, .. } = *self;
        Identity { log, salt, generation, carried_upto }
    }

    /// Whether the salt record fits into a header unit.
    pub(crate) fn fits(&self) -> bool {
        SALTS_OFFSET + self.salt_record.len() <= CRC_OFFSET
    }

    /// Both copies of the header: the first half of the head.
    ///
    /// # Panics
    ///
    /// If the salt record is longer than the room for it; this version's never is.
    pub fn encode(&self) -> Vec<u8> {
        let mut units = self.encode_unit(0);
        units.extend(self.encode_unit(1));
        units
    }

    fn encode_unit(&self, unit: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(UNIT_LEN);
        out.put(&MAGIC);
        out.put_u16(VERSION_MAJOR);
        out.put_u16(VERSION_MINOR);
        out.put_u8(unit);
        out.put_u8(HASH_SUITE);
        out.put_u8(self.align_log2);
        out.put_u8(if self.preallocated { FLAG_PREALLOCATED } else { 0 });
        out.put_u64(self.compatible_features);
        out.put_u64(KNOWN_INCOMPATIBLE);
        out.put_u64(self.generation);
        out.put_u64(self.carried_upto);
        out.put(self.workspace.as_bytes());
        out.put(self.client.as_bytes());
        out.put(self.log.as_bytes());
        out.put(&self.salt);
        out.put_i64(Timestamp::encode(self.created));
        out.put_u64(self.first_index);
        Predecessor::encode(self.predecessor.as_ref(), &mut out);
        let writer = &self.writer.as_bytes()[..self.writer.floor_char_boundary(WRITER_LEN)];
        out.put(writer);
        out.pad_to(216);
        assert!(self.fits(), "the salt record fits the header");
        out.put_u32(u32::try_from(self.salt_record.len()).expect("checked above"));
        out.put_u32(0);
        out.put_u64(self.salts_offset);
        out.put_u64(self.compacted_upto);
        out.put_u64(self.compacted_frames);
        out.pad_to(SALTS_OFFSET);
        out.put(&self.salt_record);
        out.pad_to(CRC_OFFSET);
        let checksum = crc(&out);
        out.put_u32(checksum);
        out
    }

    /// Decodes the header from the head of a segment; also says how its two copies are.
    ///
    /// # Errors
    ///
    /// See [`HeadError`].
    pub fn decode(head: &[u8]) -> Result<(Self, [UnitState; 2]), HeadError> {
        // What is cut within the magic may be ours: damaged, but not foreign (S-1).
        let start = &head[..head.len().min(MAGIC.len())];
        if !MAGIC.starts_with(start) && !is_ours(head) {
            return Err(HeadError::Foreign);
        }
        if (head.len() as u64) < HEAD_LEN {
            return Err(HeadError::Short);
        }
        let units = [0_u8, 1].map(|unit| {
            let start = usize::from(unit) * UNIT_LEN;
            let bytes = &head[start..start + UNIT_LEN];
            valid_unit(bytes, unit).then_some(bytes)
        });
        let unit = units[0].or(units[1]).ok_or(HeadError::Damaged)?;
        let same = units.iter().flatten().all(|other| same_header(other, unit));
        if !same {
            return Err(HeadError::Malformed);
        }
        let state =
            units.map(|unit| if unit.is_some() { UnitState::Valid } else { UnitState::Damaged });
        Ok((Self::decode_unit(unit)?, state))
    }

    fn decode_unit(unit: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(&unit[..CRC_OFFSET]);
        reader.take(MAGIC.len())?;
        let writer =
            String::from_utf8_lossy(&unit[184..184 + WRITER_LEN]).trim_end_matches('\0').to_owned();
        let unsupported = |what| HeadError::Unsupported { writer: writer.clone(), what };
        if reader.u16()? != VERSION_MAJOR {
            return Err(unsupported("version"));
        }
        reader.u16()?;
        reader.u8()?;
        if reader.u8()? != HASH_SUITE {
            return Err(unsupported("hash suite"));
        }
        let align_log2 = reader.u8()?;
        let flags = reader.u8()?;
        let compatible_features = reader.u64()?;
        if reader.u64()? & !KNOWN_INCOMPATIBLE != 0 {
            return Err(unsupported("incompatible features"));
        }
        let known_align = align_log2 == FRAME_ALIGN_LOG2_MIN || align_log2 == FRAME_ALIGN_LOG2_MAX;
        if !known_align || flags > FLAG_PREALLOCATED {
            return Err(HeadError::Malformed);
        }
        let mut header = Self {
            align_log2,
            preallocated: flags & FLAG_PREALLOCATED != 0,
            compatible_features,
            generation: reader.u64()?,
            carried_upto: reader.u64()?,
            workspace: WorkspaceId::from_bytes(reader.array()?),
            client: ClientId::from_bytes(reader.array()?),
            log: LogId::from_bytes(reader.array()?),
            salt: reader.array()?,
            created: Timestamp::decode(reader.i64()?),
            first_index: reader.u64()?,
            predecessor: None,
            writer: writer.clone(),
            salts_offset: 0,
            compacted_upto: 0,
            compacted_frames: 0,
            salt_record: Vec::new(),
        };
        header.predecessor = Predecessor::decode(&mut reader)?;
        reader.take(WRITER_LEN)?;
        let salts_len = reader.u32()? as usize;
        reader.zeros(4)?;
        header.salts_offset = reader.u64()?;
        header.compacted_upto = reader.u64()?;
        header.compacted_frames = reader.u64()?;
        reader.zeros(SALTS_OFFSET - 248)?;
        header.salt_record = reader.take(salts_len)?.to_vec();
        reader.zeros(reader.rest().len())?;
        if header.is_sound() { Ok(header) } else { Err(HeadError::Malformed) }
    }

    /// What S-5 says of fields that belong together.
    fn is_sound(&self) -> bool {
        let is_boundary = |offset: u64| {
            offset == 0 || (offset >= HEAD_LEN && offset.is_multiple_of(1 << self.align_log2))
        };
        let offsets = [self.carried_upto, self.salts_offset, self.compacted_upto];
        offsets.into_iter().all(is_boundary)
            && (self.generation > 0 || self.compacted_upto == 0)
            && self.carried_upto <= self.compacted_upto
            && self.compacted_frames <= self.compacted_upto
            && self.salt_record.is_empty() == (self.salts_offset > 0)
            && self.first_index <= LOG_ENTRY_COUNT_MAX
    }
}

/// A head whose first unit is damaged is still ours if the second one says so.
fn is_ours(head: &[u8]) -> bool {
    head.get(UNIT_LEN..UNIT_LEN + MAGIC.len()) == Some(&MAGIC)
}

fn valid_unit(bytes: &[u8], unit: u8) -> bool {
    bytes.starts_with(&MAGIC)
        && bytes[12] == unit
        && bytes[CRC_OFFSET..] == crc(&bytes[..CRC_OFFSET]).to_le_bytes()
}

/// Equal in everything but the number of the unit and the CRC (S-3).
fn same_header(a: &[u8], b: &[u8]) -> bool {
    a[..12] == b[..12] && a[13..CRC_OFFSET] == b[13..CRC_OFFSET]
}

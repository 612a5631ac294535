//! Encoding and decoding of frames; pure.

use crate::bytes::{DecodeError, Put as _, Reader, SaltedCrc};

/// Encoded size of a frame header, in bytes.
pub const FRAME_HEADER_LEN: usize = 72;
/// Encoded size of a frame trailer, in bytes.
pub const FRAME_TRAILER_LEN: usize = 8;
/// Longest payload of a frame, in bytes: 34 MiB (L-1).
pub const FRAME_PAYLOAD_LEN_MAX: u32 = 34 << 20;
/// Smallest alignment of frames: 8 bytes (S-2).
pub const FRAME_ALIGN_LOG2_MIN: u8 = 3;
/// Largest alignment of frames: 4096 bytes (S-2).
pub const FRAME_ALIGN_LOG2_MAX: u8 = 12;

const MAGIC: [u8; 4] = *b"ANF1";
const HEADER_CRC_OFFSET: usize = FRAME_HEADER_LEN - 4;

const FLAG_CRITICAL: u8 = 1;
const FLAG_COPY: u8 = 2;
const FLAG_CONTINUES: u8 = 4;

/// What a frame holds (F-4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameKind(pub u8);

impl FrameKind {
    /// A batch of entries.
    pub const BATCH: Self = Self(1);
    /// The salts of a log whose record does not fit its header (P-5).
    pub const SALTS: Self = Self(2);
    /// What is kept of entries that were pruned (H-10).
    pub const PRUNED: Self = Self(3);

    /// Whether this version knows what it holds.
    pub const fn is_known(self) -> bool {
        matches!(self, Self::BATCH | Self::SALTS | Self::PRUNED)
    }
}

impl std::fmt::Display for FrameKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::BATCH => f.write_str("batch"),
            Self::SALTS => f.write_str("salt record"),
            Self::PRUNED => f.write_str("prune record"),
            Self(kind) => write!(f, "frame of kind {kind}"),
        }
    }
}

/// What all frames of one file have in common.
#[derive(Clone, Copy, Debug)]
pub struct FrameContext {
    /// CRCs seeded with the salt of the log.
    pub crc: SaltedCrc,
    /// Frames start at multiples of 2 to the power of this.
    pub align_log2: u8,
    /// Generation of the file.
    pub generation: u64,
    /// Offset below which frames keep an older generation.
    pub carried_upto: u64,
}

/// A frame header that was found valid at its offset, or that is about to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameHeader {
    /// What the frame holds.
    pub kind: FrameKind,
    /// A reader that does not know the kind must not go on.
    pub critical: bool,
    /// Compaction keeps the frame.
    pub copy: bool,
    /// The next frame belongs to the same atomic group (F-6).
    pub continues: bool,
    /// Length of the payload in bytes.
    pub payload_len: u32,
    /// Salted CRC of the payload.
    pub payload_crc: u32,
    /// Offset of the frame in its file.
    pub offset: u64,
    /// Generation of the file when the frame was written.
    pub generation: u64,
    /// Random number of the opening that wrote the frame.
    pub incarnation: u64,
    /// Highest offset known to be durable when the frame was built.
    pub synced_upto: u64,
    /// Entries in the log before this frame.
    pub first_index: u64,
    /// Entries in this frame.
    pub entry_count: u32,
    /// Header CRC of the frame before, or the link seed (S-6).
    pub link: u32,
    /// How often the log had been opened for writing.
    pub opening: u32,
    /// Salted CRC of the header: what the next frame links to.
    pub header_crc: u32,
}

/// Why bytes are not a frame. "Too short" is not among the reasons: the caller knows the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// No frame starts here.
    #[error("no frame header")]
    Magic,
    /// The header fails its checksum. Its length cannot be trusted.
    #[error("bad frame header checksum")]
    HeaderCrc,
    /// The header is sound but says that it belongs elsewhere.
    #[error("frame of offset {0} in a wrong place")]
    Misplaced(u64),
    /// The frame says that more was durable than there was.
    #[error("frame claims {0} durable bytes, above its own offset")]
    SyncedUpto(u64),
    /// The frame is of another generation of this log.
    #[error("frame of generation {0}")]
    Generation(u64),
    /// The header's checksum is right, its fields are not.
    #[error("malformed frame header")]
    Malformed,
    /// The payload fails its checksum. The next frame may still be sound.
    #[error("bad payload checksum")]
    PayloadCrc,
    /// The zeros or the trailer behind the payload are damaged.
    #[error("bad frame trailer")]
    Trailer,
}

impl From<DecodeError> for FrameError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

/// Length of a frame with a payload of `payload_len` bytes (F-1).
pub const fn frame_len(payload_len: u32, align_log2: u8) -> u64 {
    let used = FRAME_HEADER_LEN as u64 + payload_len as u64 + FRAME_TRAILER_LEN as u64;
    used.next_multiple_of(1 << align_log2)
}

impl FrameHeader {
    /// Decodes the header at `offset` of a file and checks all of F-2.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn decode(
        bytes: &[u8; FRAME_HEADER_LEN],
        offset: u64,
        context: &FrameContext,
    ) -> Result<Self, FrameError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(FrameError::Magic);
        }
        let header_crc = u32::from_le_bytes([bytes[68], bytes[69], bytes[70], bytes[71]]);
        if context.crc.crc(&bytes[..HEADER_CRC_OFFSET]) != header_crc {
            return Err(FrameError::HeaderCrc);
        }
        let kind = FrameKind(reader.u8()?);
        let flags = reader.u8()?;
        reader.zeros(2)?;
        let header = Self {
            kind,
            critical: flags & FLAG_CRITICAL != 0,
            copy: flags & FLAG_COPY != 0,
            continues: flags & FLAG_CONTINUES != 0,
            payload_len: reader.u32()?,
            payload_crc: reader.u32()?,
            offset: reader.u64()?,
            generation: reader.u64()?,
            incarnation: reader.u64()?,
            synced_upto: reader.u64()?,
            first_index: reader.u64()?,
            entry_count: reader.u32()?,
            link: reader.u32()?,
            opening: reader.u32()?,
            header_crc,
        };
        if header.offset != offset {
            return Err(FrameError::Misplaced(header.offset));
        }
        if flags > (FLAG_CRITICAL | FLAG_COPY | FLAG_CONTINUES)
            || header.payload_len > FRAME_PAYLOAD_LEN_MAX
            || (header.kind != FrameKind::BATCH && header.entry_count != 0)
        {
            return Err(FrameError::Malformed);
        }
        if header.synced_upto > offset {
            return Err(FrameError::SyncedUpto(header.synced_upto));
        }
        let generation_fits = if offset < context.carried_upto {
            header.generation <= context.generation
        } else {
            header.generation == context.generation
        };
        if !generation_fits {
            return Err(FrameError::Generation(header.generation));
        }
        Ok(header)
    }

    /// Whether the frame is one that nobody may pass over who does not know its kind, and this version does not (F-4).
    pub const fn is_refused(&self) -> bool {
        self.critical && !self.kind.is_known()
    }

    /// Length of the whole frame in bytes.
    pub const fn len(&self, align_log2: u8) -> u64 {
        frame_len(self.payload_len, align_log2)
    }

    /// Number of entries in the log after this frame.
    pub const fn end_index(&self) -> u64 {
        self.first_index.saturating_add(self.entry_count as u64)
    }

    /// Checks the rest of the frame (F-3) and returns its payload. `frame` is the whole frame.
    ///
    /// # Errors
    ///
    /// [`FrameError::PayloadCrc`] or [`FrameError::Trailer`]; the latter also if `frame` is short.
    pub fn payload<'a>(
        &self,
        frame: &'a [u8],
        context: &FrameContext,
    ) -> Result<&'a [u8], FrameError> {
        let mut reader = Reader::new(frame);
        reader.take(FRAME_HEADER_LEN).map_err(|_| FrameError::Trailer)?;
        let payload = reader.take(self.payload_len as usize).map_err(|_| FrameError::Trailer)?;
        if context.crc.crc(payload) != self.payload_crc {
            return Err(FrameError::PayloadCrc);
        }
        let padding =
            reader.rest().len().checked_sub(FRAME_TRAILER_LEN).ok_or(FrameError::Trailer)?;
        reader.zeros(padding).map_err(|_| FrameError::Trailer)?;
        let trailer = (reader.u32()?, reader.u32()?);
        if u64::from(trailer.0) != frame.len() as u64
            || frame.len() as u64 != self.len(context.align_log2)
            || trailer.1 != self.header_crc
        {
            return Err(FrameError::Trailer);
        }
        Ok(payload)
    }
}

/// Completes a frame in place: `out[start..]` is [`FRAME_HEADER_LEN`] bytes of room and the payload.
///
/// Fills in the lengths and checksums of `header`, writes it, the zeros and the trailer, and returns the
/// header as written. Cost: two CRCs, no copy of the payload.
///
/// # Panics
///
/// If the payload is longer than [`FRAME_PAYLOAD_LEN_MAX`]: what encodes batches keeps far below.
pub fn encode_frame(
    mut header: FrameHeader,
    context: &FrameContext,
    out: &mut Vec<u8>,
    start: usize,
) -> FrameHeader {
    let payload = out.get(start + FRAME_HEADER_LEN..).expect("the caller left room for the header");
    header.payload_len = u32::try_from(payload.len()).expect("a payload is within its limit");
    assert!(header.payload_len <= FRAME_PAYLOAD_LEN_MAX, "a payload is within its limit");
    header.payload_crc = context.crc.crc(payload);

    let flags = [
        (header.critical, FLAG_CRITICAL),
        (header.copy, FLAG_COPY),
        (header.continues, FLAG_CONTINUES),
    ];
    let mut bytes = Vec::with_capacity(FRAME_HEADER_LEN);
    bytes.put(&MAGIC);
    bytes.put_u8(header.kind.0);
    bytes.put_u8(flags.iter().map(|&(set, flag)| if set { flag } else { 0 }).sum());
    bytes.put_u16(0);
    bytes.put_u32(header.payload_len);
    bytes.put_u32(header.payload_crc);
    bytes.put_u64(header.offset);
    bytes.put_u64(header.generation);
    bytes.put_u64(header.incarnation);
    bytes.put_u64(header.synced_upto);
    bytes.put_u64(header.first_index);
    bytes.put_u32(header.entry_count);
    bytes.put_u32(header.link);
    bytes.put_u32(header.opening);
    header.header_crc = context.crc.crc(&bytes);
    bytes.put_u32(header.header_crc);
    out[start..start + FRAME_HEADER_LEN].copy_from_slice(&bytes);

    let len =
        usize::try_from(header.len(context.align_log2)).expect("a frame is smaller than memory");
    out.pad_to(start + len - FRAME_TRAILER_LEN);
    out.put_u32(u32::try_from(len).expect("a frame is within its limit"));
    out.put_u32(header.header_crc);
    header
}

const _: () = assert!(FRAME_PAYLOAD_LEN_MAX as u64 + 4096 + 80 <= u32::MAX as u64);

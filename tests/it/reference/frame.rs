//! Frames (section 4): what makes one valid by itself, at an offset of a file.

use super::bytes::{
    ensure, part, roundup, salted_crc, to_u64, to_usize, u8_at, u32_at, u64_at, zero_at,
};
use super::head::Header;
use super::limits::FRAME_PAYLOAD_LEN_MAX;

/// Length of the frame header (F-1).
pub(crate) const HEADER_LEN: usize = 72;
/// Kind of a batch (F-4).
pub(crate) const KIND_BATCH: u8 = 1;
/// Kind of a salt record (F-4).
pub(crate) const KIND_SALTS: u8 = 2;
/// Kind of a prune record (F-4).
pub(crate) const KIND_PRUNE: u8 = 3;

const FLAG_CRITICAL: u8 = 1;
const FLAG_COPY: u8 = 2;
const FLAG_CONTINUES: u8 = 4;

/// A frame header (F-1) that is valid (F-2), and the length of its frame.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::struct_field_names, reason = "the names are those of the table")]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) payload_len: u32,
    pub(crate) payload_crc: u32,
    pub(crate) frame_offset: u64,
    pub(crate) generation: u64,
    pub(crate) incarnation: u64,
    pub(crate) synced_upto: u64,
    pub(crate) first_index: u64,
    pub(crate) entry_count: u32,
    pub(crate) link: u32,
    pub(crate) opening: u32,
    pub(crate) header_crc: u32,
    pub(crate) frame_len: u64,
}

impl Frame {
    /// Offset behind the frame.
    pub(crate) fn end(&self) -> u64 {
        self.frame_offset.saturating_add(self.frame_len)
    }

    /// Index behind the last entry.
    pub(crate) fn end_index(&self) -> u64 {
        self.first_index.saturating_add(u64::from(self.entry_count))
    }

    pub(crate) fn is_critical(&self) -> bool {
        self.flags & FLAG_CRITICAL != 0
    }

    pub(crate) fn is_copied(&self) -> bool {
        self.flags & FLAG_COPY != 0
    }

    /// Whether the next frame belongs to the same group (F-6).
    pub(crate) fn continues(&self) -> bool {
        self.flags & FLAG_CONTINUES != 0
    }

    /// The payload, in the file that the frame was found in.
    pub(crate) fn payload<'a>(&self, file: &'a [u8]) -> Result<&'a [u8], String> {
        let at = to_usize(self.frame_offset)?.saturating_add(HEADER_LEN);
        part(file, at, to_usize(u64::from(self.payload_len))?)
    }
}

/// The valid frame header at `offset` of a segment (F-2).
pub(crate) fn header_at(file: &[u8], offset: u64, head: &Header) -> Result<Frame, String> {
    let bytes = part(file, to_usize(offset)?, HEADER_LEN)
        .map_err(|_| "F-3: the file ends before the frame header does".to_owned())?;
    ensure(bytes.starts_with(b"ANF1"), || "F-2: magic".to_owned())?;
    let header_crc = u32_at(bytes, 68)?;
    ensure(header_crc == salted_crc(&head.salt, part(bytes, 0, 68)?), || {
        "F-2: header CRC".to_owned()
    })?;
    let flags = u8_at(bytes, 5)?;
    ensure(flags <= 7, || format!("F-2: flags {flags:#x}"))?;
    zero_at(bytes, 6, 2, "F-2")?;
    let payload_len = u32_at(bytes, 8)?;
    ensure(payload_len <= FRAME_PAYLOAD_LEN_MAX, || format!("F-2: payload_len {payload_len}"))?;
    let frame = Frame {
        kind: u8_at(bytes, 4)?,
        flags,
        payload_len,
        payload_crc: u32_at(bytes, 12)?,
        frame_offset: u64_at(bytes, 16)?,
        generation: u64_at(bytes, 24)?,
        incarnation: u64_at(bytes, 32)?,
        synced_upto: u64_at(bytes, 40)?,
        first_index: u64_at(bytes, 48)?,
        entry_count: u32_at(bytes, 56)?,
        link: u32_at(bytes, 60)?,
        opening: u32_at(bytes, 64)?,
        header_crc,
        frame_len: roundup(72 + u64::from(payload_len) + 8, head.align()),
    };
    ensure(frame.frame_offset == offset, || format!("F-2: frame_offset {}", frame.frame_offset))?;
    ensure(frame.synced_upto <= offset, || format!("F-2: synced_upto {}", frame.synced_upto))?;
    let generation_fits = if offset < head.carried_upto {
        frame.generation <= head.generation
    } else {
        frame.generation == head.generation
    };
    ensure(generation_fits, || format!("F-2: generation {}", frame.generation))?;
    Ok(frame)
}

/// Whether the frame whose header is valid is itself valid (F-3).
pub(crate) fn check_body(file: &[u8], frame: &Frame, head: &Header) -> Result<(), String> {
    let bytes = part(file, to_usize(frame.frame_offset)?, to_usize(frame.frame_len)?)
        .map_err(|_| "F-3: the file ends before the frame does".to_owned())?;
    ensure(frame.payload_crc == salted_crc(&head.salt, frame.payload(file)?), || {
        "F-3: payload CRC".to_owned()
    })?;
    let payload_end = HEADER_LEN.saturating_add(to_usize(u64::from(frame.payload_len))?);
    let trailer_at = bytes.len().saturating_sub(8);
    zero_at(bytes, payload_end, trailer_at.saturating_sub(payload_end), "F-3")?;
    let trailer = part(bytes, trailer_at, 8)?;
    ensure(u64::from(u32_at(trailer, 0)?) == frame.frame_len, || {
        "F-3: frame_len in the trailer".to_owned()
    })?;
    ensure(u32_at(trailer, 4)? == frame.header_crc, || "F-3: header_crc in the trailer".to_owned())
}

/// The valid frame at `offset` (F-3).
pub(crate) fn frame_at(file: &[u8], offset: u64, head: &Header) -> Result<Frame, String> {
    let frame = header_at(file, offset, head)?;
    check_body(file, &frame, head)?;
    Ok(frame)
}

/// A record that stands in two frames, one behind the other (P-5, H-10).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Twice {
    pub(crate) payload: Vec<u8>,
    /// That of the frame that was taken.
    pub(crate) first_index: u64,
    /// Where the two frames start.
    pub(crate) offsets: [u64; 2],
}

/// The record of `kind` that the frame at `offset` holds, and the frame behind it once more: from
/// the first of the two that is valid. `rule` is the one that says so.
pub(crate) fn twice(
    file: &[u8],
    offset: u64,
    kind: u8,
    head: &Header,
    rule: &'static str,
) -> Result<Twice, String> {
    let of_kind = |frame: Frame| {
        ensure(frame.kind == kind, || {
            format!("{rule}: a frame of kind {} at {}", frame.kind, frame.frame_offset)
        })?;
        Ok::<Frame, String>(frame)
    };
    let broken = match frame_at(file, offset, head) {
        Err(reason) => reason,
        Ok(first) => {
            let first = of_kind(first)?;
            let payload = first.payload(file)?.to_vec();
            if let Ok(second) = frame_at(file, first.end(), head) {
                let second = of_kind(second)?;
                ensure(second.payload(file)? == payload, || {
                    format!("{rule}: the frames at {offset} and {} differ", first.end())
                })?;
            }
            let offsets = [offset, first.end()];
            return Ok(Twice { payload, first_index: first.first_index, offsets });
        }
    };
    // The first one does not tell how long it is, but it is as long as the second.
    let len_max = roundup(72 + u64::from(FRAME_PAYLOAD_LEN_MAX) + 8, head.align());
    let mut at = offset.saturating_add(head.align());
    while at <= offset.saturating_add(len_max) && at < to_u64(file.len()) {
        let second = frame_at(file, at, head).ok().filter(|second| second.kind == kind);
        if let Some(second) =
            second.filter(|second| at.checked_sub(second.frame_len) == Some(offset))
        {
            let (payload, offsets) = (second.payload(file)?.to_vec(), [offset, at]);
            return Ok(Twice { payload, first_index: second.first_index, offsets });
        }
        at = at.saturating_add(head.align());
    }
    Err(format!("{rule}: neither frame from {offset} on is valid ({broken}), the head is damaged"))
}

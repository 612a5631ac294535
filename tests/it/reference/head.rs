//! The head of a segment (section 3): header units and checkpoint slots.

use super::bytes::{
    Uuid, array_at, crc, ensure, padded_text, part, salted_crc, time_at, to_usize, u8_at, u16_at,
    u32_at, u64_at, zero_at,
};
use super::limits::LOG_ENTRY_COUNT_MAX;
use super::merkle::{self, Hash};
use super::salts::{self, Salts};

/// Length of the head; frames start here.
pub(crate) const HEAD_LEN: u64 = 16_384;
/// Length of a header unit and of a checkpoint slot.
pub(crate) const UNIT_LEN: usize = 4096;
/// Offset of the CRC in both.
const CRC_AT: usize = 4092;
/// Offset of the salt record in a header unit.
const SALTS_AT: usize = 256;
/// Offset of the peaks in a checkpoint slot.
const PEAKS_AT: usize = 140;

/// The header of a segment (S-2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) version_minor: u16,
    pub(crate) align_log2: u8,
    /// Space after the last frame may be preallocated zeros.
    pub(crate) preallocated: bool,
    pub(crate) compatible_features: u64,
    pub(crate) generation: u64,
    pub(crate) carried_upto: u64,
    pub(crate) workspace: Uuid,
    pub(crate) client: Uuid,
    pub(crate) log: Uuid,
    pub(crate) salt: [u8; 16],
    pub(crate) created: Option<i64>,
    /// Entries that were pruned (H-10).
    pub(crate) first_index: u64,
    pub(crate) predecessor_log: Uuid,
    pub(crate) predecessor_size: u64,
    pub(crate) predecessor_root: Hash,
    pub(crate) writer: String,
    /// Where the frame starts that holds the salt record, if the header unit does not (P-5).
    pub(crate) salts_offset: Option<u64>,
    /// Offset below which all frames were written by compactions (H-2).
    pub(crate) compacted_upto: u64,
    pub(crate) compacted_frames: u64,
    /// The salts of the record in the header unit; if it stands in a frame, it is for whoever reads
    /// frames to put them here.
    pub(crate) salts: Salts,
}

impl Header {
    /// The alignment of frames, in bytes.
    pub(crate) fn align(&self) -> u64 {
        1 << self.align_log2
    }

    /// S-6.
    pub(crate) fn link_seed(&self) -> u32 {
        salted_crc(&self.salt, &self.log)
    }
}

/// Decodes the header of a segment from whichever unit is valid (S-3); also returns, for each
/// unit, why it is not valid.
pub(crate) fn header(file: &[u8]) -> Result<(Header, [Result<(), String>; 2]), String> {
    ensure(super::bytes::to_u64(file.len()) >= HEAD_LEN, || {
        format!("S-1: a segment of {} bytes is damaged", file.len())
    })?;
    let units = [part(file, 0, UNIT_LEN)?, part(file, UNIT_LEN, UNIT_LEN)?];
    let states = [check_unit(units[0], 0), check_unit(units[1], 1)];
    let unit = match &states {
        [Ok(()), Ok(())] => {
            // All but `unit` at 12 and `crc` at 4092.
            let equal = part(units[0], 0, 12)? == part(units[1], 0, 12)?
                && part(units[0], 13, CRC_AT - 13)? == part(units[1], 13, CRC_AT - 13)?;
            ensure(equal, || "S-3: the header units differ, the head is damaged".to_owned())?;
            units[0]
        }
        [Ok(()), Err(_)] => units[0],
        [Err(_), Ok(())] => units[1],
        [Err(e0), Err(e1)] => {
            return Err(format!("S-3: no header unit is valid: 0: {e0}; 1: {e1}"));
        }
    };
    Ok((decode_unit(unit)?, states))
}

/// Whether a header unit is valid (S-3).
fn check_unit(unit: &[u8], number: u8) -> Result<(), String> {
    ensure(unit.starts_with(b"\x89ANLS\r\n\x1A"), || "S-3: magic".to_owned())?;
    ensure(u32_at(unit, CRC_AT)? == crc(part(unit, 0, CRC_AT)?), || "S-3: CRC".to_owned())?;
    ensure(u8_at(unit, 12)? == number, || "S-3: unit number".to_owned())
}

/// Decodes a valid header unit (S-2), after the refusals of S-4.
fn decode_unit(unit: &[u8]) -> Result<Header, String> {
    let writer = padded_text(part(unit, 184, 32)?);
    let refused = |what: String| format!("S-4: {what}, written by {writer:?}");
    let version_major = u16_at(unit, 8)?;
    ensure(version_major == 1, || refused(format!("version {version_major}")))?;
    let incompatible = u64_at(unit, 24)?;
    ensure(incompatible == 0, || refused(format!("incompatible features {incompatible:#x}")))?;
    let hash_suite = u8_at(unit, 13)?;
    ensure(hash_suite == 1, || refused(format!("hash suite {hash_suite}")))?;

    let align_log2 = u8_at(unit, 14)?;
    ensure(matches!(align_log2, 3 | 12), || format!("S-2: align_log2 {align_log2}"))?;
    let flags = u8_at(unit, 15)?;
    ensure(flags <= 1, || format!("S-2, G-3: flags {flags:#x}"))?;
    zero_at(unit, 220, 4, "S-2")?;
    zero_at(unit, 248, 8, "S-2")?;
    let first_index = u64_at(unit, 120)?;
    ensure(first_index <= LOG_ENTRY_COUNT_MAX, || format!("S-5: first_index {first_index}"))?;
    let align = 1 << align_log2;
    let boundary = |name: &str, at: usize| {
        let offset = u64_at(unit, at)?;
        let fits = offset == 0 || (offset >= HEAD_LEN && offset.is_multiple_of(align));
        ensure(fits, || format!("S-5: {name} {offset} is no frame boundary"))?;
        Ok::<u64, String>(offset)
    };
    let carried_upto = boundary("carried_upto", 40)?;
    let compacted_upto = boundary("compacted_upto", 232)?;
    ensure(carried_upto <= compacted_upto, || {
        format!("S-5: carried_upto {carried_upto} above compacted_upto {compacted_upto}")
    })?;
    let compacted_frames = u64_at(unit, 240)?;
    ensure(compacted_upto > 0 || compacted_frames == 0, || {
        format!("S-5: {compacted_frames} compacted frames below 0")
    })?;
    let salts_len = to_usize(u64::from(u32_at(unit, 216)?))?;
    let salts_end = SALTS_AT.saturating_add(salts_len);
    ensure(salts_end <= CRC_AT, || format!("S-5: salts_len {salts_len}"))?;
    let salts_offset = Some(boundary("salts_offset", 224)?).filter(|&offset| offset != 0);
    ensure((salts_len == 0) == salts_offset.is_some(), || {
        format!("S-5: salts_len {salts_len} and salts_offset {}", salts_offset.unwrap_or(0))
    })?;
    let salts = match salts_offset {
        None => salts::decode(part(unit, SALTS_AT, salts_len)?)?,
        Some(_) => Salts::default(),
    };
    if part(unit, 128, 16)? == [0; 16] {
        zero_at(unit, 144, 40, "S-5")?;
    }
    zero_at(unit, salts_end, CRC_AT.saturating_sub(salts_end), "S-2")?;
    Ok(Header {
        version_minor: u16_at(unit, 10)?,
        align_log2,
        preallocated: flags == 1,
        compatible_features: u64_at(unit, 16)?,
        generation: u64_at(unit, 32)?,
        carried_upto,
        workspace: array_at(unit, 48)?,
        client: array_at(unit, 64)?,
        log: array_at(unit, 80)?,
        salt: array_at(unit, 96)?,
        created: time_at(unit, 112)?,
        first_index,
        predecessor_log: array_at(unit, 128)?,
        predecessor_size: u64_at(unit, 144)?,
        predecessor_root: array_at(unit, 152)?,
        writer,
        salts_offset,
        compacted_upto,
        compacted_frames,
        salts,
    })
}

/// A valid checkpoint (C-1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Checkpoint {
    pub(crate) sequence: u64,
    pub(crate) generation: u64,
    pub(crate) incarnation: u64,
    pub(crate) opening: u32,
    pub(crate) clean_close: bool,
    pub(crate) durable_len: u64,
    pub(crate) entry_count: u64,
    pub(crate) change_count: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) frame_count: u64,
    pub(crate) lamport: u64,
    pub(crate) time_max: Option<i64>,
    pub(crate) stream_count: u32,
    pub(crate) last_header_crc: u32,
    pub(crate) root: Hash,
    pub(crate) peaks: Vec<Hash>,
}

/// The checkpoint in slot `number`, `None` if the slot was never written, an error if it is
/// damaged (C-2).
pub(crate) fn checkpoint(
    file: &[u8],
    number: u8,
    header: &Header,
) -> Result<Option<Checkpoint>, String> {
    let slot = part(file, (2 + usize::from(number)) * UNIT_LEN, UNIT_LEN)?;
    if slot.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    ensure(slot.starts_with(b"\x89ANLC\r\n\x1A"), || "C-2: magic".to_owned())?;
    ensure(u32_at(slot, CRC_AT)? == salted_crc(&header.salt, part(slot, 0, CRC_AT)?), || {
        "C-2: CRC".to_owned()
    })?;
    let sequence = u64_at(slot, 8)?;
    ensure(sequence >= 1 && sequence % 2 == u64::from(number), || {
        format!("C-2: sequence {sequence}")
    })?;
    let generation = u64_at(slot, 16)?;
    ensure(generation == header.generation, || format!("C-2: generation {generation}"))?;
    let flags = u32_at(slot, 36)?;
    ensure(flags <= 1, || format!("C-1, G-3: flags {flags:#x}"))?;
    let durable_len = u64_at(slot, 40)?;
    ensure(durable_len >= HEAD_LEN && durable_len.is_multiple_of(header.align()), || {
        format!("C-2: durable_len {durable_len}")
    })?;
    let entry_count = u64_at(slot, 48)?;
    ensure(entry_count <= LOG_ENTRY_COUNT_MAX, || format!("L-1: {entry_count} entries"))?;
    let peak_count = u32_at(slot, 136)?;
    ensure(peak_count == entry_count.count_ones(), || format!("C-2: peak_count {peak_count}"))?;
    // At most 48 peaks, by the limit above.
    let peaks_len = 32 * to_usize(u64::from(peak_count))?;
    let peaks = part(slot, PEAKS_AT, peaks_len)?
        .chunks_exact(32)
        .map(|peak| array_at(peak, 0))
        .collect::<Result<Vec<Hash>, String>>()?;
    zero_at(slot, PEAKS_AT + peaks_len, CRC_AT - PEAKS_AT - peaks_len, "C-1")?;
    let root = array_at(slot, 104)?;
    let mth = merkle::mth_of_peaks(&header.log, &peaks);
    ensure(root == merkle::root_of(&header.log, entry_count, &mth), || {
        "C-2: the peaks do not give the root".to_owned()
    })?;
    Ok(Some(Checkpoint {
        sequence,
        generation,
        incarnation: u64_at(slot, 24)?,
        opening: u32_at(slot, 32)?,
        clean_close: flags == 1,
        durable_len,
        entry_count,
        change_count: u64_at(slot, 56)?,
        payload_bytes: u64_at(slot, 64)?,
        frame_count: u64_at(slot, 72)?,
        lamport: u64_at(slot, 80)?,
        time_max: time_at(slot, 88)?,
        stream_count: u32_at(slot, 96)?,
        last_header_crc: u32_at(slot, 100)?,
        root,
        peaks,
    }))
}

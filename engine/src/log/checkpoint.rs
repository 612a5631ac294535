//! Checkpoints (C-1 to C-4): pure encoding and decoding.

use crate::{
    bytes::{DecodeError, Hash, LogKeys, Put as _, Reader, SaltedCrc, Timestamp},
    entry::{ENTRY_PAYLOAD_LEN_MAX, LAMPORT_MAX, STREAM_COUNT_MAX},
    log::head::{HEAD_LEN, UNIT_LEN},
    merkle::Peaks,
};

const MAGIC: [u8; 8] = [0x89, b'A', b'N', b'L', b'C', 0x0D, 0x0A, 0x1A];
const CRC_OFFSET: usize = UNIT_LEN - 4;
const FLAG_CLEAN: u32 = 1;
const PEAK_COUNT_MAX: u32 = 48;
/// Far more checkpoints than any disk lives to see; one that says more is made up.
const SEQUENCE_MAX: u64 = 1 << 62;

const _: () = assert!(140 + PEAK_COUNT_MAX as usize * Hash::LEN <= CRC_OFFSET);

/// The state of a log at a frame boundary: what a writer goes on from without reading what is before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LogState {
    /// End of the last frame.
    pub(crate) end_offset: u64,
    /// Tree of all entries before.
    pub(crate) peaks: Peaks,
    /// Changes among the entries.
    pub(crate) change_count: u64,
    /// Sum of their payload lengths.
    pub(crate) payload_bytes: u64,
    /// Frames before.
    pub(crate) frame_count: u64,
    /// Lamport clock of the last entry, 0 if there is none.
    pub(crate) lamport: u64,
    /// Latest time of any entry.
    pub(crate) time_max: Option<Timestamp>,
    /// Streams declared.
    pub(crate) stream_count: u32,
    /// Header CRC of the last frame, or the link seed.
    pub(crate) link: u32,
}

impl LogState {
    /// The state of a log without entries.
    pub(crate) fn empty(link_seed: u32) -> Self {
        Self {
            end_offset: HEAD_LEN,
            peaks: Peaks::new(),
            change_count: 0,
            payload_bytes: 0,
            frame_count: 0,
            lamport: 0,
            time_max: None,
            stream_count: 0,
            link: link_seed,
        }
    }

    /// Entries before.
    pub(crate) fn entry_count(&self) -> u64 {
        self.peaks.size()
    }
}

/// A checkpoint: a state that is durable, and who recorded it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Checkpoint {
    /// Number of the checkpoint; it stands in slot `sequence % 2`.
    pub(crate) sequence: u64,
    /// Incarnation of the writer.
    pub(crate) incarnation: u64,
    /// Opening of the writer.
    pub(crate) opening: u32,
    /// Written by a clean close.
    pub(crate) clean: bool,
    /// What is durable.
    pub(crate) state: LogState,
}

/// What a checkpoint slot holds (C-2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Slot {
    /// Never written.
    Empty,
    /// A valid checkpoint.
    Valid(Box<Checkpoint>),
    /// Neither: torn while it was written, or damaged.
    Damaged,
}

impl Slot {
    /// The checkpoint, if there is a valid one.
    pub(crate) fn checkpoint(&self) -> Option<&Checkpoint> {
        match self {
            Self::Valid(checkpoint) => Some(checkpoint),
            Self::Empty | Self::Damaged => None,
        }
    }
}

/// What the checkpoints of a file are bound to.
pub(crate) struct CheckpointContext<'a> {
    /// CRCs seeded with the log's salt.
    pub(crate) crc: SaltedCrc,
    /// Generation of the file.
    pub(crate) generation: u64,
    /// Alignment of its frames.
    pub(crate) align_log2: u8,
    /// Keys of the log.
    pub(crate) keys: &'a LogKeys,
}

impl Checkpoint {
    /// The slot that it belongs to.
    pub(crate) fn slot(&self) -> u64 {
        self.sequence % 2
    }

    /// The 4096 bytes of its slot.
    pub(crate) fn encode(&self, context: &CheckpointContext<'_>) -> Vec<u8> {
        let state = &self.state;
        let mut out = Vec::with_capacity(UNIT_LEN);
        out.put(&MAGIC);
        out.put_u64(self.sequence);
        out.put_u64(context.generation);
        out.put_u64(self.incarnation);
        out.put_u32(self.opening);
        out.put_u32(if self.clean { FLAG_CLEAN } else { 0 });
        out.put_u64(state.end_offset);
        out.put_u64(state.entry_count());
        out.put_u64(state.change_count);
        out.put_u64(state.payload_bytes);
        out.put_u64(state.frame_count);
        out.put_u64(state.lamport);
        out.put_i64(Timestamp::encode(state.time_max));
        out.put_u32(state.stream_count);
        out.put_u32(state.link);
        out.put(state.peaks.root(context.keys).as_bytes());
        out.put_u32(state.entry_count().count_ones());
        for peak in state.peaks.hashes() {
            out.put(peak.as_bytes());
        }
        out.pad_to(CRC_OFFSET);
        let checksum = context.crc.crc(&out);
        out.put_u32(checksum);
        out
    }

    /// Decodes slot number `slot`.
    pub(crate) fn decode(
        bytes: &[u8; UNIT_LEN],
        slot: u64,
        context: &CheckpointContext<'_>,
    ) -> Slot {
        if bytes.iter().all(|&byte| byte == 0) {
            return Slot::Empty;
        }
        match Self::decode_written(bytes, context) {
            Ok(Some(checkpoint)) if checkpoint.slot() == slot => Slot::Valid(Box::new(checkpoint)),
            _ => Slot::Damaged,
        }
    }

    fn decode_written(
        bytes: &[u8; UNIT_LEN],
        context: &CheckpointContext<'_>,
    ) -> Result<Option<Self>, DecodeError> {
        let (content, checksum) = bytes.split_at(CRC_OFFSET);
        if context.crc.crc(content).to_le_bytes() != checksum {
            return Ok(None);
        }
        let mut reader = Reader::new(content);
        let magic_is_right = reader.array()? == MAGIC;
        let sequence = reader.u64()?;
        let generation_is_right = reader.u64()? == context.generation;
        let incarnation = reader.u64()?;
        let opening = reader.u32()?;
        let flags = reader.u32()?;
        let end_offset = reader.u64()?;
        let entry_count = reader.u64()?;
        let mut state = LogState {
            end_offset,
            peaks: Peaks::new(),
            change_count: reader.u64()?,
            payload_bytes: reader.u64()?,
            frame_count: reader.u64()?,
            lamport: reader.u64()?,
            time_max: Timestamp::decode(reader.i64()?),
            stream_count: reader.u32()?,
            link: reader.u32()?,
        };
        let root = Hash::from_bytes(reader.array()?);
        let peak_count = reader.u32()?;
        if peak_count > PEAK_COUNT_MAX {
            return Ok(None);
        }
        let mut peaks = Vec::with_capacity(peak_count as usize);
        for _ in 0..peak_count {
            peaks.push(Hash::from_bytes(reader.array()?));
        }
        reader.zeros(reader.rest().len())?;
        let Some(peaks) = Peaks::from_parts(entry_count, &peaks) else { return Ok(None) };
        let aligned = end_offset.is_multiple_of(1 << context.align_log2);
        let within_limits = (1..=SEQUENCE_MAX).contains(&sequence)
            && state.lamport <= LAMPORT_MAX
            && state.stream_count <= STREAM_COUNT_MAX
            && state.change_count <= entry_count
            && state.payload_bytes <= entry_count.saturating_mul(ENTRY_PAYLOAD_LEN_MAX.into())
            && state.frame_count <= end_offset;
        if !magic_is_right
            || !within_limits
            || !generation_is_right
            || flags > FLAG_CLEAN
            || end_offset < HEAD_LEN
            || !aligned
            || peaks.root(context.keys) != root
        {
            return Ok(None);
        }
        state.peaks = peaks;
        Ok(Some(Self { sequence, incarnation, opening, clean: flags & FLAG_CLEAN != 0, state }))
    }
}

#[cfg(test)]
mod tests;

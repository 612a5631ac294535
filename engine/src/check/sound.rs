//! What is sound in a damaged segment: frames, one after the other, over all gaps.

use std::{collections::VecDeque, ops::Range};

use crate::{
    batch::{BatchError, Decoder},
    bytes::Hash,
    error::{IoContext as _, IoError},
    frame::{FrameHeader, FrameKind},
    log::{
        Checkpoint, FrameReader, HEAD_LEN, READ_AHEAD_LONG, ReplayError, Segment, Slot, decode_for,
    },
};

/// Why a segment cannot be walked.
pub(super) enum SoundError {
    Io(IoError),
    /// Written by a later version of the format.
    Unsupported(String),
}

impl From<IoError> for SoundError {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

/// A frame that is sound in itself.
struct SoundFrame {
    header: FrameHeader,
    /// The root behind it, which its batch names.
    root: Option<Hash>,
    /// Clock of its last entry.
    lamport: u64,
}

/// A state of a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) size: u64,
    pub(super) root: Hash,
    /// Clock of the last entry.
    pub(super) lamport: u64,
}

/// Walks the sound frames of one segment, once.
pub(super) struct Sound<'a> {
    segment: &'a Segment,
    reader: FrameReader,
    decoder: Decoder,
    /// Behind the last frame that was read.
    offset: u64,
    /// Entries before, and the opening of the last frame.
    reached: u64,
    opening: u32,
    /// Frames that were read and not passed.
    ahead: VecDeque<SoundFrame>,
    gaps: Vec<Range<u64>>,
}

impl<'a> Sound<'a> {
    pub(super) fn new(segment: &'a Segment) -> Result<Self, SoundError> {
        let limit = segment.file.len().context(&segment.path, "read the length of")?;
        let file = segment.file.clone();
        Ok(Self {
            segment,
            reader: FrameReader::new(file, segment.header.frames(), limit, READ_AHEAD_LONG),
            decoder: Decoder::new(),
            offset: HEAD_LEN,
            reached: segment.header.first_index,
            opening: 0,
            ahead: VecDeque::new(),
            gaps: Vec::new(),
        })
    }

    /// The highest opening that a checkpoint knows of.
    pub(super) fn opening(&self) -> u32 {
        self.checkpoints().map(|(opening, ..)| opening).max().unwrap_or(0)
    }

    fn checkpoints(&self) -> impl Iterator<Item = (u32, u64, Hash)> {
        let slots = self.segment.slots.iter().filter_map(Slot::checkpoint);
        slots.map(|checkpoint| {
            let state = &checkpoint.state;
            (checkpoint.opening, state.entry_count(), state.peaks.root(&self.segment.keys))
        })
    }

    /// The stretches of the file that are in none of the sound frames of the first `count` entries.
    pub(super) fn into_left_out(mut self, count: u64) -> Result<Vec<Range<u64>>, SoundError> {
        self.ahead.clear();
        while self.read_on()? {
            self.ahead.clear();
        }
        if self.reached > count {
            // The log ends before these frames now, so they go, and all that is between and behind them.
            let mut again = Self::new(self.segment)?;
            while again.read_on()? {
                let Some(SoundFrame { header, .. }) = again.ahead.pop_front() else { break };
                if header.end_index() > count {
                    let before = again.gaps.pop_if(|gap| gap.end == header.offset);
                    let start = before.map_or(header.offset, |gap| gap.start);
                    again.gaps.push(start..self.len());
                    return Ok(again.gaps);
                }
            }
        }
        Ok(self.gaps)
    }

    /// The longest state of the log whose root a sound frame or a checkpoint names.
    pub(super) fn into_last_known(mut self) -> Result<Option<Known>, SoundError> {
        let checkpoints = self.segment.slots.iter().filter_map(Slot::checkpoint);
        let of_checkpoint = |checkpoint: &Checkpoint| Known {
            size: checkpoint.state.entry_count(),
            root: checkpoint.state.peaks.root(&self.segment.keys),
            lamport: checkpoint.state.lamport,
        };
        let mut last = checkpoints.map(of_checkpoint).max_by_key(|known| known.size);
        while self.read_on()? {
            let Some(SoundFrame { header, root: Some(root), lamport }) = self.ahead.pop_front()
            else {
                continue;
            };
            if last.is_none_or(|last| last.size < header.end_index()) {
                last = Some(Known { size: header.end_index(), root, lamport });
            }
        }
        Ok(last)
    }

    /// Length of the file.
    pub(super) fn len(&self) -> u64 {
        self.reader.limit()
    }

    /// How far the file was read.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Passes all frames that end at or before entry `index`; stops at one that is no batch and is to be kept.
    pub(super) fn pass_to(
        &mut self,
        index: u64,
    ) -> Result<Option<(FrameHeader, Vec<u8>)>, SoundError> {
        loop {
            if self.ahead.is_empty() && !self.read_on()? {
                return Ok(None);
            }
            let Some(frame) = self.ahead.front().filter(|frame| frame.header.end_index() <= index)
            else {
                return Ok(None);
            };
            let header = frame.header;
            self.ahead.pop_front();
            if header.kind != FrameKind::BATCH && header.copy {
                return Ok(self.payload(&header)?.map(|payload| (header, payload)));
            }
        }
    }

    /// The encoded batch that holds the entry `index`, if it is sound.
    pub(super) fn batch_with(&mut self, index: u64) -> Result<Option<Vec<u8>>, SoundError> {
        let holds = |frame: &&SoundFrame| frame.header.first_index <= index;
        match self.ahead.front().filter(holds).map(|frame| frame.header) {
            Some(header) if header.kind == FrameKind::BATCH => self.payload(&header),
            _ => Ok(None),
        }
    }

    /// The sizes above `from`, up to `end`, whose roots are known here.
    pub(super) fn roots_within(
        &mut self,
        from: u64,
        end: u64,
    ) -> Result<Vec<(u64, Hash)>, SoundError> {
        while self.reached <= end && self.read_on()? {}
        let frames = self
            .ahead
            .iter()
            .filter_map(|frame| frame.root.map(|root| (frame.header.end_index(), root)));
        let checkpoints = self.checkpoints().map(|(_, size, root)| (size, root));
        Ok(frames.chain(checkpoints).filter(|&(size, _)| from < size && size <= end).collect())
    }

    /// Reads the next sound frame; false if there is none.
    fn read_on(&mut self) -> Result<bool, SoundError> {
        let start = self.offset;
        let mut from = start;
        while let Some(header) = self.reader.find(from).context(&self.segment.path, "read")? {
            if let Some(frame) = self.examine(header)? {
                self.offset = header.offset + header.len(self.segment.header.align_log2);
                self.reached = header.end_index();
                self.opening = header.opening;
                self.leave(start..header.offset);
                self.ahead.push_back(frame);
                return Ok(true);
            }
            from = header.offset + 1;
        }
        self.offset = self.reader.limit().max(start);
        self.leave(start..self.offset);
        Ok(false)
    }

    fn leave(&mut self, gap: Range<u64>) {
        if !gap.is_empty() {
            self.gaps.push(gap);
        }
    }

    /// The frame, whose checksums are right, if it belongs here.
    fn examine(&mut self, header: FrameHeader) -> Result<Option<SoundFrame>, SoundError> {
        let opening = self.opening.max(self.checkpoint_opening(header.offset)).max(1);
        if header.opening < opening || header.first_index < self.reached {
            return Ok(None);
        }
        if header.kind != FrameKind::BATCH {
            return if header.is_refused() {
                let what = format!(
                    "the frame at byte {} is of a kind that this version does not know",
                    header.offset
                );
                Err(SoundError::Unsupported(what))
            } else {
                Ok(Some(SoundFrame { header, root: None, lamport: 0 }))
            };
        }
        let payload = self.reader.payload(&header).context(&self.segment.path, "read")?;
        let Ok(payload) = payload else { return Ok(None) };
        match decode_for(self.segment.header.log, &header, &mut self.decoder, payload) {
            Ok(batch) => {
                let lamport = batch.entries().last().map_or(0, |(header, _)| header.lamport);
                let root = Some(batch.header().root());
                Ok(Some(SoundFrame { header, root, lamport }))
            }
            Err(ReplayError::Batch(BatchError::Unsupported(what))) => {
                let what = format!("the batch at byte {} cannot be read: {what}", header.offset);
                Err(SoundError::Unsupported(what))
            }
            Err(_) => Ok(None),
        }
    }

    /// The lowest opening that a frame at `offset` may have, by the checkpoints (F-5).
    fn checkpoint_opening(&self, offset: u64) -> u32 {
        let checkpoints = self.segment.slots.iter().filter_map(Slot::checkpoint);
        let before = checkpoints.filter(|checkpoint| checkpoint.state.end_offset <= offset);
        before.map(|checkpoint| checkpoint.opening).max().unwrap_or(0)
    }

    fn payload(&mut self, header: &FrameHeader) -> Result<Option<Vec<u8>>, SoundError> {
        let payload = self.reader.payload(header).context(&self.segment.path, "read")?;
        Ok(payload.ok().map(<[u8]>::to_vec))
    }
}

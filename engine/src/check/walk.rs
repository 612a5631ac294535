//! Walking one segment from its first frame to its end: every header, every checksum, every link; over
//! damage to what follows it.
//!
//! The walk only collects. Whether a break in the sequence of frames is damage or a torn tail depends on
//! what is behind it, so the verdict is made afterwards (`verdict`).

use std::collections::VecDeque;

use super::{
    Code, Depth, Finding,
    deep::Deep,
    fault::{Bad, Fault},
    witness::Witness,
};
use crate::{
    batch::{BatchError, BatchHeader, Decoder},
    bytes::Hash,
    error::{IoContext as _, IoError},
    frame::{FrameHeader, FrameKind},
    index::Position,
    log::{Checkpoint, FrameReader, HEAD_LEN, READ_AHEAD_LONG, Segment, Slot, follows},
};

/// Behind all frames.
const NOWHERE: u64 = u64::MAX;
/// More breaks of one log than this are counted and not listed.
const BREAK_COUNT_MAX: usize = 65_536;

/// Where the walk is, and what it knows of all that is before.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    pub(super) offset: u64,
    /// Entries before, lost ones included.
    pub(super) entries: u64,
    /// Header CRC of the frame before.
    pub(super) link: u32,
    /// Frames before and sum of their payload lengths; `None` behind damage.
    pub(super) counts: Option<(u64, u64)>,
    /// Changes before, where that is known.
    pub(super) changes: Option<u64>,
    /// The root, as the last batch claims it; `None` behind damage.
    pub(super) root: Option<Hash>,
}

/// A place where no sound frame in sequence starts.
#[derive(Debug)]
pub(super) struct Break {
    pub(super) offset: u64,
    /// Index of the first entry that is lost.
    pub(super) first: u64,
    /// Index behind the last one; `None` if no frame follows that tells.
    pub(super) end: Option<u64>,
    pub(super) fault: Fault,
}

/// Why a walk ends before the end.
pub(super) enum Stop {
    Io(IoError),
    /// Only a later version can go on.
    Unsupported {
        offset: u64,
        what: String,
    },
}

impl From<IoError> for Stop {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

/// What the walk was told when it came to the first break.
#[derive(Clone, Debug)]
pub(super) struct FirstBreak {
    pub(super) reached: Reached,
    /// Before the atomic group that the break is in.
    pub(super) group: Option<Reached>,
    opening: u32,
}

/// What a sound frame says of its entries.
struct Facts {
    payload_bytes: u64,
    root: Option<Hash>,
}

pub(super) struct Walk<'a> {
    pub(super) segment: &'a Segment,
    pub(super) reader: FrameReader,
    pub(super) limit: u64,
    pub(super) at: Reached,
    /// The state before the atomic group that is being read.
    pub(super) group: Option<Reached>,
    pub(super) first_break: Option<FirstBreak>,
    pub(super) breaks: Vec<Break>,
    pub(super) unlisted_breaks: u64,
    /// Sound frames, and those behind the first break.
    pub(super) frames: u64,
    pub(super) frames_after: u64,
    /// Highest `synced_upto` that counts.
    pub(super) synced_upto: u64,
    pub(super) findings: Vec<Finding>,
    pub(super) deep: Option<Deep>,
    /// Frames follow each other without a break from here on; [`NOWHERE`] if none follows.
    sequence_start: u64,
    witness: Witness<'a>,
    /// Ends of groups that a watermark may still name, ascending; and from where on they are known.
    boundaries: VecDeque<u64>,
    boundaries_from: u64,
    last_opening: u32,
    last_incarnation: Option<u64>,
    /// The frame here was found by R-2: it need not follow what was before.
    found: Option<u64>,
    /// What the last search found, and from where it began.
    ahead: Option<(u64, Option<FrameHeader>)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        segment: &'a Segment,
        limit: u64,
        depth: Depth,
        index_end: Option<Position>,
        deep: impl FnOnce() -> Deep,
    ) -> Self {
        let header = &segment.header;
        let at = Reached {
            offset: HEAD_LEN,
            entries: header.first_index,
            link: header.link_seed(),
            counts: Some((0, segment.base().payload_bytes)),
            changes: Some(segment.base().change_count),
            root: Some(segment.base().peaks.root(&segment.keys)),
        };
        Self {
            reader: FrameReader::new(segment.file.clone(), header.frames(), limit, READ_AHEAD_LONG),
            segment,
            limit,
            at,
            group: None,
            first_break: None,
            breaks: Vec::new(),
            unlisted_breaks: 0,
            frames: 0,
            frames_after: 0,
            synced_upto: HEAD_LEN,
            findings: Vec::new(),
            deep: (depth == Depth::Payloads).then(deep),
            sequence_start: HEAD_LEN,
            witness: Witness::new(segment, index_end),
            boundaries: VecDeque::from([HEAD_LEN]),
            boundaries_from: HEAD_LEN,
            last_opening: 0,
            last_incarnation: None,
            found: None,
            ahead: None,
        }
    }

    /// Walks to the limit; `progress` is told the offset.
    pub(super) fn run(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), Stop> {
        self.ask_witnesses();
        while self.at.offset < self.limit {
            match self.judge()? {
                Ok((header, facts)) => self.accept(&header, &facts),
                Err(bad) => self.pass_over(bad)?,
            }
            self.ask_witnesses();
            progress(self.at.offset);
        }
        Ok(())
    }

    /// The frame that starts here, if it is sound and in sequence.
    fn judge(&mut self) -> Result<Result<(FrameHeader, Facts), Bad>, Stop> {
        let path = &self.segment.path;
        let offset = self.at.offset;
        let header = match self.reader.header(offset).context(path, "read")? {
            Ok(header) => header,
            Err(fault) => {
                let fault = Fault::of_bytes(&mut self.reader, self.segment, offset, fault);
                return Ok(Err(Bad {
                    fault: fault.context(path, "read")?,
                    frame: None,
                    from: offset + 1,
                }));
            }
        };
        let opening = self.last_opening.max(self.checkpoint_opening(offset));
        if self.found != Some(offset)
            && let Err(fault) = follows(&header, self.at.link, self.at.entries, opening)
        {
            let fault = Fault::of_sequence(&header, self.at.entries, self.at.link, &fault);
            // The frame itself may still count.
            return Ok(Err(Bad { fault, frame: None, from: offset }));
        }
        let bad = |fault| Bad { fault, frame: Some(header), from: offset + 1 };
        let payload = match self.reader.payload(&header).context(path, "read")? {
            Ok(payload) => payload,
            Err(fault) => return Ok(Err(bad(Fault::of_frame(&fault)))),
        };
        if header.kind != FrameKind::BATCH {
            if header.is_refused() {
                let what = format!("a frame of the unknown kind {}", header.kind.0);
                return Err(Stop::Unsupported { offset, what });
            }
            if header.entry_count != 0 {
                return Ok(Err(bad(Fault::no_batch(&header))));
            }
            if let Some(deep) = &mut self.deep {
                deep.skip(&header);
            }
            return Ok(Ok((header, Facts { payload_bytes: 0, root: None })));
        }
        let batch = match batch_header(self.segment, &header, payload) {
            Ok(batch) => batch,
            Err(BatchFault::Unsupported(what)) => return Err(Stop::Unsupported { offset, what }),
            Err(BatchFault::Fault(fault)) => return Ok(Err(bad(fault))),
        };
        if let Some(deep) = &mut self.deep
            && let Err(error) = deep.apply(&header, payload)
        {
            return match Fault::of_replay(&error) {
                Some(fault) => Ok(Err(bad(fault))),
                None => Err(Stop::Unsupported { offset, what: error.to_string() }),
            };
        }
        let mut payload_bytes = u64::from(batch.payload_raw_len());
        if batch.extension_len() > 0
            && let Ok(meta) = Decoder::new().decode_meta(payload)
        {
            // Payloads that are absent count as well.
            payload_bytes = meta.entry_headers().map(|header| u64::from(header.payload_len)).sum();
        }
        Ok(Ok((header, Facts { payload_bytes, root: Some(batch.root()) })))
    }

    /// Goes over a sound frame.
    fn accept(&mut self, header: &FrameHeader, facts: &Facts) {
        let end = header.offset + header.len(self.segment.header.align_log2);
        self.check_flags(header);
        self.check_writer(header);
        self.check_watermark(header);
        self.synced_upto = self.synced_upto.max(header.synced_upto);
        if header.continues && self.group.is_none() {
            self.group = Some(self.at.clone());
        }
        self.at = Reached {
            offset: end,
            entries: header.end_index(),
            link: header.header_crc,
            counts: self.at.counts.map(|(frames, bytes)| (frames + 1, bytes + facts.payload_bytes)),
            changes: self.deep.as_ref().and_then(Deep::change_count),
            root: facts.root.or(self.at.root),
        };
        if !header.continues {
            self.group = None;
            self.boundaries.push_back(end);
        }
        self.frames += 1;
        self.frames_after += u64::from(self.first_break.is_some());
        self.last_opening = header.opening;
        self.last_incarnation = Some(header.incarnation);
    }

    /// Goes over what is no sound frame in sequence, to the next one that counts.
    fn pass_over(&mut self, bad: Bad) -> Result<(), Stop> {
        let align_log2 = self.segment.header.align_log2;
        let group = self.group.take();
        if self.first_break.is_none() {
            // Its header is sound and in sequence, so what it says of others counts.
            if let Some(frame) = &bad.frame {
                self.synced_upto = self.synced_upto.max(frame.synced_upto);
            }
            let (reached, opening) = (self.at.clone(), self.last_opening);
            self.first_break = Some(FirstBreak { reached, group, opening });
        }
        if let Some(deep) = &mut self.deep {
            deep.lose_track();
        }
        let next = self.find(bad.from)?;
        let end_of = |frame: &FrameHeader| frame.offset + frame.len(align_log2);
        // Where the header is sound, exactly that frame is lost.
        let only = bad.frame.filter(|frame| {
            let end = end_of(frame);
            end <= self.limit && next.is_none_or(|next| next.offset >= end)
        });
        let first = self.at.entries;
        let (offset, entries, link) = match (only, next) {
            (Some(frame), _) => {
                self.ahead = Some((end_of(&frame), next));
                self.last_opening = frame.opening;
                self.last_incarnation = Some(frame.incarnation);
                (end_of(&frame), frame.end_index(), frame.header_crc)
            }
            (None, Some(next)) => {
                self.found = Some(next.offset);
                self.last_incarnation = None;
                (next.offset, next.first_index, next.link)
            }
            (None, None) => (self.limit, first, self.at.link),
        };
        let end = (only.is_some() || next.is_some()).then_some(entries);
        if self.breaks.len() < BREAK_COUNT_MAX {
            self.breaks.push(Break { offset: self.at.offset, first, end, fault: bad.fault });
        } else {
            self.unlisted_breaks += 1;
        }
        self.at = Reached { offset, entries, link, counts: None, changes: None, root: None };
        self.sequence_start = if end.is_some() { offset } else { NOWHERE };
        self.boundaries = VecDeque::from([offset]);
        self.boundaries_from = offset;
        Ok(())
    }

    /// The next frame at or behind `from` that counts.
    fn find(&mut self, from: u64) -> Result<Option<FrameHeader>, Stop> {
        let mut offset = from;
        if let Some((searched_from, found)) = self.ahead.take()
            && searched_from <= from
        {
            match found {
                None => return Ok(None),
                Some(frame) if frame.offset >= from && self.counts(&frame) => {
                    return Ok(Some(frame));
                }
                Some(frame) => offset = offset.max(frame.offset + 1),
            }
        }
        while let Some(frame) = self.reader.find(offset).context(&self.segment.path, "read")? {
            if self.counts(&frame) {
                return Ok(Some(frame));
            }
            offset = frame.offset + 1;
        }
        Ok(None)
    }

    fn counts(&self, frame: &FrameHeader) -> bool {
        let before = self.first_break.as_ref().map_or(0, |first| first.opening);
        frame.opening >= before.max(self.checkpoint_opening(frame.offset))
            && frame.first_index >= self.at.entries
    }

    /// The lowest opening that a frame at `offset` may have, by the checkpoints (F-5).
    fn checkpoint_opening(&self, offset: u64) -> u32 {
        let checkpoints = self.segment.slots.iter().filter_map(Slot::checkpoint);
        let before = checkpoints.filter(|checkpoint| checkpoint.state.end_offset <= offset);
        before.map(|checkpoint| checkpoint.opening).max().unwrap_or(0)
    }

    /// Batches are critical and copied (F-4); a first opening is 1 (F-5).
    fn check_flags(&mut self, header: &FrameHeader) {
        let flags = header.kind == FrameKind::BATCH && !(header.critical && header.copy);
        if flags || header.opening == 0 {
            let what = if flags {
                "a batch that is not marked critical and copied"
            } else {
                "a frame of opening 0"
            };
            self.report(Code::BadFrameHeader, header.offset, what);
        }
    }

    /// One opening, one writer (F-8).
    fn check_writer(&mut self, header: &FrameHeader) {
        let forked = header.opening == self.last_opening
            && self.last_incarnation.is_some_and(|last| last != header.incarnation);
        if forked {
            let opening = header.opening;
            let what =
                format!("another writer than that of the frame before, both in opening {opening}");
            self.report(Code::ForkedLog, header.offset, what);
        }
    }

    /// A watermark is the end of a group (F-6).
    fn check_watermark(&mut self, header: &FrameHeader) {
        let named = header.synced_upto;
        if named < self.boundaries_from {
            return;
        }
        while self.boundaries.front().is_some_and(|&boundary| boundary < named) {
            self.boundaries.pop_front();
        }
        self.boundaries_from = named;
        if self.boundaries.front() != Some(&named) {
            let what =
                format!("a frame claims {named} durable bytes, where no group of frames ends");
            self.report(Code::WrongWatermark, header.offset, what);
        }
    }

    fn report(&mut self, code: Code, offset: u64, what: impl Into<String>) {
        if self.findings.len() < BREAK_COUNT_MAX {
            self.findings.push(Finding::new(code, &self.segment.path, what).at(offset));
        } else {
            self.unlisted_breaks += 1;
        }
    }

    /// Compares what is reached with what checkpoints and index runs say of this place.
    fn ask_witnesses(&mut self) {
        let mut witness = std::mem::take(&mut self.witness);
        while let Some(checkpoint) = witness.next_checkpoint(self.at.offset) {
            self.compare_checkpoint(checkpoint);
        }
        if let Some(position) = witness.next_index_end(self.at.offset) {
            self.compare_index(&position);
        }
        self.witness = witness;
    }

    fn compare_checkpoint(&mut self, checkpoint: &Checkpoint) {
        let end = checkpoint.state.end_offset;
        let slot = crate::log::slot_offset(checkpoint.slot());
        // In a break there is nothing to compare with.
        if end < self.sequence_start {
            return;
        }
        if end < self.at.offset {
            let what = format!("checkpoint {}: no frame ends at {end}", checkpoint.sequence);
            self.report(Code::WrongCheckpoint, slot, what);
            return;
        }
        let tree = self.deep.as_ref().and_then(Deep::state);
        let keys = &self.segment.keys;
        let mut wrong = super::witness::differences(&checkpoint.state, &self.at, tree, keys);
        if self.group.is_some() {
            wrong.push("durable_len (inside an atomic group)");
        }
        if checkpoint.opening < self.last_opening {
            wrong.push("opening");
        }
        if !wrong.is_empty() {
            let what = format!(
                "checkpoint {} does not match the frames below {end}: {}",
                checkpoint.sequence,
                wrong.join(", ")
            );
            self.report(Code::WrongCheckpoint, slot, what);
            return;
        }
        let same_opening = checkpoint.opening == self.last_opening;
        if same_opening && self.last_incarnation.is_some_and(|last| last != checkpoint.incarnation)
        {
            let what = format!(
                "checkpoint {} is of another writer than the frame before it, both in opening {}",
                checkpoint.sequence, checkpoint.opening
            );
            self.report(Code::ForkedLog, slot, what);
        }
        // It tells what the walk cannot know, or does not any more.
        let state = &checkpoint.state;
        self.at.changes = Some(state.change_count);
        self.at.counts = Some((state.frame_count, state.payload_bytes));
        self.at.root = Some(state.peaks.root(keys));
        if let Some(deep) = &mut self.deep {
            deep.find_track(state);
        }
    }

    fn compare_index(&mut self, position: &Position) {
        let end = position.end_offset;
        let differs = end < self.at.offset
            || position.end_index != self.at.entries
            || self.at.root.is_some_and(|root| root != position.root)
            || self.at.changes.is_some_and(|changes| changes != position.change_count);
        if differs && end >= self.sequence_start {
            let what = format!("the index does not match the frames below {end}");
            self.report(Code::StaleIndex, end, what);
        }
    }
}

enum BatchFault {
    Unsupported(String),
    Fault(Fault),
}

/// The header of the batch in a sound frame, if they agree (F-7, B-2).
fn batch_header(
    segment: &Segment,
    frame: &FrameHeader,
    payload: &[u8],
) -> Result<BatchHeader, BatchFault> {
    let batch = BatchHeader::decode(payload).map_err(|error| match error {
        BatchError::Unsupported(what) => {
            BatchFault::Unsupported(format!("a batch that cannot be read ({what})"))
        }
        error => BatchFault::Fault(Fault::new(Code::BadBatch, format!("malformed batch: {error}"))),
    })?;
    if batch.log() != segment.header.log {
        let what = format!("a batch of another log ({})", batch.log());
        return Err(BatchFault::Fault(Fault::new(Code::ForeignFrame, what)));
    }
    let agree = batch.first_index() == frame.first_index
        && batch.entry_count() == frame.entry_count
        && batch.continues() == frame.continues;
    if !agree || batch.batch_len() != u64::from(frame.payload_len) {
        let what = "the batch does not hold what its frame says";
        return Err(BatchFault::Fault(Fault::new(Code::BadBatch, what)));
    }
    Ok(batch)
}

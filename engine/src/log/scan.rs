//! Ranges of a log, lazily: forward or backward, all of it or one stream.
//!
//! A scan walks *stretches* of the file: all frames of the range, or the spans that the index names for a
//! stream and then what the index does not cover yet. It holds one decoded batch and a window of
//! read-ahead, however long the range is. What is damaged is given as an error, once, and the scan goes
//! on behind it.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use crate::{
    batch::{Batch, Decoder},
    bytes::{ClientId, LogId, StreamId},
    entry::EntryHeader,
    error::{Corruption, LostEntries},
    frame::{FrameHeader, FrameKind},
    index::{ASSET_POSTINGS, HISTORY_POSTINGS, Spans},
    log::{
        entry::{Entry, Payload},
        frames::{FrameFault, FrameReader, READ_AHEAD_LONG},
        read::{Log, Place, ReadError, Step, position_in},
    },
};

pub use crate::index::Direction;

/// Which entries of a range are given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Filter {
    /// All of them.
    Everything,
    /// Those of one stream.
    Stream(StreamId),
    /// Those that claim assets or release claims.
    Assets,
    /// Those that say what was seen, snapshots and redactions.
    History,
}

impl Filter {
    /// The stream under whose number the index has their spans.
    fn postings(self) -> Option<StreamId> {
        match self {
            Self::Everything => None,
            Self::Stream(stream) => Some(stream),
            Self::Assets => Some(ASSET_POSTINGS),
            Self::History => Some(HISTORY_POSTINGS),
        }
    }

    pub(super) fn wants(self, header: &EntryHeader) -> bool {
        match self {
            Self::Everything => true,
            Self::Stream(stream) => header.stream == stream,
            Self::Assets => header.kind.is_about_assets(),
            Self::History => header.kind.is_about_history(),
        }
    }
}

impl From<Option<StreamId>> for Filter {
    fn from(stream: Option<StreamId>) -> Self {
        stream.map_or(Self::Everything, Self::Stream)
    }
}

/// Entries of one log, lazily. Changes in several parts are joined and given whole.
///
/// An iterator of `Result<Entry, ReadError>`. After [`ReadError::Corrupt`] it goes on with what is behind
/// the damage, and after [`ReadError::Pruned`], which it gives for a range that begins with pruned entries, with those that
/// are there; after any other error it ends.
#[derive(Debug)]
pub struct Scan {
    pub(super) log: Arc<Log>,
    pub(super) direction: Direction,
    pub(super) filter: Filter,
    /// What is left, in entries.
    pub(super) rest: Range<u64>,
    /// Where the part of the range ends that was in the file when the scan began.
    pub(super) file_end: u64,
    walk: Walk,
    pub(super) batch: Option<Arc<Batch>>,
    /// Entries of the range that the end of the log has lost: not said yet.
    cut_off: Option<Corruption>,
    /// The range begins with entries that were pruned: not said yet.
    pruned: Option<ReadError>,
    failed: bool,
}

/// Frames in a row: from a place up to an offset.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    at: Place,
    end_offset: u64,
}

/// From which place to which a scan goes through the file.
#[derive(Debug)]
struct Walk {
    reader: FrameReader,
    decoder: Decoder,
    /// Spans of a stream, or all spans when going backward.
    spans: Option<Spans>,
    /// What the index does not cover.
    unindexed: Option<Stretch>,
    /// What is left of the present stretch, going forward.
    stretch: Option<Stretch>,
    /// Frames left of the present stretch, going backward.
    frames: Vec<FrameHeader>,
    /// Damage met while listing them.
    damage: VecDeque<ReadError>,
    /// The spans were of index files that are no more: they have to be asked for again.
    stale: bool,
}

impl Scan {
    pub(crate) fn new(
        log: Arc<Log>,
        range: Range<u64>,
        filter: impl Into<Filter>,
        direction: Direction,
        read_ahead: usize,
    ) -> Result<Self, ReadError> {
        let filter = filter.into();
        let view = log.view.read().clone();
        let count = log.entry_count();
        // What is lost where reading ends, no frame behind it tells of.
        let cut_off = view.damage.clone().filter(|damage| {
            range.end > count.max(damage.lost.first)
                && damage.lost.end.is_none_or(|end| end > count.max(range.start))
        });
        let first_index = log.first_index();
        let pruned = (range.start < first_index && range.start < range.end)
            .then(|| log.pruned_error(range.start));
        let range = range.start.max(first_index)..range.end.max(first_index);
        let mut rest = range.start.min(count)..range.end.min(count);
        // A change that begins in the range is given whole.
        while rest.start < rest.end && rest.end < count {
            match log.entry_header(rest.end - 1) {
                Ok(header) if !header.part.is_last() => rest.end += 1,
                _ => break,
            }
        }
        let indexed = log.index.position();
        if (filter != Filter::Everything || direction == Direction::Backward)
            && indexed.end_index < rest.end.min(view.entry_count)
        {
            log.read_up_index()?;
        }
        let end_offset = view.end_offset;
        let tail = Stretch { at: log.index_end(), end_offset };
        let from = match direction {
            Direction::Forward => rest.start,
            Direction::Backward => rest.end.saturating_sub(1),
        };
        let spans = match filter.postings() {
            Some(stream) => Some(log.index.spans_of_stream(stream, from, direction)),
            None if direction == Direction::Backward => Some(log.index.spans(from, direction)),
            None => None,
        };
        let (unindexed, stretch) = match spans {
            Some(_) => (Some(tail), None),
            None => (None, Some(Stretch { at: log.place_near(from)?, end_offset })),
        };
        let walk = Walk {
            reader: log.frame_reader(view.end_offset, read_ahead),
            decoder: Decoder::new(),
            spans,
            unindexed,
            stretch,
            frames: Vec::new(),
            damage: VecDeque::new(),
            stale: false,
        };
        Ok(Self {
            file_end: view.entry_count,
            log,
            direction,
            filter,
            rest,
            walk,
            batch: None,
            cut_off,
            pruned,
            failed: false,
        })
    }

    /// The application's changes alone, without the control entries between them.
    pub fn changes(self) -> impl Iterator<Item = Result<Entry, ReadError>> {
        self.filter(is_change)
    }

    /// Where its entries stand among those of other logs with the same clock (E-9).
    pub(crate) fn rank(&self) -> (ClientId, LogId) {
        (self.log.client(), self.log.id())
    }

    /// Makes the scan end without reading on.
    fn stop(&mut self) {
        self.failed = true;
    }

    /// The next entry as it stands in the log, parts apart.
    fn next_part(&mut self) -> Option<Result<Entry, ReadError>> {
        while !self.rest.is_empty() {
            let index = match self.direction {
                Direction::Forward => self.rest.start,
                Direction::Backward => self.rest.end - 1,
            };
            if index >= self.file_end {
                self.step_over(index..index + 1);
                match self.log.entry(index) {
                    Ok(entry) if self.filter.wants(entry.header()) => return Some(Ok(entry)),
                    Ok(_) => continue,
                    Err(error) => return Some(Err(error)),
                }
            }
            if let Some(batch) = self.batch.take_if(|batch| !batch.indices().contains(&index)) {
                drop(batch);
            }
            if let Some(batch) = &self.batch {
                let position = position_in(batch, index);
                if !self.filter.wants(&batch.entry_header(position)) {
                    self.step_over(index..index + 1);
                    continue;
                }
                let entry = self.log.entry_of(batch, position);
                self.step_over(index..index + 1);
                return Some(entry);
            }
            match self.next_batch() {
                Ok(Some(batch)) => self.enter(batch),
                Ok(None) => match self.direction {
                    Direction::Forward => {
                        self.rest.start = self.rest.end.min(self.file_end.max(self.rest.start));
                    }
                    Direction::Backward => self.rest.end = self.rest.start,
                },
                Err(error) if !std::mem::take(&mut self.walk.stale) => return Some(Err(error)),
                Err(_) => {
                    let (log, read_ahead) = (Arc::clone(&self.log), self.walk.reader.read_ahead());
                    let rest = self.rest.clone();
                    match Self::new(log, rest, self.filter, self.direction, read_ahead) {
                        Ok(again) => {
                            let (cut_off, pruned) = (self.cut_off.take(), self.pruned.take());
                            *self = Self { cut_off, pruned, ..again };
                        }
                        Err(error) => return Some(Err(error)),
                    }
                }
            }
        }
        None
    }

    /// Takes `indices` off what is left.
    fn step_over(&mut self, indices: Range<u64>) {
        match self.direction {
            Direction::Forward => self.rest.start = indices.end,
            Direction::Backward => self.rest.end = indices.start,
        }
    }

    /// Goes on in `batch`, skipping what lies between.
    fn enter(&mut self, batch: Arc<Batch>) {
        match self.direction {
            Direction::Forward => self.rest.start = self.rest.start.max(batch.first_index()),
            Direction::Backward => self.rest.end = self.rest.end.min(batch.end_index()),
        }
        let wanted = match self.filter {
            Filter::Stream(wanted) => batch.streams().any(|stream| stream == wanted),
            Filter::Everything | Filter::Assets | Filter::History => true,
        };
        if wanted {
            self.batch = Some(batch);
        } else {
            self.step_over(batch.indices());
        }
    }

    /// The next batch that holds entries of what is left.
    fn next_batch(&mut self) -> Result<Option<Arc<Batch>>, ReadError> {
        let generation = self.log.header.generation;
        loop {
            let frame = match self.direction {
                Direction::Forward => self.walk.next_forward(&self.log)?,
                Direction::Backward => self.walk.next_backward(&self.log)?,
            };
            let Some(frame) = frame else { return Ok(None) };
            if frame.end_index() <= self.rest.start || frame.kind != FrameKind::BATCH {
                continue;
            }
            if frame.first_index >= self.rest.end {
                match self.direction {
                    Direction::Forward => return Ok(None),
                    Direction::Backward => continue,
                }
            }
            if let Some(batch) = self.log.cache.find(self.log.id(), generation, frame.first_index) {
                return Ok(Some(batch));
            }
            let only = match self.filter {
                Filter::Stream(stream) => Some(stream),
                Filter::Everything | Filter::Assets | Filter::History => None,
            };
            let (reader, decoder) = (&mut self.walk.reader, &mut self.walk.decoder);
            let decoded = self.log.decode_with(reader, &frame, decoder, only);
            let batch =
                decoded.inspect_err(|_| self.rest = skip(&self.rest, &frame, self.direction))?;
            // A span of a stream has frames without it as well.
            let Some(batch) = batch.map(Arc::new) else { continue };
            if matches!(self.filter, Filter::Stream(_)) {
                self.log.cache.insert(self.log.id(), generation, &batch);
            }
            return Ok(Some(batch));
        }
    }

    /// Joins the parts of the change that begins with `first`.
    fn join(&mut self, first: &Entry) -> Option<Result<Entry, ReadError>> {
        let mut payload = first.stored_payload().unwrap_or_default().to_vec();
        let mut absent = first.absence();
        let mut payload_len = first.payload_len();
        let mut part_count = 1;
        let mut last = first.header().part;
        while !last.is_last() {
            let part = match self.next_part()? {
                Ok(part) => part,
                Err(error) => return Some(Err(error)),
            };
            if part.index() != first.index() + u64::from(part_count) {
                let lost = LostEntries::from(first.index()..part.index());
                let fault = FrameFault::OutOfSequence("parts of a change are missing");
                return Some(Err(self.log.corruption(0, lost, fault)));
            }
            payload.extend_from_slice(part.stored_payload().unwrap_or_default());
            absent = absent.or_else(|| part.absence());
            payload_len += part.payload_len();
            part_count += 1;
            last = part.header().part;
        }
        let payload = match absent {
            Some((why, hash)) => Payload::Absent(why, hash),
            None => Payload::Owned(Arc::new(payload)),
        };
        Some(Ok(Entry { part_count, payload_len, payload, ..first.clone() }))
    }

    /// Going backward, the change that ends with `last`: found by walking to its first part, then read forward.
    fn join_backward(&mut self, last: &Entry) -> Option<Result<Entry, ReadError>> {
        let mut first = last.clone();
        while !first.header().part.is_first() {
            first = match self.next_part()? {
                Ok(part) => part,
                Err(error) => return Some(Err(error)),
            };
        }
        let range = first.index()..last.index() + 1;
        let read_ahead = READ_AHEAD_LONG;
        match Self::new(Arc::clone(&self.log), range, None, Direction::Forward, read_ahead) {
            Ok(mut forward) => forward.next(),
            Err(error) => Some(Err(error)),
        }
    }
}

impl Iterator for Scan {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.direction == Direction::Forward
            && let Some(pruned) = self.pruned.take()
        {
            return Some(Err(pruned));
        }
        if self.direction == Direction::Backward
            && let Some(damage) = self.cut_off.take()
        {
            return Some(Err(damage.into()));
        }
        loop {
            let Some(item) = self.next_part() else {
                let cut_off = self.cut_off.take().map(ReadError::from);
                return cut_off.or_else(|| self.pruned.take()).map(Err);
            };
            let item = match item {
                Ok(entry) => {
                    let part = entry.header().part;
                    let begins = match self.direction {
                        Direction::Forward => part.is_first(),
                        Direction::Backward => part.is_last(),
                    };
                    if part.is_first() && part.is_last() {
                        return Some(Ok(entry));
                    }
                    if !begins {
                        // The change began before the range, or behind damage that was reported.
                        continue;
                    }
                    match self.direction {
                        Direction::Forward => self.join(&entry)?,
                        Direction::Backward => self.join_backward(&entry)?,
                    }
                }
                Err(error) => Err(error),
            };
            if let Err(error) = &item
                && !matches!(error, ReadError::Corrupt(_))
            {
                self.stop();
            }
            return Some(item);
        }
    }
}

/// Errors pass: who leaves out control entries wants to know of damage all the same.
pub(crate) fn is_change(item: &Result<Entry, ReadError>) -> bool {
    item.as_ref().map_or(true, |entry| !entry.kind().is_control())
}

/// What is left of `rest` behind a frame that cannot be read.
fn skip(rest: &Range<u64>, frame: &FrameHeader, direction: Direction) -> Range<u64> {
    match direction {
        Direction::Forward => rest.start.max(frame.end_index()).min(rest.end)..rest.end,
        Direction::Backward => rest.start..rest.end.min(frame.first_index).max(rest.start),
    }
}

impl Walk {
    fn next_forward(&mut self, log: &Log) -> Result<Option<FrameHeader>, ReadError> {
        loop {
            let Some(mut stretch) = self.stretch.take() else {
                let Some(stretch) = self.next_stretch(log)? else { return Ok(None) };
                self.stretch = Some(stretch);
                continue;
            };
            if stretch.at.offset >= stretch.end_offset {
                continue;
            }
            match log.next_frame(&mut self.reader, stretch.at)? {
                Step::Frame(frame) => {
                    stretch.at = log.behind(&frame);
                    self.stretch = Some(stretch);
                    return Ok(Some(frame));
                }
                Step::Damage(error, next) => {
                    self.stretch = next.map(|frame| Stretch { at: start_of(&frame), ..stretch });
                    return Err(error);
                }
                Step::End => {}
            }
        }
    }

    fn next_backward(&mut self, log: &Log) -> Result<Option<FrameHeader>, ReadError> {
        loop {
            if let Some(error) = self.damage.pop_front() {
                return Err(error);
            }
            if let Some(frame) = self.frames.pop() {
                return Ok(Some(frame));
            }
            // Going backward, what the index does not cover comes first.
            let tail = self.unindexed.take();
            let Some(mut stretch) =
                tail.map_or_else(|| self.next_stretch(log), |tail| Ok(Some(tail)))?
            else {
                return Ok(None);
            };
            while stretch.at.offset < stretch.end_offset {
                match log.next_frame(&mut self.reader, stretch.at)? {
                    Step::Frame(frame) => {
                        stretch.at = log.behind(&frame);
                        self.frames.push(frame);
                    }
                    Step::Damage(error, next) => {
                        self.damage.push_back(error);
                        let Some(frame) = next else { break };
                        stretch.at = start_of(&frame);
                    }
                    Step::End => break,
                }
            }
        }
    }

    fn next_stretch(&mut self, log: &Log) -> Result<Option<Stretch>, ReadError> {
        match self.spans.as_mut().and_then(Iterator::next) {
            Some(span) => {
                if let Err(error) = &span {
                    self.stale = log.renew_index(error)?;
                }
                let span = span.map_err(|error| log.index_error(error))?;
                Ok(Some(Stretch { at: Place::of(&span), end_offset: span.end_offset }))
            }
            None => Ok(self.unindexed.take()),
        }
    }
}

fn start_of(frame: &FrameHeader) -> Place {
    Place { offset: frame.offset, index: frame.first_index }
}

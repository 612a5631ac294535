//! The changes of one file, whole, in the order of the file.

use super::{
    frames::{Frames, Step, Stop},
    report::IncompleteChange,
};
use crate::{
    batch::{Batch, Decoder},
    bytes::{LogId, StreamId, Timestamp},
    entry::EntryHeader,
    frame::FrameKind,
    log::decode_for,
};

/// A whole change.
#[derive(Debug)]
pub(super) struct WholeChange {
    /// Index of its first part, and behind its last one.
    pub(super) first: u64,
    pub(super) end: u64,
    /// Lamport clock of its first part.
    pub(super) lamport: u64,
    pub(super) stream: StreamId,
    pub(super) timestamp: Option<Timestamp>,
    /// `None`: it was redacted or withheld.
    pub(super) payload: Option<Vec<u8>>,
}

impl WholeChange {
    fn new(index: u64, header: &EntryHeader) -> Self {
        Self {
            first: index,
            end: index + 1,
            lamport: header.lamport,
            stream: header.stream,
            timestamp: header.timestamp,
            payload: Some(Vec::new()),
        }
    }

    /// Whether this is the same change as `other`, which stands at the same index of the same log, as far as both
    /// can tell.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same_payload = match (&self.payload, &other.payload) {
            (Some(own), Some(payload)) => own == payload,
            _ => true,
        };
        self.end == other.end
            && self.stream == other.stream
            && self.timestamp == other.timestamp
            && same_payload
    }

    /// Whether the entry can be the next part (E-5).
    fn goes_on_with(&self, index: u64, header: &EntryHeader) -> bool {
        self.end == index && self.stream == header.stream && self.timestamp == header.timestamp
    }
}

/// A part of a change that cannot be made whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orphans {
    pub(super) parts: IncompleteChange,
    /// Lamport clock of the first of them.
    pub(super) lamport: u64,
}

/// Gives the whole changes of one file, one after the other.
pub(super) struct Changes<'a> {
    log: LogId,
    frames: Frames<'a>,
    decoder: Decoder,
    batch: Option<(Batch, usize)>,
    /// Entries below were carried over.
    from: u64,
    /// A change that is not complete yet.
    open: Option<WholeChange>,
    /// Index of the entry that would follow without a gap.
    expected: u64,
    pub(super) orphans: Vec<Orphans>,
}

impl<'a> Changes<'a> {
    /// The changes from the entry `from` on.
    pub(super) fn new(log: LogId, frames: Frames<'a>, from: u64) -> Self {
        Self {
            log,
            frames,
            decoder: Decoder::new(),
            batch: None,
            from,
            open: None,
            expected: from,
            orphans: Vec::new(),
        }
    }

    /// The next change; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<WholeChange>, Stop> {
        loop {
            while let Some((batch, position)) = self.batch.take() {
                if position == batch.len() {
                    break;
                }
                let index = batch.first_index() + position as u64;
                let entry = (batch.entry_header(position), batch.payload(position));
                let change = if index < self.from { None } else { self.take(index, entry) };
                self.batch = Some((batch, position + 1));
                if change.is_some() {
                    return Ok(change);
                }
            }
            if !self.read_on()? {
                self.give_up_open();
                return Ok(None);
            }
        }
    }

    /// Reads the next batch; false at the end.
    fn read_on(&mut self) -> Result<bool, Stop> {
        loop {
            let header = match self.frames.next()? {
                Step::Frame(header) => header,
                Step::Break(_) => continue,
                Step::End => return Ok(false),
            };
            if header.kind == FrameKind::BATCH && header.end_index() > self.from {
                let payload = self.frames.payload(&header)?;
                match decode_for(self.log, &header, &mut self.decoder, payload) {
                    Ok(batch) => self.batch = Some((batch, 0)),
                    Err(error) => {
                        self.frames.refuse(&header, error.to_string());
                        continue;
                    }
                }
            }
            self.frames.pass(&header);
            if self.batch.is_some() {
                return Ok(true);
            }
        }
    }

    fn take(
        &mut self,
        index: u64,
        (header, payload): (EntryHeader, Option<&[u8]>),
    ) -> Option<WholeChange> {
        if self.expected != index {
            self.give_up_open();
        }
        self.expected = index + 1;
        if header.kind.is_control() {
            self.give_up_open();
            return None;
        }
        if header.part.is_first() {
            self.give_up_open();
            self.open = Some(WholeChange::new(index, &header));
        } else if !self.open.as_ref().is_some_and(|open| open.goes_on_with(index, &header)) {
            self.give_up_open();
            self.orphan(index, index + 1, header.lamport);
            return None;
        }
        let open = self.open.as_mut().expect("was just begun, or goes on");
        open.end = index + 1;
        match (&mut open.payload, payload) {
            (Some(whole), Some(part)) => whole.extend_from_slice(part),
            // A change is absent if one of its parts is.
            (whole, _) => *whole = None,
        }
        if header.part.is_last() { self.open.take() } else { None }
    }

    fn give_up_open(&mut self) {
        if let Some(open) = self.open.take() {
            self.orphan(open.first, open.end, open.lamport);
        }
    }

    fn orphan(&mut self, first: u64, end: u64, lamport: u64) {
        match self.orphans.last_mut().filter(|last| last.parts.end == first && first + 1 == end) {
            // Parts behind a gap, one after the other.
            Some(last) => last.parts.end = end,
            None => self.orphans.push(Orphans { parts: IncompleteChange { first, end }, lamport }),
        }
    }
}

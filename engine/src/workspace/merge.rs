//! All logs in one order: (Lamport clock, client, log, index) (E-9).

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    ops::Range,
};

use super::{Frontier, Workspace, frontier::sound_row};
use crate::{
    bytes::Timestamp,
    log::{Direction, Entry, EntryRef, Head, Log, ReadError, Scan, is_change},
};

/// Read-ahead of each of the logs that are merged.
const MERGE_READ_AHEAD: usize = 64 << 10;

/// Entries of all logs in canonical order, lazily.
///
/// Holds one window of read-ahead and one batch for each log. Errors of one log are given as they come; after
/// [`ReadError::Corrupt`] it goes on.
#[derive(Debug)]
pub struct Merged {
    /// Ordered by client and log, so that the number of a scan is its rank where clocks are equal.
    scans: Vec<Scan>,
    /// What each scan stands at; `None` at its end.
    heads: Vec<Option<Entry>>,
    /// Clocks of the heads, and their scans. The clocks of one log rise, so that no more is needed to order them.
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    errors: Vec<ReadError>,
}

impl Merged {
    pub(super) fn new(mut scans: Vec<Scan>) -> Self {
        scans.sort_by_key(Scan::rank);
        let heads = scans.iter().map(|_| None).collect();
        let heap = BinaryHeap::with_capacity(scans.len());
        let mut merged = Self { scans, heads, heap, errors: Vec::new() };
        for scan in 0..merged.scans.len() {
            if let Some(lamport) = merged.advance(scan) {
                merged.heap.push(Reverse((lamport, scan)));
            }
        }
        merged
    }

    /// The application's changes alone, without the control entries between them.
    pub fn changes(self) -> impl Iterator<Item = Result<Entry, ReadError>> {
        self.filter(is_change)
    }

    /// Shows each entry to `look`, without giving it away; see [`Scan::visit`].
    ///
    /// # Errors
    ///
    /// See [`ReadError`], of whichever log; and what `look` returns.
    pub fn visit<E: From<ReadError>>(
        mut self,
        mut look: impl FnMut(EntryRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(error) = self.errors.pop() {
            return Err(error.into());
        }
        let mut heads: Vec<_> = self.heads.into_iter().map(|head| head.map(Head::Entry)).collect();
        while let Some(mut top) = self.heap.peek_mut() {
            let Reverse((_, scan)) = *top;
            let slot = &mut heads[scan];
            if let Some(head) = slot {
                look(head.lend())?;
                if !head.step() {
                    *slot = self.scans[scan].next_head().transpose()?;
                }
            }
            match slot {
                Some(head) => *top = Reverse((head.lend().lamport(), scan)),
                None => {
                    PeekMut::pop(top);
                }
            }
        }
        Ok(())
    }

    /// Goes on with one of the scans; gives the clock of what it stands at then.
    fn advance(&mut self, scan: usize) -> Option<u64> {
        for item in &mut self.scans[scan] {
            match item {
                Ok(entry) => {
                    let lamport = entry.lamport();
                    self.heads[scan] = Some(entry);
                    return Some(lamport);
                }
                Err(error) => self.errors.push(error),
            }
        }
        None
    }
}

impl Iterator for Merged {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.errors.pop() {
            return Some(Err(error));
        }
        let &Reverse((_, scan)) = self.heap.peek()?;
        let entry = self.heads[scan].take();
        let next = self.advance(scan);
        if let Some(mut top) = self.heap.peek_mut() {
            match next {
                Some(lamport) => *top = Reverse((lamport, scan)),
                None => {
                    PeekMut::pop(top);
                }
            }
        }
        entry.map(Ok)
    }
}

impl Workspace {
    /// All entries of all logs in canonical order.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn merged(&self) -> Result<Merged, ReadError> {
        self.merged_between(&Frontier::empty(), None)
    }

    /// What somebody has not seen who has seen `frontier`, in canonical order.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn since(&self, frontier: &Frontier) -> Result<Merged, ReadError> {
        self.merged_between(frontier, None)
    }

    /// What lies between two frontiers, in canonical order; up to what there is if `to` is `None`.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn merged_between(
        &self,
        from: &Frontier,
        to: Option<&Frontier>,
    ) -> Result<Merged, ReadError> {
        self.merge(|log| {
            // Who has seen nothing gets what there is; who has seen something is told what is gone since.
            let seen = from.row(log.id()).filter(|row| row.size > 0);
            let start = seen.map_or_else(|| log.first_index(), |row| row.size);
            Ok(Some((start..to.map_or(u64::MAX, |to| to.size(log.id())), None)))
        })
    }

    /// The entries of the streams with this name, of all logs that have one, in canonical order.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn merged_stream(&self, name: &str) -> Result<Merged, ReadError> {
        self.merge(|log| {
            Ok(log.find_stream(name)?.map(|stream| (log.first_index()..u64::MAX, Some(stream))))
        })
    }

    #[allow(clippy::type_complexity, reason = "a range and a stream, used here only")]
    fn merge(
        &self,
        part: impl Fn(&Log) -> Result<Option<(Range<u64>, Option<crate::StreamId>)>, ReadError>,
    ) -> Result<Merged, ReadError> {
        let logs = self.inner.all_logs();
        let mut scans = Vec::with_capacity(logs.len());
        for log in logs {
            if let Some((range, stream)) = part(&log)? {
                scans.push(Scan::new(log, range, stream, Direction::Forward, MERGE_READ_AHEAD)?);
            }
        }
        Ok(Merged::new(scans))
    }

    /// How far each log goes now. What is staged is written first.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]. Damage is none: of a damaged log only what comes before the damage is in it, up to the end
    /// of a group.
    pub fn frontier(&self) -> Result<Frontier, ReadError> {
        self.frontier_of(|log| Ok(log.readable_size()))
    }

    /// How far each log went at `time`: to before its first entry that is later.
    ///
    /// With a caller that replays, this is history and undo: [`Workspace::merged_between`] the empty frontier and
    /// this one gives the state at that time.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn at(&self, time: Timestamp) -> Result<Frontier, ReadError> {
        self.frontier_of(|log| log.size_at(time))
    }

    fn frontier_of(
        &self,
        size: impl Fn(&Log) -> Result<u64, ReadError>,
    ) -> Result<Frontier, ReadError> {
        let logs = self.inner.all_logs();
        let mut rows = Vec::with_capacity(logs.len());
        for log in logs {
            let wanted = match size(&log) {
                Err(ReadError::Corrupt(damage)) => damage.lost.first,
                result => result?,
            };
            // A log without entries is as good as none: who has nothing of it has all of it.
            if wanted > 0 {
                rows.extend(sound_row(&log, wanted)?);
            }
        }
        Ok(Frontier::from(rows))
    }
}

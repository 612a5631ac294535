//! Why a payload is not there: taken back by an entry of the same log, or merely left out (H-5).

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use crate::{
    entry::{Kind, Redaction},
    log::{
        read::{Log, ReadError},
        scan::{Direction, Filter, Scan},
    },
};

/// Read at once when redactions are looked for, which are few and far between.
const READ_AHEAD: usize = 64 << 10;

/// Why the payload of an entry is not there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Absent {
    /// The client that wrote it has taken it back: a redaction in the same log says so.
    #[error("redacted by entry {by} ({reason})")]
    Redacted {
        /// Index of the redaction.
        by: u64,
        /// The reason that it gives.
        reason: Arc<str>,
    },
    /// It was left out by whoever this log came from, and no redaction in the log says with what right. Another
    /// replica may have it.
    #[error("withheld: the payload was left out, and no redaction in the log says why")]
    Withheld,
}

/// The redactions of a log, as far as they were asked for.
#[derive(Debug, Default)]
pub(crate) struct RedactionTable {
    /// What is redacted, without overlaps, by first index; of several redactions of an entry the first counts.
    ranges: BTreeMap<u64, (u64, u64, Arc<str>)>,
    /// Entries below were looked at.
    upto: u64,
}

impl RedactionTable {
    fn insert(&mut self, by: u64, redaction: Redaction) {
        let Redaction { entries: Range { mut start, end }, reason } = redaction;
        let reason: Arc<str> = reason.into();
        while start < end {
            if let Some(known_end) = self.end_of(start) {
                start = known_end;
                continue;
            }
            let next = self.ranges.range(start..end).next().map_or(end, |(&first, _)| first);
            self.ranges.insert(start, (next, by, Arc::clone(&reason)));
            start = next;
        }
    }

    fn end_of(&self, index: u64) -> Option<u64> {
        self.find(index).map(|(end, ..)| *end)
    }

    fn find(&self, index: u64) -> Option<&(u64, u64, Arc<str>)> {
        let (_, found) = self.ranges.range(..=index).next_back()?;
        (index < found.0).then_some(found)
    }

    /// The ranges, ascending.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.ranges.iter().map(|(&first, &(end, ..))| first..end)
    }
}

impl Log {
    /// Gives `ask` the redactions of the first `size` entries and perhaps of some more.
    ///
    /// Cost: the first time one lookup in the index and the entries that it names; then only what is new.
    pub(crate) fn with_redactions<R>(
        self: &Arc<Self>,
        size: u64,
        ask: impl FnOnce(&RedactionTable) -> R,
    ) -> Result<R, ReadError> {
        let mut table = self.redactions.lock();
        let from = table.upto.max(self.header.first_index);
        if from < size {
            let log = Arc::clone(self);
            let scan = Scan::new(log, from..size, Filter::History, Direction::Forward, READ_AHEAD)?;
            for entry in scan {
                let entry = entry?;
                if entry.kind() == Kind::REDACTION
                    && let Some(payload) = entry.stored_payload()
                    && let Ok(redaction) = Redaction::decode(entry.index(), payload)
                {
                    table.insert(entry.index(), redaction);
                }
            }
            table.upto = size;
        }
        Ok(ask(&table))
    }

    /// Why the payload of the change `index` is not there.
    pub(crate) fn absence(self: &Arc<Self>, index: u64) -> Result<Absent, ReadError> {
        // The view alone: what is staged here is not yet of any log.
        let size = self.view.read().entry_count;
        self.with_redactions(size, |table| match table.find(index) {
            Some((_, by, reason)) => Absent::Redacted { by: *by, reason: Arc::clone(reason) },
            None => Absent::Withheld,
        })
    }
}

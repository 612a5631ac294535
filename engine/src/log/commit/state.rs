//! What becomes of the shared state when something is staged, lost or given up.

use std::sync::Arc;

use super::{AppendError, Assigned, Failure, State};
use crate::{entry::EntryHeader, error::IoError, log::appender::Appender};

impl State {
    pub(super) fn visible_end(&self) -> u64 {
        self.exclusive.unwrap_or_else(|| self.staged.end_index())
    }

    /// Whether one of these entries was lost to a full disk since it got its index.
    pub(super) fn is_void(&self, entries: Assigned) -> bool {
        let ended = usize::try_from(entries.epoch).ok().and_then(|epoch| self.voids.get(epoch..));
        ended.is_none_or(|voids| voids.iter().any(|&void_from| void_from < entries.end))
    }

    pub(super) fn stage(&mut self, header: EntryHeader, payload: &[u8]) {
        self.lamport += 1;
        self.staged.push(EntryHeader { lamport: self.lamport, ..header }, payload);
    }

    /// The disk is full: what is not written is void.
    pub(super) fn void(&mut self, appender: &Appender, error: IoError) -> AppendError {
        let void_from = appender.state().entry_count();
        self.staged.reset(void_from);
        self.lamport = appender.state().lamport;
        self.exclusive = self.exclusive.map(|first| first.min(void_from));
        self.epoch += 1;
        self.voids.push(void_from);
        let failure = Failure::Full { void_from, error: Arc::new(error) };
        let error = failure.error();
        self.failure = Some(failure);
        error
    }

    pub(super) fn poison(&mut self, error: IoError) -> AppendError {
        let failure = Failure::Poisoned(Arc::new(error));
        let error = failure.error();
        self.failure = Some(failure);
        error
    }
}

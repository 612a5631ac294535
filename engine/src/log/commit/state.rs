//! What becomes of the shared state when something is staged, lost or given up.

use std::sync::Arc;

use super::{AppendError, Assigned, Failure, State};
use crate::{
    entry::{EntryHeader, Kind},
    error::IoError,
    log::{appender::Appender, change::Change},
};

impl State {
    pub(super) fn visible_end(&self) -> u64 {
        self.exclusive.unwrap_or_else(|| self.staged.end_index())
    }

    /// Whether one of these entries was lost to a full disk since it got its index.
    pub(super) fn is_void(&self, entries: Assigned) -> bool {
        let ended = usize::try_from(entries.epoch).ok().and_then(|epoch| self.voids.get(epoch..));
        ended.is_none_or(|voids| voids.iter().any(|&void_from| void_from < entries.end))
    }

    /// Refuses changes whose streams the log has not declared, or lost: what is staged must continue the log.
    ///
    /// Asked under the lock under which they are staged. A declaration may be lost at any moment before.
    pub(super) fn check_streams(
        &self,
        changes: &[Change<'_>],
        rests_on: Option<Assigned>,
    ) -> Result<(), AppendError> {
        if rests_on.is_some_and(|declaration| self.is_void(declaration)) {
            return Err(AppendError::Void);
        }
        let unknown = changes.iter().find(|change| match change.kind {
            Kind::STREAM => change.stream.0 != self.streams + 1,
            _ => change.stream.0 > self.streams,
        });
        unknown.map_or(Ok(()), |change| Err(AppendError::UnknownStream(change.stream)))
    }

    pub(super) fn stage(&mut self, header: EntryHeader, payload: &[u8]) {
        self.lamport += 1;
        self.streams += u32::from(header.kind == Kind::STREAM);
        self.staged.push(EntryHeader { lamport: self.lamport, ..header }, payload);
    }

    /// The disk is full: what is not written is void.
    pub(super) fn void(&mut self, appender: &Appender, error: IoError) -> AppendError {
        let void_from = appender.state().entry_count();
        self.staged.reset(void_from);
        self.lamport = appender.state().lamport;
        self.streams = appender.state().stream_count;
        self.exclusive = self.exclusive.map(|first| first.min(void_from));
        self.epoch += 1;
        self.voids.push(void_from);
        let failure = Failure::Full { void_from, error: Arc::new(error) };
        let error = failure.error();
        self.failure = Some(failure);
        error
    }

    pub(super) fn poison(&mut self, error: impl Into<Arc<IoError>>) -> AppendError {
        let failure = Failure::Poisoned(error.into());
        let error = failure.error();
        self.failure = Some(failure);
        error
    }
}

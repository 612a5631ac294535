//! Whether an entry that something refers to still stands, or was lost to a full disk.

use super::{AppendError, Assigned, Core, Failure};

impl Core {
    /// The entry `index` as it stands now, to append what rests on it.
    ///
    /// Fails while the log is failed: what was lost may still be known under its name.
    pub(crate) fn standing(&self, index: u64) -> Result<Assigned, AppendError> {
        let state = self.state.lock();
        let now = Assigned { first: index, end: index + 1, epoch: state.epoch };
        state.failure.as_ref().map(Failure::error).map_or(Ok(now), Err)
    }

    /// Whether the log was closed: nothing is ever written to it again.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state.lock().failure, Some(Failure::Closed))
    }
}

//! A log that stays the same while its segment is replaced by the next generation.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{log::Log, sync::RwLock};

/// Which generation of a log is the one to use now. Whoever holds a [`Log`] itself goes on reading that generation.
#[derive(Debug)]
pub(crate) struct LogSlot {
    path: PathBuf,
    now: RwLock<Arc<Log>>,
}

impl LogSlot {
    pub(crate) fn new(log: Arc<Log>) -> Arc<Self> {
        Arc::new(Self { path: log.path.clone(), now: RwLock::new(log) })
    }

    /// The segment file, whatever generation it is of.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The generation to use now.
    pub(crate) fn now(&self) -> Arc<Log> {
        Arc::clone(&self.now.read())
    }

    /// From now on `next` is used.
    pub(crate) fn switch(&self, next: Arc<Log>) {
        *self.now.write() = next;
    }
}

//! Bundles in: what another workspace has (section 11).
//!
//! A bundle is judged whole before anything of it can be seen. While it is read, each batch is decoded, hashed, and
//! *withheld*: written where nobody looks.
//!
//! - Of a log that is here: behind the published end of its segment, which nobody but imports writes. No view covers
//!   it, nor a checkpoint, which is what readers in other processes go by.
//! - Of a log that is new here: in a segment under a temporary name (W-3).
//! - Of the own log, which others append to meanwhile: in a temporary file; its appenders wait for nothing.
//!
//! When the end of the bundle was judged, each log is synced, recorded in a checkpoint and published, one after the
//! other; or all of it is taken back. So a reader that stalls, fails, panics or calls back into the workspace holds
//! up nothing but other imports.
//!
//! A crash before that may leave whole batches behind the last checkpoint of a replica. Each was verified by its root,
//! and the next opening keeps them like any tail up to the last whole group, as U-5 allows; of new logs and of the
//! own one nothing is left but a temporary file.
//!
//! Memory: one batch, a buffer or two for the log that is read, the state of each log of the bundle (some KiB with its
//! salts), and what the indexes are to learn, up to 16 MiB for all logs together; more than that is read up from the
//! segments later, as after the loss of an index.
//!
//! - here: errors, the report, and the way through;
//! - `judge`: reading the bundle; `withheld`: what becomes of one log.

mod judge;
mod withheld;

use std::{io::Read, mem, path::PathBuf};

use self::judge::Judge;
use super::{HinderedLog, Inner, Workspace};
use crate::{
    batch::BatchError,
    bundle::{BundleError, BundleReader},
    bytes::{ClientId, Hash, LogId, WorkspaceId},
    error::IoError,
    log::{AppendError, Core, ReadError, ReplayError},
    sync::{Mutex, ReentrantMutexGuard},
};

/// Why a bundle was not imported. Unless it says otherwise nothing of it was kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are no sound bundle. If they merely end too early, what came before was kept, but for entries of
    /// the own log.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle is one of another workspace.
    #[error("the bundle is of workspace {bundle}, this is {here}")]
    OtherWorkspace {
        /// Its workspace.
        bundle: WorkspaceId,
        /// This one.
        here: WorkspaceId,
    },
    /// The bundle contradicts what is here: there are two histories of one log.
    #[error(
        "log {log}: the bundle's root of the first {size} entries is {theirs}, here it is {ours}; {}", advice(*.own)
    )]
    Contradiction {
        /// The log.
        log: LogId,
        /// Whether it is the log that this device writes.
        own: bool,
        /// The size at which they differ.
        size: u64,
        /// The root here.
        ours: Hash,
        /// The root in the bundle.
        theirs: Hash,
    },
    /// The bundle goes on from another history than the one here, with which it has a size in common that
    /// neither names.
    #[error(
        "log {log}: here are {size} entries with root {ours}; the bundle's {their_size} entries with root {theirs} do not \
         continue them; {}", advice(*.own)
    )]
    Diverged {
        /// The log.
        log: LogId,
        /// Whether it is the log that this device writes.
        own: bool,
        /// Entries here.
        size: u64,
        /// Their root.
        ours: Hash,
        /// Entries up to the bundle's batch that does not fit.
        their_size: u64,
        /// Their root, as the batch says.
        theirs: Hash,
    },
    /// The bundle starts behind what is here.
    #[error(
        "log {log}: the bundle starts at entry {from}, here there are {size}; import what comes between first"
    )]
    Gap {
        /// The log.
        log: LogId,
        /// Where it starts.
        from: u64,
        /// What is here.
        size: u64,
    },
    /// A batch does not continue its log.
    #[error("log {log}: {error}")]
    Refused {
        /// The log.
        log: LogId,
        /// Why.
        error: ReplayError,
    },
    /// A batch is malformed.
    #[error("log {log}: malformed batch: {error}")]
    Batch {
        /// The log.
        log: LogId,
        /// Why.
        error: BatchError,
    },
    /// The records of the bundle do not fit together.
    #[error("log {log}: {what}")]
    Malformed {
        /// The log.
        log: LogId,
        /// What is wrong.
        what: &'static str,
    },
    /// The reader of an import has called [`Workspace::import`] of the same workspace.
    #[error("an import cannot be started from within the reader of another one")]
    Nested,
    /// What is here cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A log here cannot be written. If that shows only when the bundle was found sound, the logs before it have
    /// been taken in; importing the bundle again goes on there.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The operating system refused something. Logs before the one it concerns may have been taken in, as for
    /// [`ImportError::Append`].
    #[error(transparent)]
    Io(#[from] IoError),
    /// A log here cannot be opened.
    #[error("{}: {reason}", .path.display())]
    Unusable {
        /// Its segment file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What to do about two histories of one log.
fn advice(own: bool) -> &'static str {
    if own {
        "this device went on from an old copy of its own log. Both histories are kept where they are; \
         `annals-fsck --repair --successor` makes this device go on in a new log"
    } else {
        "both are kept where they are"
    }
}

/// What was imported.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// The logs of the bundle that carry entries, but for those refused.
    pub logs: Vec<ImportedLog>,
    /// Entries that are new here.
    pub entries: u64,
    /// Logs of the bundle that cannot be gone on with, as they are damaged here. Nothing of them was imported; the
    /// others were.
    pub refused: Vec<HinderedLog>,
}

/// What was imported of one log.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct ImportedLog {
    /// The client that writes it.
    pub client: ClientId,
    /// The log.
    pub log: LogId,
    /// Entries that were here before.
    pub before: u64,
    /// Entries that are here now.
    pub after: u64,
    /// Entries of the own log among them that this device had lost: it had written them, others have kept them, and
    /// its own copy was shorter, as after an old backup was restored. 0 for the logs of others.
    pub restored: u64,
}

impl Workspace {
    /// Takes in a bundle: every entry is hashed and must lead to the roots that the bundle names. Importing it again
    /// changes nothing.
    ///
    /// Nothing of it can be seen before its end was judged, and nothing is kept of one that is damaged or contradicts
    /// what is here. Of one that merely ends too early ([`BundleError::Truncated`]) what came is kept; importing the
    /// whole one goes on there. A log that is damaged *here* is left as it is and named in the report
    /// ([`ImportReport::refused`]); the others are imported.
    ///
    /// Entries of the own log that this device has lost are restored ([`ImportedLog::restored`]), unless it has
    /// written others in their place.
    ///
    /// `input` may take its time: while it is waited for, everything but other imports goes on. Closing the workspace
    /// meanwhile makes the import fail.
    ///
    /// # Errors
    ///
    /// See [`ImportError`].
    pub fn import(&self, input: impl Read) -> Result<ImportReport, ImportError> {
        if self.inner.lock.is_none() || self.inner.is_closed() {
            return Err(AppendError::ReadOnly.into());
        }
        let mut reader = BundleReader::new(input)?;
        if reader.workspace() != self.id() {
            return Err(ImportError::OtherWorkspace {
                bundle: reader.workspace(),
                here: self.id(),
            });
        }
        let _turn = Turn::take(&self.inner).ok_or(ImportError::Nested)?;
        let mut judge = Judge::new(&self.inner);
        match judge.read(&mut reader) {
            Ok(()) => judge.take_in(),
            Err(ImportError::Bundle(truncated @ BundleError::Truncated { .. })) => {
                // The error has no room for what came back of the own log, and that must not go unsaid.
                judge.drop_own()?;
                judge.take_in()?;
                Err(truncated.into())
            }
            Err(error) => {
                judge.take_back()?;
                Err(error)
            }
        }
    }
}

/// The right to import: one at a time, as what one takes back no other may have built upon.
pub(super) struct Turn<'a>(ReentrantMutexGuard<'a, Mutex<bool>>);

impl<'a> Turn<'a> {
    /// Waits for other threads. `None` if this thread has it already.
    pub(super) fn take(inner: &'a Inner) -> Option<Self> {
        let turn = inner.importing.lock();
        let is_taken = mem::replace(&mut *turn.lock(), true);
        if is_taken { None } else { Some(Self(turn)) }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
    }
}

impl Inner {
    pub(super) fn is_closed(&self) -> bool {
        self.core.as_deref().is_none_or(Core::is_closed)
    }
}

//! Bundles in: what another workspace has (section 11).

use std::{io::Read, path::PathBuf, sync::Arc};

use super::{Inner, Workspace, index_folder, open, segment_path};
use crate::{
    batch::{BatchError, Decoder},
    bundle::{BundleError, BundleReader, BundleRow, BundledLog, Record},
    bytes::{ClientId, Hash, LogId, WorkspaceId},
    entry::FrontierRow,
    error::{Corruption, IoContext as _, IoError},
    log::{
        AppendError, Appender, BatchRefused, Log, LogState, OpenAs, OpenLog, ReadError,
        ReplayError, Segment, SegmentHeader,
    },
    merkle::SaltTree,
    sync::Ordering,
};

/// Why a bundle was not imported. Unless it says otherwise nothing of it was kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are no sound bundle. If they merely end too early, what came before was kept.
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
        "log {log}: the bundle's root of the first {size} entries is {theirs}, here it is {ours}; both are kept where they are"
    )]
    Contradiction {
        /// The log.
        log: LogId,
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
         continue them; both are kept where they are"
    )]
    Diverged {
        /// The log.
        log: LogId,
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
    /// The log here is damaged; it can take nothing before it is healed.
    #[error(transparent)]
    Damaged(#[from] Corruption),
    /// What is here cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A log here cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The operating system refused something.
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

/// What was imported.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// The logs of the bundle.
    pub logs: Vec<ImportedLog>,
    /// Entries that are new here.
    pub entries: u64,
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
}

impl Workspace {
    /// Takes in a bundle: every entry is hashed and must lead to the roots that the bundle names. Importing it again
    /// changes nothing.
    ///
    /// Nothing of a bundle is kept that is damaged or contradicts what is here. Of one that merely ends too early
    /// ([`BundleError::Truncated`]) what came is kept; importing the whole one goes on there.
    ///
    /// # Errors
    ///
    /// See [`ImportError`].
    pub fn import(&self, input: impl Read) -> Result<ImportReport, ImportError> {
        if self.inner.lock.is_none() {
            return Err(AppendError::ReadOnly.into());
        }
        let mut reader = BundleReader::new(input)?;
        if reader.workspace() != self.id() {
            return Err(ImportError::OtherWorkspace {
                bundle: reader.workspace(),
                here: self.id(),
            });
        }
        let rows = reader.rows().to_vec();
        let _importing = self.inner.importing.lock();
        for row in &rows {
            self.inner.check_row(row)?;
        }
        let mut staged = Vec::new();
        let outcome = self.inner.import_logs(&mut reader, &rows, &mut staged);
        match outcome {
            Ok(()) => self.inner.keep(staged),
            Err(ImportError::Bundle(truncated @ BundleError::Truncated { .. })) => {
                self.inner.keep(staged)?;
                Err(truncated.into())
            }
            Err(error) => {
                self.inner.discard(&staged)?;
                Err(error)
            }
        }
    }
}

/// What was appended to one log in the course of an import.
struct StagedLog {
    log: Arc<Log>,
    /// Where the log was before.
    mark: LogState,
    /// How many entries it had when the import was through with it.
    end: u64,
    /// The log is new here.
    is_new: bool,
}

impl Inner {
    /// Refuses a row that contradicts what is here, or starts behind it.
    fn check_row(&self, row: &BundleRow) -> Result<(), ImportError> {
        let Some(log) = self.logs.read().get(&row.row.log).cloned() else {
            let gap = ImportError::Gap { log: row.row.log, from: row.from, size: 0 };
            return if row.from == 0 { Ok(()) } else { Err(gap) };
        };
        if log.client() != row.row.client {
            return Err(ImportError::Malformed {
                log: log.id(),
                what: "the bundle says that it is of another client",
            });
        }
        if let Some(damage) = log.view.read().damage.clone() {
            return Err(damage.into());
        }
        let (size, _) = log.root_at(None)?;
        if row.row.size <= size {
            let (_, ours) = log.root_at(Some(row.row.size))?;
            if ours != row.row.root {
                return Err(ImportError::Contradiction {
                    log: log.id(),
                    size: row.row.size,
                    ours,
                    theirs: row.row.root,
                });
            }
        } else if row.from > size {
            return Err(ImportError::Gap { log: log.id(), from: row.from, size });
        }
        Ok(())
    }

    fn import_logs<R: Read>(
        &self,
        reader: &mut BundleReader<R>,
        rows: &[BundleRow],
        staged: &mut Vec<StagedLog>,
    ) -> Result<(), ImportError> {
        let mut record = reader.next_record()?;
        loop {
            record = match record {
                Record::End => return Ok(()),
                Record::Batch(_) => {
                    return Err(BundleError::Damaged {
                        offset: reader.offset(),
                        what: "a batch before its log",
                    }
                    .into());
                }
                Record::Log(bundled) => {
                    let row = rows.iter().find(|row| row.row.log == bundled.log);
                    let row = row
                        .ok_or(ImportError::Malformed {
                            log: bundled.log,
                            what: "not in the frontier",
                        })?
                        .row;
                    let log = self.replica(&bundled, staged)?;
                    Self::check_peaks(&log, &bundled)?;
                    let core = log.core.get().ok_or(AppendError::ReadOnly)?;
                    // The error that ends the batches is kept apart: what came before it may stay.
                    let (next, end) = core.with_appender(|appender| {
                        let next = import_batches(appender, reader, &log, &row)?;
                        Ok::<_, ImportError>((next, appender.state().entry_count()))
                    })?;
                    if let Some(staged) = staged.last_mut() {
                        staged.end = end;
                    }
                    next?
                }
            };
        }
    }

    /// The entries before the bundle's are the same here.
    fn check_peaks(log: &Log, bundled: &BundledLog) -> Result<(), ImportError> {
        let from = bundled.peaks.size();
        let (_, ours) = log.root_at(Some(from))?;
        let theirs = bundled.peaks.root(&log.keys);
        if ours == theirs {
            Ok(())
        } else {
            Err(ImportError::Contradiction { log: log.id(), size: from, ours, theirs })
        }
    }

    /// The log to append to, created or opened for writing as needed, and noted in `staged`.
    fn replica(
        &self,
        bundled: &BundledLog,
        staged: &mut Vec<StagedLog>,
    ) -> Result<Arc<Log>, ImportError> {
        let known = self.logs.read().get(&bundled.log).cloned();
        let is_new = known.is_none();
        let log = match known {
            Some(log) if log.core.get().is_some() => log,
            Some(log) => self.open_for_writing(bundled.log, Some(log))?,
            None => {
                self.create_replica(bundled)?;
                self.open_for_writing(bundled.log, None)?
            }
        };
        // What is staged is written first, so that the mark is at the end of it.
        log.core.get().ok_or(AppendError::ReadOnly)?.flush()?;
        let mark = log.view.read().state.clone();
        let end = mark.entry_count();
        staged.push(StagedLog { log: Arc::clone(&log), mark, end, is_new });
        self.logs.write().insert(log.id(), Arc::clone(&log));
        Ok(log)
    }

    fn create_replica(&self, bundled: &BundledLog) -> Result<(), ImportError> {
        let path = segment_path(&self.path, bundled.log);
        if SaltTree::decode(&bundled.salt_record).is_err() {
            return Err(ImportError::Malformed { log: bundled.log, what: "malformed salt record" });
        }
        let mut salt = [0; 16];
        self.disk.fill_random(&mut salt).context(&path, "draw random numbers for")?;
        let header = SegmentHeader {
            align_log2: self.options.align_log2(),
            created: bundled.created,
            predecessor: bundled.predecessor,
            salt_record: bundled.salt_record.clone(),
            ..SegmentHeader::new(self.metadata.workspace, bundled.client, bundled.log, salt)
        };
        if !header.fits() {
            return Err(ImportError::Malformed {
                log: bundled.log,
                what: "the salt record is too long for this version",
            });
        }
        Segment::create(&*self.disk, &path, &header)?;
        Ok(())
    }

    /// Opens a log for writing: `known` itself, which others hold already, if there is one.
    fn open_for_writing(
        &self,
        log: LogId,
        known: Option<Arc<Log>>,
    ) -> Result<Arc<Log>, ImportError> {
        let unusable =
            |reason: String| ImportError::Unusable { path: segment_path(&self.path, log), reason };
        let mut opened: OpenLog = open::open_log(
            &self.disk,
            &self.path,
            &self.metadata,
            log,
            &self.cache,
            OpenAs::Writer,
        )
        .map_err(|error| unusable(error.to_string()))?;
        if let Some(damage) = opened.blocking_damage() {
            return Err(damage.into());
        }
        if let Some(known) = known {
            opened.log = known;
        }
        Ok(opened.into_writer(&self.options.writer(), None)?)
    }

    /// Makes what was imported durable, and says what it is.
    fn keep(&self, staged: Vec<StagedLog>) -> Result<ImportReport, ImportError> {
        let mut report = ImportReport::default();
        for staged in staged {
            let StagedLog { log, mark, is_new, .. } = &staged;
            if *is_new && log.view.read().entry_count == 0 {
                // The bundle ended before its first batch: what it says of the log proves nothing.
                self.discard_log(&staged)?;
                continue;
            }
            if let Some(core) = log.core.get() {
                core.checkpoint()?;
            }
            let (after, lamport) = {
                let view = log.view.read();
                (view.entry_count, view.state.lamport)
            };
            if log.id() != self.own.id() {
                self.foreign_lamport.fetch_max(lamport, Ordering::AcqRel);
            }
            report.entries += after - mark.entry_count();
            report.logs.push(ImportedLog {
                client: log.client(),
                log: log.id(),
                before: mark.entry_count(),
                after,
            });
        }
        Ok(report)
    }

    /// Takes back what was imported of a bundle that turned out to be unsound: of each log, even if another one
    /// fails.
    fn discard(&self, staged: &[StagedLog]) -> Result<(), ImportError> {
        staged.iter().map(|staged| self.discard_log(staged)).fold(Ok(()), Result::and)
    }

    fn discard_log(&self, staged: &StagedLog) -> Result<(), ImportError> {
        let StagedLog { log, mark, end, is_new } = staged;
        if let Some(core) = log.core.get() {
            let taken_back = core.with_appender(|appender| {
                // Somebody has appended since, or made it durable: what others build upon stays.
                let is_last = appender.state().entry_count() == *end;
                if !is_last || appender.is_durable_behind(mark) {
                    return Ok(false);
                }
                appender.roll_back(mark.clone()).map_err(ImportError::Io).map(|()| true)
            })?;
            if !taken_back {
                return Ok(());
            }
        }
        self.cache.forget_from(log.id(), mark.entry_count());
        log.forget_streams();
        if *is_new {
            self.logs.write().remove(&log.id());
            self.disk.remove(&log.path).context(&log.path, "remove")?;
            let _ = crate::index::remove_all(&*self.disk, &index_folder(&self.path, log.id()));
        }
        Ok(())
    }
}

/// Appends the batches of one log. Returns the record behind them, or why there is none.
///
/// The outer error means that nothing of the log may be kept.
fn import_batches<R: Read>(
    appender: &mut Appender,
    reader: &mut BundleReader<R>,
    log: &Log,
    row: &FrontierRow,
) -> Result<Result<Record, ImportError>, ImportError> {
    let id = log.id();
    let before = (appender.state().entry_count(), appender.state().peaks.root(&log.keys));
    let refused = |their_size, error| match error {
        BatchRefused::Io(error) => ImportError::Io(error),
        // The checksums of the bundle were right: this is another history.
        BatchRefused::Replay(ReplayError::Root { expected, .. }) => ImportError::Diverged {
            log: id,
            size: before.0,
            ours: before.1,
            their_size,
            theirs: expected,
        },
        BatchRefused::Replay(error) => ImportError::Refused { log: id, error },
    };
    let mut decoder = Decoder::new();
    loop {
        let bytes = match reader.next_record() {
            Ok(Record::Batch(bytes)) => bytes,
            Ok(record) => {
                let count = appender.state().entry_count();
                let root = appender.state().peaks.root(&log.keys);
                if count < row.size || appender.in_group() {
                    return Err(ImportError::Malformed { log: id, what: "batches are missing" });
                }
                if count == row.size && root != row.root {
                    return Err(ImportError::Contradiction {
                        log: id,
                        size: row.size,
                        ours: root,
                        theirs: row.root,
                    });
                }
                return Ok(Ok(record));
            }
            Err(error @ BundleError::Truncated { .. }) => {
                appender.drop_incomplete_group()?;
                return Ok(Err(error.into()));
            }
            Err(error) => return Err(error.into()),
        };
        let batch =
            decoder.decode(&bytes).map_err(|error| ImportError::Batch { log: id, error })?;
        if batch.header().log() != id
            || batch.end_index() > row.size
            || batch.first_index() > appender.state().entry_count()
        {
            return Err(ImportError::Malformed { log: id, what: "a batch out of order" });
        }
        if batch.end_index() <= appender.state().entry_count() {
            // Known already: then it must be the same.
            let (size, theirs) = (batch.end_index(), batch.header().root());
            let ours = log.peaks_at(size)?.root(&log.keys);
            if ours != theirs {
                return Err(ImportError::Contradiction { log: id, size, ours, theirs });
            }
        } else {
            appender
                .append_batch(&batch, &bytes)
                .map_err(|error| refused(batch.end_index(), error))?;
        }
    }
}

//! Workspaces: what an application holds.
//!
//! - `open`: creating and opening; `options`, `metadata`: how, and what it is;
//! - here: appending and committing to the client's own log;
//! - `view`: reading one log; `merge`: reading all of them in canonical order;
//! - `frontier`: how far each log goes;
//! - `upkeep`: what is done in the background;
//! - `history`: compaction, redaction, snapshots, pruning;
//! - `assets`: large binaries beside the logs;
//! - `export`, `import`: bundles out and in; `backup`: a consistent copy.

mod assets;
mod backup;
mod export;
mod frontier;
mod history;
mod import;
mod merge;
mod metadata;
mod open;
mod options;
mod slot;
mod stream;
mod upkeep;
mod view;

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    assets::Store,
    bytes::{ClientId, LogId, Timestamp, WorkspaceId},
    entry::{FRONTIER_LOG_COUNT_MAX, FrontierRow, Kind},
    io::{Access, Disk, DiskFile},
    log::{
        AppendError, Assigned, BatchCache, Change, Core, Log, OpenAs, Progress, Published,
        ReadError, Segment, SegmentError, Verdict, Writer, look_for_writer,
    },
    sync::{AtomicU64, Mutex, Ordering, ReentrantMutex, RwLock},
};

pub(crate) use self::slot::LogSlot;
pub(crate) use self::{
    assets::Claimed,
    metadata::Metadata,
    open::{index_folder, segment_path},
};
pub use self::{
    assets::{
        AddedAsset, Asset, AssetBatch, AssetError, AssetInfo, AssetLease, AssetMeta, AssetRange,
        AssetState, Assets, CollectOptions, OtherCopy, PartialAsset,
    },
    backup::BackupError,
    export::{ExportError, ExportReport},
    frontier::{Frontier, HinderedLog, Hindrance},
    history::{
        CompactOptions, CompactReport, CompactedLog, History, PruneError, PruneOptions,
        RedactError, SnapshotError, SnapshotInfo,
    },
    import::{ImportError, ImportReport, ImportedLog},
    merge::Merged,
    metadata::MetadataError,
    open::{OpenError, UnreadableLog},
    options::{Clock, Options},
    stream::{Stream, StreamError},
    upkeep::AutoCompact,
    view::{LogStats, LogView},
};

/// A workspace that is open: the own log of this client, and replicas of the others'.
///
/// All methods may be called from any thread. Cloning gives another handle of the same workspace.
///
/// # Examples
///
/// Append, commit, read back, and prove:
///
/// ```
/// use annals::{Options, Workspace};
///
/// let folder = tempfile::tempdir()?;
/// let workspace = Workspace::create(folder.path().join("notes"), Options::default())?;
/// let note = workspace.stream("note/4711")?;
/// note.append(b"hello")?;
/// let index = workspace.append(b"world")?.index();
/// workspace.commit()?; // durable when it returns
///
/// let log = workspace.own_log();
/// assert_eq!(log.entry(index)?.payload()?, b"world");
/// let root = log.root()?;
/// log.prove_inclusion(index, None)?.verify(&root)?;
/// workspace.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Workspace {
    /// `None` in the workspace's own thread, which must not keep itself alive. Dropped before what it works on.
    _handle: Option<Arc<upkeep::Handle>>,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    metadata: Metadata,
    options: Options,
    cache: Arc<BatchCache>,
    own: Arc<LogSlot>,
    /// How this process writes to the own log, if it does.
    core: Option<Arc<Core>>,
    /// All logs, the own one among them.
    logs: RwLock<BTreeMap<LogId, Arc<LogSlot>>>,
    unreadable: Mutex<Vec<UnreadableLog>>,
    recovered: Verdict,
    /// Highest Lamport clock of the other logs.
    foreign_lamport: AtomicU64,
    /// Held while a *seen* entry is written.
    seeing: Mutex<()>,
    /// Held while a bundle is read: what one import takes back, no other may have built upon. Whether this thread
    /// does so already.
    importing: ReentrantMutex<Mutex<bool>>,
    /// The packs, once somebody has asked for an asset.
    store: Mutex<Option<Arc<Store>>>,
    /// What the logs say of assets, once somebody has asked.
    claims: Mutex<assets::Claims>,
    /// Held while what was imported is taken in, and while the workspace is closed.
    /// What is done in the background.
    upkeep: Arc<upkeep::Upkeep>,
    /// Held while logs are compacted.
    compacting: Mutex<()>,
    closing: Mutex<()>,
    /// The writer's lock, held as long as the workspace is open.
    lock: Option<Arc<dyn DiskFile>>,
}

/// Changes that have their indices and are not necessarily durable yet.
#[derive(Clone, Copy, Debug)]
pub struct Ticket<'a> {
    workspace: &'a Workspace,
    assigned: Assigned,
}

impl Ticket<'_> {
    /// Index of the first entry.
    pub fn index(&self) -> u64 {
        self.assigned.first
    }

    /// Indices of all entries.
    pub fn indices(&self) -> std::ops::Range<u64> {
        self.assigned.first..self.assigned.end
    }

    /// Waits until the changes are durable, syncing if nobody else does.
    ///
    /// # Errors
    ///
    /// [`AppendError::Void`] if the disk was full when they were to be written, and the other reasons of
    /// [`Workspace::commit`].
    pub fn wait_durable(self) -> Result<Progress, AppendError> {
        self.workspace.core()?.wait(self.assigned)
    }
}

impl Workspace {
    /// The id of the workspace, the same for all of its clients.
    pub fn id(&self) -> WorkspaceId {
        self.inner.metadata.workspace
    }

    /// The client whose own log can be written here.
    pub fn client(&self) -> ClientId {
        self.inner.metadata.client
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// When the workspace was created on this device.
    pub fn created(&self) -> Timestamp {
        self.inner.metadata.created
    }

    /// What opening found at the end of the own log. All but [`Verdict::Damaged`] is what a crash may leave;
    /// what is damaged [`LogView::damage`] tells.
    pub fn recovered(&self) -> &Verdict {
        &self.inner.recovered
    }

    /// Logs that are in the folder and cannot be used, each with the reason.
    pub fn with_unreadable_logs<R>(&self, look: impl FnOnce(&[UnreadableLog]) -> R) -> R {
        look(&self.inner.unreadable.lock())
    }

    fn core(&self) -> Result<&Core, AppendError> {
        self.inner.core.as_deref().ok_or(AppendError::ReadOnly)
    }

    /// Appends one change to the own log, in the default stream. This process reads it at once; it is durable
    /// after the next [`Workspace::commit`].
    ///
    /// Cost: a copy into a buffer, under a short lock. Whoever fills the buffer encodes and writes it.
    ///
    /// # Errors
    ///
    /// See [`AppendError`].
    pub fn append(&self, payload: &[u8]) -> Result<Ticket<'_>, AppendError> {
        self.append_change(Change::new(payload))
    }

    /// Appends one change, with its stream and its time.
    ///
    /// # Errors
    ///
    /// See [`AppendError`].
    pub fn append_change(&self, change: Change<'_>) -> Result<Ticket<'_>, AppendError> {
        self.append_all(&[change])
    }

    /// Appends all changes or none, also after a crash: in the given order, with nothing in between.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]. Nothing was appended; after [`AppendError::Poisoned`] that is known only when the
    /// workspace is opened again: all of it may be there, or nothing.
    pub fn append_all(&self, changes: &[Change<'_>]) -> Result<Ticket<'_>, AppendError> {
        self.append_resting_on(None, changes)
    }

    fn append_resting_on(
        &self,
        declaration: Option<Assigned>,
        changes: &[Change<'_>],
    ) -> Result<Ticket<'_>, AppendError> {
        let core = self.core()?;
        self.record_seen(core)?;
        let assigned = core.append(changes, self.time(), None, declaration)?;
        Ok(Ticket { workspace: self, assigned })
    }

    /// The time for changes that bring none.
    fn time(&self) -> Option<Timestamp> {
        match &self.inner.options.clock {
            Clock::System => Some(self.inner.disk.now()),
            Clock::None => None,
            Clock::Custom(clock) => clock(),
        }
    }

    /// Before the Lamport clock jumps over those of other logs, what was seen of them is recorded
    /// (E-8).
    fn record_seen(&self, core: &Core) -> Result<(), AppendError> {
        // Cheap as long as nothing was imported.
        let foreign = self.inner.foreign_lamport.load(Ordering::Acquire);
        if foreign == 0 || core.lamport() >= foreign {
            return Ok(());
        }
        let _seeing = self.inner.seeing.lock();
        if core.lamport() >= foreign {
            return Ok(());
        }
        let rows = self.foreign_rows();
        let frontier = Frontier::from(rows);
        let payload = frontier.encode();
        let change = Change::new(&payload).of_kind(Kind::SEEN);
        core.append(&[change], None, Some(frontier.lamport()), None)?;
        Ok(())
    }

    fn foreign_rows(&self) -> Vec<FrontierRow> {
        let foreign = self.inner.all_logs();
        let foreign = foreign.iter().filter(|log| log.id() != self.inner.metadata.log);
        let rows = foreign.map(|log| {
            let state = log.view.read().state.clone();
            FrontierRow {
                client: log.client(),
                log: log.id(),
                size: state.entry_count(),
                lamport: state.lamport,
                root: state.peaks.root(&log.keys),
            }
        });
        let mut rows: Vec<FrontierRow> = rows.filter(|row| row.size > 0).collect();
        // A frontier fills at most one entry: of more logs, those count that are ahead.
        rows.sort_by_key(|row| std::cmp::Reverse(row.lamport));
        rows.truncate(FRONTIER_LOG_COUNT_MAX);
        rows
    }

    /// Makes everything durable that was appended before the call, by any thread. Says how far the log is durable
    /// then; concurrent commits share one sync.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]. After [`AppendError::Poisoned`] only opening again helps.
    pub fn commit(&self) -> Result<Progress, AppendError> {
        self.core()?.commit()
    }

    /// How far the own log is acknowledged as durable.
    pub fn durable(&self) -> Progress {
        if let Some(core) = &self.inner.core {
            core.durable()
        } else {
            let own = self.inner.own.now();
            let view = own.view.read();
            Progress { entries: view.entry_count, changes: view.state.change_count }
        }
    }

    /// Commits, and records it in a checkpoint: opening again then costs next to nothing.
    ///
    /// # Errors
    ///
    /// See [`AppendError`].
    pub fn checkpoint(&self) -> Result<(), AppendError> {
        self.core()?.checkpoint()
    }

    /// Whether a write failed in a way that only opening again mends.
    pub fn is_poisoned(&self) -> bool {
        self.inner.core.as_deref().is_some_and(Core::is_poisoned)
    }

    /// Goes on after [`AppendError::DiskFull`]. What was void stays void: of several threads that append, each
    /// learns from its own tickets ([`Ticket::wait_durable`]) which of its changes are, also after this.
    ///
    /// # Errors
    ///
    /// Any other reason why the log cannot be written.
    pub fn resume(&self) -> Result<(), AppendError> {
        self.inner.own.now().resume(self.core()?)
    }

    /// Commits, records it in a checkpoint, and closes the workspace for writing. Imports that are under way fail.
    ///
    /// Dropping the last handle does the same, but swallows errors. The lock is released with the last handle,
    /// view or stream of the workspace.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]. A workspace that was opened to read only is closed by dropping it.
    pub fn close(self) -> Result<(), AppendError> {
        self.inner.upkeep.stop();
        self.inner.close()
    }

    /// Beside a writer in another process: sees what has become durable since. Also finds new logs.
    ///
    /// Does nothing in the process that writes.
    ///
    /// # Errors
    ///
    /// See [`ReadError`] and [`OpenError`].
    pub fn refresh(&self) -> Result<(), OpenError> {
        if self.inner.lock.is_some() {
            return Ok(());
        }
        let own = self.inner.metadata.log;
        let writer = look_for_writer(&*self.inner.disk, &self.inner.path.join("LOCK"))?;
        let known = self.inner.all_logs();
        for log in known {
            let published = match writer {
                Writer::Active(published) if log.id() == own => published,
                _ => None,
            };
            let log = match self.inner.renew_if_replaced(&log, writer, published)? {
                Some(renewed) => renewed,
                None => log,
            };
            let durable_len = match (writer, published) {
                // Of another generation than the one that is open here it tells nothing (S-7).
                (Writer::Active(_), Some(published))
                    if published.is_of(own, log.header.generation) =>
                {
                    published.durable_len
                }
                (Writer::Active(_), _) => log.checkpointed_len()?,
                (Writer::None, _) => log.recovered_len()?,
            };
            log.follow(durable_len)?;
        }
        if let Some(store) = &*self.inner.store.lock() {
            store.load().map_err(|error| Box::new(AssetError::from(error)))?;
        }
        for id in open::list_logs(&*self.inner.disk, &self.inner.path)? {
            if !self.inner.logs.read().contains_key(&id) {
                let how = OpenAs::Follower { published: None };
                if let Ok(opened) = open::open_log(
                    &self.inner.disk,
                    &self.inner.path,
                    &self.inner.metadata,
                    id,
                    &self.inner.cache,
                    how,
                ) {
                    self.inner.logs.write().insert(id, LogSlot::new(opened.log));
                }
            }
        }
        Ok(())
    }

    /// Reads every index up to the end of its log; `progress` is told bytes done and bytes in all, and ends it by
    /// answering `false`. `anew` drops what there is first.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn reindex(
        &self,
        anew: bool,
        mut progress: impl FnMut(u64, u64) -> bool,
    ) -> Result<(), ReadError> {
        let logs = self.inner.all_logs();
        let total: u64 = logs.iter().map(|log| log.view.read().end_offset).sum();
        let mut before = 0;
        for log in logs {
            if anew {
                log.clear_index()?;
            }
            log.read_up_index_with(&mut |done, _| progress(before + done, total))?;
            before += log.view.read().end_offset;
        }
        Ok(())
    }

    /// Makes the index of the packs anew. Cost: reads the headers and tables of all records.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn reindex_assets(&self) -> Result<(), AssetError> {
        Ok(self.assets().store()?.rebuild_index()?)
    }
}

impl Inner {
    /// Opens the generation that has taken the place of the one that is open here, if there is one (S-7).
    fn renew_if_replaced(
        &self,
        log: &Arc<Log>,
        writer: Writer,
        published: Option<Published>,
    ) -> Result<Option<Arc<Log>>, OpenError> {
        if published.is_some_and(|published| published.is_of(log.id(), log.header.generation)) {
            return Ok(None);
        }
        let there = match Segment::load(&*self.disk, &log.path, Access::Read) {
            Ok(there) => there,
            // Whether it was replaced is not known: to say that nothing is new could show what was forgotten (R-7).
            Err(SegmentError::Io(error)) if error.source.kind() != ErrorKind::NotFound => {
                return Err(SegmentError::Io(error).into());
            }
            // What is open can be read on, whatever has become of the file.
            Err(_) => return Ok(None),
        };
        if there.header.generation == log.header.generation && there.header.salt == log.header.salt
        {
            return Ok(None);
        }
        let how = match writer {
            Writer::Active(_) => OpenAs::Follower { published },
            Writer::None => OpenAs::Reader,
        };
        let Self { disk, path, metadata, cache, .. } = self;
        let renewed = open::open_log(disk, path, metadata, log.id(), cache, how)?.log;
        if let Some(slot) = self.logs.read().get(&log.id()) {
            slot.switch(Arc::clone(&renewed));
        }
        log.superseded_by(&renewed);
        Ok(Some(renewed))
    }

    /// The generations of all logs that are to be used now.
    fn all_logs(&self) -> Vec<Arc<Log>> {
        self.logs.read().values().map(|slot| slot.now()).collect()
    }

    fn close(&self) -> Result<(), AppendError> {
        let _closing = self.closing.lock();
        let result = self.core.as_ref().map_or(Ok(()), |core| core.close());
        // A pack without its mark is not gone on with, and nothing of it is lost.
        if let Some(store) = &*self.store.lock() {
            let _ = store.close();
        }
        result
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever wants to see errors calls `Workspace::close`.
        let _ = self.close();
    }
}

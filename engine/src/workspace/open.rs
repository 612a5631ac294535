//! Creating and opening workspaces.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    AssetError, Inner, LogSlot, Metadata, MetadataError, Options, Workspace,
    upkeep::{Handle, Upkeep},
};
use crate::{
    bytes::{ClientId, LogId, WorkspaceId},
    error::{Corruption, IoContext as _, IoError},
    io::{DirEntry, Disk, OsDisk},
    log::{
        BatchCache, HEAD_LEN, Log, OpenAs, OpenLog, OpenLogError, Publisher, ReadError, Segment,
        SegmentError, SegmentHeader, Verdict, Writer, lock_for_writing, look_for_writer,
    },
    merkle::SaltTree,
    sync::{AtomicU64, Mutex, ReentrantMutex, RwLock},
};

/// So much of the end of a log is usually looked at after it is opened: what its index does not cover. Behind it may be
/// space that was written ahead.
const TAIL_LEN: u64 = 256 << 10;

/// Why a workspace was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder is not a workspace, or its metadata is damaged.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The packs cannot be looked at again.
    #[error(transparent)]
    Asset(#[from] Box<AssetError>),
    /// The segment of the own log cannot be used.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// Acknowledged entries of the own log are damaged. The workspace can be opened to read, and everything
    /// but the range that is named is served.
    #[error("{0}; open it read-only to use the rest")]
    Damaged(Corruption),
    /// Somebody else has the workspace open for writing.
    #[error("{}: the workspace is open for writing elsewhere", .0.display())]
    Locked(PathBuf),
    /// The folder to create is not empty.
    #[error("{}: the folder is not empty (it holds {found:?}); a new workspace needs an empty one", .folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The segment of the own log is not there. Nothing was created in its place.
    #[error("{}: the segment of this client's own log is missing; restore it from a backup, or fetch it from a replica with annals-fsck --repair --from OTHER", .0.display())]
    MissingSegment(PathBuf),
    /// The own log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A segment is of another workspace or client than the metadata says, as after a copy in a wrong place.
    #[error("{}: the segment is one of {what}; something was copied to a wrong place", .path.display())]
    Mismatch {
        /// The segment file.
        path: PathBuf,
        /// What it belongs to instead.
        what: String,
    },
}

impl From<OpenLogError> for OpenError {
    fn from(error: OpenLogError) -> Self {
        match error {
            OpenLogError::Segment(error) => Self::Segment(error),
            OpenLogError::Io(error) => Self::Io(error),
            OpenLogError::Read(error) => Self::Read(error),
        }
    }
}

/// A log of the workspace that could not be opened; the others are served.
#[derive(Debug)]
pub struct UnreadableLog {
    /// Its segment file.
    pub path: PathBuf,
    /// Why.
    pub error: OpenError,
}

impl Workspace {
    /// Creates a workspace with a new client in the folder `path`, which must be missing or empty, and opens
    /// it for writing.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotEmpty`], or what the operating system says.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::{Options, Workspace};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let workspace = Workspace::create(folder.path().join("notes"), Options::default())?;
    /// workspace.append(b"a change")?;
    /// workspace.close()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        Self::create_on(Arc::new(OsDisk), path.as_ref(), options, None)
    }

    /// Creates a replica: a workspace with the id of an existing one, and a client of its own.
    ///
    /// Clients of one workspace exchange bundles ([`Workspace::export`], [`Workspace::import`]).
    ///
    /// # Errors
    ///
    /// As for [`Workspace::create`].
    pub fn join(
        path: impl AsRef<Path>,
        workspace: WorkspaceId,
        options: Options,
    ) -> Result<Self, OpenError> {
        Self::create_on(Arc::new(OsDisk), path.as_ref(), options, Some(workspace))
    }

    /// Opens a workspace for writing. Only one handle can be open for writing at a time.
    ///
    /// Cost: what was written after the last checkpoint is decoded and hashed, however long the log is.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A torn tail is no error: see [`Workspace::recovered`].
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(OsDisk), path.as_ref(), options)
    }

    /// Opens a workspace to read only, also beside a writer in another process. Writes nothing.
    ///
    /// Beside a writer it sees what is durable; see [`Workspace::refresh`].
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Damage is no error here: reading the damaged entries is.
    pub fn open_read_only(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        Self::open_read_only_on(Arc::new(OsDisk), path.as_ref(), options)
    }

    /// As [`Workspace::create`] or [`Workspace::join`] on another disk than the operating system's.
    ///
    /// # Errors
    ///
    /// As for [`Workspace::create`].
    pub fn create_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: Options,
        workspace: Option<WorkspaceId>,
    ) -> Result<Self, OpenError> {
        disk.create_dir(path).context(path, "create")?;
        if let Some(parent) = path.parent() {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            disk.sync_dir(parent).context(parent, "sync")?;
        }
        if let Some(found) = first_foreign(&*disk, path)? {
            // Before the lock is taken, which would leave a file in a folder that is not ours.
            return Err(OpenError::NotEmpty { folder: path.to_owned(), found });
        }
        let lock = lock_for_writing(&*disk, &path.join("LOCK"))?
            .ok_or_else(|| OpenError::Locked(path.to_owned()))?;
        clear_interrupted(&*disk, path)?;
        let logs = path.join("logs");
        disk.create_dir(&logs).context(&logs, "create")?;
        disk.sync_dir(path).context(path, "sync")?;

        let created = disk.now();
        let workspace = match workspace {
            Some(workspace) => workspace,
            None => WorkspaceId::from_random(random(&*disk, path)?),
        };
        let client = ClientId::from_random(random(&*disk, path)?);
        let log = LogId::from_random(random(&*disk, path)?);
        let salt = random(&*disk, path)?;
        let header = SegmentHeader {
            align_log2: options.align_log2(),
            preallocated: options.preallocates(),
            created: Some(created),
            salt_record: SaltTree::from_seed(random(&*disk, path)?).encode(),
            ..SegmentHeader::new(workspace, client, log, salt)
        };
        Segment::create(&*disk, &segment_path(path, log), &header)?;
        Metadata::new(workspace, client, log, created).store(&*disk, path)?;
        drop(lock);
        Self::open_on(disk, path, options)
    }

    /// As [`Workspace::open`] on another disk than the operating system's.
    ///
    /// # Errors
    ///
    /// As for [`Workspace::open`].
    pub fn open_on(disk: Arc<dyn Disk>, path: &Path, options: Options) -> Result<Self, OpenError> {
        // Looked at before the lock is taken, which would leave a file in a folder that is not ours.
        let metadata = Metadata::load(&*disk, path)?;
        announce(&*disk, path, metadata.log, options.writer().preallocate);
        let lock = lock_for_writing(&*disk, &path.join("LOCK"))?
            .ok_or_else(|| OpenError::Locked(path.to_owned()))?;
        let metadata = Metadata::load(&*disk, path)?;
        let logs = path.join("logs");
        match disk.sync_dir(&logs) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::MissingSegment(segment_path(path, metadata.log)));
            }
            result => result.context(&logs, "sync")?,
        }
        disk.sync_dir(path).context(path, "sync")?;
        let cache = Arc::new(BatchCache::new(options.cache_budget()));
        let own = open_own(&disk, path, &metadata, &cache, OpenAs::Writer)?;
        if let Some(damage) = own.blocking_damage() {
            return Err(OpenError::Damaged(damage));
        }
        let recovered = own.recovery.verdict.clone();
        let publisher = Publisher::new(Arc::clone(&lock), metadata.log);
        let own = own.into_writer(&options.writer(), Some(publisher))?;
        let lock = Some(lock);
        Self::assemble(disk, path, metadata, options, cache, own, recovered, lock, OpenAs::Writer)
    }

    /// As [`Workspace::open_read_only`] on another disk than the operating system's.
    ///
    /// # Errors
    ///
    /// As for [`Workspace::open_read_only`].
    pub fn open_read_only_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: Options,
    ) -> Result<Self, OpenError> {
        let metadata = Metadata::load(&*disk, path)?;
        announce(&*disk, path, metadata.log, options.writer().preallocate);
        let cache = Arc::new(BatchCache::new(options.cache_budget()));
        let (mut own_as, mut others_as) = reading_as(&*disk, path, metadata.log)?;
        let mut own = open_own(&disk, path, &metadata, &cache, own_as)?;
        if own_as == OpenAs::Reader {
            // A writer may have come meanwhile: then what was read as the settled end was being written.
            (own_as, others_as) = reading_as(&*disk, path, metadata.log)?;
            if own_as != OpenAs::Reader {
                own = open_own(&disk, path, &metadata, &cache, own_as)?;
            }
        }
        let recovered = own.recovery.verdict.clone();
        Self::assemble(disk, path, metadata, options, cache, own.log, recovered, None, others_as)
    }

    #[allow(clippy::too_many_arguments, reason = "the one place where a workspace is put together")]
    fn assemble(
        disk: Arc<dyn Disk>,
        path: &Path,
        metadata: Metadata,
        options: Options,
        cache: Arc<BatchCache>,
        own: Arc<Log>,
        recovered: Verdict,
        lock: Option<Arc<dyn crate::io::DiskFile>>,
        others_as: OpenAs,
    ) -> Result<Self, OpenError> {
        let foreign = |log: &Arc<Log>| log.view.read().state.lamport;
        let mut foreign_lamport = 0;
        let core = own.core.get().cloned();
        let own = LogSlot::new(own);
        let mut logs = BTreeMap::from([(metadata.log, Arc::clone(&own))]);
        let mut unreadable = Vec::new();
        for log in list_logs(&*disk, path)? {
            if log == metadata.log {
                continue;
            }
            match open_log(&disk, path, &metadata, log, &cache, others_as) {
                Ok(opened) => {
                    foreign_lamport = foreign_lamport.max(foreign(&opened.log));
                    logs.insert(log, LogSlot::new(opened.log));
                }
                Err(error) => {
                    unreadable.push(UnreadableLog { path: segment_path(path, log), error });
                }
            }
        }
        let upkeep = Upkeep::new(options.auto_compact);
        let inner = Inner {
            disk,
            path: path.to_owned(),
            metadata,
            options,
            cache,
            own,
            core,
            logs: RwLock::new(logs),
            unreadable: Mutex::new(unreadable),
            recovered,
            foreign_lamport: AtomicU64::new(foreign_lamport),
            seeing: Mutex::new(()),
            importing: ReentrantMutex::default(),
            store: Mutex::new(None),
            claims: Mutex::default(),
            upkeep: Arc::clone(&upkeep),
            compacting: Mutex::new(()),
            closing: Mutex::new(()),
            lock,
        };
        let handle = Some(Arc::new(Handle(upkeep)));
        let workspace = Self { _handle: handle, inner: Arc::new(inner) };
        workspace.begin_upkeep();
        Ok(workspace)
    }
}

/// Has the disk read what opening will need of the own log, while other things are waited for.
fn announce(disk: &dyn Disk, folder: &Path, log: LogId, preallocate: u64) {
    disk.will_read(&folder.join("LOCK"), 1, 0);
    disk.will_read(&segment_path(folder, log), HEAD_LEN, TAIL_LEN + preallocate);
    let index = index_folder(folder, log);
    for entry in disk.list(&index).unwrap_or_default() {
        disk.will_read(&index.join(entry.name), 1, 0);
    }
}

/// Opens the own log; says so if it, or the folder of all logs, is gone.
fn open_own(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    metadata: &Metadata,
    cache: &Arc<BatchCache>,
    how: OpenAs,
) -> Result<OpenLog, OpenError> {
    let path = segment_path(folder, metadata.log);
    match open_log(disk, folder, metadata, metadata.log, cache, how) {
        Err(OpenError::Io(error))
            if error.path == path && error.source.kind() == std::io::ErrorKind::NotFound =>
        {
            Err(OpenError::MissingSegment(path))
        }
        result => result,
    }
}

/// How the logs are to be opened by a reader: the active one, and the others.
pub(super) fn reading_as(
    disk: &dyn Disk,
    path: &Path,
    own: LogId,
) -> Result<(OpenAs, OpenAs), OpenError> {
    Ok(match look_for_writer(disk, &path.join("LOCK"))? {
        Writer::None => (OpenAs::Reader, OpenAs::Reader),
        Writer::Active(published) => {
            let published = published.filter(|published| published.log == own);
            (OpenAs::Follower { published }, OpenAs::Follower { published: None })
        }
    })
}

/// Opens one log of a workspace and checks that it belongs there.
pub(super) fn open_log(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    metadata: &Metadata,
    log: LogId,
    cache: &Arc<BatchCache>,
    how: OpenAs,
) -> Result<OpenLog, OpenError> {
    let path = segment_path(folder, log);
    let opened = OpenLog::open(disk, &path, &index_folder(folder, log), cache, how)?;
    let header = &opened.log.header;
    let what = if header.log != log {
        Some(format!("log {}", header.log))
    } else if header.workspace != metadata.workspace {
        Some(format!("workspace {}", header.workspace))
    } else if log == metadata.log && header.client != metadata.client {
        Some(format!("client {}", header.client))
    } else {
        None
    };
    what.map_or(Ok(opened), |what| Err(OpenError::Mismatch { path, what }))
}

/// The logs in the folder, by the names of their segments.
pub(super) fn list_logs(disk: &dyn Disk, folder: &Path) -> Result<Vec<LogId>, IoError> {
    let logs = folder.join("logs");
    let entries = disk.list(&logs).context(&logs, "list")?;
    Ok(entries.iter().filter_map(|entry| log_of(&entry.name)).collect())
}

pub(crate) fn segment_path(folder: &Path, log: LogId) -> PathBuf {
    folder.join("logs").join(format!("{log}.seg"))
}

pub(crate) fn index_folder(folder: &Path, log: LogId) -> PathBuf {
    folder.join("cache").join(log.to_string())
}

fn random<const N: usize>(disk: &dyn Disk, path: &Path) -> Result<[u8; N], IoError> {
    let mut bytes = [0; N];
    disk.fill_random(&mut bytes).context(path, "draw random numbers for")?;
    Ok(bytes)
}

/// Something in the folder that no creation leaves.
fn first_foreign(disk: &dyn Disk, folder: &Path) -> Result<Option<String>, IoError> {
    let ours = |entry: &DirEntry| {
        entry.name == "LOCK" || is_temporary(&entry.name) || (entry.name == "logs" && entry.is_dir)
    };
    let entries = disk.list(folder).context(folder, "list")?;
    Ok(entries.into_iter().find(|entry| !ours(entry)).map(|entry| entry.name))
}

/// Refuses a folder that holds anything but what a creation leaves that was interrupted before its last step; removes
/// that.
fn clear_interrupted(disk: &dyn Disk, folder: &Path) -> Result<(), OpenError> {
    let logs = folder.join("logs");
    if let Some(found) = first_foreign(disk, folder)? {
        return Err(OpenError::NotEmpty { folder: folder.to_owned(), found });
    }
    let left_behind = match disk.list(&logs) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        result => result.context(&logs, "list")?,
    };
    // A segment that is just a head holds no entries: nobody's data goes with it.
    let is_empty_segment =
        |entry: &DirEntry| log_of(&entry.name).is_some() && entry.len == HEAD_LEN;
    let foreign = left_behind.iter().find(|log| !is_temporary(&log.name) && !is_empty_segment(log));
    if let Some(found) = foreign {
        return Err(OpenError::NotEmpty { folder: logs, found: found.name.clone() });
    }
    for log in left_behind {
        let path = logs.join(log.name);
        disk.remove(&path).context(&path, "remove")?;
    }
    Ok(())
}

/// The log whose segment has this name (W-1).
pub(super) fn log_of(name: &str) -> Option<LogId> {
    name.strip_suffix(".seg")?.parse().ok()
}

/// Whether a file was never finished (W-3).
fn is_temporary(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "tmp")
}

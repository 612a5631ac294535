//! The folder that is written: a workspace that has its `index.json` last.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{SalvageError, Salvaged};
use crate::{
    bytes::{ClientId, LogId, WorkspaceId},
    entry::{FRONTIER_LOG_COUNT_MAX, FrontierRow},
    error::{IoContext as _, IoError},
    io::{Access, Disk, DiskFile},
    log::{
        AppendError, BatchCache, Log, OpenAs, OpenLog, OpenLogError, Segment, SegmentHeader,
        lock_for_writing,
    },
    merkle::SaltTree,
    workspace::{Metadata, Options, index_folder, segment_path},
};

/// Stands in the folder until the workspace is whole. The end of the name says that it is no part of one (W-3).
const MARKER: &str = "salvage.tmp";
const MARKER_TEXT: &[u8] =
    b"annals salvage has begun to write into this folder and has not finished. Remove the folder.\n";

/// A workspace that is being written.
pub(super) struct NewFolder<'a> {
    disk: &'a Arc<dyn Disk>,
    path: &'a Path,
    metadata: Metadata,
    /// Held until the workspace is whole.
    lock: Arc<dyn DiskFile>,
}

impl<'a> NewFolder<'a> {
    /// Begins a workspace with a new client and an empty log, in a folder that is missing or empty.
    pub(super) fn begin(
        disk: &'a Arc<dyn Disk>,
        path: &'a Path,
        workspace: WorkspaceId,
    ) -> Result<Self, SalvageError> {
        disk.create_dir(path).context(path, "create")?;
        if let Some(parent) = path.parent() {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            disk.sync_dir(parent).context(parent, "sync")?;
        }
        // Before the lock is taken, which would leave a file in a folder that is not ours.
        refuse_used(&**disk, path)?;
        let lock = lock_for_writing(&**disk, &path.join("LOCK"))?
            .ok_or_else(|| SalvageError::Locked(path.to_owned()))?;
        refuse_used(&**disk, path)?;
        let marker = path.join(MARKER);
        let file = disk.open(&marker, Access::CreateNew).context(&marker, "create")?;
        file.write_all_at(MARKER_TEXT, 0).context(&marker, "write")?;
        file.sync().context(&marker, "sync")?;
        // Whatever is found here after a crash, the marker is found with it.
        disk.sync_dir(path).context(path, "sync")?;
        let logs = path.join("logs");
        disk.create_dir(&logs).context(&logs, "create")?;
        disk.sync_dir(path).context(path, "sync")?;

        let created = disk.now();
        let client = ClientId::from_random(random(&**disk, path)?);
        let log = LogId::from_random(random(&**disk, path)?);
        let header = SegmentHeader {
            align_log2: Options::default().align_log2(),
            created: Some(created),
            salt_record: SaltTree::from_seed(random(&**disk, path)?).encode(),
            ..SegmentHeader::new(workspace, client, log, random(&**disk, path)?)
        };
        Segment::create(&**disk, &segment_path(path, log), &header)?;
        let metadata = Metadata::new(workspace, client, log, created);
        Ok(Self { disk, path, metadata, lock })
    }

    /// What was carried over: the rows of a frontier; and the segments of logs that several files have something of.
    pub(super) fn replicas(
        &self,
        logs: &mut [Salvaged],
    ) -> Result<(Vec<FrontierRow>, BTreeMap<usize, Segment>), SalvageError> {
        let mut rows = Vec::new();
        let mut replicas = BTreeMap::new();
        for (number, log) in logs.iter_mut().enumerate().filter(|(_, log)| log.carried.count > 0) {
            let path = segment_path(self.path, log.log);
            let segment = Segment::load(&**self.disk, &path, Access::Read)
                .map_err(|error| SalvageError::Replica(error.to_string()))?;
            let checkpoint = segment.checkpoint().ok_or_else(|| {
                SalvageError::Replica(format!("{}: it has no checkpoint", path.display()))
            })?;
            let root = checkpoint.state.peaks.root(&segment.keys);
            log.carried.root = Some(root);
            rows.push(FrontierRow {
                client: log.client,
                log: log.log,
                size: checkpoint.state.entry_count(),
                lamport: checkpoint.state.lamport,
                root,
            });
            if log.sources.len() > 1 {
                replicas.insert(number, segment);
            }
        }
        // A frontier fills at most one entry: of more logs, those count that are ahead.
        rows.sort_by_key(|row| std::cmp::Reverse(row.lamport));
        rows.truncate(FRONTIER_LOG_COUNT_MAX);
        Ok((rows, replicas))
    }

    /// Opens the new client's log for writing.
    pub(super) fn open_log(&self) -> Result<Arc<Log>, SalvageError> {
        let log = self.metadata.log;
        let (path, index) = (segment_path(self.path, log), index_folder(self.path, log));
        let cache = Arc::new(BatchCache::new(0));
        let opened = OpenLog::open(self.disk, &path, &index, &cache, OpenAs::Writer);
        let opened = opened.map_err(|error| match error {
            OpenLogError::Io(error) => SalvageError::Io(error),
            OpenLogError::Read(error) => SalvageError::Read(error),
            OpenLogError::Segment(error) => SalvageError::Replica(error.to_string()),
        })?;
        Ok(opened.into_writer(&Options::default().writer(), None)?)
    }

    /// Makes everything durable, and the folder a workspace.
    pub(super) fn finish(self, own: &Log) -> Result<Metadata, SalvageError> {
        own.core.get().ok_or(AppendError::ReadOnly)?.close()?;
        self.metadata.store(&**self.disk, self.path)?;
        let marker: PathBuf = self.path.join(MARKER);
        self.disk.remove(&marker).context(&marker, "remove")?;
        self.disk.sync_dir(self.path).context(self.path, "sync")?;
        drop(self.lock);
        Ok(self.metadata)
    }
}

/// Refuses a folder that holds anything but a lock file.
fn refuse_used(disk: &dyn Disk, folder: &Path) -> Result<(), SalvageError> {
    let entries = match disk.list(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.context(folder, "list")?,
    };
    let unfinished = entries.iter().any(|entry| entry.name == MARKER)
        && entries.iter().all(|entry| entry.name != "index.json");
    if unfinished {
        return Err(SalvageError::Unfinished(folder.to_owned()));
    }
    match entries.into_iter().find(|entry| entry.name != "LOCK") {
        None => Ok(()),
        Some(found) => Err(SalvageError::NotEmpty { folder: folder.to_owned(), found: found.name }),
    }
}

fn random<const N: usize>(disk: &dyn Disk, path: &Path) -> Result<[u8; N], IoError> {
    let mut bytes = [0; N];
    disk.fill_random(&mut bytes).context(path, "draw random numbers for")?;
    Ok(bytes)
}

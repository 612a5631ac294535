//! Where lost entries come from: other workspaces that hold the log, and bundles.

use std::{
    io::{self, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::CheckError;
use crate::{
    batch::{BatchHeader, Decoder},
    bundle::{BundleReader, BundledLog, Record},
    bytes::{Hash, LogId, LogKeys, WorkspaceId},
    error::{IoContext as _, IoError},
    io::{Access, Disk, DiskFile},
    log::{Log, PruneRecord, ReadError},
    merkle::{Peaks, SaltTree},
    workspace::{Options, Workspace},
};

/// Read from a bundle at once.
const READ_LEN: usize = 256 << 10;

/// A workspace or a bundle that may have what is lost here.
pub(super) struct Replica {
    pub(super) path: PathBuf,
    pub(super) workspace: WorkspaceId,
    what: What,
}

enum What {
    Workspace(Workspace),
    Bundle(Arc<dyn DiskFile>),
}

impl Replica {
    /// Opens it, to read only: a folder is a workspace, a file a bundle.
    pub(super) fn open(disk: &Arc<dyn Disk>, path: &Path) -> Result<Self, CheckError> {
        let unusable = |reason| CheckError::Replica { path: path.to_owned(), reason };
        let (workspace, what) = match disk.list(path) {
            Ok(_) => {
                let options = Options::default();
                let opened = Workspace::open_read_only_on(Arc::clone(disk), path, options)
                    .map_err(|error| unusable(error.to_string()))?;
                (opened.id(), What::Workspace(opened))
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                let file = disk.open(path, Access::Read).context(path, "open")?;
                let workspace = bundle(&file).map_err(unusable)?.workspace();
                (workspace, What::Bundle(file))
            }
            Err(error) => return Err(IoError::new(path, "open", error).into()),
        };
        Ok(Self { path: path.to_owned(), workspace, what })
    }

    /// What it has of a log, from its first entry on or from a later one.
    pub(super) fn supply(&self, log: LogId) -> Result<Option<Supply>, String> {
        match &self.what {
            What::Workspace(workspace) => {
                let Ok(view) = workspace.log(log) else { return Ok(None) };
                let log = view.log();
                let header = &log.header;
                let bundled = BundledLog {
                    client: header.client,
                    log: header.log,
                    created: header.created,
                    predecessor: header.predecessor,
                    peaks: Peaks::new(),
                    salt_record: log.salts.encode(),
                    prune_record: None,
                };
                let (salts, pruned) = (log.salts.clone(), log.pruned.clone());
                let (workspace, batches) = (self.workspace, Batches::Segment(log));
                Ok(Some(Supply { workspace, log: bundled, salts, pruned, batches }))
            }
            What::Bundle(file) => {
                let mut reader = Box::new(bundle(file)?);
                loop {
                    match reader.next_record().map_err(|error| error.to_string())? {
                        Record::Log(found) if found.log == log => {
                            let batches = Batches::Bundle { reader, current: None, is_over: false };
                            let workspace = self.workspace;
                            let salts = SaltTree::decode(&found.salt_record);
                            let salts = salts.map_err(|error| error.to_string())?;
                            let log = *found;
                            let pruned = log.pruned()?.map(Arc::new);
                            return Ok(Some(Supply { workspace, log, salts, pruned, batches }));
                        }
                        Record::Log(_) | Record::Batch(_) => {}
                        Record::End => return Ok(None),
                    }
                }
            }
        }
    }
}

impl Replica {
    /// Whether the replica has another history of the log; if so, a size at which they differ.
    pub(super) fn contradiction(&self, own: &Arc<Log>) -> Result<Option<u64>, String> {
        let Some(mut supply) = self.supply(own.id())? else { return Ok(None) };
        let text = |error: ReadError| error.to_string();
        let own_size = own.readable_size();
        let differs = |size: u64, theirs: Hash| {
            let (_, ours) = own.root_at(Some(size)).map_err(text)?;
            Ok::<_, String>((ours != theirs).then_some(size))
        };
        if let Batches::Segment(theirs) = &supply.batches {
            let size = own_size.min(theirs.readable_size());
            return differs(size, theirs.root_at(Some(size)).map_err(text)?.1);
        }
        let from = supply.log.peaks.size();
        if from > own_size {
            return Ok(None);
        }
        if let Some(size) = differs(from, supply.log.peaks.root(&own.keys))? {
            return Ok(Some(size));
        }
        let mut index = from;
        while index < own_size {
            let Some(bytes) = supply.batch_with(index).map_err(|error| error.to_string())? else {
                break;
            };
            let batch = Decoder::new().decode(&bytes).map_err(|error| error.to_string())?;
            let end = batch.end_index();
            if end <= own_size {
                if let Some(size) = differs(end, batch.header().root())? {
                    return Ok(Some(size));
                }
            } else {
                // No root is known at this size in both: the entries themselves are compared.
                for (index, (header, payload)) in
                    (batch.first_index()..own_size).zip(batch.entries())
                {
                    let ours = own.entry(index).map_err(text)?;
                    if *ours.header() != header || ours.content() != payload {
                        return Ok(Some(index + 1));
                    }
                }
            }
            index = end;
        }
        Ok(None)
    }
}

type Bundle = BundleReader<BufReader<FileReader>>;

fn bundle(file: &Arc<dyn DiskFile>) -> Result<Bundle, String> {
    let file = FileReader { file: Arc::clone(file), offset: 0 };
    BundleReader::new(BufReader::with_capacity(READ_LEN, file)).map_err(|error| error.to_string())
}

/// One log of a replica.
pub(super) struct Supply {
    /// The workspace of the replica.
    pub(super) workspace: WorkspaceId,
    /// What the replica says of the log.
    pub(super) log: BundledLog,
    /// The salts that it has.
    pub(super) salts: SaltTree,
    /// What it keeps of entries that it has pruned.
    pub(super) pruned: Option<Arc<PruneRecord>>,
    batches: Batches,
}

enum Batches {
    Segment(Arc<Log>),
    Bundle {
        reader: Box<Bundle>,
        current: Option<(u64, Vec<u8>)>,
        /// What comes now in the bundle is about other logs, or nothing.
        is_over: bool,
    },
}

impl Supply {
    /// The encoded batch that holds the entry `index`, if the replica has it. Asked for in ascending order.
    pub(super) fn batch_with(&mut self, index: u64) -> Result<Option<Vec<u8>>, IoError> {
        match &mut self.batches {
            Batches::Segment(log) => {
                let found = log.frame_with(index).and_then(|(mut reader, frame)| {
                    let payload = reader.payload(&frame).context(&log.path, "read")?;
                    // Damaged there as well: then it is not in this replica.
                    Ok(payload.ok().map(<[u8]>::to_vec))
                });
                match found {
                    Err(ReadError::Io(error)) => Err(error),
                    found => Ok(found.ok().flatten()),
                }
            }
            Batches::Bundle { reader, current, is_over } => {
                while current.as_ref().is_none_or(|(end, _)| *end <= index) {
                    if *is_over {
                        return Ok(None);
                    }
                    *is_over = true;
                    // The records are checked one by one; where a bundle ends too early, it has no more.
                    let Ok(Record::Batch(bytes)) = reader.next_record() else { return Ok(None) };
                    let Ok(header) = BatchHeader::decode(&bytes) else { return Ok(None) };
                    *is_over = false;
                    *current = Some((header.indices().end, bytes));
                }
                let bytes = current.as_ref().map(|(_, bytes)| bytes);
                let holds = |bytes: &&Vec<u8>| {
                    BatchHeader::decode(bytes).is_ok_and(|header| header.indices().contains(&index))
                };
                Ok(bytes.filter(holds).cloned())
            }
        }
    }
}

/// A file from its start on.
struct FileReader {
    file: Arc<dyn DiskFile>,
    offset: u64,
}

impl Read for FileReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(bytes, self.offset)?;
        self.offset += len as u64;
        Ok(len)
    }
}

impl BundledLog {
    /// What it says that is kept of pruned entries.
    fn pruned(&self) -> Result<Option<PruneRecord>, String> {
        let record = self.prune_record.as_ref();
        let record = record.map(|record| PruneRecord::decode(record, &LogKeys::new(self.log), 0));
        record.transpose().map_err(|error| error.to_string())
    }
}

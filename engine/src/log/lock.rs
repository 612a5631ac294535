//! The lock file: one writer, and what it tells readers in other processes.
//!
//! Its record outlives the writer. It is written after each sync and never synced itself, so that it lags
//! behind what is durable or is torn, and never runs ahead: whatever it names was acknowledged, and a log
//! that has less has lost it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    bytes::{LogId, Put as _, Reader, crc},
    error::{IoContext as _, IoError},
    io::{Access, Disk, DiskFile, LockKind},
};

const MAGIC: [u8; 8] = [0x89, b'A', b'N', b'L', b'K', 0x0D, 0x0A, 0x1A];
const RECORD_LEN: usize = 64;

/// A reader that looks whether there is a writer holds a shared lock for an instant; a writer
/// that meets it tries again.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// What Windows says of a file that another handle has locked.
const LOCK_VIOLATION: i32 = 33;

/// What a writer has published.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Published {
    pub(crate) sequence: u64,
    pub(crate) log: LogId,
    pub(crate) generation: u64,
    pub(crate) durable_len: u64,
    pub(crate) entry_count: u64,
    pub(crate) process: u32,
}

impl Published {
    /// Whether it is about this log, as the segment with this generation holds it.
    pub(crate) fn is_of(&self, log: LogId, generation: u64) -> bool {
        self.log == log && self.generation == generation
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(RECORD_LEN);
        out.put(&MAGIC);
        out.put_u64(self.sequence);
        out.put(self.log.as_bytes());
        out.put_u64(self.generation);
        out.put_u64(self.durable_len);
        out.put_u64(self.entry_count);
        out.put_u32(self.process);
        let checksum = crc(&out);
        out.put_u32(checksum);
        out
    }

    /// `None` if the record is not whole, as while it is being written.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let magic_is_right = reader.array().ok()? == MAGIC;
        let published = Self {
            sequence: reader.u64().ok()?,
            log: LogId::from_bytes(reader.array().ok()?),
            generation: reader.u64().ok()?,
            durable_len: reader.u64().ok()?,
            entry_count: reader.u64().ok()?,
            process: reader.u32().ok()?,
        };
        let checksum_is_right = reader.u32().ok()? == crc(bytes.get(..RECORD_LEN - 4)?);
        (magic_is_right && checksum_is_right).then_some(published)
    }
}

/// Takes the writer's lock. `None`: another process, or another handle of this one, has it.
pub(crate) fn lock_for_writing(
    disk: &dyn Disk,
    path: &Path,
) -> Result<Option<Arc<dyn DiskFile>>, IoError> {
    for attempt in 0..LOCK_ATTEMPTS {
        if attempt > 0 {
            disk.sleep(LOCK_PAUSE);
        }
        if let Some(file) = disk.lock(path, LockKind::Exclusive).context(path, "lock")? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// What a reader knows of a writer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Writer {
    /// Nobody writes.
    None,
    /// Somebody does, and has published this, if anything.
    Active(Option<Published>),
}

/// Looks whether somebody writes.
pub(crate) fn look_for_writer(disk: &dyn Disk, path: &Path) -> Result<Writer, IoError> {
    match disk.lock(path, LockKind::Shared) {
        Ok(Some(_)) => Ok(Writer::None),
        Ok(None) => Ok(Writer::Active(read_published(disk, path)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Writer::None),
        Err(error) => Err(IoError::new(path, "lock", error)),
    }
}

/// Where the lock of the workspace is that the segment at `path` stands in (W-1).
pub(crate) fn lock_path(segment: &Path) -> PathBuf {
    let folder = segment.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    folder.join("LOCK")
}

/// The last record in the lock file at `path`, if there is a whole one, whether somebody writes or not.
pub(crate) fn last_published(disk: &dyn Disk, path: &Path) -> Result<Option<Published>, IoError> {
    let file = match disk.open(path, Access::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        result => result.context(path, "open")?,
    };
    match file.read_vec_at(0, RECORD_LEN) {
        // Where locks are mandatory, the lock itself keeps other handles from reading.
        Err(error) if cfg!(windows) && error.raw_os_error() == Some(LOCK_VIOLATION) => Ok(None),
        result => Ok(Published::decode(&result.context(path, "read")?)),
    }
}

fn read_published(disk: &dyn Disk, path: &Path) -> Result<Option<Published>, IoError> {
    let file = disk.open(path, Access::Read).context(path, "open")?;
    for _ in 0..LOCK_ATTEMPTS {
        let bytes = file.read_vec_at(0, RECORD_LEN).context(path, "read")?;
        match Published::decode(&bytes) {
            Some(published) => return Ok(Some(published)),
            None if bytes.is_empty() => return Ok(None),
            // Read while it was being written.
            None => disk.sleep(Duration::from_micros(50)),
        }
    }
    Ok(None)
}

/// Publishes what is durable in the lock file. The holder keeps the lock.
#[derive(Debug)]
pub(crate) struct Publisher {
    file: Arc<dyn DiskFile>,
    last: Published,
}

impl Publisher {
    pub(crate) fn new(file: Arc<dyn DiskFile>, log: LogId) -> Self {
        let sequence =
            file.read_vec_at(0, RECORD_LEN).ok().and_then(|bytes| Published::decode(&bytes));
        let last = Published {
            sequence: sequence.map_or(0, |published| published.sequence),
            log,
            generation: 0,
            durable_len: 0,
            entry_count: 0,
            process: std::process::id(),
        };
        Self { file, last }
    }

    /// Publishes. The record is a hint for readers: where it cannot be written they see less.
    pub(crate) fn publish(&mut self, generation: u64, durable_len: u64, entry_count: u64) {
        let next = Published {
            sequence: self.last.sequence + 1,
            generation,
            durable_len,
            entry_count,
            ..self.last
        };
        if self.file.write_all_at(&next.encode(), 0).is_ok() {
            self.last = next;
        }
    }
}

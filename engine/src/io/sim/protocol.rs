//! What a program must not do if it is to survive a power loss, watched while it runs.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use super::{
    image::normalise,
    tracker::{TrackedFile, Tracker},
};
use crate::{
    bytes::Timestamp,
    io::{Access, DirEntry, Disk, DiskFile, LockKind},
};

type Observer =
    Arc<dyn Fn(&Path, u64, &[u8], &Durability) -> Result<(), String> + Send + Sync + 'static>;

/// A disk that passes all calls on to another one, and notes each that breaks a rule of durable writing.
///
/// It works on any disk, the operating system's as well: what is durable it works out from the calls. Nothing
/// fails or panics for a broken rule; a test asks for [`ProtocolDisk::violations`] in the end. The rules:
///
/// - *rename before sync*: a file is renamed while bytes or the length of it are not synced;
/// - *write above an unsynced cut*: what was cut off can come back, so a cut is synced before its place is
///   written to again;
/// - *removed before its successor is durable*: a file is removed while its folder was not synced after another
///   name came into it, so that a power loss can take the new one and leave the old one removed;
/// - *replaced before what it may refer to is durable*: the same for a file, seen before through this, that
///   another one is renamed over; the name that the other one had does not count;
/// - *sync after a failed sync*: the second one proves nothing; a file opened after the failure may be synced.
///
/// Names that end in `.tmp` and files created by locking count for none of the rules of names.
///
/// # Examples
///
/// ```
/// use std::{path::Path, sync::Arc};
/// use annals::io::{Access, Disk, sim::{ProtocolDisk, SimDisk}};
///
/// let disk = ProtocolDisk::new(Arc::new(SimDisk::new(1)));
/// let file = disk.open(Path::new("a.tmp"), Access::CreateNew)?;
/// file.write_all_at(b"words", 0)?;
/// disk.rename(Path::new("a.tmp"), Path::new("a"))?;
/// assert_eq!(disk.violations(), ["a.tmp: rename to a: rename before sync: unsynced from byte 0"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct ProtocolDisk {
    inner: Arc<dyn Disk>,
    durability: Durability,
    observer: Option<Observer>,
}

/// What a [`ProtocolDisk`] knows to be durable. Clones know the same.
#[derive(Clone, Debug, Default)]
pub struct Durability {
    tracker: Arc<Tracker>,
}

impl Durability {
    /// All bytes of the file below this offset are durable, and so is a length of at least this. It is the
    /// lowest offset that was written or added and not synced since, or the length of the file.
    ///
    /// What a file holds when it is first opened is taken for durable. A failed sync makes what it was to sync
    /// not durable until it is written again and synced. `u64::MAX` for a file that was never opened.
    pub fn synced_upto(&self, path: impl AsRef<Path>) -> u64 {
        self.synced_upto_from(path, 0)
    }

    /// As [`Durability::synced_upto`], but what lies below `start` does not count: for a file with a head that
    /// is written again in place. At least `start`.
    pub fn synced_upto_from(&self, path: impl AsRef<Path>, start: u64) -> u64 {
        self.tracker.synced_upto(&normalise(path.as_ref()), start)
    }

    /// Whether the folder was synced since this name came into it. True for what was there before.
    pub fn name_is_durable(&self, path: impl AsRef<Path>) -> bool {
        self.tracker.name_is_durable(&normalise(path.as_ref()))
    }
}

impl ProtocolDisk {
    /// Watches what is done to `inner` through it.
    pub fn new(inner: Arc<dyn Disk>) -> Self {
        Self { inner, durability: Durability::default(), observer: None }
    }

    /// Calls `observer` before each write, with path, offset, bytes and what is durable at that moment. An
    /// error is noted as a violation; the write is done all the same. For rules that need to know a format,
    /// such as: no file says that more of it is durable than was synced.
    #[must_use]
    pub fn observe(
        mut self,
        observer: impl Fn(&Path, u64, &[u8], &Durability) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The broken rules so far, in order: `path: call: rule: details`.
    pub fn violations(&self) -> Vec<String> {
        self.durability.tracker.violations()
    }

    /// What is durable now.
    pub fn durability(&self) -> &Durability {
        &self.durability
    }

    fn tracker(&self) -> &Tracker {
        &self.durability.tracker
    }

    fn watched(
        &self,
        path: &Path,
        file: Arc<dyn DiskFile>,
        tracked: TrackedFile,
    ) -> Arc<dyn DiskFile> {
        Arc::new(ProtocolFile { path: path.to_owned(), file, tracked, disk: self.clone() })
    }
}

impl Disk for ProtocolDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.inner.open(path, access)?;
        let plain = normalise(path);
        let tracked = if access == Access::CreateNew {
            self.tracker().created(&plain)
        } else {
            self.tracker().opened(&plain, &*file)
        };
        Ok(self.watched(&plain, file, tracked))
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let plain = normalise(path);
        let Some(file) = self.inner.lock(path, kind)? else { return Ok(None) };
        let tracked = self.tracker().opened(&plain, &*file);
        Ok(Some(self.watched(&plain, file, tracked)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (plain_from, plain_to) = (normalise(from), normalise(to));
        self.tracker().check_rename(&plain_from, &plain_to);
        self.inner.rename(from, to)?;
        self.tracker().renamed(&plain_from, &plain_to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let plain = normalise(path);
        self.tracker().check_remove(&plain);
        self.inner.remove(path)?;
        self.tracker().removed(&plain);
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let plain = normalise(path);
        let pending = self.tracker().names_pending(&plain);
        self.inner.sync_dir(path)?;
        self.tracker().names_synced(&plain, &pending);
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.fill_random(bytes)
    }

    fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration);
    }
}

impl fmt::Debug for ProtocolDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtocolDisk").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct ProtocolFile {
    path: std::path::PathBuf,
    file: Arc<dyn DiskFile>,
    tracked: TrackedFile,
    disk: ProtocolDisk,
}

impl DiskFile for ProtocolFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        // A file that is written and renamed goes on under its new name.
        let path = self.tracked.name(&self.path);
        if let Some(observer) = &self.disk.observer
            && let Err(rule) = observer(&path, offset, bytes, &self.disk.durability)
        {
            let len = bytes.len();
            let call = format!("write of {len} bytes at {offset}");
            self.disk.tracker().violated(&path, &call, &rule);
        }
        let tracker = self.disk.tracker();
        tracker.before_write(&self.tracked, &path, offset, bytes.len());
        let written = self.file.write_at(bytes, offset)?;
        self.tracked.after_write(offset, written);
        Ok(written)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.tracked.before_set_len(len);
        self.file.set_len(len)?;
        self.tracked.after_set_len(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let tracker = self.disk.tracker();
        let begun = tracker.begin_sync(&self.tracked, &self.tracked.name(&self.path));
        let result = self.file.sync();
        self.tracked.end_sync(begun, result.is_ok());
        result
    }
}

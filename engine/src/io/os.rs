//! The operating system behind [`Disk`].
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is the place")]

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Seek as _},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[cfg(target_os = "linux")]
use rustix::fs::Advice;

use super::{Access, DirEntry, Disk, DiskFile, LockKind};
use crate::bytes::Timestamp;

/// A file of the operating system.
pub use std::fs::File as OsFile;

/// The files, the clock and the random numbers of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(access != Access::Read);
        options.create_new(access == Access::CreateNew);
        Ok(Arc::new(options.open(path)?))
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let file = match kind {
            LockKind::Shared => File::open(path)?,
            LockKind::Exclusive => {
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?
            }
        };
        let locked = match kind {
            LockKind::Shared => file.try_lock_shared(),
            LockKind::Exclusive => file.try_lock(),
        };
        match locked {
            Ok(()) => Ok(Some(Arc::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Renamed or removed since the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: metadata.is_dir(),
                len: if metadata.is_dir() { 0 } else { metadata.len() },
            });
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Elsewhere a folder cannot be opened as a file, and its entries are durable without that.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        };
        Timestamp::from_micros(micros)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::other)
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn is_shared(&self) -> bool {
        true
    }

    /// The system begins to read, and the caller need not wait for it meanwhile.
    fn will_read(&self, path: &Path, head: u64, tail: u64) {
        #[cfg(target_os = "linux")]
        if let Ok(file) = File::open(path)
            && let Ok(len) = DiskFile::len(&file)
        {
            for (offset, len) in [(0, head), (len.saturating_sub(tail), tail)] {
                if let Some(len) = std::num::NonZero::new(len) {
                    let _ = rustix::fs::fadvise(&file, offset, Some(len), Advice::WillNeed);
                }
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (path, head, tail);
    }

    fn free_space(&self, path: &Path) -> io::Result<Option<u64>> {
        #[cfg(target_os = "linux")]
        {
            let found = rustix::fs::statvfs(path)?;
            Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = path;
            Ok(None)
        }
    }
}

impl DiskFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(self, bytes, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(self, bytes, offset);
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_at(self, bytes, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_write(self, bytes, offset);
    }

    /// By seeking to the end: nothing here depends on where a file stands. Whoever asks Linux for the metadata has it
    /// record each later write with a time of its own, so that a sync has the inode to write as well, which takes half
    /// as long again.
    fn len(&self) -> io::Result<u64> {
        let mut file = self;
        file.seek(io::SeekFrom::End(0))
    }

    fn copy_range(
        &self,
        offset: u64,
        to: &dyn DiskFile,
        to_offset: u64,
        len: u64,
    ) -> io::Result<u64> {
        #[cfg(target_os = "linux")]
        if let Some(file) = to.os_file() {
            use rustix::io::Errno;

            let (mut from_at, mut to_at) = (offset, to_offset);
            let part = usize::try_from(len).unwrap_or(usize::MAX);
            let copied =
                rustix::fs::copy_file_range(self, Some(&mut from_at), file, Some(&mut to_at), part);
            match copied {
                // Not on this kernel, or not between these two; and some file systems answer 0 for files that have
                // bytes: reading tells.
                Ok(0)
                | Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP | Errno::PERM) =>
                    {}
                Ok(copied) => return Ok(copied as u64),
                Err(error) => return Err(error.into()),
            }
        }
        super::copy_by_reading(self, offset, to, to_offset, len)
    }

    fn os_file(&self) -> Option<&File> {
        Some(self)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        // fdatasync covers the length as well; times of a file are nobody's data.
        self.sync_data()
    }
}

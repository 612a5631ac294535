//! Files, clocks and randomness: the only module that touches them.
//!
//! Everything above works through [`Disk`] and [`DiskFile`], so that tests can put a simulated
//! machine in the place of the operating system ([`OsDisk`]): the module `sim`, behind the feature of
//! that name.
//!
//! Durability is the caller's business: nothing here syncs unless it is asked to. What the
//! callers rely on is stated at each method.

mod os;
#[cfg(feature = "sim")]
pub mod sim;

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use crate::bytes::Timestamp;

#[allow(clippy::disallowed_types, reason = "handed from one file of this module to another")]
pub use self::os::{OsDisk, OsFile};

/// How a file is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; it must not exist.
    CreateNew,
}

/// Who else may hold a lock at the same time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LockKind {
    /// Other holders of a shared lock.
    Shared,
    /// Nobody.
    Exclusive,
}

/// An entry of a folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DirEntry {
    /// Its name; names that are not UTF-8 are given with replacement characters.
    pub name: String,
    /// A folder rather than a file.
    pub is_dir: bool,
    /// Length in bytes; 0 for a folder.
    pub len: u64,
}

/// A machine's storage, clock and randomness.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// Those of the operating system; so it is for all methods here.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens `path` and locks it until the file is dropped; creates it for an exclusive lock if it
    /// is missing. `None`: somebody else holds a lock that excludes this one.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] for a shared lock on a missing file.
    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Arc<dyn DiskFile>>>;

    /// Renames a file, replacing what is there. Durable after [`Disk::sync_dir`] of the folder.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a folder; the one above must exist. A folder that is there already is no error.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The entries of a folder, sorted by name.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Makes the entries of a folder durable.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Fills `bytes` with random numbers fit for keys.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()>;

    /// Waits. Used only where another process is waited for.
    fn sleep(&self, duration: Duration);

    /// Whether the engine may use it from a thread of its own, beside the caller's. Not on a disk whose calls are to
    /// come in the same order each time.
    fn is_shared(&self) -> bool {
        false
    }

    /// A hint: the first `head` and the last `tail` bytes of the file will be read soon. It may be ignored.
    fn will_read(&self, path: &Path, head: u64, tail: u64) {
        let _ = (path, head, tail);
    }

    /// Bytes that can still be written to files in the folder `path`; `None` where that is not known.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn free_space(&self, path: &Path) -> io::Result<Option<u64>> {
        let _ = path;
        Ok(None)
    }
}

/// An open file. All methods may be called from several threads.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `bytes.len()` bytes at `offset`; 0 means the end of the file.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes up to `bytes.len()` bytes at `offset`.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Length in bytes.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Copies up to `len` bytes at `offset` to `to_offset` of `to`, in the cheapest way there is: where the file
    /// system can share blocks between files, they are shared. Returns how many; 0 means the end of this file.
    ///
    /// # Errors
    ///
    /// Those of the operating system, of reading here or of writing there.
    fn copy_range(
        &self,
        offset: u64,
        to: &dyn DiskFile,
        to_offset: u64,
        len: u64,
    ) -> io::Result<u64> {
        copy_by_reading(self, offset, to, to_offset, len)
    }

    /// The file of the operating system behind it, if there is one: for [`DiskFile::copy_range`].
    #[allow(clippy::disallowed_types, reason = "handed from one file of this module to another")]
    fn os_file(&self) -> Option<&OsFile> {
        None
    }

    /// Cuts or extends the file.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes all written bytes and the length durable.
    ///
    /// # Errors
    ///
    /// After an error it is unknown what the disk holds, and calling again may hide that: the file
    /// must be given up.
    fn sync(&self) -> io::Result<()>;
}

impl dyn DiskFile + '_ {
    /// Fills `bytes` from `offset`, as far as the file goes; returns how many bytes there were.
    ///
    /// # Errors
    ///
    /// Those of the operating system, interruptions excepted.
    pub fn read_full_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Reads `len` bytes at `offset`, or as many as there are.
    ///
    /// # Errors
    ///
    /// Those of the operating system, interruptions excepted.
    pub fn read_vec_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let filled = self.read_full_at(&mut bytes, offset)?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// Those of the operating system, interruptions excepted. Some of the bytes may have been
    /// written.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.write_at(rest, offset + written as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Copies up to `len` bytes by reading and writing them: where nothing is cheaper.
fn copy_by_reading<F: DiskFile + ?Sized>(
    from: &F,
    offset: u64,
    to: &dyn DiskFile,
    to_offset: u64,
    len: u64,
) -> io::Result<u64> {
    const PART_LEN: usize = 256 << 10;
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(PART_LEN);
    let mut bytes = vec![0; len];
    let read = from.read_at(&mut bytes, offset)?;
    to.write_all_at(bytes.get(..read).unwrap_or(&[]), to_offset)?;
    Ok(read as u64)
}

/// Writes a whole file so that a crash leaves the old one or the new one: temporary name, sync,
/// rename, sync of the folder.
///
/// # Errors
///
/// Those of the operating system. The temporary file may be left behind.
pub(crate) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path);
    write_temporary(disk, &temporary, bytes)?.sync()?;
    disk.rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => disk.sync_dir(folder),
        None => Ok(()),
    }
}

/// The name under which `path` is written before it is whole (W-3).
pub(crate) fn temporary_name(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Begins a file under a temporary name, in the place of one that a crash left; not synced.
pub(crate) fn write_temporary(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
) -> io::Result<Arc<dyn DiskFile>> {
    let file = match disk.open(path, Access::CreateNew) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Left behind by a crash.
            disk.remove(path)?;
            disk.open(path, Access::CreateNew)?
        }
        result => result?,
    };
    file.write_all_at(bytes, 0)?;
    Ok(file)
}

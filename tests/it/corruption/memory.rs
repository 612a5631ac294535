//! A disk in memory whose files can be damaged and put back quickly.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use annals::{
    Timestamp,
    io::{Access, DirEntry, Disk, DiskFile, LockKind},
};

/// Files by their paths.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Files in memory; folders exist by being named. Random numbers follow from a seed.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, Arc<MemoryFile>>>>,
    drawn: Arc<Mutex<u64>>,
}

#[derive(Debug, Default)]
struct MemoryFile(Mutex<Vec<u8>>);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryDisk {
    pub(super) fn new(seed: u64) -> Self {
        let disk = Self::default();
        *locked(&disk.drawn) = seed << 32;
        disk
    }

    pub(super) fn of(files: &Files) -> Self {
        let disk = Self::new(99);
        disk.restore(files);
        disk
    }

    pub(super) fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// All files as they are now.
    pub(super) fn files(&self) -> Files {
        let files = locked(&self.files);
        files.iter().map(|(path, file)| (path.clone(), locked(&file.0).clone())).collect()
    }

    /// Makes the files these, whatever they were.
    pub(super) fn restore(&self, files: &Files) {
        let made = files
            .iter()
            .map(|(path, bytes)| (path.clone(), Arc::new(MemoryFile(Mutex::new(bytes.clone())))));
        *locked(&self.files) = made.collect();
    }

    /// Puts `bytes` into the file at `path`, also for those who have it open.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) {
        let file = Arc::clone(locked(&self.files).entry(path.to_owned()).or_default());
        let mut content = locked(&file.0);
        content.clear();
        content.extend_from_slice(bytes);
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = locked(&self.files);
        match (files.get(path), access) {
            (Some(_), Access::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(file), _) => Ok(Arc::clone(file) as Arc<dyn DiskFile>),
            (None, Access::CreateNew) => {
                Ok(Arc::clone(files.entry(path.to_owned()).or_default()) as Arc<dyn DiskFile>)
            }
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Arc<dyn DiskFile>>> {
        if kind == LockKind::Shared {
            return self.open(path, Access::Read).map(Some);
        }
        let file = Arc::clone(locked(&self.files).entry(path.to_owned()).or_default());
        Ok(Some(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = locked(&self.files);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        locked(&self.files).remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let files = locked(&self.files);
        let mut entries: Vec<DirEntry> = Vec::new();
        for (file_path, file) in files.iter() {
            let Ok(below) = file_path.strip_prefix(path) else { continue };
            let mut names = below.components();
            let Some(name) = names.next() else { continue };
            let name = name.as_os_str().to_string_lossy().into_owned();
            let is_dir = names.next().is_some();
            let len = if is_dir { 0 } else { locked(&file.0).len() as u64 };
            if entries.last().is_none_or(|last| last.name != name) {
                entries.push(DirEntry { name, is_dir, len });
            }
        }
        Ok(entries)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(crate::support::FIXED_TIME)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut drawn = locked(&self.drawn);
        *drawn += 1;
        blake3::Hasher::new().update(&drawn.to_le_bytes()).finalize_xof().fill(bytes);
        Ok(())
    }

    fn sleep(&self, _: Duration) {}
}

impl DiskFile for MemoryFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = locked(&self.0);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = content.get(start..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = locked(&self.0);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.0).len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        locked(&self.0).resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

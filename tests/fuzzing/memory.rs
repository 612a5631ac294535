//! A machine in memory, so that a whole workspace can be opened thousands of times a second.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use annals::{
    Timestamp,
    io::{Access, DirEntry, Disk, DiskFile, LockKind},
};

type Bytes = Arc<Mutex<Vec<u8>>>;

/// Files in memory. The clock stands still, and random numbers are the numbers in order.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, Bytes>>>,
    drawn: Arc<Mutex<u8>>,
}

#[derive(Debug)]
struct MemoryFile(Bytes);

impl MemoryDisk {
    /// Puts a file there.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        self.files.lock().unwrap().insert(path.into(), Arc::new(Mutex::new(bytes.to_vec())));
    }

    /// The content of a file.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        Some(self.files.lock().unwrap().get(path)?.lock().unwrap().clone())
    }

    /// The names of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.lock().unwrap().keys().cloned().collect()
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.files.lock().unwrap();
        let found = files.get(path).cloned();
        match (found, access) {
            (Some(_), Access::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(bytes), _) => Ok(Arc::new(MemoryFile(bytes))),
            (None, Access::CreateNew) => {
                let bytes = Bytes::default();
                files.insert(path.into(), Arc::clone(&bytes));
                Ok(Arc::new(MemoryFile(bytes)))
            }
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let access = if kind == LockKind::Exclusive && self.content(path).is_none() {
            Access::CreateNew
        } else {
            Access::Write
        };
        self.open(path, access).map(Some)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.into(), bytes);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.lock().unwrap().remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let files = self.files.lock().unwrap();
        let mut entries = BTreeMap::new();
        for (file, bytes) in files.iter() {
            let Ok(rest) = file.strip_prefix(path) else { continue };
            let mut parts = rest.components();
            let Some(name) = parts.next() else { continue };
            let name = name.as_os_str().to_string_lossy().into_owned();
            let is_dir = parts.next().is_some();
            let len = if is_dir { 0 } else { bytes.lock().unwrap().len() as u64 };
            entries.insert(name.clone(), DirEntry { name, is_dir, len });
        }
        // Folders are not kept: one that nothing lies in is taken for an empty one.
        Ok(entries.into_values().collect())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut drawn = self.drawn.lock().unwrap();
        for byte in bytes {
            *drawn = drawn.wrapping_add(1);
            *byte = *drawn;
        }
        Ok(())
    }

    fn sleep(&self, _: Duration) {}
}

impl DiskFile for MemoryFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.lock().unwrap();
        let rest =
            usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or(&[]);
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = self.0.lock().unwrap();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let end = start + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0
            .lock()
            .unwrap()
            .resize(usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

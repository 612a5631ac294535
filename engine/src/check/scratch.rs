//! A disk in memory: where an index is rebuilt to be compared, so that a check writes nothing.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    bytes::Timestamp,
    io::{Access, DirEntry, Disk, DiskFile, LockKind},
    sync::{Mutex, RwLock},
};

/// Files in memory. Folders exist by being named.
///
/// Nothing is ever removed: the runs of an index that were folded into larger ones stay, so that
/// whichever of them another folder holds can be compared.
#[derive(Debug, Default)]
pub(super) struct ScratchDisk {
    files: Mutex<BTreeMap<PathBuf, Arc<ScratchFile>>>,
}

#[derive(Debug, Default)]
pub(super) struct ScratchFile {
    bytes: RwLock<Vec<u8>>,
}

impl Disk for ScratchDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.files.lock();
        match (files.get(path), access) {
            (Some(_), Access::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(file), _) => Ok(Arc::clone(file) as Arc<dyn DiskFile>),
            (None, Access::CreateNew) => {
                let file = Arc::<ScratchFile>::default();
                files.insert(path.to_owned(), Arc::clone(&file));
                Ok(file)
            }
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Arc<dyn DiskFile>>> {
        match kind {
            LockKind::Shared => self.open(path, Access::Read).map(Some),
            LockKind::Exclusive => {
                let file = Arc::clone(self.files.lock().entry(path.to_owned()).or_default());
                Ok(Some(file))
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let files = self.files.lock();
        let mut entries: Vec<DirEntry> = Vec::new();
        for (file_path, file) in files.iter() {
            let Ok(below) = file_path.strip_prefix(path) else { continue };
            let mut names = below.components();
            let Some(name) = names.next() else { continue };
            let name = name.as_os_str().to_string_lossy().into_owned();
            let is_dir = names.next().is_some();
            let len = if is_dir { 0 } else { file.bytes.read().len() as u64 };
            if entries.last().is_none_or(|last| last.name != name) {
                entries.push(DirEntry { name, is_dir, len });
            }
        }
        if entries.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(entries) }
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        // Nothing that is rebuilt here needs chance, and nothing here leaves memory.
        bytes.fill(0);
        Ok(())
    }

    fn sleep(&self, _: Duration) {}
}

impl DiskFile for ScratchFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.bytes.read();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = content.get(start..).unwrap_or(&[]);
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = self.bytes.write();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.read().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.write().resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

//! A disk that fails: nothing is lost but work.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Index, IndexError, Model, OsDisk, Timestamp, cache_folder, feed, files, identity, persisted_log,
};
use crate::io::{Access, DirEntry, Disk, DiskFile, LockKind};

/// The operating system, of which one operation fails.
#[derive(Debug)]
struct FailingDisk {
    /// Operations until one fails.
    countdown: Arc<AtomicU64>,
}

#[derive(Debug)]
struct FailingFile {
    file: Arc<dyn DiskFile>,
    countdown: Arc<AtomicU64>,
}

fn count_down(countdown: &AtomicU64) -> io::Result<()> {
    match countdown.fetch_sub(1, Ordering::Relaxed) {
        1 => Err(io::Error::other("this one fails")),
        _ => Ok(()),
    }
}

impl Disk for FailingDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        count_down(&self.countdown)?;
        let file = OsDisk.open(path, access)?;
        Ok(Arc::new(FailingFile { file, countdown: Arc::clone(&self.countdown) }))
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Arc<dyn DiskFile>>> {
        OsDisk.lock(path, kind)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        count_down(&self.countdown)?;
        OsDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        count_down(&self.countdown)?;
        OsDisk.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        count_down(&self.countdown)?;
        OsDisk.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        count_down(&self.countdown)?;
        OsDisk.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.sync_dir(path)
    }

    fn now(&self) -> Timestamp {
        OsDisk.now()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        OsDisk.fill_random(bytes)
    }

    fn sleep(&self, duration: Duration) {
        OsDisk.sleep(duration);
    }
}

impl DiskFile for FailingFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        count_down(&self.countdown)?;
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        count_down(&self.countdown)?;
        self.file.write_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        count_down(&self.countdown)?;
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// Each operation fails once: the error is reported as such, the index answers on, and the next
/// attempt leads to the same files.
#[test]
fn a_failed_attempt_is_made_up_for_by_the_next() {
    let sound = tempfile::tempdir().unwrap();
    let (model, _) = persisted_log(&cache_folder(&sound), 17, 9);
    let sound = files(&cache_folder(&sound));
    let middle = model.frames[model.frames.len() * 3 / 4].end_offset;
    let mut failed_count = 0;
    for operation in 1.. {
        let temporary = tempfile::tempdir().unwrap();
        let folder = cache_folder(&temporary);
        let countdown = Arc::new(AtomicU64::new(operation));
        let disk = Arc::new(FailingDisk { countdown: Arc::clone(&countdown) });
        let mut failed = false;
        let mut attempt = |result: Result<(), IndexError>| match result {
            Ok(()) => {}
            Err(IndexError::Io { .. }) => failed = true,
            Err(error) => panic!("operation {operation}: {error}"),
        };
        let index = match Index::open(disk.clone(), folder.clone(), identity()) {
            Ok(index) => index,
            Err(error) => {
                attempt(Err(error));
                Index::open(disk.clone(), folder.clone(), identity()).unwrap()
            }
        };
        feed(&index, &model);
        attempt(index.persist(middle));
        attempt(index.check());
        drop(index);
        let index = match Index::open(disk.clone(), folder.clone(), identity()) {
            Ok(index) => index,
            Err(error) => {
                attempt(Err(error));
                Index::open(disk, folder.clone(), identity()).unwrap()
            }
        };
        feed(&index, &model);
        attempt(index.persist(model.end.end_offset));
        index.check().unwrap();
        index.persist(model.end.end_offset).unwrap();
        assert!(files(&folder) == sound, "operation {operation}");
        if !failed {
            break;
        }
        failed_count += 1;
    }
    assert!(failed_count > 100, "only {failed_count} operations were tried");
}

//! A disk that fails: nothing is lost but work.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;

use super::{
    super::remove_all, Index, IndexError, Model, OsDisk, Random, Timestamp, cache_folder, feed,
    files, identity, open, persisted_log, write,
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

proptest! {
    /// Nothing is synced, so after a power failure each file that there ever was may be there or
    /// not, empty, or with zeros for a page. What is found out is rebuilt; the rest is right.
    #[test]
    fn any_files_that_a_power_failure_leaves_lead_to_the_same_ones(seed: u64) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = cache_folder(&temporary);
        let index = open(&folder);
        let mut model = Model::new(seed, index.position());
        let mut ever = BTreeMap::new();
        for stretch_count in 0..20 {
            model.grow(stretch_count + 1);
            feed(&index, &model);
            index.persist(model.end.end_offset).unwrap();
            ever.extend(files(&folder));
        }
        // The last of eight is folded without a file of its own, and may have got one all the same.
        let apart = tempfile::tempdir().unwrap();
        let unfolded = open(&cache_folder(&apart));
        feed(&unfolded, &model);
        unfolded.runs().iter().for_each(|run| drop(unfolded.write(run).unwrap()));
        ever.extend(files(&cache_folder(&apart)));
        let sound = files(&folder);

        remove_all(&OsDisk, &folder).unwrap();
        let mut random = Random(!seed);
        for (name, mut bytes) in ever {
            let page_count = bytes.len() as u64 / 4096;
            let page = usize::try_from(random.below(page_count)).unwrap() * 4096;
            match random.below(16) {
                0..7 => continue,
                7 => bytes.clear(),
                8 => bytes[page..page + 4096].fill(0),
                _ => {}
            }
            write(&folder.join(name), &bytes);
        }
        let mut index = open(&folder);
        feed(&index, &model);
        let found = index.check().and_then(|()| index.persist(model.end.end_offset));
        match found {
            Ok(()) => {}
            Err(IndexError::Damaged { .. }) => {
                remove_all(&OsDisk, &folder).unwrap();
                index = open(&folder);
                feed(&index, &model);
                index.persist(model.end.end_offset).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
        index.check().unwrap();
        prop_assert!(files(&folder) == sound);
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
        attempt(index.check());
        // What has not failed by now will not any more.
        countdown.store(0, Ordering::Relaxed);
        index.persist(model.end.end_offset).unwrap();
        index.check().unwrap();
        assert!(files(&folder) == sound, "operation {operation}");
        if !failed {
            break;
        }
        failed_count += 1;
    }
    assert!(failed_count > 100, "only {failed_count} operations were tried");
}

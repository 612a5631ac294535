//! A disk in memory, the same in each run, that knows what has been synced and fails where it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use annals::{
    Timestamp,
    io::{Access, DirEntry, Disk, DiskFile, LockKind},
};

/// What is on a disk: files and folders.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Image {
    files: BTreeMap<PathBuf, Vec<u8>>,
    folders: BTreeSet<PathBuf>,
}

/// What goes wrong, always with a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// So many syncs succeed before one fails. Later ones say that they succeed, and store nothing: the kernel has
    /// dropped what it could not write.
    pub(crate) syncs: Option<u64>,
    /// So many writes succeed before one fails.
    pub(crate) writes: Option<u64>,
    /// So many writes succeed before one panics.
    pub(crate) panics: Option<u64>,
    /// A segment cannot become longer than this: the disk is full.
    pub(crate) len_max: Option<u64>,
}

#[derive(Debug, Default)]
struct Bytes {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// What was dirty when a sync failed is lost.
    lost: bool,
    /// How many syncs have begun, and the last one that was through.
    syncs: (u64, u64),
}

#[derive(Debug, Default)]
struct Held {
    shared: u32,
    exclusive: bool,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Bytes>>>,
    folders: BTreeSet<PathBuf>,
    locks: BTreeMap<PathBuf, Held>,
    faults: Faults,
    drawn: u64,
}

/// The disk. Clones are the same one.
///
/// Its own locks are never held where another thread may go on.
#[derive(Clone, Debug)]
pub(crate) struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the scheduler choose who goes on.
fn point() {
    let visible = shuttle::sync::atomic::AtomicBool::new(false);
    visible.load(shuttle::sync::atomic::Ordering::SeqCst);
}

impl MemoryDisk {
    pub(crate) fn new(image: &Image) -> Self {
        let file = |bytes: &Vec<u8>| {
            let bytes = Bytes { now: bytes.clone(), synced: bytes.clone(), ..Bytes::default() };
            Arc::new(Mutex::new(bytes))
        };
        let files = image.files.iter().map(|(path, bytes)| (path.clone(), file(bytes))).collect();
        let drawn = image.files.values().map(|bytes| bytes.len() as u64).sum();
        let state = State { files, folders: image.folders.clone(), drawn, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        locked(&self.state).faults = faults;
    }

    fn image(&self, of: impl Fn(&Bytes) -> Vec<u8>) -> Image {
        let state = locked(&self.state);
        let files = state.files.iter();
        let files = files.map(|(path, bytes)| (path.clone(), of(&locked(bytes)))).collect();
        Image { files, folders: state.folders.clone() }
    }

    /// What is left if power fails now.
    pub(crate) fn synced(&self) -> Image {
        self.image(|bytes| bytes.synced.clone())
    }

    /// What is left if the process is killed now.
    pub(crate) fn written(&self) -> Image {
        self.image(|bytes| bytes.now.clone())
    }

    /// Length of the longest segment.
    pub(crate) fn segment_len(&self) -> u64 {
        let image = self.written();
        let segments = image.files.iter().filter(|(path, _)| is_segment(path));
        segments.map(|(_, bytes)| bytes.len() as u64).max().unwrap_or(0)
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "seg")
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = locked(&self.state);
        let known = state.files.get(path).cloned();
        let bytes = match (known, access) {
            (Some(_), Access::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(bytes), _) => bytes,
            (None, Access::CreateNew) => {
                let parent = path.parent().unwrap_or(Path::new(""));
                if !state.folders.contains(parent) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let bytes = Arc::<Mutex<Bytes>>::default();
                state.files.insert(path.to_owned(), Arc::clone(&bytes));
                bytes
            }
            (None, _) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(MemoryFile { disk: self.clone(), path: path.to_owned(), bytes, lock: None }))
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Arc<dyn DiskFile>>> {
        point();
        let mut state = locked(&self.state);
        let bytes = match (state.files.get(path).cloned(), kind) {
            (Some(bytes), _) => bytes,
            (None, LockKind::Shared) => return Err(io::ErrorKind::NotFound.into()),
            (None, LockKind::Exclusive) => {
                Arc::clone(state.files.entry(path.to_owned()).or_default())
            }
        };
        let held = state.locks.entry(path.to_owned()).or_default();
        match kind {
            _ if held.exclusive => return Ok(None),
            LockKind::Exclusive if held.shared > 0 => return Ok(None),
            LockKind::Exclusive => held.exclusive = true,
            LockKind::Shared => held.shared += 1,
        }
        let (disk, path) = (self.clone(), path.to_owned());
        Ok(Some(Arc::new(MemoryFile { disk, path, bytes, lock: Some(kind) })))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = locked(&self.state);
        let bytes = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = locked(&self.state).files.remove(path);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        locked(&self.state).folders.insert(path.to_owned());
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = locked(&self.state);
        if !state.folders.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let is_child = |child: &Path| child.parent() == Some(path);
        let name = |child: &Path| {
            child.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        };
        let folders = state.folders.iter().filter(|folder| is_child(folder));
        let folders = folders.map(|folder| DirEntry { name: name(folder), is_dir: true, len: 0 });
        let files = state.files.iter().filter(|(file, _)| is_child(file));
        let files = files.map(|(file, bytes)| {
            let len = locked(bytes).now.len() as u64;
            DirEntry { name: name(file), is_dir: false, len }
        });
        let mut entries: Vec<DirEntry> = folders.chain(files).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Names are durable at once: what is looked at here is what becomes of bytes.
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.drawn += 1;
        blake3::Hasher::new().update(&state.drawn.to_le_bytes()).finalize_xof().fill(bytes);
        Ok(())
    }

    fn sleep(&self, _: Duration) {
        shuttle::thread::yield_now();
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    path: PathBuf,
    bytes: Arc<Mutex<Bytes>>,
    lock: Option<LockKind>,
}

impl MemoryFile {
    /// Counts down one of the faults; says whether its time has come.
    fn is_due(&self, fault: impl FnOnce(&mut Faults) -> &mut Option<u64>) -> bool {
        let mut state = locked(&self.disk.state);
        let left = fault(&mut state.faults);
        match left {
            Some(count) if is_segment(&self.path) => match count.checked_sub(1) {
                Some(fewer) => *count = fewer,
                None => {
                    *left = None;
                    return true;
                }
            },
            _ => {}
        }
        false
    }

    fn len_max(&self) -> u64 {
        let len_max = locked(&self.disk.state).faults.len_max;
        len_max.filter(|_| is_segment(&self.path)).unwrap_or(u64::MAX)
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("files are small here")
}

impl DiskFile for MemoryFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.path.ends_with("LOCK") {
            point();
        }
        let file = locked(&self.bytes);
        let rest = file.now.get(place(offset)..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    /// Writes half of what it is given if that is long, so that others can look between.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        point();
        if self.is_due(|faults| &mut faults.writes) {
            return Err(io::Error::other("the write fails"));
        }
        if self.is_due(|faults| &mut faults.panics) {
            // As a panic, but that the hook does not print the schedule each time.
            std::panic::resume_unwind(Box::new(PANIC));
        }
        let room = self.len_max().saturating_sub(offset);
        let wanted = if bytes.len() >= 64 { bytes.len() / 2 } else { bytes.len() };
        let len = wanted.min(usize::try_from(room).unwrap_or(usize::MAX));
        if len == 0 && wanted > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut file = locked(&self.bytes);
        let (start, end) = (place(offset), place(offset) + len);
        if file.now.len() < end {
            file.now.resize(end, 0);
        }
        file.now[start..end].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.bytes).now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        point();
        locked(&self.bytes).now.resize(place(len), 0);
        Ok(())
    }

    /// Covers what was written when it began, and is through later.
    fn sync(&self) -> io::Result<()> {
        point();
        let fails = self.is_due(|faults| &mut faults.syncs);
        let (number, covered) = {
            let mut file = locked(&self.bytes);
            file.lost |= fails;
            file.syncs.0 += 1;
            (file.syncs.0, file.now.clone())
        };
        point();
        if fails {
            return Err(io::Error::other("the sync fails"));
        }
        let mut file = locked(&self.bytes);
        if !file.lost && file.syncs.1 < number {
            file.syncs.1 = number;
            file.synced = covered;
        }
        Ok(())
    }
}

/// What a write panics with.
pub(crate) const PANIC: &str = "a write panics";

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let Some(kind) = self.lock else { return };
        let mut state = locked(&self.disk.state);
        if let Some(held) = state.locks.get_mut(&self.path) {
            match kind {
                LockKind::Exclusive => held.exclusive = false,
                LockKind::Shared => held.shared -= 1,
            }
        }
    }
}

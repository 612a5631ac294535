//! What the tests share: a disk that counts, fails on demand and draws fixed random numbers; folders;
//! and entries in a form that the engine and the reference decoder have in common.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use annals::{
    LogId, LogView, Timestamp, Verdict, Workspace,
    io::{Access, DirEntry, Disk, DiskFile, LockKind, OsDisk},
};

use crate::reference::{self, segment::Segment};

/// No step of a test takes this long, unless somebody waits for ever.
const HANG: Duration = Duration::from_mins(1);

/// Where the fixed clock starts: 2026-01-01T00:00:00Z, in microseconds.
pub(crate) const FIXED_TIME: i64 = 1_767_225_600_000_000;

/// Runs `work` in a thread of its own; panics if it hangs, or as it does.
pub(crate) fn within<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || drop(sender.send(work())));
    match receiver.recv_timeout(HANG) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still waiting after {HANG:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the thread ends after it has sent"),
        },
    }
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Op {
    Write,
    Sync,
    SetLen,
    /// Creating, renaming or removing.
    Name,
}

/// Which files are counted together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Class {
    Segment,
    Lock,
    Index,
    Other,
}

impl Class {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == "LOCK" {
            Self::Lock
        } else if name.contains(".seg") {
            Self::Segment
        } else if name.contains(".run") {
            Self::Index
        } else {
            Self::Other
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    op: Op,
    /// So many still succeed.
    spare: u64,
    kind: io::ErrorKind,
    /// Only one fails.
    once: bool,
}

/// What is called before a file is opened.
type Hook = Arc<dyn Fn(&Path) + Send + Sync>;

#[derive(Default)]
struct State {
    hook: Option<Hook>,
    counts: HashMap<(Op, Class), u64>,
    fault: Option<Fault>,
    /// How often randomness was drawn; `None`: the operating system's.
    drawn: Option<u64>,
    clock: i64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// The operating system's files, watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestDisk(Arc<Mutex<State>>);

impl TestDisk {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Random numbers and the clock are the same in each run.
    pub(crate) fn fixed() -> Self {
        let disk = Self::new();
        disk.state().drawn = Some(0);
        disk.state().clock = FIXED_TIME;
        disk
    }

    pub(crate) fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, op: Op, class: Class) -> u64 {
        self.state().counts.get(&(op, class)).copied().unwrap_or(0)
    }

    /// Everything that changed any file but the lock.
    pub(crate) fn changes(&self) -> u64 {
        let state = self.state();
        let counts = state.counts.iter();
        counts
            .filter(|((op, class), _)| *op != Op::Sync && *class != Class::Lock)
            .map(|(_, n)| n)
            .sum()
    }

    pub(crate) fn forget_counts(&self) {
        self.state().counts.clear();
    }

    /// After `spare` more of them, every `op` on a segment fails with `kind`. A write on a disk that
    /// becomes full stores half of its bytes first.
    pub(crate) fn fail(&self, op: Op, spare: u64, kind: io::ErrorKind) {
        self.state().fault = Some(Fault { op, spare, kind, once: false });
    }

    /// The next `op` on a segment fails with `kind`; those behind it succeed.
    pub(crate) fn fail_once(&self, op: Op, kind: io::ErrorKind) {
        self.state().fault = Some(Fault { op, spare: 0, kind, once: true });
    }

    /// Calls `hook` with the path of each file before it is opened.
    pub(crate) fn before_open(&self, hook: impl Fn(&Path) + Send + Sync + 'static) {
        self.state().hook = Some(Arc::new(hook));
    }

    pub(crate) fn heal(&self) {
        self.state().fault = None;
    }

    /// Counts an operation; says how it fails, if it does.
    fn note(&self, op: Op, class: Class) -> Option<io::ErrorKind> {
        let mut state = self.state();
        *state.counts.entry((op, class)).or_default() += 1;
        let fault =
            state.fault.as_mut().filter(|fault| fault.op == op && class == Class::Segment)?;
        if let Some(spare) = fault.spare.checked_sub(1) {
            fault.spare = spare;
            return None;
        }
        let Fault { kind, once, .. } = *fault;
        if once {
            state.fault = None;
        }
        Some(kind)
    }

    fn check(&self, op: Op, path: &Path) -> io::Result<()> {
        self.note(op, Class::of(path)).map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        if access == Access::CreateNew {
            self.check(Op::Name, path)?;
        }
        let hook = self.state().hook.clone();
        if let Some(hook) = hook {
            hook(path);
        }
        let file = OsDisk.open(path, access)?;
        Ok(Arc::new(TestFile { file, class: Class::of(path), disk: self.clone() }))
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let file = OsDisk.lock(path, kind)?;
        let wrap = |file| Arc::new(TestFile { file, class: Class::Lock, disk: self.clone() });
        Ok(file.map(|file| wrap(file) as Arc<dyn DiskFile>))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Op::Name, to)?;
        OsDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Op::Name, path)?;
        OsDisk.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        OsDisk.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.sync_dir(path)
    }

    fn now(&self) -> Timestamp {
        let mut state = self.state();
        if state.drawn.is_none() {
            return OsDisk.now();
        }
        state.clock += 1;
        Timestamp::from_micros(state.clock)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        let Some(drawn) = &mut state.drawn else { return OsDisk.fill_random(bytes) };
        *drawn += 1;
        blake3::Hasher::new().update(&drawn.to_le_bytes()).finalize_xof().fill(bytes);
        Ok(())
    }

    fn sleep(&self, duration: Duration) {
        OsDisk.sleep(duration);
    }
}

#[derive(Debug)]
struct TestFile {
    file: Arc<dyn DiskFile>,
    class: Class,
    disk: TestDisk,
}

impl DiskFile for TestFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.disk.note(Op::Write, self.class) {
            None => self.file.write_at(bytes, offset),
            // What fits is written, and the rest fails when it is tried.
            Some(io::ErrorKind::StorageFull) if bytes.len() > 64 => {
                self.file.write_at(&bytes[..bytes.len() / 2], offset)
            }
            Some(kind) => Err(kind.into()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match self.disk.note(Op::SetLen, self.class) {
            None => self.file.set_len(len),
            Some(kind) => Err(kind.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self.disk.note(Op::Sync, self.class) {
            None => self.file.sync(),
            Some(kind) => Err(kind.into()),
        }
    }
}

/// Appends a change; its index.
pub(crate) fn put(workspace: &Workspace, payload: &[u8]) -> u64 {
    workspace.append(payload).unwrap().index()
}

/// The segment file of a log.
pub(crate) fn segment_path(folder: &Path, log: LogId) -> PathBuf {
    folder.join("logs").join(format!("{log}.seg"))
}

/// Copies a folder with all that is in it, as it is at the moment: what a crash of the process leaves.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What was found, if anything was.
fn found<T>(result: io::Result<T>) -> Option<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        result => Some(result.unwrap()),
    }
}

/// All files of a folder with their bytes, by their paths in it; the lock left out.
pub(crate) fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    fn collect(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, files);
            } else if !path.ends_with("LOCK") {
                // A program that goes on beside may have renamed it since the folder was read.
                let Some(bytes) = found(std::fs::read(&path)) else { continue };
                files.push((path.strip_prefix(root).unwrap().to_owned(), bytes));
            }
        }
    }
    let mut files = Vec::new();
    collect(folder, folder, &mut files);
    files.sort();
    files
}

/// Why its payload is absent, in the form of the reference decoder.
fn absent_of(entry: &annals::Entry) -> Option<reference::entry::Absent> {
    use reference::entry::Why;

    let why = match entry.payload().err()? {
        annals::Absent::Redacted { by, reason } => Why::Redacted { by, reason: reason.to_string() },
        annals::Absent::Withheld => Why::Withheld,
    };
    Some(reference::entry::Absent {
        payload_len: entry.header().payload_len,
        payload_hash: *entry.payload_hash()?.as_bytes(),
        why,
    })
}

/// The entries of a log as the engine gives them, part by part.
pub(crate) fn entries_of(log: &LogView) -> Vec<reference::entry::Entry> {
    (log.first_index()..log.entry_count())
        .map(|index| entry_of(&log.entry(index).unwrap()))
        .collect()
}

/// An entry of the engine in the form of the reference decoder.
pub(crate) fn entry_of(entry: &annals::Entry) -> reference::entry::Entry {
    let header = entry.header();
    reference::entry::Entry {
        index: entry.index(),
        lamport: header.lamport,
        timestamp: header.timestamp.map(Timestamp::as_micros),
        kind: header.kind.0,
        flags: header.part.flags(),
        stream: header.stream.0,
        payload: entry.payload().unwrap_or_default().to_vec(),
        absent: absent_of(entry),
    }
}

/// The payloads of the changes of a log, whole.
pub(crate) fn changes_of(log: &LogView) -> Vec<Vec<u8>> {
    let entries = log.scan(..).unwrap().map(Result::unwrap);
    entries
        .filter(|entry| !entry.kind().is_control())
        .map(|entry| entry.payload().unwrap().to_vec())
        .collect()
}

/// Decodes a segment file with the reference decoder.
pub(crate) fn decode_file(path: &Path) -> Segment {
    reference::segment::decode(&std::fs::read(path).unwrap()).unwrap()
}

/// What the reference decoder calls the engine's verdict.
pub(crate) fn verdict_of(verdict: &Verdict) -> reference::recovery::Verdict {
    match verdict {
        Verdict::Clean | Verdict::Preallocated => reference::recovery::Verdict::Clean,
        Verdict::TornTail => reference::recovery::Verdict::TornTail,
        Verdict::UnsyncedHole { .. } => reference::recovery::Verdict::Hole,
        Verdict::Damaged => reference::recovery::Verdict::Damaged,
    }
}

/// Small numbers that are the same in each run, for payloads and places.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end.max(1)
    }

    /// As [`Random::below`], for places in memory.
    pub(crate) fn place(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }

    /// Bytes that do not compress.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

//! What a [`ProtocolDisk`](super::ProtocolDisk) knows of each file and each name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::ranges::Ranges;
use crate::{io::DiskFile, sync::Mutex};

/// A handle to a file.
#[derive(Debug)]
pub(super) struct TrackedFile {
    file: Arc<Mutex<File>>,
    /// How many syncs of the file had failed when it was opened.
    failures: u64,
}

/// A file, whatever its names are.
#[derive(Debug, Default)]
struct File {
    /// The name that it was given since it was opened.
    name: Option<PathBuf>,
    len: u64,
    now: Unsynced,
    /// What each sync under way is to make durable.
    syncing: BTreeMap<u64, Unsynced>,
    next_sync: u64,
    failures: u64,
    /// What failed syncs were to make durable, and what was not written again since.
    failed: Ranges,
}

/// What was done and not synced.
#[derive(Debug, Default)]
struct Unsynced {
    /// What was written to or added.
    ranges: Ranges,
    /// The lowest length that the file was cut to.
    cut: Option<u64>,
}

/// All files and names. Where both are locked, the file is locked before the state.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<File>>>,
    /// Names that came into their folders since those were synced.
    names: BTreeSet<PathBuf>,
    violations: Vec<String>,
}

fn lower(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

impl File {
    fn unsynced(&self) -> impl Iterator<Item = &Unsynced> {
        [&self.now].into_iter().chain(self.syncing.values())
    }

    /// The length that the file has, or had for a moment, since its last sync.
    fn unsynced_cut(&self) -> Option<u64> {
        self.unsynced().filter_map(|unsynced| unsynced.cut).min()
    }

    /// The lowest offset that is not durable and not below `start`.
    fn unsynced_from(&self, start: u64) -> Option<u64> {
        // A cut that was not synced takes nothing of what stands below it.
        let cut = self.unsynced_cut().map(|cut| cut.max(start));
        let ranges = self.unsynced().map(|unsynced| &unsynced.ranges).chain([&self.failed]);
        ranges.filter_map(|ranges| ranges.first_from(start)).chain(cut).min()
    }

    fn mark_write(&mut self, offset: u64, end: u64) {
        // Where it begins behind the end, the bytes between are added too.
        self.now.ranges.insert(offset.min(self.len)..end);
    }

    fn mark_len(&mut self, len: u64) {
        if len < self.len {
            self.now.cut = lower(self.now.cut, Some(len));
            self.now.ranges.remove(&(len..u64::MAX));
        } else {
            self.now.ranges.insert(self.len..len);
        }
    }
}

impl Tracker {
    /// The lowest offset at or above `start` that is not durable.
    pub(super) fn synced_upto(&self, path: &Path, start: u64) -> u64 {
        let file = self.state.lock().files.get(path).cloned();
        file.map_or(u64::MAX, |file| {
            let file = file.lock();
            file.unsynced_from(start).unwrap_or(file.len.max(start))
        })
    }

    pub(super) fn name_is_durable(&self, path: &Path) -> bool {
        !self.state.lock().names.contains(path)
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.state.lock().violations.clone()
    }

    pub(super) fn violated(&self, path: &Path, call: &str, rule: &str) {
        let violation = format!("{}: {call}: {rule}", path.display());
        self.state.lock().violations.push(violation);
    }

    pub(super) fn created(&self, path: &Path) -> TrackedFile {
        let file = Arc::<Mutex<File>>::default();
        let mut state = self.state.lock();
        state.files.insert(path.to_owned(), Arc::clone(&file));
        if !is_temporary(path) {
            state.names.insert(path.to_owned());
        }
        TrackedFile { file, failures: 0 }
    }

    pub(super) fn opened(&self, path: &Path, file: &dyn DiskFile) -> TrackedFile {
        let known = self.state.lock().files.get(path).cloned();
        let file = known.unwrap_or_else(|| {
            // What cannot be asked is taken for empty: then a cut of it goes unnoticed.
            let len = file.len().unwrap_or(0);
            let mut state = self.state.lock();
            let new = || Arc::new(Mutex::new(File { len, ..File::default() }));
            Arc::clone(state.files.entry(path.to_owned()).or_insert_with(new))
        });
        let failures = file.lock().failures;
        TrackedFile { file, failures }
    }

    pub(super) fn check_rename(&self, from: &Path, to: &Path) {
        let call = format!("rename to {}", to.display());
        let file = self.state.lock().files.get(from).cloned();
        if let Some(offset) = file.and_then(|file| file.lock().unsynced_from(0)) {
            let rule = format!("rename before sync: unsynced from byte {offset}");
            self.violated(from, &call, &rule);
        }
        let replaces = !is_temporary(to) && self.state.lock().files.contains_key(to);
        if let Some(name) = self.pending_beside(to, from).filter(|_| replaces) {
            let name = name.display();
            let rule = format!("replaced before what it may refer to is durable: {name}");
            self.violated(from, &call, &rule);
        }
    }

    pub(super) fn renamed(&self, from: &Path, to: &Path) {
        let mut state = self.state.lock();
        match state.files.remove(from) {
            Some(file) => {
                state.files.insert(to.to_owned(), Arc::clone(&file));
                // The file is locked before the state.
                drop(state);
                file.lock().name = Some(to.to_owned());
                state = self.state.lock();
            }
            // Never opened, so nothing is known of what is there now.
            None => drop(state.files.remove(to)),
        }
        state.names.remove(from);
        if !is_temporary(to) {
            state.names.insert(to.to_owned());
        }
    }

    pub(super) fn check_remove(&self, path: &Path) {
        if is_temporary(path) {
            return;
        }
        if let Some(name) = self.pending_beside(path, path) {
            let rule = format!("removed before its successor is durable: {}", name.display());
            self.violated(path, "remove", &rule);
        }
    }

    /// A name that came into the folder of `path` since it was synced, and is neither of the two.
    fn pending_beside(&self, path: &Path, other: &Path) -> Option<PathBuf> {
        let mut pending = self.names_pending(folder_of(path)).into_iter();
        pending.find(|name| name != path && name != other)
    }

    pub(super) fn removed(&self, path: &Path) {
        let mut state = self.state.lock();
        state.files.remove(path);
        state.names.remove(path);
    }

    pub(super) fn names_pending(&self, folder: &Path) -> Vec<PathBuf> {
        let state = self.state.lock();
        let names = state.names.iter().filter(|name| folder_of(name) == folder);
        names.cloned().collect()
    }

    /// The folder was synced; what came into it meanwhile is pending still.
    pub(super) fn names_synced(&self, folder: &Path, names: &[PathBuf]) {
        debug_assert!(names.iter().all(|name| folder_of(name) == folder), "names of the folder");
        self.state.lock().names.retain(|name| !names.contains(name));
    }

    pub(super) fn before_write(&self, file: &TrackedFile, path: &Path, offset: u64, len: usize) {
        let mut file = file.file.lock();
        let end = offset.saturating_add(len as u64);
        if let Some(cut) = file.unsynced_cut().filter(|cut| *cut < end) {
            let call = format!("write of {len} bytes at {offset}");
            let rule = format!("write above an unsynced cut: cut to {cut} bytes");
            self.violated(path, &call, &rule);
        }
        if len > 0 {
            file.mark_write(offset, end);
        }
    }

    /// Gives what [`TrackedFile::end_sync`] wants.
    pub(super) fn begin_sync(&self, file: &TrackedFile, path: &Path) -> u64 {
        let failures = file.failures;
        let mut file = file.file.lock();
        if file.failures > failures {
            self.violated(path, "sync", "sync after a failed sync");
        }
        let sync = file.next_sync;
        file.next_sync += 1;
        let now = std::mem::take(&mut file.now);
        file.syncing.insert(sync, now);
        sync
    }
}

impl TrackedFile {
    /// The name that the file has now, which was opened as `path`.
    pub(super) fn name(&self, path: &Path) -> PathBuf {
        self.file.lock().name.clone().unwrap_or_else(|| path.to_owned())
    }

    /// Marked again: a sync that began during the write took the first mark with it.
    pub(super) fn after_write(&self, offset: u64, written: usize) {
        if written == 0 {
            return;
        }
        let mut file = self.file.lock();
        let end = offset.saturating_add(written as u64);
        file.mark_write(offset, end);
        file.len = file.len.max(end);
        file.failed.remove(&(offset..end));
    }

    pub(super) fn before_set_len(&self, len: u64) {
        self.file.lock().mark_len(len);
    }

    pub(super) fn after_set_len(&self, len: u64) {
        let mut file = self.file.lock();
        file.mark_len(len);
        file.len = len;
        file.failed.remove(&(len..u64::MAX));
    }

    pub(super) fn end_sync(&self, sync: u64, succeeded: bool) {
        let mut file = self.file.lock();
        let begun = file.syncing.remove(&sync).unwrap_or_default();
        if succeeded {
            return;
        }
        file.failures += 1;
        file.now.cut = lower(file.now.cut, begun.cut);
        file.failed.extend(&begun.ranges);
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "tmp")
}

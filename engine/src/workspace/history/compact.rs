//! Compaction of all logs of a workspace, or of one.

use std::sync::Arc;

use super::prune::{History, PruneError};
use crate::{
    bytes::{ClientId, LogId},
    compact::{CompactError, Compaction, Request},
    error::{IoContext as _, IoError},
    io::Access,
    log::{AppendError, Log, OpenAs, Segment},
    workspace::{Inner, LogSlot, Workspace, import::Turn, open},
};

/// Length of the batches that a compaction writes, uncompressed, in bytes.
const BATCH_LEN: usize = 128 << 10;
/// The same for an archive.
const ARCHIVE_BATCH_LEN: usize = 1 << 20;
/// Level of zstd: beyond it little is gained, at twice the time.
const LEVEL: i32 = 15;
const ARCHIVE_LEVEL: i32 = 19;

/// How a workspace is compacted.
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a workspace is compacted with them"]
pub struct CompactOptions {
    batch_len: usize,
    level: i32,
    everything: bool,
    rate: Option<u64>,
    pub(super) dry_run: bool,
    client: Option<ClientId>,
    history: History,
}

impl Default for CompactOptions {
    /// Batches of 128 KiB, level 15 of zstd, as fast as the disk; what was compacted before is carried over as it is.
    fn default() -> Self {
        Self {
            batch_len: BATCH_LEN,
            level: LEVEL,
            everything: false,
            rate: None,
            dry_run: false,
            client: None,
            history: History::Everything,
        }
    }
}

impl CompactOptions {
    /// For what is read seldom: everything is encoded anew, in batches of a MiB at level 19 of zstd. A random read then decompresses so much.
    pub fn archive() -> Self {
        Self {
            batch_len: ARCHIVE_BATCH_LEN,
            level: ARCHIVE_LEVEL,
            everything: true,
            ..Self::default()
        }
    }

    /// Target length of batches before compression, in bytes; 1 KiB to 8 MiB, 128 KiB by default. A random read decompresses
    /// one batch.
    pub fn batch_len(mut self, bytes: usize) -> Self {
        self.batch_len = bytes.clamp(1 << 10, 8 << 20);
        self
    }

    /// Level of zstd, 15 by default.
    pub fn level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Encodes everything anew, also what was compacted before.
    pub fn everything(mut self) -> Self {
        self.everything = true;
        self
    }

    /// Works on at most so many bytes of the old files in a second, to leave the disk and a core to others.
    pub fn rate(mut self, bytes_per_second: u64) -> Self {
        self.rate = Some(bytes_per_second);
        self
    }

    /// Compacts the logs of this client alone.
    pub fn client(mut self, client: ClientId) -> Self {
        self.client = Some(client);
        self
    }

    /// Prunes what is beyond this budget, at snapshots that all other clients have seen; everything is kept by default.
    pub fn history(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// Finds out what would be gained, and leaves everything as it is. Costs the same time and room.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    pub(super) fn request(&self) -> Request {
        Request {
            batch_len: self.batch_len,
            level: self.level,
            everything: self.everything,
            prune: None,
            rate: self.rate,
            dry_run: self.dry_run,
        }
    }
}

/// What a compaction has done, or would do.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct CompactReport {
    /// The logs, the own one first.
    pub logs: Vec<CompactedLog>,
    /// Logs that are damaged, and so left as they are: a message for each.
    pub damaged: Vec<String>,
    /// Files with saved or unfinished bytes that were removed, since they could hold what was redacted.
    pub removed_files: u64,
}

/// What became of one log.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct CompactedLog {
    /// The client that writes it.
    pub client: ClientId,
    /// The log.
    pub log: LogId,
    /// Whether it was written anew; otherwise there was nothing to do.
    pub rewritten: bool,
    /// Length of its segment before, in bytes.
    pub before_bytes: u64,
    /// And after.
    pub after_bytes: u64,
    /// Bytes that were carried over as they were.
    pub carried_bytes: u64,
    /// Frames before.
    pub before_frames: u64,
    /// And after.
    pub after_frames: u64,
    /// Entries whose payload is gone since then.
    pub redacted_entries: u64,
    /// The bytes of these payloads.
    pub redacted_bytes: u64,
    /// Entries that were pruned.
    pub pruned_entries: u64,
}

impl CompactedLog {
    /// A log that there was nothing to do for.
    pub(super) fn unchanged(log: &Log) -> Self {
        let view = log.view.read();
        let (len, frames) = (view.end_offset, view.state.frame_count);
        let done = Compaction {
            before_len: len,
            after_len: len,
            before_frames: frames,
            after_frames: frames,
            ..Compaction::default()
        };
        Self::new(log, &done)
    }

    pub(super) fn new(log: &Log, done: &Compaction) -> Self {
        Self {
            client: log.client(),
            log: log.id(),
            rewritten: done.is_new,
            before_bytes: done.before_len,
            after_bytes: done.after_len,
            carried_bytes: done.carried_len,
            before_frames: done.before_frames,
            after_frames: done.after_frames,
            redacted_entries: done.forgotten,
            redacted_bytes: done.forgotten_bytes,
            pruned_entries: done.pruned,
        }
    }
}

impl Workspace {
    /// Writes logs anew so that they take less room, and forgets what was redacted.
    ///
    /// Small batches become large ones and are compressed better; frames that mean nothing any more are left out; payloads
    /// that redactions are about are gone afterwards, with their salts. No hash changes: roots and proofs stay what they
    /// are. Others append and read meanwhile; commits wait at the end for a few syncs. What was compacted before is
    /// carried over as it is, which costs no encoding, and nothing at all where the file system shares blocks.
    ///
    /// `progress` is told how many bytes of the old files of how many are done, and stops the compaction by `false`. A
    /// crash or an error leaves each log as it was, or compacted.
    ///
    /// # Errors
    ///
    /// See [`CompactError`]. Logs before the one that fails are compacted. A log that is damaged is no error here, but named
    /// in the report.
    ///
    /// ```
    /// # use annals::{CompactOptions, Options, Workspace};
    /// # let folder = tempfile::tempdir()?;
    /// # let workspace = Workspace::create(folder.path().join("w"), Options::default())?;
    /// for number in 0..100 {
    ///     workspace.append(format!("change number {number}").as_bytes())?;
    ///     workspace.commit()?; // each in a batch of its own
    /// }
    /// let root = workspace.own_log().root()?;
    /// let report = workspace.compact(&CompactOptions::default(), |_, _| true)?;
    /// assert!(report.logs[0].after_bytes < report.logs[0].before_bytes / 2);
    /// assert_eq!(workspace.own_log().root()?, root);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compact(
        &self,
        options: &CompactOptions,
        mut progress: impl FnMut(u64, u64) -> bool,
    ) -> Result<CompactReport, CompactError> {
        let _turn = self.compacting()?;
        let mut slots = Vec::new();
        for view in self.logs() {
            if options.client.is_none_or(|client| view.client() == client) {
                slots.push(Arc::clone(&view.slot));
            }
        }
        let total: u64 = slots.iter().map(|slot| slot.now().view.read().end_offset).sum();
        let mut report = CompactReport::default();
        let mut before = 0;
        for slot in slots {
            let mut request = options.request();
            let log = slot.now();
            if let Some(size) = self.budget(&log, options.history).map_err(flatten)? {
                request.prune = Some(self.prune_request(&log, size).map_err(flatten)?);
            }
            drop(log);
            let len = slot.now().view.read().end_offset;
            let done = self.compact_log(&slot, &request, &mut |done, _| {
                progress(before + done.min(len), total)
            });
            before += len;
            let log = slot.now();
            let done = match done {
                Err(CompactError::Damaged(damage)) => {
                    report.damaged.push(damage.to_string());
                    continue;
                }
                done => done?,
            };
            if done.forgotten + done.pruned > 0 && !options.dry_run {
                report.removed_files += self.remove_remains(&log)?;
            }
            report.logs.push(CompactedLog::new(&log, &done));
        }
        Ok(report)
    }

    /// Keeps others from compacting.
    pub(super) fn compacting(&self) -> Result<crate::sync::MutexGuard<'_, ()>, CompactError> {
        if self.inner.lock.is_none() || self.inner.is_closed() {
            return Err(AppendError::ReadOnly.into());
        }
        self.inner.compacting.try_lock().ok_or(CompactError::Busy)
    }

    pub(super) fn compact_log(
        &self,
        slot: &LogSlot,
        request: &Request,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Compaction, CompactError> {
        let log = slot.now();
        let is_own = log.core.get().is_some();
        // Only imports write replicas; the own log looks after itself.
        let _turn =
            if is_own { None } else { Some(Turn::take(&self.inner).ok_or(CompactError::Busy)?) };
        let log = slot.now();
        let done = Compaction::run(&log, request, |next| slot.switch(Arc::clone(next)), progress);
        if done.is_err() && !is_own {
            self.follow_replica(slot, &log);
        }
        done
    }

    /// After an error a replica may have been replaced all the same, if only its folder could not be synced: nothing must be
    /// written to a file that has no name any more. If its place is not durable, it is not used before the next opening.
    fn follow_replica(&self, slot: &LogSlot, log: &Arc<Log>) {
        let Inner { disk, path: folder, metadata, cache, logs, .. } = &*self.inner;
        let there = Segment::load(&**disk, &log.path, Access::Read);
        if there.is_ok_and(|there| there.header.generation == log.header.generation) {
            return;
        }
        let synced = log.path.parent().map_or(Ok(()), |logs| disk.sync_dir(logs));
        let opened = open::open_log(disk, folder, metadata, log.id(), cache, OpenAs::Writer);
        match (synced, opened) {
            (Ok(()), Ok(opened)) => {
                slot.switch(Arc::clone(&opened.log));
                log.superseded_by(&opened.log);
            }
            _ => drop(logs.write().remove(&log.id())),
        }
    }

    /// Removes what was saved of this log, and what was never finished: it may hold what was redacted.
    pub(super) fn remove_remains(&self, log: &Log) -> Result<u64, IoError> {
        let disk = &*self.inner.disk;
        let folder = log.path.parent().unwrap_or(&self.inner.path);
        let name = log.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name else { return Ok(0) };
        let (cut, temporary) = (format!("{name}.cut-"), format!("{name}.tmp"));
        let mut removed = 0;
        for entry in disk.list(folder).context(folder, "list")? {
            if entry.name.starts_with(&cut) || entry.name == temporary {
                let path = folder.join(&entry.name);
                disk.remove(&path).context(&path, "remove")?;
                removed += 1;
            }
        }
        if removed > 0 {
            disk.sync_dir(folder).context(folder, "sync")?;
        }
        let import = self.inner.path.join("import.tmp");
        if log.core.get().is_some() {
            // Of an import that a crash has ended; one that is under way holds its turn.
            let Some(_turn) = Turn::take(&self.inner) else { return Ok(removed) };
            match disk.remove(&import) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(IoError::new(&import, "remove", error)),
            }
        }
        Ok(removed)
    }
}

/// What can go wrong when a budget is kept.
fn flatten(error: PruneError) -> CompactError {
    match error {
        PruneError::Compact(error) => error,
        PruneError::Read(error) => error.into(),
        error => CompactError::Budget(Box::new(error)),
    }
}

//! Reading one log.

use std::{
    collections::HashMap,
    ops::{Bound, RangeBounds},
    sync::Arc,
    time::Duration,
};

use super::{LogSlot, Workspace};
use crate::{
    bytes::{ClientId, Hash, LogId, StreamId, Timestamp},
    error::Corruption,
    index::DeclarationForm,
    log::{Direction, Entry, Filter, Log, Predecessor, READ_AHEAD_LONG, ReadError, Scan},
    merkle::{ConsistencyProof, InclusionProof},
};

/// How long a reader beside a writer in another process waits before it looks again.
const FOLLOW_PAUSE: Duration = Duration::from_millis(10);

/// One log of a workspace, to read.
#[derive(Clone, Debug)]
pub struct LogView {
    pub(super) workspace: Workspace,
    pub(crate) slot: Arc<LogSlot>,
}

/// Figures of one log.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct LogStats {
    /// The client that writes it.
    pub client: ClientId,
    /// The log.
    pub log: LogId,
    /// Entries, control entries included.
    pub entries: u64,
    /// Changes.
    pub changes: u64,
    /// Root of all entries.
    pub root: Hash,
    /// Sum of the payload lengths.
    pub payload_bytes: u64,
    /// Length of the segment file, with what was written ahead of the log
    /// ([`Options::preallocate`](crate::Options::preallocate)).
    pub file_bytes: u64,
    /// Bytes of the file that mean something.
    pub live_bytes: u64,
    /// Bytes of the file that mean nothing any more: behind the end, and payloads that were redacted and are still there
    /// (uncompressed).
    pub dead_bytes: u64,
    /// What a compaction gains at least: dead bytes, and the envelopes of small batches. Better compression comes on top;
    /// a dry run of a compaction tells.
    pub reclaimable_bytes: u64,
    /// First entry that was not pruned.
    pub first_index: u64,
    /// Frames of the file.
    pub frames: u64,
    /// Streams declared.
    pub streams: u32,
    /// Lamport clock of the last entry.
    pub lamport: u64,
    /// Latest time of any entry.
    pub latest: Option<Timestamp>,
    /// How often the segment was compacted.
    pub generation: u64,
}

impl Workspace {
    /// The log that this client writes.
    pub fn own_log(&self) -> LogView {
        LogView { workspace: self.clone(), slot: Arc::clone(&self.inner.own) }
    }

    /// All logs: the own one first, the others in the order of their ids.
    pub fn logs(&self) -> Vec<LogView> {
        let own = self.inner.metadata.log;
        let logs = self.inner.logs.read();
        let others = logs.iter().filter(|(log, _)| **log != own).map(|(_, slot)| slot);
        let all = std::iter::once(&self.inner.own).chain(others);
        all.map(|slot| LogView { workspace: self.clone(), slot: Arc::clone(slot) }).collect()
    }

    /// The log with this id.
    ///
    /// # Errors
    ///
    /// [`ReadError::UnknownLog`].
    pub fn log(&self, log: LogId) -> Result<LogView, ReadError> {
        let found = self.inner.logs.read().get(&log).cloned();
        found
            .map(|slot| LogView { workspace: self.clone(), slot })
            .ok_or(ReadError::UnknownLog(log))
    }

    /// The logs of a client; usually one. A log that continues another one comes behind it.
    ///
    /// # Errors
    ///
    /// [`ReadError::UnknownClient`].
    pub fn logs_of(&self, client: ClientId) -> Result<Vec<LogView>, ReadError> {
        let mut logs: Vec<LogView> =
            self.logs().into_iter().filter(|log| log.client() == client).collect();
        let before: HashMap<LogId, LogId> =
            logs.iter().filter_map(|log| Some((log.id(), log.predecessor()?.log))).collect();
        // Headers are anybody's to write: a circle ends where it has been longer than the list.
        let count = before.len();
        let ancestors = |log: &LogView| {
            std::iter::successors(before.get(&log.id()), |log| before.get(log)).take(count).count()
        };
        logs.sort_by_key(ancestors);
        if logs.is_empty() { Err(ReadError::UnknownClient(client)) } else { Ok(logs) }
    }
}

impl LogView {
    /// The generation to use now.
    pub(crate) fn log(&self) -> Arc<Log> {
        self.slot.now()
    }

    /// The log's id.
    pub fn id(&self) -> LogId {
        self.log().id()
    }

    /// The log that this one continues: its client has left that one because it was damaged past mending, or
    /// had forked.
    pub fn predecessor(&self) -> Option<Predecessor> {
        self.log().header.predecessor
    }

    /// The client that writes it.
    pub fn client(&self) -> ClientId {
        self.log().client()
    }

    /// The segment file.
    pub fn path(&self) -> &std::path::Path {
        self.slot.path()
    }

    /// Number of entries that can be read here, those included that are not durable yet.
    pub fn entry_count(&self) -> u64 {
        self.log().entry_count()
    }

    /// Index of the first entry that is there: those before were pruned.
    pub fn first_index(&self) -> u64 {
        self.log().first_index()
    }

    /// Whether the log has no entries.
    pub fn is_empty(&self) -> bool {
        self.entry_count() == 0
    }

    /// Acknowledged entries that are damaged, as far as opening has found out.
    pub fn damage(&self) -> Option<Corruption> {
        self.log().view.read().damage.clone()
    }

    /// The entry `index` as it stands in the log: one part, if its change was split.
    ///
    /// Cost: nothing but a lookup if its batch is cached; else one read of about 20 KiB, one decompression.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn entry(&self, index: u64) -> Result<Entry, ReadError> {
        self.log().entry(index)
    }

    /// The entries in `range`, oldest first, up to what there is now. Changes in parts are given whole, where
    /// they begin.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use annals::{Options, Workspace};
    /// # let folder = tempfile::tempdir()?;
    /// # let workspace = Workspace::create(folder.path().join("w"), Options::default())?;
    /// for text in ["a", "b", "c"] {
    ///     workspace.append(text.as_bytes())?;
    /// }
    /// let log = workspace.own_log();
    /// let mut payloads = Vec::new();
    /// for entry in log.scan(1..)? {
    ///     payloads.push(entry?.payload()?.to_vec());
    /// }
    /// assert_eq!(payloads, [b"b", b"c"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan(&self, range: impl RangeBounds<u64>) -> Result<Scan, ReadError> {
        Scan::new(
            self.log(),
            self.bounds(&range),
            Filter::Everything,
            Direction::Forward,
            READ_AHEAD_LONG,
        )
    }

    /// As [`LogView::scan`], newest first.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn scan_backward(&self, range: impl RangeBounds<u64>) -> Result<Scan, ReadError> {
        Scan::new(
            self.log(),
            self.bounds(&range),
            Filter::Everything,
            Direction::Backward,
            READ_AHEAD_LONG,
        )
    }

    /// The entries in `range` that claim assets or release claims, as they stand in the log. Reads only the parts of the
    /// file that hold some of them.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn scan_assets(
        &self,
        range: impl RangeBounds<u64>,
        direction: Direction,
    ) -> Result<Scan, ReadError> {
        let log = self.log();
        Scan::new(log, self.bounds(&range), Filter::Assets, direction, STREAM_READ_AHEAD)
    }

    /// The entries of one stream in `range`. Reads only the parts of the file that hold some of it.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn scan_stream(
        &self,
        stream: StreamId,
        range: impl RangeBounds<u64>,
        direction: Direction,
    ) -> Result<Scan, ReadError> {
        Scan::new(self.log(), self.bounds(&range), Some(stream), direction, STREAM_READ_AHEAD)
    }

    /// The id of the stream with this name, if the log has one.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn find_stream(&self, name: &str) -> Result<Option<StreamId>, ReadError> {
        self.log().find_stream(name)
    }

    /// All streams that the log has declared, with their names; a UUID in its usual form.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn streams(&self) -> Result<Vec<(StreamId, String)>, ReadError> {
        let declared = self.log().declared_streams()?;
        let name = |form, name: &[u8]| match form {
            DeclarationForm::Name => String::from_utf8_lossy(name).into_owned(),
            DeclarationForm::Uuid => uuid::Uuid::from_slice(name).unwrap_or_default().to_string(),
        };
        Ok(declared
            .iter()
            .map(|declaration| (declaration.stream, name(declaration.form, &declaration.name)))
            .collect())
    }

    /// The root of all entries.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]; behind damage there is no root.
    pub fn root(&self) -> Result<Hash, ReadError> {
        self.log().root_at(None).map(|(_, root)| root)
    }

    /// The root of the first `size` entries.
    ///
    /// Cost: O(log n) lookups, and at most 64 entries are hashed.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn root_at(&self, size: u64) -> Result<Hash, ReadError> {
        self.log().root_at(Some(size)).map(|(_, root)| root)
    }

    /// Proves that entry `index` stands in the first `size` entries (default: all). The proof discloses the entry.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn prove_inclusion(
        &self,
        index: u64,
        size: Option<u64>,
    ) -> Result<InclusionProof, ReadError> {
        self.log().prove_inclusion(index, size)
    }

    /// Proves that the first `from` entries are the beginning of the first `size` (default: all).
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn prove_consistency(
        &self,
        from: u64,
        size: Option<u64>,
    ) -> Result<ConsistencyProof, ReadError> {
        self.log().prove_consistency(from, size)
    }

    /// How many entries the log had at `time`: all before the first one that is later.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn size_at(&self, time: Timestamp) -> Result<u64, ReadError> {
        self.log().size_at(time)
    }

    /// Waits until there is an entry `index`, or `timeout` has passed; says whether there is.
    ///
    /// For the own log, in the process that writes it, it wakes with the next append; else it looks every 10
    /// milliseconds.
    ///
    /// # Errors
    ///
    /// See [`OpenError`](super::OpenError).
    pub fn wait_for(&self, index: u64, timeout: Duration) -> Result<bool, super::OpenError> {
        if let Some(core) = self.log().core.get() {
            return Ok(core.wait_for_entry(index, timeout));
        }
        let mut waited = Duration::ZERO;
        loop {
            if self.entry_count() > index {
                return Ok(true);
            }
            self.workspace.refresh()?;
            if self.entry_count() > index || waited >= timeout {
                return Ok(self.entry_count() > index);
            }
            let pause = FOLLOW_PAUSE.min(timeout.saturating_sub(waited));
            self.workspace.inner.disk.sleep(pause);
            waited += pause;
        }
    }

    /// Figures of the log; what is staged is written first.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn stats(&self) -> Result<LogStats, ReadError> {
        let damaged = self.damage().is_some();
        let root = if damaged {
            self.log().view.read().state.peaks.root(&self.log().keys)
        } else {
            self.root()?
        };
        let view = self.log().view.read().clone();
        let file_bytes = self.log().file.len();
        let file_bytes = file_bytes.map_err(|error| {
            crate::error::IoError::new(&self.log().path, "read the length of", error)
        })?;
        let redacted = if damaged { Vec::new() } else { self.log().pending_redactions()? };
        let redacted_bytes: u64 = redacted.iter().map(|(_, len)| u64::from(*len)).sum();
        // What was written ahead is neither: the next commits go there, and a clean close takes it away.
        let behind = if self.log().header.preallocated {
            0
        } else {
            file_bytes.saturating_sub(view.end_offset)
        };
        let dead_bytes = behind + redacted_bytes;
        Ok(LogStats {
            client: self.client(),
            log: self.id(),
            entries: view.entry_count,
            changes: view.state.change_count,
            root,
            payload_bytes: view.state.payload_bytes,
            file_bytes,
            live_bytes: view.end_offset.saturating_sub(redacted_bytes),
            dead_bytes,
            reclaimable_bytes: self.log().reclaimable(dead_bytes),
            first_index: self.first_index(),
            frames: view.state.frame_count,
            streams: view.state.stream_count,
            lamport: view.state.lamport,
            latest: view.state.time_max,
            generation: self.log().header.generation,
        })
    }
}

/// Spans of a stream are short.
const STREAM_READ_AHEAD: usize = 64 << 10;

impl LogView {
    /// A range of indices; without a start from the first entry that is there.
    fn bounds(&self, range: &impl RangeBounds<u64>) -> std::ops::Range<u64> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start.saturating_add(1),
            Bound::Unbounded => self.first_index(),
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        start..end.max(start)
    }
}

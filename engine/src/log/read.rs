//! Reading one log: by index, lazily, every byte checked before it is used.

use std::{path::PathBuf, sync::Arc};

use crate::{
    batch::{Batch, Content, Decoder, Unsupported},
    bytes::{ClientId, LogId, LogKeys, StreamId, Timestamp},
    entry::EntryHeader,
    error::{Cause, Corruption, IoContext as _, IoError, LostEntries},
    frame::{FrameHeader, FrameKind},
    index::{Index, SpanRef},
    io::{Disk, DiskFile},
    log::{
        cache::BatchCache,
        checkpoint::LogState,
        commit::{AppendError, Core},
        declare::StreamTable,
        entry::{Entry, Payload},
        frames::{FrameFault, FrameReader, READ_AHEAD_SHORT},
        head::SegmentHeader,
        pruned::{KeptEntry, PruneRecord},
        redactions::RedactionTable,
        replay::decode_for,
    },
    merkle::SaltTree,
    sync::{AtomicU64, Mutex, OnceLock, Ordering, ReentrantMutex, RwLock},
};

/// A lookup walks frames behind the index up to this far; farther, the index is read up first.
pub(crate) const UNINDEXED_LEN_MAX: u64 = 1 << 20;
/// So many lookups do without an index before somebody who asks for one more makes it.
const SEEK_COUNT_MAX: u64 = 64;

/// Is told after each sync how far the log has come.
pub(crate) type Watcher = Box<dyn Fn(&Log) + Send + Sync>;

/// Holds a watcher, if there is one.
#[derive(Default)]
pub(crate) struct Watch(pub(crate) OnceLock<Watcher>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// Why entries cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Acknowledged bytes are damaged. Entries outside of the range that is named can be read.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The log has no such entry, or not so many.
    #[error("the log {log} has {entry_count} entries, there is no {index}")]
    OutOfRange {
        /// The log.
        log: LogId,
        /// What was asked for.
        index: u64,
        /// What there is.
        entry_count: u64,
    },
    /// The entry was pruned: the log begins with a later one. A snapshot stands for what came before.
    #[error("entry {index} of the log {log} was pruned: its first entry is {first_index}")]
    Pruned {
        /// The log.
        log: LogId,
        /// What was asked for: an entry, or a number of entries.
        index: u64,
        /// The first entry that is there.
        first_index: u64,
    },
    /// Written by a later version of this library.
    #[error("{}: frame of a kind that this version does not know at byte {offset}", .path.display())]
    UnknownKind {
        /// The segment file.
        path: PathBuf,
        /// Offset of the frame.
        offset: u64,
    },
    /// A batch written by a later version of this library.
    #[error("{}: batch at byte {offset} cannot be read: {what}", .path.display())]
    Unsupported {
        /// The segment file.
        path: PathBuf,
        /// Offset of its frame.
        offset: u64,
        /// What is unknown.
        what: Unsupported,
    },
    /// What was appended could not be handed to the operating system.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A cursor of another workspace, or a log that this workspace does not have.
    #[error("this workspace has no log {0}")]
    UnknownLog(LogId),
    /// No client has this id here.
    #[error("this workspace has no log of client {0}")]
    UnknownClient(ClientId),
}

/// Where reading ends at the moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// End of the last frame that may be read.
    pub(crate) end_offset: u64,
    /// Entries up to there.
    pub(crate) entry_count: u64,
    /// The state there; before the damage, if there is any.
    pub(crate) state: LogState,
    /// Acknowledged bytes that are wrong or gone.
    pub(crate) damage: Option<Corruption>,
}

/// A log that is open.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: SegmentHeader,
    pub(crate) keys: LogKeys,
    pub(crate) salts: SaltTree,
    /// What is kept of entries that were pruned.
    pub(crate) pruned: Option<Arc<PruneRecord>>,
    pub(crate) index: Arc<Index>,
    /// Held by whoever feeds the index; reentrant, as feeding reads entries.
    pub(crate) feed: Arc<ReentrantMutex<()>>,
    /// Offset below which the file is known to be durable.
    pub(crate) durable_len: Arc<AtomicU64>,
    pub(crate) view: Arc<RwLock<View>>,
    pub(crate) cache: Arc<BatchCache>,
    /// How this process writes to the log, if it does.
    pub(crate) core: OnceLock<Arc<Core>>,
    /// The next generation, once this one was replaced: what is appended since is there.
    pub(crate) next: OnceLock<Arc<Log>>,
    /// The log's streams, as far as they were asked for.
    pub(crate) streams: Arc<Mutex<StreamTable>>,
    /// What was taken back, as far as it was asked for.
    pub(crate) redactions: Arc<Mutex<RedactionTable>>,
    /// Whether the index may be written.
    pub(crate) keeps_index: bool,
    /// Lookups that did without an index.
    pub(crate) seeks: AtomicU64,
    /// Who looks after the log in the background; the same for all generations.
    pub(crate) watcher: Arc<Watch>,
}

impl Log {
    /// The generation that is written now: this one, unless it was replaced since it was asked for.
    pub(crate) fn latest(&self) -> &Self {
        let mut latest = self;
        while let Some(next) = latest.next.get() {
            latest = next;
        }
        latest
    }

    pub(crate) fn id(&self) -> LogId {
        self.header.log
    }

    pub(crate) fn client(&self) -> ClientId {
        self.header.client
    }

    /// Entries that can be read, staged ones included.
    pub(crate) fn entry_count(&self) -> u64 {
        let written = self.view.read().entry_count;
        self.core.get().map_or(written, |core| core.end_index().max(written))
    }

    /// Entries that have a place in the tree: all, but for those behind damage that no checkpoint bridges.
    pub(crate) fn readable_size(&self) -> u64 {
        // Not counted under the guard: a lock that is taken twice waits for a writer between.
        let before_damage = self.blocking_damage().map(|damage| damage.lost.first);
        before_damage.unwrap_or_else(|| self.entry_count())
    }

    /// Damage behind the last checkpoint, which keeps everybody from writing to the log. Below it the
    /// checkpoint says how the log goes on.
    pub(crate) fn blocking_damage(&self) -> Option<Corruption> {
        let view = self.view.read();
        view.damage.clone().filter(|damage| damage.lost.first >= view.state.entry_count())
    }

    pub(crate) fn frame_reader(&self, limit: u64, read_ahead: usize) -> FrameReader {
        FrameReader::new(Arc::clone(&self.file), self.header.frames(), limit, read_ahead)
    }

    /// The first entry that was not pruned.
    pub(crate) fn first_index(&self) -> u64 {
        self.header.first_index
    }

    /// Fails for entries that were pruned, and for sizes that end among them.
    pub(crate) fn check_pruned(&self, index: u64) -> Result<(), ReadError> {
        let first_index = self.first_index();
        if index < first_index { Err(self.pruned_error(index)) } else { Ok(()) }
    }

    pub(crate) fn pruned_error(&self, index: u64) -> ReadError {
        ReadError::Pruned { log: self.id(), index, first_index: self.first_index() }
    }

    /// The clock of the last of the first `size` entries, 0 if there is none.
    pub(crate) fn lamport_at(&self, size: u64) -> Result<u64, ReadError> {
        match (&self.pruned, size.checked_sub(1)) {
            (_, None) => Ok(0),
            (Some(record), _) if record.size() == size => Ok(record.state.lamport),
            (_, Some(last)) => Ok(self.entry_header(last)?.lamport),
        }
    }

    /// Why there is no entry `index` at the end: it was lost there, or it never was.
    pub(crate) fn out_of_range(&self, index: u64) -> ReadError {
        let damage = self.view.read().damage.clone();
        let lost = |damage: &Corruption| {
            let LostEntries { first, end } = damage.lost;
            first <= index && end.is_none_or(|end| index < end)
        };
        if let Some(damage) = damage.filter(lost) {
            return ReadError::Corrupt(damage);
        }
        ReadError::OutOfRange { log: self.id(), index, entry_count: self.entry_count() }
    }

    pub(crate) fn corruption(
        &self,
        offset: u64,
        lost: LostEntries,
        cause: impl Into<Cause>,
    ) -> ReadError {
        ReadError::Corrupt(Corruption {
            path: self.path.clone(),
            offset,
            lost,
            cause: cause.into(),
        })
    }

    /// The entry `index` as it stands in the log: a part, if its change was split.
    pub(crate) fn entry(self: &Arc<Self>, index: u64) -> Result<Entry, ReadError> {
        loop {
            if index < self.view.read().entry_count {
                let batch = self.batch_with(index)?;
                let position = position_in(&batch, index);
                return self.entry_of(&batch, position);
            }
            if let Some(entry) = self.core.get().and_then(|core| self.staged_entry(core, index)) {
                return Ok(entry);
            }
            // What was being written when the view was looked at may be in the file by now, or in the next one.
            if index >= self.view.read().entry_count {
                return match self.next.get() {
                    Some(next) => next.entry(index),
                    None => Err(self.out_of_range(index)),
                };
            }
        }
    }

    /// A control entry, also one that was pruned and still counts (H-10).
    pub(crate) fn kept_entry(self: &Arc<Self>, index: u64) -> Result<KeptEntry, ReadError> {
        if let Some(kept) = self.pruned.as_ref().and_then(|record| record.kept(index)) {
            return Ok(kept.clone());
        }
        let entry = self.entry(index)?;
        Ok(KeptEntry {
            index,
            timestamp: entry.timestamp(),
            stream: entry.stream(),
            kind: entry.kind(),
            payload: entry.stored_payload().unwrap_or_default().to_vec(),
        })
    }

    /// The header of the entry `index`.
    pub(crate) fn entry_header(&self, index: u64) -> Result<EntryHeader, ReadError> {
        loop {
            if index < self.view.read().entry_count {
                let batch = self.batch_with(index)?;
                return Ok(batch.entry_header(position_in(&batch, index)));
            }
            let staged =
                self.core.get().and_then(|core| core.staged_entry(index, |header, _| *header));
            if let Some(header) = staged {
                return Ok(header);
            }
            if index >= self.view.read().entry_count {
                return match self.next.get() {
                    Some(next) => next.entry_header(index),
                    None => Err(self.out_of_range(index)),
                };
            }
        }
    }

    fn staged_entry(&self, core: &Core, index: u64) -> Option<Entry> {
        if index >= core.end_index() {
            return None;
        }
        core.staged_entry(index, |header, payload| Entry {
            log: self.id(),
            client: self.client(),
            index,
            part_count: 1,
            payload_len: header.payload_len.into(),
            header: *header,
            payload: Payload::Owned(Arc::new(payload.to_vec())),
        })
    }

    /// The entry at a position of a batch of this log.
    pub(crate) fn entry_of(
        self: &Arc<Self>,
        batch: &Arc<Batch>,
        position: usize,
    ) -> Result<Entry, ReadError> {
        let index = batch.first_index() + position as u64;
        let header = batch.entry_header(position);
        let payload = match batch.content(position) {
            Content::Payload(_) => Payload::InBatch(Arc::clone(batch), position),
            Content::Absent(hash) => Payload::Absent(self.absence(index)?, hash),
        };
        Ok(Entry {
            log: self.id(),
            client: self.client(),
            index,
            part_count: 1,
            payload_len: header.payload_len.into(),
            header,
            payload,
        })
    }

    /// The decoded batch that holds entry `index`, which is in the file.
    pub(crate) fn batch_with(&self, index: u64) -> Result<Arc<Batch>, ReadError> {
        if let Some(batch) = self.cache.find(self.id(), self.header.generation, index) {
            return Ok(batch);
        }
        let (mut reader, frame) = self.frame_with(index)?;
        let batch = self
            .cache
            .with_decoder(|decoder| self.decode(&mut reader, &frame, decoder))
            .map(Arc::new)?;
        self.cache.insert(self.id(), self.header.generation, &batch);
        Ok(batch)
    }

    /// Reads and decodes the batch of a frame whose header is known.
    pub(crate) fn decode(
        &self,
        reader: &mut FrameReader,
        frame: &FrameHeader,
        decoder: &mut Decoder,
    ) -> Result<Batch, ReadError> {
        let batch = self.decode_with(reader, frame, decoder, None)?;
        Ok(batch.expect("every batch is wanted"))
    }

    /// The same; if a stream is named, of batches with entries of it only. The payloads of others are left alone.
    pub(crate) fn decode_with(
        &self,
        reader: &mut FrameReader,
        frame: &FrameHeader,
        decoder: &mut Decoder,
        only: Option<StreamId>,
    ) -> Result<Option<Batch>, ReadError> {
        let lost = LostEntries::from(frame.first_index..frame.end_index());
        let next = reader.header_behind(frame).context(&self.path, "read")?;
        let end = (self.behind(frame).offset, frame.header_crc);
        let is_old = {
            let state = &self.view.read().state;
            end.0 == state.end_offset && end.1 != state.link
        };
        let follows_another =
            |next: FrameHeader| next.opening > frame.opening && next.link != frame.header_crc;
        if is_old || next.is_some_and(follows_another) {
            // The disk shows what stood here before an earlier end was cut off and written anew.
            let fault = FrameFault::OutOfSequence("what is behind it follows another frame");
            return Err(self.corruption(frame.offset, lost, fault));
        }
        let payload = reader.payload(frame).context(&self.path, "read")?;
        let payload = payload.map_err(|fault| self.corruption(frame.offset, lost, fault))?;
        // What cannot be decoded is wanted: the error tells why.
        if let Some(only) = only
            && let Ok(meta) = decoder.decode_meta(payload)
            && meta.streams().all(|stream| stream != only)
        {
            return Ok(None);
        }
        decode_for(self.id(), frame, decoder, payload)
            .map(Some)
            .map_err(|error| self.corruption(frame.offset, lost, error))
    }

    /// The header of the frame that holds entry `index`, and a reader that is there.
    pub(crate) fn frame_with(&self, index: u64) -> Result<(FrameReader, FrameHeader), ReadError> {
        self.check_pruned(index)?;
        let limit = self.view.read().end_offset;
        let mut reader = self.frame_reader(limit, READ_AHEAD_SHORT);
        let mut at = self.place_near(index)?;
        loop {
            match self.next_frame(&mut reader, at)? {
                Step::Frame(frame)
                    if frame.end_index() > index && frame.kind == FrameKind::BATCH =>
                {
                    return Ok((reader, frame));
                }
                Step::Frame(frame) => at = self.behind(&frame),
                Step::Damage(_, Some(next)) if next.first_index <= index => {
                    at = Place { offset: next.offset, index: next.first_index };
                }
                Step::Damage(error, _) => return Err(error),
                Step::End => return Err(self.out_of_range(index)),
            }
        }
    }

    /// The place behind a frame.
    pub(crate) fn behind(&self, frame: &FrameHeader) -> Place {
        let offset = frame.offset + frame.len(self.header.align_log2);
        Place { offset, index: frame.end_index() }
    }

    /// The place behind what the index covers.
    pub(crate) fn index_end(&self) -> Place {
        let position = self.index.position();
        Place { offset: position.end_offset, index: position.end_index }
    }

    /// Bytes of the segment that the index does not cover.
    pub(crate) fn unindexed_len(&self) -> u64 {
        self.view.read().end_offset.saturating_sub(self.index.position().end_offset)
    }

    /// The place of a frame at or before the one that holds entry `index`.
    pub(crate) fn place_near(&self, index: u64) -> Result<Place, ReadError> {
        // The seek begins where the index ended when this was asked: it may go past the entry meanwhile.
        let end = self.index_end();
        if end.index <= index && self.unindexed_len() > UNINDEXED_LEN_MAX {
            // Whoever asks often is better off with an index, unless somebody makes it already.
            let is_rare = self.seeks.fetch_add(1, Ordering::Relaxed) < SEEK_COUNT_MAX;
            if is_rare || self.feed.try_lock().is_none() {
                return self.seek(index, end);
            }
            self.read_up_index()?;
        }
        loop {
            // Asked for first: what is fed to the index meanwhile lies behind it.
            let end = self.index_end();
            match self.with_index(|index_runs| index_runs.locate(index))? {
                Some(span) => return Ok(Place::of(&span)),
                None if end.index <= index => return Ok(end),
                // Dropped meanwhile, to be made anew.
                None => {}
            }
        }
    }

    /// Drops the index, and its files if this process keeps them.
    pub(crate) fn clear_index(&self) -> Result<(), ReadError> {
        let _feeding = self.feed.lock();
        self.index.clear(self.keeps_index).map_err(|error| self.index_error(error))
    }

    /// How many entries there were at `time`: those before the first that is later.
    pub(crate) fn size_at(&self, time: Timestamp) -> Result<u64, ReadError> {
        let count = self.entry_count();
        if self.index.position().end_index < self.view.read().entry_count {
            self.read_up_index()?;
        }
        if let Some(record) = &self.pruned
            && record.state.time_max > Some(time)
        {
            // Some of what is gone is later: how much was before it, nobody knows any more.
            return Err(self.pruned_error(self.first_index().saturating_sub(1)));
        }
        // Asked for first: what is fed to the index meanwhile lies behind it.
        let end = self.index.position().end_index;
        let span = self.with_index(|index| index.locate_time(time))?;
        let from = span.map_or(end, |span| span.first_index);
        for index in from..count {
            if self.entry_header(index)?.timestamp > Some(time) {
                return Ok(index);
            }
        }
        Ok(count)
    }

    /// What is at a place where a frame should start.
    pub(crate) fn next_frame(
        &self,
        reader: &mut FrameReader,
        place: Place,
    ) -> Result<Step, ReadError> {
        let Place { offset, index } = place;
        if offset >= reader.limit() {
            return Ok(Step::End);
        }
        let fault = match reader.header(offset).context(&self.path, "read")? {
            Ok(frame) if frame.is_refused() => {
                return Err(ReadError::UnknownKind { path: self.path.clone(), offset });
            }
            Ok(frame) if frame.first_index == index => return Ok(Step::Frame(frame)),
            Ok(_) => {
                FrameFault::OutOfSequence("the frame's entries do not continue those before it")
            }
            Err(fault) => fault,
        };
        let next = self.resync(reader, place)?;
        let lost = LostEntries { first: index, end: next.map(|frame| frame.first_index) };
        Ok(Step::Damage(self.corruption(offset, lost, fault), next))
    }

    /// The next valid frame behind a place where there is none.
    fn resync(
        &self,
        reader: &mut FrameReader,
        place: Place,
    ) -> Result<Option<FrameHeader>, ReadError> {
        let mut offset = place.offset + 1;
        while let Some(frame) = reader.find(offset).context(&self.path, "read")? {
            if frame.first_index >= place.index {
                return Ok(Some(frame));
            }
            offset = frame.offset + 1;
        }
        Ok(None)
    }
}

/// A frame boundary: where it is in the file, and how many entries come before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) index: u64,
}

impl Place {
    /// The start of a span.
    pub(crate) fn of(span: &SpanRef) -> Self {
        Self { offset: span.offset, index: span.first_index }
    }
}

pub(super) fn place_of(state: &LogState) -> Place {
    Place { offset: state.end_offset, index: state.entry_count() }
}

/// What stands where a frame should start.
pub(crate) enum Step {
    /// A frame; its payload is not checked yet.
    Frame(FrameHeader),
    /// Something else; and the next valid frame.
    Damage(ReadError, Option<FrameHeader>),
    /// The end of what can be read.
    End,
}

/// The position of entry `index` in the batch that holds it.
pub(crate) fn position_in(batch: &Batch, index: u64) -> usize {
    usize::try_from(index - batch.first_index()).expect("a batch is smaller than memory")
}

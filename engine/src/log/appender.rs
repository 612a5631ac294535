//! The writing end of one segment: batches in, frames out, synced and recorded in checkpoints.
//!
//! One thread at a time holds the appender (see `commit`). After an error that it cannot undo it is
//! given up: what the disk holds is unknown until the log is opened again.
//!
//! Invariants:
//! - nothing at or above `durable` is ever acknowledged;
//! - `durable` and every checkpoint are at the end of an atomic group (F-6);
//! - a checkpoint slot is written only when everything below it was synced and the other slot is
//!   known to be durable (C-3).
//!
//! An import has an appender of its own for each log that it goes on with: see [`withheld`].

mod encode;
mod moving;
mod settle;
mod space;
mod withheld;

use std::{path::PathBuf, sync::Arc};

use crate::{
    batch::{Batch, BatchDraft},
    bytes::Hash,
    error::{IoContext as _, IoError},
    frame::{FRAME_HEADER_LEN, FrameHeader, FrameKind, encode_frame},
    index::Index,
    io::DiskFile,
    log::{
        checkpoint::{Checkpoint, LogState},
        commit::Progress,
        forget::without_erased,
        head::SegmentHeader,
        lock::Publisher,
        press::{Press, PressRoom},
        replay::{Effect, Hasher, ReplayError},
        segment::{checkpoint_context, slot_offset},
        stage::Staged,
    },
    merkle::SaltTree,
    sync::{AtomicU64, Ordering, ReentrantMutex},
};

use self::space::Space;
pub(crate) use self::withheld::{INDEX_PART_LEN_MAX, IndexPart};

/// A checkpoint is written after this many bytes of frames: some 300 commits of one small entry, which opening
/// after a crash decodes and hashes in less than a millisecond.
const CHECKPOINT_INTERVAL: u64 = 64 << 10;
/// Frames are handed to the operating system at least after this many bytes.
const WRITE_LEN_MAX: usize = 1 << 20;
/// Entries of the index that wait for a sync; more than this forces one.
const INDEX_UNPERSISTED_MAX: usize = 16 << 20;

/// How durable a commit is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Durability {
    /// A commit returns when the disk has synced: what it acknowledges survives power loss.
    #[default]
    Full,
    /// A commit returns when the operating system has the bytes: what it acknowledges survives the end of
    /// the process, but not power loss. Closing and exporting still sync.
    ProcessCrash,
}

/// Why a write failed, and what became of what was to be written.
#[derive(Debug)]
pub(crate) enum WriteFailure {
    /// The disk is full. The log ends where it did before; later entries are void.
    Full(IoError),
    /// What the disk holds is unknown.
    Fatal(IoError),
}

/// Why a batch from elsewhere was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchRefused {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// Who is told what the index is to hold of the frames.
#[derive(Debug)]
pub(crate) enum Learner {
    /// The index, with each write.
    Index {
        index: Arc<Index>,
        /// Held by whoever feeds it.
        feed: Arc<ReentrantMutex<()>>,
    },
    /// Nobody yet, as the frames are not published. It is kept as far as `room`, in bytes, allows.
    Later { room: usize },
}

/// What an appender goes on from.
pub(crate) struct AppenderStart {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: SegmentHeader,
    pub(crate) hasher: Hasher,
    pub(crate) state: LogState,
    /// Number of the last checkpoint in the file.
    pub(crate) sequence: u64,
    /// Where the last checkpoint in the file ends.
    pub(crate) checkpoint_offset: u64,
    pub(crate) opening: u32,
    pub(crate) incarnation: u64,
    pub(crate) learner: Learner,
    pub(crate) durable_len: Arc<AtomicU64>,
    pub(crate) publisher: Option<Publisher>,
    pub(crate) durability: Durability,
    pub(crate) batch_len: usize,
    pub(crate) level: i32,
    /// Most zeros that are written ahead, in bytes.
    pub(crate) preallocate: u64,
}

#[derive(Debug)]
pub(crate) struct Appender {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header: SegmentHeader,
    hasher: Hasher,
    press: Press,
    /// Where batches are made before they are written, if somebody appends.
    press_room: Option<Arc<PressRoom>>,
    /// Behind the last frame that was written.
    state: LogState,
    /// Before the atomic group that is being written.
    boundary: Option<LogState>,
    space: Space,
    durable: u64,
    acknowledged: Progress,
    frames_unsynced: u32,
    sequence: u64,
    checkpoint_offset: u64,
    slot_unsynced: bool,
    /// A sync has failed: nothing is ever synced or acknowledged again.
    sync_failed: bool,
    opening: u32,
    incarnation: u64,
    learner: Learner,
    durable_len: Arc<AtomicU64>,
    publisher: Option<Publisher>,
    durability: Durability,
    batch_len: usize,
    out: Vec<u8>,
    written: Vec<Written>,
    spare_effects: Vec<Effect>,
    starting: bool,
}

/// A frame that was encoded, for the index.
#[derive(Debug)]
struct Written {
    frame: FrameHeader,
    end_offset: u64,
    effect: Effect,
    root: Hash,
}

impl Written {
    /// Tells the index, if that is where the index ends.
    fn teach(&self, index: &Index) {
        if index.position().end_offset == self.frame.offset {
            index.push(&self.effect.summary(&self.frame, self.end_offset, self.root));
        }
    }
}

impl Appender {
    pub(crate) fn new(start: AppenderStart) -> Self {
        let preallocate = if start.header.preallocated { start.preallocate } else { 0 };
        Self {
            space: Space::new(preallocate, start.state.end_offset),
            durable: start.state.end_offset,
            acknowledged: Progress {
                entries: start.state.entry_count(),
                changes: start.state.change_count,
            },
            path: start.path,
            file: start.file,
            header: start.header,
            hasher: start.hasher,
            press: Press::new(start.level),
            press_room: None,
            state: start.state,
            boundary: None,
            frames_unsynced: 0,
            sequence: start.sequence,
            checkpoint_offset: start.checkpoint_offset,
            slot_unsynced: false,
            sync_failed: false,
            opening: start.opening,
            incarnation: start.incarnation,
            learner: start.learner,
            durable_len: start.durable_len,
            publisher: start.publisher,
            durability: start.durability,
            batch_len: start.batch_len,
            out: Vec::new(),
            written: Vec::new(),
            spare_effects: Vec::new(),
            starting: true,
        }
    }

    pub(crate) fn state(&self) -> &LogState {
        &self.state
    }

    /// Opens a place where batches are made before they are written, at this level of zstd.
    pub(crate) fn open_press_room(&mut self, level: i32) -> Arc<PressRoom> {
        let salts = self.hasher.salts().clone();
        let room = Arc::new(PressRoom::new(self.header.log, level, salts));
        self.press_room = Some(Arc::clone(&room));
        room
    }

    /// The log up to the last complete group.
    pub(crate) fn boundary(&self) -> &LogState {
        self.boundary.as_ref().unwrap_or(&self.state)
    }

    /// Whether this is asked for the first time.
    pub(crate) fn is_starting(&mut self) -> bool {
        std::mem::take(&mut self.starting)
    }

    /// Whether what follows `mark` has become durable.
    pub(crate) fn is_durable_behind(&self, mark: &LogState) -> bool {
        self.durable > mark.end_offset
    }

    /// Whether the last frame's atomic group goes on.
    pub(crate) fn in_group(&self) -> bool {
        self.boundary.is_some()
    }

    /// Takes back the frames of an atomic group whose end did not come.
    pub(crate) fn drop_incomplete_group(&mut self) -> Result<(), IoError> {
        self.boundary.take().map_or(Ok(()), |boundary| self.roll_back(boundary))
    }

    /// What may be acknowledged: everything that is as durable as was asked for.
    pub(crate) fn acknowledged(&self) -> Progress {
        self.acknowledged
    }

    /// Encodes and writes what is staged, without syncing it; `is_synced`: a sync follows. One write unless it is very
    /// long.
    ///
    /// After [`WriteFailure::Full`] the log ends at [`Appender::boundary`].
    pub(crate) fn write(&mut self, staged: &Staged, is_synced: bool) -> Result<(), WriteFailure> {
        assert_eq!(staged.first_index, self.state.entry_count(), "entries are written in order");
        let before = self.boundary().clone();
        let is_synced = is_synced && self.durability == Durability::Full;
        let result = self.try_write(staged, is_synced);
        if result.is_ok() {
            self.feed_index();
        }
        self.written.clear();
        result.or_else(|error| self.undo(before, error))
    }

    fn close_frame(
        &mut self,
        start: usize,
        first_index: u64,
        continues: bool,
        effect: Effect,
        root: Hash,
    ) {
        let frame = FrameHeader {
            kind: FrameKind::BATCH,
            critical: true,
            copy: true,
            continues,
            payload_len: 0,
            payload_crc: 0,
            offset: self.state.end_offset,
            generation: self.header.generation,
            incarnation: self.incarnation,
            synced_upto: self.durable,
            first_index,
            entry_count: u32::try_from(self.state.entry_count() - first_index)
                .expect("a batch is within its limit"),
            link: self.state.link,
            opening: self.opening,
            header_crc: 0,
        };
        let frame = encode_frame(frame, &self.header.frames(), &mut self.out, start);
        self.state.end_offset += (self.out.len() - start) as u64;
        self.state.link = frame.header_crc;
        self.state.frame_count += 1;
        self.frames_unsynced += 1;
        if !continues {
            self.boundary = None;
        }
        self.written.push(Written { frame, end_offset: self.state.end_offset, effect, root });
    }

    /// Appends a batch that was made elsewhere, as it is; or, if its first entries are here already, those
    /// that are not, encoded anew. So it is without payloads whose salts are erased here: `lender` has them (H-4).
    /// Accepted only if that gives the batch's root (U-4).
    ///
    /// After an error the caller rolls back.
    pub(crate) fn append_batch(
        &mut self,
        batch: &Batch,
        bytes: &[u8],
        lender: &SaltTree,
    ) -> Result<(), BatchRefused> {
        let offset = self.state.end_offset;
        let count = self.state.entry_count();
        assert!(
            batch.first_index() <= count && count < batch.end_index(),
            "the batch continues the log"
        );
        self.check_len()?;
        self.out.clear();
        if batch.header().continues() && self.boundary.is_none() {
            self.boundary = Some(self.state.clone());
        }
        let known =
            usize::try_from(count - batch.first_index()).expect("a batch is smaller than memory");
        let without = without_erased(batch, known, self.hasher.salts(), lender, self.hasher.keys());
        if known == 0 && without.is_none() {
            let mut effect = self.spare_effects.pop().unwrap_or_default();
            self.out.resize(FRAME_HEADER_LEN, 0);
            self.out.extend_from_slice(bytes);
            self.hasher.append(&mut self.state, batch.entries(), &mut effect)?;
            let root = self.state.peaks.root(self.hasher.keys());
            self.close_frame(0, count, batch.header().continues(), effect, root);
        } else {
            let rest = without.unwrap_or_else(|| {
                let mut rest = BatchDraft::default();
                rest.extend_from(batch, known);
                rest
            });
            self.encode_draft(&rest, batch.header().continues())?;
        }
        let (expected, found) = (batch.header().root(), self.state.peaks.root(self.hasher.keys()));
        if found != expected {
            return Err(ReplayError::Root { expected, found }.into());
        }
        self.file.write_all_at(&self.out, offset).context(&self.path, "write")?;
        self.feed_index();
        Ok(())
    }

    /// Tells the index what was written, unless somebody else is just reading it up.
    fn feed_index(&mut self) {
        match &self.learner {
            Learner::Index { index, feed } => {
                if let Some(_feeding) = feed.try_lock() {
                    self.written.iter().for_each(|written| written.teach(index));
                }
                self.spare_effects.extend(self.written.drain(..).map(|written| written.effect));
                self.spare_effects.truncate(4);
            }
            Learner::Later { .. } => self.keep_for_later(),
        }
    }

    /// After a failed write: back to the last complete group if the disk is merely full.
    fn undo(&mut self, before: LogState, error: IoError) -> Result<(), WriteFailure> {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        if !matches!(error.source.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
            return Err(WriteFailure::Fatal(error));
        }
        self.roll_back(before).map_err(WriteFailure::Fatal)?;
        Err(WriteFailure::Full(error))
    }

    /// Takes the log back to `mark`, a state between groups that nothing behind is acknowledged of.
    pub(crate) fn roll_back(&mut self, mark: LogState) -> Result<(), IoError> {
        assert!(mark.end_offset >= self.durable, "what is durable stays");
        self.state = mark;
        self.boundary = None;
        self.frames_unsynced = 0;
        self.written.retain(|written| written.end_offset <= self.state.end_offset);
        if let Learner::Index { index, feed } = &self.learner
            && index.position().end_offset > self.state.end_offset
        {
            let _feeding = feed.lock();
            index.truncate_tail();
        }
        self.check_len()?;
        // The freed range is written again, so its cut must be durable first.
        let end = self.state.end_offset;
        self.file.set_len(end).context(&self.path, "undo a write")?;
        self.space.begins_at(end);
        self.sync_file()?;
        if self.durable < end {
            // The sync has covered frames before the mark as well, perhaps several.
            self.durable = end;
            self.write_checkpoint(false)?;
            self.sync_file()?;
            self.acknowledge();
            self.publish();
        }
        Ok(())
    }

    /// Makes all complete groups durable. One sync, or two with a checkpoint if it covers more than one
    /// frame.
    pub(crate) fn sync(&mut self) -> Result<(), IoError> {
        match self.durability {
            Durability::Full => self.sync_now(),
            Durability::ProcessCrash => {
                self.acknowledge();
                Ok(())
            }
        }
    }

    /// As [`Appender::sync`], whatever the durability asked for.
    pub(crate) fn sync_now(&mut self) -> Result<(), IoError> {
        let end = self.boundary().end_offset;
        if self.durable < end {
            let several = self.frames_unsynced > 1;
            self.sync_file()?;
            self.durable = end;
            if self.boundary.is_none() {
                // Else the frames of the group that goes on are covered by the next sync as well.
                self.frames_unsynced = 0;
            }
            if several {
                self.write_checkpoint(false)?;
                self.sync_file()?;
            } else if self.durable - self.checkpoint_offset >= CHECKPOINT_INTERVAL {
                // Not urgent: the next sync takes it along.
                self.write_checkpoint(false)?;
            }
            self.acknowledge();
            self.publish();
        }
        Ok(())
    }

    fn acknowledge(&mut self) {
        let boundary = self.boundary();
        self.acknowledged =
            Progress { entries: boundary.entry_count(), changes: boundary.change_count };
    }

    /// Whether so much waits for a sync that memory grows.
    pub(crate) fn wants_sync(&self) -> bool {
        match &self.learner {
            Learner::Index { index, .. } => index.unpersisted_len() > INDEX_UNPERSISTED_MAX,
            Learner::Later { .. } => false,
        }
    }

    /// Makes everything durable and recorded as such in a synced checkpoint.
    pub(crate) fn checkpoint(&mut self, clean: bool) -> Result<(), IoError> {
        self.sync_now()?;
        if clean {
            self.give_back_space()?;
        }
        if self.checkpoint_offset < self.durable {
            self.write_checkpoint(clean)?;
        }
        if self.slot_unsynced {
            self.sync_file()?;
        }
        Ok(())
    }

    /// Whether the file still has all that was written to it. Somebody who cuts an open file would else have
    /// what is written next stand behind a hole, acknowledged.
    fn check_len(&self) -> Result<(), IoError> {
        let len = self.file.len().context(&self.path, "read the length of")?;
        let end = self.state.end_offset;
        if len >= end {
            return Ok(());
        }
        let what =
            format!("the file was cut to {len} bytes under the writer that had written {end}");
        let source = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what);
        Err(IoError::new(&self.path, "write", source))
    }

    fn sync_file(&mut self) -> Result<(), IoError> {
        // A second sync may succeed although the first one has lost what it was to write.
        if self.sync_failed {
            let source = std::io::Error::other("a sync failed before");
            return Err(IoError::new(&self.path, "sync", source));
        }
        self.sync_failed = true;
        self.file.sync().context(&self.path, "sync")?;
        self.check_len()?;
        self.sync_failed = false;
        self.slot_unsynced = false;
        Ok(())
    }

    fn write_checkpoint(&mut self, clean: bool) -> Result<(), IoError> {
        assert_eq!(
            self.durable,
            self.boundary().end_offset,
            "a checkpoint records what is durable"
        );
        if self.slot_unsynced {
            self.sync_file()?;
        }
        let checkpoint = Checkpoint {
            sequence: self.sequence + 1,
            incarnation: self.incarnation,
            opening: self.opening,
            clean,
            state: self.boundary().clone(),
        };
        let bytes = checkpoint.encode(&checkpoint_context(&self.header, self.hasher.keys()));
        self.file
            .write_all_at(&bytes, slot_offset(checkpoint.slot()))
            .context(&self.path, "write a checkpoint")?;
        self.sequence = checkpoint.sequence;
        self.checkpoint_offset = self.durable;
        self.slot_unsynced = true;
        Ok(())
    }

    /// Tells other processes how far they may read.
    pub(crate) fn publish(&mut self) {
        self.durable_len.store(self.durable, Ordering::Release);
        let count = self.boundary().entry_count();
        if let Some(publisher) = &mut self.publisher {
            publisher.publish(self.header.generation, self.durable, count);
        }
    }
}

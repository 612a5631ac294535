//! Opening a log: to read, or to write after a recovery.

use std::{
    io::ErrorKind,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    error::{Cause, Corruption, IoContext as _, IoError, LostEntries},
    frame::{FRAME_HEADER_LEN, FRAME_TRAILER_LEN},
    io::{Access, Disk, DiskFile},
    log::{
        appender::{Appender, AppenderStart, Durability, IndexPart, Learner},
        cache::BatchCache,
        commit::{Core, Hooks},
        lock::{Published, Publisher, last_published, lock_path},
        read::{Log, ReadError, UNINDEXED_LEN_MAX, View},
        recover::{RecoverError, Recovery, Verdict, recover},
        renewed::open_index,
        replay::Hasher,
        segment::{Segment, SegmentError},
    },
    sync::{AtomicU64, OnceLock, Ordering, ReentrantMutex, RwLock},
};

/// How a log is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriterOptions {
    pub(crate) durability: Durability,
    /// Target of the uncompressed length of a batch.
    pub(crate) batch_len: usize,
    /// Level of zstd.
    pub(crate) level: i32,
    /// Appenders wait while more than this is staged.
    pub(crate) staged_len_max: usize,
    /// Most zeros that are written ahead of the log, in bytes.
    pub(crate) preallocate: u64,
}

/// Who looks at the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OpenAs {
    /// The holder of the workspace's lock.
    Writer,
    /// A reader, and nobody writes: what is in the file is made durable before it is believed.
    Reader,
    /// A reader beside a writer, which has published that everything below a length is durable.
    Follower {
        /// What it has published; `None` for a log of which only the checkpoint tells.
        published: Option<Published>,
    },
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenLogError {
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<OpenLogError> for ReadError {
    fn from(error: OpenLogError) -> Self {
        match error {
            OpenLogError::Io(error) | OpenLogError::Segment(SegmentError::Io(error)) => {
                Self::Io(error)
            }
            OpenLogError::Read(error) => error,
            OpenLogError::Segment(SegmentError::Corrupt(damage)) => Self::Corrupt(damage),
            OpenLogError::Segment(SegmentError::Head { path, source }) => {
                Self::Io(IoError::new(&path, "read", std::io::Error::other(source)))
            }
        }
    }
}

/// A log that was opened, and what was found behind its last checkpoint.
pub(crate) struct OpenLog {
    pub(crate) log: Arc<Log>,
    pub(crate) recovery: Recovery,
    /// Number of the last checkpoint, and where it ends.
    sequence: u64,
    checkpoint_offset: u64,
    slot_damaged: bool,
}

impl OpenLog {
    /// Opens the segment at `path` and judges its tail. Writes nothing.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        path: &Path,
        index_folder: &Path,
        cache: &Arc<BatchCache>,
        how: OpenAs,
    ) -> Result<Self, OpenLogError> {
        let access = if how == OpenAs::Writer { Access::Write } else { Access::Read };
        let file = disk.open(path, access).context(path, "open")?;
        if !matches!(how, OpenAs::Follower { .. }) {
            // A page cache can show what the disk never got, and then lose it.
            sync_before_reading(path, &file, how)?;
        }
        // Before the length: what it names was in the file before.
        let published = last_published(&**disk, &lock_path(path))?;
        let segment = Segment::load_file(path, file)?;
        let (identity, origin) = (segment.header.identity(), segment.index_origin());
        let (file, header) = (&segment.file, &segment.header);
        let index = open_index(disk, index_folder, identity, origin, file, header)?;
        let file_len = segment.file.len().context(path, "read the length of")?;
        let checkpoint = segment.checkpoint().map(|checkpoint| checkpoint.state.end_offset);
        let (visible_len, evidence) = match how {
            OpenAs::Writer | OpenAs::Reader => (file_len, index.evidence()),
            OpenAs::Follower { published: before } => {
                // The writer has gone on since it was asked: the checkpoint may be newer than what it had
                // published, and the index may cover more than either. A writer that is just opening has not
                // published anything: then it may be about the generation before, with other offsets.
                let (log, generation) = (segment.header.log, segment.header.generation);
                let published = [before, published].into_iter().flatten();
                let published = published.filter(|published| published.is_of(log, generation));
                let published = published.map(|published| published.durable_len).max();
                let durable_len = published.max(checkpoint);
                let durable_len = durable_len.unwrap_or(super::HEAD_LEN);
                (file_len.min(durable_len), durable_len)
            }
        };
        let recovery = recover(&segment, evidence, published, visible_len)
            .map_err(|error| recover_error(path, error))?;
        let slot_damaged = segment.slots.contains(&super::Slot::Damaged);
        let sequence = segment.checkpoint().map_or(0, |checkpoint| checkpoint.sequence);
        let view = View {
            end_offset: recovery.readable_end,
            entry_count: recovery.readable_count,
            state: recovery.state.clone(),
            damage: corruption(path, &recovery),
        };
        if index.position().end_offset > view.end_offset {
            // Whatever the index holds, the file is what counts; damage was reported above.
            index.clear(false).map_err(|error| {
                IoError::new(path, "read the index of", std::io::Error::other(error))
            })?;
        }
        let log = Log {
            disk: Arc::clone(disk),
            path: path.to_owned(),
            file: segment.file,
            header: segment.header,
            keys: segment.keys,
            salts: segment.salts,
            pruned: segment.pruned,
            index: Arc::new(index),
            feed: Arc::new(ReentrantMutex::new(())),
            durable_len: Arc::new(AtomicU64::new(view.state.end_offset)),
            view: Arc::new(RwLock::new(view)),
            cache: Arc::clone(cache),
            core: OnceLock::new(),
            next: OnceLock::new(),
            streams: Arc::default(),
            redactions: Arc::default(),
            keeps_index: how == OpenAs::Writer,
            seeks: AtomicU64::new(0),
            watcher: Arc::default(),
        };
        let checkpoint_offset = checkpoint.unwrap_or(super::HEAD_LEN);
        Ok(Self { log: Arc::new(log), recovery, sequence, checkpoint_offset, slot_damaged })
    }

    /// The damage that keeps a writer from going on.
    pub(crate) fn blocking_damage(&self) -> Option<Corruption> {
        let damage = corruption(&self.log.path, &self.recovery);
        damage.filter(|_| !self.recovery.below_checkpoint)
    }

    /// Judges the end of a log that is open already, to go on behind what is published of it. What stands behind
    /// that in the file belongs to nobody: an import left it that did not come through.
    ///
    /// Nobody else may write to the log meanwhile.
    pub(crate) fn again(log: Arc<Log>) -> Result<Self, OpenLogError> {
        sync_before_reading(&log.path, &log.file, OpenAs::Writer)?;
        let segment = Segment::load_file(&log.path, Arc::clone(&log.file))?;
        let file_len = segment.file.len().context(&log.path, "read the length of")?;
        // The lock record is never about a log that only imports write.
        let mut recovery = recover(&segment, log.index.evidence(), None, file_len)
            .map_err(|error| recover_error(&log.path, error))?;
        let checkpoint = segment.checkpoint().map(|checkpoint| &checkpoint.state);
        let checkpoint_offset = checkpoint.map_or(super::HEAD_LEN, |state| state.end_offset);
        if let Some(state) = checkpoint.filter(|_| recovery.verdict != Verdict::Damaged)
            && log.view.read().end_offset < checkpoint_offset
        {
            // An import that was judged could record what it had brought, and was not told so.
            log.publish(state.clone(), &IndexPart::default());
        }
        let published = log.view.read().state.clone();
        if recovery.state.end_offset > published.end_offset {
            recovery.state = published;
        } else if recovery.state.end_offset < published.end_offset
            && recovery.verdict != Verdict::Damaged
        {
            recovery.verdict = Verdict::Damaged;
            let end = Some(published.entry_count());
            recovery.lost = Some(LostEntries { first: recovery.state.entry_count(), end });
            recovery.watermark = published.end_offset;
        }
        let sequence = segment.checkpoint().map_or(0, |checkpoint| checkpoint.sequence);
        let slot_damaged = segment.slots.contains(&super::Slot::Damaged);
        Ok(Self { log, recovery, sequence, checkpoint_offset, slot_damaged })
    }

    /// Makes the end of the log trustworthy and opens it for appending.
    pub(crate) fn into_writer(
        self,
        options: &WriterOptions,
        publisher: Option<Publisher>,
    ) -> Result<Arc<Log>, IoError> {
        let log = Arc::clone(&self.log);
        let learner = Learner::Index { index: Arc::clone(&log.index), feed: Arc::clone(&log.feed) };
        let mut appender = self.into_appender(options, publisher, learner)?;
        appender.publish();
        let core = Core::new(appender, options, hooks(&log));
        log.core.set(Arc::new(core)).expect("a log becomes a writer once");
        Ok(log)
    }

    /// The same, for an import: what is appended is not published, and what the index is to learn of it is kept as
    /// far as `room`, in bytes, allows.
    pub(crate) fn into_withheld(
        self,
        options: &WriterOptions,
        room: usize,
    ) -> Result<Appender, IoError> {
        if self.log.unindexed_len() <= UNINDEXED_LEN_MAX {
            // What is kept for the index can be told to it only if it has all that comes before.
            let _ = self.log.read_up_index();
        }
        self.into_appender(options, None, Learner::Later { room })
    }

    fn into_appender(
        self,
        options: &WriterOptions,
        publisher: Option<Publisher>,
        learner: Learner,
    ) -> Result<Appender, IoError> {
        let Self { log, recovery, sequence, checkpoint_offset, slot_damaged } = self;
        let writable = recovery.verdict != Verdict::Damaged || recovery.below_checkpoint;
        assert!(writable, "a log that is damaged behind its checkpoint is not written");
        let mut random = [0; 8];
        log.disk.fill_random(&mut random).context(&log.path, "draw random numbers for")?;
        let incarnation = u64::from_le_bytes(random);
        let hole = matches!(recovery.verdict, Verdict::UnsyncedHole { .. });
        let unsure = recovery.below_checkpoint && recovery.file_len > recovery.state.end_offset;
        if hole || unsure {
            let tail = recovery.state.end_offset..recovery.file_len;
            save_cut(&*log.disk, &log.path, &*log.file, tail, incarnation)?;
        }
        let end = recovery.state.end_offset;
        let mut appender = Appender::new(AppenderStart {
            path: log.path.clone(),
            file: Arc::clone(&log.file),
            header: log.header.clone(),
            hasher: Hasher::new(log.id(), log.salts.clone()),
            state: recovery.state,
            sequence,
            checkpoint_offset,
            opening: recovery.opening.saturating_add(1),
            incarnation,
            learner,
            durable_len: Arc::clone(&log.durable_len),
            publisher,
            durability: options.durability,
            batch_len: options.batch_len,
            level: options.level,
            preallocate: options.preallocate,
        });
        // After a clean close there is nothing to settle, and opening writes nothing at all.
        if recovery.file_len != end || checkpoint_offset != end || slot_damaged {
            appender.settle(recovery.watermark.min(end), recovery.file_len)?;
        }
        Ok(appender)
    }
}

fn recover_error(path: &Path, error: RecoverError) -> OpenLogError {
    let path = path.to_owned();
    match error {
        RecoverError::Io(error) => OpenLogError::Io(error),
        RecoverError::UnknownKind(frame) => {
            OpenLogError::Read(ReadError::UnknownKind { path, offset: frame.offset })
        }
        RecoverError::Unsupported { offset, what } => {
            OpenLogError::Read(ReadError::Unsupported { path, offset, what })
        }
    }
}

/// What a core tells this generation of its log.
pub(crate) fn hooks(log: &Arc<Log>) -> Hooks {
    let reader = Arc::downgrade(log);
    let starting = move || {
        // What is appended can be fed to the index only if it has all that comes before. A long way is left
        // to whoever reads first, so that nobody waits for a rebuild who wants to append.
        if let Some(log) = reader.upgrade()
            && log.unindexed_len() <= UNINDEXED_LEN_MAX
        {
            let _ = log.read_up_index();
        }
    };
    let view = Arc::clone(&log.view);
    let written = move |appender: &Appender| {
        let state = appender.boundary();
        let mut view = view.write();
        view.end_offset = state.end_offset;
        view.entry_count = state.entry_count();
        view.state.clone_from(state);
    };
    let (index, feed) = (Arc::clone(&log.index), Arc::clone(&log.feed));
    let durable_len = Arc::clone(&log.durable_len);
    let watched = Arc::downgrade(log);
    let settled = move || {
        if let Some(_feeding) = feed.try_lock() {
            // The index is a cache: where it cannot be written it is left to be rebuilt.
            let _ = index.persist(durable_len.load(Ordering::Acquire));
        }
        let Some(log) = watched.upgrade() else { return };
        let unindexed = log.unindexed_len();
        if unindexed > 0
            && unindexed <= UNINDEXED_LEN_MAX
            && let Some(_feeding) = log.feed.try_lock()
        {
            // Somebody was reading the index up when this was written, so that it was not told.
            let _ = log.read_up_index();
        }
        if let Some(watcher) = log.watcher.0.get() {
            watcher(&log);
        }
    };
    Hooks { starting: Box::new(starting), written: Box::new(written), settled: Box::new(settled) }
}

fn corruption(path: &Path, recovery: &Recovery) -> Option<Corruption> {
    (recovery.verdict == Verdict::Damaged).then(|| Corruption {
        path: path.to_owned(),
        offset: recovery.state.end_offset,
        lost: recovery
            .lost
            .unwrap_or(LostEntries { first: recovery.state.entry_count(), end: None }),
        cause: recovery.cause.clone().unwrap_or(Cause::Missing {
            file_len: recovery.file_len,
            watermark: recovery.watermark,
        }),
    })
}

fn sync_before_reading(path: &Path, file: &Arc<dyn DiskFile>, how: OpenAs) -> Result<(), IoError> {
    match file.sync() {
        // A medium that cannot be written has nothing to sync.
        Err(error)
            if how == OpenAs::Reader
                && matches!(
                    error.kind(),
                    ErrorKind::ReadOnlyFilesystem
                        | ErrorKind::InvalidInput
                        | ErrorKind::Unsupported
                ) =>
        {
            Ok(())
        }
        result => result.context(path, "sync"),
    }
}

/// Copies a stretch of the segment at `path` beside it before it is given up.
pub(crate) fn save_cut(
    disk: &dyn Disk,
    path: &Path,
    from: &dyn DiskFile,
    stretch: Range<u64>,
    incarnation: u64,
) -> Result<(), IoError> {
    let path = cut_path(path, incarnation);
    let file = disk.open(&path, Access::CreateNew).context(&path, "create")?;
    copy_range(from, &*file, stretch.start, stretch.end, 0).context(&path, "write")?;
    file.sync().context(&path, "sync")?;
    let folder = path.parent().unwrap_or(Path::new("."));
    disk.sync_dir(folder).context(folder, "sync")
}

/// Where bytes are kept that were cut off the segment at `path` (W-1).
pub(crate) fn cut_path(path: &Path, incarnation: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".cut-{incarnation:016x}"));
    name.into()
}

/// Copies `start..end` of one file to `at` in another.
pub(crate) fn copy_range(
    from: &dyn DiskFile,
    to: &dyn DiskFile,
    start: u64,
    end: u64,
    at: u64,
) -> std::io::Result<()> {
    const COPY_LEN: u64 = 1 << 20;
    let mut offset = start;
    while offset < end {
        let len = usize::try_from((end - offset).min(COPY_LEN)).unwrap_or(usize::MAX);
        let bytes = from.read_vec_at(offset, len)?;
        if bytes.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        to.write_all_at(&bytes, offset - start + at)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

impl Log {
    /// Opening and incarnation of the frame that ends at `end`, which its trailer leads to.
    pub(crate) fn last_frame_writer(&self, end: u64) -> Result<(u32, u64), IoError> {
        let damaged =
            || IoError::new(&self.path, "read the last frame of", ErrorKind::InvalidData.into());
        let trailer = self
            .file
            .read_vec_at(end - FRAME_TRAILER_LEN as u64, FRAME_TRAILER_LEN)
            .context(&self.path, "read")?;
        let len = trailer
            .first_chunk()
            .map(|len| u64::from(u32::from_le_bytes(*len)))
            .ok_or_else(damaged)?;
        let offset = end.checked_sub(len).ok_or_else(damaged)?;
        let mut reader = self.frame_reader(end, super::READ_AHEAD_SHORT);
        let frame = reader.header(offset).context(&self.path, "read")?.map_err(|_| damaged())?;
        Ok((frame.opening, frame.incarnation))
    }

    /// Where the checkpoint in the file ends now, which another process may have written.
    pub(crate) fn checkpointed_len(&self) -> Result<u64, SegmentError> {
        let segment = Segment::load_file(&self.path, Arc::clone(&self.file))?;
        Ok(segment.checkpoint().map_or(super::HEAD_LEN, |checkpoint| checkpoint.state.end_offset))
    }

    /// Where the log ends now that nobody writes any more: a writer that crashed may have left acknowledged
    /// frames behind its last checkpoint.
    pub(crate) fn recovered_len(&self) -> Result<u64, OpenLogError> {
        let known = self.view.read().end_offset;
        if self.file.len().context(&self.path, "read the length of")? == known
            || self.has_space_at(known)?
        {
            // Asked again and again by who follows a log that nobody writes: nothing to sync, nothing to judge.
            return Ok(known);
        }
        sync_before_reading(&self.path, &self.file, OpenAs::Reader)?;
        let published = last_published(&*self.disk, &lock_path(&self.path))?;
        let segment = Segment::load_file(&self.path, Arc::clone(&self.file))?;
        let file_len = segment.file.len().context(&self.path, "read the length of")?;
        let recovery = recover(&segment, self.index.evidence(), published, file_len)
            .map_err(|error| recover_error(&self.path, error))?;
        Ok(recovery.state.end_offset)
    }

    /// Whether no frame was begun at `offset`, in space that was written ahead.
    fn has_space_at(&self, offset: u64) -> Result<bool, IoError> {
        if !self.header.preallocated {
            return Ok(false);
        }
        let bytes = self.file.read_vec_at(offset, FRAME_HEADER_LEN).context(&self.path, "read")?;
        Ok(bytes.iter().all(|&byte| byte == 0))
    }

    /// Reads on up to `durable_len`, which a writer has published; every new entry is hashed.
    pub(crate) fn follow(&self, durable_len: u64) -> Result<(), ReadError> {
        let state = self.view.read().state.clone();
        if durable_len <= state.end_offset || self.view.read().damage.is_some() {
            return Ok(());
        }
        let mut reader = self.frame_reader(durable_len, super::READ_AHEAD_LONG);
        let mut replay =
            super::Replay::new(self.id(), self.salts.clone(), self.header.align_log2, state);
        while replay.state().end_offset < durable_len {
            let before = (replay.state().end_offset, replay.state().entry_count());
            let lost = LostEntries { first: before.1, end: None };
            let frame = reader.header(before.0).context(&self.path, "read")?;
            let frame = frame.map_err(|fault| self.corruption(before.0, lost, fault))?;
            if frame.is_refused() {
                return Err(ReadError::UnknownKind { path: self.path.clone(), offset: before.0 });
            }
            super::follows(&frame, replay.state().link, before.1, 0)
                .map_err(|fault| self.corruption(before.0, lost, fault))?;
            if frame.kind == crate::frame::FrameKind::BATCH {
                let payload = reader.payload(&frame).context(&self.path, "read")?;
                let payload = payload.map_err(|fault| self.corruption(before.0, lost, fault))?;
                replay
                    .apply(&frame, payload)
                    .map_err(|error| self.corruption(before.0, lost, error))?;
            } else {
                replay.skip(&frame);
            }
        }
        let (state, _) = replay.into_parts();
        let mut view = self.view.write();
        if state.end_offset > view.state.end_offset {
            view.end_offset = state.end_offset;
            view.entry_count = state.entry_count();
            self.durable_len.fetch_max(state.end_offset, Ordering::AcqRel);
            view.state = state;
        }
        Ok(())
    }
}

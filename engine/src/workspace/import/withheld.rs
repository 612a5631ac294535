//! What a bundle brings of one log, while nobody may see it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ImportError, judge::Obstacle};
use crate::{
    batch::{Batch, Decoder},
    bundle::BundledLog,
    bytes::{Hash, LogId, LogKeys},
    error::{IoContext as _, IoError},
    io::{Access, DiskFile, temporary_name, write_temporary},
    log::{
        AppendError, Appender, AppenderStart, BatchRefused, Begun, FrameReader, HEAD_LEN, Hasher,
        Learner, Log, LogState, OpenAs, OpenLog, OpenLogError, PruneRecord, READ_AHEAD_LONG,
        SegmentError, SegmentHeader, begin_segment, decode_for,
    },
    merkle::SaltTree,
    sync::{AtomicU64, Ordering},
    workspace::{Hindrance, Inner, LogSlot, index_folder, open, segment_path},
};

/// Where it is withheld.
enum Place {
    /// Behind the published end of a replica's segment.
    Replica(Arc<Log>),
    /// In a segment that has not got its name yet.
    New { temporary: PathBuf },
    /// In a file that the own log takes it from.
    Own { log: Arc<Log>, temporary: PathBuf, file: Arc<dyn DiskFile> },
}

/// Batches of one log that were verified and are in a file, unpublished. Taken back when it is dropped.
pub(super) struct Withheld<'a> {
    inner: &'a Inner,
    log: LogId,
    keys: LogKeys,
    place: Place,
    appender: Appender,
    /// The salts that came with the entries.
    lender: SaltTree,
    /// The log without them.
    mark: LogState,
    /// They are still to be taken in, or back.
    pending: bool,
}

impl<'a> Withheld<'a> {
    /// Goes on with a log that is here.
    pub(super) fn of_replica(
        inner: &'a Inner,
        log: &Arc<Log>,
        room: usize,
        lender: &SaltTree,
    ) -> Result<Self, Obstacle> {
        let opened = OpenLog::again(Arc::clone(log)).map_err(|error| obstacle(&log.path, error))?;
        if let Some(damage) = opened.blocking_damage() {
            return Err(Obstacle::Here(damage.into()));
        }
        let mark = log.view.read().state.clone();
        // What an import before this one had recorded and could not show is shown by now.
        inner.foreign_lamport.fetch_max(mark.lamport, Ordering::AcqRel);
        let appender = opened.into_withheld(&inner.options.writer(), room)?;
        let place = Place::Replica(Arc::clone(log));
        let (log, keys) = (log.id(), log.keys.clone());
        let lender = lender.clone();
        Ok(Self { inner, log, keys, place, appender, lender, mark, pending: true })
    }

    /// Begins a log that is new here.
    pub(super) fn of_new(
        inner: &'a Inner,
        bundled: &BundledLog,
        room: usize,
        lender: &SaltTree,
    ) -> Result<Self, ImportError> {
        let log = bundled.log;
        let malformed = |what| ImportError::Malformed { log, what };
        let keys = LogKeys::new(log);
        let temporary = temporary_name(&segment_path(&inner.path, log));
        let mut salt = [0; 16];
        inner.disk.fill_random(&mut salt).context(&temporary, "draw random numbers for")?;
        let header = SegmentHeader {
            align_log2: inner.options.align_log2(),
            created: bundled.created,
            predecessor: bundled.predecessor,
            ..SegmentHeader::new(inner.metadata.workspace, bundled.client, log, salt)
        };
        let pruned = match (&bundled.prune_record, bundled.peaks.size()) {
            (_, 0) => None,
            (None, _) => return Err(malformed("entries that come before are missing")),
            (Some(record), _) => {
                let record = PruneRecord::decode(record, &keys, header.link_seed());
                let record = record.map_err(|_| malformed("malformed prune record"))?;
                if record.state.peaks != bundled.peaks {
                    return Err(malformed("a prune record of other entries"));
                }
                Some(record)
            }
        };
        let incarnation = draw(inner, &temporary)?;
        let (disk, pruned) = (&*inner.disk, pruned.as_ref());
        let begun = begin_segment(disk, &temporary, header, lender, pruned, incarnation)?;
        let Begun { file, header, state } = begun;
        let mark = state.clone();
        let salts = lender.clone();
        let learner = Learner::Later { room };
        let appender =
            detached(inner, &temporary, &file, header, salts, state, learner, incarnation);
        let place = Place::New { temporary };
        let lender = lender.clone();
        Ok(Self { inner, log, keys, place, appender, lender, mark, pending: true })
    }

    /// Goes on with the own log where it was at `mark`; its appenders do not know.
    pub(super) fn of_own(
        inner: &'a Inner,
        log: &Arc<Log>,
        mark: LogState,
        lender: &SaltTree,
    ) -> Result<Self, ImportError> {
        let temporary = inner.path.join("import.tmp");
        // The frames are only read back: they may stand anywhere, here behind a head of zeros.
        let head = vec![0; usize::try_from(HEAD_LEN).expect("16 KiB")];
        let file =
            write_temporary(&*inner.disk, &temporary, &head).context(&temporary, "create")?;
        let state = LogState { end_offset: HEAD_LEN, ..mark.clone() };
        let (header, salts) = (log.header.clone(), log.salts.clone());
        let learner = Learner::Later { room: 0 };
        let incarnation = draw(inner, &temporary)?;
        let appender =
            detached(inner, &temporary, &file, header, salts, state, learner, incarnation);
        let place = Place::Own { log: Arc::clone(log), temporary, file };
        let (log, keys) = (log.id(), log.keys.clone());
        let lender = lender.clone();
        Ok(Self { inner, log, keys, place, appender, lender, mark, pending: true })
    }

    /// Verifies a batch that continues the log, and writes it. After an error it is taken back.
    pub(super) fn append(&mut self, batch: &Batch, bytes: &[u8]) -> Result<(), BatchRefused> {
        self.appender.append_batch(batch, bytes, &self.lender)
    }

    /// Entries of the log with what is withheld.
    pub(super) fn entry_count(&self) -> u64 {
        self.appender.state().entry_count()
    }

    /// The root of these entries.
    pub(super) fn root(&self) -> Hash {
        self.appender.state().peaks.root(&self.keys)
    }

    /// Whether the last batch's atomic group goes on.
    pub(super) fn in_group(&self) -> bool {
        self.appender.in_group()
    }

    /// Takes back the batches of an atomic group whose end did not come.
    pub(super) fn drop_incomplete_group(&mut self) -> Result<(), IoError> {
        self.appender.drop_incomplete_group()
    }

    /// Nothing more will come before the bundle's end. Gives back memory; says how much may still be kept for the
    /// indexes of other logs.
    pub(super) fn rest(&mut self, room: usize) -> usize {
        let left = self.appender.rest();
        if matches!(self.place, Place::Own { .. }) { room } else { left }
    }

    /// Makes the log durable as it is now, and shows it to everybody.
    pub(super) fn take_in(mut self) -> Result<(), ImportError> {
        if let Place::Own { log, .. } = &self.place {
            let log = Arc::clone(log);
            return self.restore(&log);
        }
        if self.entry_count() == self.mark.entry_count() {
            // Of what came no group was whole.
            return self.take_back();
        }
        // If this fails, what was not recorded as durable is taken back with `self`.
        self.appender.checkpoint(true)?;
        let (state, part) = (self.appender.state().clone(), self.appender.take_index_part());
        let lamport = state.lamport;
        match &self.place {
            Place::Replica(log) => log.publish(state, &part),
            Place::New { temporary } => {
                let log = self.name(temporary)?;
                log.publish(state, &part);
                self.inner.logs.write().insert(self.log, LogSlot::new(log));
            }
            Place::Own { .. } => {}
        }
        self.pending = false;
        self.inner.foreign_lamport.fetch_max(lamport, Ordering::AcqRel);
        Ok(())
    }

    /// Gives a new segment its name, and opens it.
    fn name(&self, temporary: &Path) -> Result<Arc<Log>, ImportError> {
        let Inner { disk, path: folder, metadata, cache, .. } = self.inner;
        let path = segment_path(folder, self.log);
        let unusable = |reason: String| ImportError::Unusable { path: path.clone(), reason };
        match disk.open(&path, Access::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(IoError::new(&path, "look for", error).into()),
            Ok(_) => return Err(unusable("the file came up during the import".to_owned())),
        }
        disk.rename(temporary, &path).context(&path, "rename")?;
        if let Some(logs) = path.parent() {
            disk.sync_dir(logs).context(logs, "sync")?;
        }
        // An index of another file of this log is of no use.
        let _ = crate::index::remove_all(&**disk, &index_folder(folder, self.log));
        let opened = open::open_log(disk, folder, metadata, self.log, cache, OpenAs::Writer);
        opened.map(|opened| opened.log).map_err(|error| unusable(error.to_string()))
    }

    /// Appends to the own log what it had lost, unless it has gone on without it.
    fn restore(&mut self, log: &Log) -> Result<(), ImportError> {
        let core = log.core.get().ok_or(AppendError::ReadOnly)?;
        core.with_appender(|appender| {
            let now = appender.state();
            if now.peaks != self.mark.peaks {
                return Err(ImportError::Diverged {
                    log: self.log,
                    own: true,
                    size: now.entry_count(),
                    ours: now.peaks.root(&self.keys),
                    their_size: self.entry_count(),
                    theirs: self.root(),
                });
            }
            self.append_to(appender)
        })?;
        core.checkpoint()?;
        Ok(())
    }

    fn append_to(&self, own: &mut Appender) -> Result<(), ImportError> {
        let Place::Own { log, temporary, file } = &self.place else { return Ok(()) };
        let changed =
            || IoError::new(temporary, "read back", std::io::ErrorKind::InvalidData.into());
        let (mut offset, end) = (HEAD_LEN, self.appender.state().end_offset);
        let mut reader =
            FrameReader::new(Arc::clone(file), log.header.frames(), end, READ_AHEAD_LONG);
        let mut decoder = Decoder::new();
        while offset < end {
            let frame = reader.header(offset).context(temporary, "read")?.map_err(|_| changed())?;
            let payload = reader.payload(&frame).context(temporary, "read")?;
            let payload = payload.map_err(|_| changed())?;
            let batch = decode_for(self.log, &frame, &mut decoder, payload);
            let batch = batch.map_err(|_| changed())?;
            own.append_batch(&batch, payload, &self.lender).map_err(|error| match error {
                BatchRefused::Io(error) => ImportError::Io(error),
                BatchRefused::Replay(error) => ImportError::Refused { log: self.log, error },
            })?;
            offset += frame.len(log.header.align_log2);
        }
        Ok(())
    }

    /// Leaves the log as it was.
    pub(super) fn take_back(mut self) -> Result<(), ImportError> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), ImportError> {
        if !std::mem::take(&mut self.pending) {
            return Ok(());
        }
        match &self.place {
            // What is recorded as durable is never cut. The next import comes upon it.
            Place::Replica(_) if self.appender.is_durable_behind(&self.mark) => Ok(()),
            Place::Replica(_) => Ok(self.appender.roll_back(self.mark.clone())?),
            Place::New { temporary } | Place::Own { temporary, .. } => {
                match self.inner.disk.remove(temporary) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                    result => Ok(result.context(temporary, "remove")?),
                }
            }
        }
    }
}

impl Drop for Withheld<'_> {
    fn drop(&mut self) {
        // After an error that is on its way already, or a panic of the reader.
        let _ = self.undo();
    }
}

/// An appender for a file that nobody else knows.
#[allow(clippy::too_many_arguments, reason = "what an appender begins with")]
fn detached(
    inner: &Inner,
    path: &Path,
    file: &Arc<dyn DiskFile>,
    header: SegmentHeader,
    salts: SaltTree,
    state: LogState,
    learner: Learner,
    incarnation: u64,
) -> Appender {
    let options = inner.options.writer();
    Appender::new(AppenderStart {
        path: path.to_owned(),
        file: Arc::clone(file),
        hasher: Hasher::new(header.log, salts),
        durable_len: Arc::new(AtomicU64::new(state.end_offset)),
        checkpoint_offset: state.end_offset,
        header,
        state,
        sequence: 0,
        opening: 1,
        incarnation,
        learner,
        publisher: None,
        durability: options.durability,
        batch_len: options.batch_len,
        level: options.level,
        preallocate: 0,
    })
}

fn draw(inner: &Inner, path: &Path) -> Result<u64, IoError> {
    let mut random = [0; 8];
    inner.disk.fill_random(&mut random).context(path, "draw random numbers for")?;
    Ok(u64::from_le_bytes(random))
}

fn obstacle(path: &Path, error: OpenLogError) -> Obstacle {
    match error {
        OpenLogError::Io(error) | OpenLogError::Segment(SegmentError::Io(error)) => error.into(),
        OpenLogError::Segment(SegmentError::Corrupt(damage)) => Obstacle::Here(damage.into()),
        OpenLogError::Read(error) => error.into(),
        OpenLogError::Segment(error) => {
            let (path, reason) = (path.to_owned(), error.to_string());
            Obstacle::Here(Hindrance::Unreadable { path, reason })
        }
    }
}

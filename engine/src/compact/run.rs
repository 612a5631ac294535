//! What is asked for, what there is to do, and the way through.

use std::sync::Arc;

use super::{
    CompactError,
    cut::state_at,
    plan::{Facts, LastFrame, Plan, plan},
    write::{Writing, weight_of},
};
use crate::{
    batch::BatchHeader,
    bytes::Timestamp,
    error::{IoContext as _, IoError},
    frame::{FRAME_TRAILER_LEN, FrameKind},
    io::DiskFile,
    log::{
        HEAD_LEN, KeptEntry, Log, LogState, OpenLog, PruneRecord, READ_AHEAD_SHORT, ReadError,
        SegmentHeader, WRITER,
    },
    merkle::SaltTree,
};

/// A prefix that is to be pruned.
#[derive(Clone, Debug)]
pub(crate) struct Prune {
    /// Entries to be pruned.
    pub(crate) size: u64,
    /// Those among them that still count.
    pub(crate) kept: Vec<KeptEntry>,
    pub(crate) time: Timestamp,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Target of the uncompressed length of a batch.
    pub(crate) batch_len: usize,
    /// Level of zstd.
    pub(crate) level: i32,
    /// Encode everything anew, also what is compact.
    pub(crate) everything: bool,
    pub(crate) prune: Option<Prune>,
    /// Bytes of the old file that are worked on in a second, at most.
    pub(crate) rate: Option<u64>,
    /// Write nothing that stays.
    pub(crate) dry_run: bool,
}

/// What was done, or would be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Compaction {
    /// Length of the file before and after.
    pub(crate) before_len: u64,
    pub(crate) after_len: u64,
    /// Bytes that were carried over as they are.
    pub(crate) carried_len: u64,
    pub(crate) before_frames: u64,
    pub(crate) after_frames: u64,
    /// Payloads that are gone, and their bytes.
    pub(crate) forgotten: u64,
    pub(crate) forgotten_bytes: u64,
    /// Entries that were pruned by this.
    pub(crate) pruned: u64,
    /// Whether there is a new generation.
    pub(crate) is_new: bool,
}

/// Told how much of how much is done; `false` stops the compaction.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

impl Compaction {
    /// Compacts `log`. `switch` is told the new generation before anybody goes on to append.
    ///
    /// Nobody else may compact the log, import into it or close it meanwhile.
    pub(crate) fn run(
        log: &Arc<Log>,
        request: &Request,
        switch: impl FnOnce(&Arc<Log>),
        progress: Progress<'_>,
    ) -> Result<Self, CompactError> {
        Run::begin(log, request)?.finish(switch, progress)
    }
}

/// A compaction under way.
pub(super) struct Run<'a> {
    pub(super) log: &'a Arc<Log>,
    pub(super) request: &'a Request,
    /// The log when it began.
    pub(super) start: LogState,
    /// The salts that stay.
    pub(super) salts: SaltTree,
    /// Entries whose payloads go.
    pub(super) forgets: Vec<u64>,
    pub(super) forgotten_bytes: u64,
    /// Opening and incarnation of the frames to be written.
    pub(super) writer: (u32, Option<u64>),
    pub(super) plan: Plan,
}

impl<'a> Run<'a> {
    fn begin(log: &'a Arc<Log>, request: &'a Request) -> Result<Self, CompactError> {
        let writer = if let Some(core) = log.core.get() {
            // What is compacted is durable, so that nothing of it is ever taken back.
            core.checkpoint()?;
            let (opening, incarnation) = core.writer();
            (opening, Some(incarnation))
        } else {
            let opened = OpenLog::again(Arc::clone(log)).map_err(ReadError::from)?;
            (opened.recovery.opening.saturating_add(1), None)
        };
        let view = log.view.read().clone();
        if let Some(damage) = view.damage {
            return Err(CompactError::Damaged(damage));
        }
        let start = view.state;
        let mut this = Self {
            log,
            request,
            start,
            salts: log.salts.clone(),
            forgets: Vec::new(),
            forgotten_bytes: 0,
            writer,
            plan: Plan::Nothing,
        };
        let from = request.prune.as_ref().map_or(0, |prune| prune.size);
        let forgets = log.pending_redactions()?;
        let forgets = || forgets.iter().filter(|(index, _)| *index >= from);
        this.forgotten_bytes = forgets().map(|(_, len)| u64::from(*len)).sum();
        this.forgets = forgets().map(|(index, _)| *index).collect();
        let mut first = None;
        for &index in &this.forgets {
            if first.is_none() {
                first = Some(log.frame_with(index)?.1.offset);
            }
            this.salts.puncture(index);
        }
        if let Some(prune) = &request.prune {
            this.salts.puncture_below(prune.size);
        }
        let facts = Facts {
            end: this.start.end_offset,
            compacted_upto: log.header.compacted_upto,
            last: this.last_compacted()?,
            salts_offset: Some(log.header.salts_offset).filter(|&offset| offset > 0),
            forgets_from: first,
            prunes: request.prune.is_some(),
            everything: request.everything,
        };
        this.plan = plan(&facts, request.batch_len);
        Ok(this)
    }

    /// The last frame that a compaction has written.
    fn last_compacted(&self) -> Result<Option<LastFrame>, CompactError> {
        let (log, end) = (self.log, self.log.header.compacted_upto);
        if end <= HEAD_LEN {
            return Ok(None);
        }
        let (file, path): (&dyn DiskFile, _) = (&*log.file, &log.path);
        let trailer = end - FRAME_TRAILER_LEN as u64;
        let trailer = file.read_vec_at(trailer, FRAME_TRAILER_LEN).context(path, "read")?;
        let len = trailer.first_chunk().map_or(0, |len| u64::from(u32::from_le_bytes(*len)));
        let offset = end.saturating_sub(len);
        let mut reader = log.frame_reader(end, READ_AHEAD_SHORT);
        let frame = reader.header(offset).context(path, "read")?;
        let Ok(frame) = frame.map_err(|_| ()) else { return Ok(None) };
        let mut weight = None;
        if frame.kind == FrameKind::BATCH
            && let Ok(payload) = reader.payload(&frame).context(path, "read")?
            && let Ok(batch) = BatchHeader::decode(payload)
        {
            weight = Some(weight_of(&batch));
        }
        Ok(Some(LastFrame { offset, weight }))
    }

    fn finish(
        self,
        switch: impl FnOnce(&Arc<Log>),
        progress: Progress<'_>,
    ) -> Result<Compaction, CompactError> {
        let log = self.log;
        let before_len = self.start.end_offset;
        let mut done = Compaction {
            before_len,
            after_len: before_len,
            before_frames: self.start.frame_count,
            after_frames: self.start.frame_count,
            ..Compaction::default()
        };
        let Plan::Rewrite { carried_upto } = self.plan else { return Ok(done) };
        self.check_room()?;
        let mut writing = Writing::begin(&self, carried_upto)?;
        writing.rewrite(progress)?;
        done.is_new = true;
        done.carried_len = if carried_upto > HEAD_LEN { carried_upto } else { 0 };
        done.forgotten = self.forgets.len() as u64;
        done.forgotten_bytes = self.forgotten_bytes;
        done.pruned =
            self.request.prune.as_ref().map_or(0, |prune| prune.size - log.header.first_index);
        (done.after_len, done.after_frames) = writing.next.size();
        if self.request.dry_run {
            return Ok(done);
        }
        writing.catch_up()?;
        let new = writing.switch(switch)?;
        let state = new.view.read().state.clone();
        (done.after_len, done.after_frames) = (state.end_offset, state.frame_count);
        // A cache: what of it cannot be made now is made when it is asked for.
        let _ = new.read_up_index();
        Ok(done)
    }

    /// The new file is no longer than the old one and its salts.
    fn check_room(&self) -> Result<(), CompactError> {
        let log = self.log;
        let folder = log.path.parent().unwrap_or(std::path::Path::new("."));
        let needed = self.start.end_offset + 2 * self.salts.encode().len() as u64;
        // Where it is not known, running out of it is an error like any other.
        match log.disk.free_space(folder).ok().flatten() {
            Some(free) if free < needed => {
                Err(CompactError::NoRoom { folder: folder.to_owned(), needed, free })
            }
            _ => Ok(()),
        }
    }

    /// The header of the next generation.
    pub(super) fn header(&self) -> Result<SegmentHeader, CompactError> {
        let old = &self.log.header;
        let generation = old.generation.checked_add(1).ok_or_else(|| {
            let source = std::io::Error::other("its generation is the highest there is");
            IoError::new(&self.log.path, "compact", source)
        })?;
        Ok(SegmentHeader { generation, writer: WRITER.to_owned(), ..old.clone() })
    }

    /// What is kept of the entries that are pruned, now or before.
    pub(super) fn prune_record(&self) -> Result<Option<Arc<PruneRecord>>, CompactError> {
        let Some(prune) = &self.request.prune else { return Ok(self.log.pruned.clone()) };
        let declared = self.log.declared_streams()?;
        let record = PruneRecord {
            state: state_at(self.log, prune.size, &self.start)?,
            pruned: Some(prune.time),
            declarations: declared
                .into_iter()
                .take_while(|declaration| declaration.index < prune.size)
                .collect(),
            kept: prune.kept.clone(),
        };
        if record.fits() {
            Ok(Some(Arc::new(record)))
        } else {
            Err(CompactError::TooMuchToKeep { log: self.log.id(), size: prune.size })
        }
    }
}

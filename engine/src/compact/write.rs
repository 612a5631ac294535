//! Writing the next generation, catching up with what was appended meanwhile, and the switch.

use std::{sync::Arc, time::Duration};

use super::{
    CompactError,
    cut::tree_at,
    run::{Progress, Run},
};
use crate::{
    batch::{Batch, BatchDraft, BatchHeader, Content, Decoder},
    bytes::Hash,
    entry::EntryHeader,
    error::{IoContext as _, IoError, LostEntries},
    frame::{FrameHeader, FrameKind},
    log::{
        Appender, BatchRefused, Beginning, Carried, FrameReader, HEAD_LEN, Hooks, InstallError,
        Learner, Log, LogState, NextGeneration, Place, READ_AHEAD_LONG, READ_AHEAD_SHORT, Step,
        SwitchError, decode_for, hooks, position_in, without_erased,
    },
};

/// What was appended meanwhile is carried over in rounds, until so little is left that commits can wait for it.
const CATCH_UP_LEN: u64 = 16 << 10;
/// An appender that is faster than that is made to wait.
const CATCH_UP_ROUNDS: u32 = 16;
/// An entry weighs this much beside its payload, as in [`BatchDraft::weight`].
const ENTRY_WEIGHT: usize = 4;

/// About the uncompressed length of a batch.
pub(super) fn weight_of(batch: &BatchHeader) -> usize {
    batch.payload_raw_len() as usize + ENTRY_WEIGHT * batch.entry_count() as usize
}

/// The next generation while it is written.
pub(super) struct Writing<'a> {
    run: &'a Run<'a>,
    log: &'a Arc<Log>,
    pub(super) next: NextGeneration,
    /// Where the frames begin that were not read yet.
    at: Place,
    decoder: Decoder,
    draft: BatchDraft,
    /// The root behind the draft, and whether its atomic group goes on.
    end_of_draft: (Hash, bool),
    /// Frames of the old file that were read.
    read_frames: u64,
    /// Bytes worked on since the last pause.
    unpaused: u64,
}

impl<'a> Writing<'a> {
    pub(super) fn begin(run: &'a Run<'a>, carried_upto: u64) -> Result<Self, CompactError> {
        let log = run.log;
        let header = run.header()?;
        let pruned = run.prune_record()?;
        let mut at = Place { offset: HEAD_LEN, index: log.header.first_index };
        let mut carried = None;
        if carried_upto > HEAD_LEN {
            let (index, link) = boundary_at(log, carried_upto, &run.start)?;
            at = Place { offset: carried_upto, index };
            let state = LogState { end_offset: carried_upto, link, ..tree_at(log, index)? };
            let salts_offset = log.header.salts_offset;
            let keeps_salts =
                run.forgets.is_empty() && (salts_offset == 0 || salts_offset < carried_upto);
            carried = Some(Carried { state, keeps_salts });
        } else if let Some(prune) = &run.request.prune {
            let (_, frame) = log.frame_with(prune.size.min(run.start.entry_count() - 1))?;
            at = Place { offset: frame.offset, index: frame.first_index };
        }
        let (opening, incarnation) = run.writer;
        let beginning = Beginning {
            pruned,
            incarnation,
            level: run.request.level,
            carried,
            ..Beginning::new(header, run.salts.clone(), opening)
        };
        Ok(Self {
            run,
            log,
            next: NextGeneration::create(&log.disk, &log.path, beginning)?,
            at,
            decoder: Decoder::new(),
            draft: BatchDraft::default(),
            end_of_draft: (Hash::ZERO, false),
            read_frames: 0,
            unpaused: 0,
        })
    }

    /// Carries over what is compact, and writes the rest up to where the log ended when the compaction began.
    pub(super) fn rewrite(&mut self, progress: Progress<'_>) -> Result<(), CompactError> {
        let run = self.run;
        let total = run.start.end_offset;
        let file = Arc::clone(&self.log.file);
        let mut carried = 0;
        let rate = run.request.rate;
        let disk = Arc::clone(&self.log.disk);
        let whole = self.next.copy_carried(&*file, &mut |done| {
            if let Some(pause) = pause(rate, done - carried) {
                disk.sleep(pause);
            }
            carried = done;
            progress(done, total)
        })?;
        if !whole {
            return Err(CompactError::Cancelled);
        }
        let mut reader = self.log.frame_reader(total, READ_AHEAD_LONG);
        loop {
            match self.log.next_frame(&mut reader, self.at)? {
                Step::Frame(frame) => {
                    // What is left out need not be sound: so a damaged copy of a record is mended.
                    if frame.kind == FrameKind::BATCH || frame.copy {
                        let payload = reader.payload(&frame).context(&self.log.path, "read")?;
                        let lost = (frame.first_index..frame.end_index()).into();
                        let payload = payload
                            .map_err(|fault| self.log.corruption(frame.offset, lost, fault))?;
                        self.take(&frame, payload)?;
                    }
                    self.at = self.log.behind(&frame);
                    self.read_frames += 1;
                    self.unpaused += frame.len(self.log.header.align_log2);
                }
                Step::Damage(error, _) => return Err(error.into()),
                Step::End => break,
            }
            if self.unpaused >= 1 << 20 {
                if let Some(pause) = pause(rate, self.unpaused) {
                    disk.sleep(pause);
                }
                self.unpaused = 0;
            }
            if !progress(self.at.offset, total) {
                return Err(CompactError::Cancelled);
            }
        }
        self.emit(None)?;
        self.next.put_salts()?;
        self.next.mark_compacted();
        // All frames that were not carried are gone: those that were read, and with nothing carried those that are pruned.
        let is_carried = self.next.carried_upto() > 0;
        let gone = if is_carried { self.read_frames } else { run.start.frame_count };
        self.next.adopt_counts(&run.start, gone)?;
        Ok(self.next.sync()?)
    }

    /// Takes one frame of the old file that is not left out.
    fn take(&mut self, frame: &FrameHeader, payload: &[u8]) -> Result<(), CompactError> {
        if frame.kind != FrameKind::BATCH {
            self.emit(None)?;
            return Ok(self.next.copy_frame(frame, payload)?);
        }
        let lost = || (frame.first_index..frame.end_index()).into();
        let batch = decode_for(self.log.id(), frame, &mut self.decoder, payload)
            .map_err(|error| self.log.corruption(frame.offset, lost(), error))?;
        let pending = self.next.entry_count() + self.draft.len() as u64;
        if batch.end_index() <= pending {
            // Pruned.
            return Ok(());
        }
        let from = position_in(&batch, pending);
        let request = self.run.request;
        let is_compact = frame.offset < self.log.header.compacted_upto && !request.everything;
        let weight = weight_of(batch.header());
        let is_whole = from == 0 && is_compact && weight >= request.batch_len / 2;
        let keys = &self.log.keys;
        let without = without_erased(&batch, from, &self.run.salts, &self.log.salts, keys);
        if is_whole && without.is_none() {
            self.emit(None)?;
            let appended = self.next.append(&batch, payload, &self.log.salts);
            return appended.map_err(|error| refused(self.log, frame, error));
        }
        if self.draft.weight() + weight > request.batch_len + request.batch_len / 2 {
            self.emit(Some(frame))?;
        }
        let entries = without.as_ref().map(BatchDraft::entries);
        match entries {
            Some(entries) => self.put(frame, &batch, entries)?,
            None => self.put(frame, &batch, batch.entries().skip(from))?,
        }
        self.end_of_draft = (batch.header().root(), batch.header().continues());
        if self.draft.weight() >= request.batch_len {
            self.emit(Some(frame))?;
        }
        Ok(())
    }

    fn put<'e>(
        &mut self,
        frame: &FrameHeader,
        batch: &Batch,
        entries: impl Iterator<Item = (EntryHeader, Content<'e>)>,
    ) -> Result<(), CompactError> {
        let target = self.run.request.batch_len;
        let is_cut = weight_of(batch.header()) > 2 * target;
        for (header, content) in entries {
            if self.draft.is_full() || (is_cut && self.draft.weight() >= target) {
                // An old batch is cut apart, and nothing says where its groups end.
                let root = self.next.root_with(&self.draft);
                let root = root.map_err(|error| refused(self.log, frame, error.into()))?;
                self.end_of_draft = (root, true);
                self.emit(Some(frame))?;
            }
            self.draft.push(header, content);
        }
        debug_assert!(batch.end_index() == self.next.entry_count() + self.draft.len() as u64);
        Ok(())
    }

    /// Writes what was put together as one batch.
    fn emit(&mut self, frame: Option<&FrameHeader>) -> Result<(), CompactError> {
        if self.draft.is_empty() {
            return Ok(());
        }
        let (root, continues) = self.end_of_draft;
        let appended = self.next.append_draft(&self.draft, root, continues);
        self.draft.clear();
        let at = frame.map_or(self.at.offset, |frame| frame.offset);
        appended.map_err(|error| refused_at(self.log, at, self.at.index, error))
    }

    /// Carries over what was appended meanwhile, while more is appended.
    pub(super) fn catch_up(&mut self) -> Result<(), CompactError> {
        for _ in 0..CATCH_UP_ROUNDS {
            let state = self.log.view.read().state.clone();
            if state.end_offset - self.at.offset <= CATCH_UP_LEN {
                break;
            }
            self.follow(state.end_offset)?;
            self.next.sync()?;
        }
        Ok(())
    }

    /// Takes over frames as they are, up to `end`.
    fn follow(&mut self, end: u64) -> Result<(), CompactError> {
        let mut reader = self.log.frame_reader(end, READ_AHEAD_LONG);
        while let Step::Frame(frame) = self.step(&mut reader)? {
            let payload = reader.payload(&frame).context(&self.log.path, "read")?;
            let lost = || (frame.first_index..frame.end_index()).into();
            let payload =
                payload.map_err(|fault| self.log.corruption(frame.offset, lost(), fault))?;
            if frame.kind == FrameKind::BATCH {
                let batch = decode_for(self.log.id(), &frame, &mut self.decoder, payload)
                    .map_err(|error| self.log.corruption(frame.offset, lost(), error))?;
                let appended = self.next.append(&batch, payload, &self.log.salts);
                appended.map_err(|error| refused(self.log, &frame, error))?;
            } else if frame.copy {
                self.next.copy_frame(&frame, payload)?;
            }
            self.at = self.log.behind(&frame);
        }
        Ok(())
    }

    fn step(&self, reader: &mut FrameReader) -> Result<Step, CompactError> {
        match self.log.next_frame(reader, self.at)? {
            Step::Damage(error, _) => Err(error.into()),
            step => Ok(step),
        }
    }

    /// Puts the new generation in the place of the old one, while nobody appends.
    pub(super) fn switch(
        mut self,
        switch: impl FnOnce(&Arc<Log>),
    ) -> Result<Arc<Log>, CompactError> {
        let log = self.log;
        let Some(core) = log.core.get() else {
            let end = log.view.read().state.clone();
            return match self.install(&end, switch, None) {
                Ok((renewed, _)) => Ok(renewed),
                Err(SwitchError::Kept(error)) => Err(error),
                Err(SwitchError::Unsure(error)) => Err(error.into()),
            };
        };
        let mut new = None;
        core.switch(|appender| {
            let end = appender.state().clone();
            let (renewed, hooks) = self.install(&end, switch, Some(appender))?;
            new = Some(renewed);
            Ok(hooks.expect("an appender has hooks"))
        })?;
        Ok(new.expect("without an error there is one"))
    }

    #[allow(clippy::type_complexity, reason = "used here only")]
    fn install(
        &mut self,
        end: &LogState,
        switch: impl FnOnce(&Arc<Log>),
        appender: Option<&mut Appender>,
    ) -> Result<(Arc<Log>, Option<Hooks>), SwitchError<CompactError>> {
        let log = self.log;
        self.follow(end.end_offset).map_err(SwitchError::Kept)?;
        if !self.next.ends_like(end) {
            let source = std::io::Error::other("the log went back while it was compacted");
            let error = IoError::new(&log.path, "compact", source);
            return Err(SwitchError::Kept(error.into()));
        }
        let index = self
            .next
            .prepare()
            .and_then(|(header, pruned, file)| log.index_of_next(header, pruned, file));
        let index = index.map_err(|error| SwitchError::Kept(error.into()))?;
        let installed = self.next.install().map_err(|error| match error {
            InstallError::Kept(error) => SwitchError::Kept(error.into()),
            InstallError::Unsure(error) => SwitchError::Unsure(error),
        })?;
        let renewed = log.renewed(&installed, index);
        switch(&renewed);
        log.superseded_by(&renewed);
        let hooks = appender.map(|appender| {
            let learner = Learner::Index {
                index: Arc::clone(&renewed.index),
                feed: Arc::clone(&renewed.feed),
            };
            appender.move_to(&installed, learner, Arc::clone(&renewed.durable_len));
            hooks(&renewed)
        });
        Ok((renewed, hooks))
    }
}

/// How many entries come before the frame at `offset`, and what it links to.
fn boundary_at(log: &Log, offset: u64, end: &LogState) -> Result<(u64, u32), CompactError> {
    if offset == end.end_offset {
        return Ok((end.entry_count(), end.link));
    }
    let mut reader = log.frame_reader(end.end_offset, READ_AHEAD_SHORT);
    let frame = reader.header(offset).context(&log.path, "read")?;
    let lost = LostEntries { first: log.header.first_index, end: None };
    let frame = frame.map_err(|fault| log.corruption(offset, lost, fault))?;
    Ok((frame.first_index, frame.link))
}

fn refused(log: &Log, frame: &FrameHeader, error: BatchRefused) -> CompactError {
    refused_at(log, frame.offset, frame.first_index, error)
}

/// What was read from a sound frame does not continue the log.
fn refused_at(log: &Log, offset: u64, index: u64, error: BatchRefused) -> CompactError {
    match error {
        BatchRefused::Io(error) => error.into(),
        BatchRefused::Replay(error) => {
            let lost = LostEntries { first: index, end: None };
            CompactError::Read(log.corruption(offset, lost, error))
        }
    }
}

/// How long to pause after so many bytes.
fn pause(rate: Option<u64>, bytes: u64) -> Option<Duration> {
    let rate = rate.filter(|&rate| rate > 0)?;
    Some(Duration::from_micros(bytes.saturating_mul(1_000_000) / rate))
}

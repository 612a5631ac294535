//! The index of one log: its runs, the stretch behind them, and their upkeep.

use std::{io, path::PathBuf, sync::Arc};

use super::{
    Declarations, Direction, FOLD, FrameSummary, HEAD_LEN, Identity, Ignored, IndexError,
    NODE_LEVEL_MAX, NODE_LEVEL_MIN, Position, SpanRef, Spans, check,
    iter::Runs,
    layout::{RunHeader, RunId},
    merge::{folded, merge},
    pages::{PageWriter, PagedFile},
    run::Run,
    scan::{Leftover, remove, scan},
    stretch::Stretch,
};
use crate::{
    bytes::{Hash, StreamId, Timestamp},
    io::Disk,
    sync::{Mutex, RwLock},
};

/// The index of one log.
///
/// One thread feeds it ([`Index::push`], [`Index::truncate_tail`], [`Index::persist`]); any number
/// read meanwhile, and never wait for its disk.
#[derive(Debug)]
pub struct Index {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    identity: Identity,
    /// The start of the log.
    origin: Position,
    ignored: Vec<Ignored>,
    evidence: u64,
    state: RwLock<State>,
    /// Files to be removed. The lock is held while files are written or the tail is cut.
    upkeep: Mutex<Vec<Leftover>>,
}

#[derive(Debug)]
struct State {
    /// In the order of the log: those in files, then those in memory.
    runs: Runs,
    /// The stretch behind the runs.
    stretch: Stretch,
    /// Bytes of the runs in memory.
    memory_len: usize,
}

impl State {
    /// What is known from `runs`, which are all in files.
    fn new(runs: Runs, origin: &Position, identity: &Identity) -> Self {
        let stretch = match runs.last().map(|run| run.header()) {
            None => Stretch::new(0, *origin),
            Some(last) => {
                let next = last.id.stretches().map_or(0, |stretches| stretches.end);
                Stretch::new(next, last.end)
            }
        };
        let mut state = Self { runs, stretch, memory_len: 0 };
        // The last frame may have jumped over stretches whose empty runs were not written any more.
        state.finish_complete(identity);
        state
    }

    /// Makes runs of the stretches in which no frame can start any more.
    fn finish_complete(&mut self, identity: &Identity) {
        while self.stretch.is_complete() {
            let (header, content) = self.stretch.encode(identity);
            self.memory_len += content.len();
            Arc::make_mut(&mut self.runs).push(Arc::new(Run::in_memory(header, content)));
            self.stretch = Stretch::new(self.stretch.number() + 1, *self.stretch.end());
        }
    }
}

/// What is to be done next to make the files what X-2 says.
enum Step {
    /// Write the run here to a file.
    Write(usize),
    /// Fold the eight runs from here on.
    Fold(usize, RunId),
}

impl Index {
    /// Loads the runs in `folder`, which may be missing: the longest sequence without gaps. Of each
    /// file one page is read; nothing is written.
    ///
    /// # Errors
    ///
    /// [`IndexError::Io`]. Files that are damaged or not of this identity are no error, but
    /// [`Index::ignored`].
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        identity: Identity,
    ) -> Result<Self, IndexError> {
        Self::open_from(disk, folder, identity, Position::start(&identity))
    }

    /// The same, of a log whose first frame comes behind `origin`: entries that were pruned.
    ///
    /// # Errors
    ///
    /// As for [`Index::open`].
    pub fn open_from(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        identity: Identity,
        origin: Position,
    ) -> Result<Self, IndexError> {
        let found = scan(&disk, &folder, &identity, &origin)?;
        let state = State::new(Arc::new(found.runs), &origin, &identity);
        Ok(Self {
            disk,
            folder,
            identity,
            origin,
            ignored: found.ignored,
            evidence: found.evidence,
            state: RwLock::new(state),
            upkeep: Mutex::new(found.leftovers),
        })
    }

    /// Adds a frame.
    ///
    /// # Panics
    ///
    /// If the frame does not continue at [`Index::position`], or what it says contradicts itself.
    pub fn push(&self, frame: &FrameSummary<'_>) {
        let mut state = self.state.write();
        state.stretch.push(frame);
        state.finish_complete(&self.identity);
    }

    /// Where the runs end that are of an older generation than the segment, and of which: they were carried over.
    pub(crate) fn carried_ends(&self) -> Vec<Position> {
        let ends = self.runs();
        let ends = ends.iter().map(|run| run.header().end);
        ends.filter(|end| end.generation < self.identity.generation).collect()
    }

    /// The folder of its files.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Forgets what is in no file, so that [`Index::position`] is [`Index::persisted`].
    pub fn truncate_tail(&self) {
        let _upkeep = self.upkeep.lock();
        let mut state = self.state.write();
        let mut runs = Arc::clone(&state.runs);
        Arc::make_mut(&mut runs).retain(|run| run.memory().is_none());
        *state = State::new(runs, &self.origin, &self.identity);
    }

    /// Forgets everything; removes the files as well if `remove` says so. Readers that are under way
    /// keep what they have.
    ///
    /// # Errors
    ///
    /// [`IndexError::Io`]; the index is empty all the same.
    pub fn clear(&self, remove: bool) -> Result<(), IndexError> {
        let mut upkeep = self.upkeep.lock();
        *self.state.write() = State::new(Arc::default(), &self.origin, &self.identity);
        if remove {
            upkeep.clear();
            super::remove_all(&*self.disk, &self.folder)
                .map_err(|source| IndexError::Io { path: self.folder.clone(), source })?;
        }
        Ok(())
    }

    /// Looks at the folder again, after another process has folded or removed runs. What is in no file is
    /// forgotten.
    ///
    /// # Errors
    ///
    /// As for [`Index::open`].
    pub fn reload(&self) -> Result<(), IndexError> {
        let mut upkeep = self.upkeep.lock();
        let found = scan(&self.disk, &self.folder, &self.identity, &self.origin)?;
        *self.state.write() = State::new(Arc::new(found.runs), &self.origin, &self.identity);
        *upkeep = found.leftovers;
        Ok(())
    }

    /// The number of streams that are declared in what has been pushed.
    ///
    /// # Errors
    ///
    /// As for [`Index::locate`].
    pub fn declaration_count(&self) -> Result<u32, IndexError> {
        let mut count = 0;
        for declaration in self.declarations() {
            count = declaration?.stream.0.max(count);
        }
        Ok(count)
    }

    /// Writes runs for the stretches that are complete below `durable_len`, folds what can be
    /// folded, and removes files that are not used any more. Creates the folder if it is missing.
    ///
    /// Memory is constant. Nothing is synced. A valid run that was not used and ends above
    /// `durable_len` is evidence and stays.
    ///
    /// # Errors
    ///
    /// All of [`IndexError`]: folding reads the runs and checks them. The index stays as usable as
    /// it was, and the next call goes on where this one failed.
    pub fn persist(&self, durable_len: u64) -> Result<(), IndexError> {
        let mut leftovers = self.upkeep.lock();
        self.remove_leftovers(&mut leftovers, durable_len)?;
        while let Some(step) = self.next_step(durable_len) {
            let runs = self.runs();
            match step {
                Step::Write(at) => {
                    let run = self.write(&runs[at])?;
                    self.replace(at, 1, run);
                }
                Step::Fold(at, id) => {
                    let children = &runs[at..at + FOLD];
                    let run = self.fold(id, children)?;
                    self.replace(at, FOLD, run);
                    leftovers.extend(children.iter().filter(|run| run.memory().is_none()).map(
                        |run| Leftover { name: run.header().id.file_name(), end_offset: None },
                    ));
                    self.remove_leftovers(&mut leftovers, durable_len)?;
                }
            }
        }
        Ok(())
    }

    /// The end of what is in files.
    pub fn persisted(&self) -> Position {
        let state = self.state.read();
        let in_files = state.runs.iter().rev().find(|run| run.memory().is_none());
        in_files.map_or(self.origin, |run| run.header().end)
    }

    /// The end of what has been pushed.
    pub fn position(&self) -> Position {
        *self.state.read().stretch.end()
    }

    /// About how many bytes of memory hold what is in no file.
    pub fn unpersisted_len(&self) -> usize {
        let state = self.state.read();
        state.memory_len + state.stretch.len()
    }

    /// The highest end of any valid run, used or not: the log was durable up to there.
    /// 0 without one.
    pub fn evidence(&self) -> u64 {
        let persisted = self.persisted().end_offset;
        // Without a run that is the start of the log, which is evidence of nothing.
        self.evidence.max(if persisted == HEAD_LEN { 0 } else { persisted })
    }

    /// The files that were in the folder and not used when the index was opened.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// The span that holds the entry `index`; `None` if it was not pushed.
    ///
    /// Cost: O(log n) pages, most of them in memory; so it is for all queries.
    ///
    /// # Errors
    ///
    /// All of [`IndexError`]; so it is for all queries.
    pub fn locate(&self, index: u64) -> Result<Option<SpanRef>, IndexError> {
        let runs = {
            let state = self.state.read();
            if index >= state.stretch.start().end_index {
                let mut spans = state.stretch.spans();
                let holds = |span: &SpanRef| span.first_index <= index && index < span.end_index;
                return Ok(spans.find(holds));
            }
            Arc::clone(&state.runs)
        };
        let at = runs.partition_point(|run| run.header().end.end_index <= index);
        runs.get(at).map(|run| run.locate(index)).transpose()
    }

    /// The first span with an entry later than `time`; `None` if no entry is later.
    ///
    /// # Errors
    ///
    /// As for [`Index::locate`].
    pub fn locate_time(&self, time: Timestamp) -> Result<Option<SpanRef>, IndexError> {
        let runs = {
            let state = self.state.read();
            if state.stretch.start().time_max <= Some(time) {
                return Ok(state.stretch.spans().find(|span| span.time_max > Some(time)));
            }
            Arc::clone(&state.runs)
        };
        let at = runs.partition_point(|run| run.header().end.time_max <= Some(time));
        runs.get(at).map(|run| run.locate_time(time)).transpose()
    }

    /// The spans, starting with the one that holds the entry `from_index`. A backward walk from an
    /// index that does not exist yet starts with the last one.
    pub fn spans(&self, from_index: u64, direction: Direction) -> Spans {
        let state = self.state.read();
        let runs = Arc::clone(&state.runs);
        Spans::new(runs, state.stretch.spans(), None, from_index, direction)
    }

    /// The spans that hold an entry of `stream`, from the one that holds the entry `from_index` on.
    pub fn spans_of_stream(
        &self,
        stream: StreamId,
        from_index: u64,
        direction: Direction,
    ) -> Spans {
        let state = self.state.read();
        let (runs, tail) = (Arc::clone(&state.runs), state.stretch.spans_of(stream));
        Spans::new(runs, tail, Some(stream), from_index, direction)
    }

    /// The hash of the perfect subtree of 2^`level` leaves at `position`; `None` if it is not
    /// complete, or the level not one of 6 to 47.
    ///
    /// # Errors
    ///
    /// As for [`Index::locate`].
    pub fn node(&self, level: u32, position: u64) -> Result<Option<Hash>, IndexError> {
        if !(NODE_LEVEL_MIN..=NODE_LEVEL_MAX).contains(&level) {
            return Ok(None);
        }
        let runs = {
            let state = self.state.read();
            if position >= state.stretch.start().end_index >> level {
                return Ok(state.stretch.node(level, position));
            }
            Arc::clone(&state.runs)
        };
        // A subtree belongs to the run in which its last leaf lies.
        let at = runs.partition_point(|run| run.header().end.end_index >> level <= position);
        runs.get(at).map_or(Ok(None), |run| run.node(level, position))
    }

    /// All declarations in order.
    pub fn declarations(&self) -> Declarations {
        let state = self.state.read();
        Declarations::new(&state.runs, state.stretch.declarations().to_vec())
    }

    /// Reads every page of every run and checks what the runs say against each other.
    ///
    /// # Errors
    ///
    /// As for [`Index::locate`]; the first damage that is found.
    pub fn check(&self) -> Result<(), IndexError> {
        let runs = self.runs();
        runs.iter().try_for_each(check::check)?;
        self.declarations().try_for_each(|declaration| declaration.map(drop))
    }

    pub(super) fn runs(&self) -> Runs {
        Arc::clone(&self.state.read().runs)
    }

    fn next_step(&self, durable_len: u64) -> Option<Step> {
        let state = self.state.read();
        // A run in memory that is not durable has only such runs behind it.
        let durable = state.runs.partition_point(|run| {
            run.memory().is_none() || run.header().end.end_offset <= durable_len
        });
        let runs = &state.runs[..durable];
        // From the left, so that runs in memory never stand before runs in files.
        (0..durable).find_map(|at| {
            let fold = runs.get(at..at + FOLD).and_then(folded).map(|id| Step::Fold(at, id));
            fold.or_else(|| runs[at].memory().map(|_| Step::Write(at)))
        })
    }

    /// Writes a run that is in memory to a file.
    pub(super) fn write(&self, run: &Run) -> Result<Run, IndexError> {
        let content = run.memory().unwrap_or_default();
        self.write_with(run.header().id, run.header().end.generation, |out| {
            out.put(content)?;
            Ok(*run.header())
        })
    }

    fn fold(&self, id: RunId, children: &[Arc<Run>]) -> Result<Run, IndexError> {
        // Readers that still use them can go on after they were removed.
        children.iter().try_for_each(|child| child.keep_open())?;
        let generation = children.last().map_or(0, |last| last.header().end.generation);
        self.write_with(id, generation, |out| merge(id, children, out))
    }

    fn write_with(
        &self,
        id: RunId,
        generation: u64,
        fill: impl FnOnce(&mut PageWriter) -> Result<RunHeader, IndexError>,
    ) -> Result<Run, IndexError> {
        self.create_folder()?;
        let path = self.folder.join(id.file_name());
        let crc = id.page_crc(&self.identity, generation);
        let mut out = PageWriter::create(self.disk.as_ref(), &path, crc)?;
        let header = fill(&mut out)?;
        out.finish(self.disk.as_ref(), &path, &header.encode(&self.identity))?;
        let file = PagedFile::new(Arc::clone(&self.disk), path, crc);
        Ok(Run::in_file(header, file))
    }

    /// Puts `run` in the place of `count` runs. Meanwhile runs can only have been added at the end.
    fn replace(&self, at: usize, count: usize, run: Run) {
        let mut state = self.state.write();
        let replaced = Arc::make_mut(&mut state.runs).splice(at..at + count, [Arc::new(run)]);
        let memory_len: usize = replaced.filter_map(|run| run.memory().map(<[u8]>::len)).sum();
        state.memory_len -= memory_len;
    }

    fn remove_leftovers(
        &self,
        leftovers: &mut Vec<Leftover>,
        durable_len: u64,
    ) -> Result<(), IndexError> {
        if leftovers.is_empty() {
            return Ok(());
        }
        let runs = self.runs();
        let in_use = |name: &str| {
            let mut in_files = runs.iter().filter(|run| run.memory().is_none());
            in_files.any(|run| run.header().id.file_name() == name)
        };
        // Written anew since.
        leftovers.retain(|leftover| !in_use(&leftover.name));
        let mut at = 0;
        while let Some(leftover) = leftovers.get(at) {
            if leftover.end_offset.is_some_and(|end_offset| end_offset > durable_len) {
                at += 1;
            } else {
                let path = self.folder.join(&leftover.name);
                remove(self.disk.as_ref(), &path).map_err(IndexError::io(path))?;
                leftovers.swap_remove(at);
            }
        }
        Ok(())
    }

    fn create_folder(&self) -> Result<(), IndexError> {
        let created = match (self.disk.create_dir(&self.folder), self.folder.parent()) {
            // Nothing of this workspace was ever cached.
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.create_dir(parent).and_then(|()| self.disk.create_dir(&self.folder))
            }
            (result, _) => result,
        };
        created.map_err(IndexError::io(&self.folder))
    }
}

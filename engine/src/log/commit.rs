//! Group commit: any number of threads append to one log.
//!
//! Appenders put entries into a staging buffer under a short lock. Whoever fills a buffer, or waits for
//! durability while nobody else leads, becomes the *leader*: it takes the appender and the buffer out
//! of the shared state, and encodes, writes and syncs without the lock, while the next buffer fills.
//! One sync serves all who wait. No timer delays anybody, and there are no threads but such as encode ahead (see `press`).
//!
//! Nobody can wait for ever: the appender comes back when the leader is done, whatever happened, or the
//! log is poisoned by the guard in [`Lease`]; both wake everybody.

mod lend;
mod standing;
mod state;

use std::sync::Arc;

pub(crate) use self::lend::SwitchError;
use crate::{
    bytes::{StreamId, Timestamp},
    entry::{EntryHeader, LAMPORT_MAX, LOG_ENTRY_COUNT_MAX},
    error::IoError,
    log::{
        appender::{Appender, WriteFailure},
        change::{Change, change_parts},
        open::WriterOptions,
        press::{PressRoom, SHARED_COUNT_MIN},
        stage::Staged,
    },
    sync::{Condvar, Mutex, MutexGuard},
};

/// Batches that are written at once, if nobody waits for them: enough for several threads to encode.
const WRITE_BATCH_COUNT: usize = 32;

/// Why a change was not appended, or is not durable.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The disk is full. The entries from `void_from` on are void: their indices will be given again. All
    /// calls return this until [`Workspace::resume`](crate::Workspace::resume).
    #[error(
        "{error}; the changes from entry {void_from} on were not stored: free some space, then resume"
    )]
    DiskFull {
        /// Index of the first entry that is void.
        void_from: u64,
        /// What the operating system said.
        error: Arc<IoError>,
    },
    /// A write or sync failed, so what the disk holds is unknown. Close the workspace and open it again.
    #[error("{0}; what the disk holds is unknown until the workspace is opened again")]
    Poisoned(Arc<IoError>),
    /// The entry was staged before the disk ran full, and is void.
    #[error("the disk was full when the change was to be written: it was not stored")]
    Void,
    /// The log has its largest number of entries, or its Lamport clock its highest value.
    #[error(
        "the log has the most entries that a log can have ({LOG_ENTRY_COUNT_MAX}), or the highest clock"
    )]
    LogFull,
    /// The change names a stream that the log has not declared: ids come from
    /// [`Stream::id`](crate::Stream::id).
    #[error("the log has declared no stream {0}")]
    UnknownStream(StreamId),
    /// The workspace was closed, or opened to read only.
    #[error("the workspace is not open for writing")]
    ReadOnly,
}

/// Entries that were given an index: `first..end` in epoch `epoch`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Assigned {
    pub(crate) first: u64,
    pub(crate) end: u64,
    epoch: u64,
}

/// How far a log has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Entries.
    pub entries: u64,
    /// Changes among them.
    pub changes: u64,
}

#[derive(Clone, Debug)]
enum Failure {
    Full { void_from: u64, error: Arc<IoError> },
    Poisoned(Arc<IoError>),
    Closed,
}

impl Failure {
    fn error(&self) -> AppendError {
        match self {
            Self::Full { void_from, error } => {
                AppendError::DiskFull { void_from: *void_from, error: Arc::clone(error) }
            }
            Self::Poisoned(error) => AppendError::Poisoned(Arc::clone(error)),
            Self::Closed => AppendError::ReadOnly,
        }
    }
}

#[derive(Debug)]
struct State {
    /// `None` while a leader has it.
    appender: Option<Box<Appender>>,
    /// Of the generation that the appender writes.
    hooks: Arc<Hooks>,
    staged: Staged,
    in_flight: Option<Arc<Staged>>,
    spare: Option<Staged>,
    lamport: u64,
    /// Streams declared, staged declarations included.
    streams: u32,
    /// Somebody stages a group that is larger than the buffer: nobody else appends meanwhile, and the
    /// group's entries, from this index on, are not to be seen yet.
    exclusive: Option<u64>,
    /// Threads that wait for entries rather than for durability.
    followers: usize,
    /// Entries below are in the file.
    written: u64,
    /// Acknowledged.
    durable: Progress,
    failure: Option<Failure>,
    /// Rises whenever indices that were handed out become void.
    epoch: u64,
    /// For each epoch that ended: the first void index.
    voids: Vec<u64>,
}

/// What a leader is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Job {
    /// Hand what is staged to the operating system.
    Write,
    /// And make it durable.
    Sync,
    /// And record that in a synced checkpoint.
    Checkpoint,
    /// The same, as the last thing.
    Close,
}

/// The shared state of all who append to one log.
#[derive(Debug)]
pub(crate) struct Core {
    state: Mutex<State>,
    changed: Condvar,
    batch_len: usize,
    /// Whoever stages that much writes it.
    write_len: usize,
    staged_len_max: usize,
    /// Opening and incarnation of the appender, which stay.
    writer: (u32, u64),
    press_room: Arc<PressRoom>,
}

/// What the core tells the rest of the log.
pub(crate) struct Hooks {
    /// Before the first write.
    pub(crate) starting: Box<dyn Fn() + Send + Sync>,
    /// After each write, before anybody is woken: readers of this process learn the new end.
    pub(crate) written: Box<dyn Fn(&Appender) + Send + Sync>,
    /// After each sync, when the appender is free again: time for what nobody should wait for.
    pub(crate) settled: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooks")
    }
}

impl Core {
    pub(crate) fn new(mut appender: Appender, options: &WriterOptions, hooks: Hooks) -> Self {
        let WriterOptions { batch_len, staged_len_max, level, .. } = *options;
        let writer = (appender.opening(), appender.incarnation());
        let written = appender.state().entry_count();
        let staged = Staged::new(written, batch_len);
        let press_room = appender.open_press_room(level);
        let state = State {
            staged,
            in_flight: None,
            spare: None,
            lamport: appender.state().lamport,
            streams: appender.state().stream_count,
            exclusive: None,
            followers: 0,
            written,
            durable: appender.acknowledged(),
            failure: None,
            epoch: 0,
            voids: Vec::new(),
            appender: Some(Box::new(appender)),
            hooks: Arc::new(hooks),
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            batch_len,
            write_len: (WRITE_BATCH_COUNT * batch_len).min(staged_len_max / 2),
            staged_len_max,
            writer,
            press_room,
        }
    }

    /// Entries that can be seen: all that have an index, but for a large group that is being staged.
    pub(crate) fn end_index(&self) -> u64 {
        self.state.lock().visible_end()
    }

    /// Opening and incarnation of this writer.
    pub(crate) fn writer(&self) -> (u32, u64) {
        self.writer
    }

    /// Lamport clock of the last entry.
    pub(crate) fn lamport(&self) -> u64 {
        self.state.lock().lamport
    }

    /// What has been acknowledged.
    pub(crate) fn durable(&self) -> Progress {
        self.state.lock().durable
    }

    /// Whether only opening again helps.
    pub(crate) fn is_poisoned(&self) -> bool {
        matches!(self.state.lock().failure, Some(Failure::Poisoned(_)))
    }

    /// Appends all of `changes` as one atomic group and returns their indices. `time` is the time of changes
    /// that name none. `jump` is a Lamport clock that these changes come after: for a *seen* entry (E-8).
    /// `rests_on` is the declaration of the stream that they are for, if the caller has asked for it by name.
    pub(crate) fn append(
        &self,
        changes: &[Change<'_>],
        time: Option<Timestamp>,
        jump: Option<u64>,
        rests_on: Option<Assigned>,
    ) -> Result<Assigned, AppendError> {
        let mut state = self.ready(self.state.lock())?;
        state.check_streams(changes, rests_on)?;
        let count: usize = changes.iter().map(Change::part_count).sum();
        let lamport = state.lamport.max(jump.unwrap_or(0));
        if state.staged.end_index() + count as u64 > LOG_ENTRY_COUNT_MAX
            || lamport + count as u64 > LAMPORT_MAX
        {
            return Err(AppendError::LogFull);
        }
        let len: usize = changes.iter().map(|change| change.payload.len()).sum();
        let (first, epoch) = if len > self.staged_len_max && count > 1 {
            state.exclusive = Some(state.staged.end_index());
            let result = self.append_large(&mut state, changes, time, rests_on);
            state.exclusive = None;
            self.changed.notify_all();
            result?
        } else {
            let before = (state.staged.end_index(), state.epoch);
            let start = state.staged.len();
            state.lamport = state.lamport.max(jump.unwrap_or(0));
            for change in changes {
                change_parts(change, time, |header, payload| state.stage(header, payload));
            }
            state.staged.join_from(start);
            before
        };
        let assigned = Assigned { first, end: state.staged.end_index(), epoch };
        if state.followers > 0 {
            self.changed.notify_all();
        }
        self.share(&mut state);
        if state.staged.weight() >= self.write_len && state.appender.is_some() {
            self.lead(&mut state, Job::Write)?;
        }
        Ok(assigned)
    }

    /// Lets whoever has time encode what is settled.
    fn share(&self, state: &mut State) {
        while let Some(batch) = state.staged.next_settled() {
            self.press_room.share(batch);
        }
    }

    /// Waits until something can be staged.
    fn ready<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, AppendError> {
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.error());
            }
            if state.exclusive.is_none() && state.staged.weight() < self.staged_len_max {
                return Ok(state);
            }
            if state.exclusive.is_none() && state.appender.is_some() {
                self.lead(&mut state, Job::Write)?;
            } else {
                self.changed.wait(&mut state);
            }
        }
    }

    /// Stages a group that does not fit into the buffer, piece by piece, and writes it to its end.
    ///
    /// It starts in an empty buffer, so that its pieces hold nothing else; and its end is in the file before
    /// anybody goes on, as what is written of a group cannot be read before its end is. Returns its first index and
    /// the epoch in which it got it.
    fn append_large(
        &self,
        state: &mut MutexGuard<'_, State>,
        changes: &[Change<'_>],
        time: Option<Timestamp>,
        rests_on: Option<Assigned>,
    ) -> Result<(u64, u64), AppendError> {
        self.drain(state)?;
        // Only now: what came before may have been lost to a full disk meanwhile, and the log resumed.
        state.check_streams(changes, rests_on)?;
        let (first, epoch) = (state.staged.end_index(), state.epoch);
        state.exclusive = Some(first);
        for change in changes {
            let mut result = Ok(());
            change_parts(change, time, |header, payload| {
                let full = state.staged.weight() + payload.len() > self.staged_len_max;
                if result.is_ok() && full && !state.staged.is_empty() {
                    state.staged.join_from(0);
                    state.staged.open_group = true;
                    result = self.drain(state);
                }
                // After a failure what was staged of the group is void, and nothing may stand in its place.
                if result.is_ok() {
                    state.stage(header, payload);
                    self.share(state);
                }
            });
            result?;
        }
        state.staged.join_from(0);
        self.drain(state)?;
        Ok((first, epoch))
    }

    /// Waits until nothing is staged and nothing is being written: a leader that fails takes with it what was staged
    /// since.
    fn drain(&self, state: &mut MutexGuard<'_, State>) -> Result<(), AppendError> {
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.error());
            }
            if state.appender.is_none() {
                self.changed.wait(state);
            } else if state.staged.is_empty() {
                return Ok(());
            } else {
                self.lead(state, Job::Write)?;
            }
        }
    }

    /// Makes everything durable that was appended before the call; says how far that is.
    pub(crate) fn commit(&self) -> Result<Progress, AppendError> {
        let state = self.state.lock();
        // Among what was appended before may be what a full disk made void: that nothing waits proves nothing.
        if let Some(failure) = &state.failure {
            return Err(failure.error());
        }
        let everything = Assigned { first: 0, end: state.staged.end_index(), epoch: state.epoch };
        self.wait_durable(state, everything)
    }

    /// Waits until these entries are durable, syncing if nobody else does.
    pub(crate) fn wait(&self, assigned: Assigned) -> Result<Progress, AppendError> {
        self.wait_durable(self.state.lock(), assigned)
    }

    fn wait_durable(
        &self,
        mut state: MutexGuard<'_, State>,
        wanted: Assigned,
    ) -> Result<Progress, AppendError> {
        loop {
            if state.is_void(wanted) {
                return Err(state.failure.as_ref().map_or(AppendError::Void, Failure::error));
            }
            if state.durable.entries >= wanted.end {
                return Ok(state.durable);
            }
            if let Some(failure) = &state.failure {
                return Err(failure.error());
            }
            if state.exclusive.is_some() || state.appender.is_none() {
                // A large group is being staged: its end will be durable with ours.
                self.changed.wait(&mut state);
            } else {
                self.lead(&mut state, Job::Sync)?;
            }
        }
    }

    /// Hands everything staged to the operating system, so that it can be read from the file.
    pub(crate) fn flush(&self) -> Result<(), AppendError> {
        self.exclusively(&mut self.state.lock(), Job::Write)
    }

    /// Makes everything durable and records it in a synced checkpoint.
    pub(crate) fn checkpoint(&self) -> Result<(), AppendError> {
        self.exclusively(&mut self.state.lock(), Job::Checkpoint)
    }

    /// As [`Core::checkpoint`]; nothing can be appended afterwards.
    pub(crate) fn close(&self) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        let result = self.exclusively(&mut state, Job::Close);
        if !matches!(state.failure, Some(Failure::Poisoned(_))) {
            state.failure = Some(Failure::Closed);
        }
        self.press_room.close();
        self.changed.notify_all();
        result
    }

    fn exclusively(&self, state: &mut MutexGuard<'_, State>, job: Job) -> Result<(), AppendError> {
        while state.failure.is_none() && (state.exclusive.is_some() || state.appender.is_none()) {
            self.changed.wait(state);
        }
        if let Some(failure) = &state.failure {
            return Err(failure.error());
        }
        if job != Job::Close {
            return self.lead(state, job);
        }
        // Who appends meanwhile waits, and is refused: nothing is taken that would not be stored.
        state.exclusive = Some(state.staged.end_index());
        let result = self.lead(state, job);
        state.exclusive = None;
        result
    }

    /// Goes on after the disk was full.
    pub(crate) fn resume(&self) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        match &state.failure {
            None => Ok(()),
            Some(Failure::Full { .. }) => {
                state.failure = None;
                Ok(())
            }
            Some(failure) => Err(failure.error()),
        }
    }

    /// Gives the entry `index` to `read` if it is staged or being written.
    pub(crate) fn staged_entry<R>(
        &self,
        index: u64,
        read: impl FnOnce(&EntryHeader, &[u8]) -> R,
    ) -> Option<R> {
        let state = self.state.lock();
        let found = state.staged.entry(index);
        let found =
            found.or_else(|| state.in_flight.as_ref().and_then(|staged| staged.entry(index)));
        found.map(|(header, payload)| read(&header, payload))
    }

    /// Waits until the log has an entry `index`, or until `timeout` has passed; says whether it has.
    pub(crate) fn wait_for_entry(&self, index: u64, timeout: std::time::Duration) -> bool {
        let mut state = self.state.lock();
        state.followers += 1;
        let waits = |state: &mut State| state.visible_end() <= index && state.failure.is_none();
        self.changed.wait_while_for(&mut state, waits, timeout);
        state.followers -= 1;
        state.visible_end() > index
    }

    /// Does `job` as the leader. The lock is released while it runs.
    fn lead(&self, state: &mut MutexGuard<'_, State>, job: Job) -> Result<(), AppendError> {
        let appender = state.appender.take().expect("only who sees the appender leads");
        state.staged.finish();
        if state.staged.batches().len() >= SHARED_COUNT_MIN {
            self.share(state);
        }
        let end = state.staged.end_index();
        let mut next = state.spare.take().unwrap_or_else(|| Staged::new(end, self.batch_len));
        next.reset(end);
        let staged = Arc::new(std::mem::replace(&mut state.staged, next));
        state.in_flight = Some(Arc::clone(&staged));

        let hooks = Arc::clone(&state.hooks);
        // The lease lives where the lock is not held: if the leader panics, it takes the lock to poison the log.
        let (appender, outcome) = MutexGuard::unlocked(state, || {
            let hooks = Arc::clone(&hooks);
            let mut lease = Lease { core: self, appender: Some(appender), hooks };
            let outcome = lease.run(&staged, job);
            (lease.take(), outcome)
        });

        state.in_flight = None;
        if outcome.is_ok() {
            // Before the buffer is emptied, so that it keeps its memory.
            self.press_room.drop_made();
        } else {
            self.press_room.clear();
        }
        if let Some(mut spare) = Arc::into_inner(staged) {
            spare.reset(0);
            state.spare = Some(spare);
        }
        state.written = appender.state().entry_count();
        let mut synced = false;
        let result = match outcome {
            Ok(durable) => {
                synced = durable.is_some();
                state.durable = durable.unwrap_or(state.durable);
                Ok(())
            }
            Err(WriteFailure::Full(error)) => Err(state.void(&appender, error)),
            Err(WriteFailure::Fatal(error)) => Err(state.poison(error)),
        };
        state.appender = Some(appender);
        self.changed.notify_all();
        if synced {
            // Also where memory made a write sync: the index is full then, and would have the next one sync as well.
            MutexGuard::unlocked(state, || (hooks.settled)());
        }
        result
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.press_room.close();
    }
}

/// The appender in the hands of a leader. If it is dropped with it, the leader has panicked.
struct Lease<'a> {
    core: &'a Core,
    appender: Option<Box<Appender>>,
    hooks: Arc<Hooks>,
}

impl Lease<'_> {
    /// Gives the appender back.
    fn take(mut self) -> Box<Appender> {
        self.appender.take().expect("only this takes it")
    }

    /// Runs without the lock. Returns what is durable afterwards, if that changed.
    fn run(&mut self, staged: &Staged, job: Job) -> Result<Option<Progress>, WriteFailure> {
        let appender = self.appender.as_mut().expect("the leader has it");
        if !staged.is_empty() {
            if appender.is_starting() {
                (self.hooks.starting)();
            }
            appender.write(staged, job == Job::Sync)?;
        }
        (self.hooks.written)(appender);
        let fatal = WriteFailure::Fatal;
        match job {
            Job::Write if appender.wants_sync() => appender.sync_now().map_err(fatal)?,
            Job::Write => return Ok(None),
            Job::Sync => appender.sync().map_err(fatal)?,
            Job::Checkpoint => appender.checkpoint(false).map_err(fatal)?,
            Job::Close => appender.checkpoint(true).map_err(fatal)?,
        }
        Ok(Some(appender.acknowledged()))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.appender.is_none() {
            return;
        }
        let error = std::io::Error::other("a thread panicked while it wrote");
        let mut state = self.core.state.lock();
        self.core.press_room.clear();
        state.poison(IoError::new(std::path::Path::new("log"), "write", error));
        self.core.changed.notify_all();
    }
}

//! What a workspace does in the background: indexes that are missing are made, and logs are compacted where the options
//! say so.
//!
//! One thread, begun when there is something to do, does one thing after the other, and ends with the last handle of the
//! workspace: whoever drops that, or closes the workspace, tells it to stop and waits for it. What it does can be broken
//! off anywhere.

use std::sync::{Arc, Weak};

use super::{CompactOptions, History, Inner, Workspace};
use crate::{
    bytes::LogId,
    log::{Log, UNINDEXED_LEN_MAX},
    sync::{AtomicU64, Condvar, JoinHandle, Mutex, Ordering, spawn},
};

/// Batches that are shorter than this in the file are small.
const SMALL_LEN: u64 = 4 << 10;

/// When a workspace compacts its own log by itself, in the background.
#[derive(Clone, Copy, Debug)]
#[must_use = "it does nothing until it is put into the options of a workspace"]
pub struct AutoCompact {
    small_percent: u8,
    small_bytes: u64,
    dead_bytes: u64,
    rate: Option<u64>,
    history: History,
}

impl Default for AutoCompact {
    /// When a quarter of the file, and at least a MiB, is in small batches, or a MiB was redacted; at 32 MiB a second.
    fn default() -> Self {
        Self {
            small_percent: 25,
            small_bytes: 1 << 20,
            dead_bytes: 1 << 20,
            rate: Some(32 << 20),
            history: History::Everything,
        }
    }
}

impl AutoCompact {
    /// When at least `percent` of the file, and at least `bytes`, came since the last compaction in batches that are small
    /// (less than 4 KiB on average). Of a log that grows by small commits each byte is then carried over so often that at
    /// most `100 / percent` times as much is copied as was appended, however long the log is.
    pub fn small_batches(mut self, percent: u8, bytes: u64) -> Self {
        self.small_percent = percent.clamp(1, 100);
        self.small_bytes = bytes.max(64 << 10);
        self
    }

    /// When so many bytes were redacted and not forgotten yet; 0 means at once.
    pub fn dead(mut self, bytes: u64) -> Self {
        self.dead_bytes = bytes;
        self
    }

    /// Works on at most so many bytes a second; `None`: as fast as the disk.
    pub fn rate(mut self, bytes_per_second: Option<u64>) -> Self {
        self.rate = bytes_per_second;
        self
    }

    /// Prunes what is beyond this budget, too.
    pub fn history(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// Whether so much came in small batches since the last compaction that another one pays.
    fn wants(&self, log: &Log) -> bool {
        let new = log.uncompacted();
        new.frames > 0
            && new.bytes >= self.small_bytes
            && new.bytes / new.frames < SMALL_LEN
            && new.bytes.saturating_mul(100)
                >= new.total.saturating_mul(u64::from(self.small_percent))
    }
}

/// Something to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Job {
    Index(LogId),
    Compact,
}

#[derive(Debug, Default)]
struct State {
    jobs: Vec<Job>,
    thread: Option<JoinHandle<()>>,
    stopped: bool,
}

/// The thread of a workspace, and what it is to do.
#[derive(Debug)]
pub(super) struct Upkeep {
    state: Mutex<State>,
    changed: Condvar,
    /// Not 0: stop what is being done.
    stopping: AtomicU64,
    auto: Option<AutoCompact>,
    /// Bytes that were redacted since the last compaction.
    dead: AtomicU64,
    /// Where the log ended when it was compacted last, done or not: soon after nothing else would come of it.
    tried_at: AtomicU64,
}

impl Upkeep {
    pub(super) fn new(auto: Option<AutoCompact>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            stopping: AtomicU64::new(0),
            auto,
            dead: AtomicU64::new(0),
            tried_at: AtomicU64::new(0),
        })
    }

    /// Whether what is being done is to be broken off.
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire) != 0
    }

    fn add(self: &Arc<Self>, inner: &Weak<Inner>, job: Job) {
        let mut state = self.state.lock();
        if state.stopped || state.jobs.contains(&job) {
            return;
        }
        state.jobs.push(job);
        if state.thread.is_none() {
            let (this, inner) = (Arc::clone(self), Weak::clone(inner));
            // Without a thread it is left to whoever needs it.
            state.thread = spawn("annals-upkeep", move || this.work(&inner)).ok();
        }
        self.changed.notify_all();
    }

    fn work(&self, inner: &Weak<Inner>) {
        loop {
            let job = {
                let mut state = self.state.lock();
                loop {
                    if state.stopped {
                        return;
                    }
                    if let Some(job) = state.jobs.first().copied() {
                        break job;
                    }
                    self.changed.wait(&mut state);
                }
            };
            if let Some(inner) = inner.upgrade() {
                self.run(&Workspace { _handle: None, inner }, job);
            }
            self.state.lock().jobs.retain(|other| *other != job);
        }
    }

    fn run(&self, workspace: &Workspace, job: Job) {
        match job {
            Job::Index(log) => {
                let Ok(view) = workspace.log(log) else { return };
                let log = view.log();
                // What comes meanwhile is read up in the next round; a cache that cannot be made is left alone.
                while log.unindexed_len() > UNINDEXED_LEN_MAX / 4 && !self.is_stopping() {
                    let before = log.unindexed_len();
                    let read = log.read_up_index_with(&mut |_, _| !self.is_stopping());
                    if read.is_err() || log.unindexed_len() >= before {
                        return;
                    }
                }
            }
            Job::Compact => {
                let Some(auto) = self.auto else { return };
                let own = workspace.own_log();
                self.tried_at.store(own.log().view.read().end_offset, Ordering::Release);
                let mut options =
                    CompactOptions::default().client(own.client()).history(auto.history);
                if let Some(rate) = auto.rate {
                    options = options.rate(rate);
                }
                loop {
                    let dead = self.dead.load(Ordering::Acquire);
                    // An error leaves the log as it is; when it has grown again, it is tried again.
                    if workspace.compact(&options, |_, _| !self.is_stopping()).is_err() {
                        return;
                    }
                    self.tried_at.store(0, Ordering::Release);
                    // What was redacted meanwhile may have come too late.
                    let left = self.dead.fetch_sub(dead, Ordering::AcqRel) - dead;
                    if left == 0 || left < auto.dead_bytes || self.is_stopping() {
                        return;
                    }
                }
            }
        }
    }

    /// Stops what is being done, and waits for the thread to end.
    pub(super) fn stop(&self) {
        self.stopping.store(1, Ordering::Release);
        let thread = {
            let mut state = self.state.lock();
            state.stopped = true;
            state.thread.take()
        };
        self.changed.notify_all();
        if let Some(thread) = thread {
            // A panic of it is reported by the panic hook, and leaves nothing undone that matters.
            let _ = thread.join();
        }
    }
}

/// What all handles of a workspace share; when the last one goes, nothing goes on in the background.
#[derive(Debug)]
pub(super) struct Handle(pub(super) Arc<Upkeep>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Workspace {
    /// Begins to look after the logs: makes indexes that are missing, and watches the own log.
    pub(super) fn begin_upkeep(&self) {
        let inner = &self.inner;
        if inner.lock.is_none() || !inner.disk.is_shared() {
            return;
        }
        let upkeep = &inner.upkeep;
        let weak = Arc::downgrade(inner);
        for log in inner.all_logs() {
            if log.unindexed_len() > UNINDEXED_LEN_MAX {
                upkeep.add(&weak, Job::Index(log.id()));
            }
        }
        let own = inner.own.now();
        if upkeep.auto.is_some_and(|auto| auto.wants(&own)) {
            upkeep.add(&weak, Job::Compact);
        }
        let watch = Arc::downgrade(upkeep);
        let _ = own.watcher.0.set(Box::new(move |log| {
            if let Some(upkeep) = watch.upgrade() {
                upkeep.look(&weak, log);
            }
        }));
    }
}

impl Upkeep {
    /// Looks at the own log after a sync.
    fn look(self: &Arc<Self>, inner: &Weak<Inner>, log: &Log) {
        if log.unindexed_len() > UNINDEXED_LEN_MAX {
            self.add(inner, Job::Index(log.id()));
        }
        let Some(auto) = self.auto else { return };
        let end = log.view.read().end_offset;
        let tried_at = self.tried_at.load(Ordering::Acquire);
        if tried_at > 0 && end < tried_at.saturating_add(auto.small_bytes) {
            return;
        }
        let dead = self.dead.load(Ordering::Acquire);
        if auto.wants(log) || (dead > 0 && dead >= auto.dead_bytes) {
            self.add(inner, Job::Compact);
        }
    }

    /// Something was redacted.
    pub(super) fn redacted(&self, bytes: u64) {
        self.dead.fetch_add(bytes, Ordering::AcqRel);
    }
}

//! From staged entries to batches, by as many threads as can run.
//!
//! A batch is encoded, and its entries are hashed to leaves, without knowing the batches before it: only its place in
//! the log is missing then. So this is done by whoever has time: threads that begin with it while the buffer fills,
//! and whoever writes the buffer. What they make does not depend on who made it.
//!
//! Threads are begun when several batches wait, and end when for a while none does. They hold nothing but memory.
//! Nobody has to wait for one that does not run: whoever writes makes what nobody has begun with.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{
    batch::Encoder,
    bytes::{Hash, LogId, LogKeys},
    log::{
        replay::LeafHasher,
        stage::{PressStep, Pressed, StagedBatch},
    },
    merkle::SaltTree,
    sync::{self, Condvar, Mutex, MutexGuard},
};

/// Fewer batches are left to whoever writes them: beginning a thread takes as long as encoding one.
pub(crate) const SHARED_COUNT_MIN: usize = 4;
/// More threads would each hold an encoder's memory, while what has to be done in order stays what it is.
const THREAD_COUNT_MAX: usize = 3;
/// A thread that has had nothing to do for so long ends.
const IDLE_TIME: Duration = Duration::from_millis(100);

/// What a failure to hash the own entries would mean.
pub(crate) const OWN_LOG: &str = "what this process stages continues its own log";

/// Makes batches, one at a time.
#[derive(Debug)]
pub(crate) struct Press {
    pub(crate) encoder: Encoder,
    hasher: LeafHasher,
}

impl Press {
    pub(crate) fn new(level: i32) -> Self {
        Self { encoder: Encoder::new(level), hasher: LeafHasher::new() }
    }

    /// Appends the batch to `bytes`, without its root, and the leaves of its entries to `leaves`.
    pub(crate) fn press(
        &mut self,
        log: LogId,
        (keys, salts): (&LogKeys, &SaltTree),
        batch: &StagedBatch,
        (bytes, leaves): (&mut Vec<u8>, &mut Vec<Hash>),
    ) {
        let StagedBatch { first_index, headers, payloads, .. } = batch;
        self.encoder.encode(log, *first_index, headers, payloads, Hash::ZERO, bytes);
        let entries = batch.entries().map(Ok);
        self.hasher.hash(keys, salts, *first_index, entries, leaves).expect(OWN_LOG);
    }
}

/// Where batches wait for whoever has time.
#[derive(Debug)]
pub(crate) struct PressRoom {
    log: LogId,
    level: i32,
    queue: Mutex<Queue>,
    /// There is something to do.
    filled: Condvar,
    /// Something is done.
    done: Condvar,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Arc<StagedBatch>>,
    keyed: Arc<(LogKeys, SaltTree)>,
    /// Threads that run.
    thread_count: usize,
    /// How many there may be; found out when it matters.
    thread_count_max: Option<usize>,
    /// Nothing more will be written.
    is_closed: bool,
}

impl PressRoom {
    pub(crate) fn new(log: LogId, level: i32, salts: SaltTree) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            keyed: Arc::new((LogKeys::new(log), salts)),
            thread_count: 0,
            thread_count_max: None,
            is_closed: false,
        };
        let (filled, done) = (Condvar::new(), Condvar::new());
        Self { log, level, queue: Mutex::new(queue), filled, done }
    }

    /// From now on entries have other salts. Nothing is staged.
    pub(crate) fn set_salts(&self, salts: SaltTree) {
        self.queue.lock().keyed = Arc::new((LogKeys::new(self.log), salts));
    }

    /// Lets whoever has time make the batch.
    pub(crate) fn share(self: &Arc<Self>, batch: &Arc<StagedBatch>) {
        let mut queue = self.queue.lock();
        queue.waiting.push_back(Arc::clone(batch));
        if queue.thread_count == 0 && queue.waiting.len() < SHARED_COUNT_MIN {
            return;
        }
        let count_max = *queue
            .thread_count_max
            .get_or_insert_with(|| sync::spare_parallelism().min(THREAD_COUNT_MAX));
        // One more thread for so many batches that nobody has come to.
        if queue.thread_count < count_max
            && queue.waiting.len() >= SHARED_COUNT_MIN * (queue.thread_count + 1)
        {
            let room = Arc::clone(self);
            match sync::spawn_detached("annals-encode", move || room.work()) {
                Ok(()) => queue.thread_count += 1,
                // Not asked for again: whoever writes does what it would have done.
                Err(_) => queue.thread_count_max = Some(queue.thread_count),
            }
        }
        self.filled.notify_one();
    }

    /// Lets go of batches that are made: then their memory can be used again.
    pub(crate) fn drop_made(&self) {
        let is_open = |batch: &Arc<StagedBatch>| {
            batch.pressed.try_lock().is_none_or(|pressed| pressed.step == PressStep::Open)
        };
        self.queue.lock().waiting.retain(is_open);
    }

    /// Lets go of all that waits: it will not be written.
    pub(crate) fn clear(&self) {
        self.queue.lock().waiting.clear();
    }

    /// Nothing more comes: the threads end.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.is_closed = true;
        queue.waiting.clear();
        self.filled.notify_all();
    }

    /// The batch in the hands of whoever writes it. While somebody else is making it, others are made; only if there
    /// are none, it is waited for.
    pub(crate) fn claim<'b>(
        &self,
        batch: &'b StagedBatch,
        press: &mut Press,
    ) -> MutexGuard<'b, Pressed> {
        loop {
            if let Some(pressed) = batch.pressed.try_lock() {
                return pressed;
            }
            let mut queue = self.queue.lock();
            if let Some(next) = queue.waiting.pop_front() {
                let keyed = Arc::clone(&queue.keyed);
                drop(queue);
                self.make(&next, press, &keyed);
            } else if let Some(pressed) = batch.pressed.try_lock() {
                return pressed;
            } else {
                // Whoever is done says so under the lock of the queue.
                self.done.wait(&mut queue);
            }
        }
    }

    /// Makes the batch, unless somebody else does or has.
    fn make(&self, batch: &StagedBatch, press: &mut Press, keyed: &(LogKeys, SaltTree)) {
        let Some(mut pressed) = batch.pressed.try_lock() else { return };
        let Pressed { step, bytes, leaves } = &mut *pressed;
        if *step == PressStep::Open {
            // What a thread that has panicked left.
            bytes.clear();
            leaves.clear();
            press.press(self.log, (&keyed.0, &keyed.1), batch, (bytes, leaves));
            *step = PressStep::Made;
        }
    }

    /// What a thread does.
    fn work(&self) {
        let mut leaving = Leaving { room: self, is_counted: true };
        let mut press = Press::new(self.level);
        let mut queue = self.queue.lock();
        loop {
            let is_idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.is_closed;
            self.filled.wait_while_for(&mut queue, is_idle, IDLE_TIME);
            let Some(batch) = queue.waiting.pop_front() else {
                // Before somebody counts on it.
                queue.thread_count -= 1;
                leaving.is_counted = false;
                return;
            };
            let keyed = Arc::clone(&queue.keyed);
            drop(queue);
            self.make(&batch, &mut press, &keyed);
            // Before anybody is told: then its memory can be used again.
            drop(batch);
            queue = self.queue.lock();
            self.done.notify_all();
        }
    }
}

/// A thread that is about to end, perhaps by a panic: then what it had begun with is made by whoever writes it.
struct Leaving<'a> {
    room: &'a PressRoom,
    is_counted: bool,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.is_counted {
            self.room.queue.lock().thread_count -= 1;
            self.room.done.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;

//! Work on the parts of one large content, spread over the cores, in order.
//!
//! The calling thread reads and writes; it and others hash and compress. They live as long as the call. No more parts
//! are under way than there are threads and two, so memory does not grow with the content.

use std::collections::{BTreeMap, VecDeque};

use crate::sync::{Condvar, Mutex, MutexGuard, parallelism, scope, spawn_in};

/// More threads than this only wait for the disk.
const THREAD_COUNT_MAX: usize = 8;

struct Parts<J, D> {
    jobs: VecDeque<(u64, J)>,
    done: BTreeMap<u64, D>,
    /// Nothing more comes.
    closed: bool,
    /// A thread has panicked: what it had will never be done.
    lost: bool,
}

struct Board<J, D> {
    parts: Mutex<Parts<J, D>>,
    changed: Condvar,
}

/// Whatever becomes of a thread, the others learn of it.
struct Watch<'a, J, D> {
    board: &'a Board<J, D>,
    finished: bool,
}

impl<J, D> Drop for Watch<'_, J, D> {
    fn drop(&mut self) {
        if !self.finished {
            self.board.parts.lock().lost = true;
        }
        self.board.changed.notify_all();
    }
}

/// Ends the threads when the caller is done, also early or by a panic.
struct Close<'a, J, D>(&'a Board<J, D>);

impl<J, D> Drop for Close<'_, J, D> {
    fn drop(&mut self) {
        let mut parts = self.0.parts.lock();
        parts.closed = true;
        parts.jobs.clear();
        self.0.changed.notify_all();
    }
}

impl<J, D> Board<J, D> {
    /// What a thread is to do next; `None` if there is nothing more.
    fn job(&self) -> Option<(u64, J)> {
        let mut parts = self.parts.lock();
        loop {
            if let Some(job) = parts.jobs.pop_front() {
                return Some(job);
            }
            if parts.closed {
                return None;
            }
            self.changed.wait(&mut parts);
        }
    }

    fn done(&self, number: u64, result: D) {
        self.parts.lock().done.insert(number, result);
        self.changed.notify_all();
    }

    /// Waits for the part `number`, and does meanwhile what nobody has begun with.
    ///
    /// # Panics
    ///
    /// If a thread has: its panic goes on in the caller when the scope ends.
    fn wait(&self, number: u64, mut work: impl FnMut(J) -> D) -> D {
        let mut parts = self.parts.lock();
        loop {
            if let Some(result) = parts.done.remove(&number) {
                return result;
            }
            assert!(!parts.lost, "a thread that hashes assets has panicked");
            if let Some((begun, job)) = parts.jobs.pop_front() {
                let result = MutexGuard::unlocked(&mut parts, || work(job));
                if begun == number {
                    return result;
                }
                parts.done.insert(begun, result);
            } else {
                self.changed.wait(&mut parts);
            }
        }
    }
}

/// Takes parts from `next`, lets `worker`s do them, and hands the results to `take` in the order of the parts.
///
/// `next` and `take` run in the calling thread. The first error of either ends it.
///
/// # Errors
///
/// Those of `next` and `take`.
pub(super) fn run<J: Send, D: Send, W: FnMut(J) -> D, E>(
    mut next: impl FnMut() -> Result<Option<J>, E>,
    worker: impl Fn() -> W + Sync,
    mut take: impl FnMut(D) -> Result<(), E>,
) -> Result<(), E> {
    let threads = parallelism().min(THREAD_COUNT_MAX);
    let parts = Parts { jobs: VecDeque::new(), done: BTreeMap::new(), closed: false, lost: false };
    let board = Board { parts: Mutex::new(parts), changed: Condvar::new() };
    scope(|scope| {
        let _close = Close(&board);
        let help = || {
            let mut watch = Watch { board: &board, finished: false };
            let mut work = worker();
            while let Some((number, job)) = board.job() {
                board.done(number, work(job));
            }
            watch.finished = true;
        };
        for _ in 1..threads {
            // Without threads the caller does it all.
            if spawn_in(scope, help).is_err() {
                break;
            }
        }
        let mut work = worker();
        let (mut begun, mut taken) = (0, 0);
        let ahead = threads as u64 + 2;
        let mut more = true;
        while more || taken < begun {
            if more && begun - taken < ahead {
                match next()? {
                    Some(job) => {
                        board.parts.lock().jobs.push_back((begun, job));
                        board.changed.notify_all();
                        begun += 1;
                    }
                    None => more = false,
                }
            } else {
                take(board.wait(taken, &mut work))?;
                taken += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;

//! Locks, condition variables and atomics: the only module that names where they come from.
//!
//! Normally these are `parking_lot`'s and the standard library's, by their own names. Under `--cfg annals_shuttle`
//! they are wrappers over `shuttle`'s, with as much of the same interface as the engine uses: then a scheduler decides
//! at each of their operations which thread goes on, and `tests/schedules` runs the engine under thousands of orders.
//!
//! What a scheduler does not see must not wait for another thread. [`OnceLock`] is the standard library's in
//! both cases: nothing that the engine does while one is filled reaches a scheduling point.

pub(crate) use std::sync::OnceLock;

#[cfg(not(annals_shuttle))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(annals_shuttle))]
pub(crate) use parking_lot::{
    Condvar, Mutex, MutexGuard, ReentrantMutex, ReentrantMutexGuard, RwLock,
};

/// A thread that works in the background, for whoever joins it.
pub(crate) use std::thread::JoinHandle;

/// Begins a thread that works in the background.
#[cfg(not(annals_shuttle))]
pub(crate) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// None: it would use what a scheduler does not see.
#[cfg(annals_shuttle)]
pub(crate) fn spawn(
    _name: &str,
    _work: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Begins a thread that nobody joins, and that ends when whoever began it has no more need of it.
#[cfg(not(annals_shuttle))]
pub(crate) fn spawn_detached(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    spawn(name, work).map(drop)
}

#[cfg(annals_shuttle)]
pub(crate) fn spawn_detached(
    _name: &str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    drop(shuttle::thread::spawn(work));
    Ok(())
}

/// Threads that end with the call that began them.
pub(crate) use std::thread::scope;

/// One of them. Where the system has no thread left this is an error, which [`std::thread::Scope::spawn`] would panic for.
pub(crate) fn spawn_in<'scope, R: Send + 'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    work: impl FnOnce() -> R + Send + 'scope,
) -> std::io::Result<std::thread::ScopedJoinHandle<'scope, R>> {
    std::thread::Builder::new().spawn_scoped(scope, work)
}

#[cfg(all(not(annals_shuttle), feature = "sim"))]
pub(crate) use std::thread::yield_now;

#[cfg(all(annals_shuttle, feature = "sim"))]
pub(crate) use shuttle::thread::yield_now;

#[cfg(annals_shuttle)]
pub(crate) use self::modelled::{
    AtomicU64, Condvar, Mutex, MutexGuard, Ordering, ReentrantMutex, ReentrantMutexGuard, RwLock,
};

/// How many threads can run at once.
#[cfg(not(annals_shuttle))]
pub(crate) fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// One: a scheduler does not see threads that end with a call.
#[cfg(annals_shuttle)]
pub(crate) fn parallelism() -> usize {
    1
}

/// How many threads can run beside the caller's, for [`spawn_detached`].
pub(crate) fn spare_parallelism() -> usize {
    if cfg!(annals_shuttle) { 1 } else { parallelism() - 1 }
}

#[cfg(annals_shuttle)]
mod modelled {
    use std::{
        ops::{Deref, DerefMut},
        sync::{LockResult, PoisonError, TryLockError},
        time::Duration,
    };

    pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};
    use shuttle::{
        sync,
        thread::{self, ThreadId},
    };

    /// The locks of `parking_lot` know no poison.
    fn unpoisoned<G>(result: LockResult<G>) -> G {
        result.unwrap_or_else(PoisonError::into_inner)
    }

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: self, held: Some(unpoisoned(self.0.lock())) }
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let held = match self.0.try_lock() {
                Ok(held) => held,
                Err(TryLockError::Poisoned(held)) => held.into_inner(),
                Err(TryLockError::WouldBlock) => return None,
            };
            Some(MutexGuard { mutex: self, held: Some(held) })
        }
    }

    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        /// `None` only while the lock is given up for a while.
        held: Option<sync::MutexGuard<'a, T>>,
    }

    impl<T> MutexGuard<'_, T> {
        /// Runs `work` without the lock, and takes it again, also after a panic.
        pub(crate) fn unlocked<R>(this: &mut Self, work: impl FnOnce() -> R) -> R {
            struct LockAgain<'g, 'a, T>(&'g mut MutexGuard<'a, T>);
            impl<T> Drop for LockAgain<'_, '_, T> {
                fn drop(&mut self) {
                    self.0.held = Some(unpoisoned(self.0.mutex.0.lock()));
                }
            }
            drop(this.held.take());
            let _lock_again = LockAgain(this);
            work()
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.held.as_ref().expect("the guard is borrowed while the lock is given up")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.held.as_mut().expect("the guard is borrowed while the lock is given up")
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            guard.held = guard.held.take().map(|held| unpoisoned(self.0.wait(held)));
        }

        /// No time passes here: whoever waits for something that nobody tells it of waits for ever, which the
        /// scheduler reports. A timeout of zero has passed.
        pub(crate) fn wait_while_for<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            mut condition: impl FnMut(&mut T) -> bool,
            timeout: Duration,
        ) {
            while condition(guard) && !timeout.is_zero() {
                self.wait(guard);
            }
        }
    }

    #[derive(Debug)]
    pub(crate) struct RwLock<T>(sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(sync::RwLock::new(value))
        }

        /// Panics if this thread holds the lock already: `parking_lot`'s would wait for a writer between.
        pub(crate) fn read(&self) -> sync::RwLockReadGuard<'_, T> {
            unpoisoned(self.0.read())
        }

        pub(crate) fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
            unpoisoned(self.0.write())
        }
    }

    impl<T: Default> Default for RwLock<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    #[derive(Debug)]
    pub(crate) struct ReentrantMutex<T> {
        mutex: Mutex<()>,
        /// Set and reset by its holder only, and never held for longer: nobody waits for it.
        holder: std::sync::Mutex<Option<ThreadId>>,
        value: T,
    }

    impl<T> ReentrantMutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self { mutex: Mutex::new(()), holder: std::sync::Mutex::new(None), value }
        }

        fn holder(&self) -> std::sync::MutexGuard<'_, Option<ThreadId>> {
            unpoisoned(self.holder.lock())
        }

        fn is_mine(&self) -> bool {
            let me = thread::current().id();
            *self.holder() == Some(me)
        }

        fn hold<'a>(&'a self, outermost: Option<MutexGuard<'a, ()>>) -> ReentrantMutexGuard<'a, T> {
            if outermost.is_some() {
                let me = thread::current().id();
                *self.holder() = Some(me);
            }
            ReentrantMutexGuard { mutex: self, outermost }
        }

        pub(crate) fn lock(&self) -> ReentrantMutexGuard<'_, T> {
            let outermost = if self.is_mine() { None } else { Some(self.mutex.lock()) };
            self.hold(outermost)
        }

        pub(crate) fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
            let outermost = if self.is_mine() { None } else { Some(self.mutex.try_lock()?) };
            Some(self.hold(outermost))
        }
    }

    impl<T: Default> Default for ReentrantMutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    /// Guards of one thread must be dropped in the reverse order of their making, as scopes do.
    #[derive(Debug)]
    pub(crate) struct ReentrantMutexGuard<'a, T> {
        mutex: &'a ReentrantMutex<T>,
        outermost: Option<MutexGuard<'a, ()>>,
    }

    impl<T> Deref for ReentrantMutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.mutex.value
        }
    }

    impl<T> Drop for ReentrantMutexGuard<'_, T> {
        fn drop(&mut self) {
            if self.outermost.is_some() {
                *self.mutex.holder() = None;
            }
        }
    }
}

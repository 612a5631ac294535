//! Faults: which call of a machine goes wrong, and how.

use std::{fmt, io, path::Path, sync::Arc};

use super::random::Random;

/// What is asked of a disk.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Call {
    /// Opening a file that exists.
    Open,
    /// Creating a file.
    Create,
    /// Taking a lock.
    Lock,
    /// Renaming; its path is the new name.
    Rename,
    /// Removing.
    Remove,
    /// Creating a folder.
    CreateDir,
    /// Listing a folder.
    List,
    /// Syncing a folder.
    SyncDir,
    /// Drawing random numbers; its path is empty.
    Random,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Asking for the length of a file.
    Len,
    /// Cutting or extending a file.
    SetLen,
    /// Syncing a file.
    Sync,
}

/// What a failed sync leaves behind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AfterFailedSync {
    /// Reads see what was written, and no later sync makes it durable, unless it is written again: the
    /// kernel marked the pages as clean ("fsyncgate").
    Clean,
    /// Reads see what is durable: the kernel dropped the pages.
    Reverted,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    Error(io::ErrorKind),
    Short,
    FailedSync(AfterFailedSync),
    Lie,
    BitFlip,
    ZeroSector,
    StaleSector,
    Misdirected,
}

type Filter = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// Something that goes wrong, for [`SimDisk::inject`](super::SimDisk::inject).
///
/// Made by what happens, then narrowed: without more it happens once, to the first such call on any path.
///
/// # Examples
///
/// ```
/// use std::io::ErrorKind;
/// use annals::io::{Access, Disk, sim::{Call, Fault, SimDisk}};
///
/// let disk = SimDisk::new(1);
/// disk.inject(Fault::error(Call::Write, ErrorKind::StorageFull).on(".log").after(1).for_good());
/// let file = disk.open("a.log".as_ref(), Access::CreateNew)?;
/// assert_eq!(file.write_at(b"fits", 0)?, 4);
/// assert_eq!(file.write_at(b"fits not", 4).unwrap_err().kind(), ErrorKind::StorageFull);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a fault does nothing until it is injected"]
pub struct Fault {
    call: Call,
    effect: Effect,
    filter: Option<Filter>,
    after: u64,
    for_good: bool,
}

impl Fault {
    fn new(call: Call, effect: Effect) -> Self {
        Self { call, effect, filter: None, after: 0, for_good: false }
    }

    /// The call fails with this kind of error and does nothing.
    pub fn error(call: Call, kind: io::ErrorKind) -> Self {
        Self::new(call, Effect::Error(kind))
    }

    /// A read gives the first half only, at least one byte.
    pub fn short_read() -> Self {
        Self::new(Call::Read, Effect::Short)
    }

    /// A write stores the first half only, at least one byte, and says so.
    pub fn short_write() -> Self {
        Self::new(Call::Write, Effect::Short)
    }

    /// A sync of a file fails, and what was pending is lost for later syncs too.
    /// (A failed sync that leaves all pending is [`Fault::error`].)
    pub fn failed_sync(after: AfterFailedSync) -> Self {
        Self::new(Call::Sync, Effect::FailedSync(after))
    }

    /// A sync of a file succeeds, and nothing becomes durable; a later one can make it durable.
    pub fn lying_sync() -> Self {
        Self::new(Call::Sync, Effect::Lie)
    }

    /// As [`Fault::lying_sync`], of a folder.
    pub fn lying_sync_dir() -> Self {
        Self::new(Call::SyncDir, Effect::Lie)
    }

    /// One bit of what is read is another.
    pub fn bit_flip() -> Self {
        Self::new(Call::Read, Effect::BitFlip)
    }

    /// One of the sectors that are read gives zeros.
    pub fn zeroed_read() -> Self {
        Self::new(Call::Read, Effect::ZeroSector)
    }

    /// One of the sectors that are read gives what it held before: what is durable, or what was durable
    /// before the last sync; zeros where the file did not reach. A sector that changed is preferred.
    pub fn stale_read() -> Self {
        Self::new(Call::Read, Effect::StaleSector)
    }

    /// A write lands some whole sectors beside where it belongs, in the same file.
    pub fn misdirected_write() -> Self {
        Self::new(Call::Write, Effect::Misdirected)
    }

    /// Only on paths that end in `end`, as text: `.log`, `data/index`.
    pub fn on(self, end: &str) -> Self {
        let end = end.to_owned();
        self.where_path(move |path| path.to_string_lossy().ends_with(&end))
    }

    /// Only on paths of which `filter` says so.
    pub fn where_path(mut self, filter: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// Only after `calls` more such calls went well.
    pub fn after(mut self, calls: u64) -> Self {
        self.after = calls;
        self
    }

    /// Not once, but from then on.
    pub fn for_good(mut self) -> Self {
        self.for_good = true;
        self
    }

    fn matches(&self, call: Call, path: &Path) -> bool {
        self.call == call && self.filter.as_ref().is_none_or(|filter| filter(path))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("call", &self.call)
            .field("effect", &self.effect)
            .field("after", &self.after)
            .field("for_good", &self.for_good)
            .finish_non_exhaustive()
    }
}

/// How often what goes wrong, in calls of a million: for [`SimDisk::faults_by_seed`].
///
/// [`SimDisk::faults_by_seed`]: super::SimDisk::faults_by_seed
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FaultRates {
    /// A read or a write is interrupted before it did anything.
    pub interrupted: u32,
    /// A read gives less than was asked for.
    pub short_read: u32,
    /// A write stores less than was asked for.
    pub short_write: u32,
    /// A read fails.
    pub read_error: u32,
    /// A write or a change of length fails, and nothing was written.
    pub write_error: u32,
    /// A write or a change of length fails as the disk is full.
    pub storage_full: u32,
    /// Opening, creating, renaming, removing, listing, locking or the sync of a folder fails.
    pub name_error: u32,
    /// A sync fails; what was pending is pending still.
    pub sync_error: u32,
    /// A sync fails as in [`AfterFailedSync::Clean`].
    pub sync_clean: u32,
    /// A sync fails as in [`AfterFailedSync::Reverted`].
    pub sync_reverted: u32,
    /// A sync lies: [`Fault::lying_sync`].
    pub sync_lie: u32,
    /// [`Fault::bit_flip`].
    pub bit_flip: u32,
    /// [`Fault::zeroed_read`].
    pub zeroed_read: u32,
    /// [`Fault::stale_read`].
    pub stale_read: u32,
    /// [`Fault::misdirected_write`].
    pub misdirected_write: u32,
}

impl FaultRates {
    fn draw(&self, random: &mut Random, call: Call) -> Option<Effect> {
        use Effect::{
            BitFlip, Error, FailedSync, Lie, Misdirected, Short, StaleSector, ZeroSector,
        };
        use io::ErrorKind::{Interrupted, Other, StorageFull};

        let choices: &[(u32, Effect)] = match call {
            Call::Read => &[
                (self.interrupted, Error(Interrupted)),
                (self.short_read, Short),
                (self.read_error, Error(Other)),
                (self.bit_flip, BitFlip),
                (self.zeroed_read, ZeroSector),
                (self.stale_read, StaleSector),
            ],
            Call::Write => &[
                (self.interrupted, Error(Interrupted)),
                (self.short_write, Short),
                (self.write_error, Error(Other)),
                (self.storage_full, Error(StorageFull)),
                (self.misdirected_write, Misdirected),
            ],
            Call::SetLen => {
                &[(self.write_error, Error(Other)), (self.storage_full, Error(StorageFull))]
            }
            Call::Sync => &[
                (self.sync_error, Error(Other)),
                (self.sync_clean, FailedSync(AfterFailedSync::Clean)),
                (self.sync_reverted, FailedSync(AfterFailedSync::Reverted)),
                (self.sync_lie, Lie),
            ],
            Call::Len | Call::Random => &[],
            _ => &[(self.name_error, Error(Other))],
        };
        let mut drawn = random.below(1_000_000);
        for (rate, effect) in choices {
            match drawn.checked_sub(u64::from(*rate)) {
                Some(rest) => drawn = rest,
                None => return Some(*effect),
            }
        }
        None
    }
}

/// One call out of all of any kind.
#[derive(Clone, Copy, Debug)]
struct Nth {
    left: u64,
    once: bool,
    kind: io::ErrorKind,
}

/// All that is to go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    injected: Vec<Fault>,
    by_seed: Option<(Random, FaultRates)>,
    nth: Option<Nth>,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        self.injected.push(fault);
    }

    pub(super) fn by_seed(&mut self, seed: u64, rates: FaultRates) {
        self.by_seed = Some((Random::new(seed), rates));
    }

    pub(super) fn fail_nth(&mut self, left: u64, once: bool, kind: io::ErrorKind) {
        self.nth = Some(Nth { left, once, kind });
    }

    /// What goes wrong with this call.
    pub(super) fn decide(&mut self, call: Call, path: &Path) -> Option<Effect> {
        let nth = self.decide_nth().map(Effect::Error);
        let injected = self.decide_injected(call, path);
        let drawn = self.by_seed.as_mut().and_then(|(random, rates)| rates.draw(random, call));
        nth.or(injected).or(drawn)
    }

    fn decide_nth(&mut self) -> Option<io::ErrorKind> {
        let nth = self.nth.as_mut()?;
        if let Some(left) = nth.left.checked_sub(1) {
            nth.left = left;
            return None;
        }
        let Nth { once, kind, .. } = *nth;
        if once {
            self.nth = None;
        }
        Some(kind)
    }

    fn decide_injected(&mut self, call: Call, path: &Path) -> Option<Effect> {
        let mut due = None;
        for (at, fault) in self.injected.iter_mut().enumerate() {
            if !fault.matches(call, path) {
                continue;
            }
            match fault.after.checked_sub(1) {
                Some(after) => fault.after = after,
                None if due.is_none() => due = Some(at),
                // It waits for its turn.
                None => {}
            }
        }
        let at = due?;
        let Fault { effect, for_good, .. } = self.injected[at];
        if !for_good {
            drop(self.injected.remove(at));
        }
        Some(effect)
    }
}

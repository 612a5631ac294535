//! What was done to a machine, to be done again one step after another.

use std::{path::PathBuf, sync::Arc};

use super::{
    SimDisk,
    image::{Image, InodeId},
};

/// What a sync did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SyncOutcome {
    /// What it says.
    Durable,
    /// Failed: the live content stays, and what was pending will never be durable.
    Forgotten,
    /// Failed: the live content is the durable one again.
    Reverted,
    /// Nothing, successfully.
    Lie,
}

/// A call that changed something.
#[derive(Clone)]
pub(super) enum Event {
    Create { path: PathBuf },
    CreateDir { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
    SyncDir { path: PathBuf, lies: bool },
    SetContent { path: PathBuf, bytes: Arc<[u8]> },
    Write { inode: InodeId, offset: u64, bytes: Arc<[u8]> },
    SetLen { inode: InodeId, len: u64 },
    Sync { inode: InodeId, outcome: SyncOutcome },
}

#[derive(Clone)]
pub(super) struct Recorded {
    event: Event,
    /// After the call, so that a machine of the replay draws no random number a second time.
    clock: i64,
    drawn: u64,
}

/// A machine as it was when recording began, and all that was done to it since.
#[derive(Clone)]
pub(super) struct Recording {
    start: Image,
    events: Vec<Recorded>,
}

impl Recording {
    pub(super) fn new(start: Image) -> Self {
        Self { start, events: Vec::new() }
    }

    pub(super) fn push(&mut self, event: Event, after: &Image) {
        self.events.push(Recorded { event, clock: after.clock, drawn: after.drawn });
    }
}

/// Does again what a recording machine did: see [`SimDisk::recording`].
///
/// # Examples
///
/// ```
/// use annals::io::{Access, Disk, sim::{Loss, SimDisk}};
///
/// let disk = SimDisk::recording(1);
/// let file = disk.open("a".as_ref(), Access::CreateNew)?;
/// file.write_all_at(b"words", 0)?;
/// file.sync()?;
/// disk.sync_dir("".as_ref())?;
///
/// let mut history = disk.history();
/// while history.step() {
///     let found = history.machine().after_power_loss(&Loss::Everything);
///     let durable = history.position() == disk.mutation_count();
///     assert_eq!(found.content("a").is_some(), durable);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct History {
    machine: SimDisk,
    recording: Recording,
    position: usize,
}

impl History {
    pub(super) fn new(recording: Recording) -> Self {
        Self { machine: SimDisk::of(recording.start.clone()), recording, position: 0 }
    }

    /// Does the next call again; false: there is none.
    ///
    /// # Panics
    ///
    /// Never, unless somebody else changes [`History::machine`].
    pub fn step(&mut self) -> bool {
        let Some(Recorded { event, clock, drawn }) = self.recording.events.get(self.position)
        else {
            return false;
        };
        self.machine.replay(event, *clock, *drawn);
        self.position += 1;
        true
    }

    /// The machine after the calls so far. To be looked at and copied; it is not to be changed.
    pub fn machine(&self) -> &SimDisk {
        &self.machine
    }

    /// How many calls were done again: what [`SimDisk::mutation_count`] said after the last of them.
    pub fn position(&self) -> u64 {
        self.position as u64
    }

    /// How many calls there are.
    pub fn len(&self) -> u64 {
        self.recording.events.len() as u64
    }

    /// Whether nothing was done.
    pub fn is_empty(&self) -> bool {
        self.recording.events.is_empty()
    }
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

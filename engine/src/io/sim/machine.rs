//! One machine: its image, its power, its faults and its history.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    History,
    fault::{Call, Effect, Fault, FaultRates, Faults},
    history::{Event, Recording},
    image::{Image, Node, normalise},
    loss::{Loss, lose},
    random::Random,
};
use crate::{
    bytes::Timestamp,
    sync::{Mutex, MutexGuard},
};

/// Where the clock starts: 2026-01-01T00:00:00Z, in microseconds.
const CLOCK_START: i64 = 1_767_225_600_000_000;
/// How much later the next machine finds itself after a power loss or a kill, in microseconds.
const CLOCK_RESTART: i64 = 10_000_000;

/// Why every call fails: the power is off, or the process was killed.
///
/// # Examples
///
/// ```
/// use annals::io::{Disk, sim::{PowerOff, SimDisk}};
///
/// let disk = SimDisk::new(1);
/// disk.power_off();
/// assert!(PowerOff::is(&disk.list("".as_ref()).unwrap_err()));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the power is off")]
pub struct PowerOff;

impl PowerOff {
    /// Whether this is why `error` came about.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().and_then(|source| source.downcast_ref::<Self>()).is_some()
    }
}

impl From<PowerOff> for io::Error {
    fn from(off: PowerOff) -> Self {
        Self::other(off)
    }
}

/// A machine in memory: files, clock and randomness. Clones are the same machine.
///
/// See the [module](super) for what it models. A path is taken relative to a folder that is always there, or
/// to `/`; other folders must be created. Folders can be neither renamed nor removed.
#[derive(Clone)]
pub struct SimDisk {
    pub(super) machine: Arc<Mutex<Machine>>,
}

pub(super) struct Machine {
    pub(super) image: Image,
    off: bool,
    /// How many more changes until the power is off.
    off_after: Option<u64>,
    calls: u64,
    mutations: u64,
    faults: Faults,
    /// Where faults strike.
    pub(super) chance: Random,
    space_max: u64,
    recording: Option<Recording>,
}

impl Machine {
    fn new(image: Image) -> Self {
        Self {
            chance: Random::new(image.seed),
            image,
            off: false,
            off_after: None,
            calls: 0,
            mutations: 0,
            faults: Faults::default(),
            space_max: u64::MAX,
            recording: None,
        }
    }

    /// Begins a call: counts it, and says what goes wrong with it short of failing.
    pub(super) fn begin(&mut self, call: Call, path: &Path) -> io::Result<Option<Effect>> {
        if self.off {
            return Err(PowerOff.into());
        }
        self.calls += 1;
        match self.faults.decide(call, path) {
            Some(Effect::Error(kind)) => {
                Err(io::Error::new(kind, format!("{call:?}: a fault of the simulated disk")))
            }
            effect => Ok(effect),
        }
    }

    /// How many bytes the files may grow.
    pub(super) fn space_free(&self) -> u64 {
        match self.space_max {
            u64::MAX => u64::MAX,
            max => max.saturating_sub(self.image.used()),
        }
    }

    /// Changes the image, unless the power goes off before that.
    pub(super) fn change(&mut self, event: Event) -> io::Result<()> {
        if let Some(left) = self.off_after {
            let Some(left) = left.checked_sub(1) else {
                self.off = true;
                return Err(PowerOff.into());
            };
            self.off_after = Some(left);
        }
        self.edit(event)
    }

    /// As [`Machine::change`], with power or without.
    fn edit(&mut self, event: Event) -> io::Result<()> {
        self.image.apply(&event)?;
        self.mutations += 1;
        if let Some(recording) = &mut self.recording {
            recording.push(event, &self.image);
        }
        Ok(())
    }
}

impl SimDisk {
    /// A machine with an empty disk. Everything that it draws depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self::of(Image::new(seed, CLOCK_START))
    }

    /// As [`SimDisk::new`], and all that is done is kept for [`SimDisk::history`].
    pub fn recording(seed: u64) -> Self {
        let disk = Self::new(seed);
        disk.record();
        disk
    }

    pub(super) fn of(image: Image) -> Self {
        Self { machine: Arc::new(Mutex::new(Machine::new(image))) }
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock()
    }

    /// Keeps all that is done from now on for [`SimDisk::history`], which then begins with what is there now:
    /// how a test looks at the crashes of a recovery. The count of changes begins again.
    pub fn record(&self) {
        let mut machine = self.machine();
        machine.mutations = 0;
        let start = machine.image.clone().without_handles();
        machine.recording = Some(Recording::new(start));
    }

    /// What was done since recording began.
    ///
    /// Cost: a copy of the list of calls; what was written is shared.
    ///
    /// # Panics
    ///
    /// If the machine does not record.
    pub fn history(&self) -> History {
        let recording = self.machine().recording.clone();
        History::new(recording.expect("made by `SimDisk::recording`, or told to `record`"))
    }

    pub(super) fn replay(&self, event: &Event, clock: i64, drawn: u64) {
        let mut machine = self.machine();
        machine.edit(event.clone()).expect("it went well when it was recorded");
        machine.image.clock = clock;
        machine.image.drawn = drawn;
    }

    /// How many calls have changed something: the position of the last one in the [`History`].
    ///
    /// A call that fails without changing anything is not among them. Calls of all handles count, and edits by
    /// [`SimDisk::set_content`].
    pub fn mutation_count(&self) -> u64 {
        self.machine().mutations
    }

    /// How many calls were made that can fail: all but those of the clock.
    pub fn call_count(&self) -> u64 {
        self.machine().calls
    }

    /// How many operations a power loss could take now: see [`Loss`].
    pub fn pending_len(&self) -> usize {
        self.machine().image.pending().len()
    }

    /// The machine that is found when power is back after a loss at this moment.
    ///
    /// Another machine: this one stays as it is, so that many losses can be tried. Locks are free there, all
    /// that is there is durable, no faults or limits are set, it does not record, and its random numbers go on
    /// from here.
    ///
    /// Cost: nothing is copied but names and what was pending.
    #[must_use = "this machine stays as it is"]
    pub fn after_power_loss(&self, loss: &Loss) -> Self {
        let machine = self.machine();
        let mut image = lose(&machine.image, loss);
        image.clock += CLOCK_RESTART;
        Self::of(image)
    }

    /// The machine after the process was killed. What it wrote is there and still pending; locks are free, no
    /// faults or limits are set, and it does not record.
    ///
    /// Calls of this machine and its handles fail from now on with [`PowerOff`].
    #[must_use = "this machine is of no use any more"]
    pub fn after_kill(&self) -> Self {
        let mut machine = self.machine();
        machine.off = true;
        let mut image = machine.image.clone().without_handles();
        image.clock += CLOCK_RESTART;
        Self::of(image)
    }

    /// Every call of this machine and its handles fails from now on with [`PowerOff`]. What it holds can still
    /// be looked at, and [`SimDisk::after_power_loss`] says what is left.
    pub fn power_off(&self) {
        self.machine().off = true;
    }

    /// As [`SimDisk::power_off`] after `changes` more calls that change something; 0: the next one fails.
    pub fn power_off_after(&self, changes: u64) {
        self.machine().off_after = Some(changes);
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.machine().off
    }

    /// Lets something go wrong. Of several faults that match a call the first one injected strikes, and the
    /// others wait.
    pub fn inject(&self, fault: Fault) {
        self.machine().faults.inject(fault);
    }

    /// Lets things go wrong at random. The same calls after it go wrong in the same way each time.
    pub fn faults_by_seed(&self, seed: u64, rates: FaultRates) {
        self.machine().faults.by_seed(seed, rates);
    }

    /// After `calls` more calls of any kind, the next one fails with this kind of error, or all from then on.
    /// It replaces what was set before.
    pub fn fail_nth_call(&self, calls: u64, once: bool, kind: io::ErrorKind) {
        self.machine().faults.fail_nth(calls, once, kind);
    }

    /// From now on nothing goes wrong: all faults are taken back. A limit of space stays.
    pub fn heal(&self) {
        self.machine().faults = Faults::default();
    }

    /// The files may have this many bytes together; a write beyond that stores what fits, and fails with
    /// [`io::ErrorKind::StorageFull`] if that is nothing. `u64::MAX` lifts the limit.
    pub fn limit_space(&self, bytes: u64) {
        self.machine().space_max = bytes;
    }

    /// The sum of the lengths of all files that have a name or are open, in bytes.
    pub fn used_space(&self) -> u64 {
        self.machine().image.used()
    }

    /// Sets the clock, also to an earlier time.
    pub fn set_now(&self, now: Timestamp) {
        self.machine().image.clock = now.as_micros();
    }

    /// The content of a file, as programs see it.
    pub fn content(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let machine = self.machine();
        let id = machine.image.file(&normalise(path.as_ref())).ok()?;
        Some(machine.image.inodes.get(&id)?.live.to_vec())
    }

    /// Puts a file there, with the folders above it, durable at once: how a test damages what is at rest. What
    /// was pending for the file and its name is gone; open handles see the new content. It works with the power off, too.
    ///
    /// # Panics
    ///
    /// If `path` is a folder, or lies below a file.
    pub fn set_content(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let path = normalise(path.as_ref());
        let bytes = Arc::from(bytes.as_ref());
        let changed = self.machine().edit(Event::SetContent { path, bytes });
        changed.expect("a file can be there");
    }

    /// Puts a copy of a file there, as [`SimDisk::set_content`] does.
    ///
    /// # Panics
    ///
    /// If there is no file `from`; and as [`SimDisk::set_content`].
    pub fn copy_file(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) {
        let content = self.content(from).expect("the file to copy is there");
        self.set_content(to, content);
    }

    /// The paths of all files, sorted. Folders are not among them.
    pub fn paths(&self) -> Vec<PathBuf> {
        let machine = self.machine();
        let names = machine.image.live.iter();
        let files = names.filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    /// A hash of all names and contents that programs see: equal ones need to be tried only once. The clock
    /// and the random numbers to come are not in it.
    ///
    /// Cost: what was hashed before is not hashed again.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.machine().image.fingerprint()
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new(0)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(machine) = self.machine.try_lock() else {
            return f.debug_struct("SimDisk").finish_non_exhaustive();
        };
        f.debug_struct("SimDisk")
            .field("seed", &machine.image.seed)
            .field("files", &machine.image.live.len())
            .field("mutations", &machine.mutations)
            .field("off", &machine.off)
            .finish_non_exhaustive()
    }
}

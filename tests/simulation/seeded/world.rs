//! A machine with a workspace that is worked with, crashes, and is opened again.

use std::{collections::VecDeque, path::Path, sync::Arc};

use annals::{
    AppendError, LogView, Options, Workspace,
    io::{
        Disk,
        sim::{Fault, FaultRates, Loss, SimDisk},
    },
};

use super::{
    Sizes, Stop, Tally,
    ledger::{Draft, Ledger},
    peer::Peer,
    plan::{Act, Plan, Step, Weather},
};
use crate::simulation::{OWN, Random};

/// A crash may come while a crash is recovered from, so often.
const CRASHES_IN_A_ROW_MAX: u64 = 6;
/// How many of the last steps a failure names.
const TRACE_LEN: usize = 24;

/// The last steps, shared with who runs the world, as a panic takes the world away.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    pub(super) steps: VecDeque<(Step, Option<String>)>,
}

impl Trace {
    fn begin(&mut self, step: Step) {
        if self.steps.len() == TRACE_LEN {
            self.steps.pop_front();
        }
        self.steps.push_back((step, None));
    }

    fn note(&mut self, what: &str) {
        if let Some((_, note)) = self.steps.back_mut() {
            let before = note.take().map_or(String::new(), |before| format!("{before}; "));
            *note = Some(before + what);
        }
    }
}

#[allow(clippy::struct_excessive_bools, reason = "each says what may go wrong at the moment")]
pub(super) struct World {
    pub(super) disk: SimDisk,
    pub(super) workspace: Option<Workspace>,
    pub(super) reader: Option<Workspace>,
    pub(super) ledger: Ledger,
    pub(super) peer: Peer,
    pub(super) weather: Weather,
    pub(super) options: Options,
    pub(super) sizes: Sizes,
    pub(super) tally: Tally,
    /// From where on entries were void, each time the disk was full.
    pub(super) voids: Vec<u64>,
    /// An older copy of the own segment, and how many entries it has.
    pub(super) older: Option<(Vec<u8>, u64)>,
    /// Calls go wrong at the moment.
    pub(super) troubled: bool,
    /// They did since the workspace was opened.
    tainted: bool,
    /// Bytes are being written over with what they are: garbage in their place is beyond R-6.
    pub(super) rewriting: bool,
    pub(super) trace: Arc<std::sync::Mutex<Trace>>,
    lies_in_secret: bool,
}

impl World {
    pub(super) fn new(plan: &Plan, trace: Arc<std::sync::Mutex<Trace>>) -> Result<Self, Stop> {
        let disk = SimDisk::new(plan.seed);
        let options =
            if plan.aligned { Options::default().aligned_frames() } else { Options::default() };
        // A staging buffer and batches of these sizes let small runs meet what large ones meet.
        let options = options.batch_len(4 << 10).staged_len(64 << 10).cache_len(1 << 20);
        let through: Arc<dyn Disk> = Arc::new(disk.clone());
        let created = Workspace::create_on(through, Path::new(OWN), options.clone(), None);
        let workspace = created.map_err(Stop::broken)?;
        let lies = plan.weather == Weather::Lies;
        let world = Self {
            peer: Peer::new(&workspace, plan.seed, lies)?,
            ledger: if lies { Ledger::with_history() } else { Ledger::default() },
            disk,
            workspace: Some(workspace),
            reader: None,
            weather: plan.weather,
            options,
            sizes: plan.sizes,
            tally: Tally::default(),
            voids: Vec::new(),
            older: None,
            troubled: false,
            tainted: false,
            rewriting: false,
            trace,
            lies_in_secret: plan.lies_in_secret,
        };
        world.calm_disk();
        Ok(world)
    }

    /// Nothing goes wrong with the disk, or what nobody is told of.
    fn calm_disk(&self) {
        self.disk.heal();
        if self.lies_in_secret {
            self.disk.inject(Fault::lying_sync().for_good());
        }
    }

    /// Whether what is refused is no broken promise.
    pub(super) fn is_lenient(&self) -> bool {
        self.troubled || self.tainted || self.weather == Weather::Lies || self.disk.is_off()
    }

    pub(super) fn lies(&self) -> bool {
        self.weather == Weather::Lies
    }

    pub(super) fn through(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    pub(super) fn note(&self, what: impl Into<String>) {
        self.trace.lock().expect("nobody panics with it").note(&what.into());
    }

    /// Does a step, and recovers if the power goes off in it.
    pub(super) fn step(&mut self, step: &Step) -> Result<(), Stop> {
        self.trace.lock().expect("nobody panics with it").begin(*step);
        self.tally.operations += 1;
        let mut random = Random::new(step.seed);
        if let Some(after) = step.crash {
            self.disk.power_off_after(after);
        }
        self.rewriting = false;
        let result = self.act(step.act, &mut random);
        self.tolerate(result)?;
        if self.disk.is_off() {
            self.crash(&mut random)?;
        }
        Ok(())
    }

    /// Lets what was refused pass, if there is a reason for it.
    pub(super) fn tolerate(&mut self, result: Result<(), Stop>) -> Result<(), Stop> {
        match self.digest(result) {
            Err(Stop::Refused(why)) if self.is_lenient() => {
                self.tally.refused += 1;
                self.note(why);
                if self.workspace.as_ref().is_some_and(Workspace::is_poisoned) {
                    self.workspace = None;
                }
                Ok(())
            }
            Err(Stop::Refused(why)) => Err(Stop::Broken(why)),
            other => other,
        }
    }

    /// Draws the conclusions of a failed append from what else failed because of it.
    fn digest(&mut self, result: Result<(), Stop>) -> Result<(), Stop> {
        match result {
            Err(Stop::Append(error)) => Err(self.append_failed(&error, Vec::new())),
            other => other,
        }
    }

    fn act(&mut self, act: Act, random: &mut Random) -> Result<(), Stop> {
        match act {
            Act::Append => self.append(random),
            Act::Group => self.append_group(random),
            Act::Stream => self.append_to_stream(random),
            Act::Race => self.race(random),
            Act::Commit => self.commit(random),
            Act::Checkpoint => self.checkpoint(),
            Act::Close => self.close(),
            Act::Drop => {
                self.workspace = None;
                Ok(())
            }
            Act::Read => self.read(random),
            Act::ReadBeside => self.read_beside(),
            Act::Refresh => self.refresh(),
            Act::Import => self.import(random),
            Act::ImportDamaged => self.import_damaged(random),
            Act::Export => self.export(),
            Act::Reindex => self.reindex(),
            Act::Backup => self.backup(),
            Act::Check => self.check(),
            Act::Repair => self.repair(),
            Act::Crash => {
                self.disk.power_off();
                Ok(())
            }
            Act::Trouble => {
                self.trouble(random);
                Ok(())
            }
            Act::Space => {
                self.limit_space(random);
                Ok(())
            }
            Act::Damage => self.damage(random),
        }
    }

    /// Lets things go wrong, or ends that.
    fn trouble(&mut self, random: &mut Random) {
        if self.troubled || !matches!(self.weather, Weather::Faults | Weather::Lies) {
            return self.calm();
        }
        let mut rate = || *random.pick(&[0, 0, 2_000, 20_000, 200_000]);
        let honest = FaultRates {
            interrupted: rate(),
            short_read: rate(),
            short_write: rate(),
            read_error: rate() / 4,
            write_error: rate() / 4,
            storage_full: rate() / 4,
            name_error: rate() / 4,
            sync_error: rate() / 4,
            sync_clean: rate() / 4,
            sync_reverted: rate() / 4,
            ..FaultRates::default()
        };
        let lying = FaultRates {
            sync_lie: rate(),
            bit_flip: rate() / 4,
            zeroed_read: rate() / 4,
            stale_read: rate() / 4,
            misdirected_write: rate() / 8,
            ..FaultRates::default()
        };
        let rates = if self.lies() { lying } else { honest };
        self.disk.faults_by_seed(random.number(), rates);
        (self.troubled, self.tainted) = (true, true);
    }

    fn limit_space(&mut self, random: &mut Random) {
        if self.troubled || self.weather != Weather::Faults {
            return self.calm();
        }
        self.disk.limit_space(self.disk.used_space() + random.below(20_000));
        (self.troubled, self.tainted) = (true, true);
    }

    /// Nothing goes wrong any more.
    pub(super) fn calm(&mut self) {
        self.calm_disk();
        self.disk.limit_space(u64::MAX);
        self.troubled = false;
    }

    /// What a power loss takes.
    pub(super) fn loss(&self, random: &mut Random) -> Loss {
        let seed = random.number();
        let pending = self.disk.pending_len();
        let one = usize::try_from(random.below(pending as u64)).unwrap_or(0);
        match random.below(20) {
            0..=2 => Loss::Everything,
            3 | 4 => Loss::Nothing,
            5 => Loss::Only(one),
            6 => Loss::AllBut(one),
            7 => Loss::From(one),
            8..=13 => Loss::Random { seed, garbage: false },
            _ => Loss::Random { seed, garbage: !self.rewriting },
        }
    }

    /// The machine after a power loss or a kill; nothing is open on it.
    pub(super) fn restart(&mut self, random: &mut Random) {
        let found = if random.below(4) == 0 {
            self.disk.after_kill()
        } else {
            self.disk.power_off();
            self.disk.after_power_loss(&self.loss(random))
        };
        // They close the machine that is off, which changes nothing.
        (self.reader, self.workspace) = (None, None);
        self.disk = found;
        self.calm_disk();
        (self.troubled, self.tainted) = (false, false);
        self.tally.crashes += 1;
    }

    /// Crashes and recovers; and crashes again while it does.
    fn crash(&mut self, random: &mut Random) -> Result<(), Stop> {
        let mut round = 0;
        loop {
            self.restart(random);
            round += 1;
            if round < CRASHES_IN_A_ROW_MAX && random.below(3) == 0 {
                self.disk.power_off_after(random.below(12));
            }
            self.note("crash");
            let recovered = self.recover(random);
            let recovered = self.digest(recovered);
            if self.disk.is_off() {
                match recovered {
                    Ok(()) | Err(Stop::Refused(_)) => continue,
                    broken => return broken,
                }
            }
            self.disk.power_off_after(u64::MAX);
            return match recovered {
                // What lies have left cannot all be read.
                Err(Stop::Refused(_)) if self.lies() => Err(Stop::Over),
                Err(Stop::Refused(why)) => Err(Stop::Broken(why)),
                other => other,
            };
        }
    }

    /// Opens after a crash, and looks closely at it now and then.
    fn recover(&mut self, random: &mut Random) -> Result<(), Stop> {
        if random.below(4) == 0 {
            self.read_beside()?;
        }
        self.open()?;
        self.tally.recoveries += 1;
        match random.below(64) {
            0 => self.compare_all(),
            1 => self.opens_alike(),
            2 => self.check(),
            3 if !self.disk.is_off() => self.index_is_the_same(),
            _ => Ok(()),
        }
    }

    /// The workspace, open for writing.
    pub(super) fn open(&mut self) -> Result<Workspace, Stop> {
        if let Some(workspace) = &self.workspace {
            return Ok(workspace.clone());
        }
        self.rewriting = true;
        let options = self.options.clone();
        let opened = Workspace::open_on(self.through(), Path::new(OWN), options);
        let workspace = match opened {
            Ok(workspace) => workspace,
            Err(error) if self.lies() && !self.disk.is_off() => {
                return self.open_after_lies(&error);
            }
            Err(error) => {
                let why = format!("opening for writing: {error}");
                if self.troubled && !self.disk.is_off() {
                    // It is tried again later; in the end with nothing going wrong.
                    self.calm();
                }
                return Err(Stop::Refused(why));
            }
        };
        self.tally.openings += 1;
        self.opened(&workspace)?;
        self.rewriting = false;
        self.tainted = self.troubled;
        self.workspace = Some(workspace.clone());
        Ok(workspace)
    }

    /// What lies have left is healed as far as it can be; or the run is over.
    fn open_after_lies(&mut self, error: &annals::OpenError) -> Result<Workspace, Stop> {
        if self.troubled {
            self.calm();
            return Err(Stop::Refused(format!("opening for writing: {error}")));
        }
        let path = Path::new(OWN);
        if let Ok(reader) = Workspace::open_read_only_on(self.through(), path, self.options.clone())
        {
            let view = reader.own_log();
            match self.ledger.settle(&view, view.entry_count()) {
                Err(Stop::Broken(why)) if view.damage().is_none() => {
                    return Err(Stop::Broken(why));
                }
                _ => {}
            }
        }
        Err(Stop::Over)
    }

    /// Compares what was opened with what must be there.
    fn opened(&mut self, workspace: &Workspace) -> Result<(), Stop> {
        let unreadable = workspace.with_unreadable_logs(|logs| {
            logs.first().map(|log| format!("a log cannot be opened: {}", log.error))
        });
        if let Some(why) = unreadable {
            if self.troubled && !self.disk.is_off() {
                self.calm();
            }
            return Err(if self.lies() { Stop::Over } else { Stop::Refused(why) });
        }
        let view = workspace.own_log();
        if let Some(damage) = view.damage() {
            return Err(if self.lies() { Stop::Over } else { Stop::Broken(damage.to_string()) });
        }
        let size = view.entry_count();
        if workspace.durable().entries != size {
            return Err(Stop::Broken("not all that was opened is durable".to_owned()));
        }
        self.ledger.settle(&view, size)?;
        self.compare_roots(&view)?;
        self.peer.check_copy(workspace, self.is_lenient())
    }

    /// The roots that were known are the ones that there are, and go on from each other.
    fn compare_roots(&mut self, view: &LogView) -> Result<(), Stop> {
        let size = view.entry_count();
        // An old root takes the hashes of up to a stretch of entries: now and then will do.
        if self.lies() || size == 0 || !size.is_multiple_of(4) {
            return Ok(());
        }
        let now = view.root().map_err(Stop::unreadable)?;
        let known = self.ledger.roots().last().copied();
        if let Some((at, root)) = known
            && view.root_at(at).map_err(Stop::unreadable)? != root
        {
            return Err(Stop::Broken(format!("another root of the first {at} of {size} entries")));
        }
        if let Some((at, root)) = known
            && size.is_multiple_of(16)
        {
            let proof = view.prove_consistency(at, Some(size)).map_err(Stop::unreadable)?;
            proof.verify(&root, &now).map_err(Stop::broken)?;
        }
        self.ledger.remember(size, now);
        Ok(())
    }

    /// Does what the error of an append or a commit says is to be done.
    pub(super) fn append_failed(&mut self, error: &AppendError, drafts: Vec<Draft>) -> Stop {
        match error {
            AppendError::DiskFull { void_from, .. } => {
                self.voids.push(*void_from);
                if let Err(broken) = self.ledger.void_from(*void_from) {
                    return broken;
                }
                let resumed = self.workspace.as_ref().map(Workspace::resume);
                if let Some(Err(_)) = resumed {
                    self.workspace = None;
                }
            }
            AppendError::Poisoned(_) => {
                if !drafts.is_empty() {
                    self.ledger.unknown(drafts);
                }
                if self.workspace.as_ref().is_some_and(|workspace| !workspace.is_poisoned()) {
                    return Stop::Broken("poisoned, and does not say so".to_owned());
                }
                self.workspace = None;
            }
            _ => {}
        }
        Stop::refused(error)
    }

    /// Notes that so many entries are promised.
    pub(super) fn acknowledge(&mut self, entries: u64) {
        if !self.lies() {
            self.ledger.acknowledge(entries);
        }
    }
}

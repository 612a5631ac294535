//! A machine with a workspace that is worked with, crashes, and is opened again.

use std::{collections::VecDeque, path::Path, sync::Arc};

use annals::{
    AppendError, Options, Workspace,
    io::{
        Disk,
        sim::{Fault, FaultRates, SimDisk},
    },
};

use super::{
    Sizes, Stop, Tally,
    ledger::{Draft, Ledger},
    peer::Peer,
    plan::{Act, Plan, Step, Weather},
};
use crate::simulation::{OWN, Random};

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

/// Whether calls go wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trouble {
    None,
    /// They did since the workspace was opened.
    Before,
    Now,
}

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
    pub(super) trouble: Trouble,
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
            trouble: Trouble::None,
            rewriting: false,
            trace,
            lies_in_secret: plan.lies_in_secret,
        };
        world.calm_disk();
        Ok(world)
    }

    /// Nothing goes wrong with the disk, or what nobody is told of.
    pub(super) fn calm_disk(&self) {
        self.disk.heal();
        if self.lies_in_secret {
            self.disk.inject(Fault::lying_sync().for_good());
        }
    }

    /// Whether what is refused is no broken promise.
    pub(super) fn is_lenient(&self) -> bool {
        self.trouble != Trouble::None || self.weather == Weather::Lies || self.disk.is_off()
    }

    pub(super) fn lies(&self) -> bool {
        self.weather == Weather::Lies
    }

    pub(super) fn through(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    pub(super) fn note(&self, what: &str) {
        self.trace.lock().expect("nobody panics with it").note(what);
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
                self.note(&why);
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
    pub(super) fn digest(&mut self, result: Result<(), Stop>) -> Result<(), Stop> {
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
        if self.trouble == Trouble::Now || !matches!(self.weather, Weather::Faults | Weather::Lies)
        {
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
        self.trouble = Trouble::Now;
    }

    fn limit_space(&mut self, random: &mut Random) {
        if self.trouble == Trouble::Now || self.weather != Weather::Faults {
            return self.calm();
        }
        self.disk.limit_space(self.disk.used_space() + random.below(20_000));
        self.trouble = Trouble::Now;
    }

    /// Nothing goes wrong any more.
    pub(super) fn calm(&mut self) {
        self.calm_disk();
        self.disk.limit_space(u64::MAX);
        if self.trouble == Trouble::Now {
            self.trouble = Trouble::Before;
        }
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

//! What is left of a machine, and how it is opened again.

use std::path::Path;

use annals::{LogView, Workspace, io::sim::Loss};

use super::{
    Stop,
    world::{Trouble, World},
};
use crate::simulation::{OWN, Random};

/// A crash may come while a crash is recovered from, so often.
const CRASHES_IN_A_ROW_MAX: u64 = 6;

impl World {
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
        self.trouble = Trouble::None;
        self.tally.crashes += 1;
    }

    /// Crashes and recovers; and crashes again while it does.
    pub(super) fn crash(&mut self, random: &mut Random) -> Result<(), Stop> {
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
                if self.trouble == Trouble::Now && !self.disk.is_off() {
                    // It is tried again later; in the end with nothing going wrong.
                    self.calm();
                }
                return Err(Stop::Refused(why));
            }
        };
        self.tally.openings += 1;
        self.opened(&workspace)?;
        self.rewriting = false;
        if self.trouble == Trouble::Before {
            self.trouble = Trouble::None;
        }
        self.workspace = Some(workspace.clone());
        Ok(workspace)
    }

    /// What lies have left is healed as far as it can be; or the run is over.
    fn open_after_lies(&mut self, error: &annals::OpenError) -> Result<Workspace, Stop> {
        if self.trouble == Trouble::Now {
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
            if self.trouble == Trouble::Now && !self.disk.is_off() {
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
}

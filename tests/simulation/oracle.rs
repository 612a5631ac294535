//! What must be found after a crash.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use annals::{
    Frontier, OpenError, Options, Workspace,
    check::{Code, Depth, Finding, check_on, repair_on},
    io::{
        Disk,
        sim::{Loss, SimDisk},
    },
    workspace::MetadataError,
};

use super::{
    case::{Crash, Point},
    compare::{Found, Whose, Wrong, compare, compare_readable},
    exchange::heal_options,
    model::{Model, promised},
    random::Random,
    session::{OWN, REPLICA},
};

/// How much is looked at. What is always looked at: the machine is opened to read and to write, and both times
/// every entry and root is compared.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Opens a second time, which must change nothing, appends, and checks all of it with the checker.
    pub again: bool,
    /// Makes the index anew and compares it, if there is one.
    pub index: bool,
    /// Crashes during the recovery.
    pub recovery: RecoveryCrashes,
}

/// Which crashes of a recovery are tried.
#[derive(Clone, Copy, Debug)]
pub enum RecoveryCrashes {
    /// None.
    None,
    /// One, drawn by this seed.
    One(u64),
    /// One after each change that the recovery makes, each with several losses.
    All,
}

impl Effort {
    /// Everything.
    pub const ALL: Self = Self { again: true, index: true, recovery: RecoveryCrashes::All };

    /// Everything, but only one crash during the recovery.
    pub const fn sampled(seed: u64) -> Self {
        Self { again: true, index: true, recovery: RecoveryCrashes::One(seed) }
    }
}

/// What is not as promised.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// As a sentence.
    pub what: String,
    /// The crash of the recovery that it takes.
    pub crash: Option<Crash>,
}

impl From<String> for Broken {
    fn from(what: String) -> Self {
        Self { what, crash: None }
    }
}

/// Knows what must be found when a machine stops after so many changes of its disk.
#[derive(Clone, Copy, Debug)]
pub struct Oracle<'a> {
    /// What the program was told.
    pub model: &'a Model,
    /// What the disk had seen.
    pub position: u64,
    /// Syncs lied: entries may be missing or damaged; what is served must be right all the same.
    pub lied_to: bool,
}

/// A workspace that was opened for writing and closed again.
struct Recovered {
    disk: SimDisk,
    /// What the disk had seen when the opening was done.
    opened: u64,
    changes: u64,
}

impl<'a> Oracle<'a> {
    /// For a crash after `position` changes.
    pub fn new(model: &'a Model, position: u64) -> Self {
        Self { model, position, lied_to: false }
    }

    /// Judges what is found; says how many times it was opened for that.
    ///
    /// # Errors
    ///
    /// What is not as promised, as a sentence.
    pub fn check(&self, found: &SimDisk, effort: &Effort) -> Result<u64, Broken> {
        if self.lied_to {
            return Ok(self.check_lied(found)?);
        }
        let mut openings = 1;
        if self.is_created() && !self.model.is_damaged(self.position) {
            self.read(found).map_err(|why| format!("a reader before recovery: {why}"))?;
            openings += 1;
        }
        let recovered = self.recover(found)?;
        self.copies(&recovered.disk)?;
        if effort.again {
            let why = |why| format!("after the recovery: {why}");
            openings += self.again(&recovered.disk).map_err(why)?;
        }
        if effort.index {
            openings += compare_index(&recovered.disk)?;
        }
        openings += self.crash_recoveries(&recovered, effort.recovery)?;
        Ok(openings)
    }

    fn is_created(&self) -> bool {
        self.model.created.is_some_and(|created| created <= self.position)
    }

    fn open(&self, disk: &SimDisk) -> Result<Workspace, String> {
        let path = Path::new(OWN);
        if self.model.is_damaged(self.position) {
            let disk: Arc<dyn Disk> = Arc::new(disk.clone());
            let report = repair_on(&disk, path, heal_options(), |_, _| ());
            let report = report.map_err(|error| format!("healing: {error}"))?;
            if let Some(finding) = report.errors().next() {
                return Err(format!("healing leaves: {finding}"));
            }
        }
        match Workspace::open_on(Arc::new(disk.clone()), path, Options::default()) {
            Err(OpenError::Metadata(MetadataError::Missing(_))) if !self.is_created() => {
                Workspace::create_on(Arc::new(disk.clone()), path, Options::default(), None)
                    .map_err(|error| format!("creating it again: {error}"))
            }
            opened => opened.map_err(|error| format!("opening for writing: {error}")),
        }
    }

    /// Compares all logs with what must be there.
    fn compare(&self, workspace: &Workspace) -> Result<u64, String> {
        if let Some(why) = workspace.with_unreadable_logs(|logs| {
            logs.first().map(|log| format!("{}: {}", log.path.display(), log.error))
        }) {
            return Err(format!("a log cannot be opened: {why}"));
        }
        let views: BTreeMap<_, _> =
            workspace.logs().into_iter().map(|view| (view.id(), view)).collect();
        let mut own_changes = 0;
        for (id, view) in &views {
            let Some(model) = self.model.logs.get(id) else {
                if self.is_created() || !view.is_empty() {
                    return Err(format!("nobody wrote the log {id}"));
                }
                continue;
            };
            let found = compare(model, view, self.position, Whose::Own)?;
            let (changes, entries) = model.promised(self.position);
            if found.changes < changes || found.entries < entries {
                return Err(format!(
                    "log {id}: {} of {changes} acknowledged changes and {} of {entries} entries are there",
                    found.changes, found.entries
                ));
            }
            if Some(*id) == self.model.own {
                own_changes = found.changes;
            }
        }
        let promised = self.model.logs.iter().filter(|(_, log)| log.promised(self.position).1 > 0);
        match promised.map(|(id, _)| id).find(|id| !views.contains_key(id)) {
            Some(missing) => Err(format!("the log {missing} is gone")),
            None => Ok(own_changes),
        }
    }

    /// A reader sees what was acknowledged, and writes nothing.
    fn read(&self, found: &SimDisk) -> Result<(), String> {
        let disk = found.after_power_loss(&Loss::Nothing);
        let before = disk.fingerprint();
        let opened = Workspace::open_read_only_on(
            Arc::new(disk.clone()),
            Path::new(OWN),
            Options::default(),
        );
        let reader = opened.map_err(|error| error.to_string())?;
        self.compare(&reader)?;
        drop(reader);
        if disk.fingerprint() == before { Ok(()) } else { Err("it writes".to_owned()) }
    }

    fn recover(&self, found: &SimDisk) -> Result<Recovered, String> {
        let disk = found.after_power_loss(&Loss::Nothing);
        disk.record();
        let workspace = self.open(&disk)?;
        let opened = disk.mutation_count();
        let changes = self.compare(&workspace)?;
        workspace.close().map_err(|error| format!("closing after the recovery: {error}"))?;
        Ok(Recovered { disk, opened, changes })
    }

    /// Opening again changes nothing; the log can be gone on with, and the checker finds nothing.
    fn again(&self, recovered: &SimDisk) -> Result<u64, String> {
        let disk = recovered.after_power_loss(&Loss::Everything);
        let open = || {
            Workspace::open_on(Arc::new(disk.clone()), Path::new(OWN), Options::default())
                .map_err(|error| format!("opening again: {error}"))
        };
        let before = essence(&disk);
        open()?.close().map_err(|error| format!("closing again: {error}"))?;
        if essence(&disk) != before {
            return Err("opening again changes something".to_owned());
        }
        let workspace = open()?;
        self.compare(&workspace)?;
        let done =
            workspace.append(b"a change after the recovery").and_then(|_| workspace.commit());
        done.map_err(|error| format!("appending: {error}"))?;
        workspace.close().map_err(|error| format!("closing: {error}"))?;
        self.checked(&disk)?;
        Ok(2)
    }

    /// The checker finds nothing, and a repair leaves nothing.
    fn checked(&self, disk: &SimDisk) -> Result<(), String> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let path = Path::new(OWN);
        let report = check_on(&disk, path, Depth::Payloads, |_, _| ());
        let mut report = report.map_err(|error| format!("the checker: {error}"))?;
        if report.errors().all(|finding| self.is_of_a_crash(finding)) && !report.is_clean() {
            let repaired = repair_on(&disk, path, Depth::Payloads, |_, _| ());
            report = repaired.map_err(|error| format!("repairing: {error}"))?;
        }
        match report.errors().next() {
            Some(finding) => Err(format!("the checker finds: {finding}")),
            None => Ok(()),
        }
    }

    /// Whether a crash leaves this in a log that was not opened for writing since: replicas are when something is
    /// imported.
    fn is_of_a_crash(&self, finding: &Finding) -> bool {
        let own = self.model.own.map(|own| format!("{own}.seg"));
        let is_own = own.is_some_and(|own| finding.path.ends_with(own));
        !is_own && matches!(finding.code, Code::BadCheckpoint | Code::UnsyncedHole)
    }

    /// Backups and the replica.
    fn copies(&self, disk: &SimDisk) -> Result<(), String> {
        let Some(own) = self.model.own else { return Ok(()) };
        let model = &self.model.logs[&own];
        let open = |path: &Path| {
            let disk = disk.after_power_loss(&Loss::Nothing);
            Workspace::open_read_only_on(Arc::new(disk), path, Options::default())
        };
        for backup in self.model.backups.iter().filter(|backup| backup.begun <= self.position) {
            let why = |why: String| format!("{}: {why}", backup.path.display());
            let is_done = backup.done.is_some_and(|done| done <= self.position);
            match open(&backup.path) {
                Ok(copy) => {
                    let found = compare(model, &copy.own_log(), self.position, Whose::Copied)
                        .map_err(why)?;
                    if found.changes != backup.changes {
                        let wanted = backup.changes;
                        return Err(why(format!("it has {} of {wanted} changes", found.changes)));
                    }
                }
                Err(error) if is_done => return Err(why(error.to_string())),
                Err(_) => {}
            }
        }
        let (changes, entries) = promised(&self.model.replica, self.position);
        match open(Path::new(REPLICA)) {
            Ok(replica) => {
                let why = |why: String| format!("the replica: {why}");
                let found = match replica.log(own) {
                    Ok(view) => compare(model, &view, self.position, Whose::Copied).map_err(why)?,
                    Err(_) => Found { changes: 0, entries: 0 },
                };
                if found.changes < changes || found.entries < entries {
                    return Err(why(format!("it has {} of {changes} changes", found.changes)));
                }
            }
            Err(error) if entries > 0 => return Err(format!("the replica: {error}")),
            Err(_) => {}
        }
        Ok(())
    }

    /// Power fails during the recovery, and it begins again.
    fn crash_recoveries(
        &self,
        recovered: &Recovered,
        crashes: RecoveryCrashes,
    ) -> Result<u64, Broken> {
        let len = recovered.disk.mutation_count();
        let mut random = match crashes {
            RecoveryCrashes::None => return Ok(0),
            RecoveryCrashes::One(seed) => Random::new(seed),
            RecoveryCrashes::All => Random::new(0),
        };
        let only = match crashes {
            RecoveryCrashes::One(_) if len == 0 => return Ok(0),
            RecoveryCrashes::One(_) => Some(1 + random.below(len)),
            _ => None,
        };
        let mut openings = 0;
        let mut history = recovered.disk.history();
        while history.step() {
            let position = history.position();
            if only.is_some_and(|only| only != position) {
                continue;
            }
            // Nothing but what was torn: a rewritten sector that comes to hold garbage is beyond R-6.
            let losses = [
                Loss::Everything,
                Loss::Random { seed: random.number(), garbage: false },
                Loss::Nothing,
            ];
            let chosen = only.map(|_| random.below(3));
            for (number, loss) in losses.iter().enumerate() {
                if chosen.is_some_and(|chosen| chosen != number as u64) {
                    continue;
                }
                let found = history.machine().after_power_loss(loss);
                let why = |why| Broken {
                    what: format!("after a crash of the recovery: {why}"),
                    crash: Some(Crash { point: Point::After(position), loss: Some(loss.clone()) }),
                };
                let again = self.recover(&found).map_err(why)?;
                openings += 1;
                if position >= recovered.opened && again.changes < recovered.changes {
                    let had = recovered.changes;
                    return Err(why(format!(
                        "{} of {had} recovered changes are left",
                        again.changes
                    )));
                }
            }
        }
        Ok(openings)
    }

    /// Judges what a killed process leaves, of which nothing is durable that was not before: the next process goes on
    /// with it, and then power fails.
    ///
    /// # Errors
    ///
    /// What is not as promised, as a sentence.
    pub fn check_killed(&self, found: &SimDisk) -> Result<u64, Broken> {
        if self.lied_to {
            return Ok(self.check_lied(found)?);
        }
        let lost_power = |found: &SimDisk, changes, who: &str| {
            let after = found.after_power_loss(&Loss::Everything);
            let why = |why| format!("{who} opened it, then power failed: {why}");
            let left = self.recover(&after).map_err(why)?.changes;
            if left < changes {
                return Err(why(format!("{left} of the {changes} changes are left that it found")));
            }
            Ok(())
        };
        let machine = found.after_kill();
        let workspace = self.open(&machine)?;
        lost_power(&machine, self.compare(&workspace)?, "the next process")?;
        if !self.is_created() || self.model.is_damaged(self.position) {
            return Ok(2);
        }
        let machine = found.after_kill();
        let disk = Arc::new(machine.clone());
        let reader = Workspace::open_read_only_on(disk, Path::new(OWN), Options::default());
        let reader = reader.map_err(|error| format!("reading what was left: {error}"))?;
        lost_power(&machine, self.compare(&reader)?, "a reader")?;
        Ok(4)
    }

    /// Opens for writing and closes, as a first recovery does before a second crash.
    pub(super) fn reopen(&self, disk: &SimDisk) -> Result<(), String> {
        let workspace = self.open(disk)?;
        self.compare(&workspace)?;
        workspace.close().map_err(|error| format!("closing after the recovery: {error}"))
    }

    /// Nothing is promised but that whatever is served is right.
    fn check_lied(&self, found: &SimDisk) -> Result<u64, String> {
        let mut openings = 0;
        for writes in [false, true] {
            let disk = Arc::new(found.after_power_loss(&Loss::Nothing));
            let path = Path::new(OWN);
            let opened = if writes {
                Workspace::open_on(disk, path, Options::default())
            } else {
                Workspace::open_read_only_on(disk, path, Options::default())
            };
            openings += 1;
            let Ok(workspace) = opened else { continue };
            for view in workspace.logs() {
                let Some(model) = self.model.logs.get(&view.id()) else { continue };
                match compare_readable(model, &view, self.position, Whose::Copied) {
                    Ok(_) | Err(Wrong::Unreadable(_)) => {}
                    Err(Wrong::Broken(why)) => return Err(format!("after a lie: {why}")),
                }
            }
            // Whatever is left can be handed out, or is refused.
            let _ = workspace.export(&Frontier::empty(), std::io::sink());
        }
        Ok(openings)
    }
}

/// The index made anew is the one that there is, to the byte.
fn compare_index(recovered: &SimDisk) -> Result<u64, String> {
    let indexed = |anew: bool| {
        let disk = recovered.after_power_loss(&Loss::Nothing);
        if anew {
            for path in disk.paths().into_iter().filter(|path| is_cache(path)) {
                disk.remove(&path).map_err(|error| error.to_string())?;
            }
        }
        let opened = Workspace::open_on(Arc::new(disk.clone()), Path::new(OWN), Options::default());
        let workspace = opened.map_err(|error| error.to_string())?;
        workspace.reindex(anew, |_, _| true).map_err(|error| error.to_string())?;
        workspace.close().map_err(|error| error.to_string())?;
        let paths = disk.paths().into_iter().filter(|path| is_cache(path));
        Ok::<_, String>(paths.map(|path| (disk.content(&path), path)).collect::<Vec<_>>())
    };
    // Below this length no log has a run.
    let is_long = |path: &PathBuf| {
        recovered.content(path).is_some_and(|bytes| bytes.len() > 16_384 + 262_144)
    };
    if !recovered.paths().iter().any(is_long) {
        return Ok(0);
    }
    let incremental = indexed(false).map_err(|why| format!("the index: {why}"))?;
    let anew = indexed(true).map_err(|why| format!("the index made anew: {why}"))?;
    if incremental == anew { Ok(2) } else { Err("the index made anew is another".to_owned()) }
}

fn is_cache(path: &Path) -> bool {
    path.starts_with(Path::new(OWN).join("cache"))
}

/// The files of the workspace but for the lock record, of which every opening writes a new one, and the index,
/// which is not synced.
fn essence(disk: &SimDisk) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let lock = Path::new(OWN).join("LOCK");
    let paths = disk.paths().into_iter().filter(|path| !is_cache(path) && *path != lock);
    paths.map(|path| (path.clone(), disk.content(&path))).collect()
}

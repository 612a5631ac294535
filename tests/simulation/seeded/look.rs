//! Reading in all ways, copies, and what is checked now and then.

use std::{path::Path, sync::Arc};

use annals::{
    Direction, Frontier, LogView, ReadError, Workspace,
    check::{Code, Depth, Finding, check_on, repair_on},
    io::{
        Disk,
        sim::{Loss, SimDisk},
    },
};

use super::{Stop, world::World};
use crate::simulation::{OWN, Random};

impl World {
    /// Reads something, in one way or another.
    pub(super) fn read(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let view = workspace.own_log();
        let count = view.entry_count();
        self.ledger.catch_up(&view, count)?;
        if count != self.ledger.end() {
            return Err(Stop::Broken(format!("{count} entries of {}", self.ledger.end())));
        }
        let from = random.below(count + 2);
        let upto = from + random.below(24);
        match random.below(16) {
            0..=5 => self.read_one(&view, from),
            6..=9 => self.ledger.compare(&view, from..upto),
            10 => self.ledger.compare_backward(&view, from..upto),
            11 => self.read_streams(&view, from, random),
            12 if !self.lies() => self.prove(&view, from, random),
            13 => Self::read_merged(&workspace, from),
            _ => self.read_one(&view, count),
        }
    }

    fn read_one(&self, view: &LogView, index: u64) -> Result<(), Stop> {
        match (view.entry(index), self.ledger.item(index)) {
            (Ok(_), Some(item)) => self.ledger.compare(view, item.first..item.end),
            (Err(ReadError::OutOfRange { .. }), None) => Ok(()),
            (Ok(_), None) => Err(Stop::Broken(format!("there is an entry {index}"))),
            (Err(error), _) => Err(Stop::unreadable(error)),
        }
    }

    fn read_streams(&self, view: &LogView, from: u64, random: &mut Random) -> Result<(), Stop> {
        let streams: Vec<_> = self.ledger.streams().collect();
        if streams.is_empty() {
            return Ok(());
        }
        let (name, stream) = *random.pick(&streams);
        if view.find_stream(name).map_err(Stop::unreadable)? != Some(stream) {
            return Err(Stop::Broken(format!("{name} is not found")));
        }
        let scan = view.scan_stream(stream, from.., Direction::Forward);
        let mut last = from;
        for entry in scan.map_err(Stop::unreadable)?.take(16) {
            let entry = entry.map_err(Stop::unreadable)?;
            if entry.stream() != stream || entry.index() < last {
                return Err(Stop::Broken(format!("entry {} in {name}", entry.index())));
            }
            last = entry.end_index();
        }
        Ok(())
    }

    fn prove(&self, view: &LogView, index: u64, random: &mut Random) -> Result<(), Stop> {
        let root = view.root().map_err(Stop::unreadable)?;
        if index < view.entry_count() {
            let proof = view.prove_inclusion(index, None).map_err(Stop::unreadable)?;
            proof.verify(&root).map_err(Stop::broken)?;
        }
        if self.ledger.roots().is_empty() {
            return Ok(());
        }
        let (size, old) = *random.pick(self.ledger.roots());
        let proof = view.prove_consistency(size, None).map_err(Stop::unreadable)?;
        proof.verify(&old, &root).map_err(Stop::broken)
    }

    fn read_merged(workspace: &Workspace, from: u64) -> Result<(), Stop> {
        let mut frontier = workspace.frontier().map_err(Stop::unreadable)?;
        if from.is_multiple_of(2) {
            frontier = Frontier::empty();
        }
        let mut last = None;
        for entry in workspace.since(&frontier).map_err(Stop::unreadable)?.take(32) {
            let entry = entry.map_err(Stop::unreadable)?;
            let key = (entry.lamport(), entry.client(), entry.log(), entry.index());
            if last.is_some_and(|last| last >= key) {
                return Err(Stop::Broken("merged entries are out of order".to_owned()));
            }
            last = Some(key);
        }
        Ok(())
    }

    /// Opens it once more to read only. What a reader has seen is promised, unless syncs fail: a reader cannot
    /// write again what a sync has forgotten.
    pub(super) fn read_beside(&mut self) -> Result<(), Stop> {
        self.reader = None;
        let options = self.options.clone();
        let opened = Workspace::open_read_only_on(self.through(), Path::new(OWN), options);
        let reader = opened.map_err(|error| Stop::Refused(format!("opening to read: {error}")))?;
        self.tally.openings += 1;
        self.reader = Some(reader);
        self.look_beside()
    }

    pub(super) fn refresh(&mut self) -> Result<(), Stop> {
        match &self.reader {
            Some(reader) => reader.refresh().map_err(Stop::refused)?,
            None => return self.read_beside(),
        }
        self.look_beside()
    }

    fn look_beside(&mut self) -> Result<(), Stop> {
        let Some(reader) = self.reader.clone() else { return Ok(()) };
        if self.lies() {
            return Ok(());
        }
        let view = reader.own_log();
        if let Some(damage) = view.damage() {
            return Err(Stop::Refused(damage.to_string()));
        }
        let size = view.entry_count();
        if self.workspace.is_none() || !self.is_lenient() {
            // A writer that could not write its lock record is not told from one that wrote nothing since.
            self.ledger.check_acknowledged(size)?;
        }
        // Beside a writer that staged it, or before one that finds it again.
        self.ledger.check_size(&view, size)?;
        let known = self.ledger.end().min(size);
        self.ledger.compare(&view, known.saturating_sub(16)..known)?;
        if self.weather != super::Weather::Faults {
            self.acknowledge(size);
        }
        let lenient = self.is_lenient();
        self.peer.check_copy(&reader, lenient)
    }

    pub(super) fn reindex(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        workspace.reindex(true, |_, _| true).map_err(Stop::unreadable)?;
        self.compare_all()
    }

    /// Compares all that there is.
    pub(super) fn compare_all(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        let view = workspace.own_log();
        self.ledger.catch_up(&view, view.entry_count())?;
        self.ledger.compare(&view, 0..u64::MAX)?;
        self.peer.doubt();
        let lenient = self.is_lenient();
        self.peer.check_copy(&workspace, lenient)
    }

    pub(super) fn backup(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        let path = format!("backup-{}", self.tally.operations);
        let path = Path::new(&path);
        match workspace.backup(path, |_, _| ()) {
            Ok(()) => {}
            Err(annals::BackupError::Append(error)) => {
                return Err(self.append_failed(&error, Vec::new()));
            }
            Err(error) => return Err(Stop::refused(error)),
        }
        self.promised_all(&workspace)?;
        let copy = Workspace::open_read_only_on(self.through(), path, self.options.clone());
        let copy = copy.map_err(Stop::refused)?;
        let size = copy.own_log().entry_count();
        if size != self.ledger.end() {
            return Err(Stop::Broken(format!("a backup has {size} of {}", self.ledger.end())));
        }
        self.ledger.compare(&copy.own_log(), 0..size)?;
        drop(copy);
        // Or the disk would be full of them.
        for file in self.disk.paths().into_iter().filter(|file| file.starts_with(path)) {
            self.disk.remove(&file).map_err(Stop::refused)?;
        }
        Ok(())
    }

    /// The checker finds nothing, but what a crash may leave: in a copy that nobody has written to since, and in
    /// the index, which is not synced.
    pub(super) fn check(&mut self) -> Result<(), Stop> {
        self.close()?;
        let report = check_on(&self.through(), Path::new(OWN), Depth::Payloads, |_, _| ());
        let report = report.map_err(Stop::refused)?;
        let copy = format!("{}.seg", self.peer.log);
        let is_left = |finding: &&Finding| match finding.code {
            Code::BadCheckpoint | Code::UnsyncedHole => finding.path.ends_with(&copy),
            code => code == Code::DamagedIndex,
        };
        match report.errors().find(|finding| !is_left(finding)) {
            Some(finding) => Err(Stop::Refused(format!("the checker finds: {finding}"))),
            None => Ok(()),
        }
    }

    pub(super) fn repair(&mut self) -> Result<(), Stop> {
        self.workspace = None;
        self.rewriting = true;
        let report = repair_on(&self.through(), Path::new(OWN), Depth::Structure, |_, _| ());
        let report = report.map_err(Stop::refused)?;
        match report.errors().next() {
            Some(finding) => Err(Stop::Refused(format!("a repair leaves: {finding}"))),
            None => Ok(()),
        }
    }

    /// What is on the disk, on another machine that nothing else happens to.
    fn elsewhere(&self) -> SimDisk {
        self.disk.after_power_loss(&Loss::Nothing)
    }

    fn reopen(&self, disk: &SimDisk) -> Result<Workspace, Stop> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        Workspace::open_on(disk, Path::new(OWN), self.options.clone()).map_err(Stop::broken)
    }

    /// Opening and closing again changes nothing but the lock record.
    pub(super) fn opens_alike(&mut self) -> Result<(), Stop> {
        self.close()?;
        if self.is_lenient() {
            return Ok(());
        }
        let disk = self.elsewhere();
        let fingerprint = |disk: &SimDisk| {
            disk.set_content(Path::new(OWN).join("LOCK"), []);
            disk.fingerprint()
        };
        let before = fingerprint(&disk);
        self.reopen(&disk)?.close().map_err(Stop::broken)?;
        if fingerprint(&disk) == before {
            Ok(())
        } else {
            Err(Stop::Broken("opening again changes something".to_owned()))
        }
    }

    /// The index made anew is the one that there is, to the byte.
    pub(super) fn index_is_the_same(&mut self) -> Result<(), Stop> {
        if self.is_lenient() {
            return Ok(());
        }
        let cache = Path::new(OWN).join("cache");
        let indexed = |anew: bool| {
            let disk = self.elsewhere();
            if anew {
                for path in disk.paths().into_iter().filter(|path| path.starts_with(&cache)) {
                    disk.remove(&path).map_err(Stop::broken)?;
                }
            }
            let workspace = self.reopen(&disk)?;
            workspace.reindex(anew, |_, _| true).map_err(Stop::broken)?;
            workspace.close().map_err(Stop::broken)?;
            let paths = disk.paths().into_iter().filter(|path| path.starts_with(&cache));
            Ok(paths.map(|path| (disk.content(&path), path)).collect::<Vec<_>>())
        };
        let (incremental, anew) = (indexed(false)?, indexed(true)?);
        if incremental == anew {
            return Ok(());
        }
        Err(Stop::Broken("the index made anew is another".to_owned()))
    }
}

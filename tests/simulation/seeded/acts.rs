//! What a program does with its own log.

use std::{path::Path, sync::Arc};

use annals::{
    AppendError, Change, Direction, Frontier, LogView, Progress, ReadError, StreamError, StreamId,
    Workspace,
    check::{Code, Depth, Finding, check_on, repair_on},
    io::{
        Disk,
        sim::{Loss, SimDisk},
    },
    workspace::Ticket,
};

use super::{Sizes, Stop, ledger::Draft, world::World};
use crate::simulation::{OWN, Random};

/// The payload of a change: mostly small, seldom large.
fn payload(random: &mut Random, sizes: Sizes) -> Arc<[u8]> {
    let len = match (random.below(1000), sizes) {
        (0..=869, _) => random.below(40),
        (870..=979, _) => random.below(1 << 10),
        (980..=994, _) | (_, Sizes::Small) => random.below(10 << 10),
        (995..=997, _) | (_, Sizes::Usual) => random.below(150 << 10),
        (998, Sizes::Large) => random.below(400 << 10),
        _ => (1 << 20) + random.below(200 << 10),
    };
    let len = usize::try_from(len).expect("small");
    let mut bytes = random.number().to_le_bytes().to_vec();
    bytes.truncate(len);
    if random.below(3) == 0 {
        // Compresses to nothing.
        bytes.resize(len, b' ');
    } else {
        bytes.extend_from_slice(&random.bytes(len - bytes.len()));
    }
    Arc::from(bytes)
}

/// Changes in the default stream.
pub(super) fn drafts(random: &mut Random, count: u64, sizes: Sizes) -> Vec<Draft> {
    let draft = |_| Draft { payload: payload(random, sizes), stream: StreamId::DEFAULT };
    (0..count).map(draft).collect()
}

/// A ticket with what is known of it: where its changes end, and how often the disk had been full before.
struct Held<'a> {
    ticket: Ticket<'a>,
    end: u64,
    epoch: usize,
}

impl World {
    fn submit<'a>(
        &mut self,
        workspace: &'a Workspace,
        drafts: Vec<Draft>,
    ) -> Result<Ticket<'a>, Stop> {
        let changes = drafts.iter().map(|d| Change::new(&d.payload).in_stream(d.stream));
        let changes: Vec<_> = changes.collect();
        match workspace.append_all(&changes) {
            Ok(ticket) => {
                self.ledger.appended(&workspace.own_log(), ticket.indices(), drafts)?;
                Ok(ticket)
            }
            Err(error) => Err(self.append_failed(&error, drafts)),
        }
    }

    pub(super) fn append(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let drafts = drafts(random, 1, self.sizes);
        self.submit(&workspace, drafts).map(|_| ())
    }

    pub(super) fn append_group(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let mut drafts = drafts(random, 2, self.sizes);
        let more = random.below(4);
        drafts.extend(self::drafts(random, more, Sizes::Small));
        if random.below(6) == 0 {
            // Larger than a batch, and now and then than the buffer.
            let len = if self.sizes == Sizes::Small { 9 << 10 } else { 90 << 10 };
            drafts.push(Draft { payload: Arc::from(random.bytes(len)), stream: StreamId::DEFAULT });
            drafts.extend(self::drafts(random, 1, Sizes::Small));
        }
        self.submit(&workspace, drafts).map(|_| ())
    }

    pub(super) fn append_to_stream(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let name = format!("stream {}", random.below(7));
        let known = self.ledger.declared(&name);
        let stream = match workspace.stream(&name) {
            Ok(stream) => stream,
            Err(StreamError::Append(error)) => return Err(self.append_failed(&error, Vec::new())),
            Err(StreamError::Read(error)) => return Err(Stop::unreadable(error)),
            Err(error) => return Err(Stop::refused(error)),
        };
        let view = workspace.own_log();
        self.ledger.catch_up(&view, view.entry_count())?;
        if known.is_some_and(|known| known != stream.id()) {
            return Err(Stop::Broken(format!("{name} is declared a second time")));
        }
        let draft = Draft { payload: payload(random, Sizes::Small), stream: stream.id() };
        self.submit(&workspace, vec![draft]).map(|_| ())
    }

    /// Appenders that wait for each other's changes: as threads would, but always in the same order.
    pub(super) fn race(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let appenders = 2 + random.below(3);
        let streams: Vec<StreamId> = self.ledger.streams().map(|(_, stream)| stream).collect();
        let mut held: Vec<Held<'_>> = Vec::new();
        let rounds = 6 + random.below(24);
        for _ in 0..rounds {
            self.tally.operations += 1;
            let who = random.below(appenders);
            match random.below(10) {
                0..=6 => {
                    let mut drafts = drafts(random, 1, Sizes::Small);
                    if who > 0 && !streams.is_empty() {
                        drafts[0].stream = *random.pick(&streams);
                    }
                    let ticket = self.submit(&workspace, drafts)?;
                    let end = ticket.indices().end;
                    held.push(Held { ticket, end, epoch: self.voids.len() });
                }
                7 | 8 if !held.is_empty() => {
                    let at = usize::try_from(random.below(held.len() as u64)).expect("a place");
                    let one = held.swap_remove(at);
                    self.wait(&one)?;
                }
                _ => {
                    let progress = workspace.commit();
                    let progress = progress.map_err(|e| self.append_failed(&e, Vec::new()))?;
                    self.promised(progress)?;
                }
            }
        }
        // The others do not wait.
        let waits = random.below(3);
        for one in held.iter().take(usize::try_from(waits).expect("few")) {
            self.wait(one)?;
        }
        Ok(())
    }

    fn wait(&mut self, held: &Held<'_>) -> Result<(), Stop> {
        let is_void = self.voids[held.epoch..].iter().any(|from| *from < held.end);
        match held.ticket.wait_durable() {
            Ok(_) if is_void => {
                Err(Stop::Broken(format!("entry {} was void, and is durable", held.end - 1)))
            }
            Ok(progress) if progress.entries < held.end => Err(Stop::Broken(format!(
                "entry {} was waited for, and {} are durable",
                held.end - 1,
                progress.entries
            ))),
            Ok(progress) => self.promised(progress),
            Err(AppendError::Void) if is_void => Ok(()),
            Err(error) => Err(self.append_failed(&error, Vec::new())),
        }
    }

    /// A promise was given.
    fn promised(&mut self, progress: Progress) -> Result<(), Stop> {
        if progress.entries > self.ledger.end() {
            let Some(workspace) = self.workspace.clone() else { return Ok(()) };
            self.ledger.catch_up(&workspace.own_log(), progress.entries)?;
        }
        self.acknowledge(progress.entries);
        Ok(())
    }

    fn promised_all(&mut self, workspace: &Workspace) -> Result<(), Stop> {
        let durable = workspace.durable();
        if durable.entries < self.ledger.end() {
            let (durable, end) = (durable.entries, self.ledger.end());
            return Err(Stop::Broken(format!("{durable} of {end} entries were made durable")));
        }
        self.promised(durable)
    }

    pub(super) fn commit(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let progress = workspace.commit().map_err(|e| self.append_failed(&e, Vec::new()))?;
        if progress.entries < self.ledger.end() {
            let end = self.ledger.end();
            return Err(Stop::Broken(format!("a commit says {} of {end}", progress.entries)));
        }
        self.promised(progress)?;
        if random.below(8) == 0 && !self.lies() {
            let root = workspace.own_log().root().map_err(Stop::unreadable)?;
            self.ledger.remember(progress.entries, root);
        }
        Ok(())
    }

    pub(super) fn checkpoint(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        workspace.checkpoint().map_err(|error| self.append_failed(&error, Vec::new()))?;
        self.promised_all(&workspace)
    }

    pub(super) fn close(&mut self) -> Result<(), Stop> {
        let Some(workspace) = self.workspace.take() else { return Ok(()) };
        match workspace.clone().close() {
            Ok(()) => self.promised_all(&workspace),
            Err(error) => Err(self.append_failed(&error, Vec::new())),
        }
    }

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

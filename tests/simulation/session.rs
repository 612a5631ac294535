//! A program that works with a workspace, and remembers what it was told.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use annals::{
    AppendError, Change, Frontier, LogId, Options, StreamId, Workspace,
    io::{Disk, sim::SimDisk},
};

use super::{
    compare::{self, Whose},
    model::{Backup, Group, LogModel, Model},
    operation::{Operation, Workload},
    random::Random,
};

/// The folder of the workspace.
pub const OWN: &str = "own";
/// The folder of the replica that a damaged log is healed from, on the same machine.
pub const REPLICA: &str = "replica";

/// Seed of the machine.
const SEED: u64 = 1;
/// Seed of the other client's machine.
const OTHER_SEED: u64 = 2;

/// What came of an operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// It was done.
    Done,
    /// It said that it was not, and why.
    Refused(String),
}

/// Why an operation ended early.
pub(super) enum Stop {
    /// It was refused.
    Refused(String),
    /// A promise was broken.
    Broken(String),
}

pub(super) fn refused(error: impl std::fmt::Display) -> Stop {
    Stop::Refused(error.to_string())
}

/// Asked at each acknowledgement with the path of the segment: an error is a broken promise.
type Probe = Box<dyn Fn(&Path) -> Result<(), String> + Send>;

/// A machine with an empty workspace on it, to begin with.
#[derive(Clone, Debug)]
pub struct Prepared {
    machine: SimDisk,
    own: Option<LogId>,
    aligned: bool,
}

impl Prepared {
    /// What `workload` begins with.
    ///
    /// # Panics
    ///
    /// If an empty workspace cannot be created where nothing goes wrong.
    pub fn new(workload: &Workload) -> Self {
        let machine = SimDisk::new(SEED);
        let aligned = workload.aligned;
        if workload.creates {
            return Self { machine, own: None, aligned };
        }
        let disk = Arc::new(machine.clone());
        let workspace = Workspace::create_on(disk, Path::new(OWN), options(aligned), None)
            .expect("an empty machine takes a workspace");
        let own = Some(workspace.own_log().id());
        workspace.close().expect("an empty workspace can be closed");
        Self { machine, own, aligned }
    }

    /// A session on a machine of its own, which records.
    pub fn session(&self) -> Session {
        let disk = self.machine.after_power_loss(&annals::io::sim::Loss::Nothing);
        disk.record();
        Session::new(disk, self)
    }
}

/// How workspaces are opened here.
pub(super) fn options(aligned: bool) -> Options {
    if aligned { Options::default().aligned_frames() } else { Options::default() }
}

/// A program under test, on one machine.
pub struct Session {
    /// The machine.
    pub disk: SimDisk,
    /// What was submitted and acknowledged so far.
    pub model: Model,
    /// What the disk had seen after each operation.
    pub marks: Vec<u64>,
    /// Things may go wrong: what is refused is no broken promise, and a log may have lost its end when it is opened.
    pub faulty: bool,
    /// Syncs lie: nothing that is acknowledged is noted.
    pub lied_to: bool,
    pub(super) through: Arc<dyn Disk>,
    pub(super) workspace: Option<Workspace>,
    pub(super) reader: Option<Workspace>,
    other: Option<Workspace>,
    aligned: bool,
    probe: Option<Probe>,
}

impl Session {
    fn new(disk: SimDisk, prepared: &Prepared) -> Self {
        let model = Model {
            created: prepared.own.map(|_| 0),
            own: prepared.own,
            logs: prepared.own.map(|own| (own, LogModel::default())).into_iter().collect(),
            replica: Vec::new(),
            backups: Vec::new(),
            damaged: Vec::new(),
        };
        Self {
            through: Arc::new(disk.clone()),
            disk,
            model,
            marks: Vec::new(),
            faulty: false,
            lied_to: false,
            workspace: None,
            reader: None,
            other: None,
            aligned: prepared.aligned,
            probe: None,
        }
    }

    /// Works through this disk, which passes all on to [`Session::disk`], and asks `probe` at each
    /// acknowledgement.
    #[must_use]
    pub fn through(
        mut self,
        disk: Arc<dyn Disk>,
        probe: impl Fn(&Path) -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.through = disk;
        self.probe = Some(Box::new(probe));
        self
    }

    /// Does all of it, and drops what is open then.
    ///
    /// # Errors
    ///
    /// A promise that was broken, as a sentence.
    pub fn run(&mut self, workload: &Workload) -> Result<(), String> {
        if workload.creates {
            self.perform_create()?;
        }
        for operation in &workload.operations {
            self.perform(*operation)?;
        }
        self.finish()
    }

    fn perform_create(&mut self) -> Result<(), String> {
        match self.create() {
            Ok(()) => Ok(()),
            Err(Stop::Refused(_)) if self.faulty => Ok(()),
            Err(Stop::Refused(why) | Stop::Broken(why)) => Err(format!("create: {why}")),
        }
    }

    /// Does one thing.
    ///
    /// # Errors
    ///
    /// A promise that was broken, as a sentence.
    pub fn perform(&mut self, operation: Operation) -> Result<Step, String> {
        let number = self.marks.len();
        let result = self.attempt(operation);
        self.marks.push(self.disk.mutation_count());
        let place = || format!("operation {number}, {operation}");
        match result {
            Ok(()) => Ok(Step::Done),
            Err(Stop::Refused(why)) if self.faulty => Ok(Step::Refused(why)),
            Err(Stop::Refused(why) | Stop::Broken(why)) => Err(format!("{}: {why}", place())),
        }
    }

    /// Drops what is open. If nothing can have gone wrong, remembers every entry and root.
    ///
    /// # Errors
    ///
    /// What cannot be read again.
    pub fn finish(&mut self) -> Result<(), String> {
        self.reader = None;
        self.workspace = None;
        if self.faulty || self.model.created.is_none() {
            return Ok(());
        }
        let copy = self.disk.after_power_loss(&annals::io::sim::Loss::Nothing);
        let disk = Arc::new(copy);
        let workspace = Workspace::open_read_only_on(disk, Path::new(OWN), Options::default());
        let workspace = workspace.map_err(|error| format!("reading it in the end: {error}"))?;
        for view in workspace.logs() {
            let model = self.model.logs.entry(view.id()).or_default();
            let upto = view.entry_count();
            let remembered = compare::remember(model, &view, upto);
            remembered.map_err(|error| format!("in the end: {error}"))?;
            let found = compare::compare(model, &view, u64::MAX, Whose::Own)?;
            if found.changes != model.change_count() {
                let submitted = model.change_count();
                return Err(format!(
                    "in the end {} of {submitted} changes are there",
                    found.changes
                ));
            }
        }
        Ok(())
    }

    /// The process goes on when nothing goes wrong any more: it opens the workspace, appends, and is told that it is
    /// durable.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn go_on(&mut self) -> Result<(), String> {
        self.disk.heal();
        self.disk.limit_space(u64::MAX);
        let result = self.attempt(Operation::AppendDurable);
        self.marks.push(self.disk.mutation_count());
        self.reader = None;
        self.workspace = None;
        match result {
            Ok(()) => Ok(()),
            Err(Stop::Refused(why) | Stop::Broken(why)) => Err(format!("going on: {why}")),
        }
    }

    fn attempt(&mut self, operation: Operation) -> Result<(), Stop> {
        match operation {
            Operation::Append => self.append(&[12], false),
            Operation::AppendKib => self.append(&[1 << 10], false),
            Operation::AppendBatch => self.append(&[40 << 10], false),
            Operation::AppendStretch => self.append(&[300 << 10], false),
            Operation::AppendSplit => self.append(&[(1 << 20) + 5000], false),
            Operation::AppendAll => self.append(&[20, 30, 40], false),
            Operation::AppendLargeGroup => self.append(&[40 << 10; 3], false),
            Operation::AppendDurable => self.append(&[12], true),
            Operation::Stream => self.append_to_stream(),
            Operation::Commit => self.commit(),
            Operation::Checkpoint => {
                self.open()?.checkpoint().map_err(|error| self.after_append_error(&error))?;
                self.acknowledge_all()
            }
            Operation::Close => self.close(),
            Operation::Open => {
                self.workspace = None;
                self.open().map(|_| ())
            }
            Operation::Read => self.read_beside(),
            Operation::Refresh => self.refresh(),
            Operation::Import => self.import(),
            Operation::Export => self.export(),
            Operation::Reindex => {
                self.open()?.reindex(true, |_, _| true).map_err(refused)?;
                Ok(())
            }
            Operation::Backup => self.backup(),
            Operation::Repair => self.repair(),
            Operation::Heal => self.heal(),
            Operation::Compact => self.compact(),
            Operation::Redact => self.redact(),
            Operation::Snapshot => self.snapshot(),
            Operation::Prune => self.prune(),
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.disk.mutation_count()
    }

    pub(super) fn own_model(&mut self) -> &mut LogModel {
        self.model.own_log().expect("it was created")
    }

    fn create(&mut self) -> Result<(), Stop> {
        let disk = Arc::clone(&self.through);
        let created = Workspace::create_on(disk, Path::new(OWN), options(self.aligned), None);
        let workspace = created.map_err(refused)?;
        self.model.created = Some(self.position());
        let own = workspace.own_log().id();
        self.model.own = Some(own);
        self.model.logs.entry(own).or_default();
        self.workspace = Some(workspace);
        Ok(())
    }

    /// The workspace, open for writing.
    pub(super) fn open(&mut self) -> Result<Workspace, Stop> {
        if let Some(workspace) = &self.workspace {
            return Ok(workspace.clone());
        }
        if self.model.created.is_none() {
            // What a failed creation left may be a workspace, or something that can be created over.
            self.create().or_else(|_| self.adopt())?;
        } else {
            if self.model.is_damaged(u64::MAX) {
                self.repair_from_replica()?;
            }
            let disk = Arc::clone(&self.through);
            let opened = Workspace::open_on(disk, Path::new(OWN), options(self.aligned));
            let workspace = opened.map_err(refused)?;
            self.settle(&workspace)?;
            self.workspace = Some(workspace);
        }
        Ok(self.workspace.clone().expect("just opened"))
    }

    fn adopt(&mut self) -> Result<(), Stop> {
        let disk = Arc::clone(&self.through);
        let workspace = Workspace::open_on(disk, Path::new(OWN), options(self.aligned));
        let workspace = workspace.map_err(refused)?;
        let own = workspace.own_log().id();
        self.model.created = Some(self.position());
        self.model.own = Some(own);
        self.model.logs.entry(own).or_default();
        self.workspace = Some(workspace);
        Ok(())
    }

    /// What an opening finds is durable, and all that there is.
    fn settle(&mut self, workspace: &Workspace) -> Result<(), Stop> {
        let durable = workspace.durable();
        if self.faulty {
            let view = workspace.own_log();
            let position = self.position();
            let model = self.own_model();
            let found = compare::compare_readable(model, &view, position, Whose::Own)?;
            if !model.truncate(found.changes) {
                return Err(Stop::Broken("the log was opened and ends inside a group".to_owned()));
            }
            model.lose_redactions(found.entries);
        } else if durable.changes != self.own_model().change_count() {
            let submitted = self.own_model().change_count();
            let why = format!("opened with {} of {submitted} changes", durable.changes);
            return Err(Stop::Broken(why));
        }
        self.acknowledge(durable.changes, durable.entries)
    }

    /// Notes a promise about the own log.
    fn acknowledge(&mut self, changes: u64, entries: u64) -> Result<(), Stop> {
        let own = self.model.own.expect("it was created");
        self.acknowledge_log(own, changes, entries)
    }

    pub(super) fn acknowledge_log(
        &mut self,
        log: LogId,
        changes: u64,
        entries: u64,
    ) -> Result<(), Stop> {
        if let Some(probe) = &self.probe {
            let path = Path::new(OWN).join("logs").join(format!("{log}.seg"));
            probe(&path).map_err(Stop::Broken)?;
        }
        if !self.lied_to {
            let position = self.position();
            self.model.logs.entry(log).or_default().acknowledge(position, changes, entries);
        }
        Ok(())
    }

    /// Everything that was submitted is promised now.
    pub(super) fn acknowledge_all(&mut self) -> Result<(), Stop> {
        let durable = self.workspace.as_ref().expect("just used").durable();
        let submitted = self.own_model().change_count();
        if durable.changes != submitted {
            let why = format!("{} of {submitted} changes were acknowledged", durable.changes);
            return Err(Stop::Broken(why));
        }
        self.acknowledge(durable.changes, durable.entries)
    }

    fn payloads(&self, lens: &[usize]) -> Vec<Arc<[u8]>> {
        let number = self.marks.len() as u64;
        let payload = |(at, len): (usize, &usize)| {
            let mut payload = format!("{number:03}.{at} ").into_bytes();
            let mut random = Random::new(number * 100 + at as u64);
            payload.extend(random.bytes(len.saturating_sub(payload.len())));
            Arc::from(payload)
        };
        lens.iter().enumerate().map(payload).collect()
    }

    fn append(&mut self, lens: &[usize], durably: bool) -> Result<(), Stop> {
        let workspace = self.open()?;
        let changes = self.payloads(lens);
        let begun = self.position();
        let parts: Vec<_> = changes.iter().map(|payload| Change::new(payload)).collect();
        let ticket = workspace.append_all(&parts);
        self.submitted(begun, changes.clone(), StreamId::DEFAULT, ticket.as_ref())?;
        if let (true, Ok(ticket)) = (durably, ticket) {
            ticket.wait_durable().map_err(|error| self.after_append_error(&error))?;
            self.acknowledge_all()?;
        }
        Ok(())
    }

    fn append_to_stream(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        let name = format!("stream {}", self.marks.len() % 2);
        let begun = self.position();
        let stream = match workspace.stream(&name) {
            Ok(stream) => stream,
            Err(annals::StreamError::Append(error)) => return Err(self.after_append_error(&error)),
            Err(error) => return Err(refused(error)),
        };
        let changes = self.payloads(&[12]);
        let ticket = stream.append(&changes[0]);
        self.submitted(begun, changes.clone(), stream.id(), ticket.as_ref())
    }

    fn submitted(
        &mut self,
        begun: u64,
        changes: Vec<Arc<[u8]>>,
        stream: StreamId,
        ticket: Result<&annals::workspace::Ticket<'_>, &AppendError>,
    ) -> Result<(), Stop> {
        let end = ticket.as_ref().ok().map(|ticket| ticket.indices().end);
        let stream = Some(stream);
        match ticket {
            Ok(_) => {
                self.own_model().groups.push(Group { begun, changes, stream, end });
                Ok(())
            }
            Err(error) => {
                if matches!(error, AppendError::Poisoned(_)) {
                    // What the disk holds is unknown.
                    self.own_model().groups.push(Group { begun, changes, stream, end });
                }
                Err(self.after_append_error(error))
            }
        }
    }

    /// Does what the error says is to be done.
    pub(super) fn after_append_error(&mut self, error: &AppendError) -> Stop {
        match error {
            AppendError::DiskFull { void_from, .. } => {
                self.own_model().void_from(*void_from);
                match self.workspace.as_ref().map(Workspace::resume) {
                    // It was to be closed, and it is.
                    Some(Err(AppendError::ReadOnly)) => self.workspace = None,
                    Some(Err(error)) => {
                        return Stop::Broken(format!("resuming after a full disk: {error}"));
                    }
                    Some(Ok(())) | None => {}
                }
            }
            AppendError::Poisoned(_) => {
                let poisoned = self.workspace.as_ref().is_some_and(Workspace::is_poisoned);
                self.workspace = None;
                if !poisoned {
                    return Stop::Broken("poisoned, and does not say so".to_owned());
                }
            }
            _ => {}
        }
        refused(error)
    }

    fn commit(&mut self) -> Result<(), Stop> {
        let progress = self.open()?.commit().map_err(|error| self.after_append_error(&error))?;
        let submitted = self.own_model().change_count();
        if progress.changes != submitted {
            let why = format!("a commit says {} of {submitted} changes", progress.changes);
            return Err(Stop::Broken(why));
        }
        self.acknowledge_all()
    }

    pub(super) fn close(&mut self) -> Result<(), Stop> {
        let Some(workspace) = self.workspace.clone() else { return Ok(()) };
        workspace.close().map_err(|error| self.after_append_error(&error))?;
        self.acknowledge_all()?;
        self.workspace = None;
        Ok(())
    }

    /// The other client, which has a machine of its own on which nothing goes wrong.
    pub(super) fn other(&mut self, own: &Workspace) -> Result<Workspace, Stop> {
        if let Some(other) = &self.other {
            return Ok(other.clone());
        }
        let disk = Arc::new(SimDisk::new(OTHER_SEED));
        let joined =
            Workspace::create_on(disk, Path::new("other"), Options::default(), Some(own.id()));
        let other = joined.map_err(|error| Stop::Broken(format!("another client: {error}")))?;
        self.other = Some(other.clone());
        Ok(other)
    }

    /// The other client goes on by itself; nothing can go wrong with that.
    pub(super) fn other_grows(&mut self, other: &Workspace) -> Result<Vec<Arc<[u8]>>, AppendError> {
        let changes = self.payloads(&[15, 2000, 16]);
        other.append(&changes[0])?;
        other.append_all(&[Change::new(&changes[1]), Change::new(&changes[2])])?;
        other.commit()?;
        Ok(changes)
    }

    /// A copy of everything, with all that was imported.
    fn backup(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        let path = PathBuf::from(format!("backup-{}", self.marks.len()));
        let begun = self.position();
        let changes = self.own_model().change_count();
        self.model.backups.push(Backup { path: path.clone(), begun, done: None, changes });
        match workspace.backup(&path, |_, _| ()) {
            Ok(()) => {}
            Err(annals::BackupError::Append(error)) => {
                return Err(self.after_append_error(&error));
            }
            Err(error) => return Err(refused(error)),
        }
        let done = self.position();
        if !self.lied_to {
            self.model.backups.last_mut().expect("just noted").done = Some(done);
        }
        self.acknowledge_all()
    }

    fn export(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        let mut bundle = Vec::new();
        match workspace.export(&Frontier::empty(), &mut bundle) {
            Ok(_) => self.acknowledge_all(),
            Err(annals::ExportError::Append(error)) => Err(self.after_append_error(&error)),
            Err(error) => Err(refused(error)),
        }
    }
}

//! Another client, on a machine of its own on which nothing goes wrong, and what goes to and fro.

use std::{path::Path, sync::Arc};

use annals::{
    AppendError, Change, Frontier, ImportError, LogId, Options, Workspace,
    io::{Disk, sim::SimDisk},
};

use super::{
    Sizes, Stop,
    acts::drafts,
    ledger::{Draft, Ledger},
    world::World,
};
use crate::simulation::Random;

const PEER: &str = "peer";

pub(super) struct Peer {
    pub(super) disk: SimDisk,
    pub(super) workspace: Workspace,
    pub(super) ledger: Ledger,
    pub(super) log: LogId,
    /// Entries of its log that were acknowledged to be in the copy of it.
    pub(super) copied: u64,
    /// Entries of the copy that were compared.
    compared: u64,
}

impl Peer {
    pub(super) fn new(of: &Workspace, seed: u64, lies: bool) -> Result<Self, Stop> {
        let disk = SimDisk::new(seed ^ 1);
        let through: Arc<dyn Disk> = Arc::new(disk.clone());
        let options = Options::default().cache_len(1 << 20);
        let joined = Workspace::create_on(through, Path::new(PEER), options, Some(of.id()));
        let workspace = joined.map_err(Stop::broken)?;
        let log = workspace.own_log().id();
        let ledger = if lies { Ledger::with_history() } else { Ledger::default() };
        Ok(Self { disk, workspace, ledger, log, copied: 0, compared: 0 })
    }

    fn broken(error: impl std::fmt::Display) -> Stop {
        Stop::Broken(format!("the peer: {error}"))
    }

    fn append(&mut self, drafts: Vec<Draft>) -> Result<(), Stop> {
        let changes = drafts.iter().map(|draft| Change::new(&draft.payload));
        let changes: Vec<_> = changes.collect();
        let ticket = self.workspace.append_all(&changes).map_err(Self::broken)?;
        self.ledger.appended(&self.workspace.own_log(), ticket.indices(), drafts)
    }

    /// Goes on by itself.
    fn grow(&mut self, random: &mut Random) -> Result<(), Stop> {
        for _ in 0..=random.below(3) {
            let count = 1 + random.below(3);
            self.append(drafts(random, count, Sizes::Small))?;
        }
        self.workspace.commit().map_err(Self::broken)?;
        Ok(())
    }

    /// Whether the copy of its log in `workspace` is a part of it.
    pub(super) fn check_copy(&mut self, workspace: &Workspace, lenient: bool) -> Result<(), Stop> {
        let Ok(view) = workspace.log(self.log) else {
            return if self.copied == 0 || lenient {
                Ok(())
            } else {
                Err(Stop::Broken("the copy of the peer's log is gone".to_owned()))
            };
        };
        let size = view.entry_count();
        if view.damage().is_some() && lenient {
            return Err(Stop::Refused("the copy of the peer's log is damaged".to_owned()));
        }
        if size < self.copied {
            let had = self.copied;
            return Err(Stop::Broken(format!("{size} of {had} entries of the peer are there")));
        }
        if size > self.ledger.end() || !self.ledger.is_boundary(size) {
            return Err(Stop::Broken(format!("the copy of the peer's log ends at {size}")));
        }
        let from = self.compared.min(size);
        self.ledger.compare(&view, from..size)?;
        if size > from {
            let ours = view.root().map_err(Stop::unreadable)?;
            if ours != self.workspace.own_log().root_at(size).map_err(Self::broken)? {
                return Err(Stop::Broken("another root of the peer's log".to_owned()));
            }
        }
        self.compared = size;
        Ok(())
    }

    /// Compares all of the copy at the next occasion.
    pub(super) fn doubt(&mut self) {
        self.compared = 0;
    }
}

impl World {
    /// What the peer has done meanwhile.
    fn bundle(&mut self, workspace: &Workspace, random: &mut Random) -> Result<Vec<u8>, Stop> {
        self.peer.grow(random)?;
        let since = workspace.frontier().map_err(Stop::unreadable)?;
        let mut bundle = Vec::new();
        self.peer.workspace.export(&since, &mut bundle).map_err(Peer::broken)?;
        Ok(bundle)
    }

    /// What was imported of the peer's log is there; a log that an import could not write is opened again.
    fn imported(
        &mut self,
        workspace: &Workspace,
        result: Result<annals::ImportReport, ImportError>,
    ) -> Result<(), Stop> {
        match result {
            Ok(report) => {
                let of_peer = report.logs.iter().find(|imported| imported.log == self.peer.log);
                if let Some(of_peer) = of_peer
                    && !self.lies()
                {
                    self.peer.copied = self.peer.copied.max(of_peer.after);
                }
                let lenient = self.is_lenient();
                self.peer.check_copy(workspace, lenient)
            }
            Err(ImportError::Append(error)) => {
                if workspace.is_poisoned() {
                    return Err(self.append_failed(&error, Vec::new()));
                }
                if let AppendError::DiskFull { .. } = error {
                    // Of the copy, or of the own log: nothing is void that was acknowledged.
                    let _ = workspace.resume();
                }
                self.workspace = None;
                Err(Stop::refused(error))
            }
            Err(ImportError::Read(error)) => Err(Stop::unreadable(error)),
            Err(error) => {
                self.workspace = None;
                Err(Stop::refused(error))
            }
        }
    }

    pub(super) fn import(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let bundle = self.bundle(&workspace, random)?;
        self.rewriting = true;
        self.tally.imports += 1;
        let result = workspace.import(&bundle[..]);
        self.imported(&workspace, result)
    }

    /// The bundle is cut or changed on its way: it is refused, or the sound part of it stays.
    pub(super) fn import_damaged(&mut self, random: &mut Random) -> Result<(), Stop> {
        let workspace = self.open()?;
        let mut bundle = self.bundle(&workspace, random)?;
        let at = usize::try_from(random.below(bundle.len() as u64)).expect("below a length");
        let is_cut = random.below(2) == 0;
        if is_cut {
            bundle.truncate(at);
        } else {
            bundle[at] ^= 1 << random.below(8);
        }
        self.rewriting = true;
        match workspace.import(&bundle[..]) {
            Ok(_) => Err(Stop::Broken("a damaged bundle was imported".to_owned())),
            Err(ImportError::Append(error)) => self.imported(&workspace, Err(error.into())),
            Err(ImportError::Read(error)) => Err(Stop::unreadable(error)),
            Err(ImportError::Io(_) | ImportError::Unusable { .. }) if self.is_lenient() => {
                self.workspace = None;
                Ok(())
            }
            Err(ImportError::Contradiction { .. } | ImportError::Diverged { .. }) if is_cut => {
                Err(Stop::Broken("a bundle that was cut is said to contradict".to_owned()))
            }
            Err(_) => {
                let lenient = self.is_lenient();
                self.peer.check_copy(&workspace, lenient)
            }
        }
    }

    /// Whatever leaves the device is promised, and the peer finds nothing wrong with it.
    pub(super) fn export(&mut self) -> Result<(), Stop> {
        if self.lies() {
            return Ok(());
        }
        let workspace = self.open()?;
        let since = self.peer.workspace.frontier().map_err(Peer::broken)?;
        let mut bundle = Vec::new();
        match workspace.export(&since, &mut bundle) {
            Ok(_) => {}
            Err(annals::ExportError::Append(error)) => {
                return Err(self.append_failed(&error, Vec::new()));
            }
            Err(annals::ExportError::Read(error)) => return Err(Stop::unreadable(error)),
            Err(error) => return Err(Stop::refused(error)),
        }
        self.tally.exports += 1;
        let imported = self.peer.workspace.import(&bundle[..]);
        imported.map_err(|error| Stop::Broken(format!("the peer takes no export: {error}")))?;
        let holds = self.peer.workspace.log(workspace.own_log().id());
        let holds = holds.map_or(0, |view| view.entry_count());
        self.ledger.catch_up(&workspace.own_log(), holds)?;
        self.acknowledge(holds);
        Ok(())
    }

    /// The peer's workspace as it is on its disk, put onto this one as `folder`; or all of it as a bundle.
    pub(super) fn put_replica(&mut self, random: &mut Random) -> Result<&'static Path, Stop> {
        let path = Path::new("replica");
        self.peer.workspace.checkpoint().map_err(Peer::broken)?;
        if random.below(2) == 0 {
            let path = Path::new("replica.bundle");
            let mut bundle = Vec::new();
            let all = self.peer.workspace.export(&Frontier::empty(), &mut bundle);
            all.map_err(Peer::broken)?;
            self.disk.set_content(path, bundle);
            return Ok(path);
        }
        for old in self.disk.paths().into_iter().filter(|old| old.starts_with(path)) {
            self.disk.remove(&old).map_err(Stop::refused)?;
        }
        for file in self.peer.disk.paths() {
            let Ok(rest) = file.strip_prefix(PEER) else { continue };
            let content = self.peer.disk.content(&file).expect("it is listed");
            self.disk.set_content(path.join(rest), content);
        }
        Ok(path)
    }
}

//! What a session does with others: readers, another client, a replica that heals.

use std::{path::Path, sync::Arc};

use annals::{
    AppendError, ImportError, Workspace,
    check::{Depth, RepairOptions, repair_on},
};

use super::{
    compare::{self, Whose},
    model::Group,
    session::{OWN, REPLICA, Session, Stop, options, refused},
};

impl Session {
    pub(super) fn read_beside(&mut self) -> Result<(), Stop> {
        if self.model.created.is_none() || self.model.is_damaged(u64::MAX) {
            self.open()?;
        }
        self.reader = None;
        let disk = Arc::clone(&self.through);
        let reader = Workspace::open_read_only_on(disk, Path::new(OWN), options(false));
        self.reader = Some(reader.map_err(refused)?);
        self.read_all()
    }

    pub(super) fn refresh(&mut self) -> Result<(), Stop> {
        let Some(reader) = &self.reader else { return self.read_beside() };
        reader.refresh().map_err(refused)?;
        self.read_all()
    }

    /// What a reader has seen is promised: nobody may be shown what a power loss can take.
    fn read_all(&mut self) -> Result<(), Stop> {
        let reader = self.reader.clone().expect("just opened");
        let position = self.position();
        let own = self.model.own;
        for view in reader.logs() {
            let is_own = Some(view.id()) == own;
            let model = self.model.logs.entry(view.id()).or_default();
            // Where a lock record could not be written, a reader does not learn of the next generation, as it does not of
            // what else was written since.
            let whose = if self.faulty { Whose::Copied } else { Whose::Own };
            let found = compare::compare_readable(model, &view, position, whose)?;
            let (changes, entries) = model.promised(position);
            if !self.faulty && (found.changes < changes || found.entries < entries) {
                let why = format!(
                    "a reader sees {} of {changes} acknowledged changes of {}",
                    found.changes,
                    view.id()
                );
                return Err(Stop::Broken(why));
            }
            // Without a writer a reader makes durable what it can, which after a failed sync may be nothing.
            let is_sure = !self.faulty || self.workspace.is_some();
            if is_own && is_sure && !self.lied_to {
                model.acknowledge(position, found.changes, found.entries);
            }
        }
        Ok(())
    }

    pub(super) fn import(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        let other = self.other(&workspace)?;
        let broken = |error: String| Stop::Broken(format!("another client: {error}"));
        let changes = self.other_grows(&other).map_err(|error| broken(error.to_string()))?;
        let log = other.own_log().id();
        let begun = self.position();
        let model = self.model.logs.entry(log).or_default();
        let (single, group) = (changes[..1].to_vec(), changes[1..].to_vec());
        for changes in [single, group] {
            model.groups.push(Group { begun, changes, stream: None, end: None });
        }
        let since = workspace.frontier().map_err(refused)?;
        let mut bundle = Vec::new();
        other.export(&since, &mut bundle).map_err(|error| broken(error.to_string()))?;
        match workspace.import(&bundle[..]) {
            Ok(report) => {
                let after = report.logs.iter().find(|imported| imported.log == log);
                let entries = after.map_or(0, |imported| imported.after);
                let changes = other.durable().changes;
                self.acknowledge_log(log, changes, entries)
            }
            Err(ImportError::Append(error)) => {
                let own_is_well = !workspace.is_poisoned();
                if matches!(error, AppendError::Poisoned(_)) && own_is_well {
                    // The replica is: it is opened again with the workspace.
                    self.workspace = None;
                    return Err(refused(error));
                }
                if matches!(error, AppendError::DiskFull { .. }) {
                    self.workspace = None;
                    return Err(refused(error));
                }
                Err(self.after_append_error(&error))
            }
            Err(error) => {
                self.workspace = None;
                Err(refused(error))
            }
        }
    }

    pub(super) fn repair(&mut self) -> Result<(), Stop> {
        if self.model.created.is_none() {
            self.open()?;
        }
        self.workspace = None;
        if self.model.is_damaged(u64::MAX) {
            return self.repair_from_replica();
        }
        self.repair_with(RepairOptions::from(Depth::Payloads))
    }

    fn repair_with(&mut self, options: RepairOptions) -> Result<(), Stop> {
        let report =
            repair_on(&self.through, Path::new(OWN), options, |_, _| ()).map_err(refused)?;
        match report.errors().next() {
            None => Ok(()),
            Some(finding) => {
                let why = format!("a repair leaves: {finding}");
                Err(if self.faulty { Stop::Refused(why) } else { Stop::Broken(why) })
            }
        }
    }

    /// Mends the damage that was done on purpose.
    pub(super) fn repair_from_replica(&mut self) -> Result<(), Stop> {
        self.repair_with(heal_options())?;
        let position = self.position();
        for (_, until) in &mut self.model.damaged {
            until.get_or_insert(position);
        }
        Ok(())
    }

    pub(super) fn heal(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        workspace.checkpoint().map_err(|error| self.after_append_error(&error))?;
        self.acknowledge_all()?;
        let durable = workspace.durable();
        let disk = Arc::clone(&self.through);
        let path = Path::new(REPLICA);
        let replica = match Workspace::open_on(Arc::clone(&disk), path, options(false)) {
            Ok(replica) => replica,
            Err(_) => Workspace::create_on(disk, path, options(false), Some(workspace.id()))
                .map_err(refused)?,
        };
        let since = replica.frontier().map_err(refused)?;
        let (own, first_index) = {
            let view = workspace.own_log();
            (view.id(), view.first_index())
        };
        if (1..first_index).contains(&since.size(own)) {
            // The replica lacks what was pruned, and can take nothing of the rest.
            return Ok(());
        }
        let mut bundle = Vec::new();
        workspace.export(&since, &mut bundle).map_err(refused)?;
        let imported = replica.import(&bundle[..]).map_err(refused)?;
        if !imported.logs.is_empty() && !self.lied_to {
            let position = self.position();
            self.model.replica.push(super::Acknowledged {
                position,
                changes: durable.changes,
                entries: durable.entries,
            });
        }
        replica.close().map_err(refused)?;
        drop(workspace);
        self.close()?;
        self.reader = None;
        self.damage();
        self.repair_from_replica()
    }

    /// Changes a byte of the first entry, at rest.
    fn damage(&mut self) {
        let own = self.model.own.expect("it was created");
        let path = Path::new(OWN).join("logs").join(format!("{own}.seg"));
        let Some(mut bytes) = self.disk.content(&path) else { return };
        // In the batch's payload, behind the headers of the frame and of the batch.
        let Some(byte) = bytes.get_mut(16_384 + 72 + 100) else { return };
        *byte ^= 0x40;
        self.model.damaged.push((self.position(), None));
        self.disk.set_content(&path, bytes);
    }
}

/// How the damage that was done on purpose is mended.
pub(super) fn heal_options() -> RepairOptions {
    RepairOptions {
        depth: Depth::Payloads,
        replicas: vec![REPLICA.into()],
        ..RepairOptions::default()
    }
}

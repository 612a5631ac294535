//! What a session does with the past: it compacts, takes back, records a state, prunes.

use std::ops::Range;

use annals::{
    CompactError, CompactOptions, CompactReport, CompactedLog, LogView, PruneError, PruneOptions,
    ReadError, RedactError, SnapshotError, Workspace,
};

use super::{
    compare::{self, REASON},
    model::{Pruned, TakenBack},
    session::{Session, Stop, refused},
};

impl Session {
    pub(super) fn compact(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        self.remember_all(&workspace)?;
        // A level that costs little: what is written is so, too.
        let options = CompactOptions::default().level(1);
        match workspace.compact(&options, |_, _| true) {
            Ok(report) => self.compacted(&report),
            Err(error) => Err(self.after_compact_error(error)),
        }
    }

    fn compacted(&mut self, report: &CompactReport) -> Result<(), Stop> {
        if report.logs.first().map(|log| Some(log.log)) != Some(self.model.own) {
            return Err(Stop::Broken("a compaction does not begin with the own log".to_owned()));
        }
        self.forgotten();
        // What is compacted is durable, and nothing is appended here meanwhile.
        self.acknowledge_all()
    }

    /// What was redacted is gone.
    fn forgotten(&mut self) {
        if !self.lied_to {
            let position = self.position();
            self.own_model().forget(position);
        }
    }

    /// Keeps all entries and roots that are promised: they are to stay what they are.
    fn remember_all(&mut self, workspace: &Workspace) -> Result<(), Stop> {
        let position = self.position();
        if self.lied_to {
            return Ok(());
        }
        for view in workspace.logs() {
            let model = self.model.logs.entry(view.id()).or_default();
            model.rewritten.get_or_insert(position);
            // What is not durable may come to nothing where calls fail.
            let upto = if self.faulty { model.promised(position).1 } else { view.entry_count() };
            compare::remember(model, &view, upto).map_err(|error| self.after_read_error(error))?;
        }
        Ok(())
    }

    /// Submits a redaction of the last change that was not taken back before.
    pub(super) fn redact(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        let Some(entries) = self.next_to_take_back(&workspace)? else { return Ok(()) };
        let begun = self.position();
        let (by, error) = match workspace.redact(workspace.client(), entries.end - 1, REASON) {
            Ok(ticket) => (Some(ticket.index()), None),
            Err(error) => (None, Some(error)),
        };
        match error {
            None => self.took_back(TakenBack { begun, entries, by, forgotten: None }),
            Some(RedactError::Append(error)) => {
                if matches!(error, annals::AppendError::Poisoned(_)) {
                    // What the disk holds is unknown.
                    self.took_back(TakenBack { begun, entries, by, forgotten: None });
                }
                return Err(self.after_append_error(&error));
            }
            Some(RedactError::Read(error)) => return Err(self.after_read_error(error)),
            Some(error) => return Err(refused(error)),
        }
        Ok(())
    }

    fn took_back(&mut self, redaction: TakenBack) {
        self.own_model().taken_back.push(redaction);
    }

    fn next_to_take_back(&mut self, workspace: &Workspace) -> Result<Option<Range<u64>>, Stop> {
        let first_index = workspace.own_log().first_index();
        let model = self.own_model();
        let known: Vec<_> = model.taken_back.iter().map(|before| before.entries.clone()).collect();
        let groups: Vec<_> =
            model.groups.iter().rev().map(|group| (group.end, group.changes.len())).collect();
        for (end, count) in groups {
            let Some(mut end) = end else { continue };
            for _ in 0..count {
                if end <= first_index {
                    return Ok(None);
                }
                let entries = match workspace.redactable(workspace.client(), end - 1) {
                    Ok(entries) => entries,
                    Err(RedactError::Read(error)) => return Err(self.after_read_error(error)),
                    Err(error) => return Err(refused(error)),
                };
                if !known.contains(&entries) {
                    return Ok(Some(entries));
                }
                end = entries.start;
            }
        }
        Ok(None)
    }

    /// Submits a snapshot of everything so far.
    pub(super) fn snapshot(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        let frontier = workspace.frontier().map_err(|error| self.after_read_error(error))?;
        match workspace.snapshot(&frontier, b"the state so far") {
            Ok(_) => Ok(()),
            Err(SnapshotError::Append(error)) => Err(self.after_append_error(&error)),
            Err(SnapshotError::Read(error)) => Err(self.after_read_error(error)),
            Err(error) => Err(refused(error)),
        }
    }

    pub(super) fn prune(&mut self) -> Result<(), Stop> {
        let workspace = self.open()?;
        let view = workspace.own_log();
        let snapshots = workspace.snapshots().map_err(|error| self.after_read_error(error))?;
        let covered = snapshots.iter().map(|snapshot| snapshot.frontier.size(view.id())).max();
        let mut size = covered.unwrap_or(0);
        if self.marks.len() % 2 == 1 {
            size /= 2;
        }
        if size <= view.first_index() {
            return Ok(());
        }
        self.remember_all(&workspace)?;
        match self.prune_to(&workspace, &view, size) {
            Err(PruneError::InsideChange { first, .. }) if first <= view.first_index() => Ok(()),
            Err(PruneError::InsideChange { first, .. }) => {
                let again = self.prune_to(&workspace, &view, first);
                self.pruned(again)
            }
            done => self.pruned(done),
        }
    }

    fn prune_to(
        &mut self,
        workspace: &Workspace,
        view: &LogView,
        size: u64,
    ) -> Result<CompactedLog, PruneError> {
        let first_index = view.first_index();
        let begun = self.position();
        let model = self.own_model();
        // Of what is pruned already, which nobody doubts as it can be read.
        let mut changes = model.pruned_to(first_index, begun).unwrap_or(0);
        for entry in view.scan(first_index..size)? {
            let entry = entry?;
            changes += u64::from(!entry.kind().is_control() && entry.end_index() <= size);
        }
        model.pruned.push(Pruned { begun, done: None, size, changes });
        workspace.prune(workspace.client(), size, &PruneOptions::default().force(), |_, _| true)
    }

    fn pruned(&mut self, done: Result<CompactedLog, PruneError>) -> Result<(), Stop> {
        match done {
            Ok(_) => {
                if !self.lied_to {
                    let position = self.position();
                    let pruned = self.own_model().pruned.last_mut();
                    pruned.expect("just noted").done = Some(position);
                }
                self.forgotten();
                self.acknowledge_all()
            }
            Err(PruneError::Compact(error)) => Err(self.after_compact_error(error)),
            Err(PruneError::Read(error)) => Err(self.after_read_error(error)),
            Err(error) => Err(refused(error)),
        }
    }

    /// A log that was not compacted is as it was before, or it is poisoned and says so.
    fn after_compact_error(&mut self, error: CompactError) -> Stop {
        match error {
            CompactError::Append(error) => self.after_append_error(&error),
            CompactError::Read(error) => self.after_read_error(error),
            error => {
                if self.workspace.as_ref().is_some_and(Workspace::is_poisoned) {
                    return Stop::Broken(format!("poisoned, and does not say so: {error}"));
                }
                refused(error)
            }
        }
    }

    /// What was staged is written before it is read, which can fail too.
    fn after_read_error(&mut self, error: ReadError) -> Stop {
        match error {
            ReadError::Append(error) => self.after_append_error(&error),
            error => refused(error),
        }
    }
}

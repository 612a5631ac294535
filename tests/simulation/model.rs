//! What a program was told: what it submitted, and what was acknowledged.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use annals::{Entry, Hash as Root, LogId, StreamId};

/// Changes that were appended as one, so that a crash leaves all of them or none.
#[derive(Clone, Debug)]
pub struct Group {
    /// What the disk had seen when it was submitted.
    pub begun: u64,
    /// The payloads.
    pub changes: Vec<Arc<[u8]>>,
    /// Their stream; `None` if that is not known.
    pub stream: Option<StreamId>,
    /// Index behind its last entry; `None` if appending failed in a way that leaves this open.
    pub end: Option<u64>,
}

/// A promise: this much is there, whatever happens from now on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Acknowledged {
    /// What the disk had seen when it was given.
    pub position: u64,
    /// Changes.
    pub changes: u64,
    /// Entries.
    pub entries: u64,
}

/// A change that was taken back.
#[derive(Clone, Debug)]
pub struct TakenBack {
    /// What the disk had seen when the redaction was submitted.
    pub begun: u64,
    /// The entries that it is about.
    pub entries: Range<u64>,
    /// The redaction itself; `None` if appending it failed in a way that leaves open whether it is there.
    pub by: Option<u64>,
    /// What the disk had seen when a compaction had forgotten the payload.
    pub forgotten: Option<u64>,
}

/// Entries that were pruned.
#[derive(Clone, Copy, Debug)]
pub struct Pruned {
    /// What the disk had seen when this was asked for.
    pub begun: u64,
    /// What it had seen when it was done; `None` if it failed.
    pub done: Option<u64>,
    /// The first entry that stays.
    pub size: u64,
    /// Changes before it.
    pub changes: u64,
}

/// One log.
#[derive(Clone, Debug, Default)]
pub struct LogModel {
    /// What was submitted, in order.
    pub groups: Vec<Group>,
    /// What was acknowledged, in order.
    pub acknowledged: Vec<Acknowledged>,
    /// The entries that the log had, by index: in the end of a run in which nothing went wrong, and before it was
    /// written anew as far as they were acknowledged.
    pub entries: BTreeMap<u64, Entry>,
    /// Its roots, by size, noted together with the entries.
    pub roots: BTreeMap<u64, Root>,
    /// What was taken back.
    pub taken_back: Vec<TakenBack>,
    /// What was pruned.
    pub pruned: Vec<Pruned>,
    /// What the disk had seen when the log was first to be written anew: from then on all its roots and proofs are
    /// compared.
    pub rewritten: Option<u64>,
}

/// A copy of the workspace.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its folder.
    pub path: PathBuf,
    /// What the disk had seen when it began.
    pub begun: u64,
    /// What it had seen when it was done.
    pub done: Option<u64>,
    /// The changes that were there when it began.
    pub changes: u64,
}

/// All that a session knows.
#[derive(Clone, Debug)]
pub struct Model {
    /// When the workspace was created; `None` if that failed.
    pub created: Option<u64>,
    /// The log of the client itself; `None` before it was created.
    pub own: Option<LogId>,
    /// All logs of the workspace.
    pub logs: BTreeMap<LogId, LogModel>,
    /// What the replica was told of the own log.
    pub replica: Vec<Acknowledged>,
    /// Copies.
    pub backups: Vec<Backup>,
    /// When the own log was damaged on purpose, and when it was healed.
    pub damaged: Vec<(u64, Option<u64>)>,
}

/// The highest of the promises that were given up to a position.
pub(super) fn promised(promises: &[Acknowledged], position: u64) -> (u64, u64) {
    let given = promises.iter().filter(|promise| promise.position <= position);
    given.fold((0, 0), |(changes, entries), promise| {
        (promise.changes.max(changes), promise.entries.max(entries))
    })
}

impl LogModel {
    /// Changes that were submitted.
    pub fn change_count(&self) -> u64 {
        self.groups.iter().map(|group| group.changes.len() as u64).sum()
    }

    /// Changes and entries that are promised at a position.
    pub fn promised(&self, position: u64) -> (u64, u64) {
        promised(&self.acknowledged, position)
    }

    /// Notes a promise.
    pub fn acknowledge(&mut self, position: u64, changes: u64, entries: u64) {
        self.acknowledged.push(Acknowledged { position, changes, entries });
    }

    /// Forgets the groups that end above this index: they are void.
    pub fn void_from(&mut self, index: u64) {
        let stands = |group: &Group| group.end.is_some_and(|end| end <= index);
        let kept = self.groups.iter().position(|group| !stands(group));
        self.groups.truncate(kept.unwrap_or(self.groups.len()));
        self.lose_redactions(index);
    }

    /// Redactions from this index on are void. What may be one stays: it may be there.
    pub fn lose_redactions(&mut self, index: u64) {
        self.taken_back.retain(|redaction| redaction.by.is_none_or(|by| by < index));
    }

    /// A compaction was done.
    pub fn forget(&mut self, position: u64) {
        for redaction in self.taken_back.iter_mut().filter(|redaction| redaction.by.is_some()) {
            redaction.forgotten.get_or_insert(position);
        }
    }

    /// Where the log may begin at a position, with the changes before that: `None` for what was never asked for.
    pub fn pruned_to(&self, first_index: u64, position: u64) -> Option<u64> {
        if first_index == 0 {
            return Some(0);
        }
        let mut asked = self.pruned.iter().filter(|pruned| pruned.begun <= position);
        // The last one: what comes before it may have been void.
        asked.rfind(|pruned| pruned.size == first_index).map(|pruned| pruned.changes)
    }

    /// How many entries are pruned for certain.
    pub fn certainly_pruned(&self, position: u64) -> u64 {
        let is_done = |pruned: &&Pruned| pruned.done.is_some_and(|done| done <= position);
        self.pruned.iter().filter(is_done).map(|pruned| pruned.size).max().unwrap_or(0)
    }

    /// Forgets what comes after these changes; false: they end inside a group.
    pub fn truncate(&mut self, changes: u64) -> bool {
        let mut sum = 0;
        let mut kept = 0;
        while sum < changes && kept < self.groups.len() {
            sum += self.groups[kept].changes.len() as u64;
            kept += 1;
        }
        self.groups.truncate(kept);
        sum == changes
    }
}

impl Model {
    /// The model of the own log.
    pub fn own_log(&mut self) -> Option<&mut LogModel> {
        let own = self.own?;
        Some(self.logs.entry(own).or_default())
    }

    /// Whether the own log is damaged on purpose at this position. The damage itself is one of the changes.
    pub fn is_damaged(&self, position: u64) -> bool {
        let holds = |(from, until): &(u64, Option<u64>)| {
            *from < position && until.is_none_or(|until| position < until)
        };
        self.damaged.iter().any(holds)
    }

    /// A hash of all that an oracle would go by at `position`: machines that are equal need to be judged only
    /// once where this is equal too.
    pub fn digest(&self, position: u64) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.created.is_some_and(|created| created <= position).hash(&mut hasher);
        self.is_damaged(position).hash(&mut hasher);
        for (id, log) in &self.logs {
            id.hash(&mut hasher);
            log.promised(position).hash(&mut hasher);
            log.rewritten.is_some_and(|rewritten| rewritten <= position).hash(&mut hasher);
            for redaction in log.taken_back.iter().filter(|redaction| redaction.begun <= position) {
                redaction.forgotten.is_some_and(|done| done <= position).hash(&mut hasher);
                redaction.entries.hash(&mut hasher);
            }
            for pruned in log.pruned.iter().filter(|pruned| pruned.begun <= position) {
                (pruned.size, pruned.done.is_some_and(|done| done <= position)).hash(&mut hasher);
            }
            for group in log.groups.iter().filter(|group| group.begun <= position) {
                for change in &group.changes {
                    // Payloads that differ do so in their first bytes.
                    (change.len(), change.first_chunk::<16>()).hash(&mut hasher);
                }
            }
        }
        promised(&self.replica, position).hash(&mut hasher);
        for backup in self.backups.iter().filter(|backup| backup.begun <= position) {
            backup.done.is_some_and(|done| done <= position).hash(&mut hasher);
            backup.changes.hash(&mut hasher);
        }
        hasher.finish()
    }
}

//! What is done to a workspace, and its form as text.

use std::{fmt, str::FromStr};

/// One thing that a program does with a workspace.
///
/// Whatever needs an open workspace opens it first, so that every sequence makes sense.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Operation {
    /// Appends one short change.
    Append,
    /// Appends one change of 1 KiB.
    AppendKib,
    /// Appends one change that fills a batch: 40 KiB.
    AppendBatch,
    /// Appends one change that fills a stretch of the index: 300 KiB.
    AppendStretch,
    /// Appends one change that is split into parts: a little more than a MiB.
    AppendSplit,
    /// Appends three changes as one atomic group.
    AppendAll,
    /// Appends a group that fills several batches: three changes of 40 KiB.
    AppendLargeGroup,
    /// Appends one short change and waits until it is durable.
    AppendDurable,
    /// Declares a stream, or takes the one of that name, and appends to it.
    Stream,
    /// Commits.
    Commit,
    /// Commits and records it.
    Checkpoint,
    /// Closes the workspace.
    Close,
    /// Drops what is open without looking at errors, and opens again.
    Open,
    /// Opens it once more to read only, beside the writer if there is one, and reads everything.
    Read,
    /// Lets the reader look again, and reads everything.
    Refresh,
    /// Imports what another client has done meanwhile, on a machine of its own.
    Import,
    /// Exports everything.
    Export,
    /// Makes the index anew.
    Reindex,
    /// Copies the workspace into another folder.
    Backup,
    /// Closes it, checks and mends.
    Repair,
    /// Closes it, damages an entry that a replica has, and heals it from there.
    Heal,
    /// Writes all logs anew.
    Compact,
    /// Takes back the last change of the own log that is there and was not taken back before.
    Redact,
    /// Records a state that stands for everything so far.
    Snapshot,
    /// Prunes the own log up to what the last snapshot stands for, or to half of that.
    Prune,
}

/// All operations with their names.
const NAMES: [(Operation, &str); 25] = [
    (Operation::Append, "append"),
    (Operation::AppendKib, "append-kib"),
    (Operation::AppendBatch, "append-batch"),
    (Operation::AppendStretch, "append-stretch"),
    (Operation::AppendSplit, "append-split"),
    (Operation::AppendAll, "append-all"),
    (Operation::AppendLargeGroup, "append-large-group"),
    (Operation::AppendDurable, "append-durable"),
    (Operation::Stream, "stream"),
    (Operation::Commit, "commit"),
    (Operation::Checkpoint, "checkpoint"),
    (Operation::Close, "close"),
    (Operation::Open, "open"),
    (Operation::Read, "read"),
    (Operation::Refresh, "refresh"),
    (Operation::Import, "import"),
    (Operation::Export, "export"),
    (Operation::Reindex, "reindex"),
    (Operation::Backup, "backup"),
    (Operation::Repair, "repair"),
    (Operation::Heal, "heal"),
    (Operation::Compact, "compact"),
    (Operation::Redact, "redact"),
    (Operation::Snapshot, "snapshot"),
    (Operation::Prune, "prune"),
];

impl Operation {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(operation, _)| *operation)
    }

    /// Its name.
    ///
    /// # Panics
    ///
    /// Never: each has one.
    pub fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(operation, _)| *operation == self);
        named.map(|(_, name)| *name).expect("every operation has a name")
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(operation, _)| *operation).ok_or_else(|| format!("{text:?} is no operation"))
    }
}

/// What is done from the start to the end, where what is still open is dropped.
///
/// As text the operations with commas between them: `append,commit`. With `create,` before them the workspace is
/// created too; else it is there, empty and closed. With `aligned,` its frames are aligned.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Workload {
    /// Creating the workspace is part of it.
    pub creates: bool,
    /// Frames start at multiples of 4096 bytes.
    pub aligned: bool,
    /// What is done then.
    pub operations: Vec<Operation>,
}

impl Workload {
    /// These operations on a workspace that is there.
    pub fn new(operations: impl Into<Vec<Operation>>) -> Self {
        Self { creates: false, aligned: false, operations: operations.into() }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [(self.aligned, "aligned"), (self.creates, "create")];
        let flags = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name);
        let names = flags.chain(self.operations.iter().map(|operation| operation.name()));
        for (at, name) in names.enumerate() {
            write!(f, "{}{name}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut workload = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "aligned" => workload.aligned = true,
                "create" => workload.creates = true,
                name => workload.operations.push(name.parse()?),
            }
        }
        Ok(workload)
    }
}

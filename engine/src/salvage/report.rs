//! What was salvaged, and what was not: for people and as JSON.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::SalvagedAssets;
use crate::{
    bytes::{ClientId, Hash, LogId, WorkspaceId},
    check,
    error::LostEntries,
};

/// What was salvaged out of a folder, and what is missing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The workspace, the same as before.
    pub workspace: WorkspaceId,
    /// The new client.
    pub client: ClientId,
    /// Its log, in which stand the changes from behind gaps.
    pub log: LogId,
    /// The folder of the new workspace.
    pub path: PathBuf,
    /// What came of each log, in the order of their ids.
    pub logs: Vec<SalvagedLog>,
    /// Assets that were taken over.
    pub assets: SalvagedAssets,
    /// Segments of which nothing could be taken.
    pub left_out: Vec<LeftOut>,
    /// What is worth knowing and no loss.
    pub notes: Vec<Note>,
    /// What a deep check of the new workspace says.
    pub check: check::Report,
}

/// What was salvaged of one log.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SalvagedLog {
    /// The client that wrote it.
    pub client: ClientId,
    /// The log.
    pub log: LogId,
    /// The files that have something of it, the one with the longest sound prefix first.
    pub files: Vec<SalvagedFile>,
    /// Sound entries that were found, each counted once; those of another history are not counted.
    pub entries: u64,
    /// Entries from the first on, pruned ones included, that are in the new workspace as a replica of this log.
    pub carried: u64,
    /// Their root; `None` if there are none.
    pub root: Option<Hash>,
    /// Changes from behind a gap, which are in the new client's log.
    pub appended: Appended,
    /// Entries that are lost, in ascending order.
    pub gaps: Vec<Gap>,
    /// Parts of changes of which other parts are lost; they are not in the new workspace.
    pub incomplete: Vec<IncompleteChange>,
    /// Streams whose declaration is lost, and what they are called in the new log.
    pub renamed: Vec<RenamedStream>,
}

/// A file that has something of a log.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SalvagedFile {
    /// The file.
    pub path: PathBuf,
    /// Sound entries in it.
    pub entries: u64,
    /// Entries from the first on, pruned ones included, up to its first gap or the last complete atomic group.
    pub prefix: u64,
    /// Bytes that could not be read from the disk.
    pub unreadable_bytes: u64,
    /// The first entry that is another one than in the replica that was carried over: the file has another
    /// history. From there on its changes are in the new client's log.
    pub contradicts_at: Option<u64>,
}

/// The changes of one log that were appended anew.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Appended {
    /// How many.
    pub changes: u64,
    /// Index in the new log of the first of them.
    pub first: Option<u64>,
    /// Index in the new log behind the last of them. Between the two may stand changes of other logs.
    pub end: Option<u64>,
    /// Changes that were not appended, since their payload was redacted or withheld.
    pub absent: u64,
}

/// Entries that are lost.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Gap {
    /// Index of the first one.
    pub first: u64,
    /// Index behind the last one; `None` if nothing says how many there were.
    pub end: Option<u64>,
    /// The file in which they are lost.
    pub path: PathBuf,
    /// Where in that file the damage begins, in bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub cause: String,
}

/// Consecutive parts of a change of which others are lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct IncompleteChange {
    /// Index of the first part that is here.
    pub first: u64,
    /// Index behind the last one.
    pub end: u64,
}

/// A stream whose name is lost.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RenamedStream {
    /// Its number in the old log.
    pub stream: u32,
    /// What it is called in the new one.
    pub name: String,
}

/// A segment of which nothing was taken.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LeftOut {
    /// The file.
    pub path: PathBuf,
    /// The log, by its head or, if that is lost, by the name of the file.
    pub log: Option<LogId>,
    /// Why.
    pub reason: String,
}

/// Something worth knowing about a file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Note {
    /// The file.
    pub path: PathBuf,
    /// What.
    pub what: String,
}

/// Sums over all logs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SalvageTotals {
    /// Logs.
    pub logs: u64,
    /// Sound entries that were found.
    pub entries: u64,
    /// Entries in replicas.
    pub carried: u64,
    /// Changes that were appended anew.
    pub appended: u64,
    /// Gaps.
    pub gaps: u64,
    /// Entries that are lost in gaps whose ends are known.
    pub lost: u64,
    /// Stretches of parts of incomplete changes.
    pub incomplete: u64,
    /// Segments of which nothing could be taken.
    pub left_out: u64,
}

impl SalvageReport {
    /// Sums over all logs.
    pub fn totals(&self) -> SalvageTotals {
        let mut totals = SalvageTotals {
            logs: self.logs.len() as u64,
            left_out: self.left_out.len() as u64,
            ..SalvageTotals::default()
        };
        for log in &self.logs {
            let lost = log.gaps.iter().filter_map(|gap| Some(gap.end? - gap.first));
            totals.entries += log.entries;
            totals.carried += log.carried;
            totals.appended += log.appended.changes;
            totals.gaps += log.gaps.len() as u64;
            totals.lost += lost.sum::<u64>();
            totals.incomplete += log.incomplete.len() as u64;
        }
        totals
    }

    /// Whether nothing is missing, and the new workspace is sound.
    pub fn is_complete(&self) -> bool {
        let totals = self.totals();
        totals.gaps == 0
            && totals.incomplete == 0
            && totals.left_out == 0
            && self.assets.damaged.is_empty()
            && self.check.is_clean()
    }
}

/// An object with `workspace`, `client`, `log`, `path`, `complete`, `totals`, `logs`, `assets`, `left_out`, `notes` and
/// `check`.
impl Serialize for SalvageReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("SalvageReport", 11)?;
        out.serialize_field("workspace", &self.workspace)?;
        out.serialize_field("client", &self.client)?;
        out.serialize_field("log", &self.log)?;
        out.serialize_field("path", &self.path)?;
        out.serialize_field("complete", &self.is_complete())?;
        out.serialize_field("totals", &self.totals())?;
        out.serialize_field("logs", &self.logs)?;
        out.serialize_field("assets", &self.assets)?;
        out.serialize_field("left_out", &self.left_out)?;
        out.serialize_field("notes", &self.notes)?;
        out.serialize_field("check", &self.check)?;
        out.end()
    }
}

/// One line: which entries, where, and why.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = LostEntries { first: self.first, end: self.end };
        write!(f, "{}: byte {}: lost: {lost} ({})", self.path.display(), self.offset, self.cause)
    }
}

/// One line: the parts that are here.
impl fmt::Display for IncompleteChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = LostEntries { first: self.first, end: Some(self.end) };
        write!(f, "a change with lost parts is left out, of which {parts} are sound")
    }
}

fn about(f: &mut fmt::Formatter<'_>, path: &Path, what: &str) -> fmt::Result {
    let path = path.display().to_string();
    if what.contains(&path) { f.write_str(what) } else { write!(f, "{path}: {what}") }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        about(f, &self.path, &format!("left out: {}", self.reason))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        about(f, &self.path, &self.what)
    }
}

/// One line for one log.
impl fmt::Display for SalvagedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log {}: {} sound entries, {} carried", self.log, self.entries, self.carried)?;
        if let Some(root) = self.root {
            write!(f, " with root {root}")?;
        }
        write!(f, ", changes appended anew: {}", self.appended.changes)?;
        if let (Some(first), Some(end)) = (self.appended.first, self.appended.end) {
            write!(f, " as the new log's {}", LostEntries { first, end: Some(end) })?;
        }
        Ok(())
    }
}

//! What a check found, for people and as JSON.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer};

use super::{Code, Severity};
use crate::{
    bytes::{ClientId, Hash, LogId, WorkspaceId},
    error::LostEntries,
    log::Verdict,
};

/// One thing that was found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// Whether something is wrong.
    pub severity: Severity,
    /// What kind of thing it is; stable, for programs.
    pub code: Code,
    /// The file or folder.
    pub path: PathBuf,
    /// Where in the file, in bytes from its start.
    pub offset: Option<u64>,
    /// The entries that cannot be read because of it.
    #[serde(serialize_with = "lost_entries")]
    pub lost: Option<LostEntries>,
    /// What is there, and what should be.
    pub what: String,
    /// What to do about it, as a sentence.
    pub remedy: &'static str,
}

impl Finding {
    pub(super) fn new(code: Code, path: &Path, what: impl Into<String>) -> Self {
        Self {
            severity: code.severity(),
            code,
            path: path.to_owned(),
            offset: None,
            lost: None,
            what: what.into(),
            remedy: code.remedy(),
        }
    }

    pub(super) fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    pub(super) fn losing(mut self, lost: LostEntries) -> Self {
        self.lost = (lost.end != Some(lost.first)).then_some(lost);
        self
    }
}

/// One line: path, offset, what, entries, remedy.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.severity, self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, "byte {offset}: ")?;
        }
        write!(f, "{} [{}]", self.what, self.code)?;
        if let Some(lost) = self.lost {
            write!(f, "; lost: {lost}")?;
        }
        write!(f, ". {}", self.remedy)
    }
}

#[allow(clippy::ref_option, reason = "serde hands over references")]
fn lost_entries<S: Serializer>(
    lost: &Option<LostEntries>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Lost {
        first: u64,
        end: Option<u64>,
    }
    lost.map(|lost| Lost { first: lost.first, end: lost.end }).serialize(serializer)
}

/// What a check found out about one log.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LogReport {
    /// The log.
    pub log: LogId,
    /// The client that writes it; `None` if the head cannot be read.
    pub client: Option<ClientId>,
    /// The segment file.
    pub path: PathBuf,
    /// Length of the file in bytes; beside a writer, how much of it is durable.
    pub file_len: u64,
    /// Entries up to the end, lost ones included.
    pub entries: u64,
    /// Changes among them, where that is known without decompressing.
    pub changes: Option<u64>,
    /// Sound frames.
    pub frames: u64,
    /// The root of all entries, where nothing is lost. Without `--deep` it is what the last batch claims.
    pub root: Option<Hash>,
    /// What stands behind the last sound frame; `None` if the log cannot be judged.
    #[serde(serialize_with = "verdict_name")]
    pub verdict: Option<Verdict>,
}

/// The name of a verdict in listings.
fn name_of(verdict: Option<&Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Clean) => "clean",
        Some(Verdict::Preallocated) => "preallocated",
        Some(Verdict::TornTail) => "torn-tail",
        Some(Verdict::UnsyncedHole { .. }) => "unsynced-hole",
        Some(Verdict::Damaged) => "damaged",
        None => "unreadable",
    }
}

#[allow(clippy::ref_option, reason = "serde hands over references")]
fn verdict_name<S: Serializer>(
    verdict: &Option<Verdict>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name_of(verdict.as_ref()))
}

/// One line for one log.
impl fmt::Display for LogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log {}: {} entries", self.log, self.entries)?;
        if let Some(changes) = self.changes {
            write!(f, " ({changes} changes)")?;
        }
        write!(f, ", {} frames, {} bytes", self.frames, self.file_len)?;
        if let Some(root) = self.root {
            write!(f, ", root {root}")?;
        }
        write!(f, ": {}", name_of(self.verdict.as_ref()))
    }
}

/// What a check found out about one pack.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PackReport {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub file_len: u64,
    /// Sound records.
    pub records: u64,
    /// Assets among them.
    pub assets: u64,
    /// Records, or with `--deep` assets, that are damaged.
    pub damaged: u64,
}

impl PackReport {
    pub(super) fn new(path: &Path, file_len: u64) -> Self {
        Self { path: path.to_owned(), file_len, records: 0, assets: 0, damaged: 0 }
    }
}

/// Something that a repair changed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Correction {
    /// The file or folder.
    pub path: PathBuf,
    /// What was done, as a sentence without a subject.
    pub what: String,
}

impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corrected: {}: {}", self.path.display(), self.what)
    }
}

/// What a check found, or what a repair left.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// The workspace; `None` if its metadata cannot be read.
    pub workspace: Option<WorkspaceId>,
    /// Its logs, in the order of their ids.
    pub logs: Vec<LogReport>,
    /// Its packs.
    pub packs: Vec<PackReport>,
    /// Everything that was found: first the folder, then log by log in the order of the file.
    pub findings: Vec<Finding>,
    /// What a repair has changed before this was found.
    pub corrected: Vec<Correction>,
}

impl Report {
    /// The findings that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

    /// Whether there is nothing wrong. Notes, as of a legal torn tail, are not wrong.
    pub fn is_clean(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The exit code of `annals-fsck`: 0 clean, 1 errors corrected, 4 errors left.
    pub fn exit_code(&self) -> u8 {
        match (self.is_clean(), self.corrected.is_empty()) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 4,
        }
    }
}

/// An object with `workspace`, `clean`, `logs`, `packs`, `findings`, `corrected` and `exit`.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut out = serializer.serialize_struct("Report", 7)?;
        out.serialize_field("workspace", &self.workspace)?;
        out.serialize_field("clean", &self.is_clean())?;
        out.serialize_field("logs", &self.logs)?;
        out.serialize_field("packs", &self.packs)?;
        out.serialize_field("findings", &self.findings)?;
        out.serialize_field("corrected", &self.corrected)?;
        out.serialize_field("exit", &self.exit_code())?;
        out.end()
    }
}

//! What all operations report: which file, where, what, and what to do about it.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::log::{FrameFault, HeadError, ReplayError};

/// The operating system refused something. The data may be all right.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {doing}: {source}", .path.display())]
pub struct IoError {
    /// The file or folder.
    pub path: PathBuf,
    /// What was tried, as an infinitive: "read", "sync".
    pub doing: &'static str,
    /// The reason.
    pub source: io::Error,
}

impl IoError {
    pub(crate) fn new(path: &Path, doing: &'static str, source: io::Error) -> Self {
        Self { path: path.to_owned(), doing, source }
    }
}

/// Adds to an I/O error which file it was about.
pub(crate) trait IoContext<T> {
    fn context(self, path: &Path, doing: &'static str) -> Result<T, IoError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, path: &Path, doing: &'static str) -> Result<T, IoError> {
        self.map_err(|source| IoError::new(path, doing, source))
    }
}

/// Acknowledged bytes that are wrong or gone.
///
/// Nothing is ever cut or changed because of it; all other entries of the log stay readable.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{}: damaged at byte {offset} ({lost}): {cause}; annals-fsck shows what is left, with --repair --from OTHER it fetches the rest from a replica, with --successor it goes on in a new log",
    .path.display()
)]
pub struct Corruption {
    /// The segment file.
    pub path: PathBuf,
    /// Offset of the first bad byte's frame from the start of the file.
    pub offset: u64,
    /// The entries that cannot be read.
    pub lost: LostEntries,
    /// What is wrong.
    pub cause: Cause,
}

/// A range of entries that cannot be read; its end may be unknown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LostEntries {
    /// Index of the first lost entry.
    pub first: u64,
    /// Index behind the last one; `None` if nothing says how many there were.
    pub end: Option<u64>,
}

impl From<Range<u64>> for LostEntries {
    fn from(range: Range<u64>) -> Self {
        Self { first: range.start, end: Some(range.end) }
    }
}

impl fmt::Display for LostEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { first, end: Some(end) } if end == first => f.write_str("no entries"),
            Self { first, end: Some(end) } if end == first + 1 => write!(f, "entry {first}"),
            Self { first, end: Some(end) } => write!(f, "entries {first} to {}", end - 1),
            Self { first, end: None } => write!(f, "entries from {first} on"),
        }
    }
}

/// What is wrong with bytes that were acknowledged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The head of the segment.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A frame.
    #[error(transparent)]
    Frame(#[from] FrameFault),
    /// A sound frame whose entries do not continue the log.
    #[error(transparent)]
    Replay(Box<ReplayError>),
    /// The file ends before what is known to have been durable.
    #[error("the file ends at {file_len}, but everything below {watermark} was durable")]
    Missing {
        /// Length of the file.
        file_len: u64,
        /// Offset below which everything was durable.
        watermark: u64,
    },
    /// The file is whole, and holds less than was acknowledged: an older copy of the log, or another
    /// replica of it, stands in its place.
    #[error(
        "the file has {entries} entries, but {acknowledged} were acknowledged here, says the lock file"
    )]
    TooFew {
        /// Entries in the file.
        entries: u64,
        /// Entries that the last writer published as durable.
        acknowledged: u64,
    },
}

impl From<ReplayError> for Cause {
    fn from(error: ReplayError) -> Self {
        // Kept apart, as it carries two hashes: all who read return a cause.
        Self::Replay(Box::new(error))
    }
}

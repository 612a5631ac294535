//! What goes into the index and what comes out.

use std::{io, path::PathBuf};

use crate::bytes::{Hash, LogId, LogKeys, StreamId, Timestamp};

/// Whose index it is. Runs of another identity are not used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The log.
    pub log: LogId,
    /// The salt of the log.
    pub salt: [u8; 16],
    /// The generation of its segment.
    pub generation: u64,
    /// Frames below keep the generation in which they were written.
    pub carried_upto: u64,
}

/// What the index takes from one frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameSummary<'a> {
    /// Offset of the frame.
    pub offset: u64,
    /// Offset behind it.
    pub end_offset: u64,
    /// Generation of the frame.
    pub generation: u64,
    /// Entries before it.
    pub first_index: u64,
    /// Entries in it; 0 exactly for frames that are no batch.
    pub entry_count: u32,
    /// Changes that begin in it (E-6).
    pub change_count: u32,
    /// Latest time of its entries.
    pub time_max: Option<Timestamp>,
    /// The streams of its entries, each once, ascending.
    pub streams: &'a [StreamId],
    /// The streams that it declares, in order.
    pub declarations: &'a [Declaration],
    /// Level, position and hash of each perfect subtree of level 6 or higher that its entries
    /// complete; those of one level in order.
    pub nodes: &'a [(u32, u64, Hash)],
    /// Root of the first `first_index + entry_count` entries.
    pub root: Hash,
}

/// How a stream was declared (E-3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DeclarationForm {
    /// By a name in UTF-8.
    Name,
    /// By a UUID.
    Uuid,
}

/// The declaration of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Declaration {
    /// The number that the stream got.
    pub stream: StreamId,
    /// What `name` is.
    pub form: DeclarationForm,
    /// The name, or the 16 bytes of the UUID.
    pub name: Box<[u8]>,
    /// Index of the entry that declares it.
    pub index: u64,
}

/// A frame boundary, and what lies before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// Offset of the boundary.
    pub end_offset: u64,
    /// Generation of the frame before; that of the file at its start.
    pub generation: u64,
    /// Entries before it.
    pub end_index: u64,
    /// Changes before it.
    pub change_count: u64,
    /// Latest time of any entry before it.
    pub time_max: Option<Timestamp>,
    /// Root of the entries before it.
    pub root: Hash,
}

impl Position {
    /// The start of a log that has nothing before its first frame.
    pub fn start(identity: &Identity) -> Self {
        Self {
            end_offset: super::HEAD_LEN,
            generation: identity.generation,
            end_index: 0,
            change_count: 0,
            time_max: None,
            root: LogKeys::new(identity.log).root(0, &Hash::ZERO),
        }
    }
}

/// A span: consecutive frames, about 16 KiB or one large one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpanRef {
    /// Offset of its first frame.
    pub offset: u64,
    /// Offset behind its last frame.
    pub end_offset: u64,
    /// Entries before it.
    pub first_index: u64,
    /// Entries up to its end. Equal to `first_index` for a span without a batch.
    pub end_index: u64,
    /// Changes before it.
    pub change_count: u64,
    /// Latest time of any entry of the log up to its end.
    pub time_max: Option<Timestamp>,
}

/// Which way to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Towards newer entries.
    Forward,
    /// Towards older entries.
    Backward,
}

/// Why a file in the folder is not used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IgnoredReason {
    /// It is not ours; it is never touched (W-3).
    Foreign,
    /// It was never finished (W-3).
    Unfinished,
    /// It is torn, damaged, or of another log or generation.
    Invalid,
    /// A larger run covers the same, or a run is missing before it.
    Superfluous,
}

/// A file in the folder that is not used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ignored {
    /// Its name in the folder.
    pub name: String,
    /// Why.
    pub reason: IgnoredReason,
}

/// Why the index cannot answer. It is a cache: the segment still can.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The operating system failed. This is not damage.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A page is wrong or missing, or contradicts others: [`remove_all`](super::remove_all) and
    /// rebuild.
    #[error("{}: index page {page} is damaged", path.display())]
    Damaged {
        /// The run.
        path: PathBuf,
        /// The page, counted from 0.
        page: u64,
    },
    /// The run is gone: another process has folded it into a larger one, or removed the cache. Open
    /// the index again.
    #[error("{}: index run was removed", path.display())]
    Gone {
        /// The run.
        path: PathBuf,
    },
}

impl IndexError {
    /// Adds the path to an error of the operating system.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }
}

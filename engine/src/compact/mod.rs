//! Compaction: a log written anew to take less room, and to forget (H-1 to H-11).
//!
//! The next generation of the segment is written beside the one in use, while others append and read: small batches are
//! put together and compressed better, frames that mean nothing any more are left out, payloads that were redacted go
//! with their salts, and a prefix that is pruned becomes its peaks. What is compact already at the beginning of the file
//! is carried over as it is, so that the cost follows what is merged. Then commits wait while the last frames are
//! carried over, the file is synced and takes the old one's place.
//!
//! - `plan`: what is carried over; pure;
//! - `run`: what there is to do, and the way through;
//! - `write`: writing, catching up, switching;
//! - `cut`: the state of a log at a place where it is cut.
//!
//! No hash changes, so no root, proof or signature does. A crash leaves the old generation or the new one.

mod cut;
mod plan;
mod run;
mod write;

pub(crate) use self::run::{Compaction, Prune, Request};
use crate::{
    error::{Corruption, IoError},
    log::{AppendError, ReadError},
};

/// Why a log was not compacted. Nothing of it was changed, unless the error says that the log is poisoned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The log is damaged: it is healed first.
    #[error("a damaged log is not compacted: {0}")]
    Damaged(Corruption),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file cannot be written, or does not hold what was written to it.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The log cannot be written any more.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The caller has asked to stop.
    #[error("stopped before it was done; the log is as before")]
    Cancelled,
    /// The disk has not enough room for the new file beside the old one.
    #[error(
        "{}: compacting needs up to {needed} bytes beside the old file, and {free} are free; free some \
         space first", .folder.display()
    )]
    NoRoom {
        /// Where the file is to be.
        folder: std::path::PathBuf,
        /// The most that it can need.
        needed: u64,
        /// What is free.
        free: u64,
    },
    /// What is beyond the budget of history cannot be pruned.
    #[error(transparent)]
    Budget(Box<dyn std::error::Error + Send + Sync>),
    /// Another compaction of this workspace is running.
    #[error("another compaction of this workspace is running")]
    Busy,
    /// What a prune record would have to carry does not fit one.
    #[error(
        "log {log}: what is still needed of the {size} entries to be pruned does not fit a prune record: release assets \
         that are not needed, or prune less"
    )]
    TooMuchToKeep {
        /// The log.
        log: crate::bytes::LogId,
        /// Entries that were to be pruned.
        size: u64,
    },
}

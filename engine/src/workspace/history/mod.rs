//! What becomes of the past: compaction, redaction, snapshots, pruning (section 14 of the specification).

mod compact;
mod prune;
mod redact;
mod snapshot;

pub use self::{
    compact::{CompactOptions, CompactReport, CompactedLog},
    prune::{History, PruneError, PruneOptions},
    redact::RedactError,
    snapshot::{SnapshotError, SnapshotInfo},
};

//! Annals: the storage and sync engine for local-first software.

pub mod batch;
pub mod bundle;
pub mod bytes;
pub mod check;
pub mod entry;
pub mod error;
pub mod frame;
pub mod index;
pub mod io;
pub mod log;
pub mod merkle;
pub mod workspace;

pub use bytes::{
    ClientId, Hash, LogId, ParseHashError, ParseIdError, ParseTimestampError, StreamId, Timestamp,
    WorkspaceId,
};
pub use entry::{EntryHeader, FrontierRow, Kind};
pub use error::{Cause, Corruption, IoError, LostEntries};
pub use log::{
    AppendError, Change, Direction, Durability, Entry, Progress, ReadError, Scan, Verdict,
};
pub use merkle::{ConsistencyProof, InclusionProof, ProofError};
pub use workspace::{
    BackupError, Clock, ExportError, ExportReport, Frontier, ImportError, ImportReport, LogStats,
    LogView, Merged, OpenError, Options, Stream, StreamError, Ticket, Workspace,
};

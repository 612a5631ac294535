//! Annals: the storage and sync engine for local-first software.

pub mod batch;
pub mod bytes;
pub mod entry;
pub mod error;
pub mod frame;
pub mod index;
pub mod io;
pub mod log;
pub mod merkle;


pub use bytes::{
    ClientId, Hash, LogId, ParseHashError, ParseIdError, ParseTimestampError, StreamId, Timestamp,
    WorkspaceId,
};

//! Entries as they are given to the application.

use std::sync::Arc;

use crate::{
    batch::Batch,
    bytes::{ClientId, LogId, StreamId, Timestamp},
    entry::{EntryHeader, Kind},
};

/// One element of a log: a change or a control entry, with its payload.
///
/// Cheap to clone: the payload is a slice of a decoded batch that is shared, unless the change had to be
/// joined from parts.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(crate) log: LogId,
    pub(crate) client: ClientId,
    pub(crate) index: u64,
    pub(crate) part_count: u32,
    pub(crate) header: EntryHeader,
    pub(crate) payload: Payload,
}

#[derive(Clone, Debug)]
pub(crate) enum Payload {
    InBatch(Arc<Batch>, usize),
    Owned(Arc<Vec<u8>>),
}

impl Entry {
    /// The log that the entry stands in.
    pub const fn log(&self) -> LogId {
        self.log
    }

    /// The client that wrote it.
    pub const fn client(&self) -> ClientId {
        self.client
    }

    /// Its index; that of its first part if it is a change in several parts.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Index of the entry that follows: `index` plus the number of parts.
    pub const fn end_index(&self) -> u64 {
        self.index + self.part_count as u64
    }

    /// Number of entries that the change was split into; 1 for all that are not very large.
    pub const fn part_count(&self) -> u32 {
        self.part_count
    }

    /// Its Lamport clock.
    pub const fn lamport(&self) -> u64 {
        self.header.lamport
    }

    /// Its wall time, if it has one.
    pub const fn timestamp(&self) -> Option<Timestamp> {
        self.header.timestamp
    }

    /// What it is.
    pub const fn kind(&self) -> Kind {
        self.header.kind
    }

    /// What it is about.
    pub const fn stream(&self) -> StreamId {
        self.header.stream
    }

    /// The canonical header that is hashed; that of the first part if there are several.
    pub const fn header(&self) -> &EntryHeader {
        &self.header
    }

    /// The application's bytes, or those of a control entry.
    pub fn payload(&self) -> &[u8] {
        match &self.payload {
            Payload::InBatch(batch, position) => batch.payload(*position),
            Payload::Owned(bytes) => bytes,
        }
    }
}

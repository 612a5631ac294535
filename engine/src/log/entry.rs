//! Entries as they are given to the application.

use std::sync::Arc;

use crate::{
    batch::{Batch, Content},
    bytes::{ClientId, Hash, LogId, StreamId, Timestamp},
    entry::{EntryHeader, Kind},
    log::redactions::Absent,
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
    /// Of all parts.
    pub(crate) payload_len: u64,
    pub(crate) header: EntryHeader,
    pub(crate) payload: Payload,
}

#[derive(Clone, Debug)]
pub(crate) enum Payload {
    InBatch(Arc<Batch>, usize),
    Owned(Arc<Vec<u8>>),
    /// Not there; the hash of the first part that is not.
    Absent(Absent, Hash),
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

    /// Length of the payload in bytes, that of all parts; also if it is not there.
    pub const fn payload_len(&self) -> u64 {
        self.payload_len
    }

    /// The application's bytes, or those of a control entry.
    ///
    /// # Errors
    ///
    /// [`Absent`], if the payload was redacted or withheld. Of control entries it is always there.
    pub fn payload(&self) -> Result<&[u8], Absent> {
        match &self.payload {
            Payload::InBatch(batch, position) => batch.payload(*position).ok_or(Absent::Withheld),
            Payload::Owned(bytes) => Ok(bytes),
            Payload::Absent(why, _) => Err(why.clone()),
        }
    }

    /// Why the payload is not there, and its hash.
    pub(crate) fn absence(&self) -> Option<(Absent, Hash)> {
        match &self.payload {
            Payload::Absent(why, hash) => Some((why.clone(), *hash)),
            Payload::InBatch(..) | Payload::Owned(_) => None,
        }
    }

    /// The salted hash of a payload that is not there; of a change in parts that of the first such part.
    pub fn payload_hash(&self) -> Option<Hash> {
        self.absence().map(|(_, hash)| hash)
    }

    /// The payload, if it is there.
    pub(crate) fn stored_payload(&self) -> Option<&[u8]> {
        self.content().payload()
    }

    /// What is there of the payload; of a change in parts the whole.
    pub(crate) fn content(&self) -> Content<'_> {
        match &self.payload {
            Payload::InBatch(batch, position) => batch.content(*position),
            Payload::Owned(bytes) => Content::Payload(bytes),
            Payload::Absent(_, hash) => Content::Absent(*hash),
        }
    }
}

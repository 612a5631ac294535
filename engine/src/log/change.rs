//! Changes, and the entries that they become (E-5).

use crate::{
    bytes::{StreamId, Timestamp},
    entry::{ENTRY_PAYLOAD_LEN_MAX, EntryHeader, Kind, Part},
};

/// One change to append.
#[derive(Clone, Copy, Debug)]
#[must_use = "a change does nothing until it is appended"]
pub struct Change<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) stream: StreamId,
    pub(crate) timestamp: Stamp,
    pub(crate) kind: Kind,
}

/// Where the time of a change comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Stamp {
    /// From the workspace's options.
    #[default]
    Default,
    /// From the caller.
    At(Option<Timestamp>),
}

impl<'a> Change<'a> {
    /// A change with this payload, in the default stream, with the time that the workspace's options say.
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { payload, stream: StreamId::DEFAULT, timestamp: Stamp::Default, kind: Kind::CHANGE }
    }

    /// Puts the change into a stream that the log has declared.
    pub const fn in_stream(mut self, stream: StreamId) -> Self {
        self.stream = stream;
        self
    }

    pub(crate) const fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Gives the change this time, or none.
    pub const fn at(mut self, timestamp: Option<Timestamp>) -> Self {
        self.timestamp = Stamp::At(timestamp);
        self
    }

    /// Number of entries that the change becomes.
    pub(crate) fn part_count(&self) -> usize {
        self.payload.len().div_ceil(ENTRY_PAYLOAD_LEN_MAX as usize).max(1)
    }
}

impl<'a> From<&'a [u8]> for Change<'a> {
    fn from(payload: &'a [u8]) -> Self {
        Self::new(payload)
    }
}

/// The entries of a change: one, or contiguous parts (E-5). The Lamport clock is filled in later.
pub(crate) fn change_parts(
    change: &Change<'_>,
    time: Option<Timestamp>,
    mut stage: impl FnMut(EntryHeader, &[u8]),
) {
    let count = change.part_count();
    let timestamp = match change.timestamp {
        Stamp::Default => time,
        Stamp::At(timestamp) => timestamp,
    };
    for number in 0..count {
        let start = number * ENTRY_PAYLOAD_LEN_MAX as usize;
        let end = change.payload.len().min(start + ENTRY_PAYLOAD_LEN_MAX as usize);
        let payload = &change.payload[start..end];
        let header = EntryHeader {
            lamport: 0,
            timestamp,
            payload_len: u32::try_from(payload.len()).expect("a part is within its limit"),
            stream: change.stream,
            kind: change.kind,
            part: Part::of(number, count),
        };
        stage(header, payload);
    }
}

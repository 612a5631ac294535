//! The buffer that appenders fill while the one before it is encoded, written and synced.

use std::ops::Range;

use crate::{batch::Content, entry::EntryHeader};

/// Entries that have an index but no place in the file yet.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) first_index: u64,
    pub(crate) headers: Vec<EntryHeader>,
    pub(crate) payloads: Vec<u8>,
    /// Ends of the payloads.
    ends: Vec<usize>,
    /// Atomic groups of more than one entry, by position, ascending.
    groups: Vec<Range<usize>>,
    /// The last entry's group goes on in the next buffer.
    pub(crate) open_group: bool,
}

/// What an entry weighs beside its payload when buffers and batches are measured.
const ENTRY_WEIGHT: usize = 4;

impl Staged {
    /// An empty buffer for entries from `first_index` on.
    pub(crate) fn starting_at(first_index: u64) -> Self {
        Self { first_index, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.headers.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    pub(crate) fn end_index(&self) -> u64 {
        self.first_index + self.headers.len() as u64
    }

    /// Bytes of payload, and a little for each entry.
    pub(crate) fn weight(&self) -> usize {
        self.payloads.len() + ENTRY_WEIGHT * self.headers.len()
    }

    pub(crate) fn push(&mut self, header: EntryHeader, payload: &[u8]) {
        self.headers.push(header);
        self.payloads.extend_from_slice(payload);
        self.ends.push(self.payloads.len());
    }

    /// Declares that the entries from `start` on are one atomic group.
    pub(crate) fn join_from(&mut self, start: usize) {
        if self.len() - start > 1 {
            self.groups.push(start..self.len());
        }
    }

    /// Whether a batch that ends before position `at` ends inside a group.
    pub(crate) fn splits_group(&self, at: usize) -> bool {
        if at == self.len() {
            return self.open_group;
        }
        let next = self.groups.partition_point(|group| group.end <= at);
        self.groups.get(next).is_some_and(|group| group.start < at)
    }

    /// The positions of the next batch from `start` on: about `target` bytes, at least one entry. What would
    /// be left over as a small batch is taken along.
    pub(crate) fn batch_from(&self, start: usize, target: usize, count_max: usize) -> Range<usize> {
        let before = start.checked_sub(1).map_or(0, |before| self.ends[before]);
        let weight_to = |end: usize| self.ends[end - 1] - before + ENTRY_WEIGHT * (end - start);
        let end_max = self.len().min(start + count_max);
        if weight_to(end_max) <= target + target / 2 {
            return start..end_max;
        }
        // The weight rises with the position: the first end that reaches the target.
        let mut end = start + 1;
        while end < end_max && weight_to(end) < target {
            end += 1;
        }
        start..end
    }

    fn payload_range(&self, position: usize) -> Range<usize> {
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[position]
    }

    pub(crate) fn payload(&self, position: usize) -> &[u8] {
        &self.payloads[self.payload_range(position)]
    }

    /// The payloads of a range of positions, joined.
    pub(crate) fn payloads_of(&self, positions: &Range<usize>) -> &[u8] {
        if positions.is_empty() {
            return &[];
        }
        &self.payloads
            [self.payload_range(positions.start).start..self.payload_range(positions.end - 1).end]
    }

    pub(crate) fn entries(
        &self,
        positions: Range<usize>,
    ) -> impl Iterator<Item = (EntryHeader, Content<'_>)> {
        positions.map(|position| (self.headers[position], Content::Payload(self.payload(position))))
    }

    /// The entry `index`, if it is here.
    pub(crate) fn entry(&self, index: u64) -> Option<(EntryHeader, &[u8])> {
        let position = usize::try_from(index.checked_sub(self.first_index)?).ok()?;
        let header = *self.headers.get(position)?;
        Some((header, self.payload(position)))
    }

    /// Empties the buffer, keeping its memory, for entries from `first_index` on.
    pub(crate) fn reset(&mut self, first_index: u64) {
        self.first_index = first_index;
        self.headers.clear();
        self.payloads.clear();
        self.ends.clear();
        self.groups.clear();
        self.open_group = false;
    }
}

//! The buffer that appenders fill while the one before it is encoded, written and synced.

use std::{ops::Range, sync::Arc};

use crate::{
    batch::{BATCH_ENTRY_COUNT_MAX, Content},
    bytes::Hash,
    entry::EntryHeader,
    sync::Mutex,
};

/// What an entry weighs beside its payload when buffers and batches are measured.
const ENTRY_WEIGHT: usize = 4;

/// Entries that have an index but no place in the file yet, by batches.
///
/// A batch is full once it has about the length that was asked for; what would be left over as a small batch is taken
/// along by the one before. So where batches end depends on nothing but the entries and on when they are written.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// About how long batches become.
    batch_len: usize,
    pub(crate) first_index: u64,
    /// Those that are full.
    batches: Vec<Arc<StagedBatch>>,
    /// How many of them were given to [`Staged::next_settled`]'s callers.
    shared_count: usize,
    /// The last one, which is being filled.
    filling: StagedBatch,
    /// Of the full ones.
    full_len: usize,
    full_weight: usize,
    /// Nothing more is pushed.
    is_finished: bool,
    /// Atomic groups of more than one entry, by position, ascending.
    groups: Vec<Range<usize>>,
    /// The last entry's group goes on in the next buffer.
    pub(crate) open_group: bool,
    /// Emptied ones.
    spare: Vec<StagedBatch>,
}

/// Entries that become one batch.
#[derive(Debug, Default)]
pub(crate) struct StagedBatch {
    pub(crate) first_index: u64,
    pub(crate) headers: Vec<EntryHeader>,
    pub(crate) payloads: Vec<u8>,
    /// Ends of the payloads.
    ends: Vec<usize>,
    /// What becomes of them. Held by whoever makes it.
    pub(crate) pressed: Mutex<Pressed>,
}

/// How far a batch has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum PressStep {
    /// Nobody has made it.
    #[default]
    Open,
    /// It only lacks its place in the log.
    Made,
    /// Whoever writes it has done the rest.
    Written,
}

/// What was made of a batch.
#[derive(Debug, Default)]
pub(crate) struct Pressed {
    pub(crate) step: PressStep,
    /// Its bytes, without its root, if it is [`PressStep::Made`].
    pub(crate) bytes: Vec<u8>,
    pub(crate) leaves: Vec<Hash>,
}

impl Staged {
    /// An empty buffer for entries from `first_index` on.
    pub(crate) fn new(first_index: u64, batch_len: usize) -> Self {
        let mut staged = Self { batch_len, ..Self::default() };
        staged.reset(first_index);
        staged
    }

    pub(crate) fn len(&self) -> usize {
        self.full_len + self.filling.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn end_index(&self) -> u64 {
        self.first_index + self.len() as u64
    }

    /// Bytes of payload, and a little for each entry.
    pub(crate) fn weight(&self) -> usize {
        self.full_weight + self.filling.weight()
    }

    pub(crate) fn push(&mut self, header: EntryHeader, payload: &[u8]) {
        self.filling.push(header, payload);
        if self.filling.weight() >= self.batch_len
            || self.filling.len() == BATCH_ENTRY_COUNT_MAX as usize
        {
            self.fill();
        }
    }

    /// Begins another batch.
    ///
    /// What was filled is copied, unless it is long: so appenders write where no other processor has read, and do not
    /// wait for its cache with each entry.
    fn fill(&mut self) {
        self.full_len += self.filling.len();
        self.full_weight += self.filling.weight();
        let end = self.filling.end_index();
        let mut batch = self.spare.pop().unwrap_or_default();
        if self.filling.weight() > 2 * self.batch_len {
            std::mem::swap(&mut batch, &mut self.filling);
        } else {
            batch.reset(self.filling.first_index);
            batch.append(&self.filling);
        }
        self.batches.push(Arc::new(batch));
        self.filling.reset(end);
    }

    /// A full batch to which nothing will be added, each once.
    pub(crate) fn next_settled(&mut self) -> Option<&Arc<StagedBatch>> {
        let batch = self.batches.get(self.shared_count)?;
        let is_last = self.shared_count + 1 == self.batches.len();
        if is_last && !self.is_finished && self.filling.weight() <= self.batch_len / 2 {
            // It may yet take along what is behind it.
            return None;
        }
        self.shared_count += 1;
        Some(batch)
    }

    /// Makes what is there whole batches, all of them settled: nothing more is pushed.
    pub(crate) fn finish(&mut self) {
        self.is_finished = true;
        if self.filling.is_empty() {
            return;
        }
        let rest = &self.filling;
        let is_small = |last: &&mut StagedBatch| {
            last.weight() + rest.weight() <= self.batch_len + self.batch_len / 2
                && last.len() + rest.len() <= BATCH_ENTRY_COUNT_MAX as usize
        };
        // One that others have begun with has more than a small one behind it.
        let last = self.batches.last_mut().and_then(Arc::get_mut).filter(is_small);
        let Some(last) = last else { return self.fill() };
        self.full_len += rest.len();
        self.full_weight += rest.weight();
        last.append(rest);
        let end = last.end_index();
        self.filling.reset(end);
    }

    /// The batches, once they are finished.
    pub(crate) fn batches(&self) -> &[Arc<StagedBatch>] {
        &self.batches
    }

    /// Declares that the entries from `start` on are one atomic group.
    pub(crate) fn join_from(&mut self, start: usize) {
        if self.len() - start > 1 {
            self.groups.push(start..self.len());
        }
    }

    /// Whether `batch` ends inside a group.
    pub(crate) fn splits_group(&self, batch: &StagedBatch) -> bool {
        let at = usize::try_from(batch.end_index() - self.first_index);
        let at = at.expect("a buffer is smaller than memory");
        if at == self.len() {
            return self.open_group;
        }
        let next = self.groups.partition_point(|group| group.end <= at);
        self.groups.get(next).is_some_and(|group| group.start < at)
    }

    /// The entry `index`, if it is here.
    pub(crate) fn entry(&self, index: u64) -> Option<(EntryHeader, &[u8])> {
        let at = self.batches.partition_point(|batch| batch.end_index() <= index);
        self.batches.get(at).map_or(&self.filling, |batch| batch).entry(index)
    }

    /// Empties the buffer, keeping its memory, for entries from `first_index` on.
    pub(crate) fn reset(&mut self, first_index: u64) {
        self.first_index = first_index;
        let len_max = 4 * self.batch_len;
        // What others are still busy with goes when they are done; what was long, at once.
        let emptied = self.batches.drain(..).filter_map(Arc::into_inner);
        self.spare.extend(emptied.filter(|batch| batch.payloads.capacity() <= len_max));
        self.shared_count = 0;
        self.filling.reset(first_index);
        self.full_len = 0;
        self.full_weight = 0;
        self.is_finished = false;
        self.groups.clear();
        self.open_group = false;
    }
}

impl StagedBatch {
    pub(crate) fn len(&self) -> usize {
        self.headers.len()
    }

    fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    pub(crate) fn end_index(&self) -> u64 {
        self.first_index + self.headers.len() as u64
    }

    fn weight(&self) -> usize {
        self.payloads.len() + ENTRY_WEIGHT * self.headers.len()
    }

    fn push(&mut self, header: EntryHeader, payload: &[u8]) {
        self.headers.push(header);
        self.payloads.extend_from_slice(payload);
        self.ends.push(self.payloads.len());
    }

    fn append(&mut self, other: &Self) {
        let start = self.payloads.len();
        self.headers.extend_from_slice(&other.headers);
        self.payloads.extend_from_slice(&other.payloads);
        self.ends.extend(other.ends.iter().map(|end| start + end));
    }

    fn payload(&self, position: usize) -> &[u8] {
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.payloads[start..self.ends[position]]
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (EntryHeader, Content<'_>)> {
        let headers = self.headers.iter().enumerate();
        headers.map(|(position, header)| (*header, Content::Payload(self.payload(position))))
    }

    fn entry(&self, index: u64) -> Option<(EntryHeader, &[u8])> {
        let position = usize::try_from(index.checked_sub(self.first_index)?).ok()?;
        let header = *self.headers.get(position)?;
        Some((header, self.payload(position)))
    }

    fn reset(&mut self, first_index: u64) {
        self.first_index = first_index;
        self.headers.clear();
        self.payloads.clear();
        self.ends.clear();
        let mut pressed = self.pressed.lock();
        pressed.step = PressStep::Open;
        pressed.bytes.clear();
        pressed.leaves.clear();
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Decoded batches: entry headers and payloads by position, without a step that could fail.

use std::{fmt, iter, ops::Range};

use super::{
    BatchError, BatchHeader, ColumnError, Content, Field,
    absent::Absent,
    column::{Column, Value},
};
use crate::{
    bytes::{Reader, StreamId, Timestamp},
    entry::{ENTRY_PAYLOAD_LEN_MAX, EntryHeader, Kind, LAMPORT_MAX, Part},
};

/// The flags of an entry that E-1 knows; any combination is a [`Part`].
const FLAGS_MAX: u8 = 3;

const _: () = assert!(Part::from_flags(FLAGS_MAX).is_some());
const _: () = assert!(Part::from_flags(FLAGS_MAX + 1).is_none());

/// The header and the columns of a batch: all but the payloads.
///
/// Positions count the entries of the batch from 0; the entry at position `i` has the index
/// `first_index + i` in its log.
#[derive(Clone)]
pub struct BatchMeta {
    header: BatchHeader,
    kinds: Column<u8>,
    flags: Column<u8>,
    streams: Column<u32>,
    payloads: Extents,
    absent: Absent,
    lamports: Column<u64>,
    timestamps: Column<u64>,
}

#[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
impl BatchMeta {
    /// Decodes the uncompressed meta section (B-4 to B-8); `absent` is the list of absent payloads.
    pub(super) fn decode(
        header: BatchHeader,
        meta: &[u8],
        absent: Option<&[u8]>,
    ) -> Result<Self, BatchError> {
        let mut reader = Reader::new(meta);
        let count = header.entry_count as usize;
        let kinds = column(&mut reader, count, Field::Kind, u8::MAX.into())?;
        let flags = column(&mut reader, count, Field::Flags, FLAGS_MAX.into())?;
        let streams = column(&mut reader, count, Field::Stream, u32::MAX.into())?;
        let lens = column(&mut reader, count, Field::PayloadLen, ENTRY_PAYLOAD_LEN_MAX.into())?;
        let (absent, lens) = match absent {
            Some(rows) => Absent::decode(rows, &kinds, &lens, count)?,
            None => (Absent::default(), lens),
        };
        let payloads = Extents::new(lens, count, header.payload.raw_len)?;
        let lamports: Column<u64> = column(&mut reader, count, Field::Lamport, u64::MAX)?;
        let timestamps = column(&mut reader, count, Field::Timestamp, u64::MAX)?;
        reader.finish().map_err(|_| BatchError::MetaTrailing)?;
        if lamports.get(0) == 0 || lamports.get(count - 1) > LAMPORT_MAX {
            return Err(BatchError::Column { field: Field::Lamport, error: ColumnError::Range });
        }
        if !lamports.rises(count) {
            return Err(BatchError::LamportOrder);
        }
        Ok(Self { header, kinds, flags, streams, payloads, absent, lamports, timestamps })
    }

    /// The header of the batch.
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Number of entries, at least 1.
    pub const fn len(&self) -> usize {
        self.header.entry_count as usize
    }

    /// Index in the log of the first entry.
    pub const fn first_index(&self) -> u64 {
        self.header.first_index
    }

    /// Index in the log behind the last entry.
    pub fn end_index(&self) -> u64 {
        self.indices().end
    }

    /// Indices in the log of the entries.
    pub fn indices(&self) -> Range<u64> {
        self.header.indices()
    }

    /// The header of the entry at position `i`. A few instructions.
    ///
    /// # Panics
    ///
    /// If `i` is not below [`BatchMeta::len`].
    #[inline]
    pub fn entry_header(&self, i: usize) -> EntryHeader {
        assert!(i < self.len(), "no entry at this position of the batch");
        EntryHeader {
            lamport: self.lamports.get(i),
            timestamp: Timestamp::decode(self.timestamps.get(i).cast_signed()),
            payload_len: self.absent.len_of(i).unwrap_or_else(|| self.payloads.len(i)),
            stream: StreamId(self.streams.get(i)),
            kind: Kind(self.kinds.get(i)),
            // The mask changes nothing; with it the compiler sees that the default is never used.
            part: Part::from_flags(self.flags.get(i) & FLAGS_MAX).unwrap_or_default(),
        }
    }

    /// Whether all entries are whole, and their payloads there. Constant cost.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.flags, Column::Constant(0)) && self.absent.is_empty()
    }

    /// The kind of the entry at position `i`, which is below [`BatchMeta::len`].
    #[inline]
    pub(crate) fn kind(&self, i: usize) -> Kind {
        Kind(self.kinds.get(i))
    }

    /// The Lamport clock of the entry at position `i`, which is below [`BatchMeta::len`].
    #[inline]
    pub(crate) fn lamport(&self, i: usize) -> u64 {
        self.lamports.get(i)
    }

    /// The headers of all entries in order.
    pub fn entry_headers(
        &self,
    ) -> impl DoubleEndedIterator<Item = EntryHeader> + ExactSizeIterator {
        (0..self.len()).map(|i| self.entry_header(i))
    }

    /// The stream of all entries, if they have the same. Constant cost for batches of one stream
    /// as [`Encoder`](super::Encoder) writes them.
    pub fn single_stream(&self) -> Option<StreamId> {
        self.streams.single().map(StreamId)
    }

    /// The streams of the entries in order, neighbours that are the same given once.
    ///
    /// Of a batch of one stream this is one item, at constant cost.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        let mut next = 0;
        iter::from_fn(move || {
            if next >= self.len() {
                return None;
            }
            let stream = self.streams.get(next);
            next = match &self.streams {
                Column::Constant(_) => self.len(),
                streams => {
                    (next + 1..self.len()).find(|&i| streams.get(i) != stream).unwrap_or(self.len())
                }
            };
            Some(StreamId(stream))
        })
    }

    /// Bytes of memory held, for a cache's budget.
    pub fn memory_len(&self) -> usize {
        size_of::<Self>()
            + self.kinds.heap_len()
            + self.flags.heap_len()
            + self.streams.heap_len()
            + self.payloads.heap_len()
            + self.absent.heap_len()
            + self.lamports.heap_len()
            + self.timestamps.heap_len()
    }
}

impl fmt::Debug for BatchMeta {
    /// The header alone: the columns may be long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchMeta").field("header", &self.header).finish_non_exhaustive()
    }
}

fn column<T: Value>(
    reader: &mut Reader<'_>,
    count: usize,
    field: Field,
    max: u64,
) -> Result<Column<T>, BatchError> {
    Column::decode(reader, count, max).map_err(|error| BatchError::Column { field, error })
}

/// Where the payloads lie in the payload section.
#[derive(Clone, Debug)]
enum Extents {
    /// All are of this length.
    Even(u32),
    /// The end of each; it starts where the one before ends.
    Ends(Vec<u32>),
}

impl Extents {
    /// From the `count` lengths; their sum must be `sum` (B-7).
    fn new(lens: Column<u32>, count: usize, sum: u32) -> Result<Self, BatchError> {
        let mut ends = match lens {
            Column::Constant(len) if u64::from(len) * count as u64 == u64::from(sum) => {
                return Ok(Self::Even(len));
            }
            Column::Constant(_) => return Err(BatchError::PayloadSum),
            Column::Linear { .. } => (0..count).map(|i| lens.get(i)).collect(),
            Column::Values(lens) => lens,
        };
        let mut end = 0_u32;
        for len in &mut ends {
            end = end.checked_add(*len).ok_or(BatchError::PayloadSum)?;
            *len = end;
        }
        if end == sum { Ok(Self::Ends(ends)) } else { Err(BatchError::PayloadSum) }
    }

    #[inline]
    fn get(&self, i: usize) -> Range<usize> {
        match self {
            Self::Even(len) => {
                let len = *len as usize;
                i * len..(i + 1) * len
            }
            Self::Ends(ends) => start(ends, i) as usize..ends[i] as usize,
        }
    }

    #[inline]
    fn len(&self, i: usize) -> u32 {
        match self {
            Self::Even(len) => *len,
            Self::Ends(ends) => ends[i] - start(ends, i),
        }
    }

    fn heap_len(&self) -> usize {
        match self {
            Self::Even(_) => 0,
            Self::Ends(ends) => ends.capacity() * size_of::<u32>(),
        }
    }
}

#[inline]
fn start(ends: &[u32], i: usize) -> u32 {
    if i == 0 { 0 } else { ends[i - 1] }
}

/// A decoded batch. Immutable; meant to be shared in an `Arc`.
///
/// Positions count the entries of the batch from 0, as in [`BatchMeta`].
#[derive(Clone)]
pub struct Batch {
    meta: BatchMeta,
    payloads: Vec<u8>,
}

#[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
impl Batch {
    /// `payloads` has the length that `meta` says.
    pub(super) fn new(meta: BatchMeta, payloads: Vec<u8>) -> Self {
        debug_assert_eq!(payloads.len(), meta.header.payload.raw_len as usize);
        Self { meta, payloads }
    }

    /// All but the payloads.
    pub const fn meta(&self) -> &BatchMeta {
        &self.meta
    }

    /// The header of the batch.
    pub const fn header(&self) -> &BatchHeader {
        &self.meta.header
    }

    /// Number of entries, at least 1.
    pub const fn len(&self) -> usize {
        self.meta.len()
    }

    /// Index in the log of the first entry.
    pub const fn first_index(&self) -> u64 {
        self.meta.first_index()
    }

    /// Index in the log behind the last entry.
    pub fn end_index(&self) -> u64 {
        self.meta.end_index()
    }

    /// Indices in the log of the entries.
    pub fn indices(&self) -> Range<u64> {
        self.meta.indices()
    }

    /// The header of the entry at position `i`. A few instructions.
    ///
    /// # Panics
    ///
    /// If `i` is not below [`Batch::len`].
    #[inline]
    pub fn entry_header(&self, i: usize) -> EntryHeader {
        self.meta.entry_header(i)
    }

    /// What is there of the payload of the entry at position `i`.
    ///
    /// # Panics
    ///
    /// If `i` is not below [`Batch::len`].
    #[inline]
    pub fn content(&self, i: usize) -> Content<'_> {
        assert!(i < self.len(), "no entry at this position of the batch");
        match self.meta.absent.hash_of(i) {
            Some(hash) => Content::Absent(hash),
            None => Content::Payload(&self.payloads[self.meta.payloads.get(i)]),
        }
    }

    /// The payload of the entry at position `i`, unless it is absent.
    ///
    /// # Panics
    ///
    /// As [`Batch::content`].
    #[inline]
    pub fn payload(&self, i: usize) -> Option<&[u8]> {
        self.content(i).payload()
    }

    /// Indices of the entries whose payloads are absent.
    pub fn absent_indices(&self) -> impl Iterator<Item = u64> {
        self.meta.absent.positions().map(|position| self.first_index() + position as u64)
    }

    /// All payloads, one after the other.
    pub fn payloads(&self) -> &[u8] {
        &self.payloads
    }

    /// All entries in order.
    pub fn entries(
        &self,
    ) -> impl DoubleEndedIterator<Item = (EntryHeader, Content<'_>)> + ExactSizeIterator {
        (0..self.len()).map(|i| (self.entry_header(i), self.content(i)))
    }

    /// The stream of all entries, if they have the same; see [`BatchMeta::single_stream`].
    pub fn single_stream(&self) -> Option<StreamId> {
        self.meta.single_stream()
    }

    /// The streams of the entries in order, neighbours that are the same given once.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.meta.streams()
    }

    /// Bytes of memory held, for a cache's budget.
    pub fn memory_len(&self) -> usize {
        size_of::<Self>() - size_of::<BatchMeta>()
            + self.meta.memory_len()
            + self.payloads.capacity()
    }
}

impl fmt::Debug for Batch {
    /// Without the payloads: they may be long, and are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("meta", &self.meta).finish_non_exhaustive()
    }
}

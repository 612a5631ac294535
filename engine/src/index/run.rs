//! A run: what the index holds of some stretches, in a file or still in memory.

use std::ops::Range;

use super::{
    IndexError, SpanRef,
    layout::{
        CONTENT_LEN, HEADER_LEN, POSTING_LEN, RunHeader, STREAM_ROW_LEN, Sections, Span, StreamRow,
    },
    pages::{PagedFile, page_at},
};
use crate::bytes::{Hash, StreamId, Timestamp};

/// A run. Its bytes may be wrong even though their CRCs are right; that is damage as well.
#[derive(Debug)]
pub(super) struct Run {
    header: RunHeader,
    sections: Sections,
    store: Store,
}

#[derive(Debug)]
enum Store {
    /// The content of a complete stretch that is in no file yet.
    Memory(Vec<u8>),
    File(PagedFile),
}

impl Run {
    /// The run that `file` holds.
    pub(super) fn in_file(header: RunHeader, file: PagedFile) -> Self {
        Self { header, sections: header.sections(), store: Store::File(file) }
    }

    /// A run that is in no file yet.
    pub(super) fn in_memory(header: RunHeader, content: Vec<u8>) -> Self {
        let sections = header.sections();
        debug_assert_eq!(sections.end, content.len() as u64);
        Self { header, sections, store: Store::Memory(content) }
    }

    pub(super) const fn header(&self) -> &RunHeader {
        &self.header
    }

    pub(super) const fn sections(&self) -> &Sections {
        &self.sections
    }

    /// The content, if it is in no file yet.
    pub(super) fn memory(&self) -> Option<&[u8]> {
        match &self.store {
            Store::Memory(content) => Some(content),
            Store::File(_) => None,
        }
    }

    /// See [`PagedFile::keep_open`].
    pub(super) fn keep_open(&self) -> Result<(), IndexError> {
        match &self.store {
            Store::Memory(_) => Ok(()),
            Store::File(file) => file.keep_open(),
        }
    }

    /// The span `number`.
    ///
    /// # Errors
    ///
    /// All of [`IndexError`]; so it is for everything that reads from a run.
    pub(super) fn span(&self, number: u32) -> Result<SpanRef, IndexError> {
        let span = self.stored_span(number)?;
        let (end_offset, end_index) = if number + 1 < self.header.span_count {
            let next = self.stored_span(number + 1)?;
            (next.offset, next.first_index)
        } else {
            (self.header.end.end_offset, self.header.end.end_index)
        };
        let sound = self.header.start_offset <= span.offset
            && span.offset < end_offset
            && end_offset <= self.header.end.end_offset
            && self.header.first_index <= span.first_index
            && span.first_index <= end_index
            && end_index <= self.header.end.end_index;
        if sound { Ok(span.to_ref(end_offset, end_index)) } else { Err(self.damaged_span(number)) }
    }

    /// How many spans start at or before `index`.
    pub(super) fn spans_upto(&self, index: u64) -> Result<u32, IndexError> {
        partition(self.header.span_count, |number| {
            Ok(self.stored_span(number)?.first_index <= index)
        })
    }

    /// The span that holds the entry `index`, which is one of this run.
    pub(super) fn locate(&self, index: u64) -> Result<SpanRef, IndexError> {
        match self.spans_upto(index)?.checked_sub(1) {
            Some(number) => self.span(number),
            None => Err(self.damaged_span(0)),
        }
    }

    /// The first span with an entry later than `time`; there is one.
    pub(super) fn locate_time(&self, time: Timestamp) -> Result<SpanRef, IndexError> {
        let number = partition(self.header.span_count, |number| {
            Ok(self.stored_span(number)?.time_max <= Some(time))
        })?;
        if number == self.header.span_count {
            return Err(self.damaged_span(number.saturating_sub(1)));
        }
        self.span(number)
    }

    /// The hash of a perfect subtree whose last leaf lies in this run; its level is one that is kept.
    pub(super) fn node(&self, level: u32, position: u64) -> Result<Option<Hash>, IndexError> {
        let first = self.header.first_index >> level;
        let at = position.checked_sub(first).filter(|&at| at < self.header.node_count(level));
        let Some(at) = at else { return Ok(None) };
        let mut hash = [0; Hash::LEN];
        self.read(self.header.nodes_of_level(level).start + at * Hash::LEN as u64, &mut hash)?;
        Ok(Some(Hash::from_bytes(hash)))
    }

    /// The postings of `stream`: a range of numbers for [`Run::posting`].
    pub(super) fn postings_of(&self, stream: StreamId) -> Result<Range<u32>, IndexError> {
        let number = partition(self.header.stream_count, |number| {
            Ok(self.stream_row(number)?.stream < stream)
        })?;
        if number == self.header.stream_count {
            return Ok(0..0);
        }
        let row = self.stream_row(number)?;
        if row.stream != stream {
            return Ok(0..0);
        }
        let end = row.first_posting.checked_add(row.posting_count);
        match end.filter(|&end| end <= self.header.posting_count) {
            Some(end) => Ok(row.first_posting..end),
            None => Err(self.damaged(self.stream_offset(number))),
        }
    }

    /// The part of `postings` that lies in `spans`.
    pub(super) fn narrow(
        &self,
        postings: &Range<u32>,
        spans: &Range<u32>,
    ) -> Result<Range<u32>, IndexError> {
        let before = |span: u32| {
            let count = postings.end - postings.start;
            partition(count, |at| Ok(self.posting(postings.start + at)? < span))
        };
        let start = if spans.start == 0 { 0 } else { before(spans.start)? };
        let end = if spans.end == self.header.span_count {
            postings.end - postings.start
        } else {
            before(spans.end)?
        };
        Ok(postings.start + start..postings.start + end.max(start))
    }

    /// The number of the span that the posting `number` names.
    pub(super) fn posting(&self, number: u32) -> Result<u32, IndexError> {
        let offset = self.sections.postings + u64::from(number) * POSTING_LEN as u64;
        let mut bytes = [0; POSTING_LEN];
        self.read(offset, &mut bytes)?;
        let span = u32::from_le_bytes(bytes);
        if span < self.header.span_count { Ok(span) } else { Err(self.damaged(offset)) }
    }

    /// The error for content that is wrong.
    pub(super) fn damaged(&self, offset: u64) -> IndexError {
        match &self.store {
            Store::Memory(_) => unreachable!("what was encoded here can be decoded"),
            Store::File(file) => file.damaged(page_at(offset).0),
        }
    }

    /// The error for a span that is wrong.
    pub(super) fn damaged_span(&self, number: u32) -> IndexError {
        self.damaged(HEADER_LEN as u64 + u64::from(number) * Span::LEN as u64)
    }

    fn stored_span(&self, number: u32) -> Result<Span, IndexError> {
        let mut bytes = [0; Span::LEN];
        self.read(HEADER_LEN as u64 + u64::from(number) * Span::LEN as u64, &mut bytes)?;
        Ok(Span::decode(&bytes))
    }

    fn stream_offset(&self, number: u32) -> u64 {
        self.sections.streams + u64::from(number) * STREAM_ROW_LEN as u64
    }

    fn stream_row(&self, number: u32) -> Result<StreamRow, IndexError> {
        let mut bytes = [0; STREAM_ROW_LEN];
        self.read(self.stream_offset(number), &mut bytes)?;
        Ok(StreamRow::decode(&bytes))
    }

    /// Reads some of `ahead` past the cache, from its start, into `buffer`, and takes that from
    /// `ahead`; returns how many bytes at the start of `buffer` do not belong to it.
    pub(super) fn read_some(
        &self,
        ahead: &mut Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<usize, IndexError> {
        const PAGE_COUNT_MAX: u64 = 8;
        buffer.clear();
        match &self.store {
            Store::Memory(content) => {
                let from = usize::try_from(ahead.start).unwrap_or(usize::MAX);
                let to = usize::try_from(ahead.end).unwrap_or(usize::MAX);
                buffer.extend_from_slice(&content[from..to]);
                ahead.start = ahead.end;
                Ok(0)
            }
            Store::File(file) => {
                let (first, skipped) = page_at(ahead.start);
                let end = ahead.end.div_ceil(CONTENT_LEN as u64).min(first + PAGE_COUNT_MAX);
                file.read_through(first..end, buffer)?;
                let read_end = end * CONTENT_LEN as u64;
                let excess = usize::try_from(read_end.saturating_sub(ahead.end)).unwrap_or(0);
                buffer.truncate(buffer.len() - excess);
                ahead.start = read_end.min(ahead.end);
                Ok(skipped)
            }
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), IndexError> {
        match &self.store {
            Store::File(file) => file.read(offset, out),
            Store::Memory(content) => {
                // It lies in memory, so its offsets fit.
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                out.copy_from_slice(&content[start..start + out.len()]);
                Ok(())
            }
        }
    }
}

/// The number of items, out of `count`, at whose start `holds` is true and then no more.
fn partition(
    count: u32,
    mut holds: impl FnMut(u32) -> Result<bool, IndexError>,
) -> Result<u32, IndexError> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

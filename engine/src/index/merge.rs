//! Folding eight runs into one: sections are joined, level by level and stream by stream.
//!
//! Each section of each child is read once from its start to its end (the streams twice), so that
//! memory does not grow with the runs.

use std::sync::Arc;

use super::{
    FOLD, IndexError, NODE_LEVEL_MAX, NODE_LEVEL_MIN,
    cursor::Cursor,
    layout::{HEADER_LEN, RunHeader, RunId, StreamRow},
    pages::PageWriter,
    run::Run,
};
use crate::bytes::StreamId;

/// The run that `runs` can be folded into: they are the eight children of one, and its counts fit
/// their fields.
pub(super) fn folded(runs: &[Arc<Run>]) -> Option<RunId> {
    let (parent, 0) = runs.first()?.header().id.parent()? else { return None };
    let siblings = runs.len() == FOLD
        && (0..).zip(runs).all(|(place, run)| run.header().id.parent() == Some((parent, place)));
    (siblings && joined_header(parent, runs).is_some()).then_some(parent)
}

/// Writes the content of the run `id` that `children` become, but for its header.
///
/// # Errors
///
/// All of [`IndexError`].
pub(super) fn merge(
    id: RunId,
    children: &[Arc<Run>],
    out: &mut PageWriter,
) -> Result<RunHeader, IndexError> {
    let mut header = joined_header(id, children).expect("runs that can be folded");
    out.put(&[0; HEADER_LEN])?;
    for child in children {
        Cursor::spans(child).drain(|bytes| out.put(bytes))?;
    }
    for level in NODE_LEVEL_MIN..=NODE_LEVEL_MAX {
        for child in children {
            Cursor::nodes(child, level).drain(|bytes| out.put(bytes))?;
        }
    }
    header.stream_count = merge_streams(children, out)?;
    merge_postings(children, out)?;
    for child in children {
        Cursor::declarations(child).drain(|bytes| out.put(bytes))?;
    }
    Ok(header)
}

/// The header of the folded run, whose streams have not been counted; `None` if a count does not
/// fit. There are never more streams than postings.
fn joined_header(id: RunId, children: &[Arc<Run>]) -> Option<RunHeader> {
    let (first, last) = (children.first()?.header(), children.last()?.header());
    let sum = |count: fn(&RunHeader) -> u32| {
        children.iter().try_fold(0_u32, |sum, child| sum.checked_add(count(child.header())))
    };
    Some(RunHeader {
        id,
        start_offset: first.start_offset,
        first_index: first.first_index,
        end: last.end,
        span_count: sum(|header| header.span_count)?,
        stream_count: 0,
        posting_count: sum(|header| header.posting_count)?,
        declaration_count: sum(|header| header.declaration_count)?,
        declarations_len: sum(|header| header.declarations_len)?,
    })
}

fn merge_streams(children: &[Arc<Run>], out: &mut PageWriter) -> Result<u32, IndexError> {
    let mut streams = Streams::new(children)?;
    let (mut stream_count, mut first_posting) = (0, 0);
    while let Some((stream, counts)) = streams.next()? {
        // The sum over all streams is that of the children's headers, which fits.
        let posting_count = counts.iter().sum();
        out.put(&StreamRow { stream, first_posting, posting_count }.encode())?;
        first_posting += posting_count;
        stream_count += 1;
    }
    Ok(stream_count)
}

fn merge_postings(children: &[Arc<Run>], out: &mut PageWriter) -> Result<(), IndexError> {
    let mut streams = Streams::new(children)?;
    let mut postings: Vec<_> = children.iter().map(Cursor::postings).collect();
    while let Some((_, counts)) = streams.next()? {
        let mut base = 0;
        for ((child, cursor), count) in children.iter().zip(&mut postings).zip(counts) {
            for _ in 0..count {
                let span = u32::from_le_bytes(cursor.take()?);
                if span >= child.header().span_count {
                    return Err(cursor.damaged());
                }
                out.put(&(base + span).to_le_bytes())?;
            }
            base += child.header().span_count;
        }
    }
    Ok(())
}

/// The streams of all children, ascending, each with its number of postings in each child.
#[derive(Debug)]
struct Streams<'a> {
    children: &'a [Arc<Run>],
    rows: Vec<Rows>,
}

impl<'a> Streams<'a> {
    fn new(children: &'a [Arc<Run>]) -> Result<Self, IndexError> {
        let rows = children.iter().map(Rows::new).collect::<Result<_, _>>()?;
        Ok(Self { children, rows })
    }

    fn next(&mut self) -> Result<Option<(StreamId, [u32; FOLD])>, IndexError> {
        let heads = self.rows.iter().filter_map(|rows| rows.head);
        let Some(stream) = heads.map(|row| row.stream).min() else { return Ok(None) };
        let mut counts = [0; FOLD];
        for ((count, rows), child) in counts.iter_mut().zip(&mut self.rows).zip(self.children) {
            if let Some(row) = rows.head.filter(|row| row.stream == stream) {
                *count = row.posting_count;
                rows.advance(child)?;
            }
        }
        Ok(Some((stream, counts)))
    }
}

/// The rows of the streams of one run, in order and checked: together they take all postings.
#[derive(Debug)]
pub(super) struct Rows {
    cursor: Cursor,
    pub(super) head: Option<StreamRow>,
    posting_count: u32,
}

impl Rows {
    pub(super) fn new(run: &Arc<Run>) -> Result<Self, IndexError> {
        let mut rows = Self { cursor: Cursor::streams(run), head: None, posting_count: 0 };
        rows.advance(run)?;
        Ok(rows)
    }

    /// Goes on to the next row.
    pub(super) fn advance(&mut self, run: &Run) -> Result<(), IndexError> {
        let before = self.head.take();
        if self.cursor.remaining() == 0 {
            let complete = self.posting_count == run.header().posting_count;
            return if complete { Ok(()) } else { Err(self.cursor.damaged()) };
        }
        let row = StreamRow::decode(&self.cursor.take()?);
        let posting_count = self.posting_count.checked_add(row.posting_count);
        let sound = before.is_none_or(|before| before.stream < row.stream)
            && row.posting_count > 0
            && row.first_posting == self.posting_count;
        match posting_count.filter(|&sum| sound && sum <= run.header().posting_count) {
            Some(posting_count) => self.posting_count = posting_count,
            None => return Err(self.cursor.damaged()),
        }
        self.head = Some(row);
        Ok(())
    }
}

//! Lazy walks over spans and declarations. They see the index as it was when they were made.

use std::{collections::VecDeque, ops::Range, sync::Arc, vec};

use super::{Direction, IndexError, SpanRef, cursor::Cursor, run::Run, types::Declaration};
use crate::bytes::StreamId;

/// The runs of an index at a moment.
pub(super) type Runs = Arc<Vec<Arc<Run>>>;

/// Spans in the order of the log, or against it. After an error it ends.
#[derive(Debug)]
pub struct Spans {
    runs: Runs,
    /// The runs that have not been entered.
    ahead: Range<usize>,
    /// The run that was entered, and the numbers of its spans or postings that are ahead.
    current: Option<(Arc<Run>, Range<u32>)>,
    /// Spans that are in no run yet, in the order in which they are given.
    tail: vec::IntoIter<SpanRef>,
    stream: Option<StreamId>,
    from_index: u64,
    direction: Direction,
}

impl Spans {
    pub(super) fn new(
        runs: Runs,
        tail: impl DoubleEndedIterator<Item = SpanRef>,
        stream: Option<StreamId>,
        from_index: u64,
        direction: Direction,
    ) -> Self {
        let (ahead, tail): (_, Vec<_>) = match direction {
            Direction::Forward => {
                let passed = runs.partition_point(|run| run.header().end.end_index <= from_index);
                (passed..runs.len(), tail.filter(|span| span.end_index > from_index).collect())
            }
            Direction::Backward => {
                let reached = runs.partition_point(|run| run.header().first_index <= from_index);
                let tail = tail.rev().filter(|span| span.first_index <= from_index);
                (0..reached, tail.collect())
            }
        };
        let tail = tail.into_iter();
        Self { runs, ahead, current: None, tail, stream, from_index, direction }
    }

    fn advance(&mut self) -> Result<Option<SpanRef>, IndexError> {
        if self.direction == Direction::Backward
            && let Some(span) = self.tail.next()
        {
            return Ok(Some(span));
        }
        loop {
            if let Some((run, items)) = &mut self.current {
                let item = match self.direction {
                    Direction::Forward => items.next(),
                    Direction::Backward => items.next_back(),
                };
                if let Some(item) = item {
                    let number = if self.stream.is_some() { run.posting(item)? } else { item };
                    return run.span(number).map(Some);
                }
            }
            let next = match self.direction {
                Direction::Forward => self.ahead.next(),
                Direction::Backward => self.ahead.next_back(),
            };
            match next {
                Some(at) => {
                    let run = Arc::clone(&self.runs[at]);
                    let items = self.items(&run)?;
                    self.current = Some((run, items));
                }
                // Empty by now if the direction is backward.
                None => return Ok(self.tail.next()),
            }
        }
    }

    /// The numbers of the spans, or of the postings, of `run` that belong to the walk.
    fn items(&self, run: &Run) -> Result<Range<u32>, IndexError> {
        let header = run.header();
        let all = 0..header.span_count;
        let inside =
            header.first_index <= self.from_index && self.from_index < header.end.end_index;
        if let Some(stream) = self.stream {
            let postings = run.postings_of(stream)?;
            if postings.is_empty() || !inside {
                return Ok(postings);
            }
            return run.narrow(&postings, &self.spans(run)?);
        }
        if inside { self.spans(run) } else { Ok(all) }
    }

    /// The spans of the walk in the run in which it starts.
    fn spans(&self, run: &Run) -> Result<Range<u32>, IndexError> {
        let upto = run.spans_upto(self.from_index)?;
        Ok(match self.direction {
            Direction::Forward => upto.saturating_sub(1)..run.header().span_count,
            Direction::Backward => 0..upto,
        })
    }
}

impl Iterator for Spans {
    type Item = Result<SpanRef, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.ahead = 0..0;
            self.current = None;
            self.tail = Vec::new().into_iter();
        }
        next.transpose()
    }
}

/// The declarations of a log in order. After an error it ends.
#[derive(Debug)]
pub struct Declarations {
    runs: VecDeque<Arc<Run>>,
    current: Option<(Cursor, u32)>,
    tail: vec::IntoIter<Declaration>,
}

impl Declarations {
    pub(super) fn new(runs: &Runs, tail: Vec<Declaration>) -> Self {
        let declaring = runs.iter().filter(|run| run.header().declarations_len > 0);
        Self { runs: declaring.cloned().collect(), current: None, tail: tail.into_iter() }
    }

    fn advance(&mut self) -> Result<Option<Declaration>, IndexError> {
        loop {
            if let Some((cursor, left)) = &mut self.current {
                if cursor.remaining() > 0 {
                    *left = left.checked_sub(1).ok_or_else(|| cursor.damaged())?;
                    return read_declaration(cursor).map(Some);
                }
                if *left > 0 {
                    return Err(cursor.damaged());
                }
            }
            let Some(run) = self.runs.pop_front() else { return Ok(self.tail.next()) };
            let count = run.header().declaration_count;
            self.current = Some((Cursor::declarations(&run), count));
        }
    }
}

impl Iterator for Declarations {
    type Item = Result<Declaration, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.runs.clear();
            self.current = None;
            self.tail = Vec::new().into_iter();
        }
        next.transpose()
    }
}

fn read_declaration(cursor: &mut Cursor) -> Result<Declaration, IndexError> {
    let (declaration, name_len) =
        Declaration::decode_head(&cursor.take()?).map_err(|_| cursor.damaged())?;
    let mut name = vec![0; name_len];
    cursor.fill(&mut name)?;
    Ok(Declaration { name: name.into(), ..declaration })
}

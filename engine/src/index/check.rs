//! Reading a run from end to end.

use std::sync::Arc;

use super::{IndexError, cursor::Cursor, merge::Rows, run::Run};

/// Reads every page of `run` and checks that its sections fit together. Declarations are checked by
/// who reads them.
///
/// # Errors
///
/// All of [`IndexError`].
pub(super) fn check(run: &Arc<Run>) -> Result<(), IndexError> {
    Cursor::all(run).drain(|_| Ok(()))?;
    if run.memory().is_none() {
        check_padding(run)?;
    }
    check_spans(run)?;
    check_postings(run)
}

fn check_padding(run: &Arc<Run>) -> Result<(), IndexError> {
    let mut padding = Cursor::padding(run);
    while padding.remaining() > 0 {
        if padding.take()? != [0] {
            return Err(padding.damaged());
        }
    }
    Ok(())
}

fn check_spans(run: &Run) -> Result<(), IndexError> {
    let end = run.header().end;
    let mut before = (0, None);
    for number in 0..run.header().span_count {
        // Offsets and indexes are checked there, against those of the next span.
        let span = run.span(number)?;
        let now = (span.change_count, span.time_max);
        if now.0 < before.0 || now.1 < before.1 || now.0 > end.change_count || now.1 > end.time_max
        {
            return Err(run.damaged_span(number));
        }
        before = now;
    }
    Ok(())
}

fn check_postings(run: &Arc<Run>) -> Result<(), IndexError> {
    let mut rows = Rows::new(run)?;
    let mut postings = Cursor::postings(run);
    while let Some(row) = rows.head {
        let mut above = 0;
        for _ in 0..row.posting_count {
            let span = u32::from_le_bytes(postings.take()?);
            if span < above || span >= run.header().span_count {
                return Err(postings.damaged());
            }
            above = span + 1;
        }
        rows.advance(run)?;
    }
    Ok(())
}

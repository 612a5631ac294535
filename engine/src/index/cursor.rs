//! Reading a section of a run from its start to its end.

use std::{ops::Range, sync::Arc};

use super::{
    IndexError,
    layout::{CONTENT_LEN, HEADER_LEN},
    run::Run,
};

/// Reads a part of a run's content in order, some pages at a time and past the cache.
#[derive(Debug)]
pub(super) struct Cursor {
    run: Arc<Run>,
    /// What has been read from the run and not been taken yet is `buffer[at..]`.
    buffer: Vec<u8>,
    at: usize,
    /// The content that has not been read yet.
    ahead: Range<u64>,
}

impl Cursor {
    /// Everything behind the header.
    pub(super) fn all(run: &Arc<Run>) -> Self {
        Self::new(run, HEADER_LEN as u64..run.sections().end)
    }

    /// The spans.
    pub(super) fn spans(run: &Arc<Run>) -> Self {
        Self::new(run, HEADER_LEN as u64..run.sections().nodes)
    }

    /// The nodes of `level`.
    pub(super) fn nodes(run: &Arc<Run>, level: u32) -> Self {
        Self::new(run, run.header().nodes_of_level(level))
    }

    /// The rows of the streams.
    pub(super) fn streams(run: &Arc<Run>) -> Self {
        Self::new(run, run.sections().streams..run.sections().postings)
    }

    /// The postings.
    pub(super) fn postings(run: &Arc<Run>) -> Self {
        Self::new(run, run.sections().postings..run.sections().declarations)
    }

    /// The declarations.
    pub(super) fn declarations(run: &Arc<Run>) -> Self {
        Self::new(run, run.sections().declarations..run.sections().end)
    }

    /// The zeros behind the content.
    pub(super) fn padding(run: &Arc<Run>) -> Self {
        let end = run.sections().page_count() * CONTENT_LEN as u64;
        Self::new(run, run.sections().end..end)
    }

    fn new(run: &Arc<Run>, range: Range<u64>) -> Self {
        Self { run: Arc::clone(run), buffer: Vec::new(), at: 0, ahead: range }
    }

    /// Bytes that are left.
    pub(super) fn remaining(&self) -> u64 {
        self.ahead.end - self.offset()
    }

    /// The error for content that was just taken and is wrong.
    pub(super) fn damaged(&self) -> IndexError {
        self.run.damaged(self.offset().saturating_sub(1))
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    ///
    /// All of [`IndexError`]; so it is for all methods. The end of the range is damage.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Fills `out` with what comes next.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<(), IndexError> {
        let mut filled = 0;
        while filled < out.len() {
            let some = self.some()?;
            if some.is_empty() {
                return Err(self.damaged());
            }
            let len = some.len().min(out.len() - filled);
            out[filled..filled + len].copy_from_slice(&some[..len]);
            self.at += len;
            filled += len;
        }
        Ok(())
    }

    /// Hands everything that is left to `put`, piece by piece.
    pub(super) fn drain(
        mut self,
        mut put: impl FnMut(&[u8]) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        while self.remaining() > 0 {
            put(self.some()?)?;
            self.at = self.buffer.len();
        }
        Ok(())
    }

    /// What is there without another read, or else after one; empty at the end.
    fn some(&mut self) -> Result<&[u8], IndexError> {
        if self.at == self.buffer.len() && !self.ahead.is_empty() {
            self.at = self.run.read_some(&mut self.ahead, &mut self.buffer)?;
        }
        Ok(&self.buffer[self.at..])
    }

    /// Where the next byte lies.
    fn offset(&self) -> u64 {
        self.ahead.start - (self.buffer.len() - self.at) as u64
    }
}

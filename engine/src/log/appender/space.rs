//! Space ahead of the log: zeros that are written before they are needed.
//!
//! A sync of an append that lengthens the file has the file system record the new length and new blocks in its
//! journal. Into space that was written before, with zeros, a sync has only the data to write. So a write that is
//! synced at once and does not fit into the space that is left brings the zeros for the next ones along: it stays one
//! write and one sync.
//!
//! The space doubles what this writer has appended, within limits, so that a short session does not write much for
//! nothing; and it goes when the log is closed. What is written in bulk needs none.

use super::Appender;
use crate::error::{IoContext as _, IoError};

/// Space ends at a multiple of this.
const STEP_LEN: u64 = 4096;

/// The space of one appender.
#[derive(Debug)]
pub(super) struct Space {
    /// Most bytes ahead of the log; 0 if the segment does without.
    len_max: u64,
    /// Where this writer began.
    start: u64,
    /// Up to here the file is known to have been written.
    end: u64,
}

impl Space {
    /// None yet, behind a log that ends at `end` with its file.
    pub(super) const fn new(len_max: u64, end: u64) -> Self {
        Self { len_max, start: end, end }
    }

    /// The same in another file, which may be shorter, or after a cut.
    pub(super) fn begins_at(&mut self, end: u64) {
        self.start = self.start.min(end);
        self.end = end;
    }

    /// How many zeros to write behind `end`, up to which a write goes that is synced at once.
    fn wanted(&self, end: u64) -> u64 {
        if end <= self.end || self.len_max == 0 {
            return 0;
        }
        let ahead = end.saturating_sub(self.start).clamp(1, self.len_max);
        (end + ahead).next_multiple_of(STEP_LEN) - end
    }
}

impl Appender {
    /// Writes what was encoded; with zeros behind it if it `is_synced` next and that pays.
    pub(super) fn write_out(&mut self, offset: &mut u64, is_synced: bool) -> Result<(), IoError> {
        let len = self.out.len();
        let end = *offset + len as u64;
        let zeros = if is_synced { self.space.wanted(end) } else { 0 };
        let zeros = usize::try_from(zeros).unwrap_or(0);
        self.out.resize(len + zeros, 0);
        let mut result = self.file.write_all_at(&self.out, *offset);
        self.out.truncate(len);
        if result.is_ok() {
            self.space.end = self.space.end.max(end + zeros as u64);
        } else if zeros > 0 {
            // Perhaps the disk has room for what matters.
            result = self.file.write_all_at(&self.out, *offset);
        }
        result.context(&self.path, "write")?;
        *offset = end;
        self.out.clear();
        Ok(())
    }

    /// Takes the space away: the file ends with the log.
    pub(super) fn give_back_space(&mut self) -> Result<(), IoError> {
        let end = self.state.end_offset;
        if self.space.end > end {
            self.file.set_len(end).context(&self.path, "give back the space behind")?;
            self.space.begins_at(end);
        }
        Ok(())
    }
}

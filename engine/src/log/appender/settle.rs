//! The first thing that an appender does after a recovery.

use super::Appender;
use crate::error::{IoContext as _, IoError};

/// Read and written at once when a tail is written again.
const REWRITE_LEN: usize = 1 << 20;

impl Appender {
    /// Makes the end of the file trustworthy after a recovery: cuts it at `end`, then writes
    /// `from..end` again with the same bytes, syncs, and records it in a checkpoint.
    ///
    /// After a failed sync the kernel may hold clean pages that the disk never got; only writing them
    /// again makes sure.
    pub(crate) fn settle(&mut self, from: u64, file_len: u64) -> Result<(), IoError> {
        let end = self.state.end_offset;
        if file_len > end {
            self.file.set_len(end).context(&self.path, "cut")?;
            self.sync_file()?;
        }
        let mut offset = from;
        while offset < end {
            let len =
                usize::try_from((end - offset).min(REWRITE_LEN as u64)).expect("a MiB at most");
            let bytes = self.file.read_vec_at(offset, len).context(&self.path, "read")?;
            if bytes.is_empty() {
                break;
            }
            self.file.write_all_at(&bytes, offset).context(&self.path, "write")?;
            offset += bytes.len() as u64;
        }
        self.sync_file()?;
        self.write_checkpoint(false)?;
        self.sync_file()
    }
}

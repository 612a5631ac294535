//! What of a segment a compaction would gain.

use std::sync::Arc;

use crate::{
    batch::BatchHeader,
    frame::{FRAME_HEADER_LEN, FRAME_TRAILER_LEN},
    log::{
        head::HEAD_LEN,
        read::{Log, ReadError, position_in},
    },
    merkle::SaltCursor,
};

/// What a batch costs beside its sections.
const ENVELOPE_LEN: u64 = (FRAME_HEADER_LEN + FRAME_TRAILER_LEN + BatchHeader::LEN) as u64;
/// About the length of the batches that a compaction writes, as they stand in the file.
const COMPACT_LEN: u64 = 16 << 10;

/// What came since the last compaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Uncompacted {
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
    /// Length of all frames.
    pub(crate) total: u64,
}

impl Log {
    /// What came since the last compaction.
    pub(crate) fn uncompacted(&self) -> Uncompacted {
        let view = self.view.read();
        let from = self.header.compacted_upto.max(HEAD_LEN);
        Uncompacted {
            bytes: view.end_offset.saturating_sub(from),
            frames: view.state.frame_count.saturating_sub(self.header.compacted_frames),
            total: view.end_offset.saturating_sub(HEAD_LEN),
        }
    }

    /// What a compaction gains at least, if `dead` bytes mean nothing any more.
    pub(crate) fn reclaimable(&self, dead: u64) -> u64 {
        let Uncompacted { bytes, frames, .. } = self.uncompacted();
        let needed = bytes.div_ceil(COMPACT_LEN);
        dead + frames.saturating_sub(needed) * ENVELOPE_LEN
    }

    /// Entries that are redacted and whose payloads are still there, and how long these are; ascending.
    ///
    /// Cost: one lookup for each redacted entry; batches are read only where there is something left.
    pub(crate) fn pending_redactions(self: &Arc<Self>) -> Result<Vec<(u64, u32)>, ReadError> {
        let size = self.view.read().entry_count;
        let ranges: Vec<_> = self.with_redactions(size, |table| table.ranges().collect())?;
        let mut pending = Vec::new();
        let mut cursor = SaltCursor::new();
        for index in ranges.into_iter().flatten() {
            if index < self.first_index() || cursor.salt(&self.salts, index).is_none() {
                continue;
            }
            let batch = self.batch_with(index)?;
            let header = batch.entry_header(position_in(&batch, index));
            // An empty payload keeps its salt: there is nothing to forget, and its hash is made with it.
            if !header.kind.is_control() && header.payload_len > 0 {
                pending.push((index, header.payload_len));
            }
        }
        Ok(pending)
    }
}

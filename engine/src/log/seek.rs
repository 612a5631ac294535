//! Finding a place in a segment without an index: frames can be found from anywhere, so the file is halved.

use crate::{
    error::IoContext as _,
    log::{
        frames::READ_AHEAD_SHORT,
        read::{Log, Place, ReadError},
    },
};

/// Closer than this, frame headers are walked.
const CLOSE_LEN: u64 = 64 << 10;

impl Log {
    /// The place of a frame at or before the one that holds entry `index`, which is behind `from`.
    ///
    /// Cost: for each halving of what lies behind `from` one read, and the checksum of one frame.
    pub(crate) fn seek(&self, index: u64, from: Place) -> Result<Place, ReadError> {
        let mut low = from;
        let mut high = self.view.read().end_offset;
        let mut reader = self.frame_reader(high, READ_AHEAD_SHORT);
        while high.saturating_sub(low.offset) > CLOSE_LEN {
            let middle = low.offset + (high - low.offset) / 2;
            let found = reader.find(middle).context(&self.path, "read")?;
            let found = found.filter(|frame| frame.offset < high && frame.first_index <= index);
            match found {
                Some(frame) => low = Place { offset: frame.offset, index: frame.first_index },
                None => high = middle,
            }
        }
        Ok(low)
    }
}

//! The deep part of a walk: everything decompressed and hashed, and the index rebuilt beside it.

use super::rebuilt::Rebuilt;
use crate::{
    batch::Decoder,
    bytes::LogId,
    frame::FrameHeader,
    log::{LogState, Replay, ReplayError, Segment, decode_for},
};

/// Replays a log. Behind damage the tree is unknown: then batches are decoded, but not hashed, until a
/// checkpoint tells the state again.
pub(super) struct Deep {
    log: LogId,
    replay: Replay,
    decoder: Decoder,
    on_track: bool,
    /// Nothing was lost so far.
    whole: bool,
    rebuilt: Option<Rebuilt>,
}

impl Deep {
    pub(super) fn new(segment: &Segment, rebuilt: Option<Rebuilt>) -> Self {
        let header = &segment.header;
        let state = LogState::empty(header.link_seed());
        Self {
            log: header.log,
            replay: Replay::new(header.log, segment.salts.clone(), header.align_log2, state),
            decoder: Decoder::new(),
            on_track: true,
            whole: true,
            rebuilt,
        }
    }

    /// Decodes the batch of a sound frame; hashes it, where the state before it is known.
    pub(super) fn apply(&mut self, frame: &FrameHeader, payload: &[u8]) -> Result<(), ReplayError> {
        if !self.on_track {
            return decode_for(self.log, frame, &mut self.decoder, payload).map(drop);
        }
        let summary = self.replay.apply(frame, payload)?;
        if let Some(rebuilt) = self.rebuilt.as_mut().filter(|_| self.whole) {
            rebuilt.push(&summary);
        }
        Ok(())
    }

    /// Goes over a frame that holds no entries.
    pub(super) fn skip(&mut self, frame: &FrameHeader) {
        if self.on_track {
            let summary = self.replay.skip(frame);
            if let Some(rebuilt) = self.rebuilt.as_mut().filter(|_| self.whole) {
                rebuilt.push(&summary);
            }
        }
    }

    /// Entries were lost: the tree is unknown from here on.
    pub(super) fn lose_track(&mut self) {
        self.on_track = false;
        self.whole = false;
    }

    /// A checkpoint tells the state.
    pub(super) fn find_track(&mut self, state: &LogState) {
        if !self.on_track {
            self.replay.set_state(state.clone());
            self.on_track = true;
        }
    }

    /// The state, where it is known.
    pub(super) fn state(&self) -> Option<&LogState> {
        self.on_track.then(|| self.replay.state())
    }

    /// Changes so far, where that is known.
    pub(super) fn change_count(&self) -> Option<u64> {
        self.state().map(|state| state.change_count)
    }

    /// The index as the log gives it; `None` if part of the log is lost.
    pub(super) fn into_rebuilt(self) -> Option<Rebuilt> {
        self.rebuilt.filter(|_| self.whole)
    }
}

//! The deep part of a walk: everything decompressed and hashed, and the index rebuilt beside it.

use std::collections::BTreeSet;

use super::{rebuilt::Rebuilt, seen::Claim};
use crate::{
    batch::{Batch, Decoder},
    bytes::LogId,
    entry::{Kind, decode_frontier},
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
    /// What the log has seen of others, each once.
    seen: BTreeSet<Claim>,
}

impl Deep {
    pub(super) fn new(segment: &Segment, rebuilt: Option<Rebuilt>) -> Self {
        let header = &segment.header;
        let state = segment.base().clone();
        Self {
            log: header.log,
            replay: Replay::new(header.log, segment.salts.clone(), header.align_log2, state),
            decoder: Decoder::new(),
            on_track: true,
            whole: true,
            rebuilt,
            seen: BTreeSet::new(),
        }
    }

    /// Decodes the batch of a sound frame; hashes it, where the state before it is known.
    pub(super) fn apply(&mut self, frame: &FrameHeader, payload: &[u8]) -> Result<(), ReplayError> {
        if !self.on_track {
            return decode_for(self.log, frame, &mut self.decoder, payload).map(drop);
        }
        let (by, seen) = (self.log, &mut self.seen);
        let summary = self.replay.apply_and(frame, payload, |batch| note_seen(by, batch, seen))?;
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

    /// What the log says of others; nothing if part of it is lost.
    pub(super) fn take_seen(&mut self) -> BTreeSet<Claim> {
        let seen = std::mem::take(&mut self.seen);
        if self.whole { seen } else { BTreeSet::new() }
    }

    /// The index as the log gives it; `None` if part of the log is lost.
    pub(super) fn into_rebuilt(self) -> Option<Rebuilt> {
        self.rebuilt.filter(|_| self.whole)
    }
}

/// Adds the rows of the *seen* entries of a batch.
fn note_seen(by: LogId, batch: &Batch, seen: &mut BTreeSet<Claim>) {
    for (_, payload) in batch.entries().filter(|(header, _)| header.kind == Kind::SEEN) {
        let rows = decode_frontier(payload.payload().unwrap_or_default()).unwrap_or_default();
        seen.extend(rows.into_iter().map(|row| Claim {
            log: row.log,
            size: row.size,
            root: row.root,
            by,
        }));
    }
}

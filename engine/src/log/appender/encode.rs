//! From what is staged to frames, in order: the tree above the leaves, roots, checksums, places. What does not need the
//! order may have been made before (see [`crate::log::press`]).

use super::{Appender, WRITE_LEN_MAX};
use crate::{
    batch::{BatchDraft, set_continues, set_root},
    bytes::Hash,
    error::IoError,
    frame::FRAME_HEADER_LEN,
    log::{
        press::OWN_LOG,
        replay::{Effect, ReplayError},
        stage::{PressStep, Staged, StagedBatch},
    },
};

impl Appender {
    /// Encodes and writes all that is staged; `is_synced`: a sync follows.
    pub(super) fn try_write(&mut self, staged: &Staged, is_synced: bool) -> Result<(), IoError> {
        self.check_len()?;
        let mut offset = self.state.end_offset;
        self.out.clear();
        for batch in staged.batches() {
            self.encode(staged, batch);
            if self.out.len() >= WRITE_LEN_MAX {
                self.write_out(&mut offset, false)?;
            }
        }
        // Where commits are large, their syncs have more to do than to lengthen the file.
        self.write_out(&mut offset, is_synced && staged.weight() < self.batch_len)
    }

    /// Appends the frame of one batch to `out` and moves the state behind it.
    fn encode(&mut self, staged: &Staged, batch: &StagedBatch) {
        let start = self.begin_frame();
        let mut pressed = match &self.press_room {
            Some(room) => room.claim(batch, &mut self.press),
            None => batch.pressed.lock(),
        };
        if pressed.step == PressStep::Made {
            self.out.extend_from_slice(&pressed.bytes);
        } else {
            pressed.leaves.clear();
            let keyed = (self.hasher.keys(), self.hasher.salts());
            let made = (&mut self.out, &mut pressed.leaves);
            self.press.press(self.header.log, keyed, batch, made);
        }
        pressed.step = PressStep::Written;
        let continues = staged.splits_group(batch);
        if continues && self.boundary.is_none() {
            self.boundary = Some(self.state.clone());
        }
        let first_index = self.state.entry_count();
        let mut effect = self.spare_effects.pop().unwrap_or_default();
        self.hasher
            .append_hashed(&mut self.state, batch.entries(), &pressed.leaves, &mut effect)
            .expect(OWN_LOG);
        self.finish_frame(start, first_index, continues, effect);
    }

    /// Appends the frame of entries that were put together.
    pub(super) fn encode_draft(
        &mut self,
        draft: &BatchDraft,
        continues: bool,
    ) -> Result<(), ReplayError> {
        let first_index = self.state.entry_count();
        let start = self.begin_frame();
        let encoder = &mut self.press.encoder;
        encoder.encode_draft(self.header.log, first_index, draft, Hash::ZERO, &mut self.out);
        let mut effect = self.spare_effects.pop().unwrap_or_default();
        self.hasher.append(&mut self.state, draft.entries(), &mut effect)?;
        self.finish_frame(start, first_index, continues, effect);
        Ok(())
    }

    /// Leaves room for a frame's header; says where.
    fn begin_frame(&mut self) -> usize {
        let start = self.out.len();
        self.out.resize(start + FRAME_HEADER_LEN, 0);
        start
    }

    /// Puts the root into the batch that was encoded at the end of `out`, and makes it a frame.
    fn finish_frame(&mut self, start: usize, first_index: u64, continues: bool, effect: Effect) {
        let root = self.state.peaks.root(self.hasher.keys());
        let batch = &mut self.out[start + FRAME_HEADER_LEN..];
        set_root(batch, &root);
        if continues {
            set_continues(batch);
        }
        self.close_frame(start, first_index, continues, effect, root);
    }
}

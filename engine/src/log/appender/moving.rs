//! Going on in another file: the next generation of the segment.

use std::sync::Arc;

use super::{Appender, Learner};
use crate::{
    log::{generation::Installed, replay::Hasher},
    sync::AtomicU64,
};

impl Appender {
    /// Goes on in another file, which holds all that this one does.
    pub(crate) fn move_to(
        &mut self,
        installed: &Installed,
        learner: Learner,
        durable_len: Arc<AtomicU64>,
    ) {
        assert_eq!(
            self.state.peaks, installed.state.peaks,
            "the other file holds the same entries"
        );
        assert!(self.boundary.is_none(), "a file is left between atomic groups");
        self.file = Arc::clone(&installed.file);
        self.header = installed.header.clone();
        self.hasher = Hasher::new(self.header.log, installed.salts.clone());
        if let Some(room) = &self.press_room {
            room.set_salts(installed.salts.clone());
        }
        self.state = installed.state.clone();
        self.space.begins_at(self.state.end_offset);
        self.durable = self.state.end_offset;
        self.frames_unsynced = 0;
        self.sequence = 1;
        self.checkpoint_offset = self.durable;
        self.slot_unsynced = false;
        self.learner = learner;
        self.durable_len = durable_len;
        self.written.clear();
        self.acknowledge();
        self.publish();
    }

    pub(crate) fn opening(&self) -> u32 {
        self.opening
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }
}

//! Frames that are written and not published: what an import does before its bundle is judged.
//!
//! The appender of an import goes on behind the published end of a log that nobody else writes, or in a file
//! under a temporary name. No view, checkpoint or index covers what it writes until [`Log::publish`].

use super::{Appender, INDEX_UNPERSISTED_MAX, Learner, Written};
use crate::{
    bytes::{Hash, StreamId},
    index::Index,
    log::{checkpoint::LogState, press::Press, read::Log},
    sync::Ordering,
};

/// An import keeps so much of what the indexes are to learn, in bytes; the rest is read up from the files.
pub(crate) const INDEX_PART_LEN_MAX: usize = INDEX_UNPERSISTED_MAX;

/// What the index is to learn of frames that were withheld, in order; perhaps not of all of them.
#[derive(Debug, Default)]
pub(crate) struct IndexPart(Vec<Written>);

impl IndexPart {
    fn teach(&self, index: &Index) {
        self.0.iter().for_each(|written| written.teach(index));
    }
}

impl Written {
    /// About how many bytes of memory it takes.
    fn len(&self) -> usize {
        let effect = &self.effect;
        size_of::<Self>()
            + effect.streams.capacity() * size_of::<StreamId>()
            + effect.nodes.capacity() * size_of::<(u32, u64, Hash)>()
            + effect
                .declarations
                .iter()
                .map(|declaration| size_of_val(declaration) + declaration.name.len())
                .sum::<usize>()
    }
}

impl Appender {
    /// Keeps what was written last for the index, if there is room. Once there is none, nothing more is kept: the
    /// index takes frames without gaps only.
    pub(super) fn keep_for_later(&mut self) {
        let Learner::Later { room } = &mut self.learner else { return };
        let Some(last) = self.written.last_mut() else { return };
        last.effect.shrink_to_fit();
        if let Some(rest) = room.checked_sub(last.len()) {
            *room = rest;
        } else {
            *room = 0;
            self.spare_effects.extend(self.written.pop().map(|written| written.effect));
        }
    }

    /// Nothing more will be appended before the bundle is judged: gives back what only appending needs, and says
    /// how much room for the index is left.
    pub(crate) fn rest(&mut self) -> usize {
        self.out = Vec::new();
        self.spare_effects = Vec::new();
        self.press = Press::new(1);
        self.hasher.rest();
        match &self.learner {
            Learner::Later { room } => *room,
            Learner::Index { .. } => 0,
        }
    }

    /// What was kept for the index.
    pub(crate) fn take_index_part(&mut self) -> IndexPart {
        IndexPart(std::mem::take(&mut self.written))
    }
}

impl Log {
    /// Shows everybody in this process what was withheld, which is durable: the log goes up to `state` now.
    pub(crate) fn publish(&self, state: LogState, part: &IndexPart) {
        self.durable_len.fetch_max(state.end_offset, Ordering::AcqRel);
        {
            let mut view = self.view.write();
            view.end_offset = state.end_offset;
            view.entry_count = state.entry_count();
            view.state = state;
        }
        // Who is just reading the index up comes to this part as well.
        if let Some(_feeding) = self.feed.try_lock() {
            part.teach(&self.index);
            // The index is a cache: where it cannot be written it is left to be rebuilt.
            let _ = self.index.persist(self.durable_len.load(Ordering::Acquire));
        }
    }
}

//! What checkpoints and index runs say of places that a walk comes to.

use super::walk::Reached;
use crate::{
    bytes::LogKeys,
    index::Position,
    log::{Checkpoint, LogState, Segment, Slot},
};

/// The places that somebody says something of, in the order of the file.
#[derive(Default)]
pub(super) struct Witness<'a> {
    /// The last one is the next.
    checkpoints: Vec<&'a Checkpoint>,
    index_end: Option<Position>,
}

impl<'a> Witness<'a> {
    pub(super) fn new(segment: &'a Segment, index_end: Option<Position>) -> Self {
        let mut checkpoints: Vec<_> = segment.slots.iter().filter_map(Slot::checkpoint).collect();
        checkpoints.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.state.end_offset));
        Self { checkpoints, index_end }
    }

    /// The next checkpoint that ends at or before `offset`.
    pub(super) fn next_checkpoint(&mut self, offset: u64) -> Option<&'a Checkpoint> {
        self.checkpoints.pop_if(|checkpoint| checkpoint.state.end_offset <= offset)
    }

    /// The end of the index, once it is at or before `offset`.
    pub(super) fn next_index_end(&mut self, offset: u64) -> Option<Position> {
        self.index_end.take_if(|position| position.end_offset <= offset)
    }
}

/// The fields in which a checkpoint contradicts what was reached. `tree` is the state, if everything was
/// hashed.
pub(super) fn differences(
    said: &LogState,
    reached: &Reached,
    tree: Option<&LogState>,
    keys: &LogKeys,
) -> Vec<&'static str> {
    let mut fields = vec![
        (said.entry_count() == reached.entries, "entry_count"),
        (said.link == reached.link, "last_header_crc"),
    ];
    if let Some((frames, payload_bytes)) = reached.counts {
        fields.push((said.frame_count == frames, "frame_count"));
        fields.push((said.payload_bytes == payload_bytes, "payload_bytes"));
    }
    if let Some(root) = reached.root {
        fields.push((said.peaks.root(keys) == root, "root"));
    }
    if let Some(tree) = tree {
        fields.push((said.peaks == tree.peaks, "peaks"));
        fields.push((said.change_count == tree.change_count, "change_count"));
        fields.push((said.lamport == tree.lamport, "lamport"));
        fields.push((said.time_max == tree.time_max, "time_max"));
        fields.push((said.stream_count == tree.stream_count, "stream_count"));
    }
    fields.into_iter().filter(|&(equal, _)| !equal).map(|(_, name)| name).collect()
}

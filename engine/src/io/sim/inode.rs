//! A file: the content that reads see, the content that is durable, and between them the operations that
//! were not synced, in order.

use std::{io, sync::Arc};

use super::{
    content::{Content, check_end},
    history::SyncOutcome,
};

/// A change of a file that a power loss can undo on its own.
#[derive(Clone)]
pub(super) enum FileOp {
    Data {
        offset: u64,
        bytes: Arc<[u8]>,
    },
    /// `cuts`: it was issued to shorten the file, so what stood behind `len` goes with it. Where such a cut
    /// is lost and a later extension is not, the old bytes are there again.
    Len {
        len: u64,
        cuts: bool,
    },
}

#[derive(Clone)]
pub(super) struct PendingFile {
    pub(super) seq: u64,
    pub(super) op: FileOp,
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) live: Content,
    pub(super) durable: Content,
    /// What was durable before the last sync, for stale reads.
    pub(super) older: Content,
    pub(super) ops: Arc<Vec<PendingFile>>,
    /// The length once all that is pending is durable, where a length is pending.
    len_pending: Option<u64>,
    /// A failed sync forgot operations: `live` is more than `durable` with `ops`.
    forgotten: bool,
    /// Handles to it.
    pub(super) opened: u32,
    pub(super) locked_shared: u32,
    pub(super) locked: bool,
}

impl FileOp {
    pub(super) fn apply(&self, content: &mut Content) {
        match self {
            Self::Data { offset, bytes } => {
                content.put(bytes, *offset).expect("it was stored there before");
            }
            Self::Len { len, cuts } => {
                if *cuts {
                    content.discard_from(*len);
                }
                content.set_len_only(*len);
            }
        }
    }
}

impl Inode {
    /// A file that is durable as it is.
    pub(super) fn settled(content: Content) -> Self {
        Self { live: content.clone(), durable: content, ..Self::default() }
    }

    /// Makes it a file that is durable as this. Its handles stay.
    pub(super) fn settle(&mut self, content: Content) {
        self.live = content.clone();
        self.durable = content;
        self.clear_pending();
        self.forgotten = false;
    }

    /// The length once all that is pending is durable.
    fn expected_len(&self) -> u64 {
        self.len_pending.unwrap_or(self.durable.len())
    }

    fn clear_pending(&mut self) {
        self.ops = Arc::default();
        self.len_pending = None;
    }

    fn push(&mut self, seq: &mut u64, op: FileOp) {
        if let FileOp::Len { len, .. } = op {
            self.len_pending = Some(len);
        }
        Arc::make_mut(&mut self.ops).push(PendingFile { seq: *seq, op });
        *seq += 1;
    }

    pub(super) fn write(
        &mut self,
        seq: &mut u64,
        bytes: &Arc<[u8]>,
        offset: u64,
    ) -> io::Result<()> {
        check_end(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset + bytes.len() as u64;
        let grows = end > self.live.len() || end > self.expected_len();
        self.live.write(bytes, offset)?;
        if grows {
            self.push(seq, FileOp::Len { len: self.live.len(), cuts: false });
        }
        self.push(seq, FileOp::Data { offset, bytes: Arc::clone(bytes) });
        Ok(())
    }

    pub(super) fn set_len(&mut self, seq: &mut u64, len: u64) {
        let expected = self.expected_len();
        if len != self.live.len() || len != expected {
            let cuts = len < self.live.len().max(expected);
            self.live.set_len(len);
            self.push(seq, FileOp::Len { len, cuts });
        }
    }

    pub(super) fn sync(&mut self, outcome: SyncOutcome) {
        match outcome {
            SyncOutcome::Durable => {
                if self.ops.is_empty() {
                    return;
                }
                self.older = self.durable.clone();
                if self.forgotten {
                    for pending in self.ops.iter() {
                        pending.op.apply(&mut self.durable);
                    }
                    self.durable.discard_from(self.durable.len());
                } else {
                    self.durable = self.live.clone();
                }
                self.clear_pending();
            }
            SyncOutcome::Forgotten => {
                self.forgotten |= !self.ops.is_empty();
                self.clear_pending();
            }
            SyncOutcome::Reverted => {
                self.live = self.durable.clone();
                self.clear_pending();
                self.forgotten = false;
            }
            SyncOutcome::Lie => {}
        }
    }
}

//! Entries without the payloads whose salts are erased (H-4).

use crate::{
    batch::{Batch, BatchDraft, Content},
    bytes::LogKeys,
    merkle::{SaltCursor, SaltTree},
};

/// The entries of `batch` from position `from` on, without those payloads whose salts `salts` has erased: their hashes are
/// made with the salts of `lender`, which still has them. `None` if nothing has to go.
///
/// A payload of which neither has the salt stays: whoever hashes the entries refuses it.
pub(crate) fn without_erased(
    batch: &Batch,
    from: usize,
    salts: &SaltTree,
    lender: &SaltTree,
    keys: &LogKeys,
) -> Option<BatchDraft> {
    let first = batch.first_index() + from as u64;
    if salts.has_all(first..batch.end_index()) {
        return None;
    }
    let (mut own, mut lent) = (SaltCursor::new(), SaltCursor::new());
    let mut draft = BatchDraft::default();
    let mut is_changed = false;
    for (index, (header, content)) in (first..).zip(batch.entries().skip(from)) {
        let lost = content.payload().filter(|payload| {
            !payload.is_empty() && !header.kind.is_control() && own.salt(salts, index).is_none()
        });
        let hash =
            lost.and_then(|payload| Some(keys.payload_hash(&lent.salt(lender, index)?, payload)));
        is_changed |= hash.is_some();
        draft.push(header, hash.map_or(content, Content::Absent));
    }
    is_changed.then_some(draft)
}

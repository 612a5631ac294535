//! Batches: what decodes is consistent, and encodes to something that decodes to the same.

use annals::batch::{BatchDraft, Decoder, Encoder, set_continues};

/// The target `batch`.
pub fn batch(data: &[u8]) {
    let Ok(batch) = Decoder::new().decode(data) else { return };
    let _ = batch.entries().count();
    let mut draft = BatchDraft::default();
    draft.extend_from(&batch, 0);
    assert!(draft.entries().eq(batch.entries()));
    let mut bytes = Vec::new();
    let header = batch.header();
    Encoder::new(1).encode_draft(
        header.log(),
        header.first_index(),
        &draft,
        header.root(),
        &mut bytes,
    );
    if header.continues() {
        set_continues(&mut bytes);
    }
    let same = Decoder::new().decode(&bytes).expect("what was encoded can be decoded");
    assert_eq!(same.indices(), batch.indices());
    assert_eq!(
        (same.header().root(), same.header().continues()),
        (header.root(), header.continues())
    );
    assert!(same.entries().eq(batch.entries()));
}

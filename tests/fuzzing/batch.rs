//! Batches: what decodes is consistent, and encodes to something that decodes to the same.

use annals::batch::{Decoder, Encoder};

/// The target `batch`.
pub fn batch(data: &[u8]) {
    let Ok(batch) = Decoder::new().decode(data) else { return };
    let headers: Vec<_> = batch.entries().map(|(header, _)| header).collect();
    let payloads: Vec<u8> = batch.entries().flat_map(|(_, payload)| payload).copied().collect();
    assert_eq!(headers.len() as u64, batch.end_index() - batch.first_index());
    let mut again = Vec::new();
    let header = batch.header();
    Encoder::new(1).encode(
        header.log(),
        batch.first_index(),
        &headers,
        &payloads,
        header.root(),
        &mut again,
    );
    let same = Decoder::new().decode(&again).expect("what was encoded decodes");
    assert!(same.entries().eq(batch.entries()));
}

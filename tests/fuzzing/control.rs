//! Control records: salt records, frontiers, redactions, snapshots, segment heads.

use annals::{
    Frontier,
    entry::{Redaction, Snapshot},
    log::SegmentHeader,
    merkle::SaltTree,
};

/// The target `control`.
pub fn control(data: &[u8]) {
    if let Ok(tree) = SaltTree::decode(data) {
        assert_eq!(tree.encode(), data, "there is one encoding");
        let _ = tree.salt(12345);
        let mut pruned = tree.clone();
        pruned.puncture_below(12345);
        assert!(pruned.salt(12344).is_none());
        assert_eq!(pruned.salt(12345), tree.salt(12345));
        assert_eq!(tree.has_all(12345..12346), tree.salt(12345).is_some());
    }
    let _ = Frontier::decode(data);
    if let Ok(redaction) = Redaction::decode(u64::MAX, data)
        && !redaction.entries.is_empty()
    {
        assert_eq!(redaction.encode(), data, "there is one encoding");
    }
    if let Ok(snapshot) = Snapshot::decode(data) {
        assert_eq!(snapshot.encode(), data, "there is one encoding");
    }
    let _ = SegmentHeader::decode(data);
    let mut head = data.to_vec();
    head.resize(16384, 0);
    let _ = SegmentHeader::decode(&head);
}

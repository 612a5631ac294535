//! Control records: salt records, frontiers, segment heads.

use annals::{Frontier, log::SegmentHeader, merkle::SaltTree};

/// The target `control`.
pub fn control(data: &[u8]) {
    if let Ok(tree) = SaltTree::decode(data) {
        assert_eq!(tree.encode(), data, "there is one encoding");
        let _ = tree.salt(12345);
    }
    let _ = Frontier::decode(data);
    let _ = SegmentHeader::decode(data);
    let mut head = data.to_vec();
    head.resize(16384, 0);
    let _ = SegmentHeader::decode(&head);
}

//! Proofs from strangers: parsed or refused, verified or refused.

use annals::{ConsistencyProof, Hash, InclusionProof};

/// The target `proof`.
pub fn proof(data: &[u8]) {
    let root = Hash::from_bytes([3; 32]);
    if let Ok(proof) = serde_json::from_slice::<InclusionProof>(data) {
        assert!(proof.verify(&root).is_err(), "nobody knows a preimage of this root");
        let json = serde_json::to_vec(&proof).expect("it is JSON");
        assert_eq!(
            serde_json::from_slice::<InclusionProof>(&json).expect("it was read before"),
            proof
        );
    }
    if let Ok(proof) = serde_json::from_slice::<ConsistencyProof>(data) {
        assert!(
            proof.verify(&root, &Hash::from_bytes([4; 32])).is_err(),
            "nobody knows preimages of these roots"
        );
    }
}

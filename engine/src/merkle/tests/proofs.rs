use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    LOG, Tree,
    tree::{Uniform, sizes},
};
use crate::{
    bytes::{Hash, LogId, LogKeys, StreamId, Timestamp},
    entry::{ENTRY_PAYLOAD_LEN_MAX, EntryHeader, Kind, LOG_ENTRY_COUNT_MAX, Part},
    merkle::{
        ConsistencyProof, InclusionProof, ProofError, consistency_path, inclusion_path, peaks_at,
    },
};

fn header(index: u64) -> EntryHeader {
    EntryHeader {
        lamport: index + 1,
        timestamp: Some(Timestamp::from_micros(1_700_000_000_000_000)),
        payload_len: 5,
        stream: StreamId(3),
        kind: Kind::CHANGE,
        part: Part::WHOLE,
    }
}

const SALT: [u8; 16] = [0xAB; 16];
const PAYLOAD: &[u8] = b"hello";

fn tree(size: u64) -> Tree {
    let keys = LogKeys::new(LOG);
    let payload_hash = keys.payload_hash(&SALT, PAYLOAD);
    Tree::new((0..size).map(|index| keys.leaf(&header(index).encode(), &payload_hash)))
}

fn inclusion(tree: &Tree, index: u64, size: u64) -> InclusionProof {
    InclusionProof {
        log: LOG,
        index,
        size,
        header: header(index),
        payload_hash: tree.keys.payload_hash(&SALT, PAYLOAD),
        path: inclusion_path(tree, &tree.keys, index, size).unwrap(),
        salt: None,
        payload: None,
    }
}

fn consistency(tree: &Tree, from_size: u64, size: u64) -> ConsistencyProof {
    ConsistencyProof {
        log: LOG,
        from_size,
        size,
        from_root: tree.root(from_size),
        path: consistency_path(tree, &tree.keys, from_size, size).unwrap(),
    }
}

/// All paths that differ from `path` by one hash: changed, dropped or added.
fn damaged(path: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for i in 0..path.len() {
        let mut bytes = *path[i].as_bytes();
        bytes[i % 32] ^= 1;
        let mut changed = path.to_vec();
        changed[i] = Hash::from_bytes(bytes);
        all.push(changed);
        let mut dropped = path.to_vec();
        dropped.remove(i);
        all.push(dropped);
    }
    for i in 0..=path.len() {
        for hash in path.iter().copied().chain([Hash::ZERO]) {
            let mut added = path.to_vec();
            added.insert(i, hash);
            all.push(added);
        }
    }
    all
}

#[test]
fn an_inclusion_proof_holds_for_its_own_index_size_and_root_only() {
    let tree = tree(41);
    let roots: Vec<_> = (0..=41).map(|size| tree.root(size)).collect();
    for size in 1..=40_u64 {
        let root = tree.root(size);
        for index in 0..size {
            let proof = inclusion(&tree, index, size);
            assert_eq!(proof.verify(&root), Ok(()), "{index} of {size}");

            for (other_size, other) in (0..).zip(&roots).filter(|(other, _)| *other != size) {
                assert_eq!(proof.verify(other), Err(ProofError::Root));
                let moved = InclusionProof { size: other_size, ..proof.clone() };
                assert!(moved.verify(&root).is_err(), "{index} of {size} as of {other_size}");
                assert!(moved.verify(other).is_err(), "{index} of {size} in {other_size}");
            }
            for other in (0..42).filter(|other| *other != index) {
                let moved = InclusionProof { index: other, ..proof.clone() };
                assert!(moved.verify(&root).is_err(), "{index} as {other} of {size}");
            }
            for path in damaged(&proof.path) {
                let damaged = InclusionProof { path, ..proof.clone() };
                assert!(damaged.verify(&root).is_err(), "{index} of {size}");
            }
        }
    }
}

#[test]
fn a_consistency_proof_holds_for_its_own_sizes_and_roots_only() {
    let tree = tree(41);
    for size in 0..=40 {
        for from in 0..=size {
            let (from_root, root) = (tree.root(from), tree.root(size));
            let proof = consistency(&tree, from, size);
            assert_eq!(proof.verify(&from_root, &root), Ok(()), "{from} to {size}");

            for other in (0..=41).filter(|other| *other != size && from != 0) {
                assert_eq!(proof.verify(&from_root, &tree.root(other)), Err(ProofError::Root));
            }
            for other in (0..=41).filter(|other| *other != from) {
                let other = tree.root(other);
                assert_eq!(proof.verify(&other, &root), Err(ProofError::OtherFromRoot));
                let adapted = ConsistencyProof { from_root: other, ..proof.clone() };
                assert_eq!(adapted.verify(&from_root, &root), Err(ProofError::OtherFromRoot));
                let expected =
                    if from == size && from != 0 { ProofError::Root } else { ProofError::FromRoot };
                assert_eq!(adapted.verify(&other, &root), Err(expected), "{from} to {size}");
            }
            for (other_from, other_size) in (0..=41).flat_map(|a| (0..=41).map(move |b| (a, b))) {
                // What is true whatever the sizes are: see `verify`.
                let from_nothing = from == 0 && other_from == 0 && (other_size > 0 || size == 0);
                let equal = from == size && other_from == other_size && other_from > 0;
                if (other_from, other_size) != (from, size) && !from_nothing && !equal {
                    let moved = ConsistencyProof {
                        from_size: other_from,
                        size: other_size,
                        ..proof.clone()
                    };
                    let result = moved.verify(&from_root, &root);
                    assert!(result.is_err(), "{from} to {size} as {other_from} to {other_size}");
                }
            }
            for path in damaged(&proof.path) {
                let damaged = ConsistencyProof { path, ..proof.clone() };
                assert!(damaged.verify(&from_root, &root).is_err(), "{from} to {size}");
            }
        }
    }
}

#[test]
fn a_trusted_root_cannot_be_got_around_by_calling_it_that_of_the_empty_log() {
    let tree = tree(5);
    let proof = ConsistencyProof { path: Vec::new(), from_size: 0, ..consistency(&tree, 3, 5) };
    assert_eq!(proof.verify(&tree.root(3), &Hash::ZERO), Err(ProofError::FromRoot));
}

#[test]
fn a_changed_history_is_not_consistent() {
    let tree = tree(20);
    for changed in 0..10 {
        let keys = &tree.keys;
        let forged = Tree::new((0..20).map(|index| {
            let header = EntryHeader { lamport: 99, ..header(index) };
            let genuine = tree.levels[0][usize::try_from(index).unwrap()];
            let other = keys.leaf(&header.encode(), &keys.payload_hash(&SALT, PAYLOAD));
            if index == changed { other } else { genuine }
        }));
        for (from, prover) in [(10, &tree), (10, &forged), (16, &tree), (16, &forged)] {
            let proof =
                ConsistencyProof { from_root: tree.root(from), ..consistency(prover, from, 20) };
            assert!(proof.verify(&tree.root(from), &forged.root(20)).is_err());
        }
    }
}

#[test]
fn every_field_of_a_proof_is_bound_to_the_root() {
    let tree = tree(6);
    let root = tree.root(6);
    let proof = inclusion(&tree, 3, 6);
    let header = EntryHeader { lamport: 77, ..proof.header };
    let forgeries = [
        InclusionProof { log: LogId::from_bytes([1; 16]), ..proof.clone() },
        InclusionProof { header, ..proof.clone() },
        InclusionProof { payload_hash: Hash::ZERO, ..proof },
    ];
    for forgery in forgeries {
        assert_eq!(forgery.verify(&root), Err(ProofError::Root));
    }
}

#[test]
fn errors_name_what_is_wrong() {
    let tree = tree(6);
    let root = tree.root(6);
    let proof = inclusion(&tree, 3, 6);
    let verify = |change: &dyn Fn(&mut InclusionProof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        changed.verify(&root).unwrap_err()
    };
    let size = LOG_ENTRY_COUNT_MAX + 1;
    assert_eq!(verify(&|proof| proof.size = size), ProofError::Size { size });
    assert_eq!(verify(&|proof| proof.size = 0), ProofError::Index { index: 3, size: 0 });
    assert_eq!(verify(&|proof| proof.index = 6), ProofError::Index { index: 6, size: 6 });
    assert_eq!(verify(&|proof| proof.path.clear()), ProofError::PathTooShort);
    assert_eq!(verify(&|proof| proof.path.push(Hash::ZERO)), ProofError::PathTooLong);

    let proof = consistency(&tree, 3, 6);
    let verify = |change: &dyn Fn(&mut ConsistencyProof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        changed.verify(&tree.root(3), &root).unwrap_err()
    };
    assert_eq!(verify(&|proof| proof.size = size), ProofError::Size { size });
    let error = ProofError::FromSize { from_size: 7, size: 6 };
    assert_eq!(verify(&|proof| proof.from_size = 7), error);
    assert_eq!(verify(&|proof| proof.path.clear()), ProofError::PathTooShort);
    assert_eq!(verify(&|proof| proof.path.truncate(2)), ProofError::PathTooShort);
    assert_eq!(verify(&|proof| proof.path.push(Hash::ZERO)), ProofError::PathTooLong);
}

#[test]
fn disclosed_content_is_checked() {
    let tree = tree(6);
    let root = tree.root(6);
    let disclose = |salt: Option<[u8; 16]>, payload: Option<&[u8]>| {
        let payload = payload.map(<[u8]>::to_vec);
        InclusionProof { salt, payload, ..inclusion(&tree, 2, 6) }.verify(&root)
    };
    assert_eq!(disclose(Some(SALT), Some(PAYLOAD)), Ok(()));
    assert_eq!(disclose(Some(SALT), None), Err(ProofError::HalfDisclosed));
    assert_eq!(disclose(None, Some(PAYLOAD)), Err(ProofError::HalfDisclosed));
    assert_eq!(disclose(Some(SALT), Some(b"HELLO")), Err(ProofError::Payload));
    assert_eq!(disclose(Some([0; 16]), Some(PAYLOAD)), Err(ProofError::Payload));
    assert_eq!(disclose(Some(SALT), Some(b"hell")), Err(ProofError::PayloadLen));
}

#[test]
fn proofs_have_the_json_of_the_specification() {
    let tree = tree(3);
    let proof = inclusion(&tree, 2, 3);
    let mut expected = json!({
        "format": "annals-inclusion-1",
        "log": "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a",
        "index": 2,
        "size": 3,
        "header": "0300000000000000\
                   00401e18240a0600\
                   0500000003000000\
                   0000000000000000",
        "payload_hash": proof.payload_hash.to_string(),
        "path": [tree.levels[1][0].to_string()],
    });
    assert_eq!(serde_json::to_value(&proof).unwrap(), expected);
    assert_eq!(serde_json::from_value::<InclusionProof>(expected.clone()).unwrap(), proof);

    let proof = InclusionProof { salt: Some(SALT), payload: Some(PAYLOAD.to_vec()), ..proof };
    expected["salt"] = "abababababababababababababababab".into();
    expected["payload"] = "aGVsbG8=".into();
    assert_eq!(serde_json::to_value(&proof).unwrap(), expected);
    assert_eq!(serde_json::from_str::<InclusionProof>(&expected.to_string()).unwrap(), proof);
    assert!(
        serde_json::to_string(&proof).unwrap().starts_with(r#"{"format":"annals-inclusion-1","#)
    );

    let proof = consistency(&tree, 1, 3);
    let expected = json!({
        "format": "annals-consistency-1",
        "log": "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a",
        "from_size": 1,
        "size": 3,
        "from_root": tree.root(1).to_string(),
        "path": [tree.levels[0][0].to_string(), tree.levels[0][1].to_string(), tree.levels[0][2].to_string()],
    });
    assert_eq!(serde_json::to_value(&proof).unwrap(), expected);
    assert_eq!(serde_json::from_value::<ConsistencyProof>(expected).unwrap(), proof);
}

#[test]
fn json_of_another_format_or_shape_is_refused() {
    let tree = tree(3);
    let disclosed =
        InclusionProof { salt: Some(SALT), payload: Some(vec![]), ..inclusion(&tree, 2, 3) };
    let inclusion = serde_json::to_value(disclosed).unwrap();
    let consistency = serde_json::to_value(consistency(&tree, 1, 3)).unwrap();
    let zero = json!(Hash::ZERO.to_string());
    let too_long = "A".repeat((usize::try_from(ENTRY_PAYLOAD_LEN_MAX).unwrap() / 3 + 2) * 4);
    let bad_header = |byte: usize, digits: &str| {
        let mut header = inclusion["header"].as_str().unwrap().to_owned();
        header.replace_range(2 * byte..2 * byte + 2, digits);
        json!(header)
    };
    let changes = [
        ("format", json!("annals-inclusion-2")),
        ("format", json!("annals-consistency-1")),
        ("format", Value::Null),
        ("log", json!("5a")),
        ("index", json!(-1)),
        ("size", json!("3")),
        ("header", json!("00")),
        ("header", bad_header(26, "01")),
        ("header", bad_header(0, "AB")),
        ("header", bad_header(0, "+1")),
        ("header", bad_header(0, "00")),
        ("payload_hash", json!("00")),
        ("path", vec![zero.clone(); 49].into()),
        ("salt", json!("ab")),
        ("salt", json!("é".repeat(16))),
        ("salt", json!("AB".repeat(16))),
        ("salt", Value::Null),
        ("payload", json!("aGVsbG8")),
        ("payload", json!("aGVsbG9=")),
        ("payload", json!(too_long)),
    ];
    for (member, value) in changes {
        let mut changed = inclusion.clone();
        changed[member] = value.clone();
        let result = serde_json::from_value::<InclusionProof>(changed);
        assert!(
            result.is_err(),
            "{member} {}",
            &value.to_string()[..value.to_string().len().min(99)]
        );
    }
    for (member, value) in
        [("format", json!("annals-inclusion-1")), ("path", vec![zero; 50].into())]
    {
        let mut changed = consistency.clone();
        changed[member] = value;
        assert!(serde_json::from_value::<ConsistencyProof>(changed).is_err(), "{member}");
    }
    for member in ["format", "log", "index", "size", "header", "payload_hash", "path"] {
        let mut changed = inclusion.clone();
        changed.as_object_mut().unwrap().remove(member);
        assert!(serde_json::from_value::<InclusionProof>(changed).is_err(), "{member}");
    }
}

#[test]
fn the_longest_payload_fits_into_json() {
    let payload = vec![0; usize::try_from(ENTRY_PAYLOAD_LEN_MAX).unwrap()];
    let tree = tree(1);
    let proof =
        InclusionProof { salt: Some(SALT), payload: Some(payload), ..inclusion(&tree, 0, 1) };
    let json = serde_json::to_string(&proof).unwrap();
    assert_eq!(serde_json::from_str::<InclusionProof>(&json).unwrap(), proof);
}

proptest! {
    #[test]
    fn proofs_hold_in_trees_of_any_size((size, smaller) in sizes()) {
        let keys = LogKeys::new(LOG);
        let payload_hash = keys.payload_hash(&SALT, PAYLOAD);
        let tree = Uniform::of(keys.leaf(&header(0).encode(), &payload_hash));
        let root = |size| peaks_at(&tree, size).unwrap().root(&keys);

        let path = inclusion_path(&tree, &keys, smaller, size).unwrap();
        let (header, salt, payload) = (header(0), Some(SALT), Some(PAYLOAD.to_vec()));
        let proof = InclusionProof { log: LOG, index: smaller, size, header, payload_hash, path, salt, payload };
        prop_assert_eq!(proof.verify(&root(size)), Ok(()));
        let json = serde_json::to_string(&proof).unwrap();
        prop_assert_eq!(serde_json::from_str::<InclusionProof>(&json).unwrap(), proof);

        let path = consistency_path(&tree, &keys, smaller, size).unwrap();
        let proof =
            ConsistencyProof { log: LOG, from_size: smaller, size, from_root: root(smaller), path };
        prop_assert_eq!(proof.verify(&root(smaller), &root(size)), Ok(()));
        let json = serde_json::to_string(&proof).unwrap();
        prop_assert_eq!(serde_json::from_str::<ConsistencyProof>(&json).unwrap(), proof);
    }

    #[test]
    fn proofs_hold_in_a_tree_of_different_leaves(size in 1..1000_u64, any: u64, other in 1..1000_u64) {
        thread_local!(static TREE: Tree = tree(1000));
        TREE.with(|tree| {
            let index = any % size;
            let proof = inclusion(tree, index, size);
            prop_assert_eq!(proof.verify(&tree.root(size)), Ok(()));
            let moved = InclusionProof { index: other, ..proof };
            prop_assert_eq!(moved.verify(&tree.root(size)).is_ok(), other == index);

            let (from, size) = (size.min(other), size.max(other));
            let proof = consistency(tree, from, size);
            prop_assert_eq!(proof.verify(&tree.root(from), &tree.root(size)), Ok(()));
            Ok(())
        })?;
    }
}

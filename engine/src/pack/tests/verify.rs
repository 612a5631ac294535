//! From a chunk up to the id: K-6.

use std::{cell::RefCell, ops::Range};

use proptest::prelude::*;

use super::{Levels, id_of, noise};
use crate::{
    bytes::Hash,
    pack::{CHUNK_LEN, Verifier, VerifyError},
};

type Nodes = Result<Vec<Hash>, &'static str>;

fn none(_: u32, _: Range<u64>) -> Nodes {
    panic!("nothing has to be fetched")
}

#[test]
fn short_contents_are_verified_by_their_hash() {
    for len in [0, 1, 1024, CHUNK_LEN] {
        let content = noise(len);
        let mut verifier = Verifier::new(id_of(&content), len as u64);
        assert_eq!(verifier.verify_chunk(0, &content, none), Ok(()));
        assert_eq!(verifier.verify_chunk(1, b"", none), Err(VerifyError::Chunk(1)));
        let mut longer = content.clone();
        longer.push(0);
        assert_eq!(verifier.verify_chunk(0, &longer, none), Err(VerifyError::Chunk(0)));
        let mut wrong_id = Verifier::new(Hash::ZERO, len as u64);
        assert_eq!(wrong_id.verify_chunk(0, &content, none), Err(VerifyError::Chunk(0)));
    }
}

#[test]
fn chunks_are_verified_in_any_order() {
    let content = noise(3 * CHUNK_LEN + 5);
    let levels = Levels::of(&content);
    let mut verifier = Verifier::new(id_of(&content), content.len() as u64);
    let chunks: Vec<&[u8]> = content.chunks(CHUNK_LEN).collect();
    let nodes = |level, range| levels.nodes(level, range);
    for (index, chunk) in [3, 2, 1, 0].into_iter().zip(chunks.iter().rev()) {
        assert_eq!(verifier.verify_chunk(index, chunk, nodes), Ok(()));
        let other = chunks[usize::try_from((index + 1) % 4).unwrap()];
        assert_eq!(verifier.verify_chunk(index, other, nodes), Err(VerifyError::Chunk(index)));
    }
    assert_eq!(levels.fetched.get(), 4);
    assert_eq!(verifier.verify_chunk(4, b"", nodes), Err(VerifyError::Chunk(4)));
}

/// Reading on fetches every node once, and so does going back as long as the groups are kept.
#[test]
fn each_group_is_verified_once() {
    let count = 256 * 300 + 17;
    let levels = Levels::synthetic(count);
    let size = u64::from(count) * CHUNK_LEN as u64;
    let all: usize = levels.rows.iter().map(Vec::len).sum();
    let nodes = |level, range| levels.nodes(level, range);

    let mut verifier = Verifier::new(levels.id, size);
    for (chunk, cv) in (0..).zip(&levels.rows[0]) {
        assert_eq!(verifier.expected(chunk, nodes), Ok(*cv));
    }
    assert_eq!(levels.fetched.get(), all as u64);

    // At random places within 1 GiB: 61 low groups, and what is above them.
    levels.fetched.set(0);
    let mut verifier = Verifier::new(levels.id, size);
    let mut place = 1_u64;
    for _ in 0..20_000 {
        place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let chunk = 1000 + (place >> 33) % (60 * 256);
        let cv = levels.rows[0][usize::try_from(chunk).unwrap()];
        assert_eq!(verifier.expected(chunk, nodes), Ok(cv));
    }
    assert_eq!(levels.fetched.get(), 61 * 256 + 256 + 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A node that is wrong anywhere on the way is noticed there, and never a chaining value that
    /// does not lead to the id.
    #[test]
    fn wrong_nodes_are_noticed(
        count in prop_oneof![2..300_u32, 300..1500_u32, Just(256_u32), Just(257_u32)],
        chunk: u64,
        level in 0..2_u32,
        node: u64,
        bit in 0..256_usize,
        also in prop::collection::vec(any::<u64>(), 0..4),
    ) {
        let levels = Levels::synthetic(count);
        let chunk = chunk % u64::from(count);
        let level = level % levels.shape.level_count();
        let node = node % levels.shape.level_len(level);
        let nodes = |fetched: u32, range: Range<u64>| -> Nodes {
            let mut found = levels.nodes(fetched, range.clone())?;
            if fetched == level && range.contains(&node) {
                let wrong = &mut found[usize::try_from(node - range.start).unwrap()];
                let mut bytes = *wrong.as_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                *wrong = Hash::from_bytes(bytes);
            }
            Ok(found)
        };
        let size = u64::from(count) * CHUNK_LEN as u64;
        let mut verifier = Verifier::new(levels.id, size);
        for chunk in also.into_iter().map(|chunk| chunk % u64::from(count)).chain([chunk]) {
            let on_the_way = chunk / 256_u64.pow(level) / 256 == node / 256;
            let expected = if on_the_way {
                Err(VerifyError::Group { level, group: node / 256 })
            } else {
                Ok(levels.rows[0][usize::try_from(chunk).unwrap()])
            };
            prop_assert_eq!(verifier.expected(chunk, nodes), expected);
        }
    }
}

#[test]
fn wrong_counts_and_failures_are_reported() {
    let levels = Levels::synthetic(300);
    let answers: RefCell<Vec<Nodes>> = RefCell::default();
    let mut nodes = |_: u32, _: Range<u64>| answers.borrow_mut().pop().unwrap();
    let mut verifier = Verifier::new(levels.id, 300 * CHUNK_LEN as u64);
    answers.borrow_mut().push(Err("no disk"));
    assert_eq!(verifier.expected(5, &mut nodes), Err(VerifyError::Fetch("no disk")));
    for wrong in [0, 1, 3, 256] {
        answers.borrow_mut().push(Ok(levels.rows[0][..wrong].to_vec()));
        let found = verifier.expected(5, &mut nodes);
        assert_eq!(found, Err(VerifyError::Group { level: 1, group: 0 }), "{wrong}");
    }
    // Nothing of it is believed afterwards.
    answers.borrow_mut().extend([levels.nodes(0, 0..256), levels.nodes(1, 0..2)]);
    assert_eq!(verifier.expected(5, &mut nodes), Ok(levels.rows[0][5]));
}

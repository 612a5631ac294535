//! Range proofs: K-16.

use std::{convert::Infallible, ops::Range, sync::LazyLock};

use proptest::prelude::*;

use super::{Levels, encode, id_of, noise};
use crate::{
    bytes::Hash,
    pack::{
        ASSET_SIZE_MAX, CHUNK_LEN, Codec, ProofFault, chunk_cv,
        proof::{RANGE_PROOF_LEN_MAX, range_proof, verify_range},
    },
};

/// 700 chunks, the last of which is short; whatever starts with some of them is content too.
static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| noise(699 * CHUNK_LEN + 77));
static CVS: LazyLock<Vec<Hash>> = LazyLock::new(|| Levels::of(&CONTENT).rows[0].clone());

fn prove(levels: &Levels, range: Range<u64>) -> Vec<Hash> {
    let node = |level, j| Ok::<_, Infallible>(levels.node(level, j));
    let Ok(proof) = range_proof(levels.shape.chunk_count, range, node);
    proof
}

fn chunks(content: &[u8], range: &Range<u64>) -> Vec<u8> {
    let [start, end] =
        [range.start, range.end].map(|chunk| usize::try_from(chunk).unwrap() * CHUNK_LEN);
    content[start..end.min(content.len())].to_vec()
}

/// The definition, by halves.
fn subtree(cvs: &[Hash]) -> Hash {
    use blake3::hazmat::{Mode, merge_subtrees_non_root};
    if let [only] = cvs {
        return *only;
    }
    let (left, right) = cvs.split_at(cvs.len().next_power_of_two() / 2);
    let (left, right) = (subtree(left), subtree(right));
    Hash::from_bytes(merge_subtrees_non_root(left.as_bytes(), right.as_bytes(), Mode::Hash))
}

/// The proof by its definition in the text.
fn by_definition(cvs: &[Hash], first: usize, range: &Range<usize>, proof: &mut Vec<Hash>) {
    let end = first + cvs.len();
    if end <= range.start || range.end <= first {
        proof.push(subtree(cvs));
    } else if cvs.len() > 1 {
        let middle = cvs.len().next_power_of_two() / 2;
        by_definition(&cvs[..middle], first, range, proof);
        by_definition(&cvs[middle..], first + middle, range, proof);
    }
}

#[test]
fn all_ranges_of_small_contents_are_proven() {
    for count in 1..=20_usize {
        let len = (count - 1) * CHUNK_LEN + 1 + count * 100;
        let content = &CONTENT[..len];
        let levels = Levels::of(content);
        let id = id_of(content);
        for first in 0..count {
            for end in first + 1..=count {
                let range = first as u64..end as u64;
                let proof = if count == 1 { Vec::new() } else { prove(&levels, range.clone()) };
                let mut expected = Vec::new();
                by_definition(&levels.rows[0], 0, &(first..end), &mut expected);
                assert_eq!(proof, expected, "{range:?} of {count}");
                assert!(proof.len() <= RANGE_PROOF_LEN_MAX);
                let found =
                    verify_range(id, len as u64, range.start, &chunks(content, &range), &proof);
                assert_eq!(
                    found.as_deref(),
                    Ok(&levels.rows[0][first..end]),
                    "{range:?} of {count}"
                );
            }
        }
        let all = 0..count as u64;
        assert!(count == 1 || prove(&levels, all).is_empty());
    }
}

#[test]
fn the_proof_of_a_table_from_an_encoder_is_the_same() {
    let content = &CONTENT[..5 * CHUNK_LEN];
    let (_, table, id) = encode(content, Codec::Zstd);
    let shape = crate::pack::TableShape { chunk_count: 5, codec: Codec::Zstd };
    let node = |level, j| {
        let at = usize::try_from(shape.node_offset(level, j)).unwrap();
        table[at..].first_chunk().map(|node| Hash::from_bytes(*node)).ok_or("short table")
    };
    let proof = range_proof(5, 1..3, node).unwrap();
    assert!(verify_range(id, content.len() as u64, 1, &chunks(content, &(1..3)), &proof).is_ok());
    assert_eq!(range_proof(5, 1..3, |_, _| Err("no disk")), Err("no disk"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn ranges_of_larger_contents_are_proven(
        count in 2..=700_usize,
        first: usize,
        len in 1..20_usize,
        to_the_end: bool,
    ) {
        let size = (count * CHUNK_LEN).min(CONTENT.len());
        let levels = Levels::new(CVS[..count].to_vec());
        let first = first % count;
        let end = if to_the_end && count - first < 40 { count } else { count.min(first + len) };
        let range = first as u64..end as u64;
        let proof = prove(&levels, range.clone());
        let mut expected = Vec::new();
        by_definition(&CVS[..count], 0, &(first..end), &mut expected);
        prop_assert_eq!(&proof, &expected);
        // At most 128 nodes for each hash of the proof.
        prop_assert!(levels.fetched.get() <= 128 * proof.len() as u64);
        let content = chunks(&CONTENT[..size], &range);
        let found = verify_range(levels.id, size as u64, range.start, &content, &proof);
        prop_assert_eq!(found.as_deref(), Ok(&CVS[first..end]));
    }

    /// Content, place, proof and id belong together; one bit elsewhere, and nothing is verified.
    #[test]
    fn whatever_is_wrong_is_refused(
        count in 2..=12_usize,
        first: usize,
        len in 1..4_usize,
        flip: usize,
        swap: (usize, usize),
    ) {
        let content = &CONTENT[..count * CHUNK_LEN - 1000];
        let size = content.len() as u64;
        let levels = Levels::of(content);
        let (id, first) = (levels.id, first % count);
        let range = first as u64..count.min(first + len) as u64;
        let sound = chunks(content, &range);
        let proof = prove(&levels, range.clone());
        prop_assert!(verify_range(id, size, range.start, &sound, &proof).is_ok());

        let mut damaged = sound.clone();
        damaged[flip / 8 % sound.len()] ^= 1 << (flip % 8);
        let mismatch = Err(ProofFault::Mismatch);
        prop_assert_eq!(verify_range(id, size, range.start, &damaged, &proof), mismatch.clone());
        let mut wrong_id = *id.as_bytes();
        wrong_id[flip / 8 % 32] ^= 1 << (flip % 8);
        let wrong_id = Hash::from_bytes(wrong_id);
        prop_assert_eq!(verify_range(wrong_id, size, range.start, &sound, &proof), mismatch.clone());
        if !proof.is_empty() {
            let mut wrong = proof.clone();
            let at = flip % proof.len();
            wrong[at] = Hash::from_bytes(blake3::hash(proof[at].as_bytes()).into());
            prop_assert_eq!(verify_range(id, size, range.start, &sound, &wrong), mismatch.clone());
            wrong.clone_from(&proof);
            wrong.swap(swap.0 % proof.len(), swap.1 % proof.len());
            let swapped = verify_range(id, size, range.start, &sound, &wrong);
            prop_assert_eq!(swapped.is_ok(), wrong == proof);
            wrong.push(Hash::ZERO);
            let expected = proof.len();
            let longer = ProofFault::Length { expected, found: expected + 1 };
            prop_assert_eq!(verify_range(id, size, range.start, &sound, &wrong), Err(longer));
            let shorter = ProofFault::Length { expected, found: expected - 1 };
            let found = verify_range(id, size, range.start, &sound, &proof[1..]);
            prop_assert_eq!(found, Err(shorter));
        }
        // Chunks that changed places, and the right ones at another place.
        if range.end - range.start > 1 && sound.len().is_multiple_of(CHUNK_LEN) {
            let mut swapped = sound.clone();
            let (a, b) = swapped.split_at_mut(CHUNK_LEN);
            a.swap_with_slice(&mut b[..CHUNK_LEN]);
            prop_assert_eq!(verify_range(id, size, range.start, &swapped, &proof), mismatch);
        }
        for elsewhere in (0..count as u64).filter(|&elsewhere| elsewhere != range.start) {
            prop_assert!(verify_range(id, size, elsewhere, &sound, &proof).is_err());
        }
        // With the last chunk there, no other size is believed.
        if range.end == count as u64 {
            for wrong in [0, 1, size - CHUNK_LEN as u64, size - 1, size + 1, size * 2, u64::MAX] {
                prop_assert!(verify_range(id, wrong, range.start, &sound, &proof).is_err());
            }
        }
    }

    #[test]
    fn arbitrary_claims_are_refused_in_bounded_time(
        size: u64,
        first_chunk: u64,
        content in prop::collection::vec(any::<u8>(), 0..300),
        proof in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let proof: Vec<Hash> = proof.into_iter().map(Hash::from_bytes).collect();
        for size in [size, size % (ASSET_SIZE_MAX + 1), size % 100_000, content.len() as u64] {
            for first_chunk in [first_chunk, first_chunk % 20, size / CHUNK_LEN as u64] {
                prop_assert!(verify_range(Hash::ZERO, size, first_chunk, &content, &proof).is_err());
            }
        }
    }
}

/// Few chunks of very many, whose other bytes nobody has to know: three and four levels of tables.
#[test]
fn chunks_of_huge_contents_are_proven() {
    let count = 66_000_u32;
    let mut cvs = Levels::synthetic(count).rows.swap_remove(0);
    let content = noise(3 * CHUNK_LEN);
    for first in [0, 1, 254, 255, 256, 32_767, 65_534, 65_535, 65_536, 65_996] {
        for (cv, (index, chunk)) in
            cvs[first..].iter_mut().zip((first as u64..).zip(content.chunks(CHUNK_LEN)))
        {
            *cv = chunk_cv(index, chunk);
        }
        let levels = Levels::new(cvs.clone());
        let range = first as u64..first as u64 + 3;
        let proof = prove(&levels, range);
        let size = u64::from(count) * CHUNK_LEN as u64;
        let found = verify_range(levels.id, size, first as u64, &content, &proof);
        assert_eq!(found.as_deref(), Ok(&cvs[first..first + 3]), "{first}");
    }
}

/// The largest asset there can be: proofs are bounded, and so is what is asked for.
#[test]
fn proofs_of_the_largest_asset_are_short() {
    let count = ASSET_SIZE_MAX / CHUNK_LEN as u64;
    for chunk in [0, 1, count / 3, count / 2, count - 1] {
        let mut asked = 0;
        let node = |level: u32, j: u64| {
            asked += 1;
            assert!(j < count.div_ceil(256_u64.pow(level)));
            Ok::<_, Infallible>(Hash::ZERO)
        };
        let Ok(proof) = range_proof(count, chunk..chunk + 1, node);
        assert_eq!(proof.len(), 30, "one for each level");
        assert!(asked <= 128 * 30, "{asked}");
    }
    let Ok(proof) = range_proof(count, 1..count - 1, |_, _| Ok::<_, Infallible>(Hash::ZERO));
    assert_eq!(proof.len(), 2);
    let Ok(proof) =
        range_proof(count, count / 2 - 1..count / 2 + 1, |_, _| Ok::<_, Infallible>(Hash::ZERO));
    assert_eq!(proof.len(), RANGE_PROOF_LEN_MAX - 2);
}

#[test]
fn the_form_is_judged_before_anything_is_hashed() {
    let content = &CONTENT[..3 * CHUNK_LEN];
    let id = id_of(content);
    let size = content.len() as u64;
    assert_eq!(
        verify_range(id, ASSET_SIZE_MAX + 1, 0, content, &[]),
        Err(ProofFault::Size(ASSET_SIZE_MAX + 1))
    );
    for (first, len) in
        [(0, 0), (0, 100), (3, CHUNK_LEN), (2, CHUNK_LEN + 1), (u64::MAX, CHUNK_LEN)]
    {
        let found = verify_range(id, size, first, &content[..len], &[]);
        assert_eq!(found, Err(ProofFault::Range), "{first}, {len}");
    }
    assert_eq!(verify_range(id, 0, 0, b"", &[]), Err(ProofFault::Range));
    assert!(verify_range(id, size, 0, content, &[]).is_ok());
}

//! Tables and range proofs from strangers: chunks are verified against the id, or refused.

use std::{convert::Infallible, ops::Range};

use annals::{
    Hash,
    pack::{
        CHUNK_LEN, Codec, TableBuilder, TableShape, Verifier, chunk_cv,
        proof::{range_proof, verify_range},
    },
};

/// Most chunks of a content here: tables of two levels.
const CHUNK_COUNT_MAX: u64 = 700;

/// The target `table`: some numbers, then bytes that stand for hashes and for content.
pub fn table(data: &[u8]) {
    let Some((numbers, rest)) = data.split_first_chunk::<16>() else { return };
    let number = |at: usize| u64::from_le_bytes(*numbers[at..].first_chunk().unwrap());
    let hashes: Vec<Hash> = rest.as_chunks().0.iter().map(|hash| Hash::from_bytes(*hash)).collect();
    claims(number(0), number(8), rest, &hashes);
    if hashes.is_empty() {
        return;
    }

    let count = 2 + number(0) % (CHUNK_COUNT_MAX - 1);
    let last = &rest[..rest.len().min(CHUNK_LEN)];
    let size = (count - 1) * CHUNK_LEN as u64 + last.len() as u64;
    // A content of which only the last chunk is known.
    let mut cvs: Vec<Hash> = hashes.iter().copied().cycle().take(index(count - 1)).collect();
    cvs.push(chunk_cv(count - 1, last));
    let mut builder = TableBuilder::new(Codec::Stored);
    for cv in &cvs {
        builder.push(*cv, 65_536);
    }
    let (table, id) = builder.finish(&[]);
    tables(id, size, &cvs, &table, number(8));
    proofs(id, size, last, &table, number(4), &hashes);
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("it is small")
}

/// Node j of a level of a table.
fn node(shape: TableShape, table: &[u8], level: u32, j: u64) -> Hash {
    let at = index(shape.node_offset(level, j));
    Hash::from_bytes(*table[at..].first_chunk().expect("the table is as long as its shape"))
}

/// Whatever is claimed of a content that nobody knows is refused.
fn claims(size: u64, first_chunk: u64, content: &[u8], proof: &[Hash]) {
    let content = &content[..content.len().min(3 * CHUNK_LEN)];
    let id = Hash::from_bytes([3; 32]);
    for size in [size, size % (1 << 46), size % (1 << 20), content.len() as u64] {
        for first_chunk in [first_chunk, first_chunk % 16] {
            assert!(verify_range(id, size, first_chunk, content, proof).is_err());
            assert!(verify_range(id, size, first_chunk, content, &[]).is_err());
        }
    }
    let size = size % (1 << 46);
    let mut verifier = Verifier::new(id, size);
    let nodes = |_: u32, range: Range<u64>| {
        assert!(range.end - range.start <= 256, "whole groups are asked for");
        Ok::<_, Infallible>(
            proof.iter().copied().cycle().take(index(range.end - range.start)).collect(),
        )
    };
    assert!(verifier.verify_chunk(first_chunk, content, nodes).is_err());
    if size > CHUNK_LEN as u64 {
        assert!(verifier.expected(first_chunk % (size / CHUNK_LEN as u64), nodes).is_err());
    }
}

/// Of a table in which one bit is wrong (or none), what verifies is what was there.
fn tables(id: Hash, size: u64, cvs: &[Hash], table: &[u8], wrong: u64) {
    let shape = TableShape { chunk_count: cvs.len() as u64, codec: Codec::Stored };
    assert_eq!(shape.len(), table.len() as u64);
    let mut damaged = table.to_vec();
    let bit = index(wrong % (2 * shape.len() * 8));
    if let Some(byte) = damaged.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    let is_sound = damaged == table;
    let mut verifier = Verifier::new(id, size);
    let mut refused = 0;
    let near = (bit / 256).min(cvs.len() - 1);
    for chunk in [near, 0, cvs.len() / 2, near, cvs.len() - 1] {
        let nodes = |level, range: Range<u64>| {
            Ok::<_, Infallible>(range.map(|j| node(shape, &damaged, level, j)).collect())
        };
        match verifier.expected(chunk as u64, nodes) {
            Ok(cv) => assert_eq!(cv, cvs[chunk], "only what was there is verified"),
            Err(_) => refused += 1,
        }
    }
    assert!(is_sound == (refused == 0), "what is wrong is on the way to one of the chunks");
}

/// A range with the only chunk that is known is proven; with any other proof it is not.
fn proofs(id: Hash, size: u64, last: &[u8], table: &[u8], wrong: u64, hashes: &[Hash]) {
    let chunk_count = size.div_ceil(CHUNK_LEN as u64);
    let shape = TableShape { chunk_count, codec: Codec::Stored };
    let first = chunk_count - 1;
    let node = |level, j| Ok::<_, Infallible>(node(shape, table, level, j));
    let Ok(mut proof) = range_proof(chunk_count, first..chunk_count, node);
    let verified = verify_range(id, size, first, last, &proof);
    assert_eq!(verified.as_deref(), Ok(&[chunk_cv(first, last)][..]));

    let at = index(wrong % proof.len() as u64);
    let other = hashes[index(wrong % hashes.len() as u64)];
    let is_same = proof[at] == other;
    proof[at] = other;
    assert_eq!(verify_range(id, size, first, last, &proof).is_ok(), is_same);
    assert!(verify_range(id, size, first, last, hashes).is_err() || hashes == proof);
    assert!(verify_range(id, size + 1, first, last, &proof).is_err());
}

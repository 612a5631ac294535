//! Ids and tables are those of BLAKE3, whatever the length.

use super::{Levels, encode, id_of, noise};
use crate::{
    bytes::Hash,
    pack::{CHUNK_LEN, Codec, TableBuilder, TableShape, chunk_count, chunk_cv, merge_root},
};

#[test]
fn the_id_is_the_plain_hash_of_the_content() {
    let lens = [0, 1, 63, 64, 1023, 1024, 1025, 65_535, 65_536, 65_537, 100_000].into_iter().chain(
        [2, 3, 5, 255, 256, 257, 258].into_iter().flat_map(|chunks| {
            let len = chunks * CHUNK_LEN;
            [len - 1, len, len + 1]
        }),
    );
    let content = noise(258 * CHUNK_LEN + 1);
    for len in lens {
        let content = &content[..len];
        let (data, table, id) = encode(content, Codec::Stored);
        assert_eq!(id, id_of(content), "{len}");
        let chunk_count = chunk_count(len as u64);
        assert_eq!(table.len() as u64, TableShape { chunk_count, codec: Codec::Stored }.len());
        assert_eq!(data, content);
    }
}

/// The subtree over `count` chunks of zeros from `first` on, by halves.
fn zeros(first: u64, count: u64, cv: &impl Fn(u64) -> Hash, root: bool) -> Hash {
    use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};
    if count == 1 {
        return cv(first);
    }
    let left = count.next_power_of_two() / 2;
    let (left, right) =
        (zeros(first, left, cv, false), zeros(first + left, count - left, cv, false));
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if root {
        Hash::from_bytes(merge_subtrees_root(left, right, Mode::Hash).into())
    } else {
        Hash::from_bytes(merge_subtrees_non_root(left, right, Mode::Hash))
    }
}

#[test]
fn large_tables_have_the_shape_of_blake3() {
    for count in [2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 66_000] {
        let levels = Levels::synthetic(count);
        let cv = |chunk: u64| levels.rows[0][usize::try_from(chunk).unwrap()];
        assert_eq!(levels.id, zeros(0, u64::from(count), &cv, true), "{count}");

        let mut builder = TableBuilder::new(Codec::Zstd);
        for cv in &levels.rows[0] {
            builder.push(*cv, 100);
        }
        let (table, id) = builder.clone().finish(&[]);
        assert_eq!(id, levels.id, "{count}");
        let shape = TableShape { codec: Codec::Zstd, ..levels.shape };
        assert_eq!(table.len() as u64, shape.len());
        assert_eq!(shape.level_count() as usize, levels.rows.len());
        for (level, nodes) in (0..).zip(&levels.rows) {
            assert_eq!(shape.level_len(level), nodes.len() as u64);
            for (j, node) in (0..).zip(nodes) {
                let at = usize::try_from(shape.node_offset(level, j)).unwrap();
                assert_eq!(table[at..at + 32], *node.as_bytes(), "{count}: {level}, {j}");
            }
        }
        let ends = &table[usize::try_from(shape.ends_offset()).unwrap()..];
        let ends = ends.as_chunks().0.iter().map(|end| u64::from_le_bytes(*end));
        assert!(ends.eq((1..=u64::from(count)).map(|i| 100 * i)));

        let (stored, id) = builder.into_stored().finish(&[]);
        assert_eq!(id, levels.id);
        assert!(table.starts_with(&stored) && stored.len() as u64 == levels.shape.len());
    }
}

#[test]
fn chaining_values_depend_on_the_place() {
    let chunk = noise(CHUNK_LEN);
    assert_ne!(chunk_cv(0, &chunk), chunk_cv(1, &chunk));
    let twice = [&chunk[..], &chunk[..]].concat();
    assert_eq!(merge_root(&[chunk_cv(0, &chunk), chunk_cv(1, &chunk)]), id_of(&twice));
}

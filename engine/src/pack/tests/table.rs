//! Shapes of tables: K-5.

use proptest::prelude::*;

use crate::pack::{ASSET_SIZE_MAX, CHUNK_LEN, Codec, TableShape, chunk_count, chunk_len};

fn shape(chunk_count: u64, codec: Codec) -> TableShape {
    TableShape { chunk_count, codec }
}

proptest! {
    #[test]
    fn levels_follow_each_other_and_end_with_one_group(
        chunk_count in prop_oneof![0..700_u64, 0..70_000_u64, 0..=ASSET_SIZE_MAX / CHUNK_LEN as u64],
        zstd: bool,
    ) {
        let codec = if zstd { Codec::Zstd } else { Codec::Stored };
        let shape = shape(chunk_count, codec);
        let mut nodes = chunk_count;
        let mut offset = 0;
        for level in 0..shape.level_count() {
            prop_assert_eq!(shape.level_len(level), nodes);
            prop_assert_eq!(shape.node_offset(level, 0), offset);
            prop_assert_eq!(shape.node_offset(level, nodes - 1), offset + 32 * (nodes - 1));
            offset += 32 * nodes;
            let is_last = level + 1 == shape.level_count();
            prop_assert_eq!(is_last, nodes <= 256);
            nodes = nodes.div_ceil(256);
        }
        prop_assert_eq!(shape.level_len(shape.level_count()), 0);
        prop_assert_eq!(shape.level_count() == 0, chunk_count <= 1);
        prop_assert_eq!(shape.ends_offset(), offset);
        prop_assert_eq!(shape.len(), offset + if zstd { 8 * chunk_count } else { 0 });
    }

    #[test]
    fn chunks_make_up_the_content(size in prop_oneof![0..300_000_u64, 0..=ASSET_SIZE_MAX]) {
        let count = chunk_count(size);
        prop_assert_eq!(chunk_len(size, count), 0);
        if let Some(last) = count.checked_sub(1) {
            let len = chunk_len(size, last) as u64;
            prop_assert!((1..=CHUNK_LEN as u64).contains(&len));
            prop_assert_eq!(last * CHUNK_LEN as u64 + len, size);
            prop_assert!(last == 0 || chunk_len(size, last - 1) == CHUNK_LEN);
        }
        prop_assert_eq!(chunk_len(size, u64::MAX), 0);
    }
}

#[test]
fn level_counts_change_where_the_text_says() {
    for (count, levels) in [
        (0, 0),
        (1, 0),
        (2, 1),
        (256, 1),
        (257, 2),
        (1 << 16, 2),
        ((1 << 16) + 1, 3),
        (1 << 24, 3),
        ((1 << 24) + 1, 4),
        (1 << 30, 4),
    ] {
        assert_eq!(shape(count, Codec::Stored).level_count(), levels, "{count}");
    }
    assert_eq!(shape(1, Codec::Zstd).len(), 8);
    assert_eq!(shape(0, Codec::Zstd).len(), 0);
    assert_eq!(shape(600, Codec::Zstd).len(), 32 * (600 + 3) + 8 * 600);
}

/// What no asset has costs nothing and panics nowhere.
#[test]
fn absurd_counts_are_harmless() {
    let shape = shape(u64::MAX, Codec::Zstd);
    assert_eq!(shape.level_count(), 8);
    assert_eq!(shape.len(), u64::MAX);
    assert_eq!(shape.node_offset(9, u64::MAX), u64::MAX);
}

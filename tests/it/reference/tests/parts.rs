//! The pieces: varints, columns, checksums, batches, salts, the tree.

use proptest::prelude::*;

use super::assert_cites;
use super::encoder::{self, LOG, Writer, put};
use crate::reference::bytes::{crc, roundup, salted_crc, unzigzag, varint};
use crate::reference::{batch, column, entry, merkle, salts};

fn whole_varint(bytes: &[u8]) -> Result<u64, String> {
    let mut at = 0;
    let value = varint(bytes, &mut at)?;
    assert_eq!(at, bytes.len());
    Ok(value)
}

fn whole_column(bytes: &[u8], n: usize) -> Result<Vec<u64>, String> {
    let mut at = 0;
    let values = column::decode(bytes, &mut at, n)?;
    assert_eq!(at, bytes.len());
    Ok(values)
}

#[test]
fn the_crc_has_its_check_value() {
    assert_eq!(crc(b"123456789"), 0xCBF4_3926);
    assert_eq!(salted_crc(b"0123456789abcdef", b"x"), crc(b"0123456789abcdefx"));
}

#[test]
fn varints_have_one_encoding() {
    assert_eq!(whole_varint(&[0]), Ok(0));
    assert_eq!(whole_varint(&[0x7F]), Ok(127));
    assert_eq!(whole_varint(&[0x80, 0x01]), Ok(128));
    assert_eq!(whole_varint(&[0xE5, 0x8E, 0x26]), Ok(624_485));
    let max = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
    assert_eq!(whole_varint(&max), Ok(u64::MAX));
    assert_cites(whole_varint(&[0x80, 0x00]), "G-8: the varint is overlong");
    assert_cites(whole_varint(&[0x80]), "G-8: the varint has no end");
    assert_cites(whole_varint(&[]), "G-8");
    assert_cites(whole_varint(&[&max[..9], &[0x02]].concat()), "G-8: the varint exceeds");
    assert_cites(whole_varint(&[0x80; 10]), "G-8: the varint is longer");
}

#[test]
fn zigzag_alternates_signs() {
    let values: Vec<i64> = (0..5).map(|z| unzigzag(z).cast_signed()).collect();
    assert_eq!(values, [0, -1, 1, -2, 2]);
    assert_eq!(unzigzag(u64::MAX).cast_signed(), i64::MIN);
    assert_eq!(unzigzag(u64::MAX - 1).cast_signed(), i64::MAX);
}

#[test]
fn roundup_is_the_smallest_multiple() {
    assert_eq!([0, 1, 8, 9].map(|x| roundup(x, 8)), [0, 8, 8, 16]);
}

#[test]
fn columns_decode_as_the_table_says() {
    assert_eq!(whole_column(&[0, 7], 3), Ok(vec![7, 7, 7]));
    assert_eq!(whole_column(&[1, 10, 4], 3), Ok(vec![10, 12, 14]));
    assert_eq!(whole_column(&[1, 1, 1], 3), Ok(vec![1, 0, u64::MAX]));
    assert_eq!(whole_column(&[2, 1, 0x80, 1, 3], 3), Ok(vec![1, 128, 3]));
    assert_eq!(whole_column(&[3, 5, 10, 2, 3], 3), Ok(vec![5, 15, 255_u64.wrapping_sub(260)]));
    assert_eq!(whole_column(&[3, 5, 1], 1), Ok(vec![5]));
    assert_eq!(whole_column(&[4, 2, 9, 1, 8, 2], 3), Ok(vec![9, 8, 8]));
}

#[test]
fn columns_that_break_the_table_are_refused() {
    assert_cites(whole_column(&[], 1), "B-5: a column is missing");
    assert_cites(whole_column(&[5, 0], 1), "B-5: column encoding 5");
    assert_cites(whole_column(&[3, 5, 0, 2], 2), "B-5: a scale of 0");
    assert_cites(whole_column(&[4, 1, 9, 0], 1), "B-5: an empty run");
    assert_cites(whole_column(&[4, 1, 9, 2], 3), "B-5: the runs are shorter");
    assert_cites(whole_column(&[4, 1, 9, 4], 3), "B-5: the runs are longer");
    assert_cites(whole_column(&[2, 1], 2), "G-8");
}

#[test]
fn the_tree_has_the_shape_of_rfc_9162() {
    let node_key = merkle::key("node", &LOG);
    let node = |left: [u8; 32], right: [u8; 32]| {
        *blake3::keyed_hash(&node_key, &[left, right].concat()).as_bytes()
    };
    let leaves = [1, 2, 3, 4, 5, 6, 7].map(|i| [i; 32]);
    let mth = |n: usize| merkle::mth(&LOG, &leaves[..n]);
    let pair = |i: usize| node(leaves[i], leaves[i + 1]);
    assert_eq!(mth(0), [0; 32]);
    assert_eq!(mth(1), leaves[0]);
    assert_eq!(mth(2), pair(0));
    assert_eq!(mth(3), node(pair(0), leaves[2]));
    let four = node(pair(0), pair(2));
    assert_eq!(mth(5), node(four, leaves[4]));
    assert_eq!(mth(7), node(four, node(pair(4), leaves[6])));
}

#[test]
fn every_way_to_the_root_agrees() {
    let mut tree = merkle::Tree::new(&LOG);
    let mut leaves = Vec::new();
    for i in 0..70_u8 {
        assert_eq!(tree.root(), merkle::root(&LOG, &leaves));
        assert_eq!(tree.root(), encoder::root_of(&leaves));
        assert_eq!(tree.peaks().len(), usize::try_from(i.count_ones()).unwrap());
        assert_eq!(tree.size(), u64::from(i));
        leaves.push([i; 32]);
        tree.push([i; 32]);
    }
}

#[test]
fn salts_depend_on_index_and_seed_alone() {
    let salts = salts::decode(&encoder::salt_record()).unwrap();
    for index in [0, 1, 63, 64, 65, 4096, (1 << 48) - 1] {
        assert_eq!(salts.of(index), Ok(Some(encoder::salt_of(index))), "salt of {index}");
    }
    assert_ne!(salts.of(0), salts.of(1));
    assert_ne!(salts.of(0), salts.of(64));
    assert_cites(salts.of(1 << 48), "L-1");
}

#[test]
fn stream_names_have_two_forms() {
    assert_eq!(entry::stream_name(b"\0note"), Ok((0, b"note".to_vec())));
    assert_eq!(entry::stream_name(&[1; 17]), Ok((1, vec![1; 16])));
    assert_cites(entry::stream_name(b""), "E-3");
    assert_cites(entry::stream_name(b"\0"), "L-1");
    assert_cites(entry::stream_name(&[b"\0".as_slice(), &[b'x'; 256]].concat()), "L-1");
    assert_cites(entry::stream_name(b"\0\xFF"), "E-3");
    assert_cites(entry::stream_name(&[1; 16]), "E-3");
    assert_cites(entry::stream_name(b"\x02x"), "E-3");
}

#[test]
fn frontiers_ascend_by_log() {
    let row = |log: u8, size: u64, lamport: u64| {
        let mut row = vec![0; 80];
        put(&mut row, 16, &[log; 16]);
        put(&mut row, 32, &[size.to_le_bytes(), lamport.to_le_bytes()].concat());
        row
    };
    assert_eq!(entry::frontier(&[]).unwrap(), []);
    let two = entry::frontier(&[row(1, 5, 9), row(2, 0, 0)].concat()).unwrap();
    assert_eq!(two.iter().map(|row| (row.size, row.lamport)).collect::<Vec<_>>(), [(5, 9), (0, 0)]);
    assert_cites(entry::frontier(&[row(2, 1, 1), row(1, 1, 1)].concat()), "E-7");
    assert_cites(entry::frontier(&[row(1, 1, 1), row(1, 1, 1)].concat()), "E-7");
    assert_cites(entry::frontier(&row(1, 0, 1)), "E-7");
    assert_cites(entry::frontier(&row(1, (1 << 48) + 1, 1)), "L-1");
    assert_cites(entry::frontier(&row(1, 1, 1 << 63)), "L-1");
    assert_cites(entry::frontier(&[0; 79]), "E-7");
}

/// A batch of three changes whose sections are compressed with `compress`.
fn compressed_batch(compress: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let entries = three_changes();
    let (meta, payloads) = encoder::sections(&entries);
    let mut bytes = encoder::batch(&entries, &[0; 32])[..96].to_vec();
    let (meta, payloads) = (compress(&meta), compress(&payloads));
    put(&mut bytes, 4, &[1, 1]);
    put(&mut bytes, 52, &u32::try_from(meta.len()).unwrap().to_le_bytes());
    put(&mut bytes, 60, &u32::try_from(payloads.len()).unwrap().to_le_bytes());
    [bytes, meta, payloads].concat()
}

fn three_changes() -> Vec<entry::Entry> {
    let mut writer = Writer::new();
    for payload in [b"a".as_slice(), b"", &[b'c'; 300]] {
        let entry = writer.change(payload);
        writer.entries.push(entry);
    }
    writer.entries
}

#[test]
fn batches_are_stored_or_compressed() {
    let stored = batch::decode(&encoder::batch(&three_changes(), &[0; 32])).unwrap();
    assert_eq!(stored.entries, three_changes());
    let zstd = compressed_batch(|x| zstd::bulk::compress(x, 3).unwrap());
    assert_eq!(batch::decode(&zstd).unwrap().entries, three_changes());
}

#[test]
fn an_empty_section_may_be_compressed() {
    let entries = vec![Writer::new().change(b"")];
    let mut bytes = encoder::batch(&entries, &[0; 32]);
    let empty = zstd::bulk::compress(&[], 3).unwrap();
    put(&mut bytes, 5, &[1]);
    put(&mut bytes, 60, &u32::try_from(empty.len()).unwrap().to_le_bytes());
    let bytes = [bytes, empty].concat();
    assert_eq!(batch::decode(&bytes).unwrap().entries, entries);
}

#[test]
fn a_section_is_one_zstd_frame() {
    let frame = |x: &[u8]| zstd::bulk::compress(x, 3).unwrap();
    let skippable = [0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0];
    assert_cites(
        batch::decode(&compressed_batch(|x| [frame(x), frame(b"")].concat())),
        "B-2: a zstd frame of",
    );
    assert_cites(
        batch::decode(&compressed_batch(|x| [&skippable, frame(x).as_slice()].concat())),
        "B-2: no zstd frame",
    );
    assert_cites(batch::decode(&compressed_batch(|x| frame(&[x, x].concat()))), "B-2");
    assert_cites(batch::decode(&compressed_batch(|x| frame(&x[1..]))), "B-2");
    assert_cites(batch::decode(&compressed_batch(<[u8]>::to_vec)), "B-2: no zstd frame");
}

#[test]
fn batch_headers_are_checked() {
    let sound = encoder::batch(&three_changes(), &[0; 32]);
    for (offset, value, rule) in [
        (0, 0, "B-1: magic"),
        (4, 2, "B-2: codec 2"),
        (5, 9, "B-2: codec 9"),
        (6, 1, "B-2: cipher suite"),
        (7, 1, "B-1, G-3"),
        (8, 1, "B-1: key epoch"),
        (12, 2, "B-2: flags"),
        (39, 1, "L-1"),
        (40, 0, "L-1: a batch of 0"),
        (42, 5, "L-1: a batch of"),
        (44, 1, "B-2: the batch ends"),
        (47, 1, "L-1: extension_len"),
        (51, 2, "L-1: meta_raw_len"),
        (59, 2, "L-1: payload_raw_len"),
        (48, 1, "B-2"),
    ] {
        let mut changed = sound.clone();
        put(&mut changed, offset, &[value]);
        assert_cites(batch::decode(&changed), rule);
    }
    assert_cites(batch::decode(&[sound.clone(), vec![0]].concat()), "B-2: the batch ends");
    assert_cites(batch::decode(&sound[..95]), "B-1");
}

#[test]
fn entries_are_checked_against_their_ranges() {
    let with = |change: fn(&mut entry::Entry)| {
        let mut entries = three_changes();
        change(&mut entries[1]);
        batch::decode(&encoder::batch(&entries, &[0; 32]))
    };
    assert_cites(with(|entry| entry.lamport = 1), "B-6: lamport 1");
    assert_cites(with(|entry| entry.flags = 4), "B-6: flags 4");
    assert_cites(with(|entry| entry.payload = vec![0; 1_048_577]), "B-6: payload_len");
    let mut entries = three_changes();
    entries[0].lamport = 0;
    assert_cites(batch::decode(&encoder::batch(&entries, &[0; 32])), "B-6: lamport 0");
    assert_cites(with(|entry| entry.lamport = 1 << 63), "B-6: lamport 9223372036854775808");
}

#[test]
fn unknown_extensions_are_kept_unless_critical() {
    let with = |section: &[u8]| {
        let sound = encoder::batch(&three_changes(), &[0; 32]);
        let mut bytes = [&sound[..96], section, &sound[96..]].concat();
        put(&mut bytes, 44, &u32::try_from(section.len()).unwrap().to_le_bytes());
        batch::decode(&bytes)
    };
    let extensions = with(&[7, 0, 0, 0, 2, 0, 0, 0, 8, 9]).unwrap().extensions;
    assert_eq!((extensions[0].kind, extensions[0].content.as_slice()), (7, [8, 9].as_slice()));
    assert_cites(with(&[7, 0, 1, 0, 0, 0, 0, 0]), "B-3: critical");
    assert_cites(with(&[7, 0, 2, 0, 0, 0, 0, 0]), "B-3: extension flags");
    assert_cites(with(&[7, 0, 0, 0, 1, 0, 0, 0]), "B-3: the extension at 0");
    assert_cites(with(&[7, 0, 0]), "B-3: the extension at 0");
}

proptest! {
    /// A batch has no checksum of its own: any bytes of it may be anything.
    #[test]
    fn changed_batches_never_panic(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        for mut bytes in [
            encoder::batch(&three_changes(), &[0; 32]),
            compressed_batch(|x| zstd::bulk::compress(x, 3).unwrap()),
        ] {
            for (at, value) in &changes {
                let at = at % bytes.len();
                bytes[at] = *value;
            }
            let _ = batch::decode(&bytes);
        }
    }
}

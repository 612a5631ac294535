//! Segments that are sound, and segments whose checksums hold but whose content breaks a rule.

use proptest::prelude::*;

use super::assert_cites;
use super::encoder::{self, CLIENT, FrameOptions, LOG, SALT, SALT_ROOT, WORKSPACE, Writer, put};
use crate::reference::entry::{Entry, KIND_SEEN, KIND_STREAM};
use crate::reference::recovery::Verdict;
use crate::reference::segment::{decode, dump};

/// One frame with the changes `a`, `b` and `c`.
fn sample() -> Writer {
    let mut writer = Writer::new();
    let mut entries = vec![writer.change(b"a"), writer.change(b"b"), writer.change(b"c")];
    for (index, entry) in (0..).zip(&mut entries) {
        (entry.index, entry.lamport) = (index, index + 1);
    }
    entries[1].timestamp = Some(1_700_000_000_000_001);
    writer.commit(&entries, FrameOptions::default());
    writer
}

#[test]
fn a_segment_of_one_frame_reads_back() {
    let writer = sample();
    let segment = decode(&writer.file).unwrap();
    assert_eq!(segment.verdict, Verdict::Clean);
    assert_eq!((segment.w, segment.x, segment.e), (16_384, writer.len(), writer.len()));
    assert_eq!(segment.entries().cloned().collect::<Vec<_>>(), writer.entries);
    assert_eq!(segment.root, Some(encoder::root_of(&writer.leaves)));
    assert!(segment.batches.iter().all(|served| served.root_is_checked));
    assert_eq!(segment.checkpoints, [Ok(None), Ok(None)]);
    assert_eq!(segment.notes, [""; 0]);

    let header = &segment.header;
    assert_eq!((header.workspace, header.client, header.log), (WORKSPACE, CLIENT, LOG));
    assert_eq!((header.salt, header.salts.root()), (SALT, Some(SALT_ROOT)));
    assert_eq!(header.writer, "hand 1.0");
    assert_eq!(header.created, Some(1_700_000_000_000_000));
}

#[test]
fn a_segment_without_frames_is_clean() {
    let segment = decode(&Writer::new().file).unwrap();
    assert_eq!((segment.verdict, segment.end_index), (Verdict::Clean, 0));
    assert_eq!(segment.root, Some(encoder::root_of(&[])));
}

/// The hashes of section 8 for one entry, written out.
#[test]
fn the_root_of_one_entry_is_what_the_text_says() {
    let mut writer = Writer::new();
    writer.commit_change(b"hello", FrameOptions::default());
    let keyed =
        |name: &str, x: &[u8]| *blake3::keyed_hash(&blake3::derive_key(name, &LOG), x).as_bytes();
    let payload_hash =
        keyed("annals v1 payload", &[encoder::salt_of(0).as_slice(), b"hello"].concat());
    let header = [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0x80],
        [5, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ];
    let leaf = keyed("annals v1 leaf", &[header.concat(), payload_hash.to_vec()].concat());
    let root = keyed("annals v1 root", &[&1_u64.to_le_bytes(), leaf.as_slice()].concat());
    assert_eq!(decode(&writer.file).unwrap().root, Some(root));
}

/// The whole dump, so that every hash of the sample is pinned too.
#[test]
fn the_dump_is_stable() {
    let mut writer = sample();
    writer.checkpoint(1, 1);
    writer.commit_change(&[b'x'; 65], FrameOptions::default());
    let dump = dump(&decode(&writer.file).unwrap());
    assert!(dump == include_str!("sample.txt"), "the dump is now\n{dump}");
}

#[test]
fn either_header_unit_will_do() {
    for (broken, whole) in [(20, 1), (4096 + 20, 0)] {
        let mut writer = sample();
        writer.file[broken] ^= 1;
        let segment = decode(&writer.file).unwrap();
        assert!(segment.units[whole].is_ok() && segment.units[1 - whole].is_err());
        assert_eq!(segment.entries().count(), 3);
    }
    let mut neither = sample();
    neither.file[20] ^= 1;
    neither.file[4096 + 20] ^= 1;
    assert_cites(decode(&neither.file), "S-3: no header unit is valid");
}

#[test]
fn header_units_that_differ_are_damage() {
    let mut writer = sample();
    let other = {
        let mut other = Writer::new();
        other.put_header(112, &[9; 8]);
        other.file
    };
    put(&mut writer.file, 4096, &other[4096..8192]);
    assert_cites(decode(&writer.file), "S-3: the header units differ");
}

#[test]
fn foreign_versions_are_refused_by_name() {
    for (offset, field, what) in [
        (8, [2, 0].as_slice(), "version 2"),
        (24, &[1], "incompatible features"),
        (13, &[2], "hash suite 2"),
    ] {
        let mut writer = sample();
        writer.put_header(offset, field);
        assert_cites(decode(&writer.file), &format!("S-4: {what}"));
        assert_cites(decode(&writer.file), "hand 1.0");
    }
    let mut compatible = sample();
    compatible.put_header(16, &[0xFF; 8]);
    compatible.put_header(10, &[9]);
    assert!(decode(&compatible.file).is_ok());
}

#[test]
fn reserved_header_fields_are_zero() {
    for (offset, rule) in
        [(14, "S-2: align"), (15, "S-2, G-3"), (220, "S-2, G-3"), (400, "S-2, G-3"), (219, "S-5")]
    {
        let mut writer = sample();
        writer.put_header(offset, &[2]);
        assert_cites(decode(&writer.file), rule);
    }
    assert_cites(decode(&sample().file[..16_383]), "S-1");
}

#[test]
fn frames_are_aligned_as_the_header_says() {
    let mut writer = Writer::with_align_log2(12);
    writer.commit_change(b"a", FrameOptions::default());
    writer.commit_change(b"b", FrameOptions::default());
    writer.checkpoint(1, 1);
    assert_eq!(writer.len(), 16_384 + 2 * 4096);
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.verdict, segment.end_index), (Verdict::Clean, 2));
    writer.file[20_000] = 1;
    assert_eq!(decode(&writer.file).unwrap().verdict, Verdict::Damaged);
}

#[test]
fn checkpoints_agree_with_the_frames_below() {
    let mut writer = Writer::new();
    writer.checkpoint(1, 1);
    writer.commit_change(b"a", FrameOptions::default());
    writer.commit_change(b"b", FrameOptions::default());
    writer.checkpoint(2, 1);
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.verdict, segment.w), (Verdict::Clean, writer.len()));
    let checkpoint = segment.checkpoint().unwrap();
    assert_eq!((checkpoint.sequence, checkpoint.entry_count), (2, 2));
    assert!(!checkpoint.clean_close);

    for (offset, name) in [(56, "change_count"), (64, "payload_bytes"), (72, "frame_count")] {
        let mut lying = writer.clone();
        lying.put_slot(8192 + offset, &[7]);
        assert_cites(decode(&lying.file), &format!("C-1: {name} of checkpoint 2"));
    }
    for (offset, value) in [(80, "lamport"), (88, "time_max"), (96, "stream_count")] {
        let mut lying = writer.clone();
        lying.put_slot(8192 + offset, &[7]);
        assert_cites(decode(&lying.file), &format!("C-1: {value}"));
    }
}

#[test]
fn a_damaged_slot_leaves_the_other() {
    for (offset, field, rule) in [
        (0, [0].as_slice(), "C-2: magic"),
        (8, &[3], "C-2: sequence"),
        (16, &[1], "C-2: generation"),
        (36, &[2], "C-1, G-3"),
        (40, &[1], "C-2: durable_len"),
        (104, &[0], "C-2: the peaks"),
        (136, &[9], "C-2: peak_count"),
        (3000, &[1], "C-1, G-3"),
    ] {
        let mut writer = sample();
        writer.checkpoint(1, 1);
        writer.checkpoint(2, 1);
        writer.put_slot(8192 + offset, field);
        let segment = decode(&writer.file).unwrap();
        assert_cites(segment.checkpoints[0].clone(), rule);
        assert_eq!(segment.checkpoint().unwrap().sequence, 1);
    }
    let mut torn = sample();
    torn.checkpoint(2, 1);
    torn.file[8192 + 500] ^= 1;
    assert_cites(decode(&torn.file).unwrap().checkpoints[0].clone(), "C-2: CRC");
}

#[test]
fn a_checkpoint_of_other_frames_is_damage() {
    let mut writer = sample();
    writer.commit_change(b"d", FrameOptions::default());
    writer.checkpoint(1, 1);
    let mut other = Writer::new();
    let mut entries = writer.entries.clone();
    entries[0].payload = b"z".to_vec();
    other.commit(&entries[..3], FrameOptions::default());
    other.commit(&entries[3..], FrameOptions::default());
    put(&mut other.file, 12_288, &writer.file[12_288..16_384]);
    let segment = decode(&other.file).unwrap();
    assert_eq!(segment.verdict, Verdict::Damaged);
    assert!(segment.notes[0].starts_with("C-4"), "{:?}", segment.notes);
}

#[test]
fn unknown_frames_are_skipped_unless_critical() {
    let mut writer = sample();
    let unknown = FrameOptions { kind: 4, flags: 2, ..FrameOptions::default() };
    writer.frame(b"sealed", 3, 0, unknown);
    writer.commit_change(b"d", FrameOptions::default());
    writer.checkpoint(1, 1);
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.verdict, segment.end_index, segment.frames.len()), (Verdict::Clean, 4, 3));

    let mut critical = sample();
    critical.frame(b"", 3, 0, FrameOptions { flags: 1, ..unknown });
    assert_cites(decode(&critical.file), "F-4: unknown critical frame kind 4");
    let mut counting = sample();
    counting.frame(b"", 3, 2, unknown);
    assert_cites(decode(&counting.file), "F-7");
}

#[test]
fn batch_and_frame_agree() {
    let mut writer = Writer::new();
    let batch = writer.batch(&[writer.change(b"a")]);
    writer.frame(&batch, 0, 2, FrameOptions::default());
    assert_cites(decode(&writer.file), "F-7");

    let mut continues = Writer::new();
    let mut batch = continues.batch(&[continues.change(b"a")]);
    batch[12] = 1;
    continues.frame(&batch, 0, 1, FrameOptions::default());
    assert_cites(decode(&continues.file), "F-7");

    let mut flags = Writer::new();
    flags.commit_change(b"a", FrameOptions { flags: 0, ..FrameOptions::default() });
    assert_cites(decode(&flags.file), "F-4");

    let mut other_log = Writer::new();
    let mut batch = other_log.batch(&[other_log.change(b"a")]);
    put(&mut batch, 16, &[9; 16]);
    other_log.frame(&batch, 0, 1, FrameOptions::default());
    assert_cites(decode(&other_log.file), "B-1: a batch of another log");

    let mut other_root = Writer::new();
    let mut batch = other_root.batch(&[other_root.change(b"a")]);
    batch[64] ^= 1;
    other_root.frame(&batch, 0, 1, FrameOptions::default());
    assert_cites(decode(&other_root.file), "B-1: root");
}

#[test]
fn synced_upto_is_no_offset_inside_a_frame_or_group() {
    let mut writer = sample();
    let inside = FrameOptions { synced_upto: 16_392, ..FrameOptions::default() };
    writer.commit_change(b"d", inside);
    assert_cites(decode(&writer.file), "F-6");

    let mut group = Writer::new();
    group.commit_change(b"a", FrameOptions { flags: 7, ..FrameOptions::default() });
    group.commit_change(b"b", FrameOptions { synced_upto: group.len(), ..FrameOptions::default() });
    assert_cites(decode(&group.file), "F-6");
}

#[test]
fn carried_frames_keep_their_generation() {
    let mut writer = Writer::new();
    writer.put_header(32, &[2]);
    writer.commit_change(b"a", FrameOptions { generation: 1, ..FrameOptions::default() });
    writer.put_header(40, &writer.len().to_le_bytes());
    writer.put_header(232, &writer.len().to_le_bytes());
    writer.commit_change(b"b", FrameOptions { generation: 2, ..FrameOptions::default() });
    assert_eq!(decode(&writer.file).unwrap().end_index, 2);
    writer.put_header(40, &[0; 8]);
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.end_index, segment.verdict), (2, Verdict::Damaged));
}

#[test]
fn two_copies_of_a_log_are_noted() {
    let mut writer = sample();
    writer.commit_change(b"d", FrameOptions { incarnation: 9, ..FrameOptions::default() });
    assert_eq!(decode(&writer.file).unwrap().notes, ["F-8: opening 1 has two incarnations"]);
}

/// Commits one control entry or change after the sample and decodes.
fn with_entry(change: impl FnOnce(&mut Entry)) -> Result<u64, String> {
    let mut writer = sample();
    let mut entry = writer.change(b"");
    change(&mut entry);
    writer.commit(&[entry], FrameOptions::default());
    decode(&writer.file).map(|segment| segment.end_index)
}

fn declare(entry: &mut Entry, stream: u32, name: &[u8]) {
    (entry.kind, entry.stream) = (KIND_STREAM, stream);
    entry.payload = [b"\0", name].concat();
}

#[test]
fn streams_are_declared_in_order_and_once() {
    assert_eq!(with_entry(|entry| declare(entry, 1, b"note")), Ok(4));
    assert_cites(with_entry(|entry| declare(entry, 2, b"note")), "E-4");
    assert_cites(with_entry(|entry| declare(entry, 0, b"note")), "E-4");
    assert_cites(with_entry(|entry| entry.stream = 1), "E-4: entry 3 names stream 1");

    let mut writer = sample();
    for (stream, name) in [(1, "note"), (2, "list")] {
        let mut entry = writer.change(b"");
        declare(&mut entry, stream, name.as_bytes());
        writer.commit(&[entry], FrameOptions::default());
    }
    let mut entry = writer.change(b"in the list");
    entry.stream = 2;
    writer.commit(&[entry], FrameOptions::default());
    writer.checkpoint(1, 1);
    assert_eq!(decode(&writer.file).unwrap().end_index, 6);
    let mut again = writer.change(b"");
    declare(&mut again, 3, b"note");
    writer.commit(&[again], FrameOptions::default());
    assert_cites(decode(&writer.file), "E-4: entry 6 declares a name again");
}

#[test]
fn clocks_step_by_one_or_to_what_was_seen() {
    assert_cites(with_entry(|entry| entry.lamport = 9), "E-8");
    for (seen_lamport, lamport, holds) in
        [(40, 41, true), (40, 4, false), (40, 42, false), (2, 4, true), (2, 3, false)]
    {
        let mut writer = sample();
        let mut seen = writer.change(&[0; 80]);
        (seen.kind, seen.lamport) = (KIND_SEEN, lamport);
        let numbers = [7_u64.to_le_bytes(), u64::to_le_bytes(seen_lamport)].concat();
        put(&mut seen.payload, 32, &numbers);
        writer.commit(&[seen], FrameOptions::default());
        writer.commit_change(b"next", FrameOptions::default());
        assert_eq!(decode(&writer.file).is_ok(), holds, "lamport {lamport} after {seen_lamport}");
    }
}

/// Commits changes with the given part flags, one a frame, the last without `continues`.
fn with_parts(flags: &[u8]) -> Result<(u64, u64), String> {
    let mut writer = Writer::new();
    for (i, &part) in flags.iter().enumerate() {
        let mut entry = writer.change(b"part");
        entry.flags = part;
        let frame_flags = if i + 1 < flags.len() { 7 } else { 3 };
        writer.commit(&[entry], FrameOptions { flags: frame_flags, ..FrameOptions::default() });
    }
    writer.checkpoint(1, 1);
    let segment = decode(&writer.file)?;
    Ok((segment.end_index, segment.checkpoint().unwrap().change_count))
}

#[test]
fn parts_of_a_change_follow_each_other() {
    assert_eq!(with_parts(&[2, 3, 3, 1]), Ok((4, 1)));
    assert_eq!(with_parts(&[2, 1, 0, 2, 1]), Ok((5, 3)));
    assert_cites(with_parts(&[1]), "E-5");
    assert_cites(with_parts(&[3, 1]), "E-5");
    assert_cites(with_parts(&[2, 0]), "E-5");
    assert_cites(with_parts(&[2, 2]), "E-5");
    assert_cites(with_parts(&[2]), "E-5: the change before entry 1 has no last part");
}

#[test]
fn unknown_control_entries_are_kept() {
    assert_eq!(with_entry(|entry| entry.kind = 200), Ok(4));
    assert_cites(with_entry(|entry| (entry.kind, entry.stream) = (KIND_STREAM, 1)), "E-3");
    assert_eq!(with_entry(|entry| entry.kind = KIND_SEEN), Ok(4));
    for kind in [KIND_SEEN, 200] {
        assert_cites(with_entry(|entry| (entry.kind, entry.flags) = (kind, 1)), "E-5");
    }
}

proptest! {
    /// Whatever stands in fields whose checksums hold is judged without a panic.
    #[test]
    fn sealed_nonsense_never_panics(
        header in proptest::collection::vec((0..4092_usize, any::<u8>()), 0..3),
        slot in proptest::collection::vec((8..200_usize, any::<u8>()), 0..3),
        batch_bytes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..3),
        frames in proptest::collection::vec(
            (any::<[u8; 3]>(), prop_oneof![Just(0), any::<u64>()], 0..4_u32),
            1..4,
        ),
    ) {
        let mut writer = sample();
        for ([kind, flags, opening], first_index, count) in frames {
            let mut batch = writer.batch(&[writer.change(b"x")]);
            for (at, value) in &batch_bytes {
                let at = at % batch.len();
                batch[at] = *value;
            }
            let options = FrameOptions {
                kind: 1 + kind / 64,
                flags,
                opening: u32::from(opening),
                synced_upto: writer.len(),
                ..FrameOptions::default()
            };
            let first_index = if first_index == 0 { writer.entries.last().unwrap().index } else { first_index };
            writer.frame(&batch, first_index, count, options);
        }
        writer.checkpoint(1, 1);
        for (offset, value) in slot {
            writer.put_slot(12_288 + offset, &[value]);
        }
        for (offset, value) in header {
            writer.put_header(offset, &[value]);
        }
        if let Ok(segment) = decode(&writer.file) {
            let _ = dump(&segment);
        }
    }
}

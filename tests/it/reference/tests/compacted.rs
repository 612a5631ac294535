//! Segments that a compaction wrote: the fields of the header, and salts in frames.

use super::assert_cites;
use super::encoder::{self, FrameOptions, Writer};
use super::forgotten::NEXT;
use crate::reference::recovery::Verdict;
use crate::reference::segment::{decode, dump};

/// Two changes; then the next generation of them, with a salt record in the frames between the two.
/// Returns where its frames start, and the end.
fn salts_in_frames(record: &[u8]) -> (Writer, Vec<u64>) {
    let mut old = Writer::new();
    old.commit_change(b"a", FrameOptions::default());
    old.commit_change(b"b", FrameOptions::default());
    let mut writer = old.rewritten();
    let entries = writer.take_entries();
    let mut starts = vec![writer.len()];
    writer.commit(&entries[..1], NEXT);
    starts.push(writer.len());
    writer.record(2, record);
    starts.insert(2, u64::midpoint(starts[1], writer.len()));
    starts.push(writer.len());
    writer.commit(&entries[1..], NEXT);
    starts.push(writer.len());
    writer.put_salts(&[]);
    writer.put_header(224, &starts[1].to_le_bytes());
    writer.put_compacted();
    writer.checkpoint(1, 1);
    (writer, starts)
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

#[test]
fn salts_may_stand_in_frames() {
    let (writer, starts) = salts_in_frames(&encoder::salt_record());
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.verdict, segment.end_index), (Verdict::Clean, 2));
    assert_eq!(segment.header.salts.root(), Some(encoder::SALT_ROOT));
    assert_eq!(segment.root, Some(encoder::root_of(&writer.leaves)));
    let dump = dump(&segment);
    assert!(dump.contains(&format!("  salts_offset {}\n", starts[1])), "{dump}");
    assert!(dump.contains(&format!("  compacted_upto {}\n", starts[4])), "{dump}");
}

#[test]
fn either_frame_with_the_salts_will_do() {
    let (writer, starts) = salts_in_frames(&encoder::salt_record());
    // Anywhere in the header, the payload and the trailer of each.
    for frame in [1, 2] {
        for offset in (starts[frame]..starts[frame + 1]).step_by(4) {
            let mut file = writer.file.clone();
            file[at(offset)] ^= 1;
            let segment = decode(&file).unwrap();
            assert_eq!((segment.verdict, segment.entries().count()), (Verdict::Damaged, 2));
            // No entry is lost, so every root can still be computed.
            assert_eq!(segment.root, Some(encoder::root_of(&writer.leaves)));
        }
    }
    let mut neither = writer.file.clone();
    neither[at(starts[1])] ^= 1;
    neither[at(starts[2])] ^= 1;
    assert_cites(decode(&neither), "P-5: neither frame from");
    assert_cites(decode(&writer.file[..at(starts[1])]), "P-5: neither frame from");
}

#[test]
fn the_header_says_where_the_salts_are() {
    let (writer, starts) = salts_in_frames(&encoder::salt_record());
    let mut elsewhere = writer.clone();
    elsewhere.put_header(224, &starts[0].to_le_bytes());
    assert_cites(decode(&elsewhere.file), "P-5: a frame of kind 1 at 16384");
    let mut half = writer.clone();
    half.put_header(224, &starts[2].to_le_bytes());
    assert_cites(decode(&half.file), "P-5: a frame of kind 1");
    // The frames stay where the header has the record itself: they are from before.
    let mut old = writer;
    old.put_header(224, &[0; 8]);
    old.put_salts(&encoder::salt_record());
    assert_cites(decode(&old.file), "P-5: a frame of kind 2 where the record does not stand");
}

#[test]
fn both_frames_say_the_same() {
    let mut writer = Writer::new();
    let options = FrameOptions { kind: 2, flags: 1, ..FrameOptions::default() };
    writer.put_salts(&[]);
    writer.put_header(224, &16_384_u64.to_le_bytes());
    let mut differ = writer.clone();
    differ.frame(&encoder::salt_record(), 0, 0, options);
    differ.frame(&encoder::salt_record_without(&[(0, 1)]), 0, 0, options);
    assert_cites(decode(&differ.file), "P-5: the frames at 16384 and");

    let mut broken = writer.clone();
    broken.frame(&encoder::salt_record()[1..], 0, 0, options);
    assert_cites(decode(&broken.file), "P-3");

    for (flags, count, rule) in [(3, 0, "F-4"), (0, 0, "F-4"), (1, 1, "F-7")] {
        let mut changed = writer.clone();
        let options = FrameOptions { flags, ..options };
        changed.frame(&encoder::salt_record(), 0, count, options);
        assert_cites(decode(&changed.file), rule);
    }
}

#[test]
fn the_head_says_exactly_one_thing() {
    let sound = || {
        let mut writer = Writer::new();
        writer.commit_change(b"a", FrameOptions::default());
        writer.commit_change(b"b", FrameOptions::default());
        writer
    };
    let end = sound().len();
    let with = |fields: &[(usize, u64)]| {
        let mut writer = sound();
        for (offset, value) in fields {
            writer.put_header(*offset, &value.to_le_bytes());
        }
        decode(&writer.file)
    };
    assert!(with(&[(232, end)]).is_ok());
    assert!(with(&[(40, end), (232, end)]).is_ok());
    assert_cites(with(&[(40, end)]), "S-5: carried_upto");
    assert_cites(with(&[(232, end - 8)]), "S-5: compacted_upto");
    assert_cites(with(&[(232, end - 1)]), "S-5: compacted_upto");
    assert_cites(with(&[(232, 8192)]), "S-5: compacted_upto 8192 is no frame boundary");
    assert_cites(with(&[(40, end - 8), (232, end)]), "S-5: carried_upto");
    assert_eq!(with(&[(232, end + 8)]).unwrap().verdict, Verdict::Damaged);
    assert_cites(with(&[(240, 1)]), "S-5: 1 compacted frames");
    assert_cites(with(&[(224, 16_384)]), "S-5: salts_len 64 and salts_offset 16384");
    assert_cites(with(&[(120, (1 << 48) + 1)]), "S-5: first_index");
    let mut neither = sound();
    neither.put_salts(&[]);
    assert_cites(decode(&neither.file), "S-5: salts_len 0 and salts_offset 0");
    for offset in [220, 248, 255] {
        let mut reserved = sound();
        reserved.put_header(offset, &[1]);
        assert_cites(decode(&reserved.file), "S-2, G-3");
    }
}

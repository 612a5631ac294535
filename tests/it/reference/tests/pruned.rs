//! Segments that begin behind entries that were pruned.

use super::assert_cites;
use super::encoder::{self, FrameOptions, LOG, Writer};
use super::forgotten::NEXT;
use super::snapshot::claim;
use crate::reference::entry::{KIND_ASSET, KIND_STREAM};
use crate::reference::prune::decode as decode_record;
use crate::reference::recovery::Verdict;
use crate::reference::segment::{decode, dump};

/// Six entries: a change, two streams, a change and a claim in the second, and a change with a time.
pub(super) fn before() -> Writer {
    let mut writer = Writer::new();
    writer.commit_change(b"a", FrameOptions::default());
    for (stream, name) in [(1, b"\0note".as_slice()), (2, &[1; 17])] {
        let mut entry = writer.change(name);
        (entry.kind, entry.stream) = (KIND_STREAM, stream);
        writer.commit(&[entry], FrameOptions::default());
    }
    let mut entry = writer.change(b"in a stream");
    entry.stream = 2;
    writer.commit(&[entry], FrameOptions::default());
    let mut entry = writer.change(&claim());
    (entry.kind, entry.stream) = (KIND_ASSET, 2);
    writer.commit(&[entry], FrameOptions::default());
    let mut entry = writer.change(b"f");
    entry.timestamp = Some(1_700_000_000_000_001);
    writer.commit(&[entry], FrameOptions::default());
    writer
}

/// The six are pruned, and two more follow, the second in a stream of the first part.
fn sample() -> Writer {
    let mut writer = before().pruned();
    writer.commit_change(b"g", NEXT);
    let mut entry = writer.change(b"h");
    entry.stream = 2;
    writer.commit(&[entry], NEXT);
    writer.put_compacted();
    writer.checkpoint(1, 1);
    writer
}

/// Length of each of the two frames with the prune record.
fn frame_len(writer: &Writer) -> usize {
    let payload_len = encoder::prune_record(&writer.entries[..6]).len();
    (72 + payload_len + 8).next_multiple_of(8)
}

#[test]
fn a_pruned_log_goes_on_from_its_record() {
    let writer = sample();
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.verdict, segment.end_index), (Verdict::Clean, 8));
    assert_eq!(segment.at_opening, (Verdict::Clean, writer.len()));
    assert_eq!(segment.notes, [""; 0]);
    assert_eq!(segment.entries().cloned().collect::<Vec<_>>(), writer.entries[6..]);
    assert!(segment.batches.iter().all(|served| served.root_is_checked));
    assert_eq!(segment.root, Some(encoder::root_of(&writer.leaves)));

    let record = segment.pruned.clone().unwrap();
    assert_eq!((record.size, record.lamport, record.change_count), (6, 6, 3));
    assert_eq!((record.time_max, record.peaks.len()), (Some(1_700_000_000_000_001), 2));
    let declared: Vec<_> =
        record.declarations.iter().map(|d| (d.stream, d.form, d.index)).collect();
    assert_eq!(declared, [(1, 0, 1), (2, 1, 2)]);
    let kept: Vec<_> =
        record.kept.iter().map(|k| (k.index, k.kind, k.stream, &k.payload)).collect();
    assert_eq!(kept, [(4, 4, 2, &claim())]);
    let dump = dump(&segment);
    for line in [
        "  first_index 6\n",
        "pruned 6 entries at 1800000000000000\n",
        "  stream 1 of entry 1 form 0 name \"note\"\n",
        "  kept entry 4 kind 4 stream 2 payload ",
    ] {
        assert!(dump.contains(line), "{line} is not in {dump}");
    }
}

#[test]
fn roots_are_known_from_the_pruned_size_on() {
    let writer = sample();
    let segment = decode(&writer.file).unwrap();
    for size in 6..=8 {
        let root = encoder::root_of(&writer.leaves[..size]);
        assert_eq!(segment.root_at(size.try_into().unwrap()), Ok(root));
    }
    assert_cites(segment.root_at(5), "H-11: 5 entries, and 6 are pruned");
    assert_cites(segment.root_at(0), "H-11");
    assert_cites(segment.root_at(9), "M-5: not all of 9");
    let whole = decode(&before().file).unwrap();
    assert_eq!(whole.root_at(3), Ok(encoder::root_of(&writer.leaves[..3])));
}

#[test]
fn everything_may_be_pruned() {
    let mut writer = before().pruned();
    writer.checkpoint(1, 1);
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.verdict, segment.end_index), (Verdict::Clean, 6));
    assert_eq!(segment.root, Some(encoder::root_of(&writer.leaves)));
    assert_eq!(segment.entries().count(), 0);
}

#[test]
fn either_prune_record_will_do() {
    let writer = sample();
    let len = frame_len(&writer);
    for frame in [0, 1] {
        for offset in (16_384 + frame * len..16_384 + (frame + 1) * len).step_by(4) {
            let mut file = writer.file.clone();
            file[offset] ^= 1;
            let segment = decode(&file).unwrap();
            assert_eq!((segment.verdict, segment.entries().count()), (Verdict::Damaged, 2));
            assert_eq!(segment.root, Some(encoder::root_of(&writer.leaves)));
        }
    }
    let mut neither = writer.file.clone();
    neither[16_384] ^= 1;
    neither[16_384 + len] ^= 1;
    assert_cites(decode(&neither), "H-10: neither frame from 16384 on is valid");
}

#[test]
fn the_record_and_the_header_agree() {
    let mut fewer = sample();
    fewer.put_header(120, &[5]);
    assert_cites(decode(&fewer.file), "H-10: 6 entries pruned, and first_index 5");
    let mut none = sample();
    none.put_header(120, &[0]);
    assert_cites(decode(&none.file), "H-10: a frame of kind 3 where");
    let mut unpruned = before();
    unpruned.put_header(120, &[6]);
    assert_cites(decode(&unpruned.file), "H-10: a frame of kind 1 at 16384");
    let mut frame = before().pruned();
    let record = encoder::prune_record(&frame.entries);
    frame.file.truncate(16_384);
    frame.link = encoder::salted_crc(&encoder::SALT, &LOG);
    for first_index in [0, 6] {
        frame.frame(&record, first_index, 0, FrameOptions { kind: 3, flags: 1, ..NEXT });
    }
    assert_cites(decode(&frame.file), "H-10: first_index 0 of the frame");
    let mut salts = sample();
    salts.put_salts(&encoder::salt_record_without(&[(0, 5)]));
    assert_cites(decode(&salts.file), "H-11: 6 entries are pruned");
    let mut later = sample();
    later.record(3, &encoder::prune_record(&later.entries[..6]));
    assert_cites(decode(&later.file), "H-10: a frame of kind 3 where");
}

#[test]
fn what_follows_continues_what_was_pruned() {
    let with = |change: fn(&mut crate::reference::entry::Entry)| {
        let mut writer = before().pruned();
        let mut entry = writer.change(b"\0note");
        change(&mut entry);
        writer.commit(&[entry], NEXT);
        decode(&writer.file)
    };
    assert!(with(|entry| entry.stream = 2).is_ok());
    assert_cites(with(|entry| entry.stream = 3), "E-4: entry 6 names stream 3");
    assert_cites(with(|entry| entry.lamport = 9), "E-8");
    assert_cites(with(|entry| entry.flags = 1), "E-5");
    let again = with(|entry| (entry.kind, entry.stream) = (KIND_STREAM, 3));
    assert_cites(again, "E-4: entry 6 declares a name again");
    let next = with(|entry| {
        (entry.kind, entry.stream, entry.payload) = (KIND_STREAM, 3, b"\0list".to_vec());
    });
    assert!(next.is_ok());
    // A checkpoint counts what was pruned.
    for (offset, name) in [(48, "entry_count"), (56, "change_count"), (96, "stream_count")] {
        let mut lying = sample();
        lying.put_slot(12_288 + offset, &[9]);
        let result = decode(&lying.file).and_then(|segment| segment.checkpoints[1].clone());
        assert_cites(result, if name == "entry_count" { "C-2" } else { "C-1" });
    }
}

#[test]
fn prune_records_are_as_the_table_says() {
    let sound = encoder::prune_record(&before().entries);
    assert!(decode_record(&LOG, &sound).is_ok());
    let declarations_at = 96 + 64;
    let second_at = declarations_at + 16 + 4;
    let claim_at = second_at + 16 + 16;
    for (offset, value, rule) in [
        (0, 2, "H-10: prune record version 2"),
        (1, 1, "H-10, G-3"),
        (4, 1, "H-10: 1 peaks of 6"),
        (8, 5, "H-10: the peaks do not give the root"),
        (14, 2, "H-10: 56"),
        (16, 0, "H-10: the peaks do not give the root"),
        (48, 4, "H-10: 7 changes"),
        (59, 1, "H-10: 1"),
        (64, 5, "H-10: lamport 5"),
        (71, 128, "H-10: lamport"),
        (88, 3, "E-4: stream 4 is declared, not 3"),
        (92, 0, "H-10: the record ends at"),
        (declarations_at, 2, "E-4: stream 2 is declared, not 1"),
        (declarations_at + 4, 2, "E-3: stream name form 2"),
        (declarations_at + 6, 1, "X-8, G-3"),
        (declarations_at + 8, 6, "H-10: stream 1 is declared by entry 6"),
        (second_at + 8, 1, "H-10: stream 2 is declared by entry 1"),
        (claim_at, 6, "H-10: the kept entry 6 is out of order"),
        (claim_at, 2, "E-4: the kept entry 2 names stream 2"),
        (claim_at + 16, 3, "E-4: the kept entry 4 names stream 3"),
        (claim_at + 24, 0, "H-10: a kept entry of kind 0"),
        (claim_at + 25, 1, "H-10, G-3"),
    ] {
        let mut changed = sound.clone();
        changed[offset] = value;
        assert_cites(decode_record(&LOG, &changed), rule);
    }
    for len in 0..sound.len() {
        assert!(decode_record(&LOG, &sound[..len]).is_err());
    }
    assert_cites(decode_record(&LOG, &[sound.clone(), vec![0]].concat()), "H-10: the record ends");
    assert_cites(decode_record(&[9; 16], &sound), "H-10: the peaks do not give the root");
    let mut again = before().entries;
    again[2].payload = b"\0note".to_vec();
    let again = encoder::prune_record(&again);
    assert_cites(decode_record(&LOG, &again), "E-4: stream 2 has a name again");
}

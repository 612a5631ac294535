//! Table R-3, cell by cell.

use super::assert_cites;
use super::encoder::{self, FrameOptions, Writer};
use crate::reference::recovery::{Gap, Verdict};
use crate::reference::segment::{Segment, decode, dump};

/// Five frames of one change each; returns also where each frame starts, and the end.
fn five_frames(synced: impl Fn(&[u64]) -> u64) -> (Writer, Vec<u64>) {
    let mut writer = Writer::new();
    let mut starts = vec![writer.len()];
    for payload in [b"a", b"b", b"c", b"d", b"e"] {
        let options = FrameOptions { synced_upto: synced(&starts), ..FrameOptions::default() };
        writer.commit_change(payload, options);
        starts.push(writer.len());
    }
    (writer, starts)
}

/// Each frame was built when all before it was durable.
fn steady() -> (Writer, Vec<u64>) {
    five_frames(|starts| *starts.last().unwrap())
}

/// No frame knows of any sync.
fn unsynced() -> (Writer, Vec<u64>) {
    five_frames(|_| 16_384)
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

fn indices(segment: &Segment) -> Vec<u64> {
    segment.entries().map(|entry| entry.index).collect()
}

#[test]
fn a_file_that_ends_anywhere_in_the_last_frame_has_a_torn_tail() {
    let (writer, starts) = steady();
    for len in starts[4] + 1..starts[5] {
        let segment = decode(&writer.file[..at(len)]).unwrap();
        assert_eq!((segment.verdict, segment.x, segment.e), (Verdict::TornTail, starts[4], len));
        assert_eq!(indices(&segment), [0, 1, 2, 3]);
        assert_eq!(segment.root, Some(encoder::root_of(&writer.leaves[..4])));
    }
    let segment = decode(&writer.file[..at(starts[4])]).unwrap();
    assert_eq!((segment.verdict, segment.end_index), (Verdict::Clean, 4));
}

#[test]
fn a_flip_anywhere_in_the_last_frame_looks_like_a_torn_tail() {
    let (writer, starts) = steady();
    for offset in starts[4]..starts[5] {
        let mut file = writer.file.clone();
        file[at(offset)] ^= 0x10;
        let segment = decode(&file).unwrap();
        assert_eq!((segment.verdict, segment.x), (Verdict::TornTail, starts[4]), "at {offset}");
    }
}

#[test]
fn a_file_that_ends_below_a_checkpoint_is_damaged() {
    let (mut writer, starts) = unsynced();
    writer.checkpoint(1, 1);
    for len in [starts[3], starts[3] + 20, starts[5] - 1] {
        let segment = decode(&writer.file[..at(len)]).unwrap();
        assert_eq!((segment.verdict, segment.w), (Verdict::Damaged, starts[5]));
        let frame_count = starts.iter().filter(|&&start| start <= len).count() - 1;
        let [gap] = segment.gaps.as_slice() else { panic!("{:?}", segment.gaps) };
        assert_eq!((gap.offset, gap.end_offset), (starts[frame_count], None));
        assert_eq!((gap.first_index, gap.end_index), (frame_count.try_into().unwrap(), Some(5)));
        assert_eq!((segment.entries().count(), segment.root), (frame_count, None));
    }
}

#[test]
fn a_flip_below_what_a_later_frame_knows_durable_is_damage() {
    let (writer, starts) = steady();
    for offset in starts[1]..starts[2] {
        let mut file = writer.file.clone();
        file[at(offset)] ^= 0x10;
        let segment = decode(&file).unwrap();
        assert_eq!(
            (segment.verdict, segment.x, segment.w),
            (Verdict::Damaged, starts[1], starts[4])
        );
        let gap = Gap {
            offset: starts[1],
            end_offset: Some(starts[2]),
            first_index: 1,
            end_index: Some(2),
        };
        assert_eq!(segment.gaps, [gap]);
        assert_eq!(indices(&segment), [0, 2, 3, 4]);
        assert_eq!((segment.root, segment.end_index), (None, 5));
        let checked: Vec<bool> = segment.batches.iter().map(|b| b.root_is_checked).collect();
        assert_eq!(checked, [true, false, false, false]);
        assert!(dump(&segment).contains("entries 1..2\n"));
    }
}

#[test]
fn a_flip_above_all_that_is_known_durable_is_a_hole() {
    let (writer, starts) = unsynced();
    let mut file = writer.file.clone();
    file[at(starts[1]) + 80] ^= 1;
    let segment = decode(&file).unwrap();
    assert_eq!((segment.verdict, segment.x, segment.w), (Verdict::Hole, starts[1], 16_384));
    assert_eq!(indices(&segment), [0]);
    assert_eq!(segment.root, Some(encoder::root_of(&writer.leaves[..1])));
    assert_eq!(segment.gaps, []);
}

#[test]
fn headers_behind_the_break_tell_nothing_if_their_frames_are_broken() {
    let (writer, starts) = steady();
    let mut file = writer.file.clone();
    file[at(starts[3]) + 80] ^= 1;
    file[at(starts[4]) + 80] ^= 1;
    let segment = decode(&file).unwrap();
    // That of the fourth frame is in sequence; the fifth, which knows of the fourth, is not found.
    assert_eq!((segment.verdict, segment.x, segment.w), (Verdict::TornTail, starts[3], starts[3]));
}

#[test]
fn two_stretches_can_be_lost() {
    let (writer, starts) = steady();
    let mut file = writer.file.clone();
    file[at(starts[0])] ^= 1;
    file[at(starts[2])] ^= 1;
    let segment = decode(&file).unwrap();
    let lost: Vec<_> = segment.gaps.iter().map(|gap| (gap.first_index, gap.end_index)).collect();
    assert_eq!(lost, [(0, Some(1)), (2, Some(3))]);
    assert_eq!(indices(&segment), [1, 3, 4]);
}

#[test]
fn a_tail_behind_damage_is_not_lost() {
    let (writer, starts) = steady();
    let mut file = writer.file[..at(starts[5]) - 3].to_vec();
    file[at(starts[0])] ^= 1;
    let segment = decode(&file).unwrap();
    assert_eq!((segment.verdict, segment.gaps.len()), (Verdict::Damaged, 1));
    assert_eq!(indices(&segment), [1, 2, 3]);
}

#[test]
fn opening_at_the_checkpoint_sees_nothing_below() {
    let (mut writer, starts) = unsynced();
    writer.checkpoint(1, 1);
    writer.commit_change(b"f", FrameOptions::default());
    writer.file[at(starts[1])] ^= 1;
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.verdict, segment.x), (Verdict::Damaged, starts[1]));
    assert_eq!(segment.at_opening, (Verdict::Clean, writer.len()));
    // The trailer before the checkpoint is what it does look at (C-4).
    writer.file[at(starts[5]) - 1] ^= 1;
    assert_eq!(decode(&writer.file).unwrap().at_opening.0, Verdict::Damaged);
}

#[test]
fn stale_frames_of_an_earlier_opening_do_not_count() {
    let (stale, starts) = unsynced();
    let mut writer = Writer::new();
    writer.commit_change(b"a", FrameOptions { opening: 2, ..FrameOptions::default() });
    writer.commit_change(b"x", FrameOptions { opening: 2, ..FrameOptions::default() });
    assert_eq!(writer.len(), starts[2]);
    let mut file = [&writer.file, &stale.file[at(starts[2])..]].concat();
    let segment = decode(&file).unwrap();
    assert_eq!((segment.verdict, segment.x), (Verdict::TornTail, starts[2]));
    assert_cites::<()>(Err(segment.break_reason.unwrap()), "F-5");

    // The same by the opening of a checkpoint alone.
    let mut writer = Writer::new();
    writer.commit_change(b"a", FrameOptions::default());
    writer.checkpoint(1, 2);
    file = [&writer.file, &stale.file[at(starts[1])..]].concat();
    let segment = decode(&file).unwrap();
    assert_eq!((segment.verdict, segment.x), (Verdict::TornTail, starts[1]));
    assert_cites::<()>(Err(segment.break_reason.unwrap()), "F-5: opening");
}

#[test]
fn frames_that_hold_earlier_entries_do_not_count() {
    let (writer, starts) = unsynced();
    let mut other = Writer::new();
    let entries = [0, 1, 2].map(|i| {
        let mut entry = writer.change(b"z");
        (entry.index, entry.lamport) = (i, i + 1);
        entry
    });
    other.commit(&entries, FrameOptions::default());
    let mut file = other.file.clone();
    file.resize(at(starts[2]), 0);
    file.extend(&writer.file[at(starts[2])..at(starts[3])]);
    let segment = decode(&file).unwrap();
    assert_eq!((segment.verdict, segment.end_index), (Verdict::TornTail, 3));
}

#[test]
fn an_embedded_segment_is_not_found() {
    let (inner, _) = steady();
    let mut writer = Writer::new();
    writer.commit_change(b"a", FrameOptions::default());
    writer.commit_change(&inner.file[16_384..], FrameOptions::default());
    let broken_at = writer.file.len() - 8;
    writer.file[broken_at] ^= 1;
    assert_eq!(decode(&writer.file).unwrap().verdict, Verdict::TornTail);
}

#[test]
fn a_group_without_its_end_is_cut_whole() {
    let (mut writer, starts) = steady();
    let continues =
        FrameOptions { flags: 7, synced_upto: *starts.last().unwrap(), ..FrameOptions::default() };
    writer.commit_change(b"f", continues);
    writer.commit_change(b"g", continues);
    let before_last = writer.len();
    writer.commit_change(b"h", FrameOptions { flags: 3, ..continues });
    assert_eq!(decode(&writer.file).unwrap().verdict, Verdict::Clean);
    for len in [before_last, before_last + 1, before_last + 100] {
        let segment = decode(&writer.file[..at(len)]).unwrap();
        assert_eq!((segment.verdict, segment.x), (Verdict::TornTail, starts[5]));
        assert_eq!(segment.end_index, 5);
    }
}

#[test]
fn a_group_before_a_hole_is_cut_whole() {
    let mut writer = Writer::new();
    writer.commit_change(b"a", FrameOptions::default());
    let group_at = writer.len();
    writer.commit_change(b"b", FrameOptions { flags: 7, ..FrameOptions::default() });
    let broken_at = writer.file.len();
    writer.commit_change(b"c", FrameOptions::default());
    writer.commit_change(b"d", FrameOptions::default());
    writer.file[broken_at] ^= 1;
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.verdict, segment.x), (Verdict::Hole, group_at));
    assert_eq!(indices(&segment), [0]);
}

#[test]
fn what_is_left_of_a_damaged_group_is_served() {
    let mut writer = Writer::new();
    writer.commit_change(b"a", FrameOptions { flags: 7, ..FrameOptions::default() });
    let broken_at = writer.len();
    writer.commit_change(b"b", FrameOptions { flags: 7, ..FrameOptions::default() });
    writer.commit_change(b"c", FrameOptions::default());
    writer.checkpoint(1, 1);
    writer.file[at(broken_at)] ^= 1;
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.verdict, segment.x), (Verdict::Damaged, broken_at));
    assert_eq!(indices(&segment), [0, 2]);
}

#[test]
fn zeros_are_unused_space_only_where_the_header_says_so() {
    let (mut writer, starts) = steady();
    let grown = [writer.file.clone(), vec![0; 5000]].concat();
    let segment = decode(&grown).unwrap();
    assert_eq!((segment.verdict, segment.x), (Verdict::TornTail, starts[5]));

    writer.put_header(15, &[1]);
    let mut grown = [writer.file, vec![0; 5000]].concat();
    let segment = decode(&grown).unwrap();
    assert_eq!((segment.verdict, segment.x), (Verdict::Clean, starts[5]));
    *grown.last_mut().unwrap() = 1;
    assert_eq!(decode(&grown).unwrap().verdict, Verdict::TornTail);
}

/// Every byte is covered by a checksum or required to be zero.
#[test]
fn no_flip_goes_unseen() {
    let (mut writer, _) = steady();
    writer.checkpoint(1, 1);
    writer.checkpoint(2, 1);
    assert_eq!(decode(&writer.file).unwrap().verdict, Verdict::Clean);
    for offset in 0..writer.file.len() {
        let mut file = writer.file.clone();
        file[offset] ^= 1 << (offset % 8);
        let seen = match decode(&file) {
            Err(_) => true,
            Ok(segment) => {
                segment.verdict != Verdict::Clean
                    || segment.units.iter().any(Result::is_err)
                    || segment.checkpoints.iter().any(Result::is_err)
            }
        };
        assert!(seen, "the flip at {offset} goes unseen");
    }
}

/// A prefix of the file never yields anything but a prefix of the entries, and nothing below the
/// checkpoint is given up silently.
#[test]
fn every_prefix_is_judged() {
    let (mut writer, starts) = unsynced();
    let mut early = Writer { file: writer.file[..at(starts[2])].to_vec(), ..writer.clone() };
    early.entries.truncate(2);
    early.leaves.truncate(2);
    early.frame_count = 2;
    let trailer: [u8; 4] = early.file[at(starts[2]) - 4..].try_into().unwrap();
    early.link = u32::from_le_bytes(trailer);
    early.checkpoint(1, 1);
    encoder::put(&mut writer.file, 12_288, &early.file[12_288..16_384]);
    for len in 0..writer.file.len() {
        match decode(&writer.file[..len]) {
            Err(message) => assert!(len < 16_384 && message.starts_with("S-1"), "{message}"),
            Ok(segment) => {
                let is_below = segment.e < starts[2];
                assert_eq!(segment.verdict == Verdict::Damaged, is_below, "at {len}");
                assert_eq!(segment.at_opening.0, segment.verdict, "at {len}");
                assert!(segment.entries().eq(&writer.entries[..segment.entries().count()]));
            }
        }
    }
}

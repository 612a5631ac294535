//! Each frame of a log damaged in turn, and pairs of them.

use std::path::PathBuf;

use annals::{Change, LogId, Timestamp, Workspace, salvage::SalvageReport};

use super::{MIB, Seen, options, rescue, seen_in};
use crate::{
    reference::segment::Segment,
    support::{Random, decode_file, segment_path},
};

/// One log of about twenty frames: streams, times, an atomic group over several frames, a change in parts.
pub(super) struct Sample {
    pub(super) folder: tempfile::TempDir,
    pub(super) path: PathBuf,
    pub(super) log: LogId,
    segment: Segment,
    pub(super) bytes: Vec<u8>,
    /// For each change the frames that it needs, and what it is.
    changes: Vec<(std::ops::Range<u64>, Seen)>,
}

impl Sample {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        let workspace = Workspace::create(&path, options().batch_len(1 << 10)).unwrap();
        let log = workspace.own_log().id();
        let mut random = Random::new(31);
        let notes = workspace.stream("notes").unwrap();
        for number in 0..8_u8 {
            workspace.append(&[b'a', number]).unwrap();
            notes.append(&[b'n', number]).unwrap();
            workspace.commit().unwrap();
        }
        let late = workspace.stream("late").unwrap();
        let time = |at| Some(Timestamp::from_micros(at));
        // An atomic group that fills several frames.
        let group: Vec<Vec<u8>> = (0..5).map(|_| random.bytes(900)).collect();
        let group: Vec<Change<'_>> = (0..)
            .zip(&group)
            .map(|(at, payload)| Change::new(payload).in_stream(late.id()).at(time(at)))
            .collect();
        workspace.append_all(&group).unwrap();
        workspace.commit().unwrap();
        // A change of three parts, and more behind it.
        let long = random.bytes(2 * MIB + 5);
        let long = Change::new(&long).in_stream(notes.id()).at(time(77));
        workspace.append_change(long).unwrap();
        workspace.commit().unwrap();
        for number in 0..4_u8 {
            let payload = [b'z', number];
            let stream = [late.id(), notes.id()][usize::from(number % 2)];
            let change = Change::new(&payload).in_stream(stream).at(time(i64::from(number)));
            workspace.append_change(change).unwrap();
            workspace.commit().unwrap();
        }
        let view = workspace.own_log();
        let names = [None, Some("notes".to_owned()), Some("late".to_owned())];
        let mut changes = Vec::new();
        for entry in view.scan(..).unwrap().map(Result::unwrap) {
            if !entry.kind().is_control() {
                let stream = names[usize::try_from(entry.stream().0).unwrap()].clone();
                let time = entry.timestamp().map(Timestamp::as_micros);
                let seen = (stream, time, entry.payload().unwrap().to_vec());
                changes.push((entry.index()..entry.end_index(), seen));
            }
        }
        drop(view);
        drop((notes, late));
        workspace.close().unwrap();
        std::fs::remove_dir_all(path.join("cache")).ok();
        let file = segment_path(&path, log);
        let segment = decode_file(&file);
        let bytes = std::fs::read(&file).unwrap();
        assert!(segment.frames.len() >= 18, "{}", segment.frames.len());
        Self { folder, path, log, segment, bytes, changes }
    }

    /// The frames that hold entries: offset, first entry, entry behind the last.
    pub(super) fn frames(&self) -> Vec<(usize, std::ops::Range<u64>)> {
        let frames = self.segment.frames.iter();
        frames
            .map(|frame| {
                let first = frame.first_index;
                let end = first + u64::from(frame.entry_count);
                (usize::try_from(frame.frame_offset).unwrap(), first..end)
            })
            .collect()
    }

    /// Damages frames, each at the byte `at` behind its start; salvages; compares.
    fn damage(&self, damaged: &[usize], at: usize) -> SalvageReport {
        let frames = self.frames();
        let mut bytes = self.bytes.clone();
        for &number in damaged {
            bytes[frames[number].0 + at] ^= 0x40;
        }
        std::fs::write(segment_path(&self.path, self.log), bytes).unwrap();
        let into = tempfile::tempdir_in(self.folder.path()).unwrap();
        let report = rescue(&self.path, into.path());
        let lost = |index: u64| damaged.iter().any(|&number| frames[number].1.contains(&index));
        let sound = self.changes.iter().filter(|(indices, _)| !indices.clone().any(lost));
        let names_lost = |indices: &std::ops::Range<u64>, seen: &Seen| {
            // Entry 0 declares "notes"; what declares "late" is found in the frames.
            seen.0.is_some() && self.declaration(seen).is_some_and(lost) && indices.start > 0
        };
        let mut expected: Vec<Seen> = sound
            .map(|(indices, seen)| {
                let mut seen = seen.clone();
                if names_lost(indices, &seen) {
                    let number = if seen.0.as_deref() == Some("notes") { 1 } else { 2 };
                    seen.0 = Some(format!("{}/{number}", self.log));
                }
                seen
            })
            .collect();
        expected.sort();
        let found = seen_in(into.path());
        assert_eq!(found.len(), expected.len(), "{damaged:?} at {at}: {report:?}");
        assert!(found == expected, "{damaged:?} at {at}");
        let known: Vec<u64> =
            report.logs[0].gaps.iter().flat_map(|gap| gap.first..gap.end.unwrap()).collect();
        let expected: Vec<u64> = (0..self.segment.end_index).filter(|&index| lost(index)).collect();
        assert_eq!(known, expected, "{damaged:?} at {at}");
        report
    }

    fn declaration(&self, seen: &Seen) -> Option<u64> {
        let name = seen.0.clone()?;
        let mut declared = self.segment.entries().filter(|entry| entry.kind == 1);
        declared.find(|entry| entry.payload[1..] == *name.as_bytes()).map(|entry| entry.index)
    }
}

#[test]
fn what_is_outside_of_one_damaged_frame_comes_back() {
    let sample = Sample::new();
    for number in 0..sample.frames().len() {
        // In the header, in the payload, and in what names the entries.
        for at in [1, 48, 90] {
            let report = sample.damage(&[number], at);
            assert!(!report.is_complete());
            assert_eq!(report.logs[0].gaps.len(), 1);
            let first = sample.frames()[number].1.start;
            assert!(report.logs[0].carried <= first);
        }
    }
}

#[test]
fn what_is_outside_of_two_damaged_frames_comes_back() {
    let sample = Sample::new();
    for first in 0..sample.frames().len() {
        for second in first + 1..sample.frames().len() {
            sample.damage(&[first, second], 100);
        }
    }
}

#[test]
fn a_change_with_a_lost_part_is_named_and_left_out() {
    let sample = Sample::new();
    let long =
        &sample.changes.iter().find(|(indices, _)| indices.end - indices.start == 3).unwrap().0;
    let frames = sample.frames();
    let middle =
        frames.iter().position(|(_, entries)| entries.contains(&(long.start + 1))).unwrap();
    let report = sample.damage(&[middle], 100);
    let parts: Vec<_> =
        report.logs[0].incomplete.iter().map(|parts| (parts.first, parts.end)).collect();
    let lost = frames[middle].1.clone();
    let expected: Vec<_> =
        [(long.start, lost.start.max(long.start)), (lost.end.min(long.end), long.end)]
            .into_iter()
            .filter(|(first, end)| first < end)
            .collect();
    assert_eq!(parts, expected);
}

#[test]
fn two_copies_give_what_each_other_lacks() {
    let sample = Sample::new();
    let frames = sample.frames();
    let half = frames.len() / 2;
    let with_damage = |numbers: &[usize]| {
        let mut bytes = sample.bytes.clone();
        for &number in numbers {
            bytes[frames[number].0 + 100] ^= 1;
        }
        bytes
    };
    let path = segment_path(&sample.path, sample.log);
    let copy = sample.path.join("logs").join(format!("{} (copy).seg", sample.log));
    let whole: Vec<Seen> = {
        let mut all: Vec<Seen> = sample.changes.iter().map(|(_, seen)| seen.clone()).collect();
        all.sort();
        all
    };
    std::fs::write(&path, with_damage(&[2, half])).unwrap();
    std::fs::write(&copy, with_damage(&[1, 4])).unwrap();
    let into = sample.folder.path().join("joined");
    let report = rescue(&sample.path, &into);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.totals().appended, 0);
    assert_eq!(seen_in(&into), whole);
    // One frame is lost in both: what is behind it comes back once.
    std::fs::write(&path, with_damage(&[2, 3, half])).unwrap();
    std::fs::write(&copy, with_damage(&[1, 3])).unwrap();
    let into = sample.folder.path().join("gap");
    let report = rescue(&sample.path, &into);
    let lost = frames[3].1.clone();
    let gaps: Vec<_> = report.logs[0].gaps.iter().map(|gap| (gap.first, gap.end)).collect();
    assert_eq!(gaps, [(lost.start, Some(lost.end))]);
    assert_eq!(report.logs[0].carried, lost.start);
    let mut expected: Vec<Seen> = sample
        .changes
        .iter()
        .filter(|(indices, _)| !lost.contains(&indices.start))
        .map(|(_, seen)| seen.clone())
        .collect();
    expected.sort();
    assert_eq!(seen_in(&into), expected);
    // A copy that was cut adds nothing and takes nothing.
    std::fs::write(&path, &sample.bytes).unwrap();
    std::fs::write(&copy, &sample.bytes[..20_000]).unwrap();
    let report = rescue(&sample.path, &sample.folder.path().join("cut"));
    assert!(report.is_complete(), "{report:?}");
}

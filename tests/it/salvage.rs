//! Salvaging: exactly what is sound comes back, once each, and nothing else does.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use annals::{
    Change, Clock, LogId, Options, StreamId, Timestamp, Workspace,
    check::{Depth, check},
    io::{
        Access, DirEntry, Disk, DiskFile, LockKind, OsDisk,
        sim::{Loss, SimDisk},
    },
    salvage::{SalvageError, SalvageReport, salvage, salvage_on},
};

use crate::{
    reference::segment::Segment,
    support::{Random, copy_folder, decode_file, files_of, segment_path},
};

/// A change as an application sees it: stream, time, payload.
type Seen = (Option<String>, Option<i64>, Vec<u8>);

const MIB: usize = 1 << 20;

fn options() -> Options {
    Options::default().clock(Clock::None)
}

/// All changes of a workspace, of all logs.
fn seen(workspace: &Workspace) -> Vec<Seen> {
    let mut changes = Vec::new();
    for log in workspace.logs() {
        let names: BTreeMap<StreamId, String> = log.streams().unwrap().into_iter().collect();
        for entry in log.scan(..).unwrap().map(Result::unwrap) {
            if !entry.kind().is_control() {
                let time = entry.timestamp().map(Timestamp::as_micros);
                let stream = names.get(&entry.stream()).cloned();
                changes.push((stream, time, entry.payload().to_vec()));
            }
        }
    }
    changes.sort();
    changes
}

fn seen_in(folder: &Path) -> Vec<Seen> {
    seen(&Workspace::open_read_only(folder, options()).unwrap())
}

/// Salvages, and shows what holds each time: nothing changes in the old folder, and the new one is sound.
fn rescue(from: &Path, into: &Path) -> SalvageReport {
    let before = files_of(from);
    let report = salvage(from, into, |_, _| ()).unwrap();
    assert!(files_of(from) == before, "something was changed");
    let clean = check(into, Depth::Payloads, |_, _| ()).unwrap();
    assert!(clean.is_clean(), "{clean:?}");
    assert!(clean.findings.is_empty(), "{clean:?}");
    assert_eq!(report.check, clean);
    report
}

/// One log of about twenty frames: streams, times, an atomic group over several frames, a change in parts.
struct Sample {
    folder: tempfile::TempDir,
    path: PathBuf,
    log: LogId,
    segment: Segment,
    bytes: Vec<u8>,
    /// For each change the frames that it needs, and what it is.
    changes: Vec<(std::ops::Range<u64>, Seen)>,
}

impl Sample {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        let workspace = Workspace::create(&path, options().batch_len(1 << 10)).unwrap();
        let log = workspace.own_log().id();
        let mut random = Random::new(31);
        let notes = workspace.stream("notes").unwrap();
        for number in 0..6_u8 {
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
                let seen = (stream, time, entry.payload().to_vec());
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
    fn frames(&self) -> Vec<(usize, std::ops::Range<u64>)> {
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

/// Two clients with a few changes each, which know each other.
fn pair(folder: &Path) -> (PathBuf, PathBuf) {
    let (a, b) = (folder.join("a"), folder.join("b"));
    let first = Workspace::create(&a, options()).unwrap();
    let second = Workspace::join(&b, first.id(), options()).unwrap();
    for round in 0..4_u8 {
        for (number, workspace) in (0..).zip([&first, &second]) {
            let stream = workspace.stream(&format!("s{round}")).unwrap();
            for change in 0..5_u8 {
                let time = Timestamp::from_micros(i64::from(round) * 10 + i64::from(change));
                let payload = [number, round, change, 0xEE];
                let change = Change::new(&payload).in_stream(stream.id()).at(Some(time));
                workspace.append_change(change).unwrap();
                workspace.commit().unwrap();
            }
        }
        exchange(&first, &second);
        exchange(&second, &first);
    }
    first.close().unwrap();
    second.close().unwrap();
    (a, b)
}

fn exchange(from: &Workspace, to: &Workspace) {
    let mut bundle = Vec::new();
    from.export(&to.frontier().unwrap(), &mut bundle).unwrap();
    to.import(&bundle[..]).unwrap();
}

fn roots(folder: &Path) -> Vec<(LogId, annals::Hash)> {
    let workspace = Workspace::open_read_only(folder, options()).unwrap();
    let frontier = workspace.frontier().unwrap();
    frontier.rows().iter().map(|row| (row.log, row.root)).collect()
}

#[test]
fn a_healthy_workspace_keeps_all_its_roots() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = pair(folder.path());
    let into = folder.path().join("new");
    let report = rescue(&a, &into);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.totals().appended, 0);
    assert_eq!(roots(&into), roots(&a));
    assert_eq!(seen_in(&into), seen_in(&a));
    let workspace = Workspace::open(&into, options()).unwrap();
    assert_eq!((workspace.id(), workspace.client()), (report.workspace, report.client));
    assert_eq!(workspace.own_log().id(), report.log);
    let log = workspace.log(report.logs[0].log).unwrap();
    log.prove_inclusion(3, None).unwrap().verify(&report.logs[0].root.unwrap()).unwrap();
}

#[test]
fn metadata_lock_and_names_are_not_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = pair(folder.path());
    let heap = folder.path().join("heap");
    std::fs::create_dir(&heap).unwrap();
    for (number, entry) in (0..).zip(std::fs::read_dir(a.join("logs")).unwrap()) {
        // One is told by its name, the other by how it begins.
        let name = ["x.seg.old", "recovered-17"][number];
        std::fs::copy(entry.unwrap().path(), heap.join(name)).unwrap();
    }
    std::fs::write(heap.join("holiday.jpg"), vec![7; 50_000]).unwrap();
    let into = folder.path().join("new");
    let report = rescue(&heap, &into);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(roots(&into), roots(&a));
}

#[test]
fn a_log_without_its_head_is_lost_unless_a_copy_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = pair(folder.path());
    let own = Workspace::open_read_only(&a, options()).unwrap().own_log().id();
    let path = segment_path(&a, own);
    let whole = std::fs::read(&path).unwrap();
    let mut headless = whole.clone();
    headless[50] ^= 1;
    std::fs::write(&path, &headless).unwrap();
    let report = rescue(&a, &folder.path().join("one-copy"));
    assert!(report.is_complete(), "{report:?}");
    headless[4096 + 50] ^= 1;
    std::fs::write(&path, &headless).unwrap();
    let report = rescue(&a, &folder.path().join("lost"));
    assert_eq!(report.left_out.len(), 1);
    assert_eq!(report.left_out[0].log, Some(own));
    assert!(!report.is_complete());
    assert_eq!(report.logs.len(), 1);
    // An old copy of the file has the salt.
    std::fs::write(a.join("old.seg"), &whole[..20_000]).unwrap();
    let into = folder.path().join("adopted");
    let report = rescue(&a, &into);
    assert_eq!(report.left_out, []);
    assert_eq!(report.logs.len(), 2);
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(roots(&into), roots(&a));
    assert!(report.is_complete(), "{report:?}");
}

#[test]
fn segments_of_another_workspace_are_named_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = pair(folder.path());
    let other = Workspace::create(folder.path().join("other"), options()).unwrap();
    other.append(b"other").unwrap();
    let log = other.own_log().id();
    other.close().unwrap();
    std::fs::copy(
        segment_path(&folder.path().join("other"), log),
        a.join("logs").join(format!("{log}.seg")),
    )
    .unwrap();
    for metadata in [true, false] {
        if !metadata {
            std::fs::remove_file(a.join("index.json")).unwrap();
        }
        let into = folder.path().join(format!("new-{metadata}"));
        let report = rescue(&a, &into);
        assert_eq!(report.left_out.len(), 1);
        assert_eq!(report.left_out[0].log, Some(log));
        assert!(!report.is_complete());
        assert_eq!(report.totals().gaps, 0);
        assert_eq!(report.logs.len(), 2);
    }
}

#[test]
fn nothing_to_salvage_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (from, into) = (folder.path().join("from"), folder.path().join("new"));
    assert!(matches!(salvage(&from, &into, |_, _| ()), Err(SalvageError::Io(_))));
    std::fs::create_dir(&from).unwrap();
    std::fs::write(from.join("x.seg"), b"not one").unwrap();
    std::fs::write(from.join("y.seg"), b"").unwrap();
    let error = salvage(&from, &into, |_, _| ()).unwrap_err();
    assert!(matches!(&error, SalvageError::Nothing { left_out, .. } if left_out.len() == 2));
    assert!(!into.exists());
}

#[test]
fn the_new_folder_must_be_empty_and_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = pair(folder.path());
    let refused = |into: &Path| salvage(&a, into, |_, _| ()).unwrap_err();
    assert!(matches!(refused(&b), SalvageError::NotEmpty { .. }));
    assert!(matches!(refused(&a), SalvageError::Inside(_)));
    assert!(matches!(refused(&a.join("new")), SalvageError::Inside(_)));
    let writer = Workspace::open(&a, options()).unwrap();
    assert!(matches!(refused(&folder.path().join("new")), SalvageError::Locked(_)));
    drop(writer);
    let report = rescue(&a, &folder.path().join("new"));
    assert!(report.is_complete());
}

#[test]
fn two_copies_give_what_each_other_lacks() {
    let sample = Sample::new();
    let frames = sample.frames();
    let half = frames.len() / 2;
    let with_damage = |numbers: &[usize]| {
        let mut bytes = sample.bytes.clone();
        numbers.iter().for_each(|&number| bytes[frames[number].0 + 100] ^= 1);
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

#[test]
fn of_two_histories_one_is_carried_and_the_other_appended() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = pair(folder.path());
    let fork = folder.path().join("fork");
    copy_folder(&a, &fork);
    let log = {
        let ours = Workspace::open(&a, options()).unwrap();
        let theirs = Workspace::open(&fork, options()).unwrap();
        ours.stream("mine").unwrap().append(b"ours 1").unwrap();
        ours.append(b"ours 2").unwrap();
        ours.append(b"ours 3").unwrap();
        theirs.append(b"theirs 1").unwrap();
        theirs.stream("theirs").unwrap().append(b"theirs 2").unwrap();
        ours.own_log().id()
    };
    std::fs::copy(segment_path(&fork, log), a.join("logs/conflicted copy.seg")).unwrap();
    let into = folder.path().join("new");
    let report = rescue(&a, &into);
    let found = report.logs.iter().find(|found| found.log == log).unwrap();
    assert_eq!(found.appended.changes, 2);
    assert_eq!(found.files[0].contradicts_at, None);
    assert!(found.files[1].contradicts_at.is_some());
    let mut expected = seen_in(&a);
    expected.push((None, None, b"theirs 1".to_vec()));
    expected.push((Some("theirs".to_owned()), None, b"theirs 2".to_vec()));
    expected.sort();
    assert_eq!(seen_in(&into), expected);
}

#[test]
fn what_was_salvaged_goes_on_exchanging_bundles() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = pair(folder.path());
    let all = seen_in(&b);
    let log = Workspace::open_read_only(&a, options()).unwrap().own_log().id();
    let path = segment_path(&a, log);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = usize::try_from(decode_file(&path).frames[6].frame_offset).unwrap();
    bytes[at + 90] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let into = folder.path().join("new");
    let report = rescue(&a, &into);
    assert_eq!(report.totals().gaps, 1);
    let salvaged = Workspace::open(&into, options()).unwrap();
    let other = Workspace::open(&b, options()).unwrap();
    exchange(&other, &salvaged);
    exchange(&salvaged, &other);
    assert_eq!(salvaged.frontier().unwrap(), other.frontier().unwrap());
    assert_eq!(seen(&salvaged), seen(&other));
    // The replica had it all: now what was behind the gap is there twice, and nothing is missing.
    for change in &all {
        assert!(seen(&salvaged).contains(change));
    }
    salvaged.append(b"on it goes").unwrap();
    exchange(&salvaged, &other);
    assert_eq!(salvaged.frontier().unwrap(), other.frontier().unwrap());
}

#[test]
fn the_order_of_what_is_appended_is_the_canonical_one() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = pair(folder.path());
    let order = |folder: &Path| -> Vec<Vec<u8>> {
        let workspace = Workspace::open_read_only(folder, options()).unwrap();
        let merged = workspace.merged().unwrap().changes();
        merged.map(|entry| entry.unwrap().payload().to_vec()).collect()
    };
    let before = order(&a);
    // The first frame of each log is lost: all else is appended anew.
    for entry in std::fs::read_dir(a.join("logs")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[16_384 + 90] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let into = folder.path().join("new");
    let report = rescue(&a, &into);
    assert_eq!(report.totals().carried, 0);
    let after = order(&into);
    let kept: Vec<_> = before.into_iter().filter(|change| after.contains(change)).collect();
    assert_eq!(after, kept);
    assert!(!after.is_empty());
}

#[test]
fn a_torn_tail_is_no_loss_and_a_missing_end_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = pair(folder.path());
    let log = Workspace::open_read_only(&a, options()).unwrap().own_log().id();
    let path = segment_path(&a, log);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], b"ANF1 torn"].concat()).unwrap();
    let report = rescue(&a, &folder.path().join("torn"));
    assert!(report.is_complete(), "{report:?}");
    assert!(report.notes.iter().any(|note| note.what.contains("torn tail")));
    std::fs::write(&path, &whole[..whole.len() - 8]).unwrap();
    let report = rescue(&a, &folder.path().join("cut"));
    let found = report.logs.iter().find(|found| found.log == log).unwrap();
    assert_eq!(found.gaps.len(), 1);
    assert_eq!(found.gaps[0].first, found.carried);
    assert!(found.gaps[0].end.is_some(), "the checkpoint tells");
}

/// The operating system, on a disk with blocks that cannot be read.
#[derive(Debug)]
struct BadBlocks {
    path: PathBuf,
    offset: u64,
}

#[derive(Debug)]
struct BadFile(Arc<dyn DiskFile>, u64);

impl Disk for BadBlocks {
    fn open(&self, path: &Path, access: Access) -> std::io::Result<Arc<dyn DiskFile>> {
        let file = OsDisk.open(path, access)?;
        Ok(if path == self.path { Arc::new(BadFile(file, self.offset)) } else { file })
    }
    fn lock(&self, path: &Path, kind: LockKind) -> std::io::Result<Option<Arc<dyn DiskFile>>> {
        OsDisk.lock(path, kind)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        OsDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        OsDisk.remove(path)
    }
    fn create_dir(&self, path: &Path) -> std::io::Result<()> {
        OsDisk.create_dir(path)
    }
    fn list(&self, path: &Path) -> std::io::Result<Vec<DirEntry>> {
        OsDisk.list(path)
    }
    fn sync_dir(&self, path: &Path) -> std::io::Result<()> {
        OsDisk.sync_dir(path)
    }
    fn now(&self) -> Timestamp {
        OsDisk.now()
    }
    fn fill_random(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        OsDisk.fill_random(bytes)
    }
    fn sleep(&self, duration: std::time::Duration) {
        OsDisk.sleep(duration);
    }
}

impl DiskFile for BadFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let end = offset + bytes.len() as u64;
        if offset < self.1 + 4096 && end > self.1 {
            return Err(std::io::Error::other("a bad block"));
        }
        self.0.read_at(bytes, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<usize> {
        self.0.write_at(bytes, offset)
    }
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn blocks_that_cannot_be_read_are_lost_and_nothing_else_is() {
    let sample = Sample::new();
    let bad = 16_384 + 4096;
    let path = segment_path(&sample.path, sample.log);
    let disk: Arc<dyn Disk> = Arc::new(BadBlocks { path, offset: bad });
    let into = sample.folder.path().join("new");
    let report = salvage_on(&disk, &sample.path, &into, |_, _| ()).unwrap();
    assert_eq!(report.logs[0].files[0].unreadable_bytes, 4096);
    let bad = usize::try_from(bad).unwrap();
    let mut ends: Vec<usize> = sample.frames().iter().skip(1).map(|frame| frame.0).collect();
    ends.push(sample.bytes.len());
    let lost: Vec<u64> = sample
        .frames()
        .into_iter()
        .zip(ends)
        .filter(|((offset, _), end)| *offset < bad + 4096 && *end > bad)
        .flat_map(|((_, entries), _)| entries)
        .collect();
    let gaps = &report.logs[0].gaps;
    let found: Vec<u64> = gaps.iter().flat_map(|gap| gap.first..gap.end.unwrap()).collect();
    assert_eq!(found, lost);
}

#[test]
fn a_killed_salvage_says_that_it_is_not_finished() {
    let folder = Path::new("old");
    let disk = SimDisk::recording(5);
    let as_disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let workspace = Workspace::create_on(Arc::clone(&as_disk), folder, options(), None).unwrap();
    for number in 0..10_u8 {
        workspace.append(&[number]).unwrap();
        workspace.commit().unwrap();
    }
    let root = workspace.own_log().root().unwrap();
    let log = workspace.own_log().id();
    workspace.close().unwrap();
    let begin = disk.mutation_count();
    let report = salvage_on(&as_disk, folder, Path::new("new"), |_, _| ()).unwrap();
    assert!(report.is_complete());
    let mut history = disk.history();
    let (mut unfinished, mut whole) = (0, 0);
    while history.step() {
        if history.position() < begin {
            continue;
        }
        let loss = Loss::Random { seed: history.position(), garbage: true };
        let found: Arc<dyn Disk> = Arc::new(history.machine().after_power_loss(&loss));
        match Workspace::open_on(Arc::clone(&found), Path::new("new"), options()) {
            Ok(salvaged) => {
                whole += 1;
                assert_eq!(salvaged.log(log).unwrap().root().unwrap(), root);
            }
            Err(_) => {
                let again = salvage_on(&found, folder, Path::new("new"), |_, _| ());
                match again {
                    Ok(report) => assert!(report.is_complete()),
                    Err(SalvageError::Unfinished(_)) => unfinished += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    assert!(unfinished > 0 && whole > 0, "{unfinished} {whole}");
}

/// A small workspace is damaged in all kinds of ways: what comes out is sound, and was there before.
#[test]
fn whatever_happens_to_the_files_nothing_is_made_up() {
    let disk = SimDisk::new(9);
    let as_disk: Arc<dyn Disk> = Arc::new(disk);
    let workspace =
        Workspace::create_on(Arc::clone(&as_disk), Path::new("w"), options(), None).unwrap();
    let other =
        Workspace::create_on(Arc::clone(&as_disk), Path::new("o"), options(), Some(workspace.id()))
            .unwrap();
    for number in 0..8_u8 {
        for of in [&workspace, &other] {
            let stream = of.stream(&format!("s{}", number / 3)).unwrap();
            stream.append(&[number, of.own_log().id().as_bytes()[0]]).unwrap();
            of.append(&vec![number; usize::from(number) * 50]).unwrap();
            of.commit().unwrap();
        }
    }
    exchange(&other, &workspace);
    let originals: Vec<Vec<u8>> = seen(&workspace).into_iter().map(|seen| seen.2).collect();
    other.close().unwrap();
    workspace.close().unwrap();
    let files: Vec<(PathBuf, Vec<u8>)> = ["w/index.json".into()]
        .into_iter()
        .chain(logs_on(&*as_disk))
        .map(|path: PathBuf| {
            let file = as_disk.open(&path, Access::Read).unwrap();
            let len = usize::try_from(file.len().unwrap()).unwrap();
            (path, file.read_vec_at(0, len).unwrap())
        })
        .collect();
    let rounds = std::env::var("ANNALS_ROUNDS").map_or(2000, |rounds| rounds.parse().unwrap());
    let mut random = Random::new(10);
    let mut salvaged_count = 0;
    for round in 0..rounds {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(round));
        let mut head_is_sound = true;
        disk.create_dir(Path::new("w")).unwrap();
        disk.create_dir(Path::new("w/logs")).unwrap();
        for (path, bytes) in &files {
            let mut bytes = bytes.clone();
            head_is_sound &= corrupt(&mut bytes, &mut random);
            let path =
                if random.below(20) == 0 { path.with_extension("seg.old") } else { path.clone() };
            let file = disk.open(&path, Access::CreateNew).unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            if random.below(10) == 0 {
                corrupt(&mut bytes, &mut random);
                let copy = Path::new("w").join(format!("copy-{round}.seg"));
                if let Ok(file) = disk.open(&copy, Access::CreateNew) {
                    file.write_all_at(&bytes, 0).unwrap();
                }
            }
        }
        let report = match salvage_on(&disk, Path::new("w"), Path::new("n"), |_, _| ()) {
            Ok(report) => report,
            Err(SalvageError::Nothing { .. }) => continue,
            Err(error) => panic!("round {round}: {error}"),
        };
        salvaged_count += 1;
        assert!(report.check.is_clean(), "round {round}: {report:?}");
        let workspace = Workspace::open_on(disk, Path::new("n"), options()).unwrap();
        let mut left = originals.clone();
        for (_, _, payload) in seen(&workspace) {
            let at = left.iter().position(|original| *original == payload);
            let at = at.unwrap_or_else(|| panic!("round {round}: made up or twice: {payload:?}"));
            left.swap_remove(at);
        }
        // Without its checkpoints the last frame of a log that is gone looks like a torn tail.
        if report.is_complete() && head_is_sound {
            assert!(left.is_empty(), "round {round}: {} are missing: {report:?}", left.len());
        }
    }
    assert!(salvaged_count > rounds / 2);
}

fn logs_on(disk: &dyn Disk) -> Vec<PathBuf> {
    let logs = Path::new("w/logs");
    disk.list(logs).unwrap().into_iter().map(|entry| logs.join(entry.name)).collect()
}

/// Damages a file in up to three places; whether all of them are behind the head of a segment.
fn corrupt(bytes: &mut Vec<u8>, random: &mut Random) -> bool {
    let mut head_is_sound = true;
    for _ in 0..random.below(4) {
        let len = bytes.len();
        if len == 0 {
            return false;
        }
        // Mostly behind the head, where there is something to save.
        let low = if random.below(8) == 0 { 0 } else { len.min(16_384) };
        let at = (low + random.place(len - low)).min(len - 1);
        head_is_sound &= at >= 16_384;
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let count = random.place(300).min(len - at);
                let noise = random.bytes(count);
                bytes[at..at + count].copy_from_slice(&noise);
            }
            2 => {
                let count = random.place(600).min(len - at);
                bytes[at..at + count].fill(0);
            }
            3 => {
                // Two blocks change places.
                let other = low + random.place(len - low);
                for offset in 0..512 {
                    if at + offset < len && other + offset < len {
                        bytes.swap(at + offset, other + offset);
                    }
                }
            }
            4 => {
                // A stretch is left out, or there twice.
                let count = (8 * random.place(64)).min(len - at);
                if random.below(2) == 0 {
                    bytes.drain(at..at + count);
                } else {
                    let twice = bytes[at..at + count].to_vec();
                    bytes.splice(at..at, twice);
                }
            }
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }
    head_is_sound
}

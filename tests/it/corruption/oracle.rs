//! What must hold of a damaged segment, whatever the damage is.

use std::{
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use annals::{
    Change, Clock, OpenError, Options, ReadError, Verdict, Workspace, WorkspaceId,
    check::{self, Depth},
};

use super::memory::{Files, MemoryDisk};
use crate::{
    reference::segment::decode,
    support::{Random, put},
};

pub(super) const HEAD_LEN: usize = 16_384;
pub(super) const FOLDER: &str = "w";
const DEPTHS: [Depth; 2] = [Depth::Structure, Depth::Payloads];

pub(super) fn options() -> Options {
    Options::default().clock(Clock::None)
}

/// How a sample ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// A checkpoint covers everything, and the lock record says the same.
    Closed,
    /// Only the lock record tells of the last frame.
    Killed,
    /// Nothing but the frames tells of any.
    PowerLoss,
}

#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) bytes: Range<usize>,
    pub(super) entries: Range<u64>,
    synced_upto: usize,
}

/// A small workspace, as its files.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) end: End,
    pub(super) files: Files,
    pub(super) segment: PathBuf,
    pub(super) frames: Vec<Frame>,
    /// By index, control entries too.
    pub(super) payloads: Vec<Vec<u8>>,
}

/// Commits of one frame each, of several lengths, some with several entries; one declares a stream.
pub(super) fn sample(end: End, commits: usize) -> Sample {
    let disk = MemoryDisk::new(1);
    let workspace = Workspace::create_on(disk.arc(), Path::new(FOLDER), options(), None).unwrap();
    fill(&workspace, commits);
    finish(end, &disk, workspace)
}

pub(super) fn fill(workspace: &Workspace, commits: usize) {
    let mut random = Random::new(commits as u64);
    for commit in 0..commits {
        put(workspace, &random.bytes(commit * 37 % 150));
        if commit % 4 == 1 {
            let notes = workspace.stream("notes").unwrap();
            assert!(notes.append(b"a note").unwrap().index() > 0);
        }
        if commit % 5 == 2 {
            let payloads: Vec<Vec<u8>> = (0..3).map(|part| random.bytes(10 * part)).collect();
            let changes: Vec<Change<'_>> = payloads.iter().map(|p| Change::new(p)).collect();
            workspace.append_all(&changes).unwrap().index();
        }
        workspace.commit().unwrap();
    }
}

pub(super) fn finish(end: End, disk: &MemoryDisk, workspace: Workspace) -> Sample {
    let log = workspace.own_log();
    let segment = log.path().to_owned();
    let mut files = disk.files();
    let entries =
        (0..log.entry_count()).map(|index| log.entry(index).unwrap().payload().unwrap().to_vec());
    let payloads = entries.collect();
    drop(log);
    workspace.close().unwrap();
    match end {
        End::Closed => files = disk.files(),
        End::Killed => {}
        End::PowerLoss => drop(files.remove(&Path::new(FOLDER).join("LOCK"))),
    }
    let decoded = decode(&files[&segment]).unwrap();
    let place = |offset: u64| usize::try_from(offset).unwrap();
    let frames = decoded.frames.iter().map(|frame| Frame {
        bytes: place(frame.frame_offset)..place(frame.end()),
        entries: frame.first_index..frame.end_index(),
        synced_upto: place(frame.synced_upto),
    });
    let frames = frames.collect();
    Sample { end, files, segment, frames, payloads }
}

/// What is expected of a damaged segment.
#[derive(Debug)]
struct Expected {
    /// Entries that were durable and are gone.
    lost: BTreeSet<u64>,
    /// Entries that are served.
    served: BTreeSet<u64>,
    /// Nothing below this offset is ever cut.
    watermark: usize,
}

impl Sample {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.files[&self.segment]
    }

    pub(super) fn end_offset(&self) -> usize {
        self.frames.last().unwrap().bytes.end
    }

    /// The frames by, from which bytes of the original are still in their place.
    fn expected(&self, damaged: &[u8]) -> Expected {
        let same = |range: &Range<usize>| {
            damaged.get(range.clone()).is_some_and(|bytes| *bytes == self.bytes()[range.clone()])
        };
        let intact: Vec<bool> = self.frames.iter().map(|frame| same(&frame.bytes)).collect();
        let first_bad = intact.iter().position(|intact| !intact).unwrap_or(self.frames.len());
        let watermark = if self.end == End::PowerLoss {
            let told = self.frames.iter().enumerate().filter(|(at, frame)| {
                let header = frame.bytes.start..frame.bytes.start + 72;
                intact[*at] || (*at == first_bad && same(&header))
            });
            told.map(|(_, frame)| frame.synced_upto).max().unwrap_or(0).max(HEAD_LEN)
        } else {
            self.end_offset()
        };
        let bad_offset =
            self.frames.get(first_bad).map_or(self.end_offset(), |frame| frame.bytes.start);
        let is_damaged = bad_offset < watermark || damaged.len() < watermark;
        let entries_of = |wanted: &dyn Fn(usize) -> bool| {
            let frames = self.frames.iter().enumerate().filter(|(at, _)| wanted(*at));
            frames.flat_map(|(_, frame)| frame.entries.clone()).collect()
        };
        Expected {
            lost: entries_of(&|at| !intact[at] && self.frames[at].bytes.start < watermark),
            served: entries_of(&|at| intact[at] && (is_damaged || at < first_bad)),
            watermark,
        }
    }

    /// Judges the workspace with this segment in every way.
    pub(super) fn assert_judged(&self, damaged: &[u8], what: &str) {
        let expected = self.expected(damaged);
        let disk = MemoryDisk::of(&self.files);
        disk.put(&self.segment, damaged);
        let before = disk.files();
        let readable = self.read(&disk, &expected, what);
        assert!(disk.files() == before, "{what}: a reader has changed something");
        let head_is_sound = check(&disk, damaged, readable, &expected, what);
        assert!(disk.files() == before, "{what}: a check has changed something");
        assert_eq!(readable, head_is_sound, "{what}");
        self.write(&disk, damaged, readable, &expected, what);
    }

    /// Sound frames of another time in the place of ours: what is served is ours, and it is found.
    pub(super) fn assert_nothing_old(&self, damaged: &[u8], what: &str) {
        let disk = MemoryDisk::of(&self.files);
        disk.put(&self.segment, damaged);
        for depth in DEPTHS {
            let report = check::check_on(&disk.arc(), Path::new(FOLDER), depth, |_, _| ()).unwrap();
            assert_eq!(report.exit_code(), 4, "{what}, {depth:?}: {report:#?}");
        }
        let read = Workspace::open_read_only_on(disk.arc(), Path::new(FOLDER), options()).unwrap();
        let log = read.own_log();
        let expected = self.expected(damaged);
        for (index, payload) in (0..).zip(&self.payloads) {
            match log.entry(index) {
                Ok(entry) => assert_eq!(entry.payload().unwrap(), payload, "{what}: entry {index}"),
                Err(ReadError::Corrupt(_)) => {
                    assert!(expected.lost.contains(&index), "{what}: entry {index} is sound");
                }
                Err(error) => panic!("{what}: entry {index}: {error}"),
            }
        }
        for entry in log.scan(..).unwrap().flatten() {
            let index = usize::try_from(entry.index()).unwrap();
            assert_eq!(entry.payload().unwrap(), self.payloads[index], "{what}");
        }
    }

    /// The end of an older copy in the place of ours: opening says so, and so does the check (C-4).
    pub(super) fn assert_old_end_is_told(&self, damaged: &[u8], what: &str) {
        let disk = MemoryDisk::of(&self.files);
        disk.put(&self.segment, damaged);
        for depth in DEPTHS {
            let report = check::check_on(&disk.arc(), Path::new(FOLDER), depth, |_, _| ()).unwrap();
            assert_eq!(report.exit_code(), 4, "{what}, {depth:?}: {report:#?}");
        }
        let read = Workspace::open_read_only_on(disk.arc(), Path::new(FOLDER), options()).unwrap();
        assert_eq!(*read.recovered(), Verdict::Damaged, "{what}");
        let last = self.payloads.len() as u64 - 1;
        assert!(matches!(read.own_log().entry(last), Err(ReadError::Corrupt(_))), "{what}");
    }

    /// Whether the segment can be opened to read at all.
    fn read(&self, disk: &MemoryDisk, expected: &Expected, what: &str) -> bool {
        let read = match Workspace::open_read_only_on(disk.arc(), Path::new(FOLDER), options()) {
            Ok(read) => read,
            Err(OpenError::Segment(_)) => return false,
            Err(error) => panic!("{what}: {error}"),
        };
        let log = read.own_log();
        for (index, payload) in (0..).zip(&self.payloads) {
            match log.entry(index) {
                Ok(entry) => {
                    assert!(expected.served.contains(&index), "{what}: entry {index} came back");
                    assert_eq!(entry.payload().unwrap(), payload, "{what}: entry {index}");
                }
                Err(ReadError::Corrupt(_)) if expected.lost.contains(&index) => {}
                Err(ReadError::OutOfRange { .. }) if !expected.served.contains(&index) => {
                    assert!(!expected.lost.contains(&index), "{what}: {index} is lost silently");
                }
                Err(error) => panic!("{what}: entry {index}: {error}"),
            }
        }
        let mut backward = Vec::new();
        for direction in [false, true] {
            let scan = if direction { log.scan_backward(..) } else { log.scan(..) };
            let (mut served, mut errors) = (Vec::new(), 0);
            for item in scan.unwrap() {
                match item {
                    Ok(entry) => {
                        let index = usize::try_from(entry.index()).unwrap();
                        assert_eq!(entry.payload().unwrap(), self.payloads[index], "{what}");
                        served.push(entry.index());
                    }
                    Err(ReadError::Corrupt(_)) => errors += 1,
                    Err(error) => panic!("{what}: scan: {error}"),
                }
            }
            assert_eq!(
                errors > 0,
                !expected.lost.is_empty(),
                "{what}: {errors} errors, {direction}"
            );
            if direction {
                served.reverse();
            }
            backward.push(served);
        }
        let served: Vec<u64> = expected.served.iter().copied().collect();
        assert_eq!(backward[0], served, "{what}: forward");
        assert_eq!(backward[1], served, "{what}: backward");
        true
    }

    fn write(
        &self,
        disk: &MemoryDisk,
        damaged: &[u8],
        readable: bool,
        expected: &Expected,
        what: &str,
    ) {
        let kept = |disk: &MemoryDisk| disk.files()[&self.segment].clone();
        match Workspace::open_on(disk.arc(), Path::new(FOLDER), options()) {
            Ok(workspace) => {
                assert!(readable, "{what}: written, and cannot be read");
                let now = kept(disk);
                assert!(now.len() >= expected.watermark.min(damaged.len()), "{what}: cut below W");
                let below = HEAD_LEN..now.len().min(damaged.len());
                assert_eq!(now[below.clone()], damaged[below], "{what}: changed");
                let index = put(&workspace, b"goes on");
                workspace.commit().unwrap();
                let log = workspace.own_log();
                assert_eq!(log.entry(index).unwrap().payload().unwrap(), b"goes on", "{what}");
                for &index in &expected.served {
                    let place = usize::try_from(index).unwrap();
                    let entry = log.entry(index).unwrap();
                    assert_eq!(
                        entry.payload().unwrap(),
                        self.payloads[place],
                        "{what}: entry {index}"
                    );
                }
                for &index in &expected.lost {
                    assert!(log.entry(index).is_err(), "{what}: entry {index} came back");
                }
            }
            Err(OpenError::Damaged(_)) => {
                assert!(!expected.lost.is_empty(), "{what}: refused for nothing");
                assert!(kept(disk) == damaged, "{what}: cut though it was refused");
            }
            Err(OpenError::Segment(_)) => {
                assert!(!readable, "{what}");
                assert!(kept(disk) == damaged, "{what}: cut though it was refused");
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

/// Whether the check finds the head usable.
fn check(
    disk: &MemoryDisk,
    damaged: &[u8],
    readable: bool,
    expected: &Expected,
    what: &str,
) -> bool {
    let mut usable = true;
    for depth in DEPTHS {
        let report = check::check_on(&disk.arc(), Path::new(FOLDER), depth, |_, _| ()).unwrap();
        let verdict = report.logs[0].verdict.clone();
        usable = verdict.is_some();
        if !readable {
            assert_eq!(report.exit_code(), 4, "{what}: {report:#?}");
            continue;
        }
        let mut lost = BTreeSet::new();
        let hole = matches!(verdict, Some(Verdict::UnsyncedHole { .. }));
        for found in report.findings.iter().filter_map(|finding| finding.lost).filter(|_| !hole) {
            let end = found.end.unwrap_or_else(|| panic!("{what}: an open end: {report:#?}"));
            lost.extend(found.first..end);
        }
        assert_eq!(lost, expected.lost, "{what}, {depth:?}: {report:#?}");
        let is_damaged = verdict == Some(Verdict::Damaged);
        assert_eq!(is_damaged, !expected.lost.is_empty(), "{what}: {report:#?}");
        assert!(!is_damaged || report.exit_code() == 4, "{what}");
        assert!(damaged.len() >= HEAD_LEN, "{what}: a head that is cut is usable");
    }
    usable
}

/// A client of the workspace of the sample, on a disk of its own.
pub(super) fn join(disk: &MemoryDisk, workspace: WorkspaceId) -> Workspace {
    Workspace::create_on(disk.arc(), Path::new(FOLDER), options(), Some(workspace)).unwrap()
}

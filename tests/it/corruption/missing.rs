//! Whole files that are gone, empty, or of something else: each is noticed, and nothing is changed by looking.

use std::path::{Path, PathBuf};

use annals::{
    Frontier, LogId, OpenError, Options, Workspace,
    check::{self, Code, Depth, Report, Severity},
};

use super::{
    memory::{Files, MemoryDisk},
    oracle::{End, FOLDER, HEAD_LEN, Sample, fill, finish, join, options, sample},
};
use crate::support::put;

fn folder() -> &'static Path {
    Path::new(FOLDER)
}

/// What the check says of these files; it changes none.
fn checked(files: &Files, depth: Depth) -> Report {
    let disk = MemoryDisk::of(files);
    let report = check::check_on(&disk.arc(), folder(), depth, |_, _| ()).unwrap();
    assert!(disk.files() == *files, "the check has changed something");
    report
}

/// Opening says what is wrong and with which file, and so does the check; none changes a thing.
fn assert_noticed(files: &Files, code: Code, what: &str) {
    for depth in [Depth::Structure, Depth::Payloads] {
        let report = checked(files, depth);
        let found = report.findings.iter().find(|finding| finding.code == code);
        let found = found.unwrap_or_else(|| panic!("{what}: {report:#?}"));
        assert!(!found.remedy.is_empty() && found.path.starts_with(FOLDER), "{what}: {found}");
        assert!(found.severity == Severity::Note || report.exit_code() == 4, "{what}");
    }
    if code.severity() == Severity::Note {
        return;
    }
    for write in [false, true] {
        let disk = MemoryDisk::of(files);
        let opened = if write {
            Workspace::open_on(disk.arc(), folder(), options())
        } else {
            Workspace::open_read_only_on(disk.arc(), folder(), options())
        };
        match opened {
            Ok(read) => {
                assert!(!write, "{what}: opened to write");
                assert!(read.own_log().damage().is_some(), "{what}: not a word");
            }
            Err(error) => assert!(error.to_string().contains(FOLDER), "{what}: {error}"),
        }
        let mut after = disk.files();
        if !files.contains_key(&folder().join("LOCK")) {
            after.remove(&folder().join("LOCK"));
        }
        assert!(after == *files, "{what}: opening has changed something");
    }
}

fn with(files: &Files, path: &Path, bytes: Option<&[u8]>) -> Files {
    let mut files = files.clone();
    match bytes {
        Some(bytes) => drop(files.insert(path.to_owned(), bytes.to_vec())),
        None => drop(files.remove(path)),
    }
    files
}

fn segment_of(log: LogId) -> PathBuf {
    folder().join("logs").join(format!("{log}.seg"))
}

#[test]
fn a_segment_that_is_gone_or_cut_into_its_head() {
    for end in [End::Closed, End::Killed, End::PowerLoss] {
        let sample = sample(end, 4);
        let gone = with(&sample.files, &sample.segment, None);
        assert_noticed(&gone, Code::MissingSegment, "gone");
        for len in [0, 1, 7, 8, 4095, 4096, 8192, 12_000, HEAD_LEN - 1] {
            let cut = with(&sample.files, &sample.segment, Some(&sample.bytes()[..len]));
            assert_noticed(&cut, Code::BadHead, &format!("{len} bytes"));
        }
        let error = Workspace::open_on(MemoryDisk::of(&gone).arc(), folder(), options());
        let error = error.unwrap_err();
        assert!(matches!(error, OpenError::MissingSegment(_)), "{error}");
    }
}

/// An empty log with the very ids and the very salt: only the lock record tells.
#[test]
fn a_segment_that_is_empty_again() {
    let sample = sample(End::Killed, 4);
    let mut empty = sample.bytes()[..HEAD_LEN].to_vec();
    empty[8192..].fill(0);
    let files = with(&sample.files, &sample.segment, Some(&empty));
    assert_noticed(&files, Code::MissingEnd, "empty again");
    let report = checked(&files, Depth::Structure);
    let lost = report.errors().next().unwrap().lost.unwrap();
    assert_eq!((lost.first, lost.end), (0, Some(sample.payloads.len() as u64)));
}

/// A replica of the own log by another client, made when it had `count` commits of `all`.
fn sibling(count: usize, all: usize, ours: Options, theirs: Options) -> (Sample, Vec<u8>) {
    let disk = MemoryDisk::new(7);
    let here = Workspace::create_on(disk.arc(), folder(), ours, None).unwrap();
    fill(&here, count);
    let other_disk = MemoryDisk::new(8);
    let other = Workspace::create_on(other_disk.arc(), folder(), theirs, Some(here.id())).unwrap();
    let mut bundle = Vec::new();
    here.export(&Frontier::empty(), &mut bundle).unwrap();
    other.import(&bundle[..]).unwrap();
    other.close().unwrap();
    for number in count..all {
        put(&here, &[u8::try_from(number).unwrap(); 3]);
        here.commit().unwrap();
    }
    let sample = finish(End::Killed, &disk, here);
    let replica = other_disk.files()[&sample.segment].clone();
    (sample, replica)
}

#[test]
fn a_replica_in_the_place_of_the_segment() {
    // It lacks the last entries, which only the lock record knows, and is longer all the same.
    let (sample, replica) = sibling(6, 8, options(), options().aligned_frames());
    assert!(replica.len() > sample.bytes().len());
    for torn in [0, 2000] {
        let longer = [&replica[..], &vec![7; torn]].concat();
        let files = with(&sample.files, &sample.segment, Some(&longer));
        assert_noticed(&files, Code::MissingEnd, "an older replica");
        let report = checked(&files, Depth::Payloads);
        let lost = report.errors().find_map(|error| error.lost).unwrap();
        let count = sample.payloads.len() as u64;
        assert_eq!((lost.first, lost.end), (count - 2, Some(count)), "{report:#?}");
    }
    // A complete one is as good as the segment, at whatever offsets.
    let (sample, replica) = sibling(8, 8, options().aligned_frames(), options());
    assert!(replica.len() < sample.bytes().len());
    let files = with(&sample.files, &sample.segment, Some(&replica));
    assert_eq!(checked(&files, Depth::Payloads).exit_code(), 0);
    let workspace = Workspace::open_on(MemoryDisk::of(&files).arc(), folder(), options()).unwrap();
    assert_eq!(workspace.own_log().entry_count(), sample.payloads.len() as u64);
    assert_eq!(workspace.own_log().damage(), None);
}

/// What is in the lock file and is not about this segment is no evidence.
#[test]
fn lock_records_of_something_else() {
    let sample = sample(End::Killed, 4);
    let lock = folder().join("LOCK");
    let record = sample.files[&lock].clone();
    let shorter = &sample.bytes()[..sample.frames[3].bytes.start];
    let files = with(&sample.files, &sample.segment, Some(shorter));
    assert_noticed(&files, Code::MissingEnd, "the record as it is");
    let sealed = |mut record: Vec<u8>, at: usize| {
        record[at] ^= 1;
        let crc = crc32fast::hash(&record[..60]);
        record[60..64].copy_from_slice(&crc.to_le_bytes());
        record
    };
    let mut torn = record.clone();
    torn[45] ^= 1;
    let others = [
        ("another log", sealed(record.clone(), 20)),
        ("an earlier generation", sealed(record.clone(), 32)),
        ("another magic", sealed(record.clone(), 3)),
        ("torn", torn),
        ("short", record[..63].to_vec()),
        ("empty", Vec::new()),
    ];
    for (what, record) in others {
        let files = with(&files, &lock, Some(&record));
        assert_eq!(checked(&files, Depth::Payloads).exit_code(), 0, "{what}");
        let workspace = Workspace::open_on(MemoryDisk::of(&files).arc(), folder(), options());
        assert!(workspace.unwrap().own_log().damage().is_none(), "{what}");
    }
}

#[test]
fn segments_and_metadata_in_wrong_places() {
    let here = sample(End::Closed, 4);
    let disk = MemoryDisk::new(11);
    let elsewhere = Workspace::create_on(disk.arc(), folder(), options(), None).unwrap();
    fill(&elsewhere, 3);
    let other = finish(End::Closed, &disk, elsewhere);
    let files = with(&here.files, &here.segment, Some(other.bytes()));
    assert_noticed(&files, Code::SegmentMismatch, "of another workspace");

    let metadata = folder().join("index.json");
    let files = with(&here.files, &metadata, Some(&other.files[&metadata]));
    assert_noticed(&files, Code::MissingSegment, "metadata of another workspace");

    // A client of the same workspace, and both logs swapped.
    let disk = MemoryDisk::of(&here.files);
    let writer = Workspace::open_on(disk.arc(), folder(), options()).unwrap();
    let sibling_disk = MemoryDisk::new(12);
    let sibling = join(&sibling_disk, writer.id());
    fill(&sibling, 3);
    let log = sibling.own_log().id();
    let mut bundle = Vec::new();
    sibling.export(&Frontier::empty(), &mut bundle).unwrap();
    writer.import(&bundle[..]).unwrap();
    writer.close().unwrap();
    let both = disk.files();
    let (ours, theirs) = (both[&here.segment].clone(), both[&segment_of(log)].clone());
    let files = with(&both, &here.segment, Some(&theirs));
    assert_noticed(&files, Code::SegmentMismatch, "of another client");
    let files = with(&files, &segment_of(log), Some(&ours));
    assert_noticed(&files, Code::SegmentMismatch, "swapped");
}

#[test]
fn copies_beside_the_segment() {
    let sample = sample(End::Closed, 4);
    let name = |end: &str| {
        let stem = sample.segment.with_extension("");
        PathBuf::from(format!("{}{end}", stem.display()))
    };
    let copy = with(&sample.files, &name(" (conflicted copy).seg"), Some(sample.bytes()));
    assert_noticed(&copy, Code::StraySegment, "a copy under another name");
    let temporary = with(&sample.files, &name(".seg.tmp"), Some(sample.bytes()));
    assert_noticed(&temporary, Code::UnfinishedFile, "a generation that was never finished");
    for files in [copy, temporary] {
        let workspace = Workspace::open_on(MemoryDisk::of(&files).arc(), folder(), options());
        let log = workspace.unwrap().own_log();
        assert_eq!(log.entry_count(), sample.payloads.len() as u64);
    }
}

#[test]
fn a_folder_of_logs_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let workspace = Workspace::create(&path, options()).unwrap();
    put(&workspace, b"a");
    workspace.close().unwrap();
    std::fs::remove_dir_all(path.join("logs")).unwrap();
    for opened in [Workspace::open(&path, options()), Workspace::open_read_only(&path, options())] {
        let error = opened.unwrap_err();
        assert!(matches!(error, OpenError::MissingSegment(_)), "{error}");
    }
    let report = check::check(&path, Depth::Structure, |_, _| ()).unwrap();
    assert_eq!(report.errors().next().unwrap().code, Code::MissingSegment);
    assert!(!path.join("logs").exists(), "nothing is created in its place");
}

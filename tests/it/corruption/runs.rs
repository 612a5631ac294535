//! Damage to the index: answers stay right, and the runs are made anew.

use std::path::{Path, PathBuf};

use annals::{Clock, Direction, Hash, Options, StreamId, Timestamp, Workspace};

use super::{
    memory::{Files, MemoryDisk},
    oracle::FOLDER,
    stride,
};
use crate::support::{FIXED_TIME, Random};

/// What the index is asked for.
#[derive(Debug, PartialEq)]
struct Answers {
    entries: Vec<Vec<u8>>,
    streams: Vec<Vec<u64>>,
    backward: Vec<u64>,
    sizes: Vec<u64>,
    names: Vec<(StreamId, String)>,
    roots: Vec<Hash>,
}

fn options() -> Options {
    Options::default().clock(Clock::None).cache_len(0)
}

fn ask(workspace: &Workspace) -> Answers {
    let log = workspace.own_log();
    let count = log.entry_count();
    let some = || (0..count).step_by(41);
    let stream = |stream| {
        let scan = log.scan_stream(StreamId(stream), .., Direction::Forward).unwrap();
        scan.map(|entry| entry.unwrap().index()).collect()
    };
    let root = log.root().unwrap();
    let proven = |index: u64| {
        log.prove_inclusion(index, None).unwrap().verify(&root).unwrap();
        let proof = log.prove_consistency(index + 1, None).unwrap();
        let from = log.root_at(index + 1).unwrap();
        proof.verify(&from, &root).unwrap();
        from
    };
    let time = |index: u64| {
        let micros = FIXED_TIME + i64::try_from(index).unwrap();
        log.size_at(Timestamp::from_micros(micros)).unwrap()
    };
    let backward = log.scan_backward(..).unwrap().map(|entry| entry.unwrap().index());
    Answers {
        entries: some()
            .map(|index| log.entry(index).unwrap().payload().unwrap().to_vec())
            .collect(),
        streams: (0..4).map(stream).collect(),
        backward: backward.collect(),
        sizes: some().map(time).collect(),
        names: log.streams().unwrap(),
        roots: some().map(proven).collect(),
    }
}

/// A log of several runs, two of which are folded.
fn sample() -> (Files, Answers) {
    let disk = MemoryDisk::new(20);
    let now = std::sync::atomic::AtomicI64::new(FIXED_TIME);
    let clock = Clock::Custom(std::sync::Arc::new(move || {
        let micros = now.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Some(Timestamp::from_micros(micros))
    }));
    let options = Options::default().clock(clock);
    let workspace = Workspace::create_on(disk.arc(), Path::new(FOLDER), options, None).unwrap();
    let mut random = Random::new(9);
    for number in 0..300_usize {
        let name = ["a", "b", "c"][number * number % 3];
        let stream = workspace.stream(name).unwrap();
        assert!(stream.append(&random.bytes(9000)).unwrap().index() > 0);
        if number % 3 == 0 {
            workspace.commit().unwrap();
        }
    }
    let answers = ask(&workspace);
    workspace.close().unwrap();
    (disk.files(), answers)
}

fn runs_of(files: &Files) -> Vec<PathBuf> {
    let is_run = |path: &&PathBuf| path.extension().is_some_and(|end| end == "run");
    files.keys().filter(is_run).cloned().collect()
}

#[test]
fn every_page_of_every_run() {
    let (files, answers) = sample();
    let runs = runs_of(&files);
    assert!(runs.len() > 2, "{runs:?}");
    for run in &runs {
        let sound = &files[run];
        let mut damaged: Vec<Vec<u8>> = Vec::new();
        for bit in (0..sound.len() * 8).step_by(stride(29_989)) {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            damaged.push(bytes);
        }
        let pages = (0..sound.len()).step_by(4096);
        for page in pages {
            let mut bytes = sound.clone();
            bytes[page..page + 4096].fill(0);
            damaged.push(bytes);
            damaged.push([&sound[..page], &sound[page + 4096..]].concat());
            damaged.push([&sound[..page + 4096], &sound[page..]].concat());
            damaged.push(sound[..page].to_vec());
        }
        damaged.extend((0..sound.len()).step_by(stride(14_983)).map(|len| sound[..len].to_vec()));
        // In the place of another run.
        damaged.extend(runs.iter().filter(|other| *other != run).map(|other| files[other].clone()));
        for bytes in damaged {
            let disk = MemoryDisk::of(&files);
            disk.put(run, &bytes);
            let before = disk.files();
            let reader =
                Workspace::open_read_only_on(disk.arc(), Path::new(FOLDER), options()).unwrap();
            assert!(ask(&reader) == answers, "{}: other answers", run.display());
            assert!(disk.files() == before, "a reader has changed something");
            drop(reader);
            let writer = Workspace::open_on(disk.arc(), Path::new(FOLDER), options()).unwrap();
            assert!(ask(&writer) == answers, "{}: other answers", run.display());
            writer.close().unwrap();
            let after = disk.files();
            for run in &runs {
                assert!(after[run] == files[run], "{} is not made anew", run.display());
            }
        }
    }
}

//! What a workspace does in the background: indexes that are missing, and compaction.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use annals::{AutoCompact, CompactOptions, Options, Workspace};

use crate::support::within;

/// Longer than anything here takes, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(40);

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn runs(path: &Path) -> usize {
    let files = crate::support::files_of(&path.join("cache"));
    files.iter().filter(|(name, _)| name.extension().is_some_and(|end| end == "run")).count()
}

/// About 10 MB that do not compress.
fn large(path: &Path) -> Vec<Vec<u8>> {
    let workspace = Workspace::create(path, Options::default()).unwrap();
    let mut state = 1_u64;
    let payloads: Vec<Vec<u8>> = (0..5_000_usize)
        .map(|number| {
            let mut payload = number.to_le_bytes().to_vec();
            while payload.len() < 2_000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                payload.extend((state >> 13).to_le_bytes());
            }
            payload
        })
        .collect();
    for payload in &payloads {
        workspace.append(payload).unwrap();
    }
    workspace.close().unwrap();
    payloads
}

#[test]
fn a_log_without_its_index_is_served_at_once_and_indexed_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let payloads = large(&path);
    let there = runs(&path);
    assert!(there > 0);

    std::fs::remove_dir_all(path.join("cache")).unwrap();
    let read = Workspace::open_read_only(&path, Options::default().cache_len(0)).unwrap();
    for number in [4_999, 0, 2_500, 1, 4_000, 3_333] {
        let entry = read.own_log().entry(number).unwrap();
        assert_eq!(entry.payload().unwrap(), payloads[usize::try_from(number).unwrap()]);
    }
    assert_eq!(runs(&path), 0, "a reader writes nothing");

    let workspace = Workspace::open(&path, Options::default()).unwrap();
    let entry = workspace.own_log().entry(3_000).unwrap();
    assert_eq!(entry.payload().unwrap(), payloads[3_000]);
    wait_until("the index is there again", || runs(&path) == there);
    workspace.close().unwrap();

    let report = annals::check::check(&path, annals::check::Depth::Payloads, |_, _| {}).unwrap();
    assert_eq!(report.findings.len(), 0, "an index made anew is the one that grew");
}

#[test]
fn deleting_the_cache_is_safe_while_programs_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let payloads = large(&path);
    let workspace = Workspace::open(&path, Options::default()).unwrap();
    let reader = Workspace::open_read_only(&path, Options::default()).unwrap();
    for round in 0..20_u64 {
        let _ = std::fs::remove_dir_all(path.join("cache"));
        for handle in [&workspace, &reader] {
            let index = round * 211 % 5_000;
            let entry = handle.own_log().entry(index).unwrap();
            assert_eq!(entry.payload().unwrap(), payloads[usize::try_from(index).unwrap()]);
            let root = handle.own_log().root_at(index + 1).unwrap();
            let proof = handle.own_log().prove_inclusion(index, Some(index + 1)).unwrap();
            proof.verify(&root).unwrap();
        }
        workspace.append(b"goes on").unwrap();
        workspace.commit().unwrap();
    }
    drop(reader);
    workspace.close().unwrap();
    let again = Workspace::open(&path, Options::default()).unwrap();
    assert_eq!(again.own_log().entry_count(), 5_020);
}

#[test]
fn a_log_of_small_commits_is_compacted_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let auto = AutoCompact::default().small_batches(25, 64 << 10).rate(None);
    let options =
        Options::default().auto_compact(auto).durability(annals::Durability::ProcessCrash);
    let workspace = Workspace::create(&path, options.clone()).unwrap();
    let generation = || workspace.own_log().stats().unwrap().generation;
    let mut count = 0_u64;
    wait_until("it is compacted twice", || {
        for _ in 0..50 {
            workspace.append(&count.to_le_bytes()).unwrap();
            workspace.checkpoint().unwrap();
            count += 1;
        }
        generation() >= 2
    });
    let log = workspace.own_log();
    for index in 0..count {
        assert_eq!(log.entry(index).unwrap().payload().unwrap(), index.to_le_bytes());
    }
    drop(log);
    // Nothing is waited for long, and the lock is free at once.
    within(move || drop(workspace));
    let workspace = Workspace::open(&path, options).unwrap();
    assert_eq!(workspace.own_log().entry_count(), count);
}

#[test]
fn what_is_redacted_is_forgotten_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::default().auto_compact(AutoCompact::default().dead(0));
    let workspace = Workspace::create(folder.path().join("w"), options).unwrap();
    let index = workspace.append(b"a secret").unwrap().index();
    workspace.redact(workspace.client(), index, "").unwrap().wait_durable().unwrap();
    wait_until("it is gone", || workspace.own_log().entry(index).unwrap().payload().is_err());
}

#[test]
fn a_compaction_can_be_stopped_and_is_never_run_twice_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    large(&path);
    let workspace = Workspace::open(&path, Options::default()).unwrap();
    let before = std::fs::metadata(workspace.own_log().path()).unwrap().len();
    let mut steps = 0;
    let stopped = workspace.compact(&CompactOptions::default().level(1), |_, _| {
        let again = workspace.compact(&CompactOptions::default(), |_, _| true);
        assert!(matches!(again, Err(annals::CompactError::Busy)), "{again:?}");
        steps += 1;
        steps < 10
    });
    assert!(matches!(stopped, Err(annals::CompactError::Cancelled)), "{stopped:?}");
    assert_eq!(std::fs::metadata(workspace.own_log().path()).unwrap().len(), before);
    let left: Vec<_> = std::fs::read_dir(path.join("logs")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(workspace.own_log().stats().unwrap().generation, 0);
}

#[test]
fn an_index_that_a_killed_program_has_begun_is_right_as_far_as_it_goes() {
    use crate::{
        programs::{done, program, run_program},
        support::Random,
    };

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    large(&path);
    let there = runs(&path);
    let dir = path.to_str().unwrap();
    let mut random = Random::new(2);
    for round in 0..10 {
        let mut child = program("annals").args(["reindex", dir]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(300 + 1_000 * random.below(30)));
        let _ = child.kill();
        child.wait().unwrap();
        let checked = run_program("annals-fsck", &["--deep", dir], b"");
        let text = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert_eq!(checked.status.code(), Some(0), "round {round}: {text}");
    }
    done(&["reindex", dir], b"");
    assert_eq!(runs(&path), there);
}

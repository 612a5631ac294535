//! The engine and the reference decoder agree: on what was written, and on what a crash left of it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use annals::{Change, Clock, Durability, Frontier, OpenError, Options, Timestamp, Workspace};
use proptest::prelude::*;

use crate::{
    reference::{self, bundle::Bundle, recovery, segment::Segment},
    support::{Random, copy_folder, decode_file, entries_of, put, segment_path, verdict_of},
};

/// Compares every log of a workspace that is open with what the reference decoder makes of its file.
fn assert_agrees(workspace: &Workspace) {
    if workspace.checkpoint().is_err() {
        assert!(workspace.commit().is_err(), "only who reads cannot write");
    }
    for log in workspace.logs() {
        let segment = decode_file(log.path());
        assert_eq!(segment.verdict, recovery::Verdict::Clean);
        assert_eq!(segment.at_opening.0, recovery::Verdict::Clean);
        assert_eq!(segment.notes, [""; 0]);
        assert!(segment.batches.iter().all(|served| served.root_is_checked));
        assert_eq!(segment.header.log, *log.id().as_bytes());
        assert_eq!(segment.header.client, *log.client().as_bytes());
        assert_eq!(segment.header.workspace, *workspace.id().as_bytes());
        assert_eq!(segment.root, Some(*log.root().unwrap().as_bytes()));
        let entries: Vec<_> = segment.entries().cloned().collect();
        assert!(entries == entries_of(&log), "the entries of {} differ", log.id());
        for served in &segment.batches {
            let root = log.root_at(served.batch.end_index()).unwrap();
            assert_eq!(served.batch.root, *root.as_bytes());
        }
        let stats = log.stats().unwrap();
        assert_eq!(stats.entries, segment.end_index);
        assert_eq!(stats.frames, segment.frames.len() as u64);
        let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
        assert_eq!(stats.payload_bytes, bytes as u64);
    }
}

fn create(folder: &Path, name: &str, options: Options) -> Workspace {
    Workspace::create(folder.join(name), options).unwrap()
}

fn none() -> Options {
    Options::default().clock(Clock::None)
}

fn exported(workspace: &Workspace, since: &Frontier) -> Vec<u8> {
    let mut bundle = Vec::new();
    workspace.export(since, &mut bundle).unwrap();
    bundle
}

#[test]
fn on_an_empty_log() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(folder.path(), "w", Options::default());
    assert_agrees(&workspace);
    let path = workspace.path().to_owned();
    workspace.close().unwrap();
    for _ in 0..3 {
        let workspace = Workspace::open(&path, Options::default()).unwrap();
        assert_agrees(&workspace);
        workspace.close().unwrap();
    }
}

#[test]
fn on_single_commits_over_several_openings() {
    let folder = tempfile::tempdir().unwrap();
    let path = create(folder.path(), "w", Options::default()).path().to_owned();
    for opening in 0..4_u8 {
        let workspace = Workspace::open(&path, Options::default()).unwrap();
        for number in 0..20 {
            put(&workspace, &[opening, number]);
            workspace.commit().unwrap();
        }
        assert_agrees(&workspace);
        let own = workspace.own_log();
        let segment = decode_file(own.path());
        assert_eq!(segment.frames.len(), 20 * (usize::from(opening) + 1));
        workspace.close().unwrap();
        let closed =
            decode_file(&segment_path(&path, annals::LogId::from_bytes(segment.header.log)));
        assert!(closed.checkpoint().unwrap().durable_len == closed.e, "a close leaves no tail");
    }
}

#[test]
fn on_bulk_loads_over_many_batches() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [
        ("default", Options::default()),
        ("small batches", none().batch_len(1 << 10)),
        ("large batches", none().batch_len(100 << 10).compression_level(9)),
        ("no syncs", Options::default().durability(Durability::ProcessCrash)),
    ] {
        let workspace = create(folder.path(), name, options);
        let mut random = Random::new(1);
        for number in 0..5_000_u32 {
            let len = random.place(90);
            let mut payload = random.bytes(len / 3);
            payload.resize(len, b' ');
            payload.extend(number.to_string().bytes());
            put(&workspace, &payload);
        }
        workspace.commit().unwrap();
        assert_agrees(&workspace);
        assert!(decode_file(workspace.own_log().path()).frames.len() > 1);
    }
}

#[test]
fn on_empty_payloads() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(folder.path(), "w", none());
    put(&workspace, b"");
    workspace.commit().unwrap();
    (0..300).for_each(|_| {
        put(&workspace, b"");
    });
    assert_agrees(&workspace);
}

#[test]
fn on_a_large_change_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(folder.path(), "w", Options::default());
    put(&workspace, b"before");
    let mut large = Random::new(2).bytes(3 << 20);
    put(&workspace, &large);
    // Exactly two parts, and one byte more than two.
    large.truncate(2 << 20);
    put(&workspace, &large);
    large.push(0);
    put(&workspace, &large);
    put(&workspace, b"after");
    assert_agrees(&workspace);
    let segment = decode_file(workspace.own_log().path());
    assert!(segment.frames.iter().any(reference::frame::Frame::continues));
    assert_eq!(segment.checkpoint().unwrap().change_count, 5);
    assert_eq!(segment.end_index, 1 + 3 + 2 + 3 + 1);
}

#[test]
fn on_groups_across_batches() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(folder.path(), "w", Options::default().batch_len(1 << 10));
    let payload = [7; 300];
    for count in [1, 2, 10, 50] {
        let group: Vec<Change<'_>> = (0..count).map(|_| Change::new(&payload)).collect();
        let ticket = workspace.append_all(&group).unwrap();
        assert_eq!(ticket.indices().count(), count);
        put(&workspace, b"between");
    }
    assert_agrees(&workspace);
    let segment = decode_file(workspace.own_log().path());
    assert!(segment.batches.iter().any(|served| served.batch.continues));
}

#[test]
fn on_streams() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(folder.path(), "w", none());
    for round in 0..3 {
        for number in 0..50 {
            let stream = workspace.stream(&format!("stream {number}")).unwrap();
            stream.append(format!("round {round}").as_bytes()).unwrap().index();
        }
    }
    assert_agrees(&workspace);
    let segment = decode_file(workspace.own_log().path());
    assert_eq!(segment.checkpoint().unwrap().stream_count, 50);
    let declared: Vec<Vec<u8>> = segment
        .entries()
        .filter(|entry| entry.kind == reference::entry::KIND_STREAM)
        .map(|entry| reference::entry::stream_name(&entry.payload).unwrap().1)
        .collect();
    let given = workspace.own_log().streams().unwrap();
    assert!(given.iter().map(|(_, name)| name.as_bytes()).eq(declared.iter().map(Vec::as_slice)));
}

#[test]
fn on_times_from_a_clock_that_jumps() {
    let folder = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(0));
    let clock = {
        let now = Arc::clone(&now);
        Clock::Custom(Arc::new(move || {
            let micros = now.load(Ordering::Relaxed);
            (micros % 7 != 0).then(|| Timestamp::from_micros(micros))
        }))
    };
    let workspace = create(folder.path(), "w", Options::default().clock(clock));
    for time in [1, -1, 7, i64::MAX, i64::MIN, 1_700_000_000_000_000, 3, 3, 3, 14] {
        now.store(time, Ordering::Relaxed);
        put(&workspace, b"x");
    }
    let at = Some(Timestamp::from_micros(-5));
    workspace.append_change(Change::new(b"y").at(at)).unwrap().index();
    workspace.append_change(Change::new(b"z").at(None)).unwrap().index();
    assert_agrees(&workspace);
}

#[test]
fn on_aligned_frames() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(folder.path(), "w", none().aligned_frames());
    for number in 0..10_u8 {
        put(&workspace, &[number; 5]);
        workspace.commit().unwrap();
    }
    assert_agrees(&workspace);
    let segment = decode_file(workspace.own_log().path());
    assert!(segment.frames.iter().all(|frame| frame.frame_offset % 4096 == 0));
}

#[test]
fn on_replicas_and_seen_entries() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path(), "a", Options::default());
    let b = Workspace::join(folder.path().join("b"), a.id(), none()).unwrap();
    for round in 0..5_u8 {
        for (from, to) in [(&a, &b), (&b, &a)] {
            for number in 0..=round {
                put(from, &[round, number]);
            }
            let large = Random::new(3).bytes(if round == 2 { 1_500_000 } else { 10 });
            put(from, &large);
            let bundle = exported(from, &to.frontier().unwrap());
            to.import(&bundle[..]).unwrap();
        }
    }
    for workspace in [&a, &b] {
        assert_agrees(workspace);
        let segment = decode_file(workspace.own_log().path());
        assert!(segment.entries().any(|entry| entry.kind == reference::entry::KIND_SEEN));
    }
    let (path, id) = (b.path().to_owned(), b.id());
    b.close().unwrap();
    let again = Workspace::open(path, Options::default()).unwrap();
    assert_eq!(again.id(), id);
    assert_agrees(&again);
}

/// Decodes a bundle and compares it with the workspace that it comes from.
fn assert_bundle_agrees(workspace: &Workspace, since: &Frontier) -> Bundle {
    let bundle = reference::bundle::decode(&exported(workspace, since)).unwrap();
    assert_eq!(bundle.workspace, *workspace.id().as_bytes());
    let frontier = workspace.frontier().unwrap();
    assert_eq!(bundle.frontier.len(), frontier.rows().len());
    for ((row, from), ours) in bundle.frontier.iter().zip(frontier.rows()) {
        assert_eq!((row.log, row.client), (*ours.log.as_bytes(), *ours.client.as_bytes()));
        assert_eq!((row.size, row.lamport), (ours.size, ours.lamport));
        assert_eq!((row.root, *from), (*ours.root.as_bytes(), since.size(ours.log)));
    }
    for log in &bundle.logs {
        let view = workspace.log(annals::LogId::from_bytes(log.row.log)).unwrap();
        let carried = log.batches.iter().flat_map(|batch| batch.entries.iter().cloned());
        let from = usize::try_from(log.from).unwrap();
        assert!(carried.eq(entries_of(&view).into_iter().skip(from)));
        let segment = decode_file(view.path());
        assert_eq!(log.salts, segment.header.salts);
        assert_eq!(log.created, segment.header.created);
    }
    bundle
}

#[test]
fn on_bundles_whole_and_partial() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(folder.path(), "w", none());
    assert_bundle_agrees(&workspace, &Frontier::empty());
    let mut marks = vec![Frontier::empty()];
    for round in 0..6_usize {
        let payload = vec![b'x'; 40];
        let group: Vec<Change<'_>> = (0..500 * round).map(|_| Change::new(&payload)).collect();
        put(&workspace, b"one");
        workspace.append_all(&group).unwrap().index();
        marks.push(workspace.frontier().unwrap());
    }
    for mark in &marks {
        let bundle = assert_bundle_agrees(&workspace, mark);
        let is_up_to_date = *mark == workspace.frontier().unwrap();
        assert_eq!(bundle.logs.is_empty(), is_up_to_date);
    }
}

/// A bundle may begin in the middle of a batch.
#[test]
fn on_bundles_that_begin_inside_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path(), "a", none());
    (0..10_u8).for_each(|number| {
        put(&a, &[number]);
    });
    a.commit().unwrap();
    let log = a.own_log();
    for size in 1..10 {
        let root = log.root_at(size).unwrap();
        let lamport = log.entry(size - 1).unwrap().lamport();
        let (client, log) = (log.client(), log.id());
        let row = annals::FrontierRow { client, log, size, lamport, root };
        let bundle = assert_bundle_agrees(&a, &Frontier::from(vec![row]));
        assert_eq!(bundle.logs[0].batches[0].first_index, size);
    }
}

/// What the engine and the reference decoder make of a folder after a crash.
fn assert_judged_alike(folder: &Path, path: &Path) -> recovery::Verdict {
    let lock_file = std::fs::read(folder.join("LOCK")).unwrap_or_default();
    let decoded = reference::segment::decode_beside(&std::fs::read(path).unwrap(), &lock_file);
    let read = Workspace::open_read_only(folder, Options::default());
    let segment: Segment = match (decoded, read) {
        (Err(message), Err(_)) if message.starts_with("S-") => return recovery::Verdict::Damaged,
        (Ok(segment), Ok(read)) => {
            assert_eq!(verdict_of(read.recovered()), segment.at_opening.0);
            if segment.verdict != recovery::Verdict::Damaged {
                assert_eq!(read.own_log().entry_count(), segment.end_index);
                assert!(entries_of(&read.own_log()).iter().eq(segment.entries()));
                let root = read.own_log().root().unwrap();
                assert_eq!(segment.root, Some(*root.as_bytes()));
            }
            segment
        }
        (decoded, read) => panic!("{:?} but {read:?}", decoded.map(|segment| segment.verdict)),
    };
    match Workspace::open(folder, Options::default()) {
        Ok(workspace) => {
            assert_eq!(verdict_of(workspace.recovered()), segment.at_opening.0);
            // Damage below the checkpoint is reported, and the log goes on.
            let damaged = segment.at_opening.0 == recovery::Verdict::Damaged;
            assert_eq!(workspace.own_log().damage().is_some(), damaged);
            if segment.verdict != recovery::Verdict::Damaged {
                assert!(entries_of(&workspace.own_log()).iter().eq(segment.entries()));
                put(&workspace, b"after the crash");
                assert_agrees(&workspace);
            }
        }
        Err(OpenError::Damaged(damage)) => {
            assert_eq!(segment.at_opening.0, recovery::Verdict::Damaged, "{damage}");
        }
        Err(error) => panic!("{error}"),
    }
    segment.at_opening.0
}

/// A step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Group(usize, usize),
    Large(usize),
    Stream(u8),
    Commit,
    Checkpoint,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..200_usize).prop_map(Step::Append),
        2 => (1..30_usize, 0..400_usize).prop_map(|(count, len)| Step::Group(count, len)),
        1 => (1_000_000..2_300_000_usize).prop_map(Step::Large),
        2 => (0..5_u8).prop_map(Step::Stream),
        6 => Just(Step::Commit),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
    ]
}

fn run(workspace: Workspace, steps: &[Step], options: &Options, random: &mut Random) -> Workspace {
    let mut workspace = workspace;
    for step in steps {
        match *step {
            Step::Append(len) => {
                put(&workspace, &random.bytes(len));
            }
            Step::Group(count, len) => {
                let payload = random.bytes(len);
                let group: Vec<Change<'_>> = (0..count).map(|_| Change::new(&payload)).collect();
                workspace.append_all(&group).unwrap().index();
            }
            Step::Large(len) => {
                put(&workspace, &vec![b'l'; len]);
            }
            Step::Stream(number) => {
                workspace
                    .stream(&number.to_string())
                    .unwrap()
                    .append(b"in a stream")
                    .unwrap()
                    .index();
            }
            Step::Commit => {
                workspace.commit().unwrap();
            }
            Step::Checkpoint => workspace.checkpoint().unwrap(),
            Step::Reopen => {
                let path = workspace.path().to_owned();
                workspace.close().unwrap();
                workspace = Workspace::open(path, options.clone()).unwrap();
            }
        }
    }
    workspace
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn on_random_histories(
        steps in proptest::collection::vec(step(), 1..40),
        aligned in any::<bool>(),
        batch_len in 1_000..40_000_usize,
        seed in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::default().batch_len(batch_len);
        if aligned {
            options = options.aligned_frames();
        }
        let workspace = create(folder.path(), "w", options.clone());
        let workspace = run(workspace, &steps, &options, &mut Random::new(seed));
        assert_agrees(&workspace);
        assert_bundle_agrees(&workspace, &Frontier::empty());
    }

    /// A copy that is taken without closing, cut somewhere, or with a byte changed.
    #[test]
    fn on_what_a_crash_leaves(
        steps in proptest::collection::vec(step(), 1..25),
        seed in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::default().batch_len(2_000);
        let workspace = create(folder.path(), "w", options.clone());
        let mut random = Random::new(seed);
        let workspace = run(workspace, &steps, &options, &mut random);
        for round in 0..6 {
            let copy = folder.path().join(format!("copy {round}"));
            copy_folder(workspace.path(), &copy);
            // What index runs know of the length is evidence that the reference decoder is not given.
            let _ = std::fs::remove_dir_all(copy.join("cache"));
            if random.below(2) == 0 {
                // The machine died, not the process.
                std::fs::remove_file(copy.join("LOCK")).unwrap();
            }
            let path = segment_path(&copy, workspace.own_log().id());
            let mut bytes = std::fs::read(&path).unwrap();
            // Most of it near the end, where a crash happens.
            let span = if round % 2 == 0 { bytes.len() } else { bytes.len().min(2_000) };
            match round {
                0 => {}
                1..=3 => {
                    let len = bytes.len() - random.place(span);
                    bytes.truncate(len);
                }
                _ => {
                    let at = bytes.len() - 1 - random.place(span);
                    bytes[at] ^= 1 << random.below(8);
                }
            }
            std::fs::write(&path, bytes).unwrap();
            assert_judged_alike(&copy, &path);
            std::fs::remove_dir_all(copy).unwrap();
        }
    }
}

/// Single commits leave one frame that is not known to be durable, whatever is cut behind it.
#[test]
fn on_every_cut_of_the_last_two_commits() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(folder.path(), "w", none().preallocate(0));
    let mut ends = Vec::new();
    for number in 0..4_u8 {
        put(&workspace, &[number; 9]);
        workspace.commit().unwrap();
        ends.push(std::fs::metadata(workspace.own_log().path()).unwrap().len());
    }
    let mut verdicts = Vec::new();
    for len in ends[1]..=ends[3] {
        let copy = folder.path().join(format!("copy {len}"));
        copy_folder(workspace.path(), &copy);
        // Where the process died, the lock file knows.
        let path = segment_path(&copy, workspace.own_log().id());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..usize::try_from(len).unwrap()]).unwrap();
        let verdict = assert_judged_alike(&copy, &path);
        assert_eq!(verdict == recovery::Verdict::Damaged, len < ends[3], "cut at {len}");

        let copy = folder.path().join(format!("copy {len} after a power loss"));
        copy_folder(workspace.path(), &copy);
        std::fs::remove_file(copy.join("LOCK")).unwrap();
        let path = segment_path(&copy, workspace.own_log().id());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..usize::try_from(len).unwrap()]).unwrap();
        let verdict = assert_judged_alike(&copy, &path);
        let at_an_end = ends.contains(&len);
        let expected =
            if at_an_end { recovery::Verdict::Clean } else { recovery::Verdict::TornTail };
        assert_eq!(verdict, expected, "cut at {len}");
        verdicts.push(verdict);
    }
    assert!(verdicts.contains(&recovery::Verdict::TornTail));
}

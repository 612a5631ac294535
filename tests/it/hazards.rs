//! Interleavings and failures that a design can get wrong: many threads on one workspace, imports beside
//! each other, readers beside a busy writer, and errors that come once and go away.

use std::{
    io::ErrorKind,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use annals::{AppendError, Clock, Direction, Frontier, ImportError, Options, Workspace};

use crate::support::{Op, Random, TestDisk, changes_of, copy_folder, put, within};

fn options() -> Options {
    Options::default().clock(Clock::None)
}

fn create(options: Options) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(folder.path().join("w"), options).unwrap();
    (folder, workspace)
}

fn bundle_of(workspace: &Workspace, since: &Frontier) -> Vec<u8> {
    let mut bundle = Vec::new();
    workspace.export(since, &mut bundle).unwrap();
    bundle
}

/// Does `once` again and again in another thread while `work` is done.
fn beside<R>(once: impl Fn() + Sync + Send, work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                once();
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Release);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn a_frontier_can_be_asked_for_while_others_write() {
    within(|| {
        let (_folder, workspace) = create(options());
        let writer = workspace.clone();
        beside(
            || {
                put(&writer, b"x");
                writer.own_log().root().unwrap();
            },
            || (0..20_000).for_each(|_| drop(workspace.frontier().unwrap())),
        );
    });
}

#[test]
fn imports_beside_each_other_keep_what_they_say() {
    within(|| {
        let (folder, first) = create(options());
        let mut random = Random::new(1);
        for _ in 0..200 {
            put(&first, &random.bytes(2000));
        }
        let bundle = bundle_of(&first, &Frontier::empty());
        for round in 0..10 {
            let path = folder.path().join(format!("replica-{round}"));
            let replica = Workspace::join(&path, first.id(), options()).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| replica.import(&bundle[..]).unwrap());
                }
            });
            replica.close().unwrap();
            let replica = Workspace::open(&path, options()).unwrap();
            let log = replica.log(first.own_log().id()).unwrap();
            assert_eq!(log.root().unwrap(), first.own_log().root().unwrap());
            assert_eq!(changes_of(&log), changes_of(&first.own_log()));
        }
    });
}

#[test]
fn a_fork_whose_clock_jumped_is_refused_in_the_middle_of_a_batch() {
    let (folder, first) = create(options());
    put(&first, b"common");
    let path = first.path().to_owned();
    let id = first.id();
    first.close().unwrap();
    let copy = folder.path().join("copy");
    copy_folder(&path, &copy);
    let ours = Workspace::open(&path, options()).unwrap();
    let theirs = Workspace::open(&copy, options()).unwrap();
    // Theirs has seen somebody whose clock is far ahead.
    let other = Workspace::join(folder.path().join("other"), id, options()).unwrap();
    (0..50).for_each(|_| _ = put(&other, b"o"));
    theirs.import(&bundle_of(&other, &Frontier::empty())[..]).unwrap();
    (0..5).for_each(|_| _ = put(&theirs, b"t"));
    (0..3).for_each(|_| _ = put(&ours, b"o"));
    let third = Workspace::join(folder.path().join("third"), id, options()).unwrap();
    third.import(&bundle_of(&ours, &Frontier::empty())[..]).unwrap();
    third.import(&bundle_of(&other, &Frontier::empty())[..]).unwrap();
    let since = other.frontier().unwrap();
    let error = third.import(&bundle_of(&theirs, &since)[..]).unwrap_err();
    assert!(
        matches!(
            error,
            ImportError::Diverged { .. }
                | ImportError::Contradiction { .. }
                | ImportError::Refused { .. }
        ),
        "{error}"
    );
    assert_eq!(
        third.log(ours.own_log().id()).unwrap().root().unwrap(),
        ours.own_log().root().unwrap()
    );
}

#[test]
fn a_reader_that_opens_while_the_writer_goes_on_sees_no_damage() {
    for checkpointed in [true, false] {
        let (_folder, workspace) = create(options());
        let path = workspace.path().to_owned();
        let replica_of = workspace.own_log().id();
        put(&workspace, b"before");
        workspace.commit().unwrap();
        let writer = workspace.clone();
        // Between the reader's look at the lock and its look at the segment.
        let disk = TestDisk::new();
        disk.before_open(move |path| {
            if path.extension().is_some_and(|end| end == "seg") {
                let mut random = Random::new(2);
                for _ in 0..20 {
                    put(&writer, &random.bytes(20_000));
                    writer.commit().unwrap();
                }
                if checkpointed {
                    writer.checkpoint().unwrap();
                }
            }
        });
        let reader = Workspace::open_read_only_on(disk.arc(), &path, options()).unwrap();
        assert_eq!(reader.log(replica_of).unwrap().damage(), None);
        reader.refresh().unwrap();
        assert_eq!(changes_of(&reader.own_log()).len(), 21);
    }
}

#[test]
fn a_sync_that_failed_is_not_tried_again_by_whoever_comes_next() {
    let disk = TestDisk::new();
    let folder = tempfile::tempdir().unwrap();
    let workspace =
        Workspace::create_on(disk.arc(), &folder.path().join("w"), options(), None).unwrap();
    put(&workspace, b"a");
    workspace.own_log().root().unwrap();
    disk.fail_once(Op::Sync, ErrorKind::Other);
    assert!(workspace.backup(folder.path().join("b"), |_, _| {}).is_err());
    assert!(workspace.commit().is_err());
    assert!(workspace.is_poisoned());
}

#[test]
fn an_import_that_failed_to_write_leaves_nothing_in_the_index() {
    let disk = TestDisk::new();
    let (folder, first) = create(options());
    put(&first, b"first");
    let path = first.path().to_owned();
    let id = first.id();
    let replica =
        Workspace::create_on(disk.arc(), &folder.path().join("r"), options(), Some(id)).unwrap();
    replica.import(&bundle_of(&first, &Frontier::empty())[..]).unwrap();
    first.close().unwrap();
    // The same entries in other frames.
    copy_folder(&path, &folder.path().join("copy"));
    let ours = Workspace::open(&path, options()).unwrap();
    let same = Workspace::open(folder.path().join("copy"), options()).unwrap();
    for number in 0..200_u8 {
        put(&ours, &[number]);
        put(&same, &[number]);
        if number % 64 == 5 {
            same.commit().unwrap();
        }
    }
    let since = replica.frontier().unwrap();
    disk.fail_once(Op::Write, ErrorKind::Other);
    replica.import(&bundle_of(&ours, &since)[..]).unwrap_err();
    replica.import(&bundle_of(&same, &since)[..]).unwrap();
    let log = replica.log(ours.own_log().id()).unwrap();
    for index in (0..log.entry_count()).rev() {
        assert_eq!(
            log.entry(index).unwrap().payload().unwrap(),
            ours.own_log().entry(index).unwrap().payload().unwrap()
        );
    }
    for size in 0..=log.entry_count() {
        assert_eq!(log.root_at(size).unwrap(), ours.own_log().root_at(size).unwrap(), "{size}");
    }
    let backward = log.scan_backward(..).unwrap().map(Result::unwrap);
    assert_eq!(backward.count() as u64, log.entry_count());
}

#[test]
fn what_was_appended_before_a_close_is_stored_by_it() {
    within(|| {
        for _ in 0..300 {
            let (_folder, workspace) = create(options());
            let path = workspace.path().to_owned();
            let writer = workspace.clone();
            let log = workspace.own_log().id();
            let appended = std::thread::scope(|scope| {
                let thread = scope.spawn(|| {
                    let mut count = 0_u64;
                    while writer.append(b"x").is_ok() {
                        count += 1;
                    }
                    count
                });
                while workspace.log(log).unwrap().entry_count() == 0 {}
                workspace.close().unwrap();
                thread.join().unwrap()
            });
            drop(writer);
            let reader = Workspace::open_read_only(&path, options()).unwrap();
            assert_eq!(reader.own_log().entry_count(), appended);
        }
    });
}

#[test]
fn a_view_of_a_replica_sees_what_is_imported_later() {
    let (folder, first) = create(options());
    put(&first, b"a");
    let path = folder.path().join("r");
    let replica = Workspace::join(&path, first.id(), options()).unwrap();
    replica.import(&bundle_of(&first, &Frontier::empty())[..]).unwrap();
    replica.close().unwrap();
    let replica = Workspace::open(&path, options()).unwrap();
    let view = replica.log(first.own_log().id()).unwrap();
    put(&first, b"b");
    replica.import(&bundle_of(&first, &Frontier::empty())[..]).unwrap();
    assert_eq!(view.entry_count(), 2);
    assert!(view.wait_for(1, Duration::ZERO).unwrap());
}

#[test]
fn a_scan_goes_on_when_the_writer_folds_the_index() {
    let (_folder, workspace) = create(options());
    let path = workspace.path().to_owned();
    let stream = workspace.stream("s").unwrap();
    let mut random = Random::new(4);
    // Many small entries: the pages of a run that name streams are not the one that opening reads.
    let mut more = |count: usize| {
        for number in 0..count {
            stream.append(&random.bytes(5)).unwrap();
            if number % 10_000 == 0 {
                workspace.commit().unwrap();
            }
        }
        workspace.checkpoint().unwrap();
    };
    more(150_000);
    for direction in [Direction::Forward, Direction::Backward] {
        let reader = Workspace::open_read_only(&path, options()).unwrap();
        let log = reader.own_log();
        let count = log.entry_count();
        let mut scan = log.scan_stream(stream.id(), .., direction).unwrap();
        scan.next().unwrap().unwrap();
        more(300_000);
        let rest = scan.inspect(|entry| assert!(entry.is_ok(), "{entry:?}")).count();
        assert_eq!(rest as u64, count - 1);
    }
}

#[test]
fn an_import_that_is_taken_back_takes_nothing_else_with_it() {
    within(|| {
        let (folder, first) = create(options());
        put(&first, b"a");
        let path = first.path().to_owned();
        let id = first.id();
        first.close().unwrap();
        copy_folder(&path, &folder.path().join("backup"));
        let later = Workspace::open(&path, options()).unwrap();
        put(&later, b"b");
        let own = later.own_log().id();
        // Another log comes behind it in the bundle: ids are random.
        let other = loop {
            let to = tempfile::tempdir_in(folder.path()).unwrap().keep();
            let other = Workspace::join(to.join("w"), id, options()).unwrap();
            if other.own_log().id() > own {
                break other;
            }
        };
        put(&other, b"o");
        later.import(&bundle_of(&other, &Frontier::empty())[..]).unwrap();
        let mut bundle = bundle_of(&later, &Frontier::empty());
        // The backup takes the place of the device, and gets its later entries back from a bundle.
        let restored = Workspace::open(folder.path().join("backup"), options()).unwrap();
        let end = bundle.len() - 1;
        bundle[end] ^= 1;
        let reached = || {
            // All but the end was read: the end is wrong.
            restored.append(b"mine").unwrap().wait_durable().unwrap();
            let bundle = bundle_of(&restored, &Frontier::empty());
            let third = Workspace::join(folder.path().join("third"), id, options()).unwrap();
            third.import(&bundle[..]).unwrap();
            assert!(third.log(other.own_log().id()).is_err(), "nothing of it was judged yet");
        };
        let pause = bundle.len() - 72;
        restored.import(Tap { bytes: &bundle, at: 0, pause, reached }).unwrap_err();
        assert!(!restored.is_poisoned());
        restored.commit().unwrap();
        assert_eq!(changes_of(&restored.own_log()), [&b"a"[..], b"mine"]);
        assert!(restored.log(other.own_log().id()).is_err());
    });
}

/// Input that calls back when so many bytes were read.
struct Tap<'a, F> {
    bytes: &'a [u8],
    at: usize,
    pause: usize,
    reached: F,
}

impl<F: Fn()> std::io::Read for Tap<'_, F> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let end = if self.at < self.pause { self.pause } else { self.bytes.len() };
        let len = out.len().min(end - self.at);
        out[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        if self.at == self.pause && len > 0 {
            (self.reached)();
        }
        Ok(len)
    }
}

#[test]
fn a_stream_that_became_void_is_not_another_one() {
    let disk = TestDisk::new();
    let folder = tempfile::tempdir().unwrap();
    let workspace =
        Workspace::create_on(disk.arc(), &folder.path().join("w"), options(), None).unwrap();
    let lost = workspace.stream("lost").unwrap();
    disk.fail(Op::Write, 0, ErrorKind::StorageFull);
    assert!(workspace.commit().is_err());
    disk.heal();
    workspace.resume().unwrap();
    let other = workspace.stream("other").unwrap();
    assert!(matches!(lost.append(b"for lost"), Err(AppendError::Void)));
    workspace.commit().unwrap();
    let entries = workspace.own_log().scan_stream(other.id(), .., Direction::Forward).unwrap();
    let changes = entries.map(Result::unwrap).filter(|entry| !entry.kind().is_control());
    assert_eq!(changes.count(), 0);
}

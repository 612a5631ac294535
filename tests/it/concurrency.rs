//! Many threads, one log; one writer, many readers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use annals::{AppendError, Change, Clock, OpenError, Options, Workspace};

use crate::support::{Class, Op, Random, TestDisk, changes_of, put, within};

const THREADS: u8 = 8;
/// So long a reader waits for what a writer is certain to do.
const PATIENCE: Duration = Duration::from_secs(30);

fn options() -> Options {
    Options::default().clock(Clock::None)
}

fn create(options: Options) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(folder.path().join("w"), options).unwrap();
    (folder, workspace)
}

/// Runs `work` in eight threads that start together.
fn in_threads(work: impl Fn(u8) + Sync) {
    let barrier = Barrier::new(THREADS.into());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread);
            });
        }
    });
}

/// The changes of each thread, whose number is the first byte, must be 0, 1, 2 ..
fn assert_in_order_per_thread(changes: &[Vec<u8>], count: u32) {
    let mut next = BTreeMap::new();
    for change in changes {
        let number = u32::from_le_bytes(change[1..5].try_into().unwrap());
        let expected = next.entry(change[0]).or_insert(0);
        assert_eq!(number, *expected, "of thread {}", change[0]);
        *expected += 1;
    }
    assert_eq!(next.len(), usize::from(THREADS));
    assert!(next.values().all(|&reached| reached == count));
}

fn payload(thread: u8, number: u32) -> Vec<u8> {
    [vec![thread], number.to_le_bytes().to_vec()].concat()
}

#[test]
fn threads_that_commit_share_syncs_and_keep_their_order() {
    within(|| {
        let disk = TestDisk::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        let workspace = Workspace::create_on(disk.arc(), &path, options(), None).unwrap();
        disk.forget_counts();
        in_threads(|thread| {
            for number in 0..100 {
                let index = put(&workspace, &payload(thread, number));
                let progress = workspace.commit().unwrap();
                assert!(progress.entries > index);
                assert!(workspace.durable().entries > index);
            }
        });
        let syncs = disk.count(Op::Sync, Class::Segment);
        assert!(syncs < 100 * u64::from(THREADS), "{syncs} syncs");
        assert_in_order_per_thread(&changes_of(&workspace.own_log()), 100);
        workspace.close().unwrap();
        let workspace = Workspace::open(&path, options()).unwrap();
        assert_in_order_per_thread(&changes_of(&workspace.own_log()), 100);
    });
}

#[test]
fn tickets_are_for_what_they_were_given_for() {
    within(|| {
        let (_folder, workspace) = create(options());
        in_threads(|thread| {
            for number in 0..50 {
                let payload = payload(thread, number);
                let ticket = workspace.append(&payload).unwrap();
                let index = ticket.index();
                assert_eq!(ticket.indices(), index..index + 1);
                assert_eq!(workspace.own_log().entry(index).unwrap().payload().unwrap(), payload);
                assert!(ticket.wait_durable().unwrap().entries > index);
            }
        });
        assert_eq!(workspace.durable().entries, 50 * u64::from(THREADS));
    });
}

#[test]
fn what_is_appended_can_be_read_at_once() {
    within(|| {
        let (_folder, workspace) = create(options().batch_len(1 << 10));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let log = workspace.own_log();
                    let mut before = 0;
                    while !done.load(Ordering::Acquire) {
                        let count = log.entry_count();
                        assert!(count >= before);
                        before = count;
                        let Some(last) = count.checked_sub(1) else { continue };
                        for index in [last, last / 2] {
                            let entry = log.entry(index).unwrap();
                            assert_eq!(entry.payload().unwrap(), index.to_le_bytes().repeat(5));
                        }
                        let scanned = log.scan(last.saturating_sub(50)..count).unwrap();
                        for (entry, index) in scanned.zip(last.saturating_sub(50)..) {
                            assert_eq!(entry.unwrap().index(), index);
                        }
                    }
                });
            }
            for index in 0..20_000_u64 {
                assert_eq!(put(&workspace, &index.to_le_bytes().repeat(5)), index);
                if index % 1_000 == 0 {
                    workspace.commit().unwrap();
                }
            }
            done.store(true, Ordering::Release);
        });
    });
}

#[test]
fn groups_never_interleave() {
    within(|| {
        let (_folder, workspace) = create(options().batch_len(1 << 10).staged_len(64 << 10));
        in_threads(|thread| {
            for number in 0..20_u32 {
                // Some are larger than the buffer.
                let len = if number % 10 == 9 { 4_000 } else { 40 };
                let mut payload = payload(thread, number);
                payload.resize(len, 0);
                let group = vec![Change::new(&payload); 30];
                let ticket = workspace.append_all(&group).unwrap();
                assert_eq!(ticket.indices().count(), 30);
                if number % 3 == 0 {
                    ticket.wait_durable().unwrap();
                }
            }
        });
        let changes = changes_of(&workspace.own_log());
        assert_eq!(changes.len(), 30 * 20 * usize::from(THREADS));
        for group in changes.chunks(30) {
            assert!(group.iter().all(|change| *change == group[0]));
        }
        let firsts: Vec<Vec<u8>> = changes.iter().step_by(30).cloned().collect();
        assert_in_order_per_thread(&firsts, 20);
    });
}

#[test]
fn appenders_wait_instead_of_filling_memory() {
    within(|| {
        let (_folder, workspace) = create(options().staged_len(64 << 10));
        let appended = AtomicU64::new(0);
        in_threads(|thread| {
            let mut random = Random::new(thread.into());
            for number in 0..200 {
                let payload = [payload(thread, number), random.bytes(9_000)].concat();
                put(&workspace, &payload);
                let appended = appended.fetch_add(9_000, Ordering::Relaxed) + 9_000;
                // A buffer that fills, one that is being written, and what each thread is about to add.
                let slack = 3 * (64 << 10) + 2 * u64::from(THREADS) * 9_000;
                let written = std::fs::metadata(workspace.own_log().path()).unwrap().len();
                assert!(appended <= written + slack, "{appended} bytes, {written} of them written");
            }
        });
        assert_in_order_per_thread(&changes_of(&workspace.own_log()), 200);
    });
}

#[test]
fn closing_tells_everybody() {
    within(|| {
        let (_folder, workspace) = create(options());
        let closing = workspace.clone();
        std::thread::scope(|scope| {
            let appending = scope.spawn(|| {
                let mut count = 0;
                loop {
                    match workspace.append(b"x") {
                        Ok(_) => count += 1,
                        Err(AppendError::ReadOnly) => return count,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            assert!(workspace.own_log().wait_for(100, PATIENCE).unwrap());
            closing.close().unwrap();
            assert_eq!(appending.join().unwrap(), workspace.own_log().entry_count());
        });
        assert!(workspace.append(b"y").is_err());
    });
}

#[test]
fn a_second_writer_is_refused() {
    let (_folder, workspace) = create(options());
    let path = workspace.path().to_owned();
    assert!(matches!(Workspace::open(&path, options()), Err(OpenError::Locked(_))));
    put(&workspace, b"still fine");
    let handle = workspace.clone();
    drop(workspace);
    assert!(matches!(Workspace::open(&path, options()), Err(OpenError::Locked(_))));
    drop(handle);
    let again = Workspace::open(&path, options()).unwrap();
    assert_eq!(again.own_log().entry_count(), 1);
}

#[test]
fn a_reader_beside_a_writer_sees_what_is_durable() {
    let (_folder, workspace) = create(options());
    put(&workspace, b"a");
    workspace.commit().unwrap();
    put(&workspace, b"staged");
    let read = Workspace::open_read_only(workspace.path(), options()).unwrap();
    assert_eq!(changes_of(&read.own_log()), [b"a"]);
    assert!(matches!(read.append(b"x"), Err(AppendError::ReadOnly)));
    workspace.commit().unwrap();
    assert_eq!(read.own_log().entry_count(), 1);
    read.refresh().unwrap();
    assert_eq!(changes_of(&read.own_log()), [b"a".as_slice(), b"staged"]);
    assert_eq!(read.own_log().root().unwrap(), workspace.own_log().root().unwrap());
    assert!(!read.own_log().wait_for(2, Duration::ZERO).unwrap());
}

#[test]
fn a_reader_follows_a_writer() {
    within(|| {
        let (_folder, workspace) = create(options().batch_len(1 << 10));
        let path = workspace.path().to_owned();
        let reader = std::thread::spawn(move || {
            let read = Workspace::open_read_only(&path, options()).unwrap();
            let log = read.own_log();
            let mut next = 0_u64;
            while next < 3_000 {
                assert!(log.wait_for(next, PATIENCE).unwrap());
                for entry in log.scan(next..).unwrap() {
                    let entry = entry.unwrap();
                    assert_eq!(
                        (entry.index(), entry.payload().unwrap()),
                        (next, &next.to_le_bytes()[..])
                    );
                    next += 1;
                }
            }
            log.root().unwrap()
        });
        for index in 0..3_000_u64 {
            put(&workspace, &index.to_le_bytes());
            if index % 17 == 0 {
                workspace.commit().unwrap();
            }
        }
        workspace.commit().unwrap();
        assert_eq!(reader.join().unwrap(), workspace.own_log().root().unwrap());
    });
}

#[test]
fn a_reader_finds_logs_that_came_later() {
    let (folder, workspace) = create(options());
    let other = Workspace::join(folder.path().join("o"), workspace.id(), options()).unwrap();
    let read = Workspace::open_read_only(workspace.path(), options()).unwrap();
    put(&other, b"x");
    let mut bundle = Vec::new();
    other.export(&read.frontier().unwrap(), &mut bundle).unwrap();
    workspace.import(&bundle[..]).unwrap();
    read.refresh().unwrap();
    assert_eq!(changes_of(&read.logs_of(other.client()).unwrap()[0]), [b"x"]);
    assert_eq!(read.frontier().unwrap().size(other.own_log().id()), 1);
}

#[test]
fn waiting_for_an_entry_ends_with_the_append() {
    within(|| {
        let (_folder, workspace) = create(options());
        let log = workspace.own_log();
        assert!(!log.wait_for(0, Duration::from_millis(1)).unwrap());
        let waiting = Arc::new(log);
        let thread = {
            let waiting = Arc::clone(&waiting);
            std::thread::spawn(move || waiting.wait_for(3, PATIENCE).unwrap())
        };
        (0..4).for_each(|_| {
            put(&workspace, b"x");
        });
        assert!(thread.join().unwrap());
    });
}

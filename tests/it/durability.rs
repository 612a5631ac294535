//! What was acknowledged is there, what was not is gone or whole, and whoever waits is told.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use annals::{
    AppendError, Cause, Change, Clock, Durability, LostEntries, OpenError, Options, ReadError,
    Verdict, Workspace,
};

use crate::reference::frame::Frame;
use crate::support::{
    Class, Op, Random, TestDisk, changes_of, copy_folder, decode_file, entries_of, put,
    segment_path, within,
};

fn options() -> Options {
    Options::default().clock(Clock::None)
}

/// A new workspace in a folder that is removed with the first value.
fn create(options: Options) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(folder.path().join("w"), options).unwrap();
    (folder, workspace)
}

fn create_on(disk: &TestDisk, options: Options) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let workspace =
        Workspace::create_on(disk.arc(), &folder.path().join("w"), options, None).unwrap();
    (folder, workspace)
}

/// What a crash leaves of a workspace, its own segment changed by `change`.
struct Crashed {
    folder: tempfile::TempDir,
    segment: PathBuf,
}

impl Crashed {
    fn of(workspace: &Workspace, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(workspace.path(), folder.path());
        let segment = segment_path(folder.path(), workspace.own_log().id());
        let mut bytes = std::fs::read(&segment).unwrap();
        change(&mut bytes);
        std::fs::write(&segment, bytes).unwrap();
        Self { folder, segment }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn open(&self) -> Workspace {
        Workspace::open(self.path(), options()).unwrap()
    }

    fn len(&self) -> u64 {
        std::fs::metadata(&self.segment).unwrap().len()
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

/// Offsets at which the frames of the own log start, and the end.
fn boundaries(workspace: &Workspace) -> Vec<u64> {
    let frames = decode_file(workspace.own_log().path()).frames;
    let starts = frames.iter().map(|frame| frame.frame_offset);
    starts.chain(frames.last().map(Frame::end)).collect()
}

/// Frames that are in the file and recorded nowhere, one for each payload.
fn unrecorded(payloads: &[&[u8]]) -> (tempfile::TempDir, Workspace) {
    let (folder, workspace) = create(options().preallocate(0).durability(Durability::ProcessCrash));
    for payload in payloads {
        put(&workspace, payload);
        workspace.commit().unwrap();
    }
    (folder, workspace)
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let (_folder, workspace) = create(options());
    let path = workspace.path().to_owned();
    put(&workspace, b"a");
    assert_eq!(workspace.commit().unwrap().changes, 1);
    put(&workspace, b"b");
    let root = workspace.own_log().root().unwrap();
    workspace.close().unwrap();
    let workspace = Workspace::open(&path, options()).unwrap();
    assert_eq!(*workspace.recovered(), Verdict::Clean);
    assert_eq!(changes_of(&workspace.own_log()), [b"a", b"b"]);
    assert_eq!(workspace.own_log().root().unwrap(), root);
    assert_eq!(workspace.durable().entries, 2);
    assert_eq!(put(&workspace, b"c"), 2);
}

#[test]
fn a_crash_after_a_commit_loses_nothing() {
    let (_folder, workspace) = create(options());
    for number in 0..30_u8 {
        put(&workspace, &[number]);
        if number % 7 == 6 {
            workspace.commit().unwrap();
            let crashed = Crashed::of(&workspace, |_| {});
            let recovered = crashed.open();
            assert_eq!(changes_of(&recovered.own_log()).len(), usize::from(number) + 1);
        }
    }
}

#[test]
fn a_tail_torn_anywhere_leaves_the_whole_frames() {
    let payloads: Vec<&[u8]> = vec![b"a", b"bbbb", b"", b"dddddddddddd"];
    let (_folder, workspace) = unrecorded(&payloads);
    let ends = boundaries(&workspace);
    for len in ends[0]..=ends[4] {
        let crashed = Crashed::of(&workspace, |bytes| bytes.truncate(place(len)));
        let recovered = crashed.open();
        let whole = ends[1..].iter().filter(|&&end| end <= len).count();
        let is_torn = !ends.contains(&len);
        let verdict = if is_torn { Verdict::TornTail } else { Verdict::Clean };
        assert_eq!(*recovered.recovered(), verdict, "cut at {len}");
        assert_eq!(changes_of(&recovered.own_log()), payloads[..whole], "cut at {len}");
        assert_eq!(crashed.len(), ends[whole]);
        assert_eq!(put(&recovered, b"on"), whole as u64);
        recovered.close().unwrap();
        assert_eq!(crashed.open().own_log().entry_count(), whole as u64 + 1);
    }
}

#[test]
fn frames_of_an_earlier_opening_stay_gone() {
    let (_folder, workspace) = unrecorded(&[b"a", b"bbb", b"ccc", b"ddd"]);
    let ends = boundaries(&workspace);
    let before = std::fs::read(workspace.own_log().path()).unwrap();
    // The cut at the second frame loses the third and fourth with it.
    let crashed = Crashed::of(&workspace, |bytes| bytes.truncate(place(ends[1] + 9)));
    let recovered = crashed.open();
    put(&recovered, b"xxx");
    recovered.commit().unwrap();
    assert_eq!(crashed.len(), ends[2]);
    // The disk shows again what stood behind.
    let crashed = Crashed::of(&recovered, |bytes| bytes.extend(&before[place(ends[2])..]));
    let again = crashed.open();
    assert_eq!(*again.recovered(), Verdict::TornTail);
    assert_eq!(changes_of(&again.own_log()), [b"a".as_slice(), b"xxx"]);
    assert_eq!(crashed.len(), ends[2]);
}

#[test]
fn a_group_cut_by_a_crash_is_not_there_at_all() {
    let (_folder, workspace) =
        create(options().durability(Durability::ProcessCrash).batch_len(1 << 10));
    put(&workspace, b"before");
    workspace.commit().unwrap();
    let payload = [3; 400];
    let group: Vec<Change<'_>> = (0..20).map(|_| Change::new(&payload)).collect();
    workspace.append_all(&group).unwrap().index();
    workspace.commit().unwrap();
    let ends = boundaries(&workspace);
    assert!(ends.len() > 4, "the group has several frames");
    let last = ends[ends.len() - 1];
    let mut lens: Vec<u64> = ends[2..].iter().flat_map(|end| [end - 1, *end]).collect();
    lens.extend((ends[1] + 1..last).step_by(97));
    for len in lens {
        let crashed = Crashed::of(&workspace, |bytes| bytes.truncate(place(len)));
        let recovered = crashed.open();
        let count = if len == last { 21 } else { 1 };
        assert_eq!(recovered.own_log().entry_count(), count, "cut at {len}");
    }
}

#[test]
fn a_large_change_cut_by_a_crash_is_not_there_at_all() {
    let (_folder, workspace) = create(options().durability(Durability::ProcessCrash));
    put(&workspace, b"before");
    put(&workspace, &Random::new(4).bytes(3 << 20));
    workspace.commit().unwrap();
    let ends = boundaries(&workspace);
    let last = ends[ends.len() - 1];
    for len in [ends[1], ends[1] + 1_000_000, ends[2], ends[2] + 1_500_000, last - 1, last] {
        let crashed = Crashed::of(&workspace, |bytes| bytes.truncate(place(len)));
        let recovered = crashed.open();
        // It may share the frame of its first part with what came before.
        let entries = recovered.own_log().entry_count();
        let changes = changes_of(&recovered.own_log()).len();
        let is_whole = len == last;
        assert_eq!((entries == 4, changes == 2), (is_whole, is_whole), "cut at {len}");
        assert!(is_whole || entries <= 1, "{entries} entries of a group without its end");
    }
}

#[test]
fn a_file_that_ends_below_its_checkpoint_is_damaged_and_the_rest_is_served() {
    let (_folder, workspace) = unrecorded(&[b"a", b"b", b"c", b"d"]);
    workspace.checkpoint().unwrap();
    let ends = boundaries(&workspace);
    for len in [ends[2], ends[2] + 17, ends[4] - 1] {
        let crashed = Crashed::of(&workspace, |bytes| bytes.truncate(place(len)));
        let whole = ends[1..].iter().filter(|&&end| end <= len).count();
        let error = Workspace::open(crashed.path(), options()).unwrap_err();
        let OpenError::Damaged(damage) = error else { panic!("{error}") };
        let lost = LostEntries { first: whole as u64, end: Some(4) };
        assert_eq!((damage.lost, damage.offset), (lost, ends[whole]));
        assert_eq!(crashed.len(), len, "nothing is cut");

        let read = Workspace::open_read_only(crashed.path(), options()).unwrap();
        assert_eq!(*read.recovered(), Verdict::Damaged);
        let log = read.own_log();
        assert_eq!(log.damage().map(|damage| damage.lost), Some(lost));
        assert_eq!(log.entry(0).unwrap().payload().unwrap(), b"a");
        assert_eq!(log.entry(whole as u64 - 1).unwrap().index(), whole as u64 - 1);
        assert!(log.entry(whole as u64).is_err());
    }
}

#[test]
fn a_frame_rotted_below_the_checkpoint_costs_its_entries_alone() {
    let (_folder, workspace) = unrecorded(&[b"a", b"b", b"c", b"d"]);
    workspace.checkpoint().unwrap();
    let ends = boundaries(&workspace);
    let crashed = Crashed::of(&workspace, |bytes| bytes[place(ends[1] + 80)] ^= 1);
    // Opening starts at the checkpoint and does not look below.
    let read = Workspace::open_read_only(crashed.path(), options()).unwrap();
    let log = read.own_log();
    for (index, payload) in [(0, b"a"), (2, b"c"), (3, b"d")] {
        assert_eq!(log.entry(index).unwrap().payload().unwrap(), payload);
    }
    let error = log.entry(1).unwrap_err();
    let ReadError::Corrupt(damage) = error else { panic!("{error}") };
    assert_eq!(damage.lost, LostEntries { first: 1, end: Some(2) });
    assert_eq!(damage.offset, ends[1]);
    let scanned: Vec<_> = log.scan(..).unwrap().collect();
    let good = scanned.iter().flatten().map(annals::Entry::index);
    assert_eq!(good.collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(scanned.iter().filter(|item| item.is_err()).count(), 1);
}

#[test]
fn an_unsynced_hole_is_saved_before_it_is_cut() {
    let (_folder, workspace) = unrecorded(&[b"a", b"b", b"c", b"d"]);
    let ends = boundaries(&workspace);
    let crashed = Crashed::of(&workspace, |bytes| bytes[place(ends[1] + 75)] ^= 1);
    let before = std::fs::read(&crashed.segment).unwrap();
    let recovered = crashed.open();
    assert_eq!(*recovered.recovered(), Verdict::UnsyncedHole { frame_count: 2 });
    assert_eq!(changes_of(&recovered.own_log()), [b"a"]);
    assert_eq!(crashed.len(), ends[1]);
    let saved: Vec<PathBuf> = std::fs::read_dir(crashed.path().join("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".seg.cut-"))
        .collect();
    let [saved] = saved.as_slice() else { panic!("{saved:?}") };
    assert_eq!(std::fs::read(saved).unwrap(), before[place(ends[1])..]);
}

#[test]
fn opening_to_read_changes_nothing() {
    let (_folder, workspace) = unrecorded(&[b"a", b"b", b"c"]);
    let ends = boundaries(&workspace);
    for cut in [ends[3], ends[3] - 1, ends[2] + 8, 16_384, 9_000] {
        let crashed = Crashed::of(&workspace, |bytes| bytes.truncate(place(cut)));
        let before = crate::support::files_of(crashed.path());
        let disk = TestDisk::new();
        let opened = Workspace::open_read_only_on(disk.arc(), crashed.path(), options());
        assert_eq!(opened.is_ok(), cut >= 16_384);
        drop(opened);
        assert_eq!(disk.changes(), 0);
        assert!(crate::support::files_of(crashed.path()) == before);
    }
}

/// An index that covers more than the file holds is evidence of damage.
#[test]
fn a_file_that_ends_below_its_index_is_damaged() {
    let (_folder, workspace) = create(options());
    let mut random = Random::new(5);
    for _ in 0..40 {
        put(&workspace, &random.bytes(20_000));
        workspace.commit().unwrap();
    }
    assert!(workspace.path().join("cache").exists(), "an index run was written");
    let id = workspace.own_log().id();
    let crashed = Crashed::of(&workspace, |bytes| {
        bytes.truncate(200_000);
        // No checkpoint says that there was more.
        bytes[8_192..16_384].fill(0);
    });
    assert!(crashed.path().join("cache").join(id.to_string()).exists());
    let error = Workspace::open(crashed.path(), options()).unwrap_err();
    let OpenError::Damaged(damage) = error else { panic!("{error}") };
    assert!(matches!(damage.cause, Cause::Missing { file_len: 200_000, .. } | Cause::Frame(_)));
    // The lock file knows it as well.
    std::fs::remove_dir_all(crashed.path().join("cache")).unwrap();
    let error = Workspace::open(crashed.path(), options()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
    std::fs::remove_file(crashed.path().join("LOCK")).unwrap();
    assert_eq!(*crashed.open().recovered(), Verdict::TornTail);
}

#[test]
fn a_commit_of_one_entry_is_one_write_and_one_sync() {
    let disk = TestDisk::new();
    let (_folder, workspace) = create_on(&disk, options());
    for number in 0..20_u8 {
        disk.forget_counts();
        put(&workspace, &[number]);
        assert_eq!(disk.count(Op::Write, Class::Segment), 0);
        workspace.commit().unwrap();
        assert_eq!(disk.count(Op::Write, Class::Segment), 1);
        assert_eq!(disk.count(Op::Sync, Class::Segment), 1);
    }
}

#[test]
fn a_commit_of_nothing_touches_nothing() {
    let disk = TestDisk::new();
    let (_folder, workspace) = create_on(&disk, options());
    put(&workspace, b"a");
    workspace.commit().unwrap();
    disk.forget_counts();
    assert_eq!(workspace.commit().unwrap().entries, 1);
    assert_eq!((disk.changes(), disk.count(Op::Sync, Class::Segment)), (0, 0));
}

#[test]
fn a_sync_of_several_frames_is_followed_by_a_synced_checkpoint() {
    let disk = TestDisk::new();
    let (_folder, workspace) = create_on(&disk, options().batch_len(4 << 10));
    for number in 0..2_000_u32 {
        put(&workspace, &number.to_le_bytes().repeat(8));
    }
    disk.forget_counts();
    workspace.commit().unwrap();
    assert_eq!(disk.count(Op::Sync, Class::Segment), 2);
    let segment = decode_file(workspace.own_log().path());
    assert!(segment.frames.len() > 2);
    assert_eq!(segment.checkpoint().map(|checkpoint| checkpoint.entry_count), Some(2_000));
}

#[test]
fn checkpoints_come_about_every_64_kib_of_single_commits() {
    let (_folder, workspace) = create(options());
    let payload = Random::new(6).bytes(10_000);
    for _ in 0..20 {
        put(&workspace, &payload);
        workspace.commit().unwrap();
    }
    let segment = decode_file(workspace.own_log().path());
    let checkpoint = segment.checkpoint().unwrap();
    assert_eq!(checkpoint.sequence, 2);
    let end = segment.frames.last().unwrap().end();
    assert!(end - checkpoint.durable_len < 80_000);
}

#[test]
fn opening_after_a_clean_close_writes_nothing() {
    let disk = TestDisk::new();
    let (_folder, workspace) = create_on(&disk, options());
    let path = workspace.path().to_owned();
    for number in 0..3_000_u32 {
        put(&workspace, &number.to_le_bytes().repeat(30));
    }
    workspace.close().unwrap();
    let before = crate::support::files_of(&path);
    for _ in 0..3 {
        disk.forget_counts();
        let workspace = Workspace::open_on(disk.arc(), &path, options()).unwrap();
        assert_eq!(workspace.own_log().entry_count(), 3_000);
        workspace.close().unwrap();
        assert_eq!(disk.changes(), 0);
    }
    assert!(crate::support::files_of(&path) == before);
}

#[test]
fn a_recovered_tail_is_written_again_and_recorded_before_anything_is_acknowledged() {
    let (_folder, workspace) = unrecorded(&[b"a", b"b", b"c"]);
    let ends = boundaries(&workspace);
    let crashed = Crashed::of(&workspace, |bytes| bytes.truncate(place(ends[3] - 1)));
    let disk = TestDisk::new();
    let recovered = Workspace::open_on(disk.arc(), crashed.path(), options()).unwrap();
    // The tail and a checkpoint; the sync before reading, of the cut, of the tail, of the checkpoint.
    assert_eq!(disk.count(Op::Write, Class::Segment), 2);
    assert_eq!(disk.count(Op::Sync, Class::Segment), 4);
    let segment = decode_file(&crashed.segment);
    assert_eq!(segment.checkpoint().map(|checkpoint| checkpoint.durable_len), Some(ends[2]));
    drop(recovered);
}

#[test]
fn after_a_failed_sync_everything_errs_until_it_is_opened_again() {
    within(|| {
        let disk = TestDisk::new();
        let (_folder, workspace) = create_on(&disk, options());
        let path = workspace.path().to_owned();
        put(&workspace, b"a");
        workspace.commit().unwrap();
        disk.fail(Op::Sync, 0, ErrorKind::Other);
        let ticket = workspace.append(b"b").unwrap();
        assert!(matches!(workspace.commit(), Err(AppendError::Poisoned(_))));
        // A sync that would succeed now proves nothing about the one that failed.
        disk.heal();
        assert!(workspace.is_poisoned());
        assert!(matches!(ticket.wait_durable(), Err(AppendError::Poisoned(_))));
        assert!(matches!(workspace.append(b"c"), Err(AppendError::Poisoned(_))));
        assert!(matches!(workspace.commit(), Err(AppendError::Poisoned(_))));
        assert!(matches!(workspace.checkpoint(), Err(AppendError::Poisoned(_))));
        assert!(matches!(workspace.resume(), Err(AppendError::Poisoned(_))));
        assert!(workspace.export(&annals::Frontier::empty(), Vec::new()).is_err());
        assert_eq!(workspace.durable().entries, 1);
        assert_eq!(workspace.own_log().entry(0).unwrap().payload().unwrap(), b"a");
        assert!(workspace.close().is_err());

        let workspace = Workspace::open_on(disk.arc(), &path, options()).unwrap();
        let changes = changes_of(&workspace.own_log());
        assert!(changes == [b"a"] || changes == [b"a", b"b"], "{changes:?}");
        put(&workspace, b"d");
        workspace.commit().unwrap();
    });
}

#[test]
fn a_failing_write_poisons_at_whatever_point_it_comes() {
    within(|| {
        for spare in 0..12 {
            for op in [Op::Write, Op::Sync] {
                let disk = TestDisk::new();
                let (_folder, workspace) = create_on(&disk, options().batch_len(1 << 10));
                let path = workspace.path().to_owned();
                disk.fail(op, spare, ErrorKind::Other);
                let mut acknowledged = 0;
                for number in 0..200_u8 {
                    let Ok(_) = workspace.append(&[number; 50]) else { break };
                    if number % 20 == 0 {
                        let Ok(progress) = workspace.commit() else { break };
                        acknowledged = progress.entries;
                    }
                }
                drop(workspace);
                disk.heal();
                let workspace = Workspace::open_on(disk.arc(), &path, options()).unwrap();
                let changes = changes_of(&workspace.own_log());
                assert!(changes.len() as u64 >= acknowledged, "{op:?} {spare}");
                let expected = (0_u8..).take(changes.len()).map(|number| [number; 50].to_vec());
                assert!(changes.iter().cloned().eq(expected), "{op:?} {spare}");
            }
        }
    });
}

#[test]
fn on_a_full_disk_what_was_not_stored_is_void_and_its_indices_are_given_again() {
    within(|| {
        for spare in 0..3 {
            let disk = TestDisk::new();
            let (_folder, workspace) = create_on(&disk, options());
            let path = workspace.path().to_owned();
            put(&workspace, b"a");
            workspace.commit().unwrap();
            disk.fail(Op::Write, spare, ErrorKind::StorageFull);
            let mut acknowledged = 1;
            let (void_from, ticket) = loop {
                let ticket = workspace.append(&[b'x'; 500]).unwrap();
                match workspace.commit() {
                    Ok(progress) => acknowledged = progress.entries,
                    Err(AppendError::DiskFull { void_from, .. }) => break (void_from, ticket),
                    Err(error) => panic!("{error}"),
                }
            };
            assert_eq!((void_from, acknowledged), (ticket.index(), ticket.index()));
            assert!(matches!(workspace.append(b"y"), Err(AppendError::DiskFull { .. })));
            assert!(matches!(workspace.commit(), Err(AppendError::DiskFull { .. })));
            assert!(!workspace.is_poisoned());
            assert_eq!(workspace.own_log().entry_count(), void_from);

            disk.heal();
            workspace.resume().unwrap();
            assert!(matches!(ticket.wait_durable(), Err(AppendError::Void)));
            assert_eq!(put(&workspace, b"again"), void_from);
            workspace.commit().unwrap();
            assert_eq!(workspace.own_log().entry(void_from).unwrap().payload().unwrap(), b"again");
            workspace.close().unwrap();
            let workspace = Workspace::open_on(disk.arc(), &path, options()).unwrap();
            assert_eq!(*workspace.recovered(), Verdict::Clean);
            assert_eq!(workspace.own_log().entry_count(), void_from + 1);
        }
    });
}

#[test]
fn a_large_group_on_a_full_disk_leaves_nothing_of_itself() {
    within(|| {
        for spare in 0..4 {
            let disk = TestDisk::new();
            let (_folder, workspace) = create_on(&disk, options().staged_len(256 << 10));
            put(&workspace, b"before");
            workspace.commit().unwrap();
            disk.fail(Op::Write, spare, ErrorKind::StorageFull);
            let large = Random::new(7).bytes(5 << 20);
            let appended = workspace.append(&large).and_then(annals::Ticket::wait_durable);
            assert!(
                matches!(appended, Err(AppendError::DiskFull { void_from: 1, .. })),
                "{appended:?}"
            );
            assert_eq!(workspace.own_log().entry_count(), 1);
            disk.heal();
            workspace.resume().unwrap();
            assert_eq!(put(&workspace, b"after"), 1);
            workspace.checkpoint().unwrap();
            assert_eq!(changes_of(&workspace.own_log()), [b"before".as_slice(), b"after"]);
            let segment = decode_file(workspace.own_log().path());
            assert!(segment.entries().cloned().eq(entries_of(&workspace.own_log())));
        }
    });
}

#[test]
fn everybody_who_waits_is_told_of_a_failure() {
    for (op, kind) in [(Op::Sync, ErrorKind::Other), (Op::Write, ErrorKind::StorageFull)] {
        within(move || {
            let disk = TestDisk::new();
            let (_folder, workspace) = create_on(&disk, options());
            put(&workspace, b"a");
            workspace.commit().unwrap();
            disk.fail(op, 20, kind);
            let workspace = Arc::new(workspace);
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let workspace = Arc::clone(&workspace);
                    std::thread::spawn(move || {
                        let mut highest = 0;
                        loop {
                            let Ok(ticket) = workspace.append(&[1; 100]) else { return highest };
                            let index = ticket.index();
                            match ticket.wait_durable() {
                                Ok(progress) => {
                                    assert!(progress.entries > index);
                                    highest = index;
                                }
                                Err(_) => return highest,
                            }
                        }
                    })
                })
                .collect();
            let highest = threads.into_iter().map(|thread| thread.join().unwrap()).max();
            let durable = workspace.durable().entries;
            assert!(highest.is_some_and(|highest| highest < durable));
            let crashed = Crashed::of(&workspace, |_| {});
            assert!(crashed.open().own_log().entry_count() >= durable);
        });
    }
}

#[test]
fn an_error_while_reading_changes_nothing() {
    let (_folder, workspace) = unrecorded(&[b"a"]);
    let crashed = Crashed::of(&workspace, |bytes| bytes.truncate(bytes.len() - 1));
    let before = crate::support::files_of(crashed.path());
    let disk = TestDisk::new();
    disk.fail(Op::Sync, 0, ErrorKind::Other);
    let error = Workspace::open_on(disk.arc(), crashed.path(), options()).unwrap_err();
    assert!(matches!(error, OpenError::Io(_)), "{error}");
    assert!(crate::support::files_of(crashed.path()) == before);
}

/// A crash between the first segment and `index.json` leaves nothing in the way; a log with entries is never cleared.
#[test]
fn a_creation_that_was_interrupted_can_be_made_again() {
    let (_folder, workspace) = create(options());
    let path = workspace.path().to_owned();
    workspace.close().unwrap();
    std::fs::remove_file(path.join("index.json")).unwrap();
    let workspace = Workspace::create(&path, options()).unwrap();
    assert_eq!(std::fs::read_dir(path.join("logs")).unwrap().count(), 1);

    workspace.append(b"precious").unwrap().index();
    let segment = workspace.own_log().path().to_owned();
    workspace.close().unwrap();
    let before = std::fs::read(&segment).unwrap();
    std::fs::remove_file(path.join("index.json")).unwrap();
    let refused = Workspace::create(&path, options()).unwrap_err();
    assert!(matches!(refused, annals::OpenError::NotEmpty { .. }), "{refused}");
    assert_eq!(std::fs::read(&segment).unwrap(), before);
}

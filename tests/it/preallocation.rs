//! Space that is written ahead of the log: commits go into it, and nothing else is changed by it.

use std::{io::ErrorKind, path::Path};

use annals::{
    Clock, CompactOptions, Options, Verdict, Workspace,
    check::{self, Depth},
};

use crate::support::{
    Class, Op, TestDisk, changes_of, copy_folder, decode_file, put, segment_path,
};

const AHEAD: u64 = 64 << 10;

fn options() -> Options {
    Options::default().clock(Clock::None).preallocate(usize::try_from(AHEAD).unwrap())
}

fn create(disk: &TestDisk, folder: &Path, options: Options) -> Workspace {
    Workspace::create_on(disk.arc(), &folder.join("w"), options, None).unwrap()
}

fn len(workspace: &Workspace) -> u64 {
    std::fs::metadata(workspace.own_log().path()).unwrap().len()
}

/// Where the last frame of the own log ends.
fn end(workspace: &Workspace) -> u64 {
    decode_file(workspace.own_log().path()).frames.last().unwrap().end()
}

#[test]
fn commits_go_into_space_that_one_of_them_has_written() {
    let (disk, folder) = (TestDisk::new(), tempfile::tempdir().unwrap());
    let workspace = create(&disk, folder.path(), options());
    let start = len(&workspace);
    let mut lens = vec![start];
    let mut checkpoint_count = 0;
    for number in 0..1000_u32 {
        disk.forget_counts();
        put(&workspace, &number.to_le_bytes());
        workspace.commit().unwrap();
        // One write, but for a checkpoint now and then, which the next sync takes along.
        let write_count = disk.count(Op::Write, Class::Segment);
        assert!((1..=2).contains(&write_count), "commit {number}");
        checkpoint_count += write_count - 1;
        assert_eq!(disk.count(Op::Sync, Class::Segment), 1, "commit {number}");
        if lens.last() != Some(&len(&workspace)) {
            lens.push(len(&workspace));
        }
    }
    let end = end(&workspace);
    assert_eq!(checkpoint_count, (end - start) / (64 << 10));
    for pair in lens.windows(2) {
        // About twice what was appended, up to the limit, and up to the end of a page.
        assert!(pair[1].is_multiple_of(4096), "{lens:?}");
        assert!(pair[1] - start <= 2 * (pair[0] - start) + 2 * 4096, "{lens:?}");
        assert!(pair[1] - pair[0] <= AHEAD + 2 * 4096, "{lens:?}");
    }
    assert!(lens.len() < 12, "few commits lengthen the file: {lens:?}");
    assert!(lens[lens.len() - 1] >= end);

    let path = workspace.own_log().path().to_owned();
    let root = workspace.own_log().root().unwrap();
    workspace.close().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), end, "closing gives the space back");
    let again = Workspace::open(folder.path().join("w"), options()).unwrap();
    assert_eq!(*again.recovered(), Verdict::Clean);
    assert_eq!(again.own_log().root().unwrap(), root);
}

#[test]
fn what_a_killed_writer_leaves_is_unused_space() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(&TestDisk::new(), folder.path(), options());
    for number in 0..40_u8 {
        put(&workspace, &[number; 100]);
        workspace.commit().unwrap();
    }
    let (end, whole) = (end(&workspace), len(&workspace));
    assert!(whole > end + 72);
    let stats = workspace.own_log().stats().unwrap();
    assert_eq!((stats.file_bytes, stats.live_bytes, stats.dead_bytes), (whole, end, 0));

    // With the lock record, and without: after a power loss it may be gone.
    for lock in [true, false] {
        let killed = folder.path().join(format!("killed {lock}"));
        copy_folder(workspace.path(), &killed);
        if !lock {
            std::fs::remove_file(killed.join("LOCK")).unwrap();
            std::fs::write(killed.join("LOCK"), b"").unwrap();
        }
        let report = check::check(&killed, Depth::Payloads, |_, _| ()).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.logs[0].verdict, Some(Verdict::Preallocated));
        let reader = Workspace::open_read_only(&killed, options()).unwrap();
        assert_eq!(reader.own_log().entry_count(), 40);
        assert_eq!(std::fs::metadata(reader.own_log().path()).unwrap().len(), whole);
        reader.refresh().unwrap();
        drop(reader);
        let again = Workspace::open(&killed, options()).unwrap();
        assert_eq!(*again.recovered(), Verdict::Preallocated);
        put(&again, b"it goes on");
        again.commit().unwrap();
        assert_eq!(again.own_log().root_at(40).unwrap(), workspace.own_log().root().unwrap());
    }
}

/// The next generation is shorter, and commits go into space as before.
#[test]
fn a_compacted_log_has_space_ahead_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(&TestDisk::new(), folder.path(), options());
    for number in 0..1000_u32 {
        put(&workspace, &number.to_le_bytes());
        workspace.commit().unwrap();
    }
    let path = workspace.path().to_owned();
    workspace.close().unwrap();
    let workspace = Workspace::open(&path, options()).unwrap();
    let before = len(&workspace);
    workspace.compact(&CompactOptions::default(), |_, _| true).unwrap();
    let mut lens = vec![len(&workspace)];
    assert!(lens[0] < before / 4);
    for number in 0..400_u32 {
        put(&workspace, &number.to_le_bytes());
        workspace.commit().unwrap();
        if lens.last() != Some(&len(&workspace)) {
            lens.push(len(&workspace));
        }
    }
    assert!(lens[lens.len() - 1] < before, "it would be found out before it is as long again");
    assert!(lens.len() < 10, "few commits lengthen the file: {lens:?}");
}

/// A frame that was begun in the space and not finished is a torn tail as behind the end of a file.
#[test]
fn what_is_begun_in_the_space_and_not_finished_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(&TestDisk::new(), folder.path(), options());
    for number in 0..9_u8 {
        put(&workspace, &[number; 100]);
        workspace.commit().unwrap();
    }
    let bytes = std::fs::read(workspace.own_log().path()).unwrap();
    let frames = decode_file(workspace.own_log().path()).frames;
    let last = usize::try_from(frames.last().unwrap().frame_offset).unwrap();
    let end = usize::try_from(frames.last().unwrap().end()).unwrap();
    for written in last..end {
        let torn = folder.path().join(format!("torn at {written}"));
        copy_folder(workspace.path(), &torn);
        // The lock record would tell that the last commit was acknowledged.
        std::fs::write(torn.join("LOCK"), b"").unwrap();
        let mut bytes = bytes.clone();
        bytes[written..end].fill(0);
        std::fs::write(segment_path(&torn, workspace.own_log().id()), bytes).unwrap();
        let again = Workspace::open(&torn, options()).unwrap();
        let unused = written == last;
        let verdict = if unused { Verdict::Preallocated } else { Verdict::TornTail };
        assert_eq!(*again.recovered(), verdict, "torn at {written}");
        assert_eq!(changes_of(&again.own_log()).len(), 8, "torn at {written}");
    }
}

#[test]
fn a_disk_without_room_for_the_space_still_takes_the_commit() {
    let (disk, folder) = (TestDisk::new(), tempfile::tempdir().unwrap());
    let workspace = create(&disk, folder.path(), options());
    put(&workspace, b"a");
    disk.fail_once(Op::Write, ErrorKind::StorageFull);
    workspace.commit().unwrap();
    put(&workspace, b"b");
    workspace.commit().unwrap();
    let path = workspace.path().to_owned();
    workspace.close().unwrap();
    let again = Workspace::open(&path, options()).unwrap();
    assert_eq!(*again.recovered(), Verdict::Clean);
    assert_eq!(changes_of(&again.own_log()), [b"a", b"b"]);
}

#[test]
fn what_is_written_in_bulk_or_not_synced_has_no_space_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = create(&TestDisk::new(), folder.path(), options());
    for number in 0..2000_u32 {
        put(&workspace, &number.to_le_bytes().repeat(25));
    }
    workspace.commit().unwrap();
    assert_eq!(len(&workspace), end(&workspace));

    let folder = tempfile::tempdir().unwrap();
    let options = options().preallocate(0);
    let workspace = create(&TestDisk::new(), folder.path(), options.clone());
    put(&workspace, b"a");
    workspace.commit().unwrap();
    assert_eq!(len(&workspace), end(&workspace), "none was asked for");
    let path = workspace.path().to_owned();
    workspace.close().unwrap();
    // The header says how the log was made.
    let workspace = Workspace::open(&path, options.preallocate(1 << 20)).unwrap();
    put(&workspace, b"b");
    workspace.commit().unwrap();
    assert_eq!(len(&workspace), end(&workspace));
}

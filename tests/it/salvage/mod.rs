//! Salvaging: exactly what is sound comes back, once each, and nothing else does.
//!
//! Here: whole workspaces, heaps of files, several copies; `frames`: each frame damaged in turn; `forgotten`:
//! redacted and pruned logs; `disks`: disks that
//! fail, power that fails, and chaos.

mod disks;
mod forgotten;
mod frames;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use annals::{
    Change, Clock, LogId, Options, StreamId, Timestamp, Workspace,
    check::{Depth, check},
    salvage::{SalvageError, SalvageReport, salvage},
};

use crate::support::{copy_folder, decode_file, files_of, segment_path};

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
                changes.push((stream, time, entry.payload().unwrap_or(b"(absent)").to_vec()));
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
        merged.map(|entry| entry.unwrap().payload().unwrap().to_vec()).collect()
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

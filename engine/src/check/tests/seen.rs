//! What the logs say of each other.

use super::*;
use crate::Frontier;

/// Two clients that have seen each other: `a` wrote three entries, `b` one, then `a` one more.
struct Pair {
    _folder: TempDir,
    a: PathBuf,
    b: PathBuf,
    a_log: LogId,
    b_log: LogId,
}

fn pair() -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let (a_path, b_path) = (folder.path().join("a"), folder.path().join("b"));
    let a = Workspace::create(&a_path, Options::default()).unwrap();
    let b = Workspace::join(&b_path, a.id(), Options::default()).unwrap();
    let copy = |from: &Workspace, to: &Workspace| {
        let mut bundle = Vec::new();
        from.export(&Frontier::empty(), &mut bundle).unwrap();
        to.import(&bundle[..]).unwrap();
    };
    for _ in 0..3 {
        append(&a, b"a");
        a.commit().unwrap();
    }
    copy(&a, &b);
    append(&b, b"b");
    copy(&b, &a);
    append(&a, b"again");
    let (a_log, b_log) = (a.own_log().id(), b.own_log().id());
    a.close().unwrap();
    b.close().unwrap();
    Pair { _folder: folder, a: a_path, b: b_path, a_log, b_log }
}

/// Cuts a log back to `frames` frames, with nothing left that tells of more.
fn forget(files: &mut Files, folder: &Path, log: LogId, frames: usize) {
    let path = segment_path(Path::new(""), log);
    let bytes = files.get_mut(&path).unwrap();
    let ends = frames_of(folder, log, bytes.len());
    bytes.truncate(ends[frames - 1].bytes.end);
    bytes[8192..16_384].fill(0);
    files.remove(Path::new("LOCK"));
}

fn found(files: &Files) -> Report {
    let folder = folder_of(files);
    let report = check(folder.path(), Depth::Structure, |_, _| ()).unwrap();
    assert_eq!(report.findings, [], "without reading the entries nothing is known: {report:#?}");
    check(folder.path(), Depth::Payloads, |_, _| ()).unwrap()
}

#[test]
fn logs_that_have_seen_each_other_are_clean() {
    let pair = pair();
    for path in [&pair.a, &pair.b] {
        assert_eq!(check(path, Depth::Payloads, |_, _| ()).unwrap().findings, []);
    }
}

#[test]
fn the_own_log_shorter_than_somebody_has_seen_it_is_an_error() {
    let pair = pair();
    let mut files = files_of(&pair.a);
    forget(&mut files, &pair.a, pair.a_log, 2);
    let report = found(&files);
    assert_eq!(codes(&report), [Code::ShorterThanKnown], "{report:#?}");
    assert_eq!(report.findings[0].lost, Some((2..3).into()));
    assert_eq!(report.exit_code(), 4);
}

#[test]
fn a_replica_shorter_than_the_own_log_has_seen_it_is_an_error() {
    let pair = pair();
    let mut files = files_of(&pair.b);
    forget(&mut files, &pair.b, pair.a_log, 1);
    let report = found(&files);
    assert_eq!(codes(&report), [Code::ShorterThanKnown], "{report:#?}");
    assert_eq!(report.findings[0].lost, Some((1..3).into()));
    // And so is one that is gone.
    files.remove(&segment_path(Path::new(""), pair.a_log));
    files.retain(|path, _| !path.starts_with("cache"));
    let report = found(&files);
    assert_eq!(codes(&report), [Code::ShorterThanKnown], "{report:#?}");
    assert_eq!(report.findings[0].lost, Some((0..3).into()));
}

#[test]
fn what_has_not_come_yet_is_no_error() {
    // A third client has all of b, and of a less than b had seen, or nothing.
    let pair = pair();
    let third = tempfile::tempdir().unwrap();
    let b = Workspace::open_read_only(&pair.b, Options::default()).unwrap();
    let path = third.path().join("c");
    let c = Workspace::join(&path, b.id(), Options::default()).unwrap();
    let mut bundle = Vec::new();
    let b = Workspace::open(b.path(), Options::default()).unwrap();
    b.export(&Frontier::empty(), &mut bundle).unwrap();
    c.import(&bundle[..]).unwrap();
    c.close().unwrap();
    let mut files = files_of(&path);
    forget(&mut files, &path, pair.a_log, 1);
    let report = found(&files);
    assert_eq!((codes(&report), report.exit_code()), (vec![Code::ShorterThanKnown], 0));
    files.remove(&segment_path(Path::new(""), pair.a_log));
    assert_eq!(found(&files).findings, []);
}

#[test]
fn a_log_of_another_history_than_was_seen_is_an_error() {
    let pair = pair();
    let mut files = files_of(&pair.a);
    forget(&mut files, &pair.a, pair.a_log, 1);
    let folder = folder_of(&files);
    // Goes on in another way, for longer than b has seen it.
    let a = Workspace::open(folder.path(), Options::default()).unwrap();
    (0..5).for_each(|_| append(&a, b"other"));
    a.close().unwrap();
    let report = check(folder.path(), Depth::Payloads, |_, _| ()).unwrap();
    assert_eq!(codes(&report), [Code::RootContradicts], "{report:#?}");
    assert!(report.findings[0].what.contains(&pair.b_log.to_string()));
    assert_eq!(report.exit_code(), 4);
}

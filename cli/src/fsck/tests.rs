//! The program as a script sees it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use annals::{Options, Workspace};

use super::run;

/// A workspace with four changes, and its segment.
fn workspace(folder: &Path) -> (PathBuf, PathBuf) {
    let path = folder.join("w");
    let workspace = Workspace::create(&path, Options::default()).unwrap();
    for change in ["one", "two", "three", "four"] {
        workspace.append(change.as_bytes()).unwrap().wait_durable().unwrap();
    }
    let segment = workspace.own_log().path().to_owned();
    workspace.close().unwrap();
    (path, segment)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn fsck(args: &[&str], path: &Path) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = ["annals-fsck"].iter().chain(args).map(Into::into);
    let code = run(all.chain([path.into()]), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn a_clean_workspace_exits_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = workspace(folder.path());
    for args in [&[][..], &["--deep"], &["--repair"], &["--deep", "--repair"]] {
        let (code, out, err) = fsck(args, &path);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.contains("clean: 1 logs, 4 entries"), "{out}");
    }
}

#[test]
fn damaged_entries_exit_with_4_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, segment) = workspace(folder.path());
    flip(&segment, 16_384 + 80);
    for args in [&[][..], &["--deep"], &["--repair"]] {
        let (code, out, _) = fsck(args, &path);
        assert_eq!(code, 4, "{out}");
        let line = out.lines().next().unwrap();
        for part in [".seg: byte 16384:", "[bad-payload]", "lost: entry 0", "backup"] {
            assert!(line.contains(part), "{line}");
        }
    }
    let (_, out, _) = fsck(&["--json"], &path);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["exit"], &json["clean"]), (&4.into(), &false.into()));
    assert_eq!(json["findings"][0]["code"], "bad-payload");
    assert_eq!(json["findings"][0]["lost"]["end"], 1);
    assert_eq!(json["logs"][0]["verdict"], "damaged");
}

#[test]
fn corrected_errors_exit_with_1_and_then_0() {
    let folder = tempfile::tempdir().unwrap();
    let (path, segment) = workspace(folder.path());
    flip(&segment, 100);
    assert_eq!(fsck(&[], &path).0, 4);
    let (code, out, _) = fsck(&["--repair"], &path);
    assert_eq!(code, 1, "{out}");
    assert!(out.starts_with("corrected: "), "{out}");
    assert_eq!(fsck(&["--repair"], &path).0, 0);
}

#[test]
fn what_cannot_be_checked_exits_with_8() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&[][..], &["--repair"]] {
        let (code, out, err) = fsck(args, folder.path());
        assert_eq!((code, out.as_str()), (8, ""));
        assert!(err.contains("not an Annals workspace"), "{err}");
    }
    let (_, out, _) = fsck(&["--json"], folder.path());
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["exit"], 8);

    let path = folder.path().join("w");
    let writer = Workspace::create(&path, Options::default()).unwrap();
    assert_eq!(fsck(&[], &path).0, 0);
    assert_eq!(fsck(&["--repair"], &path).0, 8);
    drop(writer);
}

//! Sound workspaces of all kinds: what writers do is never called damage.

use super::*;
use crate::{Durability, Frontier, Merged};

/// Checks what is in the folder now as if its writer had died.
fn assert_clean(folder: &Path) -> Report {
    let copy = folder_of(&files_of(folder));
    let mut last = None;
    for depth in DEPTHS {
        let report = check(copy.path(), depth, |_, _| ()).unwrap();
        assert_eq!(report.findings, [], "{depth:?}: {report:#?}");
        last = Some(report);
    }
    last.unwrap()
}

fn write(workspace: &Workspace, seed: usize) {
    for round in 0..12 {
        let stream = workspace.stream(&format!("stream {}", round % 5)).unwrap();
        for change in 0..(seed + round) % 40 {
            let len = (seed * 31 + round * 1009 + change * 77) % 3000;
            let byte = u8::try_from(change % 256).unwrap();
            assert!(stream.append(&vec![byte; len]).unwrap().index() > 0);
        }
        let group: Vec<Vec<u8>> = (0..round % 7).map(|part| vec![3; 700 * part + seed]).collect();
        let changes: Vec<Change> = group.iter().map(|change| Change::new(change)).collect();
        if !changes.is_empty() {
            workspace.append_all(&changes).unwrap().index();
        }
        if round == 7 {
            // Longer than an entry, so that it is split.
            append(workspace, &vec![9; 2_500_000]);
        }
        if round % 3 != 1 {
            workspace.commit().unwrap();
        }
    }
    workspace.commit().unwrap();
}

#[test]
fn whatever_is_written_is_clean() {
    let plain = Options::default();
    let kinds = [
        plain.clone(),
        plain.clone().batch_len(1 << 10),
        plain.clone().aligned_frames(),
        plain.clone().durability(Durability::ProcessCrash).batch_len(1 << 10),
    ];
    for (kind, options) in kinds.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        drop(Workspace::create(&path, options.clone()).unwrap());
        assert_clean(&path);
        for opening in 0..4 {
            let workspace = Workspace::open(&path, options.clone()).unwrap();
            write(&workspace, 10 * kind + opening);
            assert_clean(&path);
            if opening % 2 == 0 {
                workspace.close().unwrap();
            } else {
                // Dies: the next opening recovers a copy.
                let files = files_of(&path);
                drop(workspace);
                for (name, bytes) in files {
                    put(&path.join(name), &bytes);
                }
            }
            let report = assert_clean(&path);
            assert!(report.logs[0].changes.is_some());
        }
    }
}

#[test]
fn replicas_are_clean() {
    let folder = tempfile::tempdir().unwrap();
    let (a_path, b_path) = (folder.path().join("a"), folder.path().join("b"));
    let a = Workspace::create(&a_path, Options::default().batch_len(1 << 10)).unwrap();
    let b = Workspace::join(&b_path, a.id(), Options::default()).unwrap();
    for round in 0..3 {
        write(&a, round);
        write(&b, round + 5);
        for (from, to) in [(&a, &b), (&b, &a)] {
            let mut bundle = Vec::new();
            from.export(&to.frontier().unwrap(), &mut bundle).unwrap();
            to.import(&bundle[..]).unwrap();
            bundle.clear();
            // Once more from the start: skipped, and cut into batches elsewhere.
            from.export(&Frontier::default(), &mut bundle).unwrap();
            to.import(&bundle[..]).unwrap();
        }
        for path in [&a_path, &b_path] {
            assert_eq!(assert_clean(path).logs.len(), 2);
        }
    }
    let mut roots: Vec<_> = a.logs().iter().map(|log| log.root().unwrap()).collect();
    let mut reported: Vec<_> =
        assert_clean(&a_path).logs.iter().map(|log| log.root.unwrap()).collect();
    roots.sort_unstable();
    reported.sort_unstable();
    assert_eq!(reported, roots);
    let merged: Merged = a.merged().unwrap();
    assert!(merged.count() > 100);
}

#[test]
fn a_backup_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(folder.path().join("w"), Options::default()).unwrap();
    write(&workspace, 3);
    let copy = folder.path().join("copy");
    workspace.backup(&copy, |_, _| ()).unwrap();
    assert_clean(&copy);
}

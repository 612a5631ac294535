//! Bundles that come in while others append and read.

use std::path::Path;

use annals::{Frontier, ImportError, Workspace};

use crate::{
    appending::in_threads,
    disk::{Image, MemoryDisk},
    model::{explore, prepared},
    witness::{empty_workspace, options, path, payload},
};

/// What another client of the workspace on `image` sends.
fn foreign_bundle(image: &Image) -> Vec<u8> {
    let image = image.clone();
    prepared(move || {
        let here = Workspace::open_on(MemoryDisk::new(&image).arc(), &path(), options()).unwrap();
        let disk = MemoryDisk::new(&Image::default());
        disk.arc().create_dir(Path::new("/")).unwrap();
        // Numbers that the other disk does not draw.
        (0..50).for_each(|_| disk.arc().fill_random(&mut [0; 8]).unwrap());
        let other =
            Workspace::create_on(disk.arc(), Path::new("/o"), options(), Some(here.id())).unwrap();
        for number in 0..3 {
            other.append(&payload(9, number, 0, 1, 600)).unwrap();
            other.commit().unwrap();
        }
        bundle_of(&other)
    })
}

/// What this client would get back of its own log, having lost it.
fn own_bundle(image: &Image) -> Vec<u8> {
    let image = image.clone();
    prepared(move || {
        let later = Workspace::open_on(MemoryDisk::new(&image).arc(), &path(), options()).unwrap();
        later.stream("a").unwrap().append(&payload(9, 0, 0, 1, 600)).unwrap();
        later.commit().unwrap();
        later.stream("b").unwrap().append(&payload(9, 1, 0, 1, 600)).unwrap();
        bundle_of(&later)
    })
}

fn bundle_of(workspace: &Workspace) -> Vec<u8> {
    let mut bundle = Vec::new();
    workspace.export(&Frontier::empty(), &mut bundle).unwrap();
    bundle
}

#[test]
fn imports_and_appends_do_not_disturb_each_other() {
    let image = empty_workspace();
    let bundle = foreign_bundle(&image);
    explore(move || {
        let bundle = bundle.clone();
        in_threads(&image, 4, move |thread, witness, workspace| match thread {
            0 => {
                let report = workspace.import(&bundle[..]).unwrap();
                assert_eq!(report.logs.len(), 1);
            }
            1 => {
                let mut out = Vec::new();
                workspace.export(&Frontier::empty(), &mut out).unwrap();
                workspace.merged().unwrap().for_each(|entry| drop(entry.unwrap()));
            }
            _ => (0..2).for_each(|number| {
                witness.store(workspace, (thread, number), (1, 600)).unwrap();
            }),
        });
    });
}

#[test]
fn an_own_log_that_comes_back_is_taken_or_refused() {
    let image = empty_workspace();
    let bundle = own_bundle(&image);
    explore(move || {
        let bundle = bundle.clone();
        in_threads(&image, 4, move |thread, witness, workspace| {
            match thread {
                0 => match workspace.import(&bundle[..]) {
                    Ok(_)
                    | Err(
                        ImportError::Contradiction { .. }
                        | ImportError::Diverged { .. }
                        | ImportError::Refused { .. },
                    ) => {}
                    Err(error) => panic!("{error}"),
                },
                1 => {
                    let stream = workspace.stream("b").unwrap();
                    stream.append(&payload(thread, 0, 0, 1, 20)).unwrap().wait_durable().unwrap();
                }
                2 => (0..2).for_each(|_| workspace.reindex(false, |_, _| true).unwrap()),
                _ => witness.store(workspace, (thread, 0), (1, 600)).unwrap(),
            }
            assert!(!workspace.is_poisoned());
        });
    });
}

#[test]
fn an_unsound_bundle_leaves_nothing_behind() {
    let image = empty_workspace();
    let bundle = foreign_bundle(&image);
    explore(move || {
        let bundle = bundle.clone();
        in_threads(&image, 3, move |thread, witness, workspace| match thread {
            0 => {
                let mut unsound = bundle.clone();
                *unsound.last_mut().unwrap() ^= 1;
                workspace.import(&unsound[..]).unwrap_err();
                workspace.import(&bundle[..]).unwrap();
                let log = &workspace.logs()[1];
                assert_eq!(log.scan(..).unwrap().map(Result::unwrap).count(), 3);
            }
            1 => (0..2).for_each(|_| {
                for log in workspace.logs() {
                    // What an import is taking back may be gone while it is read.
                    log.scan(..).into_iter().flatten().for_each(drop);
                }
            }),
            _ => witness.store(workspace, (thread, 0), (1, 600)).unwrap(),
        });
    });
}

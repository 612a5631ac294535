//! Disks that fail: whoever waits gets an error, or is told the truth; nobody waits for ever.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use annals::{AppendError, Options, StreamError, Workspace};
use shuttle::thread;

use crate::{
    appending::in_threads,
    disk::{Faults, Image, PANIC},
    model::explore,
    witness::{Witness, empty_workspace},
};

/// Runs `work` in `count` threads on a disk that fails after opening.
fn with_faults(
    image: &Image,
    faults: impl Fn(&Witness) -> Faults + Send + Sync + 'static,
    count: u8,
    work: impl Fn(u8, &Witness, &Workspace) + Send + Sync + 'static,
) {
    let started = shuttle::sync::Once::new();
    in_threads(image, count, move |thread, witness, workspace| {
        started.call_once(|| witness.disk.set_faults(faults(witness)));
        work(thread, witness, workspace);
    });
}

/// The errors that a fault leaves; anything else is a bug.
fn expect_poisoned(result: Result<(), AppendError>) {
    match result {
        Ok(()) | Err(AppendError::Poisoned(_) | AppendError::ReadOnly) => {}
        Err(error) => panic!("{error}"),
    }
}

/// What threads do while the disk fails: single changes, a group larger than the buffer, a checkpoint.
fn work(thread: u8, witness: &Witness, workspace: &Workspace) {
    match thread {
        0 => (0..2).for_each(|number| {
            expect_poisoned(witness.store(workspace, (thread, number), (1, 40)));
        }),
        1 => {
            expect_poisoned(witness.append(workspace, (thread, 0), (2, 2_000)).map(drop));
            expect_poisoned(witness.commit(workspace));
        }
        2 => expect_poisoned(witness.store(workspace, (thread, 0), (3, 30 << 10))),
        _ => {
            // Of what is staged it is not known that it will be stored: a failure ends the wait as well.
            let _ = workspace.own_log().wait_for(0, Duration::MAX).unwrap();
            let entries = workspace.durable().entries;
            witness.acknowledged(entries);
            expect_poisoned(workspace.checkpoint());
        }
    }
}

#[test]
fn a_sync_that_fails_is_told_to_everybody_who_waits_for_it() {
    let image = empty_workspace();
    for spare in 0..6 {
        let image = image.clone();
        explore(move || {
            with_faults(
                &image,
                move |_| Faults { syncs: Some(spare), ..Faults::default() },
                4,
                work,
            );
        });
    }
}

#[test]
fn a_write_that_fails_is_told_to_everybody_who_waits_for_it() {
    let image = empty_workspace();
    for spare in [0, 1, 3, 5, 8, 13] {
        let image = image.clone();
        explore(move || {
            with_faults(
                &image,
                move |_| Faults { writes: Some(spare), ..Faults::default() },
                4,
                work,
            );
        });
    }
}

#[test]
fn a_leader_that_panics_leaves_nobody_waiting() {
    let image = empty_workspace();
    for spare in [0, 2, 5, 9] {
        let image = image.clone();
        explore(move || {
            let faults = move |_: &Witness| Faults { panics: Some(spare), ..Faults::default() };
            with_faults(&image, faults, 4, |thread, witness, workspace| {
                let result = catch_unwind(AssertUnwindSafe(|| work(thread, witness, workspace)));
                if let Err(panic) = result
                    && panic.downcast_ref() != Some(&PANIC)
                {
                    resume_unwind(panic);
                }
            });
        });
    }
}

/// What a full disk may answer.
fn is_full(error: &AppendError) -> bool {
    matches!(error, AppendError::DiskFull { .. } | AppendError::Void)
}

/// Frees the disk and goes on, as a host does that was told of it.
fn free(witness: &Witness, workspace: &Workspace) {
    witness.disk.set_faults(Faults::default());
    workspace.resume().unwrap();
}

/// The disk has room for `room` more bytes of the segment.
fn nearly_full(room: u64) -> impl Fn(&Witness) -> Faults + Send + Sync {
    move |witness| {
        let len_max = Some(witness.disk.segment_len() + room);
        Faults { len_max, ..Faults::default() }
    }
}

#[test]
fn a_full_disk_says_what_is_void_and_resumes() {
    let image = empty_workspace();
    for room in [0, 300, 700] {
        let image = image.clone();
        explore(move || {
            with_faults(&image, nearly_full(room), 4, |thread, witness, workspace| {
                for number in 0..2 {
                    let group = if thread == 2 { (3, 30 << 10) } else { (1, 200) };
                    match witness.store(workspace, (thread, number), group) {
                        Ok(()) => {}
                        Err(error) if is_full(&error) => free(witness, workspace),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        });
    }
}

#[test]
fn a_full_disk_can_be_closed() {
    let image = empty_workspace();
    explore(move || {
        with_faults(&image, nearly_full(300), 3, |thread, witness, workspace| {
            if thread == 0 {
                let _ = workspace.clone().close();
                return;
            }
            for number in 0..2 {
                match witness.store(workspace, (thread, number), (1, 200)) {
                    Ok(()) | Err(AppendError::ReadOnly) => {}
                    Err(error) => assert!(is_full(&error), "{error}"),
                }
            }
        });
    });
}

/// Asks for a stream and appends to it, until the disk has room.
fn append_in_stream(workspace: &Workspace, name: &str) -> Result<(), AppendError> {
    let stream = match workspace.stream(name) {
        Ok(stream) => stream,
        Err(StreamError::Append(error)) => return Err(error),
        Err(error) => panic!("{error}"),
    };
    stream.append(&[0; 100]).map(drop)
}

#[test]
fn streams_that_a_full_disk_has_lost_are_declared_again() {
    let image = empty_workspace();
    explore(move || {
        let (witness, workspace) = Witness::new(&image);
        witness.disk.set_faults(nearly_full(300)(&witness));
        let threads = ["a", "b", "a"].map(|name| {
            let (disk, workspace) = (witness.disk.clone(), workspace.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    let result = append_in_stream(&workspace, name)
                        .and_then(|()| workspace.commit().map(drop));
                    match result {
                        Ok(()) => {}
                        Err(error) if is_full(&error) => {
                            disk.set_faults(Faults::default());
                            workspace.resume().unwrap();
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!workspace.is_poisoned());
        workspace.commit().unwrap();
        // What was appended to a stream is in the stream.
        let streams = workspace.own_log().streams().unwrap();
        assert!(streams.len() <= 2, "{streams:?}");
        workspace.close().unwrap();
        let again =
            Workspace::open_on(witness.disk.arc(), &crate::witness::path(), Options::default());
        assert_eq!(again.unwrap().own_log().streams().unwrap(), streams);
    });
}

//! Threads that append, commit, close and checkpoint while nothing fails.

use std::{sync::Arc, time::Duration};

use annals::{AppendError, Workspace};
use shuttle::thread;

use crate::{
    disk::Image,
    model::{exhaust, explore},
    witness::{Witness, empty_workspace},
};

/// Runs `work` in `count` threads of one workspace, and judges what is left.
pub(crate) fn in_threads(
    image: &Image,
    count: u8,
    work: impl Fn(u8, &Witness, &Workspace) + Send + Sync + 'static,
) {
    let (witness, workspace) = Witness::new(image);
    let (witness, work) = (Arc::new(witness), Arc::new(work));
    let threads: Vec<_> = (0..count)
        .map(|number| {
            let (witness, work) = (Arc::clone(&witness), Arc::clone(&work));
            let workspace = workspace.clone();
            thread::spawn(move || work(number, &witness, &workspace))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    witness.judge();
    drop(workspace);
    witness.judge();
}

#[test]
fn commits_of_many_threads_are_durable_when_they_return() {
    let image = empty_workspace();
    explore(move || {
        in_threads(&image, 4, |thread, witness, workspace| {
            for number in 0..2 {
                witness.store(workspace, (thread, number), (1, 40)).unwrap();
            }
            witness.commit(workspace).unwrap();
        });
    });
}

#[test]
fn whoever_waits_for_an_entry_is_woken() {
    let image = empty_workspace();
    exhaust(200_000, move || {
        let (_, workspace) = Witness::new(&image);
        let waiting = workspace.clone();
        let waiter = thread::spawn(move || {
            assert!(waiting.own_log().wait_for(0, Duration::MAX).unwrap());
        });
        workspace.append(b"x").unwrap();
        waiter.join().unwrap();
    });
}

#[test]
fn back_pressure_lets_everybody_go_on() {
    let image = empty_workspace();
    explore(move || {
        in_threads(&image, 3, |thread, witness, workspace| {
            for number in 0..3 {
                witness.append(workspace, (thread, number), (1, 40 << 10)).unwrap();
            }
            witness.commit(workspace).unwrap();
        });
    });
}

#[test]
fn groups_larger_than_the_buffer_stay_whole() {
    let image = empty_workspace();
    explore(move || {
        in_threads(&image, 4, |thread, witness, workspace| match thread {
            0 | 1 => witness.store(workspace, (thread, 0), (3, 30 << 10)).unwrap(),
            2 => (0..3).for_each(|number| {
                witness.store(workspace, (thread, number), (1, 100)).unwrap();
            }),
            _ => {
                witness.append(workspace, (thread, 0), (2, 1_000)).unwrap();
                witness.commit(workspace).unwrap();
            }
        });
    });
}

#[test]
fn closing_refuses_what_it_does_not_store() {
    let image = empty_workspace();
    explore(move || {
        in_threads(&image, 4, |thread, witness, workspace| {
            if thread == 3 {
                return workspace.clone().close().unwrap();
            }
            for number in 0..3 {
                let count = if thread == 2 { 3 } else { 1 };
                let len = if thread == 2 { 30 << 10 } else { 500 };
                match witness.store(workspace, (thread, number), (count, len)) {
                    Ok(()) => {}
                    Err(AppendError::ReadOnly) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    });
}

#[test]
fn checkpoints_do_not_hold_up_appends() {
    let image = empty_workspace();
    explore(move || {
        in_threads(&image, 4, |thread, witness, workspace| {
            for number in 0..2 {
                match thread {
                    0 => {
                        let entries = workspace.own_log().entry_count();
                        workspace.checkpoint().unwrap();
                        witness.acknowledged(entries);
                    }
                    1 => witness.store(workspace, (thread, number), (2, 2_000)).unwrap(),
                    _ => {
                        let _ = witness.append(workspace, (thread, number), (1, 1_500)).unwrap();
                    }
                }
            }
        });
    });
}

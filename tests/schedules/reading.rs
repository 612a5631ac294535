//! Readers beside threads that append, in this process and as in another.

use std::{sync::Arc, time::Duration};

use annals::{Direction, LogView, StreamId, Timestamp, Workspace};
use shuttle::thread;

use crate::{
    appending::in_threads,
    model::explore,
    witness::{Witness, empty_workspace, options, path, payload},
};

/// Reads all that there is, and checks that it is what was appended.
fn read_all(log: &LogView, before: u64) -> u64 {
    let count = log.entry_count();
    assert!(count >= before, "{before} entries could be read, now {count}");
    let entries: Vec<_> = log.scan(..count).unwrap().map(Result::unwrap).collect();
    assert_eq!(entries.len() as u64, count);
    for (entry, index) in entries.iter().zip(0..) {
        let again = log.entry(index).unwrap();
        assert_eq!((entry.index(), again.index()), (index, index));
        assert_eq!(entry.payload().unwrap(), again.payload().unwrap());
        let [thread, number, position, count] = *entry.payload().unwrap().first_chunk().unwrap();
        assert_eq!(
            entry.payload().unwrap(),
            payload(thread, number, position, count, entry.payload().unwrap().len())
        );
    }
    count
}

#[test]
fn what_can_be_read_stays_as_it_is() {
    let image = empty_workspace();
    explore(move || {
        in_threads(&image, 4, |thread, witness, workspace| match thread {
            0 => (0..3).for_each(|number| {
                witness.store(workspace, (thread, number), (1, 600)).unwrap();
            }),
            1 => {
                let _ = witness.append(workspace, (thread, 0), (3, 30 << 10)).unwrap();
            }
            _ => {
                let log = workspace.own_log();
                (0..3).fold(0, |before, _| read_all(&log, before));
            }
        });
    });
}

#[test]
fn the_index_is_read_up_beside_appends() {
    let image = empty_workspace();
    explore(move || {
        in_threads(&image, 4, |thread, witness, workspace| match thread {
            0 => (0..2).for_each(|number| {
                witness.store(workspace, (thread, number), (1, 1_100)).unwrap();
            }),
            1 => {
                let _ = witness.append(workspace, (thread, 0), (3, 30 << 10)).unwrap();
            }
            2 => (0..2).for_each(|_| workspace.reindex(false, |_, _| true).unwrap()),
            _ => {
                let log = workspace.own_log();
                log.size_at(Timestamp::from_micros(0)).unwrap();
                let backward = log.scan_backward(..).unwrap();
                backward.for_each(|entry| drop(entry.unwrap()));
                let stream = log.scan_stream(StreamId::DEFAULT, .., Direction::Forward).unwrap();
                stream.for_each(|entry| drop(entry.unwrap()));
                let root = log.root().unwrap();
                if let Some(last) = log.entry_count().checked_sub(1) {
                    let proof = log.prove_inclusion(last, None).unwrap();
                    assert_eq!(
                        proof.verify(&root).is_ok(),
                        proof.size == last + 1 && log.root_at(last + 1).unwrap() == root
                    );
                }
            }
        });
    });
}

#[test]
fn whoever_waits_for_entries_sees_them_all() {
    let image = empty_workspace();
    explore(move || {
        in_threads(&image, 4, |thread, witness, workspace| {
            if thread < 2 {
                let len = if thread == 0 { 30 << 10 } else { 10 };
                let _ = witness.append(workspace, (thread, 0), (3, len)).unwrap();
            } else {
                let log = workspace.own_log();
                for index in 0..6 {
                    assert!(log.wait_for(index, Duration::MAX).unwrap());
                    assert_eq!(log.entry(index).unwrap().index(), index);
                }
            }
        });
    });
}

#[test]
fn a_reader_beside_a_writer_sees_only_what_is_durable() {
    let image = empty_workspace();
    explore(move || {
        let (witness, workspace) = Witness::new(&image);
        let witness = Arc::new(witness);
        let disk = witness.disk.clone();
        let reader = thread::spawn(move || {
            let read = Workspace::open_read_only_on(disk.arc(), &path(), options()).unwrap();
            let log = read.own_log();
            let mut before = 0;
            for _ in 0..4 {
                before = read_all(&log, before);
                // What was seen must be there if power fails now.
                let kept = crate::disk::MemoryDisk::new(&disk.synced());
                let kept = Workspace::open_read_only_on(kept.arc(), &path(), options()).unwrap();
                assert!(kept.own_log().entry_count() >= before);
                read.refresh().unwrap();
            }
        });
        let writers = [0, 1].map(|thread| {
            let (witness, workspace) = (Arc::clone(&witness), workspace.clone());
            thread::spawn(move || {
                for number in 0..2 {
                    witness.store(&workspace, (thread, number), (2, 600)).unwrap();
                }
            })
        });
        drop(workspace);
        writers.into_iter().for_each(|thread| thread.join().unwrap());
        reader.join().unwrap();
        witness.judge();
    });
}

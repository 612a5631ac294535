//! Appending at full speed, reading and exporting while ten compactions follow each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use annals::{CompactOptions, Durability, Frontier, Options, Workspace};

use crate::support::within;

fn payload(thread: u64, number: u64) -> Vec<u8> {
    [thread.to_le_bytes(), number.to_le_bytes()]
        .concat()
        .repeat(1 + usize::try_from(number % 5).unwrap())
}

#[test]
fn nothing_is_lost_by_whoever_appends_while_logs_are_compacted() {
    within(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        let options = Options::default().durability(Durability::ProcessCrash);
        let workspace = Workspace::create(&path, options.clone()).unwrap();
        let (done, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
        // Where somebody else has the processors, a log that grows without end is never compacted to its end.
        let allowed = AtomicU64::new(0);
        let mut expected = vec![Vec::new(); 3];
        let mut roots = Vec::new();
        std::thread::scope(|scope| {
            let appenders: Vec<_> = (0..3_u64)
                .map(|thread| {
                    let (workspace, done, acknowledged) = (&workspace, &done, &acknowledged);
                    let allowed = &allowed;
                    scope.spawn(move || {
                        let mut indices = Vec::new();
                        while !done.load(Ordering::Acquire) {
                            if workspace.own_log().entry_count() >= allowed.load(Ordering::Acquire)
                            {
                                std::thread::sleep(std::time::Duration::from_millis(1));
                                continue;
                            }
                            let payload = payload(thread, indices.len() as u64);
                            let ticket = workspace.append(&payload).unwrap();
                            let index = ticket.index();
                            indices.push(index);
                            if index.is_multiple_of(3) {
                                ticket.wait_durable().unwrap();
                                acknowledged.fetch_max(index + 1, Ordering::AcqRel);
                            }
                            // What one has appended oneself is there at once.
                            assert_eq!(
                                workspace.own_log().entry(index).unwrap().payload().unwrap(),
                                payload
                            );
                        }
                        indices
                    })
                })
                .collect();
            let reader = scope.spawn(|| {
                let mut roots = Vec::new();
                while !done.load(Ordering::Acquire) {
                    let upto = acknowledged.load(Ordering::Acquire);
                    let log = workspace.own_log();
                    if upto > 0 {
                        let count = log.entry_count();
                        assert!(count >= upto);
                        roots.push((upto, log.root_at(upto).unwrap()));
                        let proof = log.prove_inclusion(upto - 1, Some(upto)).unwrap();
                        proof.verify(&log.root_at(upto).unwrap()).unwrap();
                        let from = upto.saturating_sub(200);
                        assert_eq!(log.scan(from..upto).unwrap().count() as u64, upto - from);
                        let mut bundle = Vec::new();
                        let report = workspace.export(&Frontier::empty(), &mut bundle).unwrap();
                        assert!(report.entries >= upto, "{report:?}");
                    }
                }
                roots
            });
            for round in 1..=10 {
                allowed.store(round * 20_000, Ordering::Release);
                while acknowledged.load(Ordering::Acquire) < round * 1_000 {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                workspace.compact(&CompactOptions::default().level(1), |_, _| true).unwrap();
            }
            done.store(true, Ordering::Release);
            for (thread, appender) in appenders.into_iter().enumerate() {
                expected[thread] = appender.join().unwrap();
            }
            roots.extend(reader.join().unwrap());
        });
        assert_eq!(workspace.own_log().stats().unwrap().generation, 10);
        let check = |workspace: &Workspace| {
            let log = workspace.own_log();
            for (thread, indices) in (0..).zip(&expected) {
                for (number, index) in (0..).zip(indices) {
                    let entry = log.entry(*index).unwrap();
                    assert_eq!(entry.payload().unwrap(), payload(thread, number));
                }
            }
            for (size, root) in &roots {
                assert_eq!(log.root_at(*size).unwrap(), *root);
            }
        };
        check(&workspace);
        workspace.close().unwrap();
        let again = Workspace::open(&path, options).unwrap();
        assert_eq!(
            again.own_log().entry_count(),
            expected.iter().map(Vec::len).sum::<usize>() as u64
        );
        check(&again);
    });
}

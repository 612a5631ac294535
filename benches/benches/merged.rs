//! All logs of a workspace in one order: 1, 10 and 100 of them, with the same number of entries in all.
//!
//! The clients wrote at the same time without knowing of each other, so that each entry comes from another log than the
//! one before: the most that there is to merge. The merging itself is private to the engine; what it costs is the
//! difference between many logs and one, which is measured by a plain scan as well.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::Workspace;
use annals_benches::{Entries, Kind, append, empty, options, scanned};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tempfile::TempDir;

/// A workspace whose logs are replicas of `clients` others, with the same entries in each.
fn of_clients(entries: &Entries, clients: usize) -> (TempDir, Workspace) {
    let (folder, workspace) = empty();
    for client in 0..clients {
        let path = folder.path().join(format!("client-{client}"));
        let other = Workspace::join(path, workspace.id(), options()).expect("a new workspace");
        append(&other, entries);
        let mut bundle = Vec::new();
        let known = workspace.frontier().expect("a frontier");
        other.export(&known, &mut bundle).expect("exporting works");
        workspace.import(&bundle[..]).expect("importing works");
    }
    (folder, workspace)
}

fn merged(c: &mut Criterion) {
    for kind in Kind::ALL {
        let mut group = c.benchmark_group(format!("merged/{}", kind.name()));
        let count = kind.entries().len();
        for clients in [1, 10, 100] {
            let entries = kind.first(count / clients);
            let (_folder, workspace) = of_clients(&entries, clients);
            let bytes = entries.bytes().len() * clients;
            group.throughput(entries.throughput_of(count as u64));
            if clients == 1 {
                let log = workspace.logs().pop().expect("a log");
                group.bench_function("limit: scan of one log", |b| b.iter(|| scanned(&log)));
            }
            group.bench_function(BenchmarkId::new("logs", clients), |b| {
                b.iter(|| {
                    let entries = workspace.merged().expect("a scan");
                    let lens =
                        entries.map(|entry| entry.expect("an entry").payload().map(<[u8]>::len));
                    let len: usize = lens.map(|len| len.expect("a payload")).sum();
                    assert_eq!(len, bytes, "what was appended");
                });
            });
        }
        group.finish();
    }
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = merged);
criterion_main!(benches);

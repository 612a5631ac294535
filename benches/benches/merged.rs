//! All logs of a workspace in one order: 1, 10 and 100 of them, with the same number of entries in all.
//!
//! The clients wrote at the same time without knowing of each other, so that each entry comes from another log than the
//! one before: the most that there is to merge. The merging itself is private to the engine; what it costs is the
//! difference between many logs and one, which is measured by a plain scan as well.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::Workspace;
use annals_benches::{Kind, append, empty, options, scanned};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tempfile::TempDir;

const ENTRY_COUNT: usize = 100_000;

/// A workspace whose logs are replicas of `clients` others, with entries of the same kind and number in each.
fn of_clients(kind: Kind, clients: usize) -> (TempDir, Workspace) {
    let (folder, workspace) = empty();
    let entries = kind.first(ENTRY_COUNT / clients);
    for client in 0..clients {
        let path = folder.path().join(format!("client-{client}"));
        let other = Workspace::join(path, workspace.id(), options()).expect("a new workspace");
        append(&other, &entries);
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
        for clients in [1, 10, 100] {
            let (_folder, workspace) = of_clients(kind, clients);
            let entries = kind.first(ENTRY_COUNT / clients);
            let bytes = entries.bytes().len() * clients;
            let throughput = criterion::Throughput::ElementsAndBytes {
                elements: ENTRY_COUNT as u64,
                bytes: bytes as u64,
            };
            group.throughput(throughput);
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

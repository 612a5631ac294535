//! Opening after a clean close: flat in the length of the log.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::Workspace;
use annals_benches::{Workload, filled, options};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("open");
    for count in [1_000, 100_000, 1_000_000] {
        let (_folder, workspace) = filled(&Workload { name: "keystroke", len: 13, count });
        let path = workspace.path().to_owned();
        workspace.close().expect("closing works");
        group.bench_with_input(BenchmarkId::new("read only", count), &path, |b, path| {
            b.iter(|| Workspace::open_read_only(path, options()).expect("opening works"));
        });
        group.bench_with_input(BenchmarkId::new("for writing", count), &path, |b, path| {
            b.iter(|| Workspace::open(path, options()).expect("opening works"));
        });
    }
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);

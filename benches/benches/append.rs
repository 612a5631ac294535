//! Bulk load: everything hashed, linked and compressed, one commit at the end. Creating the workspace is not counted.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals_benches::{Kind, append, empty};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("append/bulk");
    for kind in Kind::ALL {
        let entries = kind.entries();
        group.throughput(entries.throughput());
        group.bench_with_input(BenchmarkId::from_parameter(kind.name()), &entries, |b, entries| {
            b.iter_batched_ref(
                empty,
                |(_folder, workspace)| append(workspace, entries),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = bulk);
criterion_main!(benches);

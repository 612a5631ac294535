//! Bulk load: everything hashed, linked and compressed, one commit at the end.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals_benches::{WORKLOADS, empty};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("append/bulk");
    group.sample_size(10);
    for workload in WORKLOADS {
        let payloads = workload.payloads();
        group.throughput(Throughput::ElementsAndBytes {
            elements: workload.count as u64,
            bytes: workload.bytes(),
        });
        group.bench_with_input(
            BenchmarkId::from_parameter(workload.name),
            &payloads,
            |b, payloads| {
                b.iter_batched_ref(
                    empty,
                    |(_folder, workspace)| {
                        for payload in payloads {
                            workspace.append(payload).expect("appending works");
                        }
                        workspace.commit().expect("committing works")
                    },
                    BatchSize::PerIteration,
                );
            },
        );
    }
    group.finish();
}

criterion_group!(benches, bulk);
criterion_main!(benches);

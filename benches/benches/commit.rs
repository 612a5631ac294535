//! Durable commits: one entry each from one thread, and from eight at the same time.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use annals_benches::empty;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const PAYLOAD: &[u8; 13] = b"a keystroke! ";

fn commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit");
    group.throughput(Throughput::Elements(1));
    group.measurement_time(Duration::from_secs(5));
    group.bench_function("plain file", |b| {
        // What the machine can do: append and sync, nothing else.
        let mut file = tempfile::tempfile().expect("a temporary file");
        b.iter(|| {
            file.write_all(PAYLOAD).expect("writing works");
            file.sync_data().expect("syncing works");
        });
    });
    for threads in [1, 8] {
        let (_folder, workspace) = empty();
        group.bench_with_input(BenchmarkId::new("threads", threads), &threads, |b, &threads| {
            b.iter_custom(|iterations| {
                let each = iterations.div_ceil(threads);
                let started = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            for _ in 0..each {
                                workspace
                                    .append(PAYLOAD)
                                    .expect("appending works")
                                    .wait_durable()
                                    .expect("syncing works");
                            }
                        });
                    }
                });
                started.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);

//! Reading: random entries with and without a cache, all entries, one stream of many, and proofs.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::{Direction, Options, Workspace};
use annals_benches::{WORKLOADS, empty, filled, options};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Visits all indices in an order that no read-ahead guesses.
fn scattered(count: u64) -> impl FnMut() -> u64 {
    let mut at = 0;
    move || {
        at = (at + 7_919_113) % count;
        at
    }
}

fn get(c: &mut Criterion) {
    let mut group = c.benchmark_group("get");
    for workload in WORKLOADS {
        let (_folder, workspace) = filled(&workload);
        let path = workspace.path().to_owned();
        workspace.close().expect("closing works");
        let cases: [(&str, Options); 2] =
            [("cached", options().cache_len(256 << 20)), ("not cached", options().cache_len(0))];
        for (name, options) in cases {
            let workspace = Workspace::open_read_only(&path, options).expect("opening works");
            let log = workspace.own_log();
            let mut next = scattered(workload.count as u64);
            group.bench_function(BenchmarkId::new(name, workload.name), |b| {
                b.iter(|| log.entry(next()).expect("the entry is there").payload().unwrap().len());
            });
        }
    }
    group.finish();
}

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("scan");
    group.sample_size(10);
    for workload in WORKLOADS {
        let (_folder, workspace) = filled(&workload);
        let log = workspace.own_log();
        group.throughput(Throughput::ElementsAndBytes {
            elements: workload.count as u64,
            bytes: workload.bytes(),
        });
        group.bench_function(BenchmarkId::new("forward", workload.name), |b| {
            b.iter(|| {
                log.scan(..)
                    .expect("a scan")
                    .map(|entry| entry.expect("an entry").payload().unwrap().len())
                    .sum::<usize>()
            });
        });
        group.bench_function(BenchmarkId::new("backward", workload.name), |b| {
            b.iter(|| {
                log.scan_backward(..)
                    .expect("a scan")
                    .map(|entry| entry.expect("an entry").payload().unwrap().len())
                    .sum::<usize>()
            });
        });
    }
    group.finish();
}

fn stream(c: &mut Criterion) {
    const STREAMS: usize = 1_000;
    const EACH: usize = 100;
    let (_folder, workspace) = empty();
    let streams: Vec<_> = (0..STREAMS)
        .map(|n| workspace.stream(&format!("document {n}")).expect("a stream"))
        .collect();
    for round in 0..EACH {
        for stream in &streams {
            stream
                .append(format!("change {round} of {}", stream.name()).as_bytes())
                .expect("appending works");
        }
    }
    workspace.commit().expect("committing works");
    let log = workspace.own_log();
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(EACH as u64));
    group.bench_function("one of 1000", |b| {
        b.iter(|| {
            log.scan_stream(streams[617].id(), .., Direction::Forward).expect("a scan").count()
        });
    });
    group.finish();
}

fn prove(c: &mut Criterion) {
    let workload = WORKLOADS[0];
    let (_folder, workspace) = filled(&workload);
    let log = workspace.own_log();
    let root = log.root().expect("a root");
    let mut next = scattered(workload.count as u64);
    let mut group = c.benchmark_group("proof");
    group.bench_function("prove", |b| {
        b.iter(|| log.prove_inclusion(next(), None).expect("a proof"));
    });
    let proof = log.prove_inclusion(4711, None).expect("a proof");
    group.bench_function("verify", |b| b.iter(|| proof.verify(&root).expect("it holds")));
    group.finish();
}

criterion_group!(benches, get, scan, stream, prove);
criterion_main!(benches);

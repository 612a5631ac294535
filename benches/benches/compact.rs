//! Compaction: how fast, what is carried over, and how long an appender is held up by it.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]
#![allow(clippy::print_stdout, reason = "it prints a histogram")]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use annals::{CompactOptions, Workspace};
use annals_benches::{Chance, Kind, empty, filled};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn compact(c: &mut Criterion) {
    let mut group = c.benchmark_group("compact");
    for (kind, count) in
        [(Kind::Keystroke, 50_000), (Kind::Change, 10_000), (Kind::Document, 1_000)]
    {
        let entries = kind.first(count);
        group.throughput(entries.throughput());
        group.bench_function(format!("all/{}", kind.name()), |b| {
            b.iter_batched(
                || filled(&entries),
                |(folder, workspace)| {
                    workspace.compact(&CompactOptions::default(), |_, _| true).expect("it works");
                    (folder, workspace)
                },
                BatchSize::PerIteration,
            );
        });
    }
    // 64 MiB that are compact already, and 100 small commits behind them.
    let (_folder, workspace) = empty();
    let mut chance = Chance::new(1);
    for _ in 0..1024 {
        workspace.append(&chance.bytes(64 << 10)).expect("appending works");
    }
    let all = CompactOptions::default();
    workspace.compact(&all, |_, _| true).expect("it works");
    group.throughput(Throughput::Bytes(64 << 20));
    group.bench_function("carried over/64MiB", |b| {
        b.iter_batched(
            || commit(&workspace, 100),
            |()| workspace.compact(&all, |_, _| true).expect("it works"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn commit(workspace: &Workspace, count: usize) {
    for _ in 0..count {
        workspace.append(b"a keystroke! ").expect("appending works");
        workspace.checkpoint().expect("syncing works");
    }
}

/// Latencies of durable commits, alone and while ten compactions follow each other.
fn held_up(_: &mut Criterion) {
    let (_folder, workspace) = empty();
    let alone = latencies(&workspace, || std::thread::sleep(Duration::from_secs(3)));
    let compacting = latencies(&workspace, || {
        for _ in 0..10 {
            workspace.compact(&CompactOptions::default(), |_, _| true).expect("it works");
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    println!("durable commits of one entry, in microseconds:");
    println!(
        "{:>24} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "count", "median", "99 %", "99.9 %", "max"
    );
    for (name, latencies) in [("alone", alone), ("beside 10 compactions", compacting)] {
        let at = |part: usize| latencies[(latencies.len() - 1) * part / 1000].as_micros();
        let count = latencies.len();
        println!(
            "{name:>24} {count:>8} {:>8} {:>8} {:>8} {:>8}",
            at(500),
            at(990),
            at(999),
            at(1000)
        );
    }
}

/// How long each durable commit takes while `work` runs, ascending.
fn latencies(workspace: &Workspace, work: impl FnOnce() + Send) -> Vec<Duration> {
    let done = AtomicBool::new(false);
    let mut latencies = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            work();
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let start = Instant::now();
            let ticket = workspace.append(b"a keystroke! ").expect("appending works");
            ticket.wait_durable().expect("syncing works");
            latencies.push(start.elapsed());
        }
    });
    latencies.sort_unstable();
    latencies
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = held_up, compact);
criterion_main!(benches);

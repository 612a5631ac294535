//! Proofs from a log, of a random entry or a random size, and their verification without the log.
//!
//! They do not depend on the kind of entries, but that an inclusion proof holds the entry.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals_benches::{Chance, Kind, filled};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn inclusion(c: &mut Criterion) {
    let mut group = c.benchmark_group("proof/inclusion");
    group.throughput(Throughput::Elements(1));
    for kind in Kind::ALL {
        let (_folder, workspace) = filled(&kind.entries());
        let log = workspace.own_log();
        let (count, root) = (log.entry_count(), log.root().expect("a root"));
        let mut chance = Chance::new(5);
        group.bench_function(format!("prove/{}", kind.name()), |b| {
            b.iter(|| log.prove_inclusion(chance.below(count), None).expect("a proof"));
        });
        let proof = log.prove_inclusion(count / 3, None).expect("a proof");
        group.bench_function(format!("verify/{}", kind.name()), |b| {
            b.iter(|| proof.verify(&root).expect("it holds"));
        });
    }
    group.finish();
}

fn consistency(c: &mut Criterion) {
    let mut group = c.benchmark_group("proof/consistency");
    group.throughput(Throughput::Elements(1));
    let (_folder, workspace) = filled(&Kind::Keystroke.entries());
    let log = workspace.own_log();
    let (count, root) = (log.entry_count(), log.root().expect("a root"));
    let mut chance = Chance::new(7);
    group.bench_function("root of a size", |b| {
        b.iter(|| log.root_at(chance.below(count)).expect("a root"));
    });
    group.bench_function("prove", |b| {
        b.iter(|| log.prove_consistency(chance.below(count), None).expect("a proof"));
    });
    let size = count / 3;
    let before = log.root_at(size).expect("a root");
    let proof = log.prove_consistency(size, None).expect("a proof");
    group.bench_function("verify", |b| b.iter(|| proof.verify(&before, &root).expect("it holds")));
    group.finish();
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = inclusion, consistency);
criterion_main!(benches);

//! The Merkle tree in memory: leaves appended, the root, and paths; `proof` measures them from a log.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use std::convert::Infallible;

use annals::{
    Hash, LogId,
    bytes::LogKeys,
    merkle::{NodeSource, Peaks, consistency_path, inclusion_path},
};
use annals_benches::Chance;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LEAF_COUNT: u64 = 100_000;

/// All perfect subtrees, by level and number.
struct Nodes(Vec<Vec<Hash>>);

impl NodeSource for Nodes {
    type Error = Infallible;

    fn node(&self, level: u32, position: u64) -> Result<Hash, Infallible> {
        let position = usize::try_from(position).expect("few enough");
        Ok(self.0[level as usize][position])
    }
}

fn leaf(number: u64) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Hash::from_bytes(bytes)
}

fn tree(c: &mut Criterion) {
    let keys = LogKeys::new(LogId::from_bytes([7; 16]));
    let mut nodes = Nodes(vec![Vec::new(); 17]);
    let mut peaks = Peaks::new();
    for number in 0..LEAF_COUNT {
        nodes.0[0].push(leaf(number));
        peaks.push(&keys, leaf(number), |level, _, node| nodes.0[level as usize].push(*node));
    }
    let mut group = c.benchmark_group("tree");
    group.throughput(Throughput::Elements(LEAF_COUNT));
    group.bench_function("append", |b| {
        b.iter(|| {
            let mut peaks = Peaks::new();
            (0..LEAF_COUNT).for_each(|number| peaks.push(&keys, leaf(number), |_, _, _| ()));
            peaks
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("root", |b| b.iter(|| peaks.root(&keys)));
    let mut chance = Chance::new(11);
    group.bench_function("inclusion path", |b| {
        b.iter(|| inclusion_path(&nodes, &keys, chance.below(LEAF_COUNT), LEAF_COUNT));
    });
    group.bench_function("consistency path", |b| {
        b.iter(|| consistency_path(&nodes, &keys, chance.below(LEAF_COUNT), LEAF_COUNT));
    });
    group.finish();
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = tree);
criterion_main!(benches);

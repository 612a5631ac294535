//! What is hashed for each entry: its salt, its payload, its leaf, and the tree above; and the limit, BLAKE3 of as many bytes at
//! once.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::{
    AssetId, LogId, StreamId,
    bytes::LogKeys,
    entry::{EntryHeader, Kind as EntryKind, Part},
    merkle::{Peaks, SaltCursor, SaltTree},
};
use annals_benches::Kind;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ENTRY_COUNT: usize = 1_000;

fn header(lamport: u64, payload: &[u8]) -> EntryHeader {
    EntryHeader {
        lamport,
        timestamp: None,
        payload_len: u32::try_from(payload.len()).expect("a short payload"),
        stream: StreamId::DEFAULT,
        kind: EntryKind::CHANGE,
        part: Part::WHOLE,
    }
}

fn hash(c: &mut Criterion) {
    let keys = LogKeys::new(LogId::from_bytes([7; 16]));
    let salts = SaltTree::from_seed([7; 32]);
    let mut group = c.benchmark_group("hash");
    group.throughput(Throughput::Elements(ENTRY_COUNT as u64));
    let mut cursor = SaltCursor::new();
    group.bench_function("salt", |b| {
        b.iter(|| (0..ENTRY_COUNT as u64).for_each(|index| _ = cursor.salt(&salts, index)));
    });
    let salt = [7; 16];
    let payload_hash = keys.payload_hash(&salt, b"a payload");
    group.bench_function("leaf", |b| {
        b.iter(|| {
            for lamport in 1..=ENTRY_COUNT as u64 {
                std::hint::black_box(keys.leaf(&header(lamport, b"").encode(), &payload_hash));
            }
        });
    });
    for kind in Kind::ALL {
        let entries = kind.first(ENTRY_COUNT);
        group.throughput(entries.throughput());
        group.bench_function(format!("payload/{}", kind.name()), |b| {
            b.iter(|| {
                for payload in entries.iter() {
                    std::hint::black_box(keys.payload_hash(&salt, payload));
                }
            });
        });
        group.bench_function(format!("all of it/{}", kind.name()), |b| {
            b.iter(|| {
                let mut peaks = Peaks::new();
                for (index, payload) in (0..).zip(entries.iter()) {
                    let salt = cursor.salt(&salts, index).expect("none was erased");
                    let hash = keys.payload_hash(&salt, payload);
                    let header = header(index + 1, payload).encode();
                    peaks.push(&keys, keys.leaf(&header, &hash), |_, _, _| ());
                }
                peaks.root(&keys)
            });
        });
        group.bench_function(format!("limit: BLAKE3/{}", kind.name()), |b| {
            b.iter(|| AssetId::of(entries.bytes()));
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = hash);
criterion_main!(benches);

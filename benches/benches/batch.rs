//! Batches: columns and payloads encoded and compressed, and back; of one entry, as a small commit makes them, and of as many
//! as fill the default length. `header and columns` leaves the payloads compressed.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::{
    Hash, LogId, StreamId,
    batch::{Decoder, Encoder},
    entry::{EntryHeader, Kind as EntryKind, Part},
};
use annals_benches::{Entries, Kind};
use criterion::{Criterion, criterion_group, criterion_main};

/// The defaults of the engine.
const BATCH_LEN: usize = 32 << 10;
const LEVEL: i32 = 1;
const LOG: LogId = LogId::from_bytes([7; 16]);

fn headers(entries: &Entries) -> Vec<EntryHeader> {
    let header = |(lamport, payload): (u64, &[u8])| EntryHeader {
        lamport,
        timestamp: None,
        payload_len: u32::try_from(payload.len()).expect("a short payload"),
        stream: StreamId::DEFAULT,
        kind: EntryKind::CHANGE,
        part: Part::WHOLE,
    };
    (1..).zip(entries.iter()).map(header).collect()
}

fn batch(c: &mut Criterion) {
    for kind in Kind::ALL {
        let full = kind.first(100 * BATCH_LEN / kind.first(100).bytes().len());
        for (name, entries) in [("one", kind.first(1)), ("full", full)] {
            let mut group = c.benchmark_group(format!("batch/{name}/{}", kind.name()));
            group.throughput(entries.throughput());
            let headers = headers(&entries);
            let (mut encoder, mut decoder) = (Encoder::new(LEVEL), Decoder::new());
            let mut bytes = Vec::new();
            group.bench_function("encode", |b| {
                b.iter(|| {
                    bytes.clear();
                    encoder.encode(LOG, 0, &headers, entries.bytes(), Hash::ZERO, &mut bytes);
                });
            });
            group.bench_function("decode", |b| b.iter(|| decoder.decode(&bytes).expect("sound")));
            group.bench_function("decode header and columns", |b| {
                b.iter(|| decoder.decode_meta(&bytes).expect("sound"));
            });
            let batch = decoder.decode(&bytes).expect("sound");
            group.bench_function("go through the entries", |b| {
                b.iter(|| batch.entries().map(|(header, _)| header.lamport).sum::<u64>());
            });
            group.finish();
        }
    }
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = batch);
criterion_main!(benches);

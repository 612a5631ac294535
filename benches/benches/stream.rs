//! One document out of many: the hundred changes of one of a thousand streams, which were written in turns.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::Direction;
use annals_benches::{Kind, empty, scanned};
use criterion::{Criterion, criterion_group, criterion_main};

const STREAM_COUNT: usize = 1_000;
const EACH: usize = 100;

fn stream(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    for kind in [Kind::Keystroke, Kind::Change] {
        let entries = kind.first(STREAM_COUNT * EACH);
        let (_folder, workspace) = empty();
        let streams: Vec<_> = (0..STREAM_COUNT)
            .map(|number| workspace.stream(&format!("document {number}")).expect("a stream"))
            .collect();
        for (payload, stream) in entries.iter().zip(streams.iter().cycle()) {
            stream.append(payload).expect("appending works");
        }
        workspace.commit().expect("committing works");
        let log = workspace.own_log();
        group.throughput(entries.throughput_of(EACH as u64));
        let mut number = 0;
        group.bench_function(format!("100 of 100,000/{}", kind.name()), |b| {
            b.iter(|| {
                number = (number + 617) % STREAM_COUNT;
                let id = streams[number].id();
                let scan = log.scan_stream(id, .., Direction::Forward).expect("a scan");
                let mut found = 0;
                for entry in scan {
                    entry.expect("an entry").payload().expect("a payload");
                    found += 1;
                }
                assert_eq!(found, 1 + EACH, "the declaration and the changes");
            });
        });
        group.throughput(entries.throughput());
        group.bench_function(format!("limit: scan of everything/{}", kind.name()), |b| {
            b.iter(|| scanned(&log));
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = stream);
criterion_main!(benches);

//! All entries of a log in order, every checksum checked; page cache warm.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals_benches::{Kind, filled, scanned};
use criterion::{Criterion, criterion_group, criterion_main};

fn scan(c: &mut Criterion) {
    for kind in Kind::ALL {
        let entries = kind.entries();
        let (_folder, workspace) = filled(&entries);
        let log = workspace.own_log();
        assert_eq!(scanned(&log), entries.bytes().len(), "what was appended");
        let mut group = c.benchmark_group(format!("scan/{}", kind.name()));
        group.throughput(entries.throughput());
        group.bench_function("forward", |b| b.iter(|| scanned(&log)));
        group.bench_function("backward", |b| {
            b.iter(|| {
                let scan = log.scan_backward(..).expect("a scan");
                let lens = scan.map(|entry| entry.expect("an entry").payload().map(<[u8]>::len));
                lens.map(|len| len.expect("a payload")).sum::<usize>()
            });
        });
        group.finish();
    }
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = scan);
criterion_main!(benches);

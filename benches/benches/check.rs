//! What `annals-fsck` does: every checksum, and with the deep check everything hashed and the index compared.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::check::{Depth, check};
use annals_benches::{Kind, filled};
use criterion::{Criterion, criterion_group, criterion_main};

fn checks(c: &mut Criterion) {
    for (name, depth) in [("structure", Depth::Structure), ("deep", Depth::Payloads)] {
        let mut group = c.benchmark_group(format!("check/{name}"));
        for kind in Kind::ALL {
            let entries = kind.entries();
            let (_folder, workspace) = filled(&entries);
            let path = workspace.path().to_owned();
            workspace.close().expect("closing works");
            group.throughput(entries.throughput());
            group.bench_function(kind.name(), |b| {
                b.iter(|| {
                    let report = check(&path, depth, |_, _| ()).expect("a report");
                    assert!(report.is_clean());
                });
            });
        }
        group.finish();
    }
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = checks);
criterion_main!(benches);

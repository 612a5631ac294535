//! Bundles written to memory: of a whole log, and of what is new at the end of a long one.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::Frontier;
use annals_benches::{Kind, append, filled};
use criterion::{Criterion, criterion_group, criterion_main};

fn export(c: &mut Criterion) {
    let mut group = c.benchmark_group("export");
    for kind in Kind::ALL {
        let entries = kind.entries();
        let (_folder, workspace) = filled(&entries);
        let mut bundle = Vec::new();
        let mut export = |since: &Frontier| {
            bundle.clear();
            workspace.export(since, &mut bundle).expect("exporting works");
        };
        let nothing = Frontier::empty();
        group.throughput(entries.throughput());
        group.bench_function(format!("all/{}", kind.name()), |b| b.iter(|| export(&nothing)));
        let known = workspace.frontier().expect("a frontier");
        let news = kind.first(100);
        append(&workspace, &news);
        group.throughput(news.throughput());
        group.bench_function(format!("news of 100/{}", kind.name()), |b| b.iter(|| export(&known)));
    }
    group.finish();
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = export);
criterion_main!(benches);

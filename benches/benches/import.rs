//! Bundles from memory, every entry hashed and everything synced: a whole log that was not known, and a hundred new entries of
//! a long one.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::{Frontier, Workspace};
use annals_benches::{Kind, append, filled, options};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

fn export(workspace: &Workspace, since: &Frontier) -> Vec<u8> {
    let mut bundle = Vec::new();
    workspace.export(since, &mut bundle).expect("exporting works");
    bundle
}

fn all(c: &mut Criterion) {
    let mut group = c.benchmark_group("import/all");
    for kind in Kind::ALL {
        let entries = kind.entries();
        let (_folder, writer) = filled(&entries);
        let bundle = export(&writer, &Frontier::empty());
        group.throughput(entries.throughput());
        group.bench_function(kind.name(), |b| {
            b.iter_batched(
                || {
                    let folder = tempfile::tempdir().expect("a temporary folder");
                    let path = folder.path().join("w");
                    let reader = Workspace::join(path, writer.id(), options());
                    (folder, reader.expect("a new workspace"))
                },
                |(folder, reader)| {
                    reader.import(&bundle[..]).expect("importing works");
                    (folder, reader)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn news(c: &mut Criterion) {
    let mut group = c.benchmark_group("import/news of 100");
    for kind in Kind::ALL {
        let (folder, writer) = filled(&kind.entries());
        let path = folder.path().join("reader");
        let reader = Workspace::join(path, writer.id(), options()).expect("a new workspace");
        reader.import(&export(&writer, &Frontier::empty())[..]).expect("importing works");
        let news = kind.first(100);
        group.throughput(news.throughput());
        group.bench_function(kind.name(), |b| {
            b.iter_batched(
                || {
                    let known = reader.frontier().expect("a frontier");
                    append(&writer, &news);
                    export(&writer, &known)
                },
                |bundle| reader.import(&bundle[..]).expect("importing works"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = all, news);
criterion_main!(benches);

//! Opening, to read and to write, and reading the last entry: after a clean close, and after a crash behind some commits
//! that no checkpoint tells of. Page cache warm. Flat in the length of the log.
//!
//! What a crash leaves is a copy of the files while they are open for writing.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::Workspace;
use annals_benches::{Kind, copy_files, filled, options};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

const COUNTS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

fn last(workspace: &Workspace) -> usize {
    let log = workspace.own_log();
    let entry = log.entry(log.entry_count() - 1).expect("an entry");
    entry.payload().expect("a payload").len()
}

fn clean(c: &mut Criterion) {
    let mut group = c.benchmark_group("open/clean");
    for count in COUNTS {
        let (_folder, workspace) = filled(&Kind::Keystroke.first(count));
        let path = workspace.path().to_owned();
        workspace.close().expect("closing works");
        group.bench_with_input(BenchmarkId::new("read only", count), &path, |b, path| {
            b.iter(|| last(&Workspace::open_read_only(path, options()).expect("opening works")));
        });
        group.bench_with_input(BenchmarkId::new("for writing", count), &path, |b, path| {
            b.iter(|| last(&Workspace::open(path, options()).expect("opening works")));
        });
    }
    group.finish();
}

fn after_crash(c: &mut Criterion) {
    let mut group = c.benchmark_group("open/after crash");
    for count in COUNTS {
        let (folder, workspace) = filled(&Kind::Keystroke.first(count));
        for payload in Kind::Keystroke.first(100).iter() {
            workspace.append(payload).expect("appending works");
            workspace.commit().expect("committing works");
        }
        let crashed = folder.path().join("crashed");
        copy_files(workspace.path(), &crashed);
        group.bench_with_input(BenchmarkId::new("read only", count), &crashed, |b, path| {
            b.iter(|| last(&Workspace::open_read_only(path, options()).expect("opening works")));
        });
        group.bench_with_input(BenchmarkId::new("for writing", count), &crashed, |b, path| {
            b.iter_batched(
                || {
                    let folder = tempfile::tempdir().expect("a temporary folder");
                    copy_files(path, &folder.path().join("w"));
                    folder
                },
                |folder| {
                    let path = folder.path().join("w");
                    let workspace = Workspace::open(path, options()).expect("opening works");
                    last(&workspace);
                    (folder, workspace)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = clean, after_crash);
criterion_main!(benches);

//! Recovery: what opening for writing has to do behind the last checkpoint, and an index that is lost.
//!
//! The decision whether an end is torn or damaged and the walk to it are private to the engine, so this is opening as a
//! whole, with the tail written again and synced; `open` has what it costs where the tail is short. What a crash
//! leaves is a copy of the files while they are open for writing.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use std::{fs::OpenOptions, io::Write as _, path::Path};

use annals::{Verdict, Workspace};
use annals_benches::{Chance, Kind, copy_files, empty, filled, options};
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main,
    measurement::WallTime,
};

/// Opens copies of a folder that a crash has left.
fn recover(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    crashed: &Path,
    expected: &Verdict,
) {
    group.bench_function(id, |b| {
        b.iter_batched(
            || {
                let folder = tempfile::tempdir().expect("a temporary folder");
                copy_files(crashed, &folder.path().join("w"));
                folder
            },
            |folder| {
                let path = folder.path().join("w");
                let workspace = Workspace::open(path, options()).expect("opening works");
                assert_eq!(workspace.recovered(), expected);
                (workspace, folder)
            },
            BatchSize::PerIteration,
        );
    });
}

/// A tail of many small frames, whole, and with one behind that was not written to its end.
fn commits(c: &mut Criterion) {
    let mut group = c.benchmark_group("recover");
    for (kind, count) in [
        (Kind::Keystroke, 100),
        (Kind::Keystroke, 1_000),
        (Kind::Keystroke, 4_000),
        (Kind::Document, 1_000),
    ] {
        let (folder, workspace) = empty();
        let entries = kind.first(count);
        for payload in entries.iter() {
            workspace.append(payload).expect("appending works");
            workspace.commit().expect("committing works");
        }
        let crashed = folder.path().join("crashed");
        copy_files(workspace.path(), &crashed);
        group.throughput(entries.throughput());
        let name = kind.name();
        let whole = BenchmarkId::new(format!("commits/{name}"), count);
        recover(&mut group, whole, &crashed, &Verdict::Clean);

        let segment = workspace.own_log().path().to_owned();
        let segment = segment.strip_prefix(workspace.path()).expect("a file of it");
        let mut segment = OpenOptions::new().append(true).open(crashed.join(segment)).expect("it");
        segment.write_all(&Chance::new(13).bytes(100)).expect("writing works");
        let torn = BenchmarkId::new(format!("the same and a torn one/{name}"), count);
        recover(&mut group, torn, &crashed, &Verdict::TornTail);
    }
    group.finish();
}

fn index(c: &mut Criterion) {
    let mut group = c.benchmark_group("recover/index made anew");
    for kind in Kind::ALL {
        let entries = kind.entries();
        let (_folder, workspace) = filled(&entries);
        group.throughput(entries.throughput());
        group.bench_function(kind.name(), |b| {
            b.iter(|| workspace.reindex(true, |_, _| true).expect("it works"));
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = commits, index);
criterion_main!(benches);

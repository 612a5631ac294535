//! Assets: in (new, there already, many small ones), out by range, and their index made anew.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use std::fs;

use annals::{AssetMeta, Workspace};
use annals_benches::{Chance, empty};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const LARGE_LEN: usize = 64 << 20;
const SMALL_COUNT: usize = 2_000;
const SMALL_LEN: usize = 4_500;
const RANGE_LEN: u64 = 64 << 10;

fn binary() -> AssetMeta {
    AssetMeta::named("x").media_type("video/mp4")
}

/// Beside them what the machine can do at most: hashing, and writing a plain file durably.
fn large(c: &mut Criterion) {
    let mut group = c.benchmark_group("asset/64MiB");
    group.throughput(Throughput::Bytes(LARGE_LEN as u64));
    let content = Chance::new(1).bytes(LARGE_LEN);
    let (folder, workspace) = empty();
    let path = folder.path().join("content");
    fs::write(&path, &content).expect("written");
    let assets = workspace.assets();
    let mut fresh = 0_u64;
    group.bench_function("new, from a reader", |b| {
        b.iter_batched(
            || {
                fresh += 1;
                let mut content = content.clone();
                content[..8].copy_from_slice(&fresh.to_le_bytes());
                content
            },
            |content| {
                let added = assets.put(&content[..], binary()).expect("added");
                assets.purge(&added.id).expect("removed again");
            },
            BatchSize::PerIteration,
        );
    });
    assets.put_file(&path, binary()).expect("added");
    group.bench_function("there already, from a file", |b| {
        b.iter(|| assert!(assets.put_file(&path, binary()).expect("added").was_here));
    });
    group.bench_function("limit: BLAKE3 in one thread", |b| {
        b.iter(|| annals::AssetId::of(&content));
    });
    group.bench_function("limit: a plain file, synced", |b| {
        let plain = folder.path().join("plain");
        b.iter(|| {
            fs::write(&plain, &content).expect("written");
            fs::File::open(&plain).and_then(|file| file.sync_data()).expect("synced");
            fs::remove_file(&plain).expect("removed");
        });
    });
    group.finish();
}

fn of_small(count: usize) -> Throughput {
    Throughput::ElementsAndBytes { elements: count as u64, bytes: (count * SMALL_LEN) as u64 }
}

fn small(c: &mut Criterion) {
    let mut group = c.benchmark_group("asset/4500B");
    group.throughput(of_small(SMALL_COUNT));
    let mut fresh = 0;
    group.bench_function("new, 2,000 with one sync", |b| {
        b.iter_batched(
            || {
                fresh += 1;
                let mut chance = Chance::new(fresh);
                let contents: Vec<Vec<u8>> =
                    (0..SMALL_COUNT).map(|_| chance.bytes(SMALL_LEN)).collect();
                (empty(), contents)
            },
            |((folder, workspace), contents)| {
                let mut batch = workspace.assets().batch();
                for content in &contents {
                    batch.put(&content[..], binary()).expect("added");
                }
                batch.commit().expect("durable");
                workspace.commit().expect("durable");
                drop(batch);
                (folder, workspace)
            },
            BatchSize::PerIteration,
        );
    });
    let (_folder, workspace) = filled();
    let ids: Vec<_> = workspace.assets().ids().expect("ids").into_iter().collect();
    let mut at = 0;
    group.throughput(of_small(1));
    group.bench_function("random read", |b| {
        b.iter(|| {
            at = (at + 977) % ids.len();
            workspace.assets().read(&ids[at], 0..SMALL_LEN as u64).expect("read").len()
        });
    });
    group.throughput(of_small(SMALL_COUNT));
    group.bench_function("index made anew", |b| {
        b.iter(|| workspace.reindex_assets().expect("rebuilt"));
    });
    group.finish();
}

fn filled() -> (tempfile::TempDir, Workspace) {
    let (folder, workspace) = empty();
    let mut batch = workspace.assets().batch();
    let mut chance = Chance::new(1);
    for _ in 0..SMALL_COUNT {
        batch.put(&chance.bytes(SMALL_LEN)[..], binary()).expect("added");
    }
    batch.commit().expect("durable");
    drop(batch);
    workspace.commit().expect("durable");
    (folder, workspace)
}

fn range(c: &mut Criterion) {
    let mut group = c.benchmark_group("asset/range of 64 KiB in 64 MiB");
    group.throughput(Throughput::Bytes(RANGE_LEN));
    let (folder, workspace) = empty();
    let content = Chance::new(1).bytes(LARGE_LEN);
    let id = workspace.assets().put(&content[..], binary()).expect("added").id;
    let path = folder.path().join("plain");
    fs::write(&path, &content).expect("written");
    let count = LARGE_LEN as u64 / RANGE_LEN;
    let mut at = 0;
    let mut next = move || {
        at = (at + 617) % count;
        at * RANGE_LEN
    };
    let mut bytes = vec![0; usize::try_from(RANGE_LEN).expect("64 KiB")];
    group.bench_function("opened each time", |b| {
        b.iter(|| {
            let start = next();
            workspace.assets().read(&id, start..start + RANGE_LEN).expect("read").len()
        });
    });
    let mut reader = workspace.assets().open(&id).expect("opened");
    group.bench_function("from an open reader", |b| {
        b.iter(|| reader.read_exact_at(&mut bytes, next()).expect("read"));
    });
    let file = fs::File::open(&path).expect("opened");
    let mut plain = vec![0; usize::try_from(RANGE_LEN).expect("64 KiB")];
    group.bench_function("limit: pread and BLAKE3", |b| {
        use std::os::unix::fs::FileExt as _;
        b.iter(|| {
            file.read_exact_at(&mut plain, next()).expect("read");
            annals::AssetId::of(&plain)
        });
    });
    group.finish();
    workspace.close().expect("closed");
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = large, small, range);
criterion_main!(benches);

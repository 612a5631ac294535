//! Durable commits: one entry, a hundred, and eight threads with one each; beside them plain files.
//!
//! Of the plain files one grows with each write, as the segment of a log does; the other is overwritten in place after
//! zeros were written and synced ahead, 1 MiB at a time, which is counted.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use std::{fs::File, os::unix::fs::FileExt as _, time::Instant};

use annals::Workspace;
use annals_benches::{Entries, Kind, empty};
use criterion::{Criterion, criterion_group, criterion_main};

const ENTRY_COUNT: usize = 10_000;
static AHEAD: [u8; 1 << 20] = [0; 1 << 20];

/// What the machine can do: writes and syncs, nothing else.
struct PlainFile {
    file: File,
    end: u64,
    /// How far zeros were written ahead, if they are.
    zeros: Option<u64>,
}

impl PlainFile {
    fn new(ahead: bool) -> Self {
        let file = tempfile::tempfile().expect("a temporary file");
        Self { file, end: 0, zeros: ahead.then_some(0) }
    }

    fn commit(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len() as u64;
        if let Some(zeros) = self.zeros.as_mut().filter(|zeros| **zeros < end) {
            self.file.write_all_at(&AHEAD, *zeros).expect("writing works");
            self.file.sync_all().expect("syncing works");
            *zeros += AHEAD.len() as u64;
        }
        self.file.write_all_at(bytes, self.end).expect("writing works");
        self.file.sync_data().expect("syncing works");
        self.end = end;
    }
}

fn plain(c: &mut Criterion) {
    for (count, name) in [(1, "commit/1"), (100, "commit/100")] {
        let mut group = c.benchmark_group(name);
        let entries = Kind::Keystroke.first(ENTRY_COUNT);
        let chunk = &entries.bytes()[..entries.first_len(count)];
        group.throughput(entries.throughput_of(count as u64));
        for (name, ahead) in [("plain file, growing", false), ("plain file, preallocated", true)] {
            let mut file = PlainFile::new(ahead);
            group.bench_function(name, |b| b.iter(|| file.commit(chunk)));
        }
        group.finish();
    }
}

fn one_thread(c: &mut Criterion) {
    for (count, name) in [(1, "commit/1"), (100, "commit/100")] {
        let mut group = c.benchmark_group(name);
        for kind in Kind::ALL {
            let entries = kind.first(ENTRY_COUNT);
            let mut payloads = entries.iter().cycle();
            let (_folder, workspace) = empty();
            group.throughput(entries.throughput_of(count));
            group.bench_function(kind.name(), |b| {
                b.iter(|| {
                    for _ in 0..count {
                        let payload = payloads.next().expect("an endless sequence");
                        workspace.append(payload).expect("appending works");
                    }
                    workspace.commit().expect("syncing works")
                });
            });
        }
        group.finish();
    }
}

fn threads(c: &mut Criterion) {
    const THREADS: u64 = 8;
    let mut group = c.benchmark_group("commit/threads-8");
    for kind in Kind::ALL {
        let entries = kind.first(ENTRY_COUNT);
        let (_folder, workspace) = empty();
        group.throughput(entries.throughput_of(1));
        group.bench_function(kind.name(), |b| {
            b.iter_custom(|iterations| {
                let each = usize::try_from(iterations.div_ceil(THREADS)).expect("few enough");
                let started = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..THREADS {
                        scope.spawn(|| commit_each(&workspace, &entries, each));
                    }
                });
                started.elapsed()
            });
        });
    }
    group.finish();
}

fn commit_each(workspace: &Workspace, entries: &Entries, count: usize) {
    for payload in entries.iter().cycle().take(count) {
        let ticket = workspace.append(payload).expect("appending works");
        ticket.wait_durable().expect("syncing works");
    }
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = plain, one_thread, threads);
criterion_main!(benches);

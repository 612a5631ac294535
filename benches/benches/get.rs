//! Random entries by number: each as likely as the others, or few of them often; with a cache that holds everything and is
//! warm, and without one (page cache warm).
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::Workspace;
use annals_benches::{Chance, Kind, filled, options};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const CACHE_LEN: usize = 256 << 20;

type Draw = fn(&mut Chance, u64) -> u64;

fn get(c: &mut Criterion) {
    let draws: [(&str, Draw); 2] = [("uniform", Chance::below), ("skewed", Chance::skewed)];
    for kind in Kind::ALL {
        let entries = kind.entries();
        let (_folder, workspace) = filled(&entries);
        let path = workspace.path().to_owned();
        workspace.close().expect("closing works");
        for (name, draw) in draws {
            let mut group = c.benchmark_group(format!("get/{name}"));
            group.throughput(entries.throughput_of(1));
            for (name, cache_len) in [("cached", CACHE_LEN), ("not cached", 0)] {
                let options = options().cache_len(cache_len);
                let workspace = Workspace::open_read_only(&path, options).expect("opening works");
                let log = workspace.own_log();
                let read = |index| log.entry(index).expect("an entry").payload().map(<[u8]>::len);
                let count = log.entry_count();
                if cache_len > 0 {
                    (0..count).for_each(|index| assert!(read(index).is_ok(), "a payload"));
                }
                // So that what is frequent does not lie side by side.
                let scatter = |number| number * 7_919_113 % count;
                let mut chance = Chance::new(3);
                group.bench_function(BenchmarkId::new(name, kind.name()), |b| {
                    b.iter(|| read(scatter(draw(&mut chance, count))));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = get);
criterion_main!(benches);

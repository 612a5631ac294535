//! What the machine can do, for comparison: memory, hashes, compression and disk, each in one thread. `each` is the
//! median time of one operation.

use std::{
    fs::File,
    hint::black_box,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{Case, Task, float};
use crate::{
    args::Scale,
    data::Kind,
    measure::percentile,
    results::{Column, Figures, Unit},
};

const RATE: Column = Column { name: "bytes", unit: Unit::BytesPerSecond };
const EACH: Column = Column { name: "each", unit: Unit::Seconds };

const BLOCK: usize = 4 << 10;
const CHUNK: usize = 64 << 10;
const SUBJECTS: [&str; 10] = [
    "memcpy of 16 MiB",
    "blake3 of 64 KiB",
    "blake3 of 64 B",
    "crc32 of 64 KiB",
    "zstd-1 of 64 KiB",
    "unzstd of 64 KiB",
    "append and sync of 4 KiB",
    "overwrite and sync of 4 KiB",
    "pread of 64 KiB",
    "pread of 4 KiB",
];

/// The one case.
pub(super) fn cases(scale: Scale) -> Vec<Case> {
    let case = Case::new(
        "limits",
        include_str!("limits.rs"),
        &[RATE, EACH],
        SUBJECTS.map(str::to_owned).to_vec(),
        move |task| run(task, scale.seconds(0.5)),
    );
    vec![Case { compares: false, ..case }]
}

fn run(task: &Task, time: Duration) -> Result<Figures> {
    let changes = Kind::Change.entries(20_000);
    let chunk = changes.bytes().get(..CHUNK).context("the changes are too short")?;
    let compressed = zstd::bulk::compress(chunk, 1)?;
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    let mut decompressor = zstd::bulk::Decompressor::new()?;
    let memory = vec![1_u8; 16 << 20];
    let mut copy = vec![0_u8; 16 << 20];
    let mut options = File::options();
    let path = task.folder.join("file");
    let file = options.read(true).write(true).create_new(true).open(path)?;
    let mut end = 0;

    match task.subject.as_str() {
        "memcpy of 16 MiB" => repeated(time, memory.len(), || {
            black_box(&mut copy).copy_from_slice(black_box(&memory));
            Ok(())
        }),
        "blake3 of 64 KiB" => repeated(time, CHUNK, || Ok(blake3::hash(black_box(chunk)))),
        "blake3 of 64 B" => repeated(time, 64, || Ok(blake3::hash(black_box(&chunk[..64])))),
        "crc32 of 64 KiB" => repeated(time, CHUNK, || Ok(crc32fast::hash(black_box(chunk)))),
        "zstd-1 of 64 KiB" => repeated(time, CHUNK, || Ok(compressor.compress(chunk)?)),
        "unzstd of 64 KiB" => {
            repeated(time, CHUNK, || Ok(decompressor.decompress(&compressed, CHUNK)?))
        }
        "append and sync of 4 KiB" => repeated(time, BLOCK, || {
            file.write_all_at(&chunk[..BLOCK], end)?;
            end += BLOCK as u64;
            Ok(file.sync_data()?)
        }),
        "overwrite and sync of 4 KiB" => {
            file.write_all_at(&memory, 0)?;
            file.sync_all()?;
            repeated(time, BLOCK, || {
                file.write_all_at(&chunk[..BLOCK], end)?;
                end = (end + BLOCK as u64) % memory.len() as u64;
                Ok(file.sync_data()?)
            })
        }
        name => {
            file.write_all_at(&memory, 0)?;
            let len = if name == "pread of 4 KiB" { BLOCK } else { CHUNK };
            repeated(time, len, || {
                file.read_exact_at(&mut copy[..len], end)?;
                end = (end + len as u64) % memory.len() as u64;
                Ok(())
            })
        }
    }
}

/// Does it again and again for some time, and measures each.
fn repeated<T>(
    time: Duration,
    len: usize,
    mut operation: impl FnMut() -> Result<T>,
) -> Result<Figures> {
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < time {
        let beginning = Instant::now();
        black_box(operation()?);
        times.push(beginning.elapsed().as_secs_f64());
    }
    let each = percentile(&mut times, 50);
    Ok(Figures::from([RATE.of(float(len) / each), EACH.of(each)]))
}

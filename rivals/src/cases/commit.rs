//! Keystrokes, durable one by one (`1`), a hundred at once (`100`), and one by one from eight threads (`threads-8`). Time
//! is that of one commit, CPU time that of the whole process for each commit.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{Case, Task, float, stores, verify};
use crate::{
    args::Scale,
    data::{Entries, Kind},
    engine::{Cache, Role},
    measure,
    results::{Column, Figures, Unit},
};

const MEDIAN: Column = Column { name: "median", unit: Unit::Seconds };
const MOST: Column = Column { name: "99 %", unit: Unit::Seconds };
const MEAN: Column = Column { name: "mean", unit: Unit::Seconds };
const CPU: Column = Column { name: "CPU", unit: Unit::Seconds };
const COMMITS: Column = Column { name: "commits", unit: Unit::PerSecond };
const THREADS: usize = 8;

/// One thread with one entry and with a hundred, and eight threads.
pub(super) fn cases(scale: Scale) -> Vec<Case> {
    let one_thread = [1, 100].map(|each| {
        Case::new(
            format!("commit/{each}"),
            include_str!("commit.rs"),
            &[MEDIAN, MOST, MEAN, CPU],
            stores(Role::Commits),
            move |task| one_thread(task, each, scale.seconds(2.0)),
        )
    });
    let threads = Case::new(
        format!("commit/threads-{THREADS}"),
        include_str!("commit.rs"),
        &[COMMITS, CPU],
        stores(Role::Commits),
        move |task| threads(task, scale.seconds(2.0)),
    );
    one_thread.into_iter().chain([threads]).collect()
}

/// Enough different ones; they are repeated.
fn keystrokes() -> Entries {
    Kind::Keystroke.entries(100_000)
}

fn one_thread(task: &Task, each: usize, time: Duration) -> Result<Figures> {
    let entries = keystrokes();
    let payloads: Vec<_> = entries.iter().collect();
    let engine = task.open(Cache::Default)?;
    let mut times = Vec::new();
    let cpu = measure::cpu();
    let started = Instant::now();
    for commit in payloads.chunks_exact(each).cycle() {
        let committing = Instant::now();
        engine.commit(commit)?;
        times.push(committing.elapsed().as_secs_f64());
        if started.elapsed() > time {
            break;
        }
    }
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = measure::cpu() - cpu;
    let commits = times.len();
    engine.close()?;
    verify(&*task.open(Cache::Default)?, entries.cycle(commits * each))?;
    Ok(Figures::from([
        MEDIAN.of(measure::percentile(&mut times, 50)),
        MOST.of(measure::percentile(&mut times, 99)),
        MEAN.of(elapsed / float(commits)),
        CPU.of(cpu / float(commits)),
    ]))
}

fn threads(task: &Task, time: Duration) -> Result<Figures> {
    let entries = keystrokes();
    let engine = task.open(Cache::Default)?;
    let next = AtomicUsize::new(0);
    let cpu = measure::cpu();
    let started = Instant::now();
    let work = || -> Result<()> {
        while started.elapsed() < time {
            let n = next.fetch_add(1, Ordering::Relaxed);
            engine.commit(&[entries.get(n % entries.len())])?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = measure::cpu() - cpu;
    engine.close()?;

    let commits = next.into_inner();
    let engine = task.open(Cache::Default)?;
    let count = engine.count()?;
    ensure!(count == commits as u64, "{count} of {commits} entries are there");
    // They may be there in any order.
    let mut sum = 0_u64;
    engine.scan(&mut |payload| sum = sum.wrapping_add(checksum(payload)))?;
    let expected = entries.cycle(commits).map(checksum).fold(0, u64::wrapping_add);
    ensure!(sum == expected, "the entries are not what was written");
    Ok(Figures::from([COMMITS.of(float(commits) / elapsed), CPU.of(cpu / float(commits))]))
}

fn checksum(payload: &[u8]) -> u64 {
    u64::from(crc32fast::hash(payload)) << 32 | payload.len() as u64
}

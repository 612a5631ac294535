//! Opening a log of keystrokes and reading its last entry, in a new process, with nothing of the files in the system's
//! caches: after a clean close, and after a crash, where the process that had loaded the log and then committed one by
//! one for half a second was aborted.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result, ensure};

use super::{Case, Task, stores, verify};
use crate::{
    args::Scale,
    data::{Entries, Kind},
    engine::{Cache, Role},
    measure,
    results::{Column, Figures, Unit},
};

const OPEN: Column = Column { name: "open", unit: Unit::Seconds };

/// Both ends, with logs of each length.
pub(super) fn cases(scale: Scale) -> Vec<Case> {
    let lengths = scale.lengths().into_iter().chain([scale.count(260_000)]);
    let mut lengths: Vec<_> = lengths.collect();
    lengths.sort_unstable();
    let of_end = |end: End| lengths.iter().map(move |count| case(scale, end, *count));
    of_end(End::Clean).chain(of_end(End::Crash)).collect()
}

/// How the process ended that wrote the log.
#[derive(Clone, Copy, Eq, PartialEq)]
enum End {
    Clean,
    Crash,
}

fn case(scale: Scale, end: End, count: usize) -> Case {
    let name = if end == End::Clean { "clean" } else { "crash" };
    let case = Case::new(
        format!("open/{name}/{count}"),
        include_str!("open.rs"),
        &[OPEN],
        stores(Role::Log),
        move |task| open(task, count),
    );
    Case { prepare: Some(Box::new(move |task| write(task, scale, end, count))), ..case }
}

/// The log, and how many entries of it were durable when the process ended.
fn write(task: &Task, scale: Scale, end: End, count: usize) -> Result<()> {
    let entries = Kind::Keystroke.entries(count);
    let engine = task.open(Cache::Default)?;
    engine.bulk(&entries)?;
    let mut written = count;
    let started = Instant::now();
    while end == End::Crash && started.elapsed() < scale.seconds(0.5) {
        engine.commit(&[entries.get(written % count)])?;
        written += 1;
    }
    fs::write(task.folder.join("count"), written.to_string())?;
    if end == End::Crash {
        std::process::abort();
    }
    engine.close()
}

fn open(task: &Task, count: usize) -> Result<Figures> {
    let entries: Entries = Kind::Keystroke.entries(count);
    let written: usize = fs::read_to_string(task.folder.join("count"))?.parse()?;
    measure::evict(&task.store())?;
    let mut last = Vec::new();
    let started = Instant::now();
    let engine = task.open(Cache::Default)?;
    let index = engine.count()?.checked_sub(1).context("the log is empty")?;
    engine.get(index, &mut |payload| last.extend_from_slice(payload))?;
    let elapsed = started.elapsed().as_secs_f64();
    ensure!(last == entries.get((written - 1) % count), "the last entry is another one");
    verify(&*engine, entries.cycle(written))?;
    Ok(Figures::from([OPEN.of(elapsed)]))
}

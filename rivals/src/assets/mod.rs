//! Files, large ones and many small ones: `ingest` stores them anew, `duplicate` stores those with the same content again,
//! which come from another folder; `read` reads and verifies all of them, and writes nothing. Each subject starts anew, so
//! that opening its store and closing it count; the page cache is warm, and what was stored is durable when the clock
//! stops. `range` reads 64 KiB at random places of the largest file and verifies them against the hash of all of it, from a
//! reader that stays open (`annals`) or is opened each time (`annals-opened`); `pread-hash` reads and hashes as much of a
//! plain file, and has nothing to compare the hash with. A range that begins `anywhere` lies in two chunks, both of which
//! have to be hashed to verify it. `iroh-blobs` takes part if it was built
//! in. CPU time is that of all processes, in steps of 10 ms for programs.

mod annals;
mod archive;
mod content;
#[cfg(feature = "iroh-blobs")]
mod iroh;
mod programs;
mod range;
mod store;

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};

use crate::{
    args::Scale,
    cases::{Case, Task},
    engine::about,
    measure,
    results::{Column, Figures},
};

/// All cases about assets.
pub(crate) fn cases(scale: Scale) -> Vec<Case> {
    store::cases(scale).into_iter().chain(range::cases(scale)).collect()
}

/// A case whose files are written before, and who takes part in it.
fn case(
    name: &str,
    columns: Vec<Column>,
    subjects: impl IntoIterator<Item = &'static str>,
    prepare: impl Fn(&Task) -> Result<()> + 'static,
    run: impl Fn(&Task) -> Result<Figures> + 'static,
) -> Case {
    Case {
        name: format!("assets/{name}"),
        about: about(include_str!("mod.rs")),
        columns,
        subjects: subjects.into_iter().map(str::to_owned).collect(),
        compares: true,
        prepare: Some(Box::new(prepare)),
        run: Box::new(run),
    }
}

/// A line for each subject, with its version and its set-up.
pub(crate) fn set_ups() -> Vec<String> {
    let mut lines = vec![format!("**annals**, assets: {}", about(include_str!("annals.rs")))];
    lines.extend(programs::set_ups());
    #[cfg(feature = "iroh-blobs")]
    lines.push(format!("**iroh-blobs**: {}", about(include_str!("iroh.rs"))));
    lines
}

/// Seconds that pass while `work` is done, and seconds of CPU that are spent on it.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let cpu = cpu()?;
    let started = Instant::now();
    work()?;
    let elapsed = started.elapsed().as_secs_f64();
    Ok((elapsed, self::cpu()? - cpu))
}

/// Seconds of CPU that this process has spent, and those that it has waited for.
fn cpu() -> Result<f64> {
    Ok(measure::cpu() + cpu_of_children()?)
}

/// In steps of 10 ms.
fn cpu_of_children() -> Result<f64> {
    const TICKS_PER_SECOND: u32 = 100;
    let stat = fs::read_to_string("/proc/self/stat")?;
    // Behind the name of the program, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(13).take(2).map(str::parse::<u32>);
    let ticks = ticks.sum::<Result<u32, _>>().context("no CPU time in /proc/self/stat")?;
    Ok(f64::from(ticks) / f64::from(TICKS_PER_SECOND))
}

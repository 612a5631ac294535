//! `annals` is the deep check of a log: everything decompressed and hashed, the index against one made anew.
//! `annals-scan` is a scan of the same log.

use std::time::Instant;

use annals::check::{self, Depth};
use anyhow::{Result, ensure};

use super::{
    Case, Task,
    bulk::{ENTRIES, PAYLOAD},
    float,
    scan::rates,
};
use crate::{
    args::Scale,
    data::{Entries, Kind},
    engine::Cache,
    results::Figures,
};

/// Short entries and long ones.
pub(super) fn cases(scale: Scale) -> Vec<Case> {
    let of_kind = |(kind, count): (Kind, usize)| {
        Case::new(
            format!("verify/{}", kind.name()),
            include_str!("verify.rs"),
            &[ENTRIES, PAYLOAD],
            ["annals", "annals-scan"].map(str::to_owned).to_vec(),
            move |task| run(task, &kind.entries(scale.count(count))),
        )
    };
    [(Kind::Keystroke, 260_000), (Kind::Document, 200_000)].into_iter().map(of_kind).collect()
}

fn run(task: &Task, entries: &Entries) -> Result<Figures> {
    let engine = task.open_as("annals", Cache::Default)?;
    engine.bulk(entries)?;
    super::verify(&*engine, entries.iter())?;
    if task.subject == "annals-scan" {
        return rates(entries, |look| engine.scan(look));
    }
    engine.close()?;
    let started = Instant::now();
    let report = check::check(task.store().join("workspace"), Depth::Payloads, |_, _| ())?;
    let elapsed = started.elapsed().as_secs_f64();
    ensure!(report.is_clean(), "the check finds something");
    ensure!(report.logs.len() == 1, "there is not one log");
    ensure!(report.logs[0].entries == entries.len() as u64, "entries are missing");
    Ok(Figures::from([
        ENTRIES.of(float(entries.len()) / elapsed),
        PAYLOAD.of(float(entries.byte_len()) / elapsed),
    ]))
}

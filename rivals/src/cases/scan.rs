//! All entries in order, read by the process that has just read them once: the system's page cache is warm, the store's
//! own cache is as it comes.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{
    Case, Task,
    bulk::{ENTRIES, PAYLOAD},
    float, stores, verify,
};
use crate::{
    args::Scale,
    data::{Entries, Kind},
    engine::{Cache, Look, Role},
    results::Figures,
};

/// Each kind of entry.
pub(super) fn cases(scale: Scale) -> Vec<Case> {
    let of_kind = |kind: Kind| {
        let count = scale.count(if kind == Kind::Document { 200_000 } else { 260_000 });
        Case::new(
            format!("scan/{}", kind.name()),
            include_str!("scan.rs"),
            &[ENTRIES, PAYLOAD],
            stores(Role::Log),
            move |task| run(task, &kind.entries(count)),
        )
    };
    Kind::ALL.into_iter().map(of_kind).collect()
}

fn run(task: &Task, entries: &Entries) -> Result<Figures> {
    let engine = task.open(Cache::Default)?;
    engine.bulk(entries)?;
    engine.close()?;
    let engine = task.open(Cache::Default)?;
    verify(&*engine, entries.iter())?;
    rates(entries, |look| engine.scan(look))
}

/// Measures a scan that shows all of these entries, in whatever order.
pub(super) fn rates(
    entries: &Entries,
    scan: impl FnOnce(Look<'_>) -> Result<()>,
) -> Result<Figures> {
    let (mut count, mut bytes) = (0, 0);
    let started = Instant::now();
    scan(&mut |payload| {
        count += 1;
        bytes += std::hint::black_box(payload).len();
    })?;
    let elapsed = started.elapsed().as_secs_f64();
    ensure!((count, bytes) == (entries.len(), entries.byte_len()), "entries are missing");
    Ok(Figures::from([
        ENTRIES.of(float(entries.len()) / elapsed),
        PAYLOAD.of(float(entries.byte_len()) / elapsed),
    ]))
}

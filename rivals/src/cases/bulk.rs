//! All entries at once, durable after one sync at the end; `closed` is the rate until the store is closed as well, when
//! those that keep entries in a log first have moved them to where they stay. Disk use is that of all files after closing, their lengths and
//! the blocks that they take. CPU time and memory are those from before the store is opened until it is closed, memory
//! beyond what the process had before. `compacted` is the length of all files after the store's own compaction, where it
//! has one.

use std::{path::Path, time::Instant};

use anyhow::Result;

use super::{Case, Task, float, stores, verify};
use crate::{
    args::Scale,
    data::{Entries, Kind},
    engine::{Cache, Role},
    measure,
    results::{Column, Figures, Unit},
};

pub(super) const ENTRIES: Column = Column { name: "entries", unit: Unit::PerSecond };
const CLOSED: Column = Column { name: "closed", unit: Unit::PerSecond };
pub(super) const PAYLOAD: Column = Column { name: "payload", unit: Unit::BytesPerSecond };
pub(super) const DISK: Column = Column { name: "on disk", unit: Unit::Bytes };
pub(super) const MEMORY: Column = Column { name: "memory", unit: Unit::Bytes };
const BLOCKS: Column = Column { name: "blocks", unit: Unit::Bytes };
const COMPACTED: Column = Column { name: "compacted", unit: Unit::Bytes };
const CPU: Column = Column { name: "CPU", unit: Unit::Seconds };

/// Each kind of entry, and editing traces if there are some.
pub(super) fn cases(scale: Scale, traces: Option<&Path>) -> Vec<Case> {
    let mut cases: Vec<_> = Kind::ALL.into_iter().map(|kind| of_kind(scale, kind)).collect();
    if let Some(folder) = traces.map(Path::to_owned) {
        cases.push(case("traces", move || Entries::of_traces(&folder)));
    }
    cases
}

fn of_kind(scale: Scale, kind: Kind) -> Case {
    let count = scale.count(if kind == Kind::Document { 200_000 } else { 260_000 });
    case(kind.name(), move || Ok(kind.entries(count)))
}

fn case(name: &str, entries: impl Fn() -> Result<Entries> + 'static) -> Case {
    Case::new(
        format!("bulk/{name}"),
        include_str!("bulk.rs"),
        &[ENTRIES, PAYLOAD, CLOSED, DISK, BLOCKS, COMPACTED, CPU, MEMORY],
        stores(Role::Log),
        move |task| {
            let entries = entries()?;
            let mut figures = load(task, &entries)?;
            // It takes long, and always comes to the same.
            if task.round == 1 {
                figures.extend(compacted(task, &entries)?);
            }
            Ok(figures)
        },
    )
}

/// Measures the load of all entries.
pub(super) fn load(task: &Task, entries: &Entries) -> Result<Figures> {
    measure::forget_peak()?;
    let memory = measure::peak_memory()?;
    let cpu = measure::cpu();
    let engine = task.open(Cache::Default)?;
    let started = Instant::now();
    engine.bulk(entries)?;
    let elapsed = started.elapsed().as_secs_f64();
    engine.close()?;
    let closed = started.elapsed().as_secs_f64();
    let cpu = measure::cpu() - cpu;
    let memory = measure::peak_memory()? - memory;
    let disk = measure::disk_use(&task.store())?;

    let engine = task.open(Cache::Default)?;
    verify(&*engine, entries.iter())?;
    engine.close()?;
    Ok(Figures::from([
        ENTRIES.of(float(entries.len()) / elapsed),
        PAYLOAD.of(float(entries.byte_len()) / elapsed),
        CLOSED.of(float(entries.len()) / closed),
        DISK.of(float(disk.apparent)),
        BLOCKS.of(float(disk.allocated)),
        CPU.of(cpu),
        MEMORY.of(float(memory)),
    ]))
}

fn compacted(task: &Task, entries: &Entries) -> Result<Option<(String, f64)>> {
    let mut engine = task.open(Cache::Default)?;
    if !engine.compact()? {
        return Ok(None);
    }
    engine.close()?;
    let disk = measure::disk_use(&task.store())?;
    verify(&*task.open(Cache::Default)?, entries.iter())?;
    Ok(Some(COMPACTED.of(float(disk.apparent))))
}

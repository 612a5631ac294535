//! All entries at once, durable after one sync at the end. Disk use is that of all files after closing. CPU time and
//! memory are those from before the store is opened until it is closed, memory beyond what the process had before.
//! `compacted` is the disk use after the store's own compaction, where it has one.

use std::{path::Path, time::Instant};

use anyhow::Result;

use super::{Case, Task, float, stores, verify};
use crate::{
    args::Scale,
    data::{Entries, Kind},
    engine::{Cache, about},
    measure,
    results::{Column, Figures, Unit},
};

const ENTRIES: Column = Column { name: "entries", unit: Unit::PerSecond };
const PAYLOAD: Column = Column { name: "payload", unit: Unit::BytesPerSecond };
const DISK: Column = Column { name: "on disk", unit: Unit::Bytes };
const BLOCKS: Column = Column { name: "blocks", unit: Unit::Bytes };
const COMPACTED: Column = Column { name: "compacted", unit: Unit::Bytes };
const CPU: Column = Column { name: "CPU", unit: Unit::Seconds };
const MEMORY: Column = Column { name: "memory", unit: Unit::Bytes };

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
    Case {
        name: format!("bulk/{name}"),
        about: about(include_str!("bulk.rs")),
        columns: vec![ENTRIES, PAYLOAD, DISK, BLOCKS, COMPACTED, CPU, MEMORY],
        subjects: stores(|name| name != "plain-ahead"),
        prepare: None,
        run: Box::new(move |task| run(task, &entries()?)),
    }
}

fn run(task: &Task, entries: &Entries) -> Result<Figures> {
    measure::forget_peak()?;
    let memory = measure::peak_memory()?;
    let cpu = measure::cpu();
    let engine = task.open(Cache::Default)?;
    let started = Instant::now();
    engine.bulk(entries)?;
    let elapsed = started.elapsed().as_secs_f64();
    engine.close()?;
    let cpu = measure::cpu() - cpu;
    let memory = measure::peak_memory()? - memory;
    let disk = measure::disk_use(&task.store())?;

    let mut figures = Figures::from([
        (ENTRIES.name.to_owned(), float(entries.len()) / elapsed),
        (PAYLOAD.name.to_owned(), float(entries.byte_len()) / elapsed),
        (DISK.name.to_owned(), float(disk.apparent)),
        (BLOCKS.name.to_owned(), float(disk.allocated)),
        (CPU.name.to_owned(), cpu.as_secs_f64()),
        (MEMORY.name.to_owned(), float(memory)),
    ]);
    let mut engine = task.open(Cache::Default)?;
    verify(&*engine, entries)?;
    // It takes long, and always comes to the same.
    if task.round == 1 && engine.compact()? {
        engine.close()?;
        let compacted = measure::disk_use(&task.store())?.apparent;
        figures.insert(COMPACTED.name.to_owned(), float(compacted));
        verify(&*task.open(Cache::Default)?, entries)?;
    } else {
        engine.close()?;
    }
    Ok(figures)
}

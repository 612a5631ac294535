//! Keystrokes in bulk, into logs of different lengths: what each entry costs as the log grows.

use super::{
    Case,
    bulk::{self, DISK, ENTRIES, MEMORY},
    float, named,
};
use crate::{
    args::Scale,
    data::Kind,
    results::{Column, Unit},
};

const EACH: Column = Column { name: "for each entry", unit: Unit::Bytes };

/// Each length of the log.
pub(super) fn cases(scale: Scale) -> Vec<Case> {
    scale.lengths().into_iter().map(of_length).collect()
}

fn of_length(count: usize) -> Case {
    Case::new(
        format!("growth/{count}"),
        include_str!("growth.rs"),
        &[ENTRIES, EACH, MEMORY],
        named(&["annals", "sqlite", "rocksdb", "plain-zstd"]),
        move |task| {
            let mut figures = bulk::load(task, &Kind::Keystroke.entries(count))?;
            figures.extend([EACH.of(figures[DISK.name] / float(count))]);
            Ok(figures)
        },
    )
}

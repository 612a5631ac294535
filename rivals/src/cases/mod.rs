//! The cases: what is measured of whom.

mod bulk;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::{
    args::Scale,
    data::Entries,
    engine::{Cache, Engine, Subject},
    results::{Column, Figures},
    subjects,
};

/// Something that is measured.
pub(crate) struct Case {
    /// Its name; what stands before the slash is a group of cases.
    pub(crate) name: String,
    /// What is measured, as the report tells it.
    pub(crate) about: String,
    /// The figures; the first is the one that is drawn.
    pub(crate) columns: Vec<Column>,
    /// Names of the subjects. The others are compared with the first.
    pub(crate) subjects: Vec<String>,
    /// What a process of its own does before, in the same folder. It may end by aborting.
    pub(crate) prepare: Option<Box<dyn Fn(&Task) -> Result<()>>>,
    /// Measures one subject.
    pub(crate) run: Box<dyn Fn(&Task) -> Result<Figures>>,
}

/// One subject in one case.
#[derive(Debug)]
pub(crate) struct Task {
    /// The subject.
    pub(crate) subject: String,
    /// A folder for it alone.
    pub(crate) folder: PathBuf,
    /// The round, from 1.
    pub(crate) round: u32,
}

/// All cases, in the order of the report.
pub(crate) fn all(scale: Scale, traces: Option<&Path>) -> Vec<Case> {
    bulk::cases(scale, traces)
}

impl Task {
    /// Where the store keeps its files.
    fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// The subject of this task, if it is a store.
    fn engine(&self) -> Result<&'static Subject> {
        let subject = subjects::all().iter().find(|subject| subject.name == self.subject);
        subject.with_context(|| format!("there is no store {}", self.subject))
    }

    /// Opens the store, or makes it.
    fn open(&self, cache: Cache) -> Result<Box<dyn Engine>> {
        std::fs::create_dir_all(self.store())?;
        (self.engine()?.open)(&self.store(), cache)
    }
}

/// The stores whose names a case does not leave out.
fn stores(takes: impl Fn(&str) -> bool) -> Vec<String> {
    let names = subjects::all().iter().map(|subject| subject.name);
    names.filter(|name| takes(name)).map(str::to_owned).collect()
}

/// Reads everything, and compares it with what was written.
fn verify(engine: &dyn Engine, entries: &Entries) -> Result<()> {
    let count = engine.count()?;
    ensure!(count == entries.len() as u64, "{count} of {} entries are there", entries.len());
    let mut expected = entries.iter();
    let mut wrong = 0_u64;
    engine.scan(&mut |payload| wrong += u64::from(expected.next() != Some(payload)))?;
    wrong += expected.count() as u64;
    ensure!(wrong == 0, "{wrong} entries are not what was written");
    Ok(())
}

/// A number for reports.
fn float(number: impl TryInto<u64>) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "nobody counts beyond 2^53 here")]
    number.try_into().map_or(f64::NAN, |number: u64| number as f64)
}

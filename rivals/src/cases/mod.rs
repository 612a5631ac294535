//! The cases: what is measured of whom.

mod bulk;
mod commit;
mod get;
mod growth;
mod limits;
mod merge;
mod open;
mod scan;
mod stream;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::{
    args::Scale,
    assets,
    engine::{Cache, Engine, Role, Subject, about},
    measure::float,
    results::{Column, Figures},
    subjects,
};

/// Something that is measured.
pub(crate) struct Case {
    /// Its name; what stands before the first slash is a group of cases.
    pub(crate) name: String,
    /// What is measured, as the report tells it of the group.
    pub(crate) about: String,
    /// The figures; the first is the one that is drawn.
    pub(crate) columns: Vec<Column>,
    /// Names of the subjects.
    pub(crate) subjects: Vec<String>,
    /// Whether the subjects do the same, so that the others are compared with the first.
    pub(crate) compares: bool,
    /// What a process of its own does before, in the same folder. It may end by aborting.
    pub(crate) prepare: Option<Step<()>>,
    /// Measures one subject.
    pub(crate) run: Step<Figures>,
}

/// What is done with one subject.
pub(crate) type Step<T> = Box<dyn Fn(&Task) -> Result<T>>;

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
    let groups = [
        bulk::cases(scale, traces),
        commit::cases(scale),
        open::cases(scale),
        get::cases(scale),
        scan::cases(scale),
        merge::cases(scale),
        stream::cases(scale),
        verify::cases(scale),
        growth::cases(scale),
        limits::cases(scale),
        assets::cases(scale),
    ];
    groups.into_iter().flatten().collect()
}

impl Case {
    /// A case that needs no preparation; the text at the top of its module tells what it is.
    fn new(
        name: impl Into<String>,
        source: &str,
        columns: &[Column],
        subjects: Vec<String>,
        run: impl Fn(&Task) -> Result<Figures> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            about: about(source),
            columns: columns.to_vec(),
            subjects,
            compares: true,
            prepare: None,
            run: Box::new(run),
        }
    }

    /// The group of cases that it belongs to.
    pub(crate) fn group(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

impl Task {
    /// Where the store keeps its files.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Opens the store, or makes it.
    fn open(&self, cache: Cache) -> Result<Box<dyn Engine>> {
        self.open_as(&self.subject, cache)
    }

    /// Opens a store of that name, or makes it.
    fn open_as(&self, name: &str, cache: Cache) -> Result<Box<dyn Engine>> {
        std::fs::create_dir_all(self.store())?;
        let subject = subjects::all().iter().find(|subject| subject.name == name);
        let subject: &Subject = subject.with_context(|| format!("there is no store {name}"))?;
        (subject.open)(&self.store(), cache)
    }
}

/// The stores that are measured in what a role means.
fn stores(role: Role) -> Vec<String> {
    let stores = subjects::all().iter().filter(|subject| subject.role >= role);
    stores.map(|subject| subject.name.to_owned()).collect()
}

/// The stores of these names, if they were built in.
fn named(names: &[&str]) -> Vec<String> {
    let is_store = |name: &&&str| subjects::all().iter().any(|subject| subject.name == **name);
    names.iter().filter(is_store).map(ToString::to_string).collect()
}

/// Reads everything, and compares it with what was written.
fn verify<'a>(
    engine: &dyn Engine,
    mut expected: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<()> {
    let (count, written) = (engine.count()?, expected.len());
    ensure!(count == written as u64, "{count} of {written} entries are there");
    let mut wrong = 0_u64;
    engine.scan(&mut |payload| wrong += u64::from(expected.next() != Some(payload)))?;
    wrong += expected.len() as u64;
    ensure!(wrong == 0, "{wrong} entries are not what was written");
    Ok(())
}

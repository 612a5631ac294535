//! Files stored, stored again, and read.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::{
    archive::{Archive, NAMES, archive},
    case,
    content::{Content, files},
    timed,
};
use crate::{
    args::Scale,
    cases::{Case, Task},
    measure::{self, float},
    results::{Column, Figures, Unit},
};

const CONTENT: Column = Column { name: "content", unit: Unit::BytesPerSecond };
const FILES: Column = Column { name: "files", unit: Unit::PerSecond };
const DISK: Column = Column { name: "on disk", unit: Unit::Bytes };
const CPU: Column = Column { name: "CPU", unit: Unit::Seconds };

/// What is done with the files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Job {
    Ingest,
    Duplicate,
    Read,
}

impl Job {
    const ALL: [Self; 3] = [Self::Ingest, Self::Duplicate, Self::Read];

    fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Duplicate => "duplicate",
            Self::Read => "read",
        }
    }
}

/// Each job with each content.
pub(super) fn cases(scale: Scale) -> Vec<Case> {
    let contents = Content::all(scale);
    // Reading the shorter one of two files of noise tells nothing new.
    let is_measured =
        |job, content: &Content| job != Job::Read || !matches!(content, Content::Noise(64));
    let of_job = |job| {
        let contents = contents.into_iter().filter(move |content| is_measured(job, content));
        contents.map(move |content| store(job, content))
    };
    Job::ALL.into_iter().flat_map(of_job).collect()
}

fn store(job: Job, content: Content) -> Case {
    let is_many = matches!(content, Content::Files(_));
    let columns = is_many.then_some(FILES).into_iter().chain([CONTENT, DISK, CPU]).collect();
    case(
        &format!("{}/{}", job.name(), content.name()),
        columns,
        NAMES.into_iter().filter(|name| job != Job::Read || *name != "cp-sync"),
        move |task| prepare(task, job, content),
        move |task| run(task, job),
    )
}

fn source(task: &Task) -> PathBuf {
    task.folder.join("source")
}

/// The same files in another folder.
fn again(task: &Task) -> PathBuf {
    task.folder.join("again")
}

fn open(task: &Task) -> Result<Box<dyn Archive>> {
    archive(&task.subject, &task.store(), &task.folder)
}

fn prepare(task: &Task, job: Job, content: Content) -> Result<()> {
    std::fs::create_dir(task.store())?;
    content.write(&source(task))?;
    let archive = open(task)?;
    archive.create()?;
    if job != Job::Ingest {
        archive.ingest(&source(task), "first")?;
    }
    if job == Job::Duplicate {
        content.write(&again(task))?;
    }
    Ok(())
}

fn run(task: &Task, job: Job) -> Result<Figures> {
    let archive = open(task)?;
    let (source, name) = match job {
        Job::Ingest | Job::Read => (source(task), "first"),
        Job::Duplicate => (again(task), "second"),
    };
    let (elapsed, cpu) = timed(|| match job {
        Job::Ingest | Job::Duplicate => archive.ingest(&source, name),
        Job::Read => archive.read(&source, name),
    })?;
    let (paths, len) = files(&source)?;
    ensure!(len > 0, "{}: nothing was written to be stored", source.display());
    let mut figures = Figures::from([
        CONTENT.of(float(len) / elapsed),
        FILES.of(float(paths.len()) / elapsed),
        CPU.of(cpu),
    ]);
    if archive.stores() {
        figures.extend([DISK.of(float(measure::disk_use(&task.store())?.apparent))]);
    }
    // It takes long, and always comes to the same. What was read was verified by reading.
    if task.round == 1 && job != Job::Read {
        archive.verify(&source, name)?;
    }
    Ok(figures)
}

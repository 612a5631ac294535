//! Ranges of a large file, verified.

use std::{fs::File, os::unix::fs::FileExt as _, path::PathBuf, time::Instant};

use annals::AssetReader;
use anyhow::{Context as _, Result, bail, ensure};

use super::{annals::Annals, archive::Archive as _, case, content::Content, timed};
use crate::{
    args::Scale,
    cases::{Case, Task},
    data::Random,
    measure::{self, float},
    results::{Column, Figures, Unit},
};

const MEDIAN: Column = Column { name: "median", unit: Unit::Seconds };
const P99: Column = Column { name: "99 %", unit: Unit::Seconds };
const CONTENT: Column = Column { name: "content", unit: Unit::BytesPerSecond };
const CPU: Column = Column { name: "CPU each", unit: Unit::Seconds };

const RANGE_LEN: usize = 64 << 10;
const COUNT: usize = 4_000;
/// How many are compared with the file afterwards.
const COMPARED_COUNT: usize = 100;

/// Ranges that begin where a chunk does, and anywhere.
pub(super) fn cases(scale: Scale) -> [Case; 2] {
    let content = Content::large(scale);
    [("aligned", RANGE_LEN as u64), ("anywhere", 1)].map(|(name, align)| {
        case(
            &format!("range/{name}"),
            vec![MEDIAN, P99, CONTENT, CPU],
            subjects(),
            move |task| prepare(task, content),
            move |task| run(task, scale, align),
        )
    })
}

fn subjects() -> Vec<&'static str> {
    let mut subjects = vec!["annals", "annals-opened", "pread-hash"];
    subjects.extend(cfg!(feature = "iroh-blobs").then_some("iroh-blobs"));
    subjects
}

fn source(task: &Task) -> PathBuf {
    task.folder.join("source")
}

fn prepare(task: &Task, content: Content) -> Result<()> {
    std::fs::create_dir(task.store())?;
    content.write(&source(task))?;
    if task.subject.starts_with("annals") {
        let annals = Annals { store: task.store() };
        annals.create()?;
        annals.ingest(&source(task), "first")?;
    }
    #[cfg(feature = "iroh-blobs")]
    if task.subject == "iroh-blobs" {
        super::iroh::store(&task.store(), &source(task).join("0"))?;
    }
    Ok(())
}

fn run(task: &Task, scale: Scale, align: u64) -> Result<Figures> {
    let file = File::open(source(task).join("0"))?;
    let end = file.metadata()?.len() - RANGE_LEN as u64;
    let mut random = Random(7);
    let count = scale.count(COUNT);
    let offsets: Vec<_> = (0..count).map(|_| random.below(end) / align * align).collect();
    let mut read = reader(task)?;

    let mut bytes = vec![0; RANGE_LEN];
    let mut seconds = Vec::with_capacity(count);
    let (elapsed, cpu) = timed(|| {
        offsets.iter().try_for_each(|&offset| {
            let started = Instant::now();
            read(&mut bytes, offset)?;
            seconds.push(started.elapsed().as_secs_f64());
            Ok(())
        })
    })?;

    let mut expected = vec![0; RANGE_LEN];
    for &offset in offsets.iter().take(COMPARED_COUNT) {
        read(&mut bytes, offset)?;
        file.read_exact_at(&mut expected, offset)?;
        ensure!(bytes == expected, "other bytes at {offset} than were stored");
    }
    Ok(Figures::from([
        MEDIAN.of(measure::percentile(&mut seconds, 50)),
        P99.of(measure::percentile(&mut seconds, 99)),
        CONTENT.of(float(count * RANGE_LEN) / elapsed),
        CPU.of(cpu / float(count)),
    ]))
}

/// Reads a range.
pub(super) type Read = Box<dyn FnMut(&mut [u8], u64) -> Result<()>>;

fn reader(task: &Task) -> Result<Read> {
    if task.subject == "pread-hash" {
        let file = File::open(source(task).join("0"))?;
        return Ok(Box::new(move |bytes, offset| {
            file.read_exact_at(bytes, offset)?;
            std::hint::black_box(blake3::hash(bytes));
            Ok(())
        }));
    }
    #[cfg(feature = "iroh-blobs")]
    if task.subject == "iroh-blobs" {
        return super::iroh::reader(&task.store(), &source(task).join("0"));
    }
    let workspace = Annals { store: task.store() }.open()?;
    let assets = workspace.assets();
    let id = *assets.ids()?.first().context("there is no asset")?;
    Ok(match task.subject.as_str() {
        "annals" => {
            let mut reader: AssetReader = assets.open(&id)?;
            Box::new(move |bytes, offset| Ok(reader.read_exact_at(bytes, offset)?))
        }
        "annals-opened" => {
            Box::new(move |bytes, offset| Ok(assets.open(&id)?.read_exact_at(bytes, offset)?))
        }
        other => bail!("{other} reads no ranges"),
    })
}

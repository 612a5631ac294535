//! The changes of one of 10,000 streams, 100 out of a million: the time to load all of a stream, chosen at random. The
//! page cache is warm, the store's cache is as it comes. `annals-scan` is a scan of everything.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::{Case, Task, float, stores};
use crate::{
    args::Scale,
    data::{Entries, Kind, Random},
    engine::{Cache, Role},
    measure,
    results::{Column, Figures, Unit},
};

const MEDIAN: Column = Column { name: "median", unit: Unit::Seconds };
const MOST: Column = Column { name: "99 %", unit: Unit::Seconds };
const FILL: Column = Column { name: "filled", unit: Unit::PerSecond };
const STREAM_LEN: usize = 100;
const READ_COUNT: usize = 500;

/// The one case.
pub(super) fn cases(scale: Scale) -> Vec<Case> {
    let streams = scale.count(10_000);
    let mut subjects = stores(Role::Streams);
    subjects.insert(1, "annals-scan".to_owned());
    vec![Case::new(
        format!("stream/1-of-{streams}"),
        include_str!("stream.rs"),
        &[MEDIAN, MOST, FILL],
        subjects,
        move |task| run(task, &Kind::Change.entries(streams * STREAM_LEN), streams),
    )]
}

fn run(task: &Task, entries: &Entries, streams: usize) -> Result<Figures> {
    let scans = task.subject == "annals-scan";
    let open = || task.open_as(if scans { "annals" } else { &task.subject }, Cache::Default);
    let engine = open()?;
    let started = Instant::now();
    engine.streams().context("it has no streams")?.fill(entries, streams)?;
    let filled = float(entries.len()) / started.elapsed().as_secs_f64();
    engine.close()?;

    let engine = open()?;
    let store = engine.streams().context("it has no streams")?;
    let mut random = Random(1);
    let mut times = Vec::new();
    for _ in 0..if scans { 1 } else { READ_COUNT } {
        let stream = random.index(streams);
        verify(store, entries, streams, stream)?;
        let mut len = 0;
        let mut look = |payload: &[u8]| len += std::hint::black_box(payload).len();
        let started = Instant::now();
        if scans {
            engine.scan(&mut look)?;
        } else {
            store.stream(random.index(streams), &mut look)?;
        }
        times.push(started.elapsed().as_secs_f64());
        ensure!(len > 0, "the stream is empty");
    }
    Ok(Figures::from([
        MEDIAN.of(measure::percentile(&mut times, 50)),
        MOST.of(measure::percentile(&mut times, 99)),
        FILL.of(filled),
    ]))
}

fn verify(
    store: &dyn crate::engine::Streams,
    entries: &Entries,
    streams: usize,
    stream: usize,
) -> Result<()> {
    let mut expected = entries.iter().skip(stream).step_by(streams);
    let mut wrong = 0_u64;
    store.stream(stream, &mut |payload| wrong += u64::from(expected.next() != Some(payload)))?;
    wrong += expected.count() as u64;
    ensure!(wrong == 0, "{wrong} entries of stream {stream} are not what was written");
    Ok(())
}

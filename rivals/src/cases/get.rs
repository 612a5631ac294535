//! Random entries out of a log of changes, each asked for by its number: all alike (`uniform`), or some far more often
//! than others (`skewed`, Zipf's law with s = 1). `cached`: the store's own cache is large enough for everything, and
//! each entry has been read once. `cold`: the store has no cache, or the least that it works with; the system's page
//! cache is warm.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Case, Task, float, stores, verify};
use crate::{
    args::Scale,
    data::{Kind, Random},
    engine::{Cache, Role, place},
    measure,
    results::{Column, Figures, Unit},
};

const MEDIAN: Column = Column { name: "median", unit: Unit::Seconds };
const MOST: Column = Column { name: "99 %", unit: Unit::Seconds };
const MEAN: Column = Column { name: "mean", unit: Unit::Seconds };
const GET_COUNT_MAX: usize = 200_000;

/// Chooses an entry out of so many.
type Choose = fn(&mut Random, u64) -> u64;

/// Both ways to choose entries, both states of the cache.
pub(super) fn cases(scale: Scale) -> Vec<Case> {
    let choices: [(&str, Choose); 2] = [("uniform", uniform), ("skewed", skewed)];
    let caches = [("cached", Cache::Large), ("cold", Cache::None)];
    let pairs = choices.into_iter().flat_map(|choice| caches.map(|cache| (choice, cache)));
    let case = |((choice, choose), (state, cache)): ((&str, _), (&str, _))| {
        Case::new(
            format!("get/{choice}/{state}"),
            include_str!("get.rs"),
            &[MEDIAN, MOST, MEAN],
            stores(Role::Log),
            move |task| run(task, scale.count(260_000), scale.seconds(1.0), cache, choose),
        )
    };
    pairs.map(case).collect()
}

fn uniform(random: &mut Random, count: u64) -> u64 {
    random.below(count)
}

/// The rank falls off as 1 / rank; ranks are scattered over the log.
fn skewed(random: &mut Random, count: u64) -> u64 {
    let uniform = float(random.below(1 << 32)) / float(1_u64 << 32);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to count")]
    let rank = float(count).powf(uniform) as u64;
    rank.wrapping_mul(7_919_113) % count
}

fn run(task: &Task, count: usize, time: Duration, cache: Cache, choose: Choose) -> Result<Figures> {
    let entries = Kind::Change.entries(count);
    let mut random = Random(1);
    let indices: Vec<_> = (0..GET_COUNT_MAX).map(|_| choose(&mut random, count as u64)).collect();
    let engine = task.open(cache)?;
    engine.bulk(&entries)?;
    engine.close()?;
    let engine = task.open(cache)?;
    verify(&*engine, entries.iter())?;
    if cache == Cache::Large {
        (0..count as u64).try_for_each(|index| engine.get(index, &mut |_| ()))?;
    }

    let mut times = Vec::with_capacity(GET_COUNT_MAX);
    let mut wrong = 0;
    let started = Instant::now();
    for index in indices {
        let mut len = 0;
        let getting = Instant::now();
        engine.get(index, &mut |payload| len = std::hint::black_box(payload).len())?;
        times.push(getting.elapsed().as_secs_f64());
        wrong += u64::from(len != entries.get(place(index)?).len());
        if started.elapsed() > time {
            break;
        }
    }
    ensure!(wrong == 0, "{wrong} entries have another length");
    let mean = times.iter().sum::<f64>() / float(times.len());
    Ok(Figures::from([
        MEDIAN.of(measure::percentile(&mut times, 50)),
        MOST.of(measure::percentile(&mut times, 99)),
        MEAN.of(mean),
    ]))
}

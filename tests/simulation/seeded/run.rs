//! A run, and its failure made shorter.

use std::{
    collections::BTreeSet,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    Stop, Tally,
    plan::Plan,
    world::{Trace, World},
};
use crate::simulation::guarded;

/// A promise that a run has broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The run.
    pub plan: Plan,
    /// What is not as promised, as a sentence.
    pub what: String,
    /// The last steps before it.
    pub trace: Vec<String>,
}

/// Numbers of steps, as text `3,17,90-95`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Numbers(pub BTreeSet<u32>);

/// Does all of a plan in this thread: a panic goes through, and what hangs hangs.
///
/// # Errors
///
/// What is not as promised.
pub fn run_here(plan: &Plan) -> Result<Tally, String> {
    attempt(plan, &Arc::default())
}

fn attempt(plan: &Plan, trace: &Arc<Mutex<Trace>>) -> Result<Tally, String> {
    let told = |stop: Stop| match stop {
        Stop::Broken(why) | Stop::Refused(why) => why,
        Stop::Append(error) => error.to_string(),
        Stop::Over => "it is over".to_owned(),
    };
    let mut world = World::new(plan, Arc::clone(trace)).map_err(told)?;
    for step in &plan.steps {
        match world.step(step) {
            Ok(()) => {}
            Err(Stop::Over) => {
                world.tally.over += 1;
                break;
            }
            Err(stop) => return Err(told(stop)),
        }
    }
    let mut tally = world.tally;
    if tally.over == 0 {
        world.calm();
        let ended = world.compare_all();
        world.tolerate(ended).map_err(told)?;
        world.disk.power_off();
    }
    tally.runs = 1;
    tally.entries = world.ledger.items().len() as u64;
    Ok(tally)
}

/// Does all of a plan in a thread of its own, so that a panic and a hang are failures too.
///
/// # Errors
///
/// What is not as promised, with the last steps.
pub fn run(plan: &Plan) -> Result<Tally, Box<Failure>> {
    let trace = Arc::new(Mutex::new(Trace::default()));
    let (their_plan, theirs) = (plan.clone(), Arc::clone(&trace));
    let outcome = guarded(move || attempt(&their_plan, &theirs));
    outcome.unwrap_or_else(Err).map_err(|what| {
        let steps = match trace.lock() {
            Ok(trace) => trace.steps.clone(),
            Err(poisoned) => poisoned.into_inner().steps.clone(),
        };
        let line = |(step, note): (_, Option<String>)| match note {
            Some(note) => format!("{step}: {note}"),
            None => format!("{step}"),
        };
        let trace = steps.into_iter().map(line).collect();
        Box::new(Failure { plan: plan.clone(), what, trace })
    })
}

/// A failure of as few of the same steps as are found until `until`. Without the others it may be another one.
pub fn shrink(failure: Box<Failure>, until: Duration) -> Box<Failure> {
    let start = Instant::now();
    let mut best = failure;
    let mut len = best.plan.steps.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let before = best.plan.steps.len();
        while at < best.plan.steps.len() {
            if start.elapsed() > until {
                return best;
            }
            let steps = &best.plan.steps;
            let without: BTreeSet<u32> =
                steps[at..steps.len().min(at + len)].iter().map(|step| step.number).collect();
            let plan = best.plan.keeping(|number| !without.contains(&number));
            match run(&plan) {
                Err(shorter) => best = shorter,
                Ok(_) => at += len,
            }
        }
        if len == 1 && best.plan.steps.len() == before {
            return best;
        }
        len = (len / 2).max(1);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, weather, steps, .. } = &self.plan;
        writeln!(f, "{}", self.what)?;
        writeln!(f, "in the run of seed {seed} ({weather:?}), {} steps; the last:", steps.len())?;
        self.trace.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        let whole = Plan::of_seed(*seed).steps.len() == steps.len();
        let keep = if whole {
            String::new()
        } else {
            format!(" --keep {}", Numbers(steps.iter().map(|step| step.number).collect()))
        };
        write!(
            f,
            "again: cargo run --release -p annals-tests --bin simulate -- --seed {seed} --runs 1{keep}"
        )
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for &number in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        for (at, (first, last)) in ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.trim().parse::<u32>().map_err(|_| format!("{text:?} is no number of a step"))
        };
        let mut numbers = BTreeSet::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            numbers.extend(number(first)?..=number(last)?);
        }
        Ok(Self(numbers))
    }
}

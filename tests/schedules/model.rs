//! Running a scenario under many schedules.

use std::sync::{Arc, Mutex, PoisonError};

use shuttle::{
    Config, Runner,
    scheduler::{DfsScheduler, PctScheduler, RandomScheduler, ReplayScheduler, Scheduler},
};

/// Schedules of each kind, unless the environment says otherwise.
const SCHEDULES: usize = 500;
/// How many preemptions at chosen places the second kind has: few suffice for most bugs.
const PREEMPTIONS: usize = 3;
const SEED: u64 = 1;

fn config() -> Config {
    let mut config = Config::new();
    // Compression wants more than a scheduler's thread has by default.
    config.stack_size = 512 << 10;
    config.silence_warnings = true;
    config
}

fn run(
    scheduler: impl Scheduler + 'static,
    scenario: &Arc<impl Fn() + Send + Sync + 'static>,
) -> usize {
    let scenario = Arc::clone(scenario);
    Runner::new(scheduler, config()).run(move || scenario())
}

/// Replays the schedule that the environment names, if it names one.
fn replayed(scenario: &Arc<impl Fn() + Send + Sync + 'static>) -> bool {
    let Ok(schedule) = std::env::var("ANNALS_SCHEDULE") else { return false };
    run(ReplayScheduler::new_from_encoded(schedule.trim()), scenario);
    true
}

/// Runs `scenario` under schedules that are drawn at random, and under such that preempt a thread at few places.
pub(crate) fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    if replayed(&scenario) {
        return;
    }
    let wanted = std::env::var("ANNALS_SCHEDULES").ok();
    match wanted.map(|count| count.parse().expect("ANNALS_SCHEDULES is a number")) {
        Some(count) => {
            run(RandomScheduler::new(count), &scenario);
            run(PctScheduler::new(PREEMPTIONS, count), &scenario);
        }
        None => {
            run(RandomScheduler::new_from_seed(SEED, SCHEDULES), &scenario);
            run(PctScheduler::new_from_seed(SEED, PREEMPTIONS, SCHEDULES), &scenario);
        }
    }
}

/// Runs `scenario` under all schedules that there are, of which there must be fewer than `max`.
pub(crate) fn exhaust(max: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    if !replayed(&scenario) {
        let count = run(DfsScheduler::new(Some(max), false), &scenario);
        assert!(count < max, "the scenario has more than {max} schedules");
    }
}

/// What `make` returns, run once: the engine works only under a scheduler.
pub(crate) fn prepared<T: Send + 'static>(make: impl Fn() -> T + Send + Sync + 'static) -> T {
    let made = Arc::new(Mutex::new(None));
    let out = Arc::clone(&made);
    let make = Arc::new(move || *out.lock().unwrap_or_else(PoisonError::into_inner) = Some(make()));
    run(RandomScheduler::new_from_seed(SEED, 1), &make);
    let made = made.lock().unwrap_or_else(PoisonError::into_inner).take();
    made.expect("it has run")
}

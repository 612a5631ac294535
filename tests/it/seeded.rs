//! Long random runs with crashes, faults and damage: see `annals_tests::simulation::seeded`.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use annals_tests::simulation::seeded::{Numbers, Plan, Tally, Weather, run, shrink};

/// Runs of the gate: some million operations with 10,000 crashes.
const RUN_COUNT: u64 = 240;

fn assert_runs(plan: &Plan) -> Tally {
    run(plan).unwrap_or_else(|failure| {
        let shorter = shrink(failure, Duration::from_secs(20));
        panic!("{shorter}\nor: ANNALS_SEED={} cargo test -p annals-tests -- seeded::", plan.seed)
    })
}

/// With `ANNALS_SEED=N` this one alone.
#[test]
fn seeded_runs_keep_every_promise() {
    let seed = std::env::var("ANNALS_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = seed.map_or(1..=RUN_COUNT, |seed: u64| seed..=seed);
    let (start, next, tally) =
        (Instant::now(), AtomicU64::new(*seeds.start()), Mutex::new(Tally::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return;
            }
            let done = assert_runs(&Plan::of_seed(seed));
            *tally.lock().unwrap() += done;
        }
    };
    std::thread::scope(|scope| {
        for thread in [scope.spawn(work), scope.spawn(work)] {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let (tally, seconds) = (*tally.lock().unwrap(), start.elapsed().as_secs_f64());
    println!("{tally}");
    let rate = |count: u64| f64::from(u32::try_from(count).unwrap()) / seconds;
    println!(
        "in {seconds:.1} s: {:.0} operations, {:.0} crashes, {:.0} recoveries in a second",
        rate(tally.operations),
        rate(tally.crashes),
        rate(tally.recoveries)
    );
    if seed.is_none() {
        assert!(tally.crashes > 5_000 && tally.healed > 100, "the runs do what they are for");
    }
}

#[test]
fn a_run_is_the_same_each_time() {
    for seed in 1..=12 {
        let mut plan = Plan::of_seed(seed);
        plan.steps.truncate(300);
        assert_eq!(assert_runs(&plan), assert_runs(&plan), "seed {seed}");
    }
}

/// To see that the runs would notice: nobody is told that this disk lies.
#[test]
fn a_disk_that_lies_in_secret_is_noticed() {
    let lied_to = |seed| {
        let mut plan = Plan::of_seed(seed);
        plan.weather = Weather::Calm;
        plan.lies_in_secret = true;
        run(&plan)
    };
    let noticed = (1..=10).filter_map(|seed| lied_to(seed).err());
    let whats: Vec<String> = noticed.map(|failure| failure.what).collect();
    assert!(whats.len() >= 9, "{whats:#?}");
}

/// Cut down, a failure is still one, and names the steps that are left.
#[test]
fn a_failure_is_made_shorter_and_names_how_to_see_it_again() {
    let mut plan = Plan::of_seed(3);
    plan.weather = Weather::Calm;
    plan.lies_in_secret = true;
    let failure = run(&plan).unwrap_err();
    let shorter = shrink(failure, Duration::from_secs(5));
    assert!(shorter.plan.steps.len() < plan.steps.len() / 4, "{shorter}");
    let text = shorter.to_string();
    let (_, keep) = text.rsplit_once("--seed 3 --runs 1 --keep ").expect(&text);
    let Numbers(keep) = keep.parse().unwrap();
    let again = run(&plan.keeping(|number| keep.contains(&number)));
    assert_eq!(again.unwrap_err().what, shorter.what);
}

#[test]
fn numbers_are_read_from_their_text() {
    for text in ["", "3", "1-4,6,9-10"] {
        assert_eq!(text.parse::<Numbers>().unwrap().to_string(), text);
    }
    assert!("1-x".parse::<Numbers>().is_err());
}

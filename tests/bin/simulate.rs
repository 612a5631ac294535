//! Simulates crashes until somebody stops it: see `--help`.

use std::{
    io::Write as _,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use annals_tests::simulation::seeded::{Failure, Numbers, Plan, Tally, run, shrink};

const HELP: &str = "\
Works with simulated workspaces on simulated machines that lose power, fail, rot and lie, and checks every
promise of the engine. Each run is drawn from a seed and is the same each time.

Usage: simulate [--seed N] [--runs N] [--seconds S] [--threads N] [--keep NUMBERS]

  --seed N        the seed of the first run; the next ones count up (default: from the clock)
  --runs N        so many runs (default: without end)
  --seconds S     begin no run after so many seconds (default: without end)
  --threads N     so many runs at once (default: one for each processor)
  --keep NUMBERS  do only these steps of each run: 3,17,90-95
  --help          this

Examples:
  simulate --seconds 3600            an hour of new seeds
  simulate --seed 4711 --runs 1      one run again, as a failure names it

Progress goes to stderr. When a run fails, it is made shorter for up to a minute; then what is wrong, the last
steps and the command that does it again are printed, and the program ends with 1. Wrong usage ends it with 2.";

struct Args {
    seed: u64,
    runs: u64,
    until: Duration,
    threads: usize,
    keep: Option<Numbers>,
}

impl Args {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut parsed = Self {
            seed: clock.map_or(0, |since| since.as_secs()) << 20,
            runs: u64::MAX,
            until: Duration::MAX,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            keep: None,
        };
        while let Some(name) = args.next() {
            if matches!(&name[..], "--help" | "-h") {
                return Ok(None);
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse().map_err(|_| format!("{name}: {value:?} is no number"));
            match &name[..] {
                "--seed" => parsed.seed = number()?,
                "--runs" => parsed.runs = number()?,
                "--seconds" => parsed.until = Duration::from_secs(number()?),
                "--threads" => parsed.threads = usize::try_from(number()?.max(1)).unwrap_or(1),
                "--keep" => parsed.keep = Some(value.parse()?),
                _ => return Err(format!("unknown option {name}; see --help")),
            }
        }
        Ok(Some(parsed))
    }
}

/// What all threads share.
#[derive(Default)]
struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    tally: Mutex<Tally>,
    failure: Mutex<Option<Box<Failure>>>,
    /// How long the longest run took, and its seed.
    slowest: Mutex<(Duration, u64)>,
}

fn work(args: &Args, start: Instant, shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) && start.elapsed() < args.until {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= args.runs {
            return;
        }
        let mut plan = Plan::of_seed(args.seed.wrapping_add(number));
        if let Some(Numbers(keep)) = &args.keep {
            plan = plan.keeping(|number| keep.contains(&number));
        }
        let begun = Instant::now();
        let outcome = run(&plan);
        let mut slowest = shared.slowest.lock().expect("nobody panics with it");
        *slowest = (*slowest).max((begun.elapsed(), plan.seed));
        drop(slowest);
        match outcome {
            Ok(tally) => *shared.tally.lock().expect("nobody panics with it") += tally,
            Err(failure) => {
                shared.stop.store(true, Ordering::Relaxed);
                shared.failure.lock().expect("nobody panics with it").get_or_insert(failure);
            }
        }
    }
}

fn progress(start: Instant, tally: &Tally) {
    let seconds = start.elapsed().as_secs_f64();
    // Rounded for people; f64 holds these counts exactly.
    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    let rate = tally.operations as f64 / seconds;
    eprint!("\r\x1b[K{seconds:.0} s: {tally}; {rate:.0} operations/s");
    // Whoever does not read it does without.
    let _ = std::io::stderr().flush();
}

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("simulate: {why}");
            return ExitCode::from(2);
        }
    };
    let (start, shared) = (Instant::now(), Shared::default());
    eprintln!("from seed {} on, {} at once", args.seed, args.threads);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..args.threads).map(|_| scope.spawn(|| work(&args, start, &shared))).collect();
        let mut shown = start;
        while threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if shown.elapsed() > Duration::from_secs(1) {
                shown = Instant::now();
                progress(start, &shared.tally.lock().expect("nobody panics with it"));
            }
        }
    });
    progress(start, &shared.tally.lock().expect("nobody panics with it"));
    let (longest, seed) = *shared.slowest.lock().expect("nobody panics with it");
    eprintln!("\nthe longest run was that of seed {seed}: {longest:.1?}");
    let Some(failure) = shared.failure.into_inner().expect("nobody panics with it") else {
        return ExitCode::SUCCESS;
    };
    eprintln!("seed {} fails; making it shorter", failure.plan.seed);
    println!("{}", shrink(failure, Duration::from_mins(1)));
    ExitCode::FAILURE
}

//! Every call of the disk fails once: nothing that was acknowledged is lost, and nothing hangs.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use annals::io::sim::Loss;
use annals_tests::simulation::{
    Broken, Case, Crash, Effort, Failure, FaultText, Oracle, Point, Prepared, Random, Session,
    Workload, guarded,
};

use super::{LONGER, on_two_threads};

/// More calls than this are failed only in a sample, unless `ANNALS_LONG` is set.
const CALLS_MAX: u64 = 400;

/// What was tried, and what was found.
#[derive(Default)]
struct Experiment {
    faults: AtomicU64,
    images: AtomicU64,
    tried: Mutex<HashSet<([u8; 32], u64)>>,
}

/// What power takes that fails in the end. A kill is seen to by the session, which goes on with what is left.
fn losses(random: &mut Random) -> [Loss; 4] {
    [
        Loss::Everything,
        Loss::Nothing,
        Loss::Random { seed: random.below(1 << 32), garbage: false },
        Loss::Random { seed: random.below(1 << 32), garbage: true },
    ]
}

impl Experiment {
    fn case(&'static self, case: &Case) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        let run = case.clone();
        let told = guarded(move || self.run(&run)).unwrap_or_else(|what| Err((None, what.into())));
        if let Err((crash, broken)) = told {
            let case = Case { crashes: crash.into_iter().collect(), ..case.clone() };
            panic!("{}", case.message(&broken));
        }
    }

    fn run(&self, case: &Case) -> Result<(), (Option<Crash>, Broken)> {
        let mut session = case.session(&Prepared::new(&case.workload));
        let early = |what: String| (None, Broken::from(what));
        session.run(&case.workload).map_err(early)?;
        self.judge(&session)?;
        if session.lied_to {
            return Ok(());
        }
        // The same process, on what the machine shows it.
        session.go_on().map_err(early)?;
        self.judge(&session)
    }

    fn judge(&self, session: &Session) -> Result<(), (Option<Crash>, Broken)> {
        let position = session.disk.mutation_count();
        let digest = session.model.digest(position);
        let mut oracle = Oracle::new(&session.model, position);
        oracle.lied_to = session.lied_to;
        let mut random = Random::new(digest ^ position);
        for loss in losses(&mut random) {
            let found = session.disk.after_power_loss(&loss);
            if !self.tried.lock().unwrap().insert((found.fingerprint(), digest)) {
                continue;
            }
            self.images.fetch_add(1, Ordering::Relaxed);
            oracle.check(&found, &Effort::sampled(random.number())).map_err(|broken| {
                (Some(Crash { point: Point::End, loss: Some(loss.clone()) }), broken)
            })?;
        }
        Ok(())
    }
}

/// Numbers below `end`: all, or as many as there is time for.
fn numbers(end: u64) -> Vec<u64> {
    if end <= CALLS_MAX || std::env::var_os("ANNALS_LONG").is_some() {
        return (0..end).collect();
    }
    let mut random = Random::new(end);
    (0..CALLS_MAX).map(|_| random.below(end)).collect()
}

/// Runs `faults`, which are made from a number below that of all calls, with all workloads.
fn fail(
    what: &str,
    faults: impl Fn(u64) -> Vec<FaultText> + Sync,
    calls: impl Fn(&Session) -> u64,
) {
    let start = Instant::now();
    let experiment: &'static Experiment = Box::leak(Box::default());
    let mut cases = Vec::new();
    for text in LONGER {
        let workload: Workload = text.parse().unwrap();
        let mut session = Prepared::new(&workload).session();
        if let Err(what) = session.run(&workload) {
            panic!("{text}: {what}");
        }
        for number in numbers(calls(&session)) {
            for fault in faults(number) {
                let workload = workload.clone();
                cases.push(Case { workload, fault: Some(fault), ..Case::default() });
            }
        }
    }
    on_two_threads(&cases, |case| experiment.case(case));
    println!(
        "{what}: {} runs with a fault, {} distinct images, {:.1} s",
        experiment.faults.load(Ordering::Relaxed),
        experiment.images.load(Ordering::Relaxed),
        start.elapsed().as_secs_f64()
    );
}

/// More than the number of writes or syncs of each workload.
fn some(_: &Session) -> u64 {
    40
}

#[test]
fn each_call_that_fails_is_reported_and_survived() {
    let faults = |at| vec![FaultText::Once(at, Failure::Io), FaultText::Always(at, Failure::Io)];
    fail("errors", faults, |session| session.disk.call_count());
}

#[test]
fn each_call_that_finds_the_disk_full_is_reported_and_survived() {
    let faults =
        |at| vec![FaultText::Once(at, Failure::Full), FaultText::Always(at, Failure::Full)];
    fail("full", faults, |session| session.disk.call_count());
}

#[test]
fn each_sync_that_fails_is_reported_and_survived() {
    let faults =
        |at| vec![FaultText::SyncClean(at), FaultText::SyncReverted(at), FaultText::SyncKept(at)];
    fail("failed syncs", faults, some);
}

#[test]
fn writes_that_are_short_or_interrupted_are_gone_on_with() {
    let faults = |at| vec![FaultText::Short(at), FaultText::Interrupted(at), FaultText::Shorts];
    fail("short writes", faults, some);
}

#[test]
fn a_disk_that_lies_is_never_believed_to_hold_something_else() {
    let faults = |at| vec![FaultText::Lie(at), FaultText::Lies(at)];
    fail("lies", faults, some);
}

#[test]
fn a_disk_that_is_full_at_any_length_loses_nothing() {
    let faults = |at| vec![FaultText::Space(at * at * 16 + at * 7)];
    fail("space", faults, |_| 60);
}

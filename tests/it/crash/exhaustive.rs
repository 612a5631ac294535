//! Every short workload, and a crash after each change of the disk.

use std::{collections::HashSet, sync::Mutex, time::Instant};

use annals::io::sim::{History, Loss};
use annals_tests::simulation::{
    Broken, Case, Crash, Effort, Operation, Oracle, Point, Prepared, Random, Session, Workload,
};

use super::{LONGER, on_two_threads, sequences};

/// More pending operations than this are lost one by one only in a sample.
const PENDING_MAX: usize = 12;

/// What was done, to be quoted.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    workloads: u64,
    points: u64,
    images: u64,
    distinct: u64,
    recoveries: u64,
}

/// Experiments that share what was tried.
#[derive(Default)]
struct Experiment {
    /// Crashes every recovery at each of its changes too, not only at one.
    crashes_recoveries: bool,
    tried: Mutex<HashSet<([u8; 32], u64)>>,
    count: Mutex<Count>,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.workloads += other.workloads;
        self.points += other.points;
        self.images += other.images;
        self.distinct += other.distinct;
        self.recoveries += other.recoveries;
    }
}

/// What a power loss at this moment may take.
fn losses(pending: usize, random: &mut Random) -> Vec<Loss> {
    let mut losses = vec![Loss::Everything, Loss::Nothing];
    let numbers: Vec<usize> = if pending <= PENDING_MAX {
        (0..pending).collect()
    } else {
        let number = |_| usize::try_from(random.below(pending as u64)).unwrap();
        (0..PENDING_MAX).map(number).collect()
    };
    if pending > 1 {
        losses.extend(numbers.iter().map(|&number| Loss::Only(number)));
    }
    if pending > 2 {
        losses.extend(numbers.iter().map(|&number| Loss::AllBut(number)));
    }
    if pending > 0 {
        for garbage in [false, true] {
            losses.push(Loss::Random { seed: random.below(1 << 32), garbage });
        }
    }
    losses
}

impl Experiment {
    /// Runs a workload, and crashes it at each moment from the last operation on: the moments before are those of a
    /// shorter workload, unless `whole` says that there is none.
    fn workload(&self, prepared: &Prepared, workload: &Workload, whole: bool) {
        let case = Case { workload: workload.clone(), ..Case::default() };
        let mut session = prepared.session();
        if let Err(what) = session.run(workload) {
            panic!("{}", case.message(&what.into()));
        }
        let len = session.marks.len();
        let from = if whole || len < 2 { 0 } else { session.marks[len - 2] };
        let mut history = session.disk.history();
        let mut count = Count { workloads: 1, ..Count::default() };
        loop {
            if history.position() >= from {
                self.point(&session, &history, &case, &mut count);
            }
            if !history.step() {
                break;
            }
        }
        self.count.lock().unwrap().add(count);
    }

    fn point(&self, session: &Session, history: &History, case: &Case, count: &mut Count) {
        count.points += 1;
        let position = history.position();
        let machine = history.machine();
        let digest = session.model.digest(position);
        let oracle = Oracle::new(&session.model, position);
        let mut random = Random::new(digest ^ position);
        let told = |loss, result: Result<u64, Broken>| match result {
            Ok(recoveries) => recoveries,
            Err(broken) => {
                let crash = Crash { point: Point::After(position), loss };
                let case = Case { crashes: vec![crash], ..case.clone() };
                panic!("{}", case.message(&broken));
            }
        };
        let is_new = |fingerprint, digest| self.tried.lock().unwrap().insert((fingerprint, digest));
        let mut durable = [0; 32];
        for loss in losses(machine.pending_len(), &mut random) {
            count.images += 1;
            let found = machine.after_power_loss(&loss);
            let fingerprint = found.fingerprint();
            if loss == Loss::Everything {
                durable = fingerprint;
            }
            if is_new(fingerprint, digest) {
                count.distinct += 1;
                let effort = if self.crashes_recoveries {
                    Effort::ALL
                } else {
                    Effort::sampled(random.number())
                };
                let result = oracle.check(&found, &effort);
                count.recoveries += told(Some(loss), result);
            }
        }
        // What is durable makes the difference between two machines that look the same.
        count.images += 1;
        let pending = durable.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if is_new(machine.fingerprint(), digest ^ pending) {
            count.distinct += 1;
            count.recoveries += told(None, oracle.check_killed(&machine.after_kill()));
        }
    }

    /// All of `workloads`, on two threads.
    fn run(&self, workloads: &[Workload]) {
        let prepared = Prepared::new(&Workload::default());
        on_two_threads(workloads, |workload| self.workload(&prepared, workload, false));
    }

    fn report(&self, what: &str, start: Instant) {
        let Count { workloads, points, images, distinct, recoveries } = *self.count.lock().unwrap();
        println!(
            "{what}: {workloads} workloads, {points} crash points, {images} images, {distinct} distinct, \
             {recoveries} recoveries, {:.1} s",
            start.elapsed().as_secs_f64()
        );
    }
}

/// Operations that take longer than all the others together.
const LARGE: [Operation; 2] = [Operation::AppendStretch, Operation::AppendSplit];

/// The operations that workloads of four are made of in the usual run of the tests. The first ones are enough for
/// the longest.
const ESSENTIAL: [Operation; 9] = [
    Operation::Append,
    Operation::AppendAll,
    Operation::Commit,
    Operation::Close,
    Operation::Open,
    Operation::Import,
    Operation::Checkpoint,
    Operation::Stream,
    Operation::Heal,
];

/// What becomes of the past: in short workloads nothing, so these have an experiment of their own.
const PAST: [Operation; 4] =
    [Operation::Compact, Operation::Redact, Operation::Snapshot, Operation::Prune];

/// All workloads of two operations, of three small ones, of four essential ones. With `ANNALS_LONG=1` each of these
/// numbers is higher by one, and there are workloads of six.
#[test]
fn every_short_workload_survives_every_crash() {
    let start = Instant::now();
    let experiment = Experiment::default();
    let all: Vec<Operation> =
        Operation::all().filter(|operation| !PAST.contains(operation)).collect();
    let small: Vec<Operation> =
        all.iter().copied().filter(|operation| !LARGE.contains(operation)).collect();
    let run = |what: &str, alphabet: &[Operation], lens: std::ops::RangeInclusive<usize>| {
        for len in lens {
            experiment.run(&sequences(alphabet, len));
            experiment.report(&format!("{what}, up to {len}"), start);
        }
    };
    if std::env::var_os("ANNALS_LONG").is_none() {
        run("all operations", &all, 0..=2);
        run("all but large ones", &small, 3..=3);
        run("essential ones", &ESSENTIAL, 4..=4);
    } else {
        run("all operations", &all, 0..=3);
        run("all but large ones", &small, 4..=4);
        run("essential ones", &ESSENTIAL, 5..=5);
        run("the most essential ones", &ESSENTIAL[..6], 6..=6);
    }
}

/// What every workload about the past begins with, so that there is one: a group, a declared stream, several frames.
const BEFORE: [Operation; 3] = [Operation::AppendAll, Operation::Commit, Operation::Stream];

/// What is done with the past, and what comes between. The first ones are enough for the longest workloads.
const FORGETTING: [Operation; 8] = [
    Operation::Redact,
    Operation::Compact,
    Operation::Snapshot,
    Operation::Prune,
    Operation::Append,
    Operation::Commit,
    Operation::Open,
    Operation::Import,
];

/// Compacting, redacting and pruning, behind some appends: all workloads of two small operations, of three of those that
/// matter to it, of four essential ones. With `ANNALS_LONG=1` each of these numbers is higher by one.
#[test]
fn every_short_rewriting_survives_every_crash() {
    let start = Instant::now();
    let experiment = Experiment::default();
    let run = |what: &str, alphabet: &[Operation], len: usize| {
        let ends = sequences(alphabet, len).into_iter();
        let workloads: Vec<_> =
            ends.map(|end| Workload::new([&BEFORE[..], &end.operations].concat())).collect();
        experiment.run(&workloads);
        experiment.report(&format!("rewriting, {what}, up to {len}"), start);
    };
    let small: Vec<Operation> =
        Operation::all().filter(|operation| !LARGE.contains(operation)).collect();
    run("all but large ones", &small, 1);
    run("all but large ones", &small, 2);
    run("those that matter to it", &FORGETTING, 3);
    run("essential ones", &FORGETTING[..5], 4);
    if std::env::var_os("ANNALS_LONG").is_some() {
        run("all but large ones", &small, 3);
        run("those that matter to it", &FORGETTING, 4);
        run("essential ones", &FORGETTING[..5], 5);
    }
}

/// Longer ones, and those in which the workspace is created; and every crash of every recovery.
#[test]
fn longer_workloads_and_their_recoveries_survive_every_crash() {
    let start = Instant::now();
    let experiment = Experiment { crashes_recoveries: true, ..Experiment::default() };
    on_two_threads(&LONGER, |text| {
        let workload: Workload = text.parse().unwrap();
        experiment.workload(&Prepared::new(&workload), &workload, true);
    });
    experiment.report("longer workloads", start);
}

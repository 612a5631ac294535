//! Every short workload, and a crash after each change of the disk.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use annals::io::sim::{History, Loss};
use annals_tests::simulation::{
    Case, Crash, Effort, Operation, Oracle, Point, Prepared, Random, Session, Workload,
};

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
        let digest = session.model.digest(position);
        let oracle = Oracle::new(&session.model, position);
        let mut random = Random::new(digest ^ position);
        for loss in losses(history.machine().pending_len(), &mut random) {
            count.images += 1;
            let found = history.machine().after_power_loss(&loss);
            let fingerprint = found.fingerprint();
            if !self.tried.lock().unwrap().insert((fingerprint, digest)) {
                continue;
            }
            count.distinct += 1;
            match oracle.check(&found, &Effort::sampled(random.number())) {
                Ok(recoveries) => count.recoveries += recoveries,
                Err(broken) => {
                    let crash = Crash { point: Point::After(position), loss: Some(loss) };
                    let case = Case { crashes: vec![crash], ..case.clone() };
                    panic!("{}", case.message(&broken));
                }
            }
        }
    }

    /// All of `workloads`, on two threads.
    fn run(&self, workloads: &[Workload]) {
        let next = AtomicUsize::new(0);
        let work = || {
            let prepared = Prepared::new(&Workload::default());
            while let Some(workload) = workloads.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.workload(&prepared, workload, false);
            }
        };
        std::thread::scope(|scope| {
            let threads = [scope.spawn(work), scope.spawn(work)];
            for thread in threads {
                if let Err(panic) = thread.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        });
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

/// All sequences of `len` operations.
fn sequences(alphabet: &[Operation], len: usize) -> Vec<Workload> {
    let mut sequences = vec![Vec::new()];
    for _ in 0..len {
        let longer = sequences.iter().flat_map(|sequence: &Vec<Operation>| {
            alphabet.iter().map(|operation| [&sequence[..], &[*operation]].concat())
        });
        sequences = longer.collect();
    }
    sequences.into_iter().map(Workload::new).collect()
}

#[test]
fn every_workload_of_two_operations_survives_every_crash() {
    let start = Instant::now();
    let experiment = Experiment::default();
    let alphabet: Vec<Operation> = Operation::all().collect();
    for len in 0..=2 {
        experiment.run(&sequences(&alphabet, len));
        experiment.report(&format!("up to {len} operations"), start);
    }
}

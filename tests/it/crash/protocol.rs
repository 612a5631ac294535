//! Nothing is written, published or acknowledged before what it depends on is durable.

use std::path::Path;

use annals::{Options, Workspace, io::sim::Loss};
use annals_tests::simulation::{
    Case, Crash, OWN, Operation, Point, Prepared, Random, Rules, Workload,
};

use super::{LONGER, on_two_threads, sequences};

fn judge(workload: &Workload) {
    let case = Case { workload: workload.clone(), ..Case::default() };
    let (mut session, rules) = Rules::watch(Prepared::new(workload).session());
    if let Err(what) = session.run(workload) {
        panic!("{}", case.message(&what.into()));
    }
    let violations = rules.violations();
    assert!(violations.is_empty(), "{}", case.message(&violations.join("\n").into()));
}

#[test]
fn short_workloads_keep_the_order_of_durable_writing() {
    let all: Vec<Operation> = Operation::all().collect();
    for len in 0..=2 {
        on_two_threads(&sequences(&all, len), judge);
    }
    let small = [
        Operation::Append,
        Operation::AppendAll,
        Operation::Stream,
        Operation::Commit,
        Operation::Close,
        Operation::Import,
        Operation::Read,
        Operation::Backup,
        Operation::Heal,
    ];
    on_two_threads(&sequences(&small, 3), judge);
}

#[test]
fn longer_workloads_keep_the_order_of_durable_writing() {
    on_two_threads(&LONGER, |text| judge(&text.parse().unwrap()));
}

/// Recoveries, and what comes after them.
fn judge_recoveries(workload: &Workload) {
    let mut session = Prepared::new(workload).session();
    session.run(workload).unwrap();
    let mut history = session.disk.history();
    let mut random = Random::new(history.len());
    while history.step() {
        let position = history.position();
        let created = session.model.created.is_some_and(|created| created <= position);
        if !created || session.model.is_damaged(position) {
            continue;
        }
        for _ in 0..4 {
            let loss = Loss::Random { seed: random.below(1 << 32), garbage: true };
            let found = history.machine().after_power_loss(&loss);
            let rules = Rules::of(&found);
            let opened = Workspace::open_on(rules.disk(), Path::new(OWN), Options::default());
            let workspace = opened.unwrap();
            workspace.append(b"after the recovery").unwrap();
            workspace.commit().unwrap();
            workspace.close().unwrap();
            let crashes = vec![Crash { point: Point::After(position), loss: Some(loss) }];
            let case = Case { workload: workload.clone(), crashes, ..Case::default() };
            let violations = rules.violations();
            assert!(violations.is_empty(), "{}", case.message(&violations.join("\n").into()));
        }
    }
}

#[test]
fn recoveries_keep_the_order_of_durable_writing() {
    on_two_threads(&LONGER, |text| judge_recoveries(&text.parse().unwrap()));
}

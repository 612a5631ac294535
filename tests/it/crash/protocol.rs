//! Nothing is written, published or acknowledged before what it depends on is durable.

use std::path::Path;

use annals::{Options, Workspace, io::sim::Loss};
use annals_tests::simulation::{
    Case, Crash, Failure, FaultText, OWN, Operation, Point, Prepared, Random, Rules, Workload,
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
    let forgetting = [
        Operation::AppendAll,
        Operation::Commit,
        Operation::Import,
        Operation::Compact,
        Operation::Redact,
        Operation::Snapshot,
        Operation::Prune,
    ];
    on_two_threads(&sequences(&forgetting, 4), judge);
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

/// What is taken back after a full disk or a failed sync, and what is written in its place.
fn judge_faults(workload: &Workload) {
    let mut session = Prepared::new(workload).session();
    session.run(workload).unwrap();
    let calls = session.disk.call_count().min(150);
    let full = (0..calls).map(|at| FaultText::Once(at, Failure::Full));
    let space = (0..30).map(|at| FaultText::Space(at * at * 40));
    let syncs = (0..20).flat_map(|at| [FaultText::SyncClean(at), FaultText::SyncReverted(at)]);
    for fault in full.chain(space).chain(syncs) {
        let case = Case { workload: workload.clone(), fault: Some(fault), ..Case::default() };
        let session = case.session(&Prepared::new(workload));
        let rules = Rules::of(&session.disk);
        let mut session = session.through(rules.disk(), |_| Ok(()));
        let told = session.run(workload).and_then(|()| session.go_on());
        if let Err(what) = told {
            panic!("{}", case.message(&what.into()));
        }
        // The other rules take what a failed sync was to write for lost until it is written again, and slots are not.
        // A reader that looks again after a writer's sync has failed is told so by its own sync, if at all.
        let has_reader = workload.operations.contains(&Operation::Refresh);
        let rewrites = workload.operations.contains(&Operation::Compact);
        // Of a replica all that is believed was synced when it was imported. Whatever a compaction syncs of it before it
        // reads belongs to nobody, so that nothing is lost if that fails, and is tried again.
        let own = session.model.own.map(|own| own.to_string()).unwrap_or_default();
        let is_of_replica = |text: &str| rewrites && !text.contains(&own);
        let mut violations = rules.violations();
        violations.retain(|text| {
            text.contains("unsynced cut")
                || (text.contains("failed sync") && !has_reader && !is_of_replica(text))
        });
        assert!(violations.is_empty(), "{}", case.message(&violations.join("\n").into()));
    }
}

#[test]
fn failures_keep_the_order_of_durable_writing() {
    on_two_threads(&LONGER, |text| judge_faults(&text.parse().unwrap()));
}

//! Nothing is written, published or acknowledged before what it depends on is durable.

use annals_tests::simulation::{Case, Operation, Prepared, Rules, Workload};

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

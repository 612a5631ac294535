//! What survives a crash: the experiments of `annals_tests::simulation`.

mod errors;
mod exhaustive;
mod protocol;

use std::sync::atomic::{AtomicUsize, Ordering};

use annals_tests::simulation::{Case, Effort, Operation, Workload};

/// Longer workloads, each with something that the others do not do.
const LONGER: [&str; 21] = [
    "append,commit,append-all,commit,close,append,commit",
    "create,append,commit,close,append-kib,commit",
    "append-large-group,commit,append-kib,append,checkpoint,append",
    "stream,append,stream,commit,stream,close,stream,commit",
    "import,append,commit,import,append,close",
    "append,commit,read,append,commit,refresh,append,refresh",
    "append,checkpoint,backup,append,commit",
    "append,heal,append,commit,heal,append,commit",
    "append-stretch,commit,append,commit,reindex,append,close",
    "append-split,commit,append,close",
    "append,repair,append,export,append,close",
    "append,open,append,open,commit,append-durable,append",
    "aligned,create,append,commit,append-all,close,import,append-durable",
    "append,commit,append-all,stream,compact,append,commit,compact,append-all,close",
    "append-all,append,redact,commit,compact,redact,append,compact,read,redact,open,compact",
    "append-all,stream,snapshot,append,prune,append,commit,snapshot,prune,append,close",
    "append,redact,snapshot,append-kib,prune,redact,open,compact,snapshot,close,append,prune",
    "import,append,compact,import,snapshot,append,prune,import,redact,compact,backup,append",
    "append-large-group,read,append-batch,compact,refresh,redact,append,compact,refresh,commit",
    "append-stretch,commit,compact,append,compact",
    "aligned,create,append-all,append,commit,heal,redact,compact,append,heal,snapshot,prune,close",
];

/// Does `work` with each of `items`, on two threads.
fn on_two_threads<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item);
        }
    };
    std::thread::scope(|scope| {
        for thread in [scope.spawn(work), scope.spawn(work)] {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
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

/// Does again what a failed test named: `ANNALS_REPLAY='append,commit@17:only(3)'`.
#[test]
fn replay() {
    let Ok(text) = std::env::var("ANNALS_REPLAY") else { return };
    let case: Case = text.parse().unwrap();
    println!("{case}");
    if let Err(message) = case.replay(Effort::ALL) {
        panic!("{message}");
    }
}

#[test]
fn a_case_is_read_from_its_text() {
    for text in [
        "append,commit@17:only(3)",
        "create,append-split@end:garbage(9)@2:everything",
        "aligned,heal!once(4,full)@end:kill",
        "append!lies(0)@3:allbut(1)",
        "append,redact,compact,snapshot,prune@40:everything",
    ] {
        assert_eq!(text.parse::<Case>().unwrap().to_string(), text);
    }
    for text in ["append,nothing", "append@3", "append!once(x,io)", "append@3:only"] {
        assert!(text.parse::<Case>().is_err(), "{text}");
    }
}

//! What survives a crash: the experiments of `annals_tests::simulation`.

mod exhaustive;

use annals_tests::simulation::{Case, Effort};

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
    ] {
        assert_eq!(text.parse::<Case>().unwrap().to_string(), text);
    }
    for text in ["append,nothing", "append@3", "append!once(x,io)", "append@3:only"] {
        assert!(text.parse::<Case>().is_err(), "{text}");
    }
}

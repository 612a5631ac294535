use super::*;

#[test]
fn results_come_in_order_and_all_of_them() {
    for count in [0_u64, 1, 2, 7, 1000] {
        let mut number = 0..count;
        let mut taken = Vec::new();
        run(
            || Ok::<_, ()>(number.next()),
            || |job: u64| job * 2,
            |result| {
                taken.push(result);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(taken, (0..count).map(|n| n * 2).collect::<Vec<_>>());
    }
}

#[test]
fn an_error_ends_it_wherever_it_comes_from() {
    let mut number = 0..1000;
    let failing = || number.next().map_or(Ok(None), |n| if n == 20 { Err(n) } else { Ok(Some(n)) });
    assert_eq!(run(failing, || |job: u64| job, |_| Ok(())), Err(20));
    let mut number = 0..1000_u64;
    let result =
        run(|| Ok(number.next()), || |job: u64| job, |n| if n == 30 { Err(n) } else { Ok(()) });
    assert_eq!(result, Err(30));
}

#[test]
fn a_panic_of_a_thread_is_not_waited_for() {
    let result = std::panic::catch_unwind(|| {
        let mut number = 0..100_u64;
        run(
            || Ok::<_, ()>(number.next()),
            || |job: u64| assert!(job < 50, "the fifty-first"),
            |()| Ok(()),
        )
    });
    assert!(result.is_err());
}

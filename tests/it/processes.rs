//! Real processes against each other and against `kill -9`: the lock, readers beside a writer, a repair.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use crate::{
    programs::{annals, append, done, program, run_program, segment, workspace},
    support::{Random, copy_folder, files_of, within},
};

/// Everybody gets the lock some time, nobody together with somebody else, and whoever was refused has left
/// nothing.
#[test]
fn processes_that_contend_for_the_lock_take_turns() {
    const PROCESSES: u8 = 4;
    let (_folder, w) = workspace();
    let refused = std::thread::scope(|scope| {
        let contend = |process: u8| {
            let w = &w;
            move || {
                let mut refused = 0;
                for turn in 0..3 {
                    loop {
                        let line = format!("{process} {turn}\n").repeat(5);
                        let output = annals(&["append", w, "--sync", "each"], line.as_bytes());
                        match output.status.code() {
                            Some(0) => break,
                            Some(1) => refused += 1,
                            other => panic!("{other:?}"),
                        }
                        let message = String::from_utf8(output.stderr).unwrap();
                        assert!(message.contains("open for writing elsewhere"), "{message}");
                    }
                }
                refused
            }
        };
        let threads: Vec<_> = (0..PROCESSES).map(|process| scope.spawn(contend(process))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>()
    });
    let lines: Vec<String> = done(&["cat", &w], b"").lines().map(Result::unwrap).collect();
    let mut turns: Vec<&[String]> = lines.chunks(5).collect();
    assert!(turns.iter().all(|turn| turn.iter().all(|line| line == &turn[0])), "{lines:?}");
    turns.sort();
    turns.dedup();
    assert_eq!(turns.len(), usize::from(PROCESSES) * 3, "{refused} were refused");
    assert_eq!(run_program("annals-fsck", &[&w, "--deep"], b"").status.code(), Some(0));
}

/// Whatever a reader in another process sees is a prefix of what was submitted, and holds everything that was
/// acknowledged before it looked.
#[test]
fn readers_beside_a_writer_that_is_killed_see_what_was_acknowledged() {
    let (_folder, w) = workspace();
    let submitted: Vec<String> = (0..3_000).map(|number| format!("change {number}")).collect();
    let acked = AtomicUsize::new(0);
    for round in 0..3 {
        let before = done(&["cat", &w], b"").lines().count();
        let (path, lines) = (w.clone(), submitted[before..].join("\n") + "\n");
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    let least = acked.load(Ordering::Acquire);
                    let output = annals(&["cat", &w], b"");
                    assert_eq!(output.status.code(), Some(0), "{output:?}");
                    let now: Vec<String> = output.stdout.lines().map(Result::unwrap).collect();
                    assert!(
                        now.len() >= least,
                        "{least} were acknowledged, {} are there",
                        now.len()
                    );
                    assert_eq!(now, submitted[..now.len()]);
                    let code = run_program("annals-fsck", &[&w, "--deep"], b"").status.code();
                    assert_eq!(code, Some(0));
                }
            });
            let mut child = append(&path);
            let mut stdin = child.stdin.take().unwrap();
            let writing = std::thread::spawn(move || drop(stdin.write_all(lines.as_bytes())));
            let mut acks = BufReader::new(child.stdout.take().unwrap()).lines();
            let wanted = before + 200 + 100 * round;
            while let Some(Ok(ack)) = acks.next() {
                let count = ack.strip_prefix("acked ").unwrap().parse().unwrap();
                acked.store(count, Ordering::Release);
                if count == wanted {
                    child.kill().unwrap();
                }
            }
            child.wait().unwrap();
            writing.join().unwrap();
            over.store(true, Ordering::Release);
        });
    }
}

/// Killed at any moment, a repair leaves the damaged log or the healed one, and the next one goes on.
#[test]
fn a_killed_repair_leaves_the_old_log_or_the_new_one() {
    let (folder, w) = workspace();
    let mut random = Random::new(31);
    let lines: Vec<String> =
        (0..40_000).map(|number| format!("{number} {}", random.below(99))).collect();
    done(&["append", &w, "--sync", "1000"], (lines.join("\n") + "\n").as_bytes());
    let all = done(&["cat", &w], b"");
    let bundle = folder.path().join("bundle");
    std::fs::write(&bundle, done(&["export", &w], b"")).unwrap();
    let path = segment(&w);
    let whole = std::fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    for at in [whole.len() / 4, whole.len() / 2, whole.len() * 3 / 4] {
        bytes[at] ^= 1;
    }
    std::fs::write(&path, &bytes).unwrap();
    let damaged = folder.path().join("damaged");
    copy_folder(Path::new(&w), &damaged);
    let bundle = bundle.to_str().unwrap();
    let mut killed = 0;
    for round in 0..12_u32 {
        let copy = folder.path().join(format!("copy {round}"));
        copy_folder(&damaged, &copy);
        let copy = copy.to_str().unwrap().to_owned();
        let mut repair = program("annals-fsck");
        repair.args([&copy, "--repair", "--from", bundle]).stdout(Stdio::null());
        let pause = Duration::from_millis(u64::from(round) * 6);
        killed += within(move || {
            let mut child = repair.spawn().unwrap();
            std::thread::sleep(pause);
            child.kill().unwrap();
            u32::from(child.wait().unwrap().code().is_none())
        });
        let now = std::fs::read(segment(&copy)).unwrap();
        let output = annals(&["cat", &copy], b"");
        if now == bytes {
            assert_eq!(output.status.code(), Some(1));
        } else {
            assert!(output.stdout == all, "what is not the old log is the healed one");
        }
        let again = run_program("annals-fsck", &[&copy, "--repair", "--from", bundle], b"");
        assert!(matches!(again.status.code(), Some(0 | 1)), "{again:?}");
        let after = files_of(Path::new(&copy));
        assert!(after.iter().all(|(path, _)| !path.to_string_lossy().ends_with(".tmp")));
        assert!(done(&["cat", &copy], b"") == all);
        assert_eq!(run_program("annals-fsck", &[&copy, "--deep"], b"").status.code(), Some(0));
    }
    assert!(killed > 0);
}

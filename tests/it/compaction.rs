//! Compaction and redaction: nothing that was proven changes, and what was taken back is gone (H-1 to H-7).

use std::path::Path;

use annals::{Absent, CompactOptions, Kind, Options, Workspace};

/// A workspace with `count` changes, each durable by itself.
fn grown(path: &Path, count: usize) -> Workspace {
    let workspace = Workspace::create(path, Options::default()).unwrap();
    for number in 0..count {
        workspace.append(payload(number).as_bytes()).unwrap();
        workspace.commit().unwrap();
    }
    workspace
}

fn payload(number: usize) -> String {
    format!("change {number} says something about {}", number * 7919 % 1000)
}

fn contents(workspace: &Workspace) -> Vec<Vec<u8>> {
    let scan = workspace.own_log().scan(..).unwrap();
    scan.map(|entry| entry.unwrap().payload().unwrap().to_vec()).collect()
}

fn compact(workspace: &Workspace) -> annals::CompactReport {
    workspace.compact(&CompactOptions::default(), |_, _| true).unwrap()
}

#[test]
fn a_compacted_log_has_the_same_entries_roots_and_proofs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let workspace = grown(&path, 700);
    let log = workspace.own_log();
    let before = contents(&workspace);
    let roots: Vec<_> = (0..=700).map(|size| log.root_at(size).unwrap()).collect();
    let proofs: Vec<_> =
        (0..700).step_by(13).map(|i| log.prove_inclusion(i, None).unwrap()).collect();

    let report = compact(&workspace);
    assert!(
        report.logs[0].rewritten && report.logs[0].after_bytes * 3 < report.logs[0].before_bytes
    );
    let check = |workspace: &Workspace| {
        let log = workspace.own_log();
        assert_eq!(contents(workspace), before);
        for (size, root) in (0..).zip(&roots) {
            assert_eq!(log.root_at(size).unwrap(), *root, "{size}");
        }
        for (proof, index) in proofs.iter().zip((0..700).step_by(13)) {
            proof.verify(&roots[700]).unwrap();
            assert_eq!(log.prove_inclusion(index, Some(700)).unwrap(), *proof);
        }
        log.prove_consistency(300, Some(700)).unwrap().verify(&roots[300], &roots[700]).unwrap();
    };
    check(&workspace);
    assert!(!compact(&workspace).logs[0].rewritten, "what is compact stays");

    workspace.append(b"goes on").unwrap();
    workspace.commit().unwrap();
    assert_eq!(log.entry(700).unwrap().payload().unwrap(), b"goes on");
    let report = compact(&workspace);
    assert!(report.logs[0].rewritten);
    drop(log);
    workspace.close().unwrap();

    let again = Workspace::open(&path, Options::default()).unwrap();
    assert_eq!(again.own_log().stats().unwrap().generation, 2);
    assert_eq!(again.own_log().entry_count(), 701);
    drop(again);
    check_sound(&path);
}

fn check_sound(path: &Path) {
    let report = annals::check::check(path, annals::check::Depth::Payloads, |_, _| {}).unwrap();
    let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn what_is_redacted_is_gone_and_everything_else_stays_proven() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let workspace = grown(&path, 300);
    let log = workspace.own_log();
    let root = log.root().unwrap();
    let proof = log.prove_inclusion(123, None).unwrap();
    for index in [123, 7, 8, 299] {
        workspace.redact(workspace.client(), index, "a mistake").unwrap();
    }
    workspace.commit().unwrap();
    let report = compact(&workspace);
    assert_eq!(report.logs[0].redacted_entries, 4);
    let check = |workspace: &Workspace| {
        let log = workspace.own_log();
        for index in [123, 7, 8, 299] {
            let entry = log.entry(index).unwrap();
            assert!(
                matches!(entry.payload(), Err(Absent::Redacted { by, reason }) if by >= 300 && &*reason == "a mistake")
            );
            assert_eq!(entry.payload_len(), payload(usize::try_from(index).unwrap()).len() as u64);
        }
        assert_eq!(log.entry(124).unwrap().payload().unwrap(), payload(124).as_bytes());
        assert_eq!(log.root_at(300).unwrap(), root);
        proof.verify(&root).unwrap();
        let now = log.prove_inclusion(123, Some(300)).unwrap();
        now.verify(&root).unwrap();
        assert_eq!((now.salt, now.payload), (None, None));
        log.prove_inclusion(124, Some(300)).unwrap().verify(&root).unwrap();
    };
    check(&workspace);
    drop(log);
    drop(workspace);
    check(&Workspace::open(&path, Options::default()).unwrap());
    check_sound(&path);
}

#[test]
fn a_control_entry_is_not_redacted_and_neither_is_anything_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(folder.path().join("w"), Options::default()).unwrap();
    workspace.stream("notes").unwrap().append(b"text").unwrap();
    assert_eq!(workspace.own_log().entry(0).unwrap().kind(), Kind::STREAM);
    assert!(matches!(
        workspace.redact(workspace.client(), 0, ""),
        Err(annals::RedactError::Control { index: 0, .. })
    ));
    assert!(matches!(
        workspace.redact(annals::ClientId::from_bytes([1; 16]), 1, ""),
        Err(annals::RedactError::OtherClient { .. })
    ));
}

#[test]
fn what_is_carried_over_keeps_its_bytes_and_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let workspace = Workspace::create(&path, Options::default()).unwrap();
    let mut state = 7_u64;
    let mut append = |count: usize| {
        for _ in 0..count {
            let random: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_le_bytes()[5]
            })
            .take(1_000)
            .collect();
            workspace.append(&random).unwrap();
        }
        workspace.commit().unwrap();
    };
    append(6_000);
    compact(&workspace);
    let segment = workspace.own_log().path().to_owned();
    let runs = || {
        let cache = path.join("cache").join(workspace.own_log().id().to_string());
        let runs = std::fs::read_dir(cache).unwrap().map(|run| run.unwrap());
        let mut runs: Vec<_> =
            runs.map(|run| (run.file_name(), std::fs::read(run.path()).unwrap())).collect();
        runs.sort();
        runs
    };
    let (before, runs_before) = (std::fs::read(&segment).unwrap(), runs());
    append(300);
    let report = compact(&workspace);
    let carried = usize::try_from(report.logs[0].carried_bytes).unwrap();
    assert!(carried * 10 > before.len() * 9, "{carried} of {}", before.len());
    let after = std::fs::read(&segment).unwrap();
    assert!(after[16_384..carried] == before[16_384..carried], "carried byte for byte");
    let runs_after = runs();
    let same = runs_before.iter().filter(|run| runs_after.contains(run)).count();
    // Those of the last stretches were folded since.
    assert!(same >= 2, "{same} of {} runs stay", runs_before.len());
    workspace.redact(workspace.client(), 5_900, "").unwrap().wait_durable().unwrap();
    let report = compact(&workspace);
    let carried = report.logs[0].carried_bytes;
    assert!(carried > 0 && carried < after.len() as u64);
    workspace.close().unwrap();
    check_sound(&path);
}

#[test]
fn readers_go_on_in_the_old_generation_and_follow_into_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let workspace = grown(&path, 300);
    workspace.checkpoint().unwrap();
    let reader = Workspace::open_read_only(&path, Options::default()).unwrap();
    let log = reader.own_log();
    let mut scan = log.scan(..).unwrap();
    assert_eq!(scan.next().unwrap().unwrap().index(), 0);
    let mut mine = workspace.own_log().scan(..).unwrap();
    assert_eq!(mine.next().unwrap().unwrap().index(), 0);

    workspace.redact(workspace.client(), 200, "").unwrap().wait_durable().unwrap();
    compact(&workspace);
    workspace.append(b"behind").unwrap();
    workspace.commit().unwrap();

    // What is being read is as it was when it began; not so what is asked for now.
    for rest in [scan, mine] {
        let texts: Vec<_> = rest.map(|entry| entry.unwrap().payload().unwrap().to_vec()).collect();
        assert_eq!(texts, (1..300).map(|number| payload(number).into_bytes()).collect::<Vec<_>>());
    }
    assert_eq!(log.entry(200).unwrap().payload().unwrap(), payload(200).as_bytes());
    reader.refresh().unwrap();
    assert_eq!(log.entry_count(), 302);
    assert!(log.entry(200).unwrap().payload().is_err());
    assert_eq!(log.entry(301).unwrap().payload().unwrap(), b"behind");
    assert_eq!(log.root().unwrap(), workspace.own_log().root().unwrap());

    // And when nobody writes any more.
    compact(&workspace);
    workspace.close().unwrap();
    reader.refresh().unwrap();
    assert_eq!(log.stats().unwrap().generation, 2);
    assert_eq!(log.entry(301).unwrap().payload().unwrap(), b"behind");
}

/// A small log that a program has written, by itself.
#[test]
fn programs_compact_redact_and_prune() {
    use crate::programs::{annals, done, run_program, workspace};

    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (_folder, dir) = workspace();
    let lines: Vec<String> = (0..500).map(|number| format!("line {number}\n")).collect();
    let lines = lines.concat();
    done(&["append", &dir, "--sync", "each"], lines.as_bytes());
    let root = text(done(&["root", &dir], b""));
    let stats = || -> serde_json::Value {
        let stats: serde_json::Value =
            serde_json::from_slice(&done(&["stats", &dir, "--json"], b"")).unwrap();
        stats["clients"][0].clone()
    };
    let before = stats();
    assert!(before["reclaimable_bytes"].as_u64().unwrap() > 50_000, "{before}");

    let would = text(done(&["compact", &dir, "--dry-run"], b""));
    assert!(would.contains("500 frames would become 1"), "{would}");
    assert_eq!(stats(), before);
    let report: serde_json::Value =
        serde_json::from_slice(&done(&["compact", &dir, "--json"], b"")).unwrap();
    assert_eq!(report["logs"][0]["before_bytes"], before["file_bytes"]);
    let after = stats();
    assert_eq!(report["logs"][0]["after_bytes"], after["file_bytes"]);
    assert!(after["file_bytes"].as_u64() < before["file_bytes"].as_u64().map(|len| len / 4));
    assert_eq!(text(done(&["root", &dir], b"")), root);
    assert_eq!(done(&["cat", &dir], b""), lines.as_bytes());
    assert!(text(done(&["compact", &dir], b"")).contains("nothing to do"));

    done(&["redact", &dir, "--index", "7", "--reason", "a slip"], b"");
    assert_eq!(
        annals(&["redact", &dir, "--index", "500", "--reason", ""], b"").status.code(),
        Some(1)
    );
    assert!(stats()["dead_bytes"].as_u64() > Some(0));
    let pending = done(&["cat", &dir], b"");
    assert_eq!(pending, lines.as_bytes(), "until it is compacted");
    done(&["compact", &dir], b"");
    let cat = annals(&["cat", &dir], b"");
    assert_eq!(cat.status.code(), Some(1));
    assert_eq!(text(cat.stdout), lines.replace("line 7\n", ""));
    assert!(text(cat.stderr).contains("entry 7: redacted by entry 500 (a slip)"));
    assert!(text(done(&["log", &dir], b"")).contains("redacted by entry 500 (a slip)"));
    let proof = done(&["prove", &dir, "--index", "7", "--at", "500"], b"");
    done(&["verify-proof", "--root", root.trim()], &proof);

    let refused = annals(&["prune", &dir, "--to", "100"], b"");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(refused.stderr).contains("no snapshot"));
    done(&["snapshot", &dir], b"the state");
    assert_eq!(done(&["snapshot", &dir, "--cat"], b""), b"the state");
    assert_eq!(text(done(&["snapshot", &dir, "--list"], b"")).lines().count(), 1);
    assert!(
        text(done(&["prune", &dir, "--to", "100", "--dry-run"], b""))
            .contains("100 entries pruned")
    );
    done(&["prune", &dir, "--to", "100"], b"");
    let first = text(done(&["cat", &dir], b""));
    assert_eq!(first.lines().next(), Some("line 100"));
    let below = annals(&["cat", &dir, "--from", "0"], b"");
    assert_eq!(below.status.code(), Some(1));
    assert!(text(below.stderr).contains("was pruned: its first entry is 100"));
    assert_eq!(text(done(&["root", &dir, "--at", "500"], b"")), root);
    done(&["append", &dir], b"on we go\n");
    done(&["reindex", &dir], b"");
    let checked = run_program("annals-fsck", &["--deep", &dir], b"");
    assert_eq!(checked.status.code(), Some(0), "{}", text(checked.stdout));
}

/// Killed at any moment, a compaction leaves the old generation or the new one.
#[test]
fn a_killed_compaction_leaves_the_old_generation_or_the_new_one() {
    use crate::{
        programs::{done, program, run_program, workspace},
        support::Random,
    };

    let (_folder, dir) = workspace();
    let mut random = Random::new(11);
    let mut all = Vec::new();
    for round in 0..12 {
        let mut line = |number| format!("round {round} line {number} {}\n", random.below(1 << 40));
        let lines = (0..400).map(&mut line).collect::<Vec<_>>().concat();
        done(&["append", &dir, "--sync", "20"], lines.as_bytes());
        all.extend(lines.into_bytes());
        let mut child = program("annals")
            .args(["compact", &dir, "--all"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_micros(500 + 1_500 * random.below(30)));
        let _ = child.kill();
        child.wait().unwrap();
        assert!(done(&["cat", &dir], b"") == all, "round {round}");
        let checked = run_program("annals-fsck", &["--deep", &dir], b"");
        assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    }
    done(&["compact", &dir], b"");
    assert!(done(&["cat", &dir], b"") == all);
}

#[test]
fn a_damaged_copy_of_the_salts_is_reported_and_mended_by_compacting_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let workspace = grown(&path, 300);
    for index in [5, 100, 200] {
        workspace.redact(workspace.client(), index, "").unwrap();
    }
    compact(&workspace);
    let root = workspace.own_log().root().unwrap();
    let segment = workspace.own_log().path().to_owned();
    workspace.close().unwrap();
    let sound = std::fs::read(&segment).unwrap();
    let salts = crate::support::decode_file(&segment).header.salts_offset.unwrap();
    for at in [salts + 3, salts + 100] {
        let mut damaged = sound.clone();
        damaged[usize::try_from(at).unwrap()] ^= 1;
        std::fs::write(&segment, damaged).unwrap();
        let report =
            annals::check::check(&path, annals::check::Depth::Payloads, |_, _| {}).unwrap();
        assert_eq!(report.errors().count(), 1);
        let workspace = Workspace::open(&path, Options::default()).unwrap();
        assert_eq!(workspace.own_log().root().unwrap(), root);
        if at == salts + 100 {
            let everything = CompactOptions::default().everything();
            workspace.compact(&everything, |_, _| true).unwrap();
            assert_eq!(workspace.own_log().root().unwrap(), root);
            workspace.close().unwrap();
            check_sound(&path);
        }
    }
}

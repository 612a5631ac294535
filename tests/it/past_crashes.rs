//! Crashes and failing calls while logs are compacted, redacted and pruned, and their indexes made anew: the old
//! generation or the new one is there, and what was acknowledged is in it.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use annals::{
    Absent, Clock, CompactOptions, Hash, Options, PruneOptions, ReadError, Workspace,
    check::{Code, Depth, check_on},
    io::{
        Disk,
        sim::{Loss, ProtocolDisk, SimDisk},
    },
};

use crate::support::Random;

const FOLDER: &str = "w";

fn options() -> Options {
    Options::default().clock(Clock::None)
}

fn open(disk: &Arc<dyn Disk>) -> Result<Workspace, String> {
    Workspace::open_on(Arc::clone(disk), Path::new(FOLDER), options()).map_err(|e| e.to_string())
}

fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// What a program has asked for, and what it was told; each with the changes that the disk had seen by then.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// Entries as they were submitted.
    payloads: Vec<Vec<u8>>,
    /// So many entries were acknowledged, and had this root.
    acknowledged: Vec<(u64, u64, Hash)>,
    redacted: Vec<(u64, u64)>,
    /// Entries that were redacted and of which it was said that they are forgotten.
    forgotten: Vec<(u64, u64)>,
    pruned: Vec<(u64, u64)>,
    /// It was said that this was done.
    gone: Vec<(u64, u64)>,
}

impl Facts {
    fn note(&mut self, workspace: &Workspace) -> Result<(), String> {
        let log = workspace.own_log();
        for index in self.payloads.len() as u64..log.entry_count() {
            let entry = log.entry(index).map_err(|error| error.to_string())?;
            self.payloads.push(entry.payload().unwrap().to_vec());
        }
        Ok(())
    }
}

/// Does `count` things as the seed says, each as far as it goes.
fn work(
    disk: &SimDisk,
    through: &Arc<dyn Disk>,
    seed: u64,
    count: usize,
) -> (Facts, Result<(), String>) {
    let mut facts = Facts::default();
    let result = try_work(disk, through, seed, count, &mut facts);
    (facts, result)
}

fn try_work(
    disk: &SimDisk,
    through: &Arc<dyn Disk>,
    seed: u64,
    count: usize,
    facts: &mut Facts,
) -> Result<(), String> {
    fn told(error: impl std::fmt::Display) -> String {
        error.to_string()
    }
    let mut random = Random::new(seed);
    let mut workspace = open(through)?;
    let mut covered = 0;
    for step in 0..count {
        let log = workspace.own_log();
        let (first, entries) = (log.first_index(), log.entry_count());
        // In the beginning there is nothing to forget.
        match if step < 4 { random.below(2) } else { random.below(11) } {
            0..=2 => {
                for _ in 0..=random.below(3) {
                    let len = [5, 40, 700, 40_000][random.place(4)];
                    workspace.append(&random.bytes(len)).map_err(told)?;
                }
            }
            3 => {
                let payloads: Vec<_> = (0..3).map(|_| random.bytes(30)).collect();
                let changes: Vec<_> = payloads.iter().map(|p| annals::Change::new(p)).collect();
                workspace.append_all(&changes).map_err(told)?;
            }
            4 | 5 => {
                let all = random.below(3) == 0;
                let options = CompactOptions::default().level(1).batch_len(8 << 10);
                let options = if all { options.everything() } else { options };
                let known: Vec<u64> = facts.redacted.iter().map(|(_, index)| *index).collect();
                facts.note(&workspace)?;
                workspace.compact(&options, |_, _| true).map_err(told)?;
                let at = disk.mutation_count();
                facts.forgotten.extend(known.into_iter().map(|index| (at, index)));
            }
            6 | 7 if entries > first => {
                facts.note(&workspace)?;
                let index = first + random.below(entries - first);
                let header = *log.entry(index).map_err(told)?.header();
                if !header.kind.is_control() && header.payload_len > 0 {
                    facts.redacted.push((disk.mutation_count(), index));
                    workspace.redact(workspace.client(), index, "gone").map_err(told)?;
                }
            }
            8 => {
                let frontier = workspace.frontier().map_err(told)?;
                covered = frontier.size(log.id()).max(covered);
                workspace.snapshot(&frontier, b"state").map_err(told)?;
            }
            9 if covered > first => {
                facts.note(&workspace)?;
                let size = first + 1 + random.below(covered - first);
                facts.pruned.push((disk.mutation_count(), size));
                let options = PruneOptions::default();
                workspace.prune(workspace.client(), size, &options, |_, _| true).map_err(told)?;
                facts.gone.push((disk.mutation_count(), size));
                let at = disk.mutation_count();
                let known: Vec<u64> = facts.redacted.iter().map(|(_, index)| *index).collect();
                facts.forgotten.extend(known.into_iter().map(|index| (at, index)));
            }
            10 => {
                facts.note(&workspace)?;
                drop(log);
                workspace.close().map_err(told)?;
                workspace = open(through)?;
                workspace.reindex(true, |_, _| true).map_err(told)?;
            }
            _ => {}
        }
        if random.below(2) == 0 {
            workspace.commit().map_err(told)?;
            facts.note(&workspace)?;
            let log = workspace.own_log();
            let (count, root) = (log.entry_count(), log.root().map_err(told)?);
            facts.acknowledged.push((disk.mutation_count(), count, root));
        }
        facts.note(&workspace)?;
    }
    workspace.close().map_err(told)
}

/// What is there is as promised at the moment `at`; and so it is after going on with it.
fn judge(found: &SimDisk, facts: &Facts, at: u64, what: &str) {
    let disk = shared(found);
    // A slot and a cache that were being written when the power failed, and what was written without having been synced:
    // they are named, and mended by the next opening.
    let torn = [Code::BadCheckpoint, Code::UnsyncedHole, Code::DamagedIndex];
    check_but_for(&disk, &torn, what);
    let workspace = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let count = workspace.own_log().entry_count();
    compare(&workspace, facts, at, count, what);
    let root = workspace.own_log().root().unwrap();
    workspace.append(b"on we go").unwrap();
    workspace.compact(&CompactOptions::default().level(1), |_, _| true).unwrap();
    workspace.close().unwrap();
    let left = found.paths().into_iter().find(|path| path.to_string_lossy().ends_with(".tmp"));
    assert!(left.is_none(), "{what}: {left:?} is left");
    let workspace = open(&disk).unwrap();
    compare(&workspace, facts, at, count, what);
    assert_eq!(workspace.own_log().root_at(count).unwrap(), root, "{what}");
    assert_eq!(workspace.own_log().entry(count).unwrap().payload().unwrap(), b"on we go", "{what}");
    workspace.close().unwrap();
    check_but_for(&disk, &[], what);
}

fn check_but_for(disk: &Arc<dyn Disk>, codes: &[Code], what: &str) {
    let report = check_on(disk, Path::new(FOLDER), Depth::Payloads, |_, _| {}).unwrap();
    let errors = report.errors().filter(|finding| !codes.contains(&finding.code));
    let errors: Vec<_> = errors.map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}");
}

/// Compares the first `count` entries with what was submitted.
fn compare(workspace: &Workspace, facts: &Facts, at: u64, count: u64, what: &str) {
    let log = workspace.own_log();
    let first = log.first_index();
    let before = |(when, _): &&(u64, u64)| *when <= at;
    let may_be_gone = facts.pruned.iter().filter(before).map(|(_, size)| *size).max();
    let must_be_gone = facts.gone.iter().filter(before).map(|(_, size)| *size).max();
    assert!(first <= may_be_gone.unwrap_or(0), "{what}: pruned to {first}");
    assert!(first >= must_be_gone.unwrap_or(0), "{what}: not pruned to {must_be_gone:?}");
    let known = facts.acknowledged.iter().filter(|(when, ..)| *when <= at);
    for (_, size, root) in known {
        assert!(count >= *size, "{what}: {size} were acknowledged, here are {count}");
        if *size >= first {
            assert_eq!(log.root_at(*size).unwrap(), *root, "{what}: of {size}");
        }
    }
    let may_be_absent: BTreeSet<u64> =
        facts.redacted.iter().filter(before).map(|(_, index)| *index).collect();
    assert!(count <= facts.payloads.len() as u64 + 3, "{what}: {count} entries");
    for index in 0..count.min(facts.payloads.len() as u64) {
        let payload = &facts.payloads[usize::try_from(index).unwrap()];
        match log.entry(index) {
            Ok(entry) => match entry.payload() {
                Ok(found) => assert!(found == payload, "{what}: entry {index}"),
                Err(Absent::Redacted { .. }) => {
                    assert!(may_be_absent.contains(&index), "{what}: entry {index} is gone");
                }
                Err(Absent::Withheld) => panic!("{what}: entry {index} is withheld"),
            },
            Err(ReadError::Pruned { .. }) => assert!(index < first, "{what}"),
            Err(error) => panic!("{what}: entry {index}: {error}"),
        }
    }
    for (_, index) in facts.forgotten.iter().filter(before) {
        if *index >= first {
            assert!(
                log.entry(*index).unwrap().payload().is_err(),
                "{what}: {index} is still there"
            );
        }
    }
    if count > first {
        let index = first + at % (count - first);
        let root = log.root_at(count).unwrap();
        log.prove_inclusion(index, Some(count)).unwrap().verify(&root).unwrap();
    }
}

fn fresh(seed: u64, recording: bool) -> SimDisk {
    let disk = if recording { SimDisk::recording(seed) } else { SimDisk::new(seed) };
    let created = Workspace::create_on(shared(&disk), Path::new(FOLDER), options(), None);
    created.unwrap().close().unwrap();
    disk
}

#[test]
fn every_crash_leaves_the_old_generation_or_the_new_one() {
    let (mut points, mut images) = (0_u64, 0_u64);
    for seed in 0..16 {
        let disk = fresh(seed, true);
        let start = disk.mutation_count();
        let (facts, result) = work(&disk, &shared(&disk), seed, 14);
        result.unwrap();
        let mut history = disk.history();
        let mut tried = BTreeSet::new();
        loop {
            let at = history.position();
            if at >= start {
                points += 1;
                let machine = history.machine();
                let pending = machine.pending_len();
                let mut losses = vec![Loss::Everything, Loss::Nothing];
                losses.extend((0..pending.min(3)).map(Loss::Only));
                losses.extend((0..pending.min(3)).map(Loss::AllBut));
                losses.extend([false, true].map(|garbage| Loss::Random { seed: at, garbage }));
                for loss in losses {
                    let found = machine.after_power_loss(&loss);
                    if tried.insert(found.fingerprint()) {
                        images += 1;
                        judge(
                            &found,
                            &facts,
                            at,
                            &format!("seed {seed}, power loss after {at}, {loss:?}"),
                        );
                    }
                }
                images += 1;
                judge(&machine.after_kill(), &facts, at, &format!("seed {seed}, kill after {at}"));
            }
            if !history.step() {
                break;
            }
        }
    }
    println!("past: {points} crash points, {images} images");
    assert!(points > 500);
}

#[test]
fn each_call_that_fails_is_reported_and_nothing_is_lost() {
    let mut failed = 0;
    for seed in [3, 5, 8] {
        let fresh = fresh(seed, false);
        let calls = {
            let disk = fresh.after_kill();
            let before = disk.call_count();
            work(&disk, &shared(&disk), seed, 14).1.unwrap();
            disk.call_count() - before
        };
        for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other] {
            for once in [true, false] {
                for call in 0..calls {
                    let disk = fresh.after_kill();
                    disk.fail_nth_call(call, once, kind);
                    let (facts, result) = work(&disk, &shared(&disk), seed, 14);
                    failed += u64::from(result.is_err());
                    disk.heal();
                    let what =
                        format!("seed {seed}, call {call}, {kind:?}, once: {once}: {result:?}");
                    judge(&disk, &facts, u64::MAX, &what);
                }
            }
        }
    }
    println!("past: {failed} runs with a failure");
    assert!(failed > 300);
}

#[test]
fn what_is_written_is_synced_before_it_takes_the_place_of_anything() {
    for seed in 0..16 {
        let disk = fresh(seed, false);
        let watched = ProtocolDisk::new(shared(&disk));
        let (_, result) = work(&disk, &(Arc::new(watched.clone()) as Arc<dyn Disk>), seed, 20);
        result.unwrap();
        // Index runs are a cache: what a crash leaves of one is seen by its checksums.
        let violations = watched.violations();
        let of_logs: Vec<_> =
            violations.iter().filter(|violation| !violation.starts_with("w/cache/")).collect();
        assert!(of_logs.is_empty(), "seed {seed}: {of_logs:#?}");
    }
}

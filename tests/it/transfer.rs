//! Bundles between workspaces: what comes over is whole, right, and the same everywhere.

use std::path::Path;

use annals::{
    AppendError, Change, Clock, ExportError, Frontier, ImportError, ImportReport, Kind, Options,
    Workspace, bundle::BundleError,
};
use proptest::prelude::*;

use crate::support::{Random, changes_of, copy_folder, decode_file, entry_of, put};

fn options() -> Options {
    Options::default().clock(Clock::None)
}

fn create(folder: &Path) -> Workspace {
    Workspace::create(folder.join("first"), options()).unwrap()
}

fn join(folder: &Path, name: &str, workspace: &Workspace) -> Workspace {
    Workspace::join(folder.join(name), workspace.id(), options()).unwrap()
}

fn exported(workspace: &Workspace, since: &Frontier) -> Vec<u8> {
    let mut bundle = Vec::new();
    let report = workspace.export(since, &mut bundle).unwrap();
    assert_eq!(report.bytes, bundle.len() as u64);
    bundle
}

/// Gives `to` what it lacks of `from`.
fn give(from: &Workspace, to: &Workspace) -> ImportReport {
    to.import(&exported(from, &to.frontier().unwrap())[..]).unwrap()
}

/// How far the logs go that have entries: an empty one is not carried.
fn frontier(workspace: &Workspace) -> Frontier {
    let all = workspace.frontier().unwrap();
    all.rows().iter().filter(|row| row.size > 0).copied().collect::<Vec<_>>().into()
}

/// All entries in canonical order, with the clients that wrote them.
fn merged(workspace: &Workspace) -> Vec<(annals::ClientId, crate::reference::entry::Entry)> {
    let entries = workspace.merged().unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.client(), entry_of(&entry))).collect()
}

/// Offsets at which the records of a bundle start, and its end (U-2).
fn records(bundle: &[u8]) -> Vec<usize> {
    let mut starts = vec![96];
    let mut at = 96;
    while at < bundle.len() {
        let len: [u8; 4] = bundle[at + 16..at + 20].try_into().unwrap();
        at += 32 + usize::try_from(u32::from_le_bytes(len)).unwrap();
        starts.push(at);
    }
    starts
}

#[test]
fn two_that_exchange_both_ways_have_equal_frontiers() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let b = join(folder.path(), "b", &a);
    for number in 0..100_u8 {
        put(&a, &[number]);
        put(&b, &[number, number]);
    }
    assert_eq!(give(&a, &b).entries, 100);
    assert_eq!(give(&b, &a).entries, 100);
    assert_eq!(frontier(&a), frontier(&b));
    assert_eq!(merged(&a), merged(&b));
    assert_eq!(changes_of(&b.logs_of(a.client()).unwrap()[0]), changes_of(&a.own_log()));
    assert!(b.logs_of(a.client()).unwrap()[0].path().exists());
}

#[test]
fn a_bundle_since_a_frontier_holds_what_is_new_alone() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let b = join(folder.path(), "b", &a);
    for round in 1..20_u64 {
        (0..round).for_each(|number| {
            put(&a, &number.to_le_bytes());
        });
        let mut bundle = Vec::new();
        let report = a.export(&frontier(&b), &mut bundle).unwrap();
        assert_eq!((report.logs, report.entries), (1, round));
        assert_eq!(b.import(&bundle[..]).unwrap().entries, round);
        assert_eq!(frontier(&b).size(a.own_log().id()), a.own_log().entry_count());
    }
}

#[test]
fn importing_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let b = join(folder.path(), "b", &a);
    (0..50_u8).for_each(|number| {
        put(&a, &[number]);
    });
    let early = exported(&a, &Frontier::empty());
    put(&a, b"later");
    let late = exported(&a, &Frontier::empty());
    assert_eq!(b.import(&late[..]).unwrap().entries, 51);
    let before = (frontier(&b), std::fs::read(b.logs()[1].path()).unwrap());
    for bundle in [&late, &early, &late] {
        let report = b.import(&bundle[..]).unwrap();
        assert_eq!(report.entries, 0);
        assert!(report.logs.iter().all(|log| log.before == 51 && log.after == 51));
    }
    // The own log comes back as well.
    assert_eq!(a.import(&late[..]).unwrap().entries, 0);
    assert_eq!((frontier(&b), std::fs::read(b.logs()[1].path()).unwrap()), before);
}

#[test]
fn what_overlaps_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let mut bundles = Vec::new();
    for round in 0..4_u8 {
        (0..10).for_each(|number| {
            put(&a, &[round, number]);
        });
        // Single commits and one batch of all: the batches do not begin at the same entries.
        bundles.push(exported(&a, &Frontier::empty()));
    }
    let whole = join(folder.path(), "whole", &a);
    whole.import(&bundles[3][..]).unwrap();
    for first in 0..3 {
        let b = join(folder.path(), &format!("b{first}"), &a);
        b.import(&bundles[first][..]).unwrap();
        let report = b.import(&bundles[3][..]).unwrap();
        assert_eq!(report.entries, 30 - 10 * first as u64);
        assert_eq!(frontier(&b), frontier(&whole));
    }
}

#[test]
fn a_bundle_that_ends_early_is_taken_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let a = Workspace::create(folder.path().join("a"), options().batch_len(1 << 10)).unwrap();
    let mut random = Random::new(8);
    let payload = random.bytes(150);
    for _ in 0..6 {
        (0..8).for_each(|_| {
            put(&a, &payload);
        });
        let group: Vec<Change<'_>> = (0..20).map(|_| Change::new(&payload)).collect();
        a.append_all(&group).unwrap().index();
    }
    let bundle = exported(&a, &Frontier::empty());
    let starts = records(&bundle);
    let mut lens = starts[..starts.len() - 1].to_vec();
    lens.extend((0..15).map(|_| random.place(bundle.len())));
    for len in lens {
        let b = join(folder.path(), &format!("b{len}"), &a);
        let error = b.import(&bundle[..len]).unwrap_err();
        assert!(matches!(error, ImportError::Bundle(BundleError::Truncated { .. })), "{error}");
        if let Ok(logs) = b.logs_of(a.client()) {
            let kept = logs[0].entry_count();
            assert!(kept % 28 <= 8, "{kept} entries: a group is there in part");
            assert_eq!(logs[0].root().unwrap(), a.own_log().root_at(kept).unwrap());
        }
        b.import(&bundle[..]).unwrap();
        assert_eq!(changes_of(&b.logs()[1]), changes_of(&a.own_log()));
        assert_eq!(b.logs()[1].root().unwrap(), a.own_log().root().unwrap());
        drop(b);
        std::fs::remove_dir_all(folder.path().join(format!("b{len}"))).unwrap();
    }
}

#[test]
fn a_changed_bit_anywhere_is_refused_and_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let b = join(folder.path(), "b", &a);
    put(&a, b"known");
    give(&a, &b);
    let before = (frontier(&b), std::fs::read(b.logs()[1].path()).unwrap());
    put(&a, b"new");
    put(&a, b"newer");
    // One that goes on, and one from the start.
    for bundle in [exported(&a, &frontier(&b)), exported(&a, &Frontier::empty())] {
        for at in 0..bundle.len() {
            let mut changed = bundle.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(b.import(&changed[..]).is_err(), "the change at {at} goes unseen");
            assert_eq!(frontier(&b), before.0, "after a change at {at}");
        }
    }
    assert!(std::fs::read(b.logs()[1].path()).unwrap()[16_384..] == before.1[16_384..]);
    assert_eq!(give(&a, &b).entries, 2);
}

#[test]
fn a_changed_bit_in_a_new_log_leaves_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let b = join(folder.path(), "b", &a);
    put(&a, b"x");
    let bundle = exported(&a, &Frontier::empty());
    for at in (0..bundle.len()).step_by(7) {
        let mut changed = bundle.clone();
        changed[at] ^= 0x20;
        assert!(b.import(&changed[..]).is_err(), "the change at {at} goes unseen");
        assert_eq!(b.logs().len(), 1);
        assert_eq!(std::fs::read_dir(b.path().join("logs")).unwrap().count(), 1);
    }
    give(&a, &b);
    assert_eq!(b.logs().len(), 2);
}

/// Two copies of one client that went on apart, and a third that has the first one's history.
struct Fork {
    folder: tempfile::TempDir,
    ours: Workspace,
    theirs: Workspace,
    third: Workspace,
}

fn fork(ours: u8, theirs: u8) -> Fork {
    let folder = tempfile::tempdir().unwrap();
    let first = create(folder.path());
    put(&first, b"common");
    put(&first, b"history");
    let path = first.path().to_owned();
    first.close().unwrap();
    copy_folder(&path, &folder.path().join("copy"));
    let ours_open = Workspace::open(&path, options()).unwrap();
    let theirs_open = Workspace::open(folder.path().join("copy"), options()).unwrap();
    (0..ours).for_each(|number| {
        put(&ours_open, &[b'o', number]);
    });
    (0..theirs).for_each(|number| {
        put(&theirs_open, &[b't', number]);
    });
    let third = join(folder.path(), "third", &ours_open);
    give(&ours_open, &third);
    Fork { folder, ours: ours_open, theirs: theirs_open, third }
}

#[test]
fn a_fork_is_refused_and_both_roots_are_named() {
    for (ours, theirs) in [(3, 3), (3, 1), (1, 3)] {
        let fork = fork(ours, theirs);
        let before = frontier(&fork.third);
        let error = fork.third.import(&exported(&fork.theirs, &Frontier::empty())[..]).unwrap_err();
        match error {
            ImportError::Contradiction { log, size, ours: here, theirs: there, .. } => {
                assert_eq!(log, fork.theirs.own_log().id());
                assert_eq!(here, fork.ours.own_log().root_at(size).unwrap());
                assert_eq!(there, fork.theirs.own_log().root_at(size).unwrap());
            }
            ImportError::Diverged { log, size, ours: here, their_size, theirs: there, .. } => {
                assert_eq!(log, fork.theirs.own_log().id());
                assert_eq!(here, fork.ours.own_log().root_at(size).unwrap());
                assert_eq!(there, fork.theirs.own_log().root_at(their_size).unwrap());
            }
            error => panic!("{error}"),
        }
        assert_eq!(frontier(&fork.third), before);
        // Nor does the one copy take the other's.
        assert!(fork.ours.import(&exported(&fork.theirs, &Frontier::empty())[..]).is_err());
        assert!(fork.folder.path().exists());
    }
}

#[test]
fn a_fork_below_a_partial_bundle_is_seen() {
    let fork = fork(3, 4);
    let theirs = fork.theirs.own_log();
    let row = annals::FrontierRow {
        client: theirs.client(),
        log: theirs.id(),
        size: 4,
        lamport: theirs.entry(3).unwrap().lamport(),
        root: theirs.root_at(4).unwrap(),
    };
    let bundle = exported(&fork.theirs, &Frontier::from(vec![row]));
    let error = fork.third.import(&bundle[..]).unwrap_err();
    let ImportError::Contradiction { size: 4, ours, theirs: there, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((ours, there), (fork.ours.own_log().root_at(4).unwrap(), row.root));
}

#[test]
fn a_frontier_that_contradicts_gets_no_bundle() {
    let fork = fork(3, 4);
    let mut out = Vec::new();
    let error = fork.theirs.export(&frontier(&fork.third), &mut out).unwrap_err();
    assert!(matches!(error, ExportError::Contradiction { size: 5, .. }), "{error}");
    assert_eq!(out, b"");
}

#[test]
fn a_bundle_that_starts_behind_what_is_here_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let (b, c) = (join(folder.path(), "b", &a), join(folder.path(), "c", &a));
    put(&a, b"1");
    give(&a, &b);
    put(&a, b"2");
    let bundle = exported(&a, &frontier(&b));
    let error = c.import(&bundle[..]).unwrap_err();
    assert!(matches!(error, ImportError::Gap { from: 1, size: 0, .. }), "{error}");
    assert_eq!(c.logs().len(), 1);
    give(&b, &c);
    assert_eq!(c.import(&bundle[..]).unwrap().entries, 1);
}

#[test]
fn bundles_of_other_workspaces_and_other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let other = Workspace::create(folder.path().join("other"), options()).unwrap();
    put(&other, b"x");
    let bundle = exported(&other, &Frontier::empty());
    let error = a.import(&bundle[..]).unwrap_err();
    let ids = (other.id(), a.id());
    assert!(matches!(error, ImportError::OtherWorkspace { bundle, here } if (bundle, here) == ids));
    let segment = std::fs::read(other.own_log().path()).unwrap();
    assert!(matches!(a.import(&segment[..]), Err(ImportError::Bundle(_))));
    assert!(matches!(a.import(&b""[..]), Err(ImportError::Bundle(_))));
    let read = Workspace::open_read_only(other.path(), options()).unwrap();
    assert!(matches!(read.import(&bundle[..]), Err(ImportError::Append(AppendError::ReadOnly))));
}

#[test]
fn what_was_seen_is_recorded_before_the_clock_jumps() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let b = join(folder.path(), "b", &a);
    (0..40_u8).for_each(|number| {
        put(&a, &[number]);
    });
    put(&b, b"before");
    give(&a, &b);
    assert_eq!(put(&b, b"after"), 2);
    let own = b.own_log();
    let seen = own.entry(1).unwrap();
    assert_eq!((seen.kind(), seen.lamport()), (Kind::SEEN, 41));
    let recorded = Frontier::decode(seen.payload().unwrap()).unwrap();
    assert_eq!(recorded.row(a.own_log().id()), frontier(&a).row(a.own_log().id()));
    assert_eq!(own.entry(2).unwrap().lamport(), 42);
    // Nothing more is recorded until there is more to be seen.
    put(&b, b"more");
    assert_eq!(own.entry_count(), 4);
}

#[test]
fn replicas_go_on_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let mut b = join(folder.path(), "b", &a);
    for number in 0..5_u8 {
        put(&a, &[number]);
        give(&a, &b);
        let path = b.path().to_owned();
        b.close().unwrap();
        b = Workspace::open(path, options()).unwrap();
        assert_eq!(b.logs_of(a.client()).unwrap()[0].root().unwrap(), a.own_log().root().unwrap());
    }
    let segment = decode_file(b.logs()[1].path());
    assert_eq!(segment.frames.last().unwrap().opening, 5);
}

#[test]
fn large_changes_and_groups_come_over_whole() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let b = join(folder.path(), "b", &a);
    let large = Random::new(9).bytes(2_500_000);
    put(&a, b"small");
    put(&a, &large);
    give(&a, &b);
    let changes = changes_of(&b.logs()[1]);
    assert!(changes == [b"small".to_vec(), large]);
}

#[test]
fn a_backup_while_others_append_is_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let a = create(folder.path());
    let b = join(folder.path(), "b", &a);
    put(&b, b"of another client");
    give(&b, &a);
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            for number in 0..3_000_u32 {
                put(&a, &number.to_le_bytes());
                if number % 50 == 0 {
                    a.commit().unwrap();
                }
            }
        });
        for round in 0..4 {
            a.own_log().wait_for(500 * round + 1, std::time::Duration::from_secs(30)).unwrap();
            let durable = a.durable().entries;
            let path = folder.path().join(format!("backup {round}"));
            let mut told = (0, 0);
            a.backup(&path, |done, total| told = (done, total)).unwrap();
            assert!(told.0 == told.1 && told.0 > 0);
            let copy = Workspace::open(&path, options()).unwrap();
            assert_eq!(*copy.recovered(), annals::Verdict::Clean);
            let count = copy.own_log().entry_count();
            assert!(count >= durable);
            assert_eq!(copy.own_log().root().unwrap(), a.own_log().root_at(count).unwrap());
            assert_eq!((copy.id(), copy.client()), (a.id(), a.client()));
            assert_eq!(changes_of(&copy.logs()[1]), [b"of another client"]);
        }
        appending.join().unwrap();
    });
    assert!(a.backup(folder.path().join("backup 0"), |_, _| {}).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 64, ..ProptestConfig::default() })]

    /// Whoever talks to whom, in the end all have the same, in one order that respects causality.
    #[test]
    fn gossip_of_three_converges(
        steps in proptest::collection::vec((0..3_usize, 0..3_usize, 0..6_u8), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let first = create(folder.path());
        let peers = [join(folder.path(), "b", &first), join(folder.path(), "c", &first), first];
        // For each change the changes that its author had seen, as (client, index).
        let mut written: Vec<(annals::ClientId, u64, Frontier)> = Vec::new();
        for (from, to, count) in steps {
            for number in 0..count {
                let seen = frontier(&peers[from]);
                let index = put(&peers[from], &[number]);
                written.push((peers[from].client(), index, seen));
            }
            if from != to {
                give(&peers[from], &peers[to]);
            }
        }
        for _ in 0..2 {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 2), (2, 1), (1, 0)] {
                give(&peers[from], &peers[to]);
            }
        }
        let order = merged(&peers[0]);
        for peer in &peers {
            prop_assert_eq!(frontier(peer), frontier(&peers[0]));
            prop_assert_eq!(&merged(peer), &order);
        }
        let key = |client: &annals::ClientId, index: u64| {
            order.iter().position(|(author, entry)| author == client && entry.index == index)
        };
        for (client, index, seen) in &written {
            let own = key(client, *index).unwrap();
            for row in seen.rows().iter().filter(|row| row.size > 0) {
                prop_assert!(key(&row.client, row.size - 1).unwrap() < own);
            }
        }
    }
}

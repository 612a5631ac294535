//! A bundle is judged whole before anything of it is seen, and nobody waits for its reader.

use std::{
    io::{self, ErrorKind, Read},
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
};

use annals::{
    AppendError, Change, Clock, Frontier, ImportError, Options, Workspace, bundle::BundleError,
};

use crate::support::{
    Op, Random, TestDisk, changes_of, copy_folder, files_of, put, segment_path, within,
};

fn options() -> Options {
    Options::default().clock(Clock::None)
}

fn bundle_of(workspace: &Workspace, since: &Frontier) -> Vec<u8> {
    let mut bundle = Vec::new();
    assert!(workspace.export(since, &mut bundle).unwrap().cut.is_empty());
    bundle
}

fn frontier(workspace: &Workspace) -> Frontier {
    workspace.frontier().unwrap()
}

/// A bundle whose reader stops at some byte until it is told to go on, or to fail.
struct Stalling {
    bundle: Vec<u8>,
    at: usize,
    stop: usize,
    stalled: Sender<()>,
    go_on: Receiver<bool>,
}

/// The other end of [`Stalling`].
struct Valve {
    stalled: Receiver<()>,
    go_on: Sender<bool>,
}

fn stalling(bundle: Vec<u8>, stop: usize) -> (Stalling, Valve) {
    let (stalled, is_stalled) = channel();
    let (go_on, told) = channel();
    let valve = Valve { stalled: is_stalled, go_on };
    (Stalling { bundle, at: 0, stop, stalled, go_on: told }, valve)
}

impl Read for Stalling {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.stop {
            self.stop = usize::MAX;
            self.stalled.send(()).unwrap();
            if !self.go_on.recv().unwrap() {
                return Err(ErrorKind::ConnectionReset.into());
            }
        }
        let end = self.bundle.len().min(self.stop).min(self.at + out.len());
        let len = end - self.at;
        out[..len].copy_from_slice(&self.bundle[self.at..end]);
        self.at = end;
        Ok(len)
    }
}

/// `here` knows the beginning of the first log, and nothing of the second. The bundle has more of the one, and the
/// other.
struct Scene {
    folder: tempfile::TempDir,
    here: Workspace,
    bundle: Vec<u8>,
    /// What is here when all of the bundle is.
    whole: Frontier,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let first = Workspace::create(folder.path().join("first"), options()).unwrap();
    let join =
        |name: &str| Workspace::join(folder.path().join(name), first.id(), options()).unwrap();
    let (second, here) = (join("second"), join("here"));
    (0..20_u8).for_each(|n| _ = put(&first, &[n]));
    here.import(&bundle_of(&first, &Frontier::empty())[..]).unwrap();
    let payload = Random::new(3).bytes(3000);
    for _ in 0..20 {
        put(&first, &payload);
        put(&second, &payload);
        first.commit().unwrap();
        second.commit().unwrap();
        first.append_all(&[Change::new(b"1"), Change::new(&payload)]).unwrap().index();
        second.stream("declared").unwrap().append(b"2").unwrap().index();
    }
    let carrier = join("carrier");
    carrier.import(&bundle_of(&first, &Frontier::empty())[..]).unwrap();
    carrier.import(&bundle_of(&second, &Frontier::empty())[..]).unwrap();
    let bundle = bundle_of(&carrier, &Frontier::empty());
    let whole = frontier(&carrier);
    Scene { folder, here, bundle, whole }
}

/// Everything that can be asked of a workspace.
fn seen(workspace: &Workspace) -> (Frontier, usize, Vec<Vec<u8>>) {
    let merged =
        workspace.merged().unwrap().map(|entry| entry.unwrap().payload().unwrap().to_vec());
    let streams = workspace.logs().iter().map(|log| log.streams().unwrap().len()).sum();
    (frontier(workspace), streams, merged.collect())
}

#[test]
fn nothing_is_seen_and_nobody_waits_while_a_reader_stalls() {
    within(|| {
        let scene = scene();
        let here = &scene.here;
        let foreign = seen(here);
        for tenth in 1..=9 {
            let (reader, valve) = stalling(scene.bundle.clone(), scene.bundle.len() * tenth / 10);
            std::thread::scope(|scope| {
                let importing = scope.spawn(|| here.import(reader));
                valve.stalled.recv().unwrap();
                assert_eq!(seen(here).1, foreign.1);
                let before = here.own_log().entry_count();
                put(here, b"own");
                here.commit().unwrap();
                here.checkpoint().unwrap();
                here.reindex(tenth % 2 == 0, |_, _| true).unwrap();
                let exported = bundle_of(here, &Frontier::empty());
                let exported = crate::reference::bundle::decode(&exported).unwrap();
                let rows: Vec<u64> = exported.frontier.iter().map(|(row, _)| row.size).collect();
                assert_eq!(rows.iter().sum::<u64>(), here.own_log().entry_count() + 20);
                // A *seen* entry is written once, and names what was published.
                assert!(here.own_log().entry_count() <= before + 2);
                here.backup(scene.folder.path().join(format!("backup {tenth}")), |_, _| {})
                    .unwrap();
                let beside = Workspace::open_read_only(here.path(), options()).unwrap();
                for workspace in [here, &beside] {
                    let now = seen(workspace);
                    let in_bundle = usize::try_from(rows.iter().sum::<u64>()).unwrap();
                    assert_eq!(now.2.len(), foreign.2.len() + in_bundle - 20);
                    assert_eq!(workspace.logs().len(), 2);
                }
                valve.go_on.send(false).unwrap();
                let error = importing.join().unwrap().unwrap_err();
                assert!(matches!(error, ImportError::Bundle(BundleError::Io(_))), "{error}");
            });
            let backup = scene.folder.path().join(format!("backup {tenth}"));
            let backup = Workspace::open(backup, options()).unwrap();
            assert_eq!(backup.logs().len(), 2);
            assert_eq!(std::fs::read_dir(here.path().join("logs")).unwrap().count(), 2);
        }
        let (reader, valve) = stalling(scene.bundle.clone(), scene.bundle.len() - 1);
        valve.go_on.send(true).unwrap();
        here.import(reader).unwrap();
        let own = here.own_log().id();
        let now = frontier(here);
        let foreign = now.rows().iter().filter(|row| row.log != own).copied().collect::<Vec<_>>();
        let expected = scene.whole.rows().iter().filter(|row| row.size > 0).copied();
        assert_eq!(foreign, expected.collect::<Vec<_>>());
    });
}

#[test]
fn closing_ends_an_import_that_is_under_way() {
    within(|| {
        let Scene { folder, here, bundle, .. } = scene();
        let before = seen(&here);
        let stop = bundle.len() - 10;
        let (reader, valve) = stalling(bundle, stop);
        let other = here.clone();
        std::thread::scope(|scope| {
            let importing = scope.spawn(|| here.import(reader));
            valve.stalled.recv().unwrap();
            other.close().unwrap();
            valve.go_on.send(true).unwrap();
            let error = importing.join().unwrap().unwrap_err();
            assert!(matches!(error, ImportError::Append(AppendError::ReadOnly)), "{error}");
        });
        assert_eq!(seen(&here), before);
        assert!(here.import(&b""[..]).is_err());
        drop(here);
        let again = Workspace::open(folder.path().join("here"), options()).unwrap();
        assert_eq!(seen(&again), before);
    });
}

/// Calls a function in the middle of a bundle.
struct Calling<'a, F> {
    bundle: &'a [u8],
    at: usize,
    call: Option<F>,
}

impl<F: FnOnce()> Read for Calling<'_, F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.bundle.len() <= self.at
            && let Some(call) = self.call.take()
        {
            call();
        }
        self.bundle.read(out)
    }
}

#[test]
fn a_reader_may_call_back() {
    within(|| {
        let Scene { folder: _folder, here, bundle, whole } = scene();
        let foreign = frontier(&here);
        let call = || {
            put(&here, b"from the reader");
            here.commit().unwrap();
            here.checkpoint().unwrap();
            assert_eq!(here.logs().len(), 2);
            assert_eq!(frontier(&here).rows()[..].len(), foreign.rows().len() + 1);
            bundle_of(&here, &Frontier::empty());
            let nested = here.import(&bundle[..]).unwrap_err();
            assert!(matches!(nested, ImportError::Nested), "{nested}");
            here.merged().unwrap().for_each(|entry| drop(entry.unwrap()));
        };
        here.import(Calling { bundle: &bundle, at: bundle.len() / 3, call: Some(call) }).unwrap();
        assert_eq!(here.logs().len(), 3);
        // The turn has come back.
        assert_eq!(here.import(&bundle[..]).unwrap().entries, 0);
        assert!(whole.rows().iter().all(|row| frontier(&here).row(row.log) == Some(row)));
    });
}

#[test]
fn a_reader_that_panics_leaves_nothing() {
    within(|| {
        let Scene { folder: _folder, here, bundle, whole } = scene();
        let before = (seen(&here), files_of(&here.path().join("logs")).len());
        let reader = Calling { bundle: &bundle, at: 4000, call: Some(|| panic!("as planned")) };
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| here.import(reader)));
        assert!(panicked.is_err());
        assert_eq!((seen(&here), files_of(&here.path().join("logs")).len()), before);
        here.import(&bundle[..]).unwrap();
        assert!(whole.rows().iter().all(|row| frontier(&here).row(row.log) == Some(row)));
    });
}

#[test]
fn a_crash_in_the_middle_leaves_a_prefix() {
    within(|| {
        let scene = scene();
        let here = &scene.here;
        for tenth in 1..=9 {
            let (reader, valve) = stalling(scene.bundle.clone(), scene.bundle.len() * tenth / 10);
            let crashed = scene.folder.path().join(format!("crashed {tenth}"));
            std::thread::scope(|scope| {
                let importing = scope.spawn(|| here.import(reader));
                valve.stalled.recv().unwrap();
                copy_folder(here.path(), &crashed);
                valve.go_on.send(false).unwrap();
                importing.join().unwrap().unwrap_err();
            });
            let crashed = Workspace::open(&crashed, options()).unwrap();
            assert_eq!(crashed.logs().len(), 2, "a new log has no name before its end");
            let carrier = Workspace::open_read_only(scene.folder.path().join("carrier"), options());
            let carrier = carrier.unwrap();
            for log in crashed.logs().iter().skip(1) {
                let whole = carrier.log(log.id()).unwrap();
                assert!(log.damage().is_none());
                assert_eq!(log.root().unwrap(), whole.root_at(log.entry_count()).unwrap());
            }
            crashed.import(&scene.bundle[..]).unwrap();
            for row in scene.whole.rows().iter().filter(|row| row.size > 0) {
                assert_eq!(frontier(&crashed).row(row.log), Some(row));
            }
            let names = std::fs::read_dir(crashed.path().join("logs")).unwrap();
            assert!(
                names.into_iter().all(|name| name.unwrap().path().extension().unwrap() == "seg")
            );
        }
    });
}

/// Two copies of one client that went on apart, `ours` and `theirs`, and somebody who has what is theirs and more.
fn fork(folder: &Path) -> (Workspace, Workspace) {
    let first = Workspace::create(folder.join("ours"), options()).unwrap();
    put(&first, b"common");
    first.close().unwrap();
    copy_folder(&folder.join("ours"), &folder.join("theirs"));
    let open = |name: &str| Workspace::open(folder.join(name), options()).unwrap();
    let (ours, theirs) = (open("ours"), open("theirs"));
    (0..5_u8).for_each(|n| _ = put(&ours, &[b'o', n]));
    (0..9_u8).for_each(|n| _ = put(&theirs, &[b't', n]));
    (ours, theirs)
}

#[test]
fn a_contradiction_in_the_last_log_is_seen_before_anything_else_is() {
    within(|| {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = fork(folder.path());
        let join =
            |name: &str| Workspace::join(folder.path().join(name), ours.id(), options()).unwrap();
        let (here, carrier) = (join("here"), join("carrier"));
        let forked = ours.own_log().id();
        // Logs come in the order of their ids: some before the one that is forked.
        let payload = Random::new(4).bytes(2000);
        let mut before_it = 0;
        for number in 0.. {
            let other = join(&format!("other {number}"));
            let known = other.own_log().id() < forked;
            (0..30).for_each(|_| _ = put(&other, &payload));
            here.import(&bundle_of(&other, &Frontier::empty())[..]).unwrap();
            (0..30).for_each(|_| _ = put(&other, &payload));
            carrier.import(&bundle_of(&other, &Frontier::empty())[..]).unwrap();
            before_it += u32::from(known);
            if before_it >= 2 || number > 40 {
                break;
            }
        }
        here.import(&bundle_of(&ours, &Frontier::empty())[..]).unwrap();
        carrier.import(&bundle_of(&theirs, &Frontier::empty())[..]).unwrap();
        let bundle = bundle_of(&carrier, &Frontier::empty());
        let before = (seen(&here), files_of(&here.path().join("logs")).len());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let polling = scope.spawn(|| {
                let mut rounds = 0;
                while !over.load(Ordering::Acquire) || rounds == 0 {
                    assert_eq!(frontier(&here), before.0.0);
                    assert_eq!(here.logs().len(), before.1);
                    let beside = Workspace::open_read_only(here.path(), options()).unwrap();
                    assert_eq!(frontier(&beside), before.0.0);
                    rounds += 1;
                }
            });
            for _ in 0..5 {
                let error = here.import(&bundle[..]).unwrap_err();
                assert!(
                    matches!(
                        error,
                        ImportError::Diverged { own: false, .. }
                            | ImportError::Contradiction { own: false, .. }
                    ),
                    "{error}"
                );
                assert!(!error.to_string().contains("successor"), "{error}");
            }
            over.store(true, Ordering::Release);
            polling.join().unwrap();
        });
        assert_eq!((seen(&here), files_of(&here.path().join("logs")).len()), before);
        let path = here.path().to_owned();
        drop(here);
        assert_eq!(seen(&Workspace::open(path, options()).unwrap()), before.0);
    });
}

/// A device whose own log is an old copy, and a bundle of somebody who has all of it.
fn restored_from_backup(folder: &Path) -> (Workspace, Vec<u8>, Vec<Vec<u8>>) {
    let first = Workspace::create(folder.join("first"), options()).unwrap();
    let other = Workspace::join(folder.join("other"), first.id(), options()).unwrap();
    put(&first, b"known");
    first.stream("a").unwrap().append(b"in a stream").unwrap().index();
    first.backup(folder.join("old"), |_, _| {}).unwrap();
    let payload = Random::new(5).bytes(5000);
    for number in 0..30_u8 {
        put(&first, &payload);
        first.append_all(&[Change::new(&[number]), Change::new(&payload)]).unwrap().index();
        first.stream(&format!("stream {number}")).unwrap().append(b"s").unwrap().index();
    }
    other.import(&bundle_of(&first, &Frontier::empty())[..]).unwrap();
    put(&other, b"of the other");
    let changes = changes_of(&first.own_log());
    first.close().unwrap();
    let old = Workspace::open(folder.join("old"), options()).unwrap();
    (old, bundle_of(&other, &Frontier::empty()), changes)
}

#[test]
fn what_was_lost_of_the_own_log_comes_back_and_is_named() {
    within(|| {
        let folder = tempfile::tempdir().unwrap();
        let (old, bundle, changes) = restored_from_backup(folder.path());
        let before = old.own_log().entry_count();
        let report = old.import(&bundle[..]).unwrap();
        let own = report.logs.iter().find(|log| log.log == old.own_log().id()).unwrap();
        assert_eq!((own.before, own.after), (before, old.own_log().entry_count()));
        assert_eq!(own.restored, own.after - own.before);
        assert!(report.logs.iter().all(|log| log.log == own.log || log.restored == 0));
        assert_eq!(changes_of(&old.own_log()), changes);
        assert_eq!(old.own_log().streams().unwrap().len(), 31);
        // It goes on there.
        old.stream("stream 7").unwrap().append(b"more").unwrap().index();
        old.commit().unwrap();
        assert_eq!(old.import(&bundle[..]).unwrap().entries, 0);
        let path = old.path().to_owned();
        old.close().unwrap();
        assert!(!path.join("import.tmp").exists());
        let again = Workspace::open(path, options()).unwrap();
        assert_eq!(changes_of(&again.own_log()).len(), changes.len() + 1);
    });
}

#[test]
fn an_own_log_that_goes_on_meanwhile_is_another_history() {
    within(|| {
        let folder = tempfile::tempdir().unwrap();
        let (old, bundle, _) = restored_from_backup(folder.path());
        let stop = bundle.len() - 10;
        let (reader, valve) = stalling(bundle.clone(), stop);
        let logs = old.logs().len();
        std::thread::scope(|scope| {
            let importing = scope.spawn(|| old.import(reader));
            valve.stalled.recv().unwrap();
            put(&old, b"not waiting");
            old.commit().unwrap();
            assert_eq!(old.logs().len(), logs);
            valve.go_on.send(true).unwrap();
            let error = importing.join().unwrap().unwrap_err();
            assert!(matches!(error, ImportError::Diverged { own: true, .. }), "{error}");
        });
        for _ in 0..2 {
            let before = seen(&old);
            let error = old.import(&bundle[..]).unwrap_err();
            assert!(error.to_string().contains("annals-fsck --repair --successor"), "{error}");
            assert_eq!(seen(&old), before);
            put(&old, b"and on");
        }
        assert!(!old.path().join("import.tmp").exists());
    });
}

#[test]
fn of_a_bundle_that_ends_early_the_own_log_takes_nothing() {
    within(|| {
        let folder = tempfile::tempdir().unwrap();
        let (old, bundle, changes) = restored_from_backup(folder.path());
        let before = old.own_log().entry_count();
        let error = old.import(&bundle[..bundle.len() - 1]).unwrap_err();
        assert!(matches!(error, ImportError::Bundle(BundleError::Truncated { .. })), "{error}");
        assert_eq!(old.own_log().entry_count(), before);
        assert!(old.import(&bundle[..]).unwrap().logs.iter().any(|log| log.restored > 0));
        assert_eq!(changes_of(&old.own_log()), changes);
    });
}

#[test]
fn the_index_of_what_was_imported_is_that_of_a_reading_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let first = Workspace::create(folder.path().join("first"), options()).unwrap();
    let here = Workspace::join(folder.path().join("here"), first.id(), options()).unwrap();
    let mut random = Random::new(6);
    for round in 0..4 {
        for number in 0..150_u32 {
            let payload = random.bytes(4000);
            first.stream(&format!("{}", number % 7)).unwrap().append(&payload).unwrap().index();
            first.commit().unwrap();
        }
        here.import(&bundle_of(&first, &frontier(&here))[..]).unwrap();
        let cache = here.path().join("cache");
        let fed = files_of(&cache);
        assert!(round < 1 || !fed.is_empty());
        here.reindex(true, |_, _| true).unwrap();
        assert_eq!(files_of(&cache), fed, "after import {round}");
        let log = &here.logs()[1];
        assert_eq!(log.root_at(97).unwrap(), first.own_log().root_at(97).unwrap());
    }
}

#[test]
fn what_could_not_be_written_is_taken_back_and_comes_with_the_next_import() {
    let folder = tempfile::tempdir().unwrap();
    let first = Workspace::create(folder.path().join("first"), options()).unwrap();
    put(&first, b"known");
    let early = bundle_of(&first, &Frontier::empty());
    let payload = Random::new(7).bytes(500);
    for _ in 0..20 {
        put(&first, &payload);
        first.commit().unwrap();
    }
    let late = bundle_of(&first, &Frontier::empty());
    for op in [Op::Write, Op::Sync, Op::SetLen, Op::Name] {
        for known in [true, false] {
            for spare in 0..28 {
                let disk = TestDisk::new();
                let path = folder.path().join(format!("{op:?} {known} {spare}"));
                let here =
                    Workspace::create_on(disk.arc(), &path, options(), Some(first.id())).unwrap();
                if known {
                    here.import(&early[..]).unwrap();
                }
                let before = seen(&here);
                disk.fail(op, spare, ErrorKind::Other);
                let result = here.import(&late[..]);
                disk.heal();
                if result.is_err() {
                    let now = seen(&here);
                    assert!(now == before || now.2.len() == 21, "{op:?} {known} {spare}");
                }
                let crashed = folder.path().join(format!("crashed {op:?} {known} {spare}"));
                copy_folder(&path, &crashed);
                for workspace in [here, Workspace::open(&crashed, options()).unwrap()] {
                    workspace.import(&late[..]).unwrap();
                    assert_eq!(changes_of(&workspace.logs()[1]), changes_of(&first.own_log()));
                    drop(workspace);
                }
                let again = Workspace::open(&path, options()).unwrap();
                assert!(again.logs()[1].damage().is_none());
                assert_eq!(changes_of(&again.logs()[1]), changes_of(&first.own_log()));
                drop(again);
                std::fs::remove_dir_all(&path).unwrap();
                std::fs::remove_dir_all(&crashed).unwrap();
                if result.is_ok() {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_contradiction_below_damage_is_still_one() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = fork(folder.path());
    let here = Workspace::join(folder.path().join("here"), ours.id(), options()).unwrap();
    for number in 0..10_u8 {
        put(&ours, &[number]);
        ours.commit().unwrap();
    }
    here.import(&bundle_of(&ours, &Frontier::empty())[..]).unwrap();
    here.close().unwrap();
    let path = segment_path(&folder.path().join("here"), ours.own_log().id());
    let offset = crate::support::decode_file(&path).frames.last().unwrap().frame_offset;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(offset).unwrap() + 100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let here = Workspace::open(folder.path().join("here"), options()).unwrap();
    let error = here.import(&bundle_of(&theirs, &Frontier::empty())[..]).unwrap_err();
    assert!(
        matches!(error, ImportError::Contradiction { .. } | ImportError::Diverged { .. }),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_into_memory_for_the_index_is_read_up_later() {
    let folder = tempfile::tempdir().unwrap();
    let quick = options().durability(annals::Durability::ProcessCrash);
    let first = Workspace::create(folder.path().join("first"), quick).unwrap();
    let here = Workspace::join(folder.path().join("here"), first.id(), options()).unwrap();
    let stream = first.stream("some").unwrap();
    for number in 0..80_000_u32 {
        stream.append(&number.to_le_bytes()).unwrap().index();
        // A batch for each.
        first.commit().unwrap();
    }
    here.import(&bundle_of(&first, &Frontier::empty())[..]).unwrap();
    put(&first, b"later");
    here.import(&bundle_of(&first, &frontier(&here))[..]).unwrap();
    let (there, log) = (first.own_log(), &here.logs()[1]);
    for size in [1, 63, 64_001, 80_000] {
        assert_eq!(log.root_at(size).unwrap(), there.root_at(size).unwrap());
    }
    assert_eq!(
        log.entry(79_000).unwrap().payload().unwrap(),
        there.entry(79_000).unwrap().payload().unwrap()
    );
    let of_stream = log.scan_stream(stream.id(), 70_000.., annals::Direction::Forward).unwrap();
    assert_eq!(of_stream.count(), 10_001);
    let fed = files_of(&here.path().join("cache"));
    here.reindex(true, |_, _| true).unwrap();
    assert_eq!(files_of(&here.path().join("cache")), fed);
}

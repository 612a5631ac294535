//! Assets from end to end: what is kept, what a crash leaves, what a collection takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use annals::{
    Accepted, AssetError, AssetId, AssetMeta, AssetState, CollectOptions, Options, OtherCopy,
    Workspace,
    check::{self, Code, Depth},
    io::{
        Disk,
        sim::{Loss, ProtocolDisk, SimDisk},
    },
};

use crate::support::Random;

const FOLDER: &str = "w";
/// Longer than what goes into a shared pack here, and not to be compressed.
const LARGE_LEN: usize = 100_000;

fn options() -> Options {
    Options::default().asset_single_min(64 << 10)
}

fn open(disk: &SimDisk) -> Workspace {
    Workspace::open_on(Arc::new(disk.clone()), Path::new(FOLDER), options()).unwrap()
}

fn create(disk: Arc<dyn Disk>) -> Workspace {
    Workspace::create_on(disk, Path::new(FOLDER), options(), None).unwrap()
}

fn content(seed: u64, len: usize) -> Vec<u8> {
    Random::new(seed).bytes(len)
}

fn put(workspace: &Workspace, content: &[u8]) -> AssetId {
    let meta = AssetMeta::named("file").media_type("application/octet-stream");
    workspace.assets().put(content, meta).unwrap().id
}

fn whole(workspace: &Workspace, id: &AssetId) -> Result<Vec<u8>, AssetError> {
    let assets = workspace.assets();
    let size = assets.open(id)?.size();
    assets.read(id, 0..size)
}

/// What a program was told.
#[derive(Clone, Debug)]
struct Fact {
    content: Vec<u8>,
    /// The disk had seen so much when it was acknowledged.
    acknowledged: u64,
    /// And so much when it was first said that it is not needed any more.
    given_up: Option<u64>,
}

#[derive(Default)]
struct Facts(Vec<(AssetId, Fact)>);

impl Facts {
    fn acknowledge(&mut self, disk: &SimDisk, contents: &[&[u8]]) {
        for content in contents {
            let fact = Fact {
                content: content.to_vec(),
                acknowledged: disk.mutation_count(),
                given_up: None,
            };
            self.0.push((AssetId::of(content), fact));
        }
    }

    fn give_up(&mut self, disk: &SimDisk, id: &AssetId) {
        for (_, fact) in self.0.iter_mut().filter(|(of, _)| of == id) {
            fact.given_up.get_or_insert(disk.mutation_count());
        }
    }

    /// Whether a claimed asset may be gone by now because somebody wanted it so.
    fn has_given_up(&self, at: u64) -> bool {
        self.0.iter().any(|(_, fact)| fact.given_up.is_some_and(|given_up| given_up <= at))
    }

    /// What must be there at this moment.
    fn needed(&self, at: u64) -> BTreeMap<AssetId, &[u8]> {
        let needed = self.0.iter().filter(|(_, fact)| {
            fact.acknowledged <= at && fact.given_up.is_none_or(|given_up| given_up > at)
        });
        needed.map(|(id, fact)| (*id, fact.content.as_slice())).collect()
    }
}

/// Everything that is done with assets, one after another.
fn work(disk: &SimDisk, through: &Arc<dyn Disk>) -> Facts {
    let mut facts = Facts::default();
    let open = || Workspace::open_on(Arc::clone(through), Path::new(FOLDER), options()).unwrap();
    let workspace = create(Arc::clone(through));
    let small: Vec<Vec<u8>> = (0..6).map(|seed| content(seed, 700)).collect();
    let text = "a line of text, which is worth compressing\n".repeat(400).into_bytes();
    let large: Vec<Vec<u8>> = (10..13).map(|seed| content(seed, LARGE_LEN)).collect();

    put(&workspace, &small[0]);
    workspace.commit().unwrap();
    facts.acknowledge(disk, &[&small[0]]);
    put(&workspace, &large[0]);
    workspace.commit().unwrap();
    facts.acknowledge(disk, &[&large[0]]);
    let mut batch = workspace.assets().batch();
    for content in [&small[1], &text, &small[2], &large[1]] {
        batch.put(&content[..], AssetMeta::default()).unwrap();
    }
    batch.commit().unwrap();
    drop(batch);
    workspace.commit().unwrap();
    facts.acknowledge(disk, &[&small[1], &text, &small[2], &large[1]]);
    workspace.assets().pin(&AssetId::of(&small[2])).unwrap();
    workspace.close().unwrap();

    let workspace = open();
    put(&workspace, &small[3]);
    put(&workspace, &small[0]);
    workspace.commit().unwrap();
    facts.acknowledge(disk, &[&small[3]]);
    // Not closed: the next opening begins another pack.
    drop(workspace);
    let workspace = open();
    let assets = workspace.assets();
    put(&workspace, &small[4]);
    workspace.commit().unwrap();
    facts.acknowledge(disk, &[&small[4]]);
    for gone in [&small[1], &large[0]] {
        facts.give_up(disk, &AssetId::of(gone));
        assets.release(&AssetId::of(gone)).unwrap();
    }
    workspace.commit().unwrap();
    facts.give_up(disk, &AssetId::of(&small[3]));
    assets.evict(&AssetId::of(&small[3]), OtherCopy::Forced).unwrap();
    assets.collect(&CollectOptions::default().waste_percent_min(0), |_, _| true).unwrap();
    facts.give_up(disk, &AssetId::of(&small[4]));
    assets.purge(&AssetId::of(&small[4])).unwrap();
    workspace.reindex_assets().unwrap();

    // In pieces, from another workspace on the same machine.
    let other = Workspace::create_on(
        Arc::clone(through),
        Path::new("other"),
        options(),
        Some(workspace.id()),
    );
    let other = other.unwrap();
    let film = put(&other, &large[2]);
    put(&workspace, &small[5]);
    let mut partial = assets.partial(&film, LARGE_LEN as u64).unwrap();
    let last = other.assets().range(&film, 70_000..LARGE_LEN as u64).unwrap();
    assert_eq!(partial.accept(&last).unwrap(), Accepted::Partial);
    partial.sync().unwrap();
    drop(partial);
    let mut partial = assets.partial(&film, LARGE_LEN as u64).unwrap();
    let missing = partial.missing();
    assert_eq!((missing.len(), missing[0].clone()), (1, 0..65_536));
    let first = other.assets().range(&film, 0..10).unwrap();
    assert_eq!(partial.accept(&first).unwrap(), Accepted::Complete);
    // What came in pieces was not claimed here: it is.
    put(&workspace, &large[2]);
    workspace.commit().unwrap();
    facts.acknowledge(disk, &[&large[2], &small[5]]);
    workspace.close().unwrap();
    facts
}

/// What a crash at this moment left is as promised; and so is what comes after it.
fn judge(found: &SimDisk, facts: &Facts, at: u64, what: &str) {
    let needed = facts.needed(at);
    if found.content(Path::new(FOLDER).join("index.json")).is_none() {
        assert!(needed.is_empty(), "{what}: the workspace is gone");
        return;
    }
    // What a crash leaves is no damage.
    let checked = check::check_on(
        &(Arc::new(found.clone()) as Arc<dyn Disk>),
        Path::new(FOLDER),
        Depth::Payloads,
        |_, _| (),
    );
    // But for the slot that a log was just writing, which is reported; and for a record without its header where a
    // claimed asset is missing, as nothing tells that it was not that one's.
    let checked = checked.unwrap();
    let evicted = facts.has_given_up(at);
    let wrong = checked.errors().filter(|found| match found.code {
        Code::BadCheckpoint => false,
        Code::BadRecord => !evicted || !found.what.contains("no record header"),
        _ => true,
    });
    let wrong: Vec<_> = wrong.map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:?}");
    let workspace = open(found);
    let assets = workspace.assets();
    for (id, content) in &needed {
        let read = whole(&workspace, id).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(read == *content, "{what}: {id} has other content");
    }
    for (id, fact) in &facts.0 {
        match whole(&workspace, id) {
            Ok(read) => assert!(read == fact.content, "{what}: {id} has other content"),
            Err(
                AssetError::Unknown(_)
                | AssetError::NotHere(_)
                | AssetError::Incomplete(_)
                | AssetError::Corrupt(_),
            ) => {}
            Err(error) => panic!("{what}: {error}"),
        }
        // Bytes that are in the memory of the system only are not taken for stored (K-11).
        put(&workspace, &fact.content);
    }
    workspace.commit().unwrap();
    let lost = found.after_power_loss(&Loss::Everything);
    drop(workspace);
    let workspace = open(&lost);
    for (id, fact) in &facts.0 {
        let read = whole(&workspace, id).unwrap_or_else(|error| panic!("{what}, again: {error}"));
        assert!(read == fact.content, "{what}, again: {id} has other content");
    }
    drop(assets);
    let options = CollectOptions::default().waste_percent_min(0);
    workspace.assets().collect(&options, |_, _| true).unwrap();
    let left: Vec<_> = lost.paths().into_iter().filter(|path| is_unfinished(path)).collect();
    assert!(left.is_empty(), "{what}: {left:?} is left");
    for (id, fact) in &facts.0 {
        assert!(whole(&workspace, id).unwrap() == fact.content, "{what}: {id} was collected");
    }
}

fn is_unfinished(path: &Path) -> bool {
    path.starts_with(Path::new(FOLDER).join("assets"))
        && path.extension().is_some_and(|end| end == "tmp")
}

#[test]
fn what_was_acknowledged_survives_every_crash_and_nothing_else_is_believed() {
    let disk = SimDisk::recording(1);
    let facts = work(&disk, &(Arc::new(disk.clone()) as Arc<dyn Disk>));
    let mut history = disk.history();
    let (mut points, mut images) = (0_u64, 0_u64);
    let mut tried = BTreeSet::new();
    loop {
        let at = history.position();
        let machine = history.machine();
        points += 1;
        let mut losses = vec![Loss::Everything, Loss::Nothing];
        let pending = machine.pending_len();
        losses.extend((0..pending.min(4)).map(Loss::Only));
        losses.extend((0..pending.min(4)).map(Loss::AllBut));
        losses.extend([false, true].map(|garbage| Loss::Random { seed: at, garbage }));
        for loss in losses {
            let found = machine.after_power_loss(&loss);
            if tried.insert((found.fingerprint(), facts.needed(at).len())) {
                images += 1;
                judge(&found, &facts, at, &format!("power loss after {at}, {loss:?}"));
            }
        }
        images += 1;
        judge(&machine.after_kill(), &facts, at, &format!("kill after {at}"));
        if !history.step() {
            break;
        }
    }
    println!("assets: {points} crash points, {images} images");
    assert!(points > 100);
}

#[test]
fn what_is_written_is_synced_before_anything_rests_on_it() {
    let disk = SimDisk::new(1);
    let watched = ProtocolDisk::new(Arc::new(disk.clone()));
    work(&disk, &(Arc::new(watched.clone()) as Arc<dyn Disk>));
    assert_eq!(watched.violations(), [""; 0]);
}

/// What a model knows of an asset.
#[derive(Clone, Debug, Default)]
struct Known {
    claimed: bool,
    pinned: bool,
    here: bool,
}

impl Known {
    fn is_needed(&self) -> bool {
        (self.claimed || self.pinned) && self.here
    }
}

/// Random interleavings of everything, with crashes: nothing that is needed is ever lost, and what is not goes.
#[test]
fn no_order_of_things_loses_what_is_needed_or_keeps_the_rest() {
    for seed in 0..400 {
        model_run(seed);
    }
}

fn model_run(seed: u64) {
    let mut random = Random::new(seed);
    let mut disk = SimDisk::new(seed);
    let mut workspace = Some(create(Arc::new(disk.clone())));
    let contents: Vec<Vec<u8>> = (0..8_u64)
        .map(|n| {
            content(100 + n, if n % 3 == 0 { LARGE_LEN } else { 900 + usize::try_from(n).unwrap() })
        })
        .collect();
    let mut model: Vec<Known> = vec![Known::default(); contents.len()];
    for step in 0..60 {
        let place = || format!("seed {seed}, step {step}");
        let current = workspace.get_or_insert_with(|| open(&disk)).clone();
        let assets = current.assets();
        let n = random.place(contents.len());
        let (id, known) = (AssetId::of(&contents[n]), &mut model[n]);
        match random.below(12) {
            0..=3 => {
                put(&current, &contents[n]);
                current.commit().unwrap();
                (known.claimed, known.here) = (true, true);
            }
            4 | 5 if known.claimed => {
                assets.release(&id).unwrap();
                current.commit().unwrap();
                known.claimed = false;
            }
            6 => {
                assets.pin(&id).unwrap();
                known.pinned = true;
            }
            7 => {
                assets.unpin(&id).unwrap();
                known.pinned = false;
            }
            8 => match assets.evict(&id, OtherCopy::Forced) {
                Ok(_) => known.here = false,
                Err(AssetError::Pinned(_)) => assert!(known.pinned, "{}", place()),
                Err(AssetError::NotHere(_) | AssetError::Unknown(_)) => {
                    assert!(!known.is_needed(), "{}: {id} is gone", place());
                }
                Err(error) => panic!("{}: {error}", place()),
            },
            9 => {
                let waste = if random.below(2) == 0 { 0 } else { 25 };
                let options = CollectOptions::default().waste_percent_min(waste);
                assets.collect(&options, |_, _| true).unwrap();
                for (known, content) in model.iter_mut().zip(&contents) {
                    let id = AssetId::of(content);
                    let is_here = whole(&current, &id).is_ok();
                    assert!(is_here || !known.is_needed(), "{}: {id} was collected", place());
                    // A pin that comes later does not bring it back.
                    known.here = is_here;
                    if waste == 0 && !known.claimed && !known.pinned {
                        assert!(!is_here, "{}: {id} is still here", place());
                    }
                }
            }
            10 => {
                drop(assets);
                drop(current);
                let workspace = workspace.take().unwrap();
                if random.below(2) == 0 {
                    workspace.close().unwrap();
                }
                continue;
            }
            _ => {
                drop(assets);
                drop(current);
                let found = match random.below(3) {
                    0 => disk.after_kill(),
                    1 => disk.after_power_loss(&Loss::Everything),
                    _ => disk.after_power_loss(&Loss::Random {
                        seed: random.below(1 << 40),
                        garbage: true,
                    }),
                };
                drop(workspace.take());
                disk = found;
                continue;
            }
        }
        for (known, content) in model.iter().zip(&contents).filter(|(known, _)| known.is_needed()) {
            let id = AssetId::of(content);
            let read = whole(&current, &id);
            let read = read.unwrap_or_else(|error| panic!("{}: {error}: {known:?}", place()));
            assert!(read == *content, "{}: {id}", place());
        }
        if model[n].is_needed() {
            let here = if model[n].pinned { AssetState::Pinned } else { AssetState::Present };
            assert_eq!(assets.state(&id).unwrap(), Some(here), "{}", place());
        }
    }
}

/// The same in short, where every call can fail: what was acknowledged before, and how it ended.
fn try_work(disk: &SimDisk) -> (Facts, Result<(), String>) {
    fn steps(disk: &SimDisk, facts: &mut Facts) -> Result<(), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let workspace = Workspace::open_on(Arc::new(disk.clone()), Path::new(FOLDER), options())
            .map_err(|error| told(&error))?;
        let assets = workspace.assets();
        for round in 0..2 {
            let (small, large) = (content(round, 500), content(50 + round, LARGE_LEN));
            let mut batch = assets.batch();
            for content in [&small, &large] {
                batch.put(&content[..], AssetMeta::default()).map_err(|error| told(&error))?;
            }
            batch.commit().map_err(|error| told(&error))?;
            workspace.commit().map_err(|error| told(&error))?;
            facts.acknowledge(disk, &[&small, &large]);
            assets.pin(&AssetId::of(&small)).map_err(|error| told(&error))?;
        }
        for gone in [content(0, 500), content(50, LARGE_LEN)] {
            let id = AssetId::of(&gone);
            facts.give_up(disk, &id);
            assets.unpin(&id).map_err(|error| told(&error))?;
            assets.release(&id).map_err(|error| told(&error))?;
        }
        let options = CollectOptions::default().waste_percent_min(0);
        let report = assets.collect(&options, |_, _| true).map_err(|error| told(&error))?;
        if report.disk_full {
            return Err("the disk is full".to_owned());
        }
        workspace.reindex_assets().map_err(|error| told(&error))?;
        workspace.close().map_err(|error| told(&error))
    }
    let mut facts = Facts::default();
    let result = steps(disk, &mut facts);
    (facts, result)
}

#[test]
fn each_call_that_fails_is_reported_and_nothing_is_lost() {
    let fresh = SimDisk::new(1);
    drop(create(Arc::new(fresh.clone())));
    let calls = {
        let disk = fresh.after_kill();
        let before = disk.call_count();
        try_work(&disk).1.unwrap();
        disk.call_count() - before
    };
    let mut failed = 0;
    for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other] {
        for call in 0..calls {
            let disk = fresh.after_kill();
            disk.fail_nth_call(call, true, kind);
            let (facts, result) = try_work(&disk);
            failed += u64::from(result.is_err());
            disk.heal();
            let what = format!("call {call}, {kind:?}: {result:?}");
            judge(&disk, &facts, u64::MAX, &what);
        }
    }
    println!("assets: {calls} calls, {failed} runs with a failure");
    assert!(failed > calls, "most calls cannot be done without");
}

#[test]
fn a_full_disk_keeps_nothing_from_being_taken_back() {
    let disk = SimDisk::new(3);
    let workspace = create(Arc::new(disk.clone()));
    let assets = workspace.assets();
    let gone: Vec<Vec<u8>> =
        (0..20).map(|n| content(n, if n % 2 == 0 { 3_000 } else { LARGE_LEN })).collect();
    let kept = content(99, 2_000);
    let ids: Vec<AssetId> = gone.iter().map(|content| put(&workspace, content)).collect();
    let kept_id = put(&workspace, &kept);
    workspace.commit().unwrap();
    for id in &ids {
        assets.release(id).unwrap();
    }
    workspace.commit().unwrap();
    disk.limit_space(disk.used_space());
    assert!(matches!(
        assets.put(&content(100, LARGE_LEN)[..], AssetMeta::default()),
        Err(AssetError::DiskFull(_))
    ));
    let report = assets.collect(&CollectOptions::default(), |_, _| true).unwrap();
    assert_eq!(report.removed_assets, 20, "{report:?}");
    assert_eq!(whole(&workspace, &kept_id).unwrap(), kept);
    put(&workspace, &content(100, LARGE_LEN));
    workspace.commit().unwrap();
}

#[test]
fn equal_content_is_stored_once_by_however_many_threads() {
    for len in [4_000, 3 * LARGE_LEN] {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::create(folder.path().join("w"), options()).unwrap();
        let content = content(1, len);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| put(&workspace, &content));
            }
        });
        workspace.commit().unwrap();
        assert_eq!(workspace.assets().list().unwrap().count(), 16);
        workspace.close().unwrap();
        let files = crate::support::files_of(&folder.path().join("w/assets"));
        let stored: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(stored < len + 30_000, "{len} bytes take {stored}");
    }
}

#[test]
fn what_comes_while_garbage_is_collected_stays() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(folder.path().join("w"), options()).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let kept = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u64)
            .map(|thread| {
                let workspace = &workspace;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for n in 0..60 {
                        // The same few contents again and again, so that many are released and come back.
                        let content = content(
                            thread * 10 + n % 7,
                            if n % 9 == 0 { LARGE_LEN } else { 1_500 },
                        );
                        let id = put(workspace, &content);
                        if n % 2 == 0 {
                            workspace.assets().release(&id).unwrap();
                        }
                        kept.push((id, content));
                    }
                    // Claimed at last.
                    for (_, content) in &kept {
                        put(workspace, content);
                    }
                    kept
                })
            })
            .collect();
        let collector = scope.spawn(|| {
            let options = CollectOptions::default().waste_percent_min(0);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                workspace.assets().collect(&options, |_, _| true).unwrap();
            }
        });
        let kept: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        collector.join().unwrap();
        kept
    });
    workspace.close().unwrap();
    let workspace = Workspace::open(folder.path().join("w"), options()).unwrap();
    for (id, content) in kept {
        assert!(whole(&workspace, &id).unwrap() == content, "{id}");
    }
}

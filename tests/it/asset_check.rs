//! What the checker says of packs, and what it mends.

use std::{path::Path, sync::Arc};

use annals::{
    AssetId, AssetMeta, Options, Workspace,
    check::{self, Code, Depth, Report, Severity},
    io::{Disk, sim::SimDisk},
};

use crate::support::Random;

const FOLDER: &str = "w";
const PACK: &str = "w/assets/0000000000000001.pack";
const HEAD_LEN: usize = 8192;

fn options() -> Options {
    Options::default().asset_single_min(1 << 20)
}

fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// A workspace with three assets in one pack: stored, compressed in three chunks, empty.
fn sample() -> (SimDisk, Vec<(AssetId, Vec<u8>)>) {
    let disk = SimDisk::new(1);
    let workspace =
        Workspace::create_on(shared(&disk), Path::new(FOLDER), options(), None).unwrap();
    let text = "what is written twice is written once. ".repeat(3500).into_bytes();
    let contents = [Random::new(1).bytes(300), text, Vec::new()];
    for content in &contents {
        workspace.assets().put(&content[..], AssetMeta::named("x")).unwrap();
    }
    workspace.close().unwrap();
    (disk, contents.into_iter().map(|content| (AssetId::of(&content), content)).collect())
}

fn deep(disk: &SimDisk) -> Report {
    check::check_on(&shared(disk), Path::new(FOLDER), Depth::Payloads, |_, _| ()).unwrap()
}

fn codes(report: &Report) -> Vec<Code> {
    report.findings.iter().map(|finding| finding.code).collect()
}

/// The assets that can be read whole.
fn readable(disk: &SimDisk, assets: &[(AssetId, Vec<u8>)]) -> Vec<AssetId> {
    let workspace =
        Workspace::open_read_only_on(shared(disk), Path::new(FOLDER), options()).unwrap();
    let whole = |(id, content): &&(AssetId, Vec<u8>)| {
        let read = workspace.assets().read(id, 0..content.len() as u64);
        read.is_ok_and(|read| {
            assert!(read == *content, "{id} has other content");
            true
        })
    };
    assets.iter().filter(whole).map(|(id, _)| *id).collect()
}

#[test]
fn a_sound_pack_is_clean() {
    let (disk, assets) = sample();
    let report = deep(&disk);
    assert_eq!(codes(&report), [] as [Code; 0]);
    assert_eq!((report.packs.len(), report.packs[0].assets, report.packs[0].damaged), (1, 3, 0));
    assert_eq!(readable(&disk, &assets).len(), 3);
}

#[test]
fn any_byte_that_rots_is_found_and_named_and_the_other_assets_stay_readable() {
    let (disk, assets) = sample();
    let sound = disk.content(PACK).unwrap();
    // Of the head a sample: it is mostly zeros.
    let places = (0..HEAD_LEN).step_by(61).chain(HEAD_LEN..sound.len());
    for at in places {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        disk.set_content(PACK, &bytes);
        let report = deep(&disk);
        let left = readable(&disk, &assets);
        if at < HEAD_LEN {
            assert_eq!(codes(&report), [Code::BadPackUnit], "byte {at}");
            assert_eq!(left.len(), 3, "byte {at}");
            continue;
        }
        let lost: Vec<AssetId> =
            assets.iter().map(|(id, _)| *id).filter(|id| !left.contains(id)).collect();
        assert!(lost.len() <= 1, "byte {at}: {lost:?} are lost");
        // A bit of a zstd frame can be of no consequence: then nothing is wrong.
        let named = |id: &AssetId| {
            let id = id.to_string();
            report.findings.iter().any(|finding| finding.what.contains(&id))
        };
        assert!(lost.iter().all(named), "byte {at}: {lost:?}: {:?}", report.findings);
        assert!(lost.is_empty() || !report.is_clean(), "byte {at}: {:?}", report.findings);
    }
}

#[test]
fn what_a_crash_leaves_behind_the_last_record_is_a_note() {
    let (disk, assets) = sample();
    let mut bytes = disk.content(PACK).unwrap();
    bytes.extend(Random::new(7).bytes(1000));
    disk.set_content(PACK, &bytes);
    let report = deep(&disk);
    assert_eq!(codes(&report), [Code::PackTornTail]);
    assert!(report.is_clean());
    assert_eq!(readable(&disk, &assets).len(), 3);
    // It is never written over.
    let workspace = Workspace::open_on(shared(&disk), Path::new(FOLDER), options()).unwrap();
    workspace.assets().put(&b"more"[..], AssetMeta::default()).unwrap();
    workspace.close().unwrap();
    assert_eq!(disk.content(PACK).unwrap(), bytes);
    assert!(deep(&disk).is_clean());
}

#[test]
fn what_logs_and_packs_do_not_agree_on_is_noted() {
    let (disk, assets) = sample();
    let workspace = Workspace::open_on(shared(&disk), Path::new(FOLDER), options()).unwrap();
    workspace.assets().release(&assets[0].0).unwrap();
    workspace.assets().evict(&assets[2].0, annals::OtherCopy::Forced).unwrap();
    workspace.close().unwrap();
    let report = deep(&disk);
    assert_eq!(codes(&report), [Code::AssetNotHere, Code::OrphanAsset]);
    assert!(report.findings[0].what.contains(&assets[2].0.to_string()));
    assert!(report.findings[1].what.contains(&assets[0].0.to_string()));
    assert!(report.findings.iter().all(|finding| finding.severity == Severity::Note));
}

#[test]
fn what_can_be_mended_is() {
    let (disk, assets) = sample();
    let workspace = Workspace::open_on(shared(&disk), Path::new(FOLDER), options()).unwrap();
    workspace.assets().pin(&assets[0].0).unwrap();
    workspace.reindex_assets().unwrap();
    workspace.close().unwrap();
    let break_at = |path: &str, at: usize| {
        let mut bytes = disk.content(path).unwrap();
        bytes[at] ^= 1;
        disk.set_content(path, &bytes);
    };
    break_at(PACK, 40);
    break_at("w/assets/pins", 20);
    break_at("w/cache/assets/packs.index", 100);
    disk.set_content("w/assets/0123.tmp", b"half");
    let report = deep(&disk);
    let mut found = codes(&report);
    found.sort_by_key(|code| code.name());
    assert_eq!(found, [Code::BadPackUnit, Code::BadPins, Code::DamagedIndex, Code::UnfinishedFile]);
    let workspace = Workspace::open_on(shared(&disk), Path::new(FOLDER), options()).unwrap();
    let collected = workspace.assets().collect(&annals::CollectOptions::default(), |_, _| true);
    assert!(matches!(collected, Err(annals::AssetError::Pins(_))), "{collected:?}");
    workspace.close().unwrap();
    let report =
        check::repair_on(&shared(&disk), Path::new(FOLDER), Depth::Payloads, |_, _| ()).unwrap();
    assert_eq!(codes(&report), [Code::SavedCut]);
    assert_eq!(report.exit_code(), 1);
    assert_eq!(report.corrected.len(), 4, "{:?}", report.corrected);
    assert_eq!(readable(&disk, &assets).len(), 3);
}

#[test]
fn a_backup_has_the_assets_and_a_salvage_those_that_are_whole() {
    let (disk, assets) = sample();
    let workspace = Workspace::open_on(shared(&disk), Path::new(FOLDER), options()).unwrap();
    workspace.assets().put(&b"not closed yet"[..], AssetMeta::default()).unwrap();
    workspace.backup("copy", |_, _| ()).unwrap();
    workspace.close().unwrap();
    let copy = Workspace::open_on(shared(&disk), Path::new("copy"), options()).unwrap();
    for (id, content) in &assets {
        assert_eq!(copy.assets().read(id, 0..content.len() as u64).unwrap(), *content);
    }
    copy.assets().put(&b"the copy goes on"[..], AssetMeta::default()).unwrap();
    copy.close().unwrap();

    let mut bytes = disk.content(PACK).unwrap();
    bytes[HEAD_LEN + 100] ^= 1;
    disk.set_content(PACK, &bytes);
    let report = annals::salvage::salvage_on(
        &shared(&disk),
        Path::new(FOLDER),
        Path::new("salvaged"),
        |_, _| (),
    );
    let report = report.unwrap();
    assert_eq!((report.assets.whole, &report.assets.damaged), (3, &vec![assets[0].0]));
    assert!(!report.is_complete());
    let salvaged = Workspace::open_on(shared(&disk), Path::new("salvaged"), options()).unwrap();
    assert_eq!(salvaged.assets().read(&assets[1].0, 0..10).unwrap(), assets[1].1[..10]);
}

/// What is damaged may be all that is left of something that is needed.
#[test]
fn a_collection_removes_no_pack_in_which_something_needed_is_damaged() {
    let sound = sample().0.content(PACK).unwrap();
    // In the header, the data and the footer of the first record.
    for at in [HEAD_LEN + 40, HEAD_LEN + 100, HEAD_LEN + 410] {
        let (disk, assets) = sample();
        let workspace = Workspace::open_on(shared(&disk), Path::new(FOLDER), options()).unwrap();
        workspace.assets().release(&assets[1].0).unwrap();
        workspace.close().unwrap();
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        disk.set_content(PACK, &bytes);
        let workspace = Workspace::open_on(shared(&disk), Path::new(FOLDER), options()).unwrap();
        let options = annals::CollectOptions::default().waste_percent_min(0);
        let report = workspace.assets().collect(&options, |_, _| true).unwrap();
        assert_eq!(report.skipped_packs, [Path::new(PACK)], "byte {at}: {report:?}");
        workspace.close().unwrap();
        assert_eq!(disk.content(PACK).unwrap()[..bytes.len()], bytes, "byte {at}");
    }
}

/// A table of hashes that has rotted costs time, and no content; a chunk that has, just itself.
#[test]
fn the_other_chunks_of_a_damaged_asset_stay_readable() {
    let disk = SimDisk::new(1);
    let single = Options::default().asset_single_min(64 << 10);
    let workspace =
        Workspace::create_on(shared(&disk), Path::new(FOLDER), single.clone(), None).unwrap();
    let content = Random::new(3).bytes(5 * 65_536 + 10);
    let meta = AssetMeta::default().media_type("video/mp4");
    let id = workspace.assets().put(&content[..], meta).unwrap().id;
    workspace.close().unwrap();
    let path =
        disk.paths().into_iter().find(|path| path.to_string_lossy().contains(&id.to_string()));
    let path = path.unwrap();
    let sound = disk.content(&path).unwrap();
    let data = 12_288;
    let damaged_at = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 4;
        disk.set_content(&path, &bytes);
        let workspace =
            Workspace::open_read_only_on(shared(&disk), Path::new(FOLDER), single.clone()).unwrap();
        (0..6_u64)
            .map(|chunk| {
                let range = chunk * 65_536..((chunk + 1) * 65_536).min(content.len() as u64);
                match workspace.assets().read(&id, range.clone()) {
                    Ok(read) => {
                        let place = usize::try_from(range.start).unwrap();
                        assert!(read == content[place..place + read.len()], "byte {at}");
                        true
                    }
                    Err(annals::AssetError::Corrupt(damage)) => {
                        assert_eq!((damage.id, damage.range), (id, range), "byte {at}");
                        false
                    }
                    Err(error) => panic!("byte {at}: {error}"),
                }
            })
            .collect::<Vec<bool>>()
    };
    let others = |chunk: usize| (0..6).map(|n| n != chunk).collect::<Vec<bool>>();
    assert_eq!(damaged_at(data + 2 * 65_536 + 7), others(2));
    assert_eq!(damaged_at(data + content.len() - 1), others(5));
    // The table: six hashes.
    for hash in 0..6 {
        assert_eq!(damaged_at(data + content.len() + 32 * hash), [true; 6], "hash {hash}");
    }
    let report = deep(&disk);
    assert_eq!(codes(&report), [Code::BadRecord], "{:?}", report.findings);
}

#[test]
fn what_is_here_of_a_partial_asset_is_checked() {
    let (disk, _) = sample();
    let workspace = Workspace::open_on(shared(&disk), Path::new(FOLDER), options()).unwrap();
    let other =
        Workspace::create_on(shared(&disk), Path::new("other"), options(), Some(workspace.id()));
    let content = Random::new(8).bytes(200_000);
    let meta = AssetMeta::default().media_type("video/mp4");
    let id = other.unwrap().assets().put(&content[..], meta).unwrap().id;
    let other = Workspace::open_on(shared(&disk), Path::new("other"), options()).unwrap();
    let mut partial = workspace.assets().partial(&id, 200_000).unwrap();
    partial.accept(&other.assets().range(&id, 70_000..70_001).unwrap()).unwrap();
    drop(partial);
    workspace.close().unwrap();
    assert_eq!(codes(&deep(&disk)), [] as [Code; 0]);
    let path =
        disk.paths().into_iter().find(|path| path.extension().is_some_and(|e| e == "partial"));
    let path = path.unwrap();
    let mut bytes = disk.content(&path).unwrap();
    bytes[12_288 + 70_000] ^= 1;
    disk.set_content(&path, &bytes);
    assert_eq!(codes(&deep(&disk)), [Code::BadPartial]);
}

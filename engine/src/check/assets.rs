//! Packs (section 13): their heads, records and chunks, what lies beside them, and what the logs say of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io::ErrorKind,
    path::Path,
    sync::Arc,
};

use super::{CheckError, Code, Depth, Finding, folder::Run, report::PackReport};
use crate::{
    asset::AssetId,
    assets::{
        AssetReader, NameKind, Pack, Places, SINGLE_DATA_OFFSET, Spot, Step, StoreError, Walk,
        asset_file, decode_index, kind_of_name, shared_name,
    },
    error::{IoContext as _, IoError},
    io::{Access, DirEntry},
    log::Writer,
    pack::{
        CHUNK_LEN, HaveHeader, PACK_HEAD_LEN, PackKind, RecordHeader, RecordKind, chunk_cv,
        chunk_len, decode_head, have::HAVE_HEADER_LEN, pins,
    },
    workspace::{Claimed, Options, Workspace},
};

/// Assets that are named one by one; the rest is counted.
const NAMED_COUNT_MAX: usize = 16;

/// What was found in the shared packs.
#[derive(Default)]
struct Found {
    /// Sound records of assets, and those that drops are about.
    records: BTreeMap<Spot, AssetId>,
    /// Damaged ones whose header is valid.
    damaged: BTreeMap<Spot, AssetId>,
    dropped: HashSet<Spot>,
    /// How far each pack was walked, and its salt.
    packs: BTreeMap<u64, ([u8; 16], u64)>,
    present: BTreeSet<AssetId>,
    /// What is damage if it was acknowledged, and what a crash leaves otherwise.
    doubts: Vec<Doubt>,
}

/// Something wrong behind what a pack says was synced (K-10).
struct Doubt {
    /// Whose record it is, if that can be read.
    id: Option<AssetId>,
    finding: Finding,
}

/// Bytes of all files of packs.
pub(super) fn total_len(run: &Run<'_>) -> Result<u64, CheckError> {
    let mut total = 0;
    for (_, entry) in files(run)? {
        total += entry.len;
    }
    Ok(total)
}

/// The folder of each file below `assets`, and its entry.
fn files(run: &Run<'_>) -> Result<Vec<(std::path::PathBuf, DirEntry)>, CheckError> {
    let assets = run.folder.join("assets");
    let mut files = Vec::new();
    for entry in list(run, &assets)? {
        if kind_of_name(&entry) == Some(NameKind::Folder) {
            let folder = assets.join(&entry.name);
            files.extend(list(run, &folder)?.into_iter().map(|inner| (folder.clone(), inner)));
        } else {
            files.push((assets.clone(), entry));
        }
    }
    Ok(files)
}

fn list(run: &Run<'_>, folder: &Path) -> Result<Vec<DirEntry>, IoError> {
    match run.disk.list(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => result.context(folder, "list"),
    }
}

/// Checks all packs, and what lies beside them.
pub(super) fn check(run: &mut Run<'_>, progress: &mut dyn FnMut(u64)) -> Result<(), CheckError> {
    // What a damaged log claims is not known. Of these no entry is lost.
    let is_harmless = |finding: &Finding| {
        let harmless =
            [Code::BadCheckpoint, Code::BadHeaderUnit, Code::DamagedIndex, Code::StaleIndex];
        harmless.contains(&finding.code)
    };
    let logs_are_sound = run.report.errors().all(is_harmless) && run.metadata.is_some();
    let assets = run.folder.join("assets");
    let files = files(run)?;
    let numbers: Vec<u64> = files
        .iter()
        .filter_map(|(_, entry)| match kind_of_name(entry)? {
            NameKind::Shared(number) => Some(number),
            _ => None,
        })
        .collect();
    let last = numbers.iter().copied().max();
    let mut found = Found::default();
    let mut done = 0;
    for (folder, entry) in &files {
        let path = folder.join(&entry.name);
        if *folder == assets {
            match kind_of_name(entry) {
                Some(NameKind::Shared(number)) => {
                    shared(run, &path, number, Some(number) == last, &mut found)?;
                }
                Some(NameKind::Pins) => check_pins(run, &path, entry.len)?,
                _ => run.find_file(folder, entry),
            }
        } else if let Some(id) = asset_file(folder, entry, ".pack") {
            single(run, &path, id, &mut found)?;
        } else if let Some(id) = asset_file(folder, entry, ".partial") {
            partial(run, &path, id)?;
        } else if asset_file(folder, entry, ".have").is_none() {
            run.find_file(folder, entry);
        }
        done += entry.len;
        progress(done);
    }
    let claimed = if logs_are_sound { claimed(run) } else { None };
    for (spot, id) in &found.records {
        if !found.dropped.contains(spot) {
            found.present.insert(*id);
        }
    }
    check_index(run, &found)?;
    settle_doubts(run, &mut found, claimed.as_ref());
    if let Some(claimed) = claimed {
        agreement(run, &found, &claimed);
    }
    Ok(())
}

/// The bytes of what the own log claims were synced before it was claimed: whatever else is wrong behind what a
/// pack says was synced, a crash has left.
fn settle_doubts(run: &mut Run<'_>, found: &mut Found, claimed: Option<&Claimed>) {
    let dropped: BTreeSet<AssetId> =
        found.dropped.iter().filter_map(|spot| found.records.get(spot).copied()).collect();
    for Doubt { id, finding } in std::mem::take(&mut found.doubts) {
        let is_missed = |id: &AssetId| !found.present.contains(id) && !dropped.contains(id);
        let is_damage = claimed.is_none_or(|claimed| match id {
            Some(id) => claimed.own.contains(&id) && is_missed(&id),
            None => claimed.own.iter().any(is_missed),
        });
        if is_damage {
            run.find(finding);
        } else {
            let what = "a record that a crash left half written";
            let finding = Finding {
                offset: finding.offset,
                ..Finding::new(Code::PackTornTail, &finding.path, what)
            };
            run.find(finding);
        }
    }
}

/// Opens a pack; says what is wrong with its head.
fn open(run: &mut Run<'_>, path: &Path) -> Result<Option<(Pack, u64)>, CheckError> {
    let file = match run.disk.open(path, Access::Read) {
        // A collection has removed it meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result.context(path, "open")?,
    };
    let len = file.len().context(path, "read the length of")?;
    let head_len = usize::try_from(PACK_HEAD_LEN).expect("8 KiB");
    let head = file.read_vec_at(0, head_len).context(path, "read")?;
    let decoded = match decode_head(&head) {
        Ok(decoded) => decoded,
        Err(error) => {
            run.find(Finding::new(Code::BadPackHead, path, error.to_string()).at(0));
            return Ok(None);
        }
    };
    for (unit, offset) in [(0, 0), (1, PACK_HEAD_LEN / 2)] {
        if decoded.units[unit] != crate::pack::UnitState::Valid {
            let what = format!("copy {unit} of the pack header is damaged");
            run.find(Finding::new(Code::BadPackUnit, path, what).at(offset));
        }
    }
    let header = decoded.header;
    if let Some(metadata) = run.metadata.as_ref().filter(|m| m.workspace != header.workspace) {
        let what =
            format!("a pack of workspace {}, not of {}", header.workspace, metadata.workspace);
        run.find(Finding::new(Code::PackMismatch, path, what));
        return Ok(None);
    }
    Ok(Some((Pack { path: path.to_owned(), crc: header.crc(), header, file }, len)))
}

/// Checks a shared pack.
fn shared(
    run: &mut Run<'_>,
    path: &Path,
    number: u64,
    is_last: bool,
    found: &mut Found,
) -> Result<(), CheckError> {
    let Some((pack, len)) = open(run, path)? else { return Ok(()) };
    if pack.header.kind != PackKind::Shared || pack.header.number != number {
        let what = format!("not shared pack {}", shared_name(number));
        run.find(Finding::new(Code::PackMismatch, path, what));
        return Ok(());
    }
    let mut walk = Walk::new(Arc::clone(&pack.file), pack.crc, PACK_HEAD_LEN, len);
    let mut report = PackReport::new(path, len);
    let (mut bad, mut records) = (Vec::new(), Vec::new());
    let mut last_sound = PACK_HEAD_LEN;
    while let Some(step) = walk.step().context(path, "read")? {
        match step {
            Step::Record(header) => {
                last_sound = header.end_offset();
                if let Some(target) = header.dropped() {
                    found.dropped.insert(target);
                }
                records.push(header);
            }
            Step::Bad { bytes, header, fault } => {
                if let Some(header) = header.filter(|header| header.kind == RecordKind::Asset) {
                    found.damaged.insert((number, header.offset), header.id.into());
                }
                bad.push((bytes, header, fault));
            }
        }
    }
    let synced_upto = walk.synced_upto();
    for header in records {
        let before = run.report.findings.len();
        let sound = record(run, &pack, &header, &mut report)?;
        let id = AssetId::from(header.id);
        if !sound && header.end_offset() > synced_upto {
            let findings = run.report.findings.split_off(before);
            let doubt = |finding| Doubt { id: Some(id), finding };
            found.doubts.extend(findings.into_iter().map(doubt));
        } else if header.kind == RecordKind::Asset {
            found.records.insert((number, header.offset), id);
        }
    }
    for (bytes, header, fault) in bad {
        // What a writer is just adding is nobody's fault.
        if is_last && run.writer != Writer::None && bytes.end == len {
            continue;
        }
        let whose = header.map_or(String::new(), |header| match header.kind {
            RecordKind::Asset => format!("the record of asset {}: ", AssetId::from(header.id)),
            _ => String::new(),
        });
        let is_tail = bytes.start >= synced_upto && bytes.start >= last_sound;
        if is_tail {
            let len = bytes.end - bytes.start;
            let what = format!("{len} bytes that a crash left behind the last record");
            run.find(Finding::new(Code::PackTornTail, path, what).at(bytes.start));
            continue;
        }
        let finding =
            Finding::new(Code::BadRecord, path, format!("{whose}{fault}")).at(bytes.start);
        if bytes.start >= synced_upto {
            let id = header.filter(|header| header.kind == RecordKind::Asset);
            found.doubts.push(Doubt { id: id.map(|header| header.id.into()), finding });
            continue;
        }
        report.damaged += 1;
        run.find(finding);
        // Its chunks can be sound all the same, and are served then.
        let header = header.filter(|header| header.kind == RecordKind::Asset);
        if let Some(header) = header.filter(|header| header.end_offset() <= len)
            && run.depth == Depth::Payloads
        {
            chunks(run, &pack, &header)?;
        }
    }
    found.packs.insert(number, (pack.header.salt, len));
    run.report.packs.push(report);
    Ok(())
}

/// Checks a single pack.
fn single(
    run: &mut Run<'_>,
    path: &Path,
    id: AssetId,
    found: &mut Found,
) -> Result<(), CheckError> {
    let Some((pack, len)) = open(run, path)? else { return Ok(()) };
    let mut report = PackReport::new(path, len);
    let mut walk = Walk::new(Arc::clone(&pack.file), pack.crc, PACK_HEAD_LEN, len);
    let step = walk.step().context(path, "read")?;
    let wrong = |what: String, offset| Finding::new(Code::BadRecord, path, what).at(offset);
    match step {
        Some(Step::Record(header)) if AssetId::from(header.id) == id => {
            record(run, &pack, &header, &mut report)?;
            if header.end_offset() != len {
                let what = format!("bytes follow the record of asset {id}");
                run.find(wrong(what, header.end_offset()));
            }
            found.present.insert(id);
        }
        Some(Step::Record(header)) => {
            let other = AssetId::from(header.id);
            run.find(wrong(format!("it holds asset {other}, not {id}"), header.offset));
            report.damaged += 1;
        }
        Some(Step::Bad { bytes, header, fault }) => {
            run.find(wrong(format!("the record of asset {id}: {fault}"), bytes.start));
            report.damaged += 1;
            // Its chunks can be sound all the same.
            let header = header.filter(|header| AssetId::from(header.id) == id);
            if let Some(header) = header.filter(|header| header.end_offset() <= len) {
                found.present.insert(id);
                if run.depth == Depth::Payloads {
                    chunks(run, &pack, &header)?;
                }
            }
        }
        None => {
            run.find(wrong(format!("the record of asset {id} is missing"), PACK_HEAD_LEN));
            report.damaged += 1;
        }
    }
    run.report.packs.push(report);
    Ok(())
}

fn record(
    run: &mut Run<'_>,
    pack: &Pack,
    header: &RecordHeader,
    report: &mut PackReport,
) -> Result<bool, CheckError> {
    report.records += 1;
    if header.kind != RecordKind::Asset {
        return Ok(true);
    }
    report.assets += 1;
    let sound = run.depth == Depth::Structure || chunks(run, pack, header)?;
    report.damaged += u64::from(!sound);
    Ok(sound)
}

/// Verifies all chunks of an asset.
fn chunks(run: &mut Run<'_>, pack: &Pack, header: &RecordHeader) -> Result<bool, CheckError> {
    let mut sound = true;
    let mut tell = |damage: crate::assets::AssetCorruption| {
        sound = false;
        let (id, range) = (damage.id, &damage.range);
        let chunk = range.start / CHUNK_LEN as u64;
        let what = format!(
            "chunk {chunk} of asset {id} (bytes {} to {}): {}",
            range.start, range.end, damage.cause
        );
        run.find(Finding::new(Code::BadChunk, &damage.path, what).at(damage.offset));
    };
    match AssetReader::of_record(pack, header).survey(&mut tell, &mut |_| true) {
        Ok(()) => Ok(sound),
        Err(StoreError::Io(error)) => {
            Err(IoError::new(&error.path, error.doing, error.source.kind().into()).into())
        }
        Err(error) => {
            run.find(Finding::new(Code::BadChunk, &pack.path, error.to_string()).at(header.offset));
            Ok(false)
        }
    }
}

/// Checks what is here of an asset that comes in pieces (K-13). A writer may be adding to it.
fn partial(run: &mut Run<'_>, path: &Path, id: AssetId) -> Result<(), CheckError> {
    let Some((pack, _)) = open(run, path)? else { return Ok(()) };
    let have_path = path.with_extension("have");
    let rows = match run.disk.open(&have_path, Access::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        result => {
            let file = result.context(&have_path, "open")?;
            let len = file.len().context(&have_path, "read the length of")?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            Some(file.read_vec_at(0, len).context(&have_path, "read")?)
        }
    };
    let rows = rows.unwrap_or_default();
    let header = rows.first_chunk().and_then(|bytes| HaveHeader::decode(bytes).ok());
    let Some(header) = header.filter(|header| AssetId::from(header.id) == id) else {
        let what = format!("which chunks of asset {id} are here cannot be read");
        run.find(Finding::new(Code::BadPartial, &have_path, what));
        return Ok(());
    };
    let mut rest = rows.get(HAVE_HEADER_LEN..).unwrap_or(&[]);
    while let Some((row, len)) = header.decode_row(rest).filter(|_| run.depth == Depth::Payloads) {
        rest = &rest[len..];
        for (chunk, cv) in (row.first_chunk..).zip(row.cvs) {
            let offset = SINGLE_DATA_OFFSET + chunk * CHUNK_LEN as u64;
            let len = chunk_len(header.size, chunk);
            let bytes = pack.file.read_vec_at(offset, len).context(path, "read")?;
            if bytes.len() != len || chunk_cv(chunk, &bytes) != cv {
                let what = format!("chunk {chunk} of asset {id}, of which not all is here");
                run.find(Finding::new(Code::BadPartial, path, what).at(offset));
            }
        }
    }
    Ok(())
}

fn check_pins(run: &mut Run<'_>, path: &Path, len: u64) -> Result<(), CheckError> {
    let file = run.disk.open(path, Access::Read).context(path, "open")?;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let bytes = file.read_vec_at(0, len).context(path, "read")?;
    if let Err(error) = pins::decode(&bytes) {
        run.find(Finding::new(Code::BadPins, path, error.to_string()));
    }
    Ok(())
}

/// The index against the records that it is about.
fn check_index(run: &mut Run<'_>, found: &Found) -> Result<(), CheckError> {
    let folder = run.folder.join("cache").join("assets");
    for entry in list(run, &folder)? {
        let path = folder.join(&entry.name);
        if entry.name != "packs.index" {
            run.find_file(&folder, &entry);
            continue;
        }
        let file = run.disk.open(&path, Access::Read).context(&path, "open")?;
        let len = usize::try_from(entry.len).unwrap_or(usize::MAX);
        let bytes = file.read_vec_at(0, len).context(&path, "read")?;
        match decode_index(&bytes) {
            Err(_) => {
                let what = "the index of the packs is damaged";
                run.find(Finding::new(Code::DamagedIndex, &path, what));
            }
            Ok((packs, places)) => {
                let covered: BTreeMap<u64, u64> = packs
                    .iter()
                    .filter(|pack| {
                        // Others are read anew: whatever is said of them does no harm.
                        let there = found.packs.get(&pack.number);
                        there.is_some_and(|(salt, len)| {
                            *salt == pack.salt && pack.covered_len <= *len
                        })
                    })
                    .map(|pack| (pack.number, pack.covered_len))
                    .collect();
                if !agrees(&places, found, &covered) {
                    let what = "the index of the packs says something else than their records";
                    run.find(Finding::new(Code::StaleIndex, &path, what));
                }
            }
        }
    }
    Ok(())
}

fn agrees(places: &Places, found: &Found, covered: &BTreeMap<u64, u64>) -> bool {
    let is_covered = |spot: &Spot| covered.get(&spot.0).is_some_and(|&len| spot.1 < len);
    let said: BTreeMap<Spot, AssetId> = places
        .all()
        .map(|(id, place)| (place.spot(), id))
        .filter(|(spot, _)| is_covered(spot))
        .collect();
    // Records that a crash left half written are sound by their checksums, and are not in the index.
    said.iter()
        .all(|(spot, id)| found.records.get(spot).or_else(|| found.damaged.get(spot)) == Some(id))
}

/// What the logs claim; `None` if that is not known.
fn claimed(run: &Run<'_>) -> Option<Claimed> {
    let options = Options::default();
    let workspace = Workspace::open_read_only_on(Arc::clone(run.disk), run.folder, options).ok()?;
    let pinned = workspace.assets().pinned().unwrap_or_default();
    let mut claimed = workspace.assets().claimed().ok()?;
    // A pin is as good a reason to be here.
    claimed.live.extend(pinned);
    Some(claimed)
}

/// What the logs claim against what is here.
fn agreement(run: &mut Run<'_>, found: &Found, claimed: &Claimed) {
    let assets = run.folder.join("assets");
    let missing: Vec<&AssetId> =
        claimed.own.iter().filter(|id| !found.present.contains(id)).collect();
    if !missing.is_empty() {
        let what = format!(
            "claimed by this client and not on this device: {}: {}",
            counted(missing.len()),
            named(&missing)
        );
        run.find(Finding::new(Code::AssetNotHere, &assets, what));
    }
    let orphans: Vec<&AssetId> =
        found.present.iter().filter(|id| !claimed.live.contains(id)).collect();
    if !orphans.is_empty() {
        let what = format!(
            "on this device and not claimed: {}: {}",
            counted(orphans.len()),
            named(&orphans)
        );
        run.find(Finding::new(Code::OrphanAsset, &assets, what));
    }
}

fn counted(count: usize) -> String {
    format!("{count} asset{}", if count == 1 { "" } else { "s" })
}

fn named(ids: &[&AssetId]) -> String {
    let names: Vec<String> = ids.iter().take(NAMED_COUNT_MAX).map(ToString::to_string).collect();
    let more = if ids.len() > NAMED_COUNT_MAX { ", .." } else { "" };
    names.join(", ") + more
}

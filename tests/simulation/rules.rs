//! What the format says of durability, watched while a session runs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use annals::io::sim::{Durability, ProtocolDisk, SimDisk};

use super::session::Session;

const HEAD_LEN: u64 = 16_384;
const SLOTS: u64 = 8192;
const SLOT_LEN: u64 = 4096;
const RUN_RULE: &str = "a run up to";

/// The rules that a general watcher does not know:
///
/// - a lock record names no `durable_len` above what is synced of the segment, whose name is durable;
/// - a checkpoint covers only what is synced, and its other slot is (C-3);
/// - a frame says `synced_upto` only of what is synced (F-1);
/// - a run of the index covers only what is synced, as it is evidence of that;
/// - whatever is acknowledged is synced.
pub struct Rules {
    disk: ProtocolDisk,
}

/// What is known of segments beside the watcher: how far their frames were synced when a checkpoint was written,
/// which itself is not synced yet and hides that.
type Known = Arc<Mutex<BTreeMap<PathBuf, u64>>>;

impl Rules {
    /// Lets `session` work under these rules.
    pub fn watch(session: Session) -> (Session, Self) {
        let machine = session.disk.clone();
        let known = Known::default();
        let (observed, asked) = (Arc::clone(&known), known);
        let lens = machine.clone();
        let disk =
            ProtocolDisk::new(Arc::new(machine)).observe(move |path, offset, bytes, durability| {
                judge(&observed, path, offset, bytes, durability)
            });
        let durability = disk.durability().clone();
        let probe = move |path: &Path| acknowledged(&asked, &lens, path, &durability);
        let session = session.through(Arc::new(disk.clone()), probe);
        (session, Self { disk })
    }

    /// What was broken. The index is a cache, of which nothing is synced: of a run that is not whole nothing is used.
    pub fn violations(&self) -> Vec<String> {
        let mut violations = self.disk.violations();
        violations.retain(|text| !text.contains("/cache/") || text.contains(RUN_RULE));
        violations
    }
}

/// Offset below which the frames of a segment are durable.
fn synced(known: &Known, path: &Path, durability: &Durability) -> u64 {
    let mut known = known.lock().expect("nobody panics with it");
    let known = known.entry(path.to_owned()).or_default();
    let now = durability.synced_upto(path);
    if now >= HEAD_LEN && now != u64::MAX {
        *known = now;
    }
    *known
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

fn judge(
    known: &Known,
    path: &Path,
    offset: u64,
    bytes: &[u8],
    durability: &Durability,
) -> Result<(), String> {
    if path.ends_with("LOCK") {
        return judge_lock(known, path, bytes, durability);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = name.strip_suffix(".tmp").unwrap_or(&name);
    if bytes.starts_with(b"\x89ANLI") && offset == 0 {
        return judge_run(known, path, bytes, durability);
    }
    if Path::new(plain).extension().is_none_or(|end| end != "seg") {
        return Ok(());
    }
    let synced = synced(known, path, durability);
    if (SLOTS..HEAD_LEN).contains(&offset) {
        judge_slot(path, offset, bytes, synced, durability)
    } else if offset >= HEAD_LEN && plain == name {
        judge_frames(offset, bytes, synced)
    } else {
        Ok(())
    }
}

fn judge_lock(
    known: &Known,
    path: &Path,
    bytes: &[u8],
    durability: &Durability,
) -> Result<(), String> {
    let (Some(log), Some(durable_len)) =
        (bytes.get(16..32).and_then(|id| id.first_chunk::<16>()), number(bytes, 40))
    else {
        return Err("a lock record that is short".to_owned());
    };
    let log = annals::LogId::from_bytes(*log);
    let folder = path.parent().unwrap_or(Path::new(""));
    let segment = folder.join("logs").join(format!("{log}.seg"));
    let synced = synced(known, &segment, durability).max(HEAD_LEN);
    if !durability.name_is_durable(&segment) {
        return Err("a lock record of a segment whose name is not durable".to_owned());
    }
    if durable_len > synced {
        return Err(format!("a lock record of {durable_len} bytes, {synced} are synced"));
    }
    Ok(())
}

fn judge_run(
    known: &Known,
    path: &Path,
    bytes: &[u8],
    durability: &Durability,
) -> Result<(), String> {
    // The run stands in `cache/<log>` of the workspace.
    let (Some(end), Some(folder)) = (number(bytes, 56), path.parent()) else {
        return Err("a run that is short".to_owned());
    };
    let log = folder.file_name().unwrap_or_default().to_string_lossy();
    let workspace = folder.ancestors().nth(2).unwrap_or(Path::new(""));
    let synced = synced(known, &workspace.join("logs").join(format!("{log}.seg")), durability);
    if end > synced.max(HEAD_LEN) {
        return Err(format!("{RUN_RULE} {end}, {synced} are synced"));
    }
    Ok(())
}

fn judge_slot(
    path: &Path,
    offset: u64,
    bytes: &[u8],
    synced: u64,
    durability: &Durability,
) -> Result<(), String> {
    let Some(durable_len) = number(bytes, 40) else {
        return Err("a checkpoint that is short".to_owned());
    };
    if durable_len > synced.max(HEAD_LEN) {
        return Err(format!("a checkpoint of {durable_len} bytes, {synced} are synced"));
    }
    let unsynced = durability.synced_upto(path);
    let other = if offset == SLOTS { SLOTS + SLOT_LEN } else { SLOTS };
    if unsynced == other {
        return Err("a checkpoint while the other slot is not synced".to_owned());
    }
    Ok(())
}

fn judge_frames(offset: u64, bytes: &[u8], synced: u64) -> Result<(), String> {
    let mut at = 0;
    while let Some(frame) = bytes.get(at..).filter(|frame| frame.starts_with(b"ANF1")) {
        let (Some(claimed), Some(payload)) = (number(frame, 40), frame.get(8..12)) else { break };
        if claimed > synced.max(HEAD_LEN) {
            let frame = offset + at as u64;
            return Err(format!(
                "the frame at {frame} claims {claimed} bytes, {synced} are synced"
            ));
        }
        let payload = payload.first_chunk().map_or(0, |len| u32::from_le_bytes(*len));
        at += (72 + payload as usize + 8).next_multiple_of(8);
    }
    Ok(())
}

/// Everything in the segment is durable, and so is its name.
fn acknowledged(
    known: &Known,
    disk: &SimDisk,
    path: &Path,
    durability: &Durability,
) -> Result<(), String> {
    let synced = synced(known, path, durability);
    let len = disk.content(path).map_or(0, |bytes| bytes.len() as u64);
    if synced < len && durability.synced_upto(path) != u64::MAX {
        let path = path.display();
        return Err(format!("{path}: {len} bytes were acknowledged, {synced} are synced"));
    }
    if !durability.name_is_durable(path) {
        return Err(format!("{}: acknowledged, and its name is not durable", path.display()));
    }
    Ok(())
}

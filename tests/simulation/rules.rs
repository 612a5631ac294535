//! What the format says of durability, watched while a session runs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use annals::io::{
    Disk,
    sim::{Durability, ProtocolDisk, SimDisk},
};

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
/// - whatever is acknowledged is synced; if that was more than one frame under one sync, it is recorded in a synced
///   checkpoint.
pub struct Rules {
    disk: ProtocolDisk,
}

/// What is known of a segment beside the watcher.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// How far its frames were synced when a checkpoint was written, which itself is not synced yet and hides that.
    synced: u64,
    /// Frames that were written since that was no more.
    frames: u32,
    /// What the last checkpoint covers.
    checkpoint: u64,
}

type Segments = Arc<Mutex<BTreeMap<PathBuf, Known>>>;

impl Rules {
    /// Lets `session` work under these rules.
    pub fn watch(session: Session) -> (Session, Self) {
        let machine = session.disk.clone();
        let known = Segments::default();
        let rules = Self::over(&machine, &known);
        let durability = rules.disk.durability().clone();
        let probe = move |path: &Path| acknowledged(&known, &machine, path, &durability);
        let session = session.through(Arc::new(rules.disk.clone()), probe);
        (session, rules)
    }

    /// The rules for whatever is done to a machine through [`Rules::disk`].
    pub fn of(machine: &SimDisk) -> Self {
        Self::over(machine, &Segments::default())
    }

    fn over(machine: &SimDisk, known: &Segments) -> Self {
        let known = Arc::clone(known);
        let disk = ProtocolDisk::new(Arc::new(machine.clone())).observe(
            move |path, offset, bytes, durability| judge(&known, path, offset, bytes, durability),
        );
        Self { disk }
    }

    /// The disk to work through.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    /// What was broken. The index is a cache, of which nothing is synced: of a run that is not whole nothing is used.
    pub fn violations(&self) -> Vec<String> {
        let mut violations = self.disk.violations();
        violations.retain(|text| !text.contains("/cache/") || text.contains(RUN_RULE));
        violations
    }
}

/// Offset below which the frames of a segment are durable.
fn synced(known: &Segments, path: &Path, durability: &Durability) -> u64 {
    update(known, path, durability, |known| known.synced)
}

fn update<R>(
    known: &Segments,
    path: &Path,
    durability: &Durability,
    update: impl FnOnce(&mut Known) -> R,
) -> R {
    let mut known = known.lock().expect("nobody panics with it");
    let known = known.entry(path.to_owned()).or_default();
    let now = durability.synced_upto(path);
    if now >= HEAD_LEN && now != u64::MAX {
        known.synced = now;
    }
    update(known)
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

fn judge(
    known: &Segments,
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
    if plain != name && offset == 0 && bytes.len() as u64 == HEAD_LEN {
        note_next(known, &path.with_file_name(plain), bytes);
        return Ok(());
    }
    let synced = synced(known, path, durability);
    if (SLOTS..HEAD_LEN).contains(&offset) {
        let durable_len = judge_slot(path, offset, bytes, synced, durability)?;
        update(known, path, durability, |known| known.checkpoint = durable_len);
        Ok(())
    } else if offset >= HEAD_LEN && plain == name {
        let frames = judge_frames(offset, bytes, synced)?;
        update(known, path, durability, |known| {
            known.frames = frames + if synced >= offset { 0 } else { known.frames };
        });
        Ok(())
    } else {
        Ok(())
    }
}

fn judge_lock(
    known: &Segments,
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
    known: &Segments,
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

/// The head of a next generation comes with a checkpoint of all that is in it, which counts once the file has taken the
/// place of the one before (S-7): the rules of names see to it that all of it is synced by then.
fn note_next(known: &Segments, target: &Path, head: &[u8]) {
    let slots = [SLOTS, SLOTS + SLOT_LEN].map(|slot| usize::try_from(slot).unwrap_or(usize::MAX));
    let durable_len =
        slots.into_iter().filter_map(|slot| number(head, slot.checked_add(40)?)).max();
    if let Some(checkpoint) = durable_len.filter(|len| *len >= HEAD_LEN) {
        let mut known = known.lock().expect("nobody panics with it");
        let next = Known { synced: HEAD_LEN, frames: 0, checkpoint };
        known.insert(target.to_owned(), next);
    }
}

fn judge_slot(
    path: &Path,
    offset: u64,
    bytes: &[u8],
    synced: u64,
    durability: &Durability,
) -> Result<u64, String> {
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
    Ok(durable_len)
}

/// How many frames there are.
fn judge_frames(offset: u64, bytes: &[u8], synced: u64) -> Result<u32, String> {
    let (mut at, mut count) = (0, 0);
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
        count += 1;
    }
    Ok(count)
}

/// Everything in the segment is durable, and so is its name.
fn acknowledged(
    known: &Segments,
    disk: &SimDisk,
    path: &Path,
    durability: &Durability,
) -> Result<(), String> {
    let Known { synced, frames, checkpoint } = update(known, path, durability, |known| {
        let then = *known;
        known.frames = 0;
        then
    });
    let shown = path.display();
    // What was written ahead of the frames is zeros.
    let content = disk.content(path).unwrap_or_default();
    let written = content.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let len = written.next_multiple_of(8) as u64;
    let unsynced = durability.synced_upto(path);
    if synced < len && unsynced != u64::MAX {
        return Err(format!("{shown}: {len} bytes were acknowledged, {synced} are synced"));
    }
    if !durability.name_is_durable(path) {
        return Err(format!("{shown}: acknowledged, and its name is not durable"));
    }
    if frames > 1 && (checkpoint < len || unsynced < len) {
        return Err(format!(
            "{shown}: {frames} frames of {len} bytes were acknowledged, the checkpoint is of {checkpoint}, synced up to \
             {unsynced}"
        ));
    }
    Ok(())
}

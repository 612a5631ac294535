//! Mending what can be mended without losing acknowledged data.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    CheckError, Code, Correction, Depth, Finding, LogReport, Report,
    folder::{self, is_unfinished},
    replica::Replica,
};
use crate::{
    bytes::crc,
    error::{IoContext as _, IoError},
    index,
    io::{Access, Disk, OsDisk},
    log::{
        BatchCache, OpenAs, OpenLog, Segment, Slot, UNIT_LEN, UnitState, Verdict, Writer,
        lock_for_writing, save_cut,
    },
    pack::{self, PACK_HEAD_LEN, PACK_UNIT_LEN, decode_head},
    workspace::{Options, index_folder},
};

/// Each opening for writing replaces one damaged checkpoint slot; there are two.
const OPENING_COUNT_MAX: u32 = 2;

/// What a repair may do beside mending what is here.
#[derive(Clone, Debug, Default)]
pub struct RepairOptions {
    /// How deep the workspace is checked before and after.
    pub depth: Depth,
    /// Where lost entries may be fetched from: folders of other workspaces of the same id, and files that are
    /// bundles. They are only read.
    pub replicas: Vec<PathBuf>,
    /// Lets the client go on in a successor log, if its own one is damaged past mending or contradicts one of
    /// the replicas.
    pub successor: bool,
}

/// Only what can be mended with what is here.
impl From<Depth> for RepairOptions {
    fn from(depth: Depth) -> Self {
        Self { depth, ..Self::default() }
    }
}

/// Checks the workspace in the folder `path`, mends what can be mended, and checks again.
///
/// Mended are: a damaged copy of a segment header, from the other one; damaged checkpoint slots, by new
/// checkpoints; torn tails and unsynced holes, by cutting them after their bytes were saved beside
/// the segment (`<segment>.cut-<16 hex digits>`); index runs that are damaged or stale, and unfinished
/// files, by removing them; a damaged or missing `index.json`, if the lock record or a single segment tells
/// what it said. Acknowledged entries that are damaged are never touched in place.
///
/// With [`RepairOptions::replicas`] a log with lost entries is healed: they are fetched, proven against
/// every root that is still here, and written with all the others into a new generation of the segment,
/// which then takes its place. With [`RepairOptions::successor`] a client whose own log stays damaged
/// goes on in a new one that names it. Every step can be killed at any time; repairing a second time
/// changes nothing.
///
/// What was done is in [`Report::corrected`], what is left in [`Report::findings`].
///
/// # Errors
///
/// [`CheckError::Locked`] while somebody writes, [`CheckError::Replica`], and all others of [`CheckError`].
///
/// # Examples
///
/// ```
/// use annals::{Frontier, Options, Workspace, check::{self, Depth, RepairOptions}};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("notes");
/// let workspace = Workspace::create(&path, Options::default())?;
/// workspace.append(b"a change")?;
/// let bundle = folder.path().join("backup.bundle");
/// workspace.export(&Frontier::empty(), std::fs::File::create(&bundle)?)?;
/// let log = workspace.own_log().id();
/// workspace.close()?;
///
/// // The disk loses a byte of it.
/// let segment = path.join(format!("logs/{log}.seg"));
/// let mut bytes = std::fs::read(&segment)?;
/// bytes[16_500] ^= 1;
/// std::fs::write(&segment, bytes)?;
/// assert_eq!(check::repair(&path, Depth::Structure, |_, _| ())?.exit_code(), 4);
///
/// let options = RepairOptions { replicas: vec![bundle], ..RepairOptions::default() };
/// assert_eq!(check::repair(&path, options, |_, _| ())?.exit_code(), 1);
/// assert_eq!(Workspace::open(&path, Options::default())?.log(log)?.entry(0)?.payload()?, b"a change");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn repair(
    path: impl AsRef<Path>,
    options: impl Into<RepairOptions>,
    progress: impl FnMut(u64, u64),
) -> Result<Report, CheckError> {
    repair_on(&(Arc::new(OsDisk) as Arc<dyn Disk>), path.as_ref(), options, progress)
}

/// As [`repair`] on another disk than the operating system's.
///
/// # Errors
///
/// As for [`repair`].
pub fn repair_on(
    disk: &Arc<dyn Disk>,
    path: &Path,
    options: impl Into<RepairOptions>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, CheckError> {
    let options = options.into();
    let depth = options.depth;
    // Looked at first: taking the lock leaves a file, which a folder that is not ours must not get.
    folder::look(disk, path)?;
    let lock = lock_for_writing(&**disk, &path.join("LOCK"))?;
    let lock = lock.ok_or_else(|| CheckError::Locked(path.to_owned()))?;
    let open = |replica: &PathBuf| Replica::open(disk, replica);
    let replicas: Vec<Replica> = options.replicas.iter().map(open).collect::<Result<_, _>>()?;
    let mut repair = Repair { disk, folder: path, corrected: Vec::new(), left: Vec::new() };
    repair.metadata()?;
    let mut found = folder::check(disk, path, depth, Writer::None, &mut progress)?;
    if !replicas.is_empty() {
        // Before any tail is cut: what stands behind a hole may be joined to what comes from a replica.
        let before = repair.corrected.len();
        repair.heal_all(&found, &replicas, &mut progress)?;
        if repair.corrected.len() > before {
            found = folder::check(disk, path, depth, Writer::None, &mut progress)?;
        }
    }
    for log in &found.logs {
        repair.log(log, &found)?;
    }
    repair.packs(&found)?;
    repair.unfinished_files(&found)?;
    if options.successor {
        repair.succeed(&replicas)?;
    }
    let Repair { corrected, left, .. } = repair;
    let mut report = if corrected.is_empty() {
        found
    } else {
        folder::check(disk, path, depth, Writer::None, &mut progress)?
    };
    drop(lock);
    report.corrected = corrected;
    report.findings.extend(left);
    Ok(report)
}

/// A repair that is under way. The lock is held.
pub(super) struct Repair<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) folder: &'a Path,
    pub(super) corrected: Vec<Correction>,
    /// What was tried in vain.
    pub(super) left: Vec<Finding>,
}

impl Repair<'_> {
    pub(super) fn corrected(&mut self, path: &Path, what: impl Into<String>) {
        self.corrected.push(Correction { path: path.to_owned(), what: what.into() });
    }

    fn log(&mut self, log: &LogReport, found: &Report) -> Result<(), CheckError> {
        let found_here = |code| {
            found.findings.iter().any(|finding| finding.code == code && finding.path == log.path)
        };
        if found_here(Code::BadHeaderUnit) {
            self.header_unit(&log.path)?;
        }
        let sound = matches!(
            log.verdict,
            Some(
                Verdict::Clean
                    | Verdict::Preallocated
                    | Verdict::TornTail
                    | Verdict::UnsyncedHole { .. }
            )
        );
        // A log that contradicts itself, or that is not the one of its name, is left as it is.
        let doubtful = [
            Code::WrongCheckpoint,
            Code::WrongWatermark,
            Code::ForkedLog,
            Code::SegmentMismatch,
            Code::BadFrameHeader,
        ];
        if !sound || doubtful.into_iter().any(found_here) {
            return Ok(());
        }
        let tail = matches!(log.verdict, Some(Verdict::TornTail | Verdict::UnsyncedHole { .. }));
        if tail || found_here(Code::BadCheckpoint) {
            for _ in 0..OPENING_COUNT_MAX {
                if !self.open_for_writing(log)? {
                    break;
                }
            }
        }
        self.index(log, found)
    }

    /// Writes the damaged copy of the header again from the sound one.
    fn header_unit(&mut self, path: &Path) -> Result<(), CheckError> {
        let Ok(segment) = Segment::load(&**self.disk, path, Access::Write) else { return Ok(()) };
        let (sound, damaged) = match segment.units {
            [UnitState::Valid, UnitState::Damaged] => (0_u8, 1_u8),
            [UnitState::Damaged, UnitState::Valid] => (1, 0),
            _ => return Ok(()),
        };
        let offset = |unit: u8| u64::from(unit) * UNIT_LEN as u64;
        // The bytes, not what this version knows of them: a later one may have added to them (V-1).
        let mut unit = segment.file.read_vec_at(offset(sound), UNIT_LEN).context(path, "read")?;
        if unit.len() != UNIT_LEN {
            return Ok(());
        }
        unit[UNIT_NUMBER_OFFSET] = damaged;
        let checksum = crc(&unit[..UNIT_LEN - 4]);
        unit[UNIT_LEN - 4..].copy_from_slice(&checksum.to_le_bytes());
        segment.file.write_all_at(&unit, offset(damaged)).context(path, "write")?;
        segment.file.sync().context(path, "sync")?;
        self.corrected(
            path,
            format!("wrote copy {damaged} of the segment header again from the other"),
        );
        Ok(())
    }

    /// Opens the log for writing, which cuts its tail and writes a checkpoint (R-6). Returns whether that
    /// has changed something.
    fn open_for_writing(&mut self, log: &LogReport) -> Result<bool, CheckError> {
        let cache = Arc::new(BatchCache::new(0));
        let folder = index_folder(self.folder, log.log);
        let Ok(opened) = OpenLog::open(self.disk, &log.path, &folder, &cache, OpenAs::Writer)
        else {
            // Whatever it is, the check has named it, and it is no reason to change anything.
            return Ok(false);
        };
        if opened.blocking_damage().is_some() {
            return Ok(false);
        }
        let slots =
            Segment::load(&**self.disk, &log.path, Access::Read).map(|segment| segment.slots);
        let slot_damaged = slots.is_ok_and(|slots| slots.contains(&Slot::Damaged));
        let verdict = opened.recovery.verdict.clone();
        let tail = matches!(verdict, Verdict::TornTail | Verdict::UnsyncedHole { .. });
        if !tail && !slot_damaged {
            return Ok(false);
        }
        let (from, to) = (opened.recovery.state.end_offset, opened.recovery.file_len);
        let saved_before = self.saved_cuts(&log.path)?;
        // What opening saves by itself (R-6) it need not save twice.
        if verdict == Verdict::TornTail {
            let mut random = [0; 8];
            self.disk.fill_random(&mut random).context(&log.path, "draw random numbers for")?;
            let (path, file) = (&log.path, &*opened.log.file);
            save_cut(&**self.disk, path, file, from..to, u64::from_le_bytes(random))?;
        }
        drop(opened.into_writer(&Options::default().writer(), None)?);
        if tail {
            let saved = self.saved_cuts(&log.path)?;
            let saved = saved.into_iter().find(|path| !saved_before.contains(path));
            let saved = saved.map_or(String::new(), |path| format!(" in {}", path.display()));
            self.corrected(&log.path, format!("cut {} bytes at {from}, saved{saved}", to - from));
        }
        if slot_damaged {
            self.corrected(&log.path, "wrote a new checkpoint over a damaged one");
        }
        Ok(true)
    }

    /// The files in which bytes of a segment were saved.
    fn saved_cuts(&self, path: &Path) -> Result<Vec<PathBuf>, IoError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!("{name}.cut-");
        let entries = self.disk.list(folder).context(folder, "list")?;
        let cuts = entries.into_iter().filter(|entry| entry.name.starts_with(&prefix));
        Ok(cuts.map(|entry| folder.join(entry.name)).collect())
    }

    /// Removes an index that is damaged or stale. It is rebuilt when it is needed.
    fn index(&mut self, log: &LogReport, found: &Report) -> Result<(), CheckError> {
        let folder = index_folder(self.folder, log.log);
        let bad =
            |code| matches!(code, Code::DamagedIndex | Code::StaleIndex | Code::LeftoverIndex);
        let removable = found.findings.iter().any(|finding| {
            // That it does not match is found at the place in the segment.
            bad(finding.code) && (finding.path.starts_with(&folder) || finding.path == log.path)
        });
        if removable {
            index::remove_all(&**self.disk, &folder).context(&folder, "remove")?;
            self.corrected(&folder, "removed the index; it is rebuilt when it is needed");
        }
        Ok(())
    }

    fn unfinished_files(&mut self, found: &Report) -> Result<(), CheckError> {
        for finding in &found.findings {
            let Some(folder) =
                finding.path.parent().filter(|_| finding.code == Code::UnfinishedFile)
            else {
                continue;
            };
            let entries = self.disk.list(folder).context(folder, "list")?;
            let there = entries
                .iter()
                .any(|entry| is_unfinished(entry) && folder.join(&entry.name) == finding.path);
            if there {
                self.disk.remove(&finding.path).context(&finding.path, "remove")?;
                self.disk.sync_dir(folder).context(folder, "sync")?;
                self.corrected(&finding.path, "removed a file that was never finished");
            }
        }
        Ok(())
    }
}

impl Repair<'_> {
    /// Mends what lies in and beside the packs: never a record.
    fn packs(&mut self, found: &Report) -> Result<(), CheckError> {
        for finding in &found.findings {
            match finding.code {
                Code::BadPackUnit => self.pack_unit(&finding.path)?,
                Code::BadPins => self.pins(&finding.path)?,
                Code::DamagedIndex | Code::StaleIndex
                    if finding.path == self.folder.join("cache/assets/packs.index") =>
                {
                    let path = &finding.path;
                    self.disk.remove(path).context(path, "remove")?;
                    self.corrected(path, "removed the index of the packs; it is made anew");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the damaged copy of a pack's header again from the sound one.
    fn pack_unit(&mut self, path: &Path) -> Result<(), CheckError> {
        let file = self.disk.open(path, Access::Write).context(path, "open")?;
        let head_len = usize::try_from(PACK_HEAD_LEN).expect("8 KiB");
        let head = file.read_vec_at(0, head_len).context(path, "read")?;
        let Ok(decoded) = decode_head(&head) else { return Ok(()) };
        let Some(damaged) = decoded.units.iter().position(|unit| *unit != pack::UnitState::Valid)
        else {
            return Ok(());
        };
        let (sound, offset) = if damaged == 0 { (PACK_UNIT_LEN, 0) } else { (0, PACK_UNIT_LEN) };
        // The bytes, not what this version knows of them: a later one may have added to them (V-1).
        let mut unit = head[sound..sound + PACK_UNIT_LEN].to_vec();
        unit[UNIT_NUMBER_OFFSET] = u8::try_from(damaged).expect("there are two");
        let checksum = crc(&unit[..PACK_UNIT_LEN - 4]);
        unit[PACK_UNIT_LEN - 4..].copy_from_slice(&checksum.to_le_bytes());
        file.write_all_at(&unit, offset as u64).context(path, "write")?;
        file.sync().context(path, "sync")?;
        let what = format!("wrote copy {damaged} of the pack header again from the other");
        self.corrected(path, what);
        Ok(())
    }

    /// Puts damaged pins aside.
    fn pins(&mut self, path: &Path) -> Result<(), CheckError> {
        let mut random = [0; 8];
        self.disk.fill_random(&mut random).context(path, "draw random numbers for")?;
        let aside = format!("pins.cut-{:016x}", u64::from_le_bytes(random));
        let aside = path.with_file_name(aside);
        self.disk.rename(path, &aside).context(&aside, "rename")?;
        let folder = path.parent().unwrap_or(Path::new("."));
        self.disk.sync_dir(folder).context(folder, "sync")?;
        self.corrected(path, format!("put aside as {}: nothing is pinned now", aside.display()));
        Ok(())
    }
}

/// Where the number of a header unit stands in it (S-2, K-1).
const UNIT_NUMBER_OFFSET: usize = 12;

//! Mending what can be mended without losing acknowledged data.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    CheckError, Code, Correction, Depth, LogReport, Report,
    folder::{self, is_unfinished},
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
    workspace::{Metadata, Options, index_folder},
};

/// Each opening for writing replaces one damaged checkpoint slot; there are two.
const OPENING_COUNT_MAX: u32 = 2;

/// Checks the workspace in the folder `path`, mends what can be mended, and checks again.
///
/// Mended are: a damaged copy of a segment header, from the other one; damaged checkpoint slots, by new
/// checkpoints; torn tails and unsynced holes, by cutting them after their bytes were saved beside
/// the segment (`<segment>.cut-<16 hex digits>`); index runs that are damaged or stale, and unfinished
/// files, by removing them. Acknowledged entries that are damaged are never touched. Repairing a second
/// time changes nothing.
///
/// What was done is in [`Report::corrected`], what is left in [`Report::findings`].
///
/// # Errors
///
/// [`CheckError::Locked`] while somebody writes, and all others of [`CheckError`].
pub fn repair(
    path: impl AsRef<Path>,
    depth: Depth,
    progress: impl FnMut(u64, u64),
) -> Result<Report, CheckError> {
    repair_on(&(Arc::new(OsDisk) as Arc<dyn Disk>), path.as_ref(), depth, progress)
}

/// As [`repair`] on another disk than the operating system's.
///
/// # Errors
///
/// As for [`repair`].
pub fn repair_on(
    disk: &Arc<dyn Disk>,
    path: &Path,
    depth: Depth,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, CheckError> {
    // Looked at first: taking the lock leaves a file, which a folder that is not ours must not get.
    if let Err(error @ crate::workspace::MetadataError::Missing(_)) = Metadata::load(&**disk, path)
    {
        return Err(CheckError::NotAWorkspace(error));
    }
    let lock = lock_for_writing(&**disk, &path.join("LOCK"))?;
    let lock = lock.ok_or_else(|| CheckError::Locked(path.to_owned()))?;
    let found = folder::check(disk, path, depth, Writer::None, &mut progress)?;
    let mut repair = Repair { disk, folder: path, corrected: Vec::new() };
    for log in &found.logs {
        repair.log(log, &found)?;
    }
    repair.unfinished_files(&found)?;
    let corrected = repair.corrected;
    if corrected.is_empty() {
        return Ok(found);
    }
    let left = folder::check(disk, path, depth, Writer::None, &mut progress)?;
    drop(lock);
    Ok(Report { corrected, ..left })
}

struct Repair<'a> {
    disk: &'a Arc<dyn Disk>,
    folder: &'a Path,
    corrected: Vec<Correction>,
}

impl Repair<'_> {
    fn corrected(&mut self, path: &Path, what: impl Into<String>) {
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

    /// Opens the log for writing, which cuts its tail and writes a checkpoint. Returns whether that
    /// has changed something.
    fn open_for_writing(&mut self, log: &LogReport) -> Result<bool, CheckError> {
        let cache = Arc::new(BatchCache::new(0));
        let folder = index_folder(self.folder, log.log);
        let Ok(opened) = OpenLog::open(self.disk, &log.path, folder, &cache, OpenAs::Writer) else {
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
        // What opening saves by itself it need not save twice.
        if verdict == Verdict::TornTail {
            let mut random = [0; 8];
            self.disk.fill_random(&mut random).context(&log.path, "draw random numbers for")?;
            save_cut(&**self.disk, &opened.log, from, to, u64::from_le_bytes(random))?;
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

/// Where the number of a header unit stands in it (S-2).
const UNIT_NUMBER_OFFSET: usize = 12;

//! What a repair makes anew: logs from replicas, a successor for a log that stays damaged, the metadata.

use std::{io::ErrorKind, sync::Arc};

use super::{
    CheckError, Code, Finding, Report, folder,
    heal::{Outcome, Patient},
    repair::Repair,
    replica::Replica,
    sound::{Known, Sound, SoundError},
};
use crate::{
    bytes::{LogId, LogKeys},
    entry::{FrontierRow, Kind},
    error::{IoContext as _, IoError},
    index,
    io::Access,
    log::{
        BatchCache, Change, HeadError, OpenAs, OpenLog, Predecessor, Segment, SegmentError,
        SegmentHeader, Verdict, last_published, save_cut,
    },
    merkle::{Peaks, SaltTree},
    workspace::{Frontier, Metadata, MetadataError, Options, index_folder, segment_path},
};

/// Findings that say that what stands in the place of a segment is something else, or cannot be judged by this
/// version: nothing may be written over it.
const NOT_OURS: [Code; 2] = [Code::SegmentMismatch, Code::Unsupported];

impl Repair<'_> {
    /// Heals every log that has lost entries, as far as the replicas have them.
    pub(super) fn heal_all(
        &mut self,
        found: &Report,
        replicas: &[Replica],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), CheckError> {
        if let Some(workspace) = found.workspace
            && let Some(other) = replicas.iter().find(|replica| replica.workspace != workspace)
        {
            return Err(CheckError::Replica {
                path: other.path.clone(),
                reason: format!("it is of the workspace {}, this is {workspace}", other.workspace),
            });
        }
        for log in &found.logs {
            let here = || found.findings.iter().filter(|finding| finding.path == log.path);
            let is_damaged = log.verdict == Some(Verdict::Damaged)
                || here().any(|finding| finding.lost.is_some());
            if is_damaged && !here().any(|finding| NOT_OURS.contains(&finding.code)) {
                self.heal(log.log, log.entries, replicas, progress)?;
            }
        }
        let own = Metadata::load(&**self.disk, self.folder).ok().map(|metadata| metadata.log);
        match own.filter(|own| found.logs.iter().all(|log| log.log != *own)) {
            Some(missing) => self.heal(missing, 0, replicas, progress),
            None => Ok(()),
        }
    }

    fn heal(
        &mut self,
        log: LogId,
        entries: u64,
        replicas: &[Replica],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), CheckError> {
        let path = segment_path(self.folder, log);
        let Some(segment) = self.load(log)? else { return Ok(()) };
        let published = last_published(&**self.disk, &self.folder.join("LOCK"))?;
        let published = published.filter(|published| published.log == log);
        if let Some(logs) = path.parent() {
            self.disk.create_dir(logs).context(logs, "create")?;
            self.disk.sync_dir(self.folder).context(self.folder, "sync")?;
        }
        let patient = Patient {
            disk: self.disk,
            path: &path,
            log,
            segment: segment.sound,
            known_count: published.map_or(entries, |published| published.entry_count.max(entries)),
            generation: published.map_or(0, |published| published.generation),
        };
        match patient.heal(replicas, progress)? {
            Outcome::Healed { fetched, entry_count } => {
                let folder = index_folder(self.folder, log);
                index::remove_all(&**self.disk, &folder).context(&folder, "remove")?;
                let fetched: Vec<String> = fetched
                    .iter()
                    .map(|range| format!("{} to {}", range.start, range.end - 1))
                    .collect();
                let fetched = match &fetched[..] {
                    [] => "nothing was lost".to_owned(),
                    ranges => format!("entries {} came from a replica", ranges.join(", ")),
                };
                let what =
                    format!("healed: {fetched}, {entry_count} are here, each of them hashed");
                self.corrected(&path, what);
            }
            Outcome::Left(reason) => {
                self.left.push(Finding::new(Code::NotHealed, &path, reason));
            }
        }
        Ok(())
    }

    /// What stands in the place of a log's segment; `None` if that is something that must stay there.
    fn load(&self, log: LogId) -> Result<Option<Place>, CheckError> {
        let path = segment_path(self.folder, log);
        match Segment::load(&**self.disk, &path, Access::Read) {
            Ok(segment) if segment.header.log == log => Ok(Some(Place { sound: Some(segment) })),
            Ok(_) | Err(SegmentError::Head { source: HeadError::Unsupported { .. }, .. }) => {
                Ok(None)
            }
            Err(SegmentError::Io(error)) if error.source.kind() != ErrorKind::NotFound => {
                Err(error.into())
            }
            Err(_) => Ok(Some(Place { sound: None })),
        }
    }

    /// Lets the client go on in a successor if its own log cannot be written, or contradicts a replica.
    pub(super) fn succeed(&mut self, replicas: &[Replica]) -> Result<(), CheckError> {
        let Ok(mut metadata) = Metadata::load(&**self.disk, self.folder) else { return Ok(()) };
        let old = metadata.log;
        let Some(place) = self.load(old)? else { return Ok(()) };
        let Some(reason) = self.reason_to_leave(old, replicas)? else { return Ok(()) };
        let Known { size, root, lamport } = place.last_known(old)?;
        let disk = &**self.disk;
        let mut random = [[0; 16]; 3];
        for bytes in &mut random {
            disk.fill_random(bytes).context(self.folder, "draw random numbers for")?;
        }
        let mut seed = [0; 32];
        disk.fill_random(&mut seed).context(self.folder, "draw random numbers for")?;
        let [log, salt, _] = random;
        let log = LogId::from_random(log);
        let align_log2 = place.sound.as_ref().map(|segment| segment.header.align_log2);
        let new = SegmentHeader::new(metadata.workspace, metadata.client, log, salt);
        let header = SegmentHeader {
            align_log2: align_log2.unwrap_or(new.align_log2),
            created: Some(disk.now()),
            predecessor: Some(Predecessor { log: old, size, root }),
            salt_record: SaltTree::from_seed(seed).encode(),
            ..new
        };
        Segment::create(disk, &segment_path(self.folder, log), &header)?;
        if size > 0 {
            let row = FrontierRow { client: metadata.client, log: old, size, root, lamport };
            self.begin(log, &Frontier::from(vec![row]))?;
        }
        metadata.log = log;
        metadata.store(disk, self.folder)?;
        let what = format!(
            "this client goes on in the log {log}, which names {old} with {size} entries: {reason}"
        );
        self.corrected(&Metadata::path(self.folder), what);
        Ok(())
    }

    /// Lets the log `log`, which is new, go on behind what `seen` names (E-8).
    fn begin(&self, log: LogId, seen: &Frontier) -> Result<(), CheckError> {
        let path = segment_path(self.folder, log);
        let cannot = |reason: String| {
            CheckError::Io(IoError::new(&path, "begin", std::io::Error::other(reason)))
        };
        let (cache, folder) = (Arc::new(BatchCache::new(0)), index_folder(self.folder, log));
        let opened = OpenLog::open(self.disk, &path, &folder, &cache, OpenAs::Writer)
            .map_err(|error| cannot(error.to_string()))?;
        let opened = opened.into_writer(&Options::default().writer(), None)?;
        let core = opened.core.get().ok_or_else(|| cannot("it is closed".to_owned()))?;
        let payload = seen.encode();
        let change = Change::new(&payload).of_kind(Kind::SEEN);
        core.append(&[change], None, Some(seen.lamport()), None)
            .and_then(|_| core.close())
            .map_err(|error| cannot(error.to_string()))
    }

    /// Why the own log cannot be gone on with, if it cannot.
    fn reason_to_leave(
        &self,
        log: LogId,
        replicas: &[Replica],
    ) -> Result<Option<String>, CheckError> {
        let path = segment_path(self.folder, log);
        let cache = Arc::new(BatchCache::new(0));
        let folder = index_folder(self.folder, log);
        let opened = match OpenLog::open(self.disk, &path, &folder, &cache, OpenAs::Writer) {
            Ok(opened) => opened,
            Err(error) => return Ok(Some(error.to_string())),
        };
        if let Some(damage) = opened.blocking_damage() {
            return Ok(Some(damage.to_string()));
        }
        for replica in replicas {
            let contradiction = replica
                .contradiction(&opened.log)
                .map_err(|reason| CheckError::Replica { path: replica.path.clone(), reason })?;
            if let Some(size) = contradiction {
                return Ok(Some(format!(
                    "{} has another history of it from before entry {size} on",
                    replica.path.display()
                )));
            }
        }
        Ok(None)
    }

    /// Writes `index.json` again if it cannot be used and what is beside it says without doubt what was in it.
    pub(super) fn metadata(&mut self) -> Result<(), CheckError> {
        let disk = &**self.disk;
        let path = Metadata::path(self.folder);
        let is_there = match Metadata::load(disk, self.folder) {
            Ok(_) | Err(MetadataError::Unsupported { .. }) => return Ok(()),
            Err(MetadataError::Io(error)) => return Err(error.into()),
            Err(MetadataError::Missing(_)) => false,
            Err(MetadataError::Invalid { .. }) => true,
        };
        let logs = folder::logs_in(disk, self.folder)?;
        let published = last_published(disk, &self.folder.join("LOCK"))?;
        let named = published.map(|published| published.log).filter(|log| logs.contains(log));
        let own = match (named, &logs[..]) {
            (Some(log), _) => log,
            (None, &[only]) => only,
            _ => return Ok(()),
        };
        let Some(Place { sound: Some(segment) }) = self.load(own)? else { return Ok(()) };
        if is_there {
            let file = disk.open(&path, Access::Read).context(&path, "open")?;
            let len = file.len().context(&path, "read the length of")?;
            let mut random = [0; 8];
            disk.fill_random(&mut random).context(&path, "draw random numbers for")?;
            save_cut(disk, &path, &*file, 0..len, u64::from_le_bytes(random))?;
        }
        let header = &segment.header;
        let created = header.created.unwrap_or_else(|| disk.now());
        Metadata::new(header.workspace, header.client, own, created).store(disk, self.folder)?;
        let by = if named.is_some() { "the lock record" } else { "the only segment" };
        self.corrected(&path, format!("wrote it again; the own log is {own}, says {by}"));
        Ok(())
    }
}

/// What stands in the place of a segment.
struct Place {
    /// `None` if the file is missing or its head cannot be used.
    sound: Option<Segment>,
}

impl Place {
    /// The longest state of the log whose root is known.
    fn last_known(&self, log: LogId) -> Result<Known, CheckError> {
        let root = Peaks::new().root(&LogKeys::new(log));
        let nothing = Known { size: 0, root, lamport: 0 };
        let Some(segment) = &self.sound else { return Ok(nothing) };
        let known = Sound::new(segment).and_then(Sound::into_last_known);
        match known {
            Ok(known) => Ok(known.unwrap_or(nothing)),
            Err(SoundError::Io(error)) => Err(error.into()),
            Err(SoundError::Unsupported(reason)) => {
                let error = std::io::Error::new(ErrorKind::Unsupported, reason);
                Err(IoError::new(&segment.path, "read", error).into())
            }
        }
    }
}

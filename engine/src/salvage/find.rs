//! What there is in the folder: segments, whatever they are called, and what cannot be one.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    SalvageError,
    frames::{Frames, Step},
    patient::PatientFile,
    report::{LeftOut, Note},
    survey::StreamNames,
};
use crate::{
    bytes::{LogId, WorkspaceId},
    error::{Cause, Corruption, IoContext as _},
    index::{DeclarationForm, Index},
    io::{Access, DirEntry, Disk, DiskFile},
    log::{
        HEAD_LEN, HeadError, READ_AHEAD_LONG, Segment, SegmentError, UNIT_LEN, UnitState,
        last_published,
    },
    workspace::{Metadata, MetadataError, index_folder, segment_path},
};

/// How a segment begins (S-2); its second copy does so too.
const MAGIC: [u8; 8] = [0x89, b'A', b'N', b'L', b'S', 0x0D, 0x0A, 0x1A];
/// Where the generation stands in the first frame (F-1).
const FIRST_GENERATION_OFFSET: u64 = HEAD_LEN + 24;

/// A file with a head that can be used.
pub(super) struct Found {
    pub(super) segment: Segment,
    pub(super) file: Arc<PatientFile>,
    pub(super) len: u64,
    /// Its entries can be hashed: what that takes (P-5, H-10) could be read.
    pub(super) is_provable: bool,
    /// Where the workspace has the segment of this log.
    pub(super) in_place: bool,
    /// By its name it was never finished (W-3): what is missing in it was never there.
    pub(super) unfinished: bool,
    /// Everything below was durable, say the index and the lock record.
    pub(super) durable_len: u64,
    /// Entries that there were, at least.
    pub(super) known_count: u64,
    /// Streams that the index knows.
    pub(super) names: StreamNames,
}

/// What there is in a folder.
#[derive(Default)]
pub(super) struct Finds {
    pub(super) files: Vec<Found>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) notes: Vec<Note>,
    metadata: Option<Metadata>,
}

/// A file that may be a segment.
struct Candidate {
    path: PathBuf,
    name: String,
    len: u64,
}

/// A segment whose head cannot be used.
struct Headless {
    candidate: Candidate,
    file: Arc<PatientFile>,
    error: SegmentError,
}

impl Finds {
    /// Looks at all files that are or may be segments. Writes nothing.
    pub(super) fn look(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Self, SalvageError> {
        let mut finds = Self::default();
        finds.load_metadata(&**disk, folder);
        let mut headless = Vec::new();
        for candidate in finds.candidates(&**disk, folder)? {
            finds.open(&**disk, folder, candidate, &mut headless);
        }
        // One whose header is sound can lend it to the others.
        headless.sort_by_key(|headless| lost_record(&headless.error).is_none());
        for headless in headless {
            finds.adopt(folder, headless);
        }
        for found in &mut finds.files {
            found.ask_others(disk, folder);
        }
        Ok(finds)
    }

    fn load_metadata(&mut self, disk: &dyn Disk, folder: &Path) {
        match Metadata::load(disk, folder) {
            Ok(metadata) => self.metadata = Some(metadata),
            Err(MetadataError::Missing(_)) => self.note(&Metadata::path(folder), "it is missing"),
            Err(error) => self.note(&Metadata::path(folder), error.to_string()),
        }
    }

    fn note(&mut self, path: &Path, what: impl Into<String>) {
        self.notes.push(Note { path: path.to_owned(), what: what.into() });
    }

    fn leave_out(&mut self, candidate: &Candidate, log: Option<LogId>, reason: String) {
        let log = log.or_else(|| log_named(&candidate.name));
        self.left_out.push(LeftOut { path: candidate.path.clone(), log, reason });
    }

    /// The files in the folder and in its `logs` that are or may be segments.
    fn candidates(
        &mut self,
        disk: &dyn Disk,
        folder: &Path,
    ) -> Result<Vec<Candidate>, SalvageError> {
        let mut candidates = Vec::new();
        let logs = folder.join("logs");
        for (folder, may_be_missing) in [(&*logs, true), (folder, false)] {
            let entries = match disk.list(folder) {
                Err(error)
                    if may_be_missing
                        && matches!(
                            error.kind(),
                            ErrorKind::NotFound | ErrorKind::NotADirectory
                        ) =>
                {
                    continue;
                }
                entries => entries.context(folder, "list")?,
            };
            for DirEntry { name, len, .. } in entries.into_iter().filter(|entry| !entry.is_dir) {
                let path = folder.join(&name);
                if is_cut(&name) {
                    self.note(
                        &path,
                        format!(
                            "{len} bytes that were saved before they were given up: left out, as the log has gone on \
                             without them"
                        ),
                    );
                } else if name.contains(".seg") || has_magic(disk, &path, len) {
                    candidates.push(Candidate { path, name, len });
                }
            }
        }
        Ok(candidates)
    }

    fn open(
        &mut self,
        disk: &dyn Disk,
        folder: &Path,
        candidate: Candidate,
        headless: &mut Vec<Headless>,
    ) {
        if candidate.len == 0 {
            // Perhaps not even a regular file.
            return self.leave_out(&candidate, None, "the file is empty".to_owned());
        }
        let file = match disk.open(&candidate.path, Access::Read) {
            Ok(file) => Arc::new(PatientFile::new(file)),
            Err(error) => return self.leave_out(&candidate, None, format!("cannot open: {error}")),
        };
        let as_file = Arc::clone(&file) as Arc<dyn DiskFile>;
        match Segment::load_file(&candidate.path, as_file) {
            Ok(segment) => self.keep(folder, &candidate, file, segment, true),
            Err(SegmentError::Head { source: source @ HeadError::Unsupported { .. }, .. }) => {
                self.leave_out(&candidate, None, source.to_string());
            }
            Err(error) => headless.push(Headless { candidate, file, error }),
        }
    }

    fn keep(
        &mut self,
        folder: &Path,
        candidate: &Candidate,
        file: Arc<PatientFile>,
        segment: Segment,
        is_provable: bool,
    ) {
        let in_place = candidate.path == segment_path(folder, segment.header.log);
        let damaged_copies =
            segment.units.iter().filter(|unit| **unit == UnitState::Damaged).count();
        if damaged_copies == 1 {
            self.note(&candidate.path, "one of the two copies of its head is damaged");
        }
        self.files.push(Found {
            segment,
            file,
            len: candidate.len,
            is_provable,
            in_place,
            unfinished: is_unfinished(&candidate.name),
            durable_len: HEAD_LEN,
            known_count: 0,
            names: StreamNames::new(),
        });
    }

    /// Takes the head of a file from another one of the same log, if the two have their salt in common, as copies
    /// and generations of one segment do (S-5). Without the salt nothing in a file can be told from chance.
    fn adopt(&mut self, folder: &Path, headless: Headless) {
        let Headless { candidate, file, error } = headless;
        let adopted = self.files.iter().find_map(|other| {
            let (is_provable, other) = (other.is_provable, &other.segment);
            generations(&*file, other.header.generation).into_iter().find_map(|generation| {
                let as_file = Arc::clone(&file) as Arc<dyn DiskFile>;
                let path = &candidate.path;
                let segment = Segment::with_head_of(path, as_file, other, generation);
                let mut frames = Frames::new(&segment, None, READ_AHEAD_LONG).ok()?;
                has_frames(&mut frames).then_some((segment, is_provable))
            })
        });
        if let Some((segment, is_provable)) = adopted {
            let what = "its head cannot be used; that of another file of the log is";
            self.note(&candidate.path, what);
            return self.keep(folder, &candidate, file, segment, is_provable);
        }
        if let Some(lost) = lost_record(&error) {
            let as_file = Arc::clone(&file) as Arc<dyn DiskFile>;
            if let Ok(segment) = Segment::load_without_records(&candidate.path, as_file) {
                let what = format!("{lost}: nothing in it can be proven any more, only checked");
                self.note(&candidate.path, what);
                return self.keep(folder, &candidate, file, segment, false);
            }
        }
        let reason = match error {
            SegmentError::Corrupt(corruption) => corruption.cause.to_string(),
            SegmentError::Head { source, .. } => source.to_string(),
            SegmentError::Io(error) => error.to_string(),
        };
        let reason = format!(
            "{reason}: all checksums in the file are seeded with a salt that stands in its head alone"
        );
        self.leave_out(&candidate, None, reason);
    }

    /// The workspace to salvage: that of `index.json`, or else that of most segments.
    pub(super) fn workspace(&self) -> Option<WorkspaceId> {
        if let Some(metadata) = &self.metadata {
            return Some(metadata.workspace);
        }
        let ids = self.files.iter().map(|found| found.segment.header.workspace);
        let weight = |id: WorkspaceId| {
            let files = self.files.iter().filter(|found| found.segment.header.workspace == id);
            files.fold((0_u64, 0_u64), |(count, len), found| (count + 1, len + found.len))
        };
        ids.max_by_key(|id| (weight(*id), std::cmp::Reverse(*id)))
    }
}

impl Found {
    pub(super) fn path(&self) -> &Path {
        &self.segment.path
    }

    /// What the index and the lock record say of the segment.
    fn ask_others(&mut self, disk: &Arc<dyn Disk>, folder: &Path) {
        let header = &self.segment.header;
        let cache = index_folder(folder, header.log);
        if let Ok(index) = Index::open(Arc::clone(disk), cache, header.identity()) {
            self.durable_len = self.durable_len.max(index.evidence());
            self.known_count = self.known_count.max(index.position().end_index);
            for declared in index.declarations().map_while(Result::ok) {
                if declared.form == DeclarationForm::Name
                    && let Ok(name) = String::from_utf8(declared.name.to_vec())
                {
                    self.names.insert(declared.stream.0, name);
                }
            }
        }
        let published = last_published(&**disk, &folder.join("LOCK")).ok().flatten();
        let published = published.filter(|published| {
            self.in_place
                && published.log == header.log
                && published.generation == header.generation
        });
        if let Some(published) = published {
            self.durable_len = self.durable_len.max(published.durable_len);
            self.known_count = self.known_count.max(published.entry_count);
        }
    }
}

/// The error, if the header is sound and a record that it leads to is lost.
fn lost_record(error: &SegmentError) -> Option<&HeadError> {
    match error {
        SegmentError::Corrupt(Corruption { cause: Cause::Head(lost), .. }) => {
            matches!(lost, HeadError::Record(_)).then_some(lost)
        }
        _ => None,
    }
}

/// The generations that a file without a head may be of: the one that its first frame names, and a likely one.
fn generations(file: &dyn DiskFile, likely: u64) -> Vec<u64> {
    let mut generations = vec![likely];
    if let Ok(bytes) = file.read_vec_at(FIRST_GENERATION_OFFSET, 8)
        && let Ok(bytes) = <[u8; 8]>::try_from(bytes)
    {
        let named = u64::from_le_bytes(bytes);
        if named != likely {
            generations.push(named);
        }
    }
    generations
}

fn has_frames(frames: &mut Frames<'_>) -> bool {
    loop {
        match frames.next() {
            Ok(Step::Frame(_)) => return true,
            Ok(Step::Break(_)) => {}
            Ok(Step::End) | Err(_) => return false,
        }
    }
}

/// Whether a file begins as a segment does, in one of the two copies of its head.
fn has_magic(disk: &dyn Disk, path: &Path, len: u64) -> bool {
    // What is as long as a head is a regular file: opening it does not wait for anybody.
    if len < HEAD_LEN {
        return false;
    }
    let Ok(file) = disk.open(path, Access::Read) else { return false };
    let begins = |offset| file.read_vec_at(offset, MAGIC.len()).is_ok_and(|bytes| bytes == MAGIC);
    begins(0) || begins(UNIT_LEN as u64)
}

/// Bytes that were saved before they were cut off, by their name.
fn is_cut(name: &str) -> bool {
    name.contains(".seg.cut-")
}

fn is_unfinished(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "tmp")
}

/// The log whose segment a file is, says the beginning of its name.
fn log_named(name: &str) -> Option<LogId> {
    name.get(..36)?.parse().ok()
}

//! Which files of a folder are runs of an index, and which of those are used.

use std::{io, path::Path, sync::Arc};

use super::{
    Identity, Ignored, IgnoredReason, IndexError, Position,
    layout::{CONTENT_LEN, HEADER_LEN, PAGE_LEN, RunHeader, RunId, generation_of},
    pages::{PagedFile, check_page},
    run::Run,
};
use crate::io::{Access, Disk};

/// How often a folder is read again if files vanish meanwhile: another process folds runs.
const ATTEMPT_COUNT_MAX: u32 = 4;

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The longest sequence of runs without gaps, from stretch 0.
    pub(super) runs: Vec<Arc<Run>>,
    /// The other files.
    pub(super) ignored: Vec<Ignored>,
    /// The runs and unfinished files among them, to be removed some day.
    pub(super) leftovers: Vec<Leftover>,
    /// The highest end of a valid run, 0 without one.
    pub(super) evidence: u64,
}

/// A file of ours that is not used.
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    pub(super) name: String,
    /// Where the run ends, if it is valid: then it says how long the log was.
    pub(super) end_offset: Option<u64>,
}

/// Reads `folder`, which may be missing, and the first page of each run in it.
///
/// # Errors
///
/// [`IndexError::Io`].
pub(super) fn scan(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    identity: &Identity,
    start: &Position,
) -> Result<Found, IndexError> {
    let mut attempt = 1;
    loop {
        let mut found = Found::default();
        let mut candidates = Vec::new();
        let vanished = read_folder(disk, folder, identity, &mut candidates, &mut found)?;
        if !vanished || attempt == ATTEMPT_COUNT_MAX {
            found.choose(candidates, start, |header| {
                let path = folder.join(header.id.file_name());
                let crc = header.id.page_crc(identity, header.end.generation);
                Run::in_file(header, PagedFile::new(Arc::clone(disk), path, crc))
            });
            return Ok(found);
        }
        attempt += 1;
    }
}

/// Sorts the files of the folder into valid runs and others; returns whether one vanished.
fn read_folder(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    identity: &Identity,
    candidates: &mut Vec<RunHeader>,
    found: &mut Found,
) -> Result<bool, IndexError> {
    let entries = match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result.map_err(IndexError::io(folder))?,
    };
    let mut vanished = false;
    for entry in entries {
        let id = RunId::parse(&entry.name).filter(|_| !entry.is_dir);
        let reason = match id {
            Some(id) => match read_header(disk.as_ref(), folder, id, identity)? {
                Header::Valid(header) => {
                    found.evidence = found.evidence.max(header.end.end_offset);
                    candidates.push(header);
                    continue;
                }
                Header::Invalid => IgnoredReason::Invalid,
                Header::Vanished => {
                    vanished = true;
                    continue;
                }
            },
            None if is_unfinished(&entry.name, entry.is_dir) => IgnoredReason::Unfinished,
            None => IgnoredReason::Foreign,
        };
        found.ignore(entry.name, reason, None);
    }
    Ok(vanished)
}

impl Found {
    /// Puts the runs in sequence: at each stretch the largest one that starts there.
    fn choose(
        &mut self,
        mut candidates: Vec<RunHeader>,
        start: &Position,
        open: impl Fn(RunHeader) -> Run,
    ) {
        candidates.sort_unstable_by_key(|header| {
            (header.id.stretches().map(|stretches| stretches.start), u32::MAX - header.id.level)
        });
        let mut next = (Some(0), start.end_offset, start.end_index);
        for header in candidates {
            let stretches = header.id.stretches();
            let starts = (
                stretches.as_ref().map(|stretches| stretches.start),
                header.start_offset,
                header.first_index,
            );
            if starts == next {
                let end = stretches.map(|stretches| stretches.end);
                next = (end, header.end.end_offset, header.end.end_index);
                self.runs.push(Arc::new(open(header)));
            } else {
                let name = header.id.file_name();
                self.ignore(name, IgnoredReason::Superfluous, Some(header.end.end_offset));
            }
        }
    }

    fn ignore(&mut self, name: String, reason: IgnoredReason, end_offset: Option<u64>) {
        if reason != IgnoredReason::Foreign {
            self.leftovers.push(Leftover { name: name.clone(), end_offset });
        }
        self.ignored.push(Ignored { name, reason });
    }
}

enum Header {
    Valid(RunHeader),
    Invalid,
    Vanished,
}

fn read_header(
    disk: &dyn Disk,
    folder: &Path,
    id: RunId,
    identity: &Identity,
) -> Result<Header, IndexError> {
    let path = folder.join(id.file_name());
    let file = match disk.open(&path, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Header::Vanished),
        result => result.map_err(IndexError::io(&path))?,
    };
    let page = file.read_vec_at(0, PAGE_LEN).map_err(IndexError::io(&path))?;
    let len = file.len().map_err(IndexError::io(&path))?;
    let header = generation_of(&page)
        .and_then(|generation| check_page(id.page_crc(identity, generation), 0, &page))
        .and_then(|content| content.get(..HEADER_LEN))
        .and_then(|bytes| RunHeader::decode(bytes, id, identity).ok())
        .filter(|header| header.sections().page_count() * PAGE_LEN as u64 == len);
    Ok(header.map_or(Header::Invalid, Header::Valid))
}

fn is_unfinished(name: &str, is_dir: bool) -> bool {
    !is_dir && Path::new(name).extension().is_some_and(|extension| extension == "tmp")
}

/// Removes all runs and unfinished files from `folder`, of whatever log they are. The folder, which
/// may be missing, and foreign files stay.
///
/// # Errors
///
/// Those of the operating system; some files may have been removed.
pub fn remove_all(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    let entries = match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    for entry in entries {
        let is_run = !entry.is_dir && RunId::parse(&entry.name).is_some();
        if is_run || is_unfinished(&entry.name, entry.is_dir) {
            remove(disk, &folder.join(&entry.name))?;
        }
    }
    Ok(())
}

/// Removes a file that may be gone already.
pub(super) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

const _: () = assert!(HEADER_LEN <= CONTENT_LEN, "the first page is enough to judge a run");

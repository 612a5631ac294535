//! Salvage: every entry that still verifies, out of a damaged folder into a new workspace. Behind `annals salvage`.
//!
//! [`salvage`] reads a folder in whatever state it is, changes nothing in it, and writes a new workspace of the same
//! id, with a client and a log of its own. In three passes over the segments:
//!
//! 1. each file is walked from its first frame to its last, over all gaps (R-2), and its end is judged (R-3 to R-5);
//! 2. the sound prefix of each log, up to its first gap or its last complete group before it, becomes a replica: the
//!    same batches, each entry hashed, the same roots and proofs. Where a log is in several files, each gives what the
//!    others lack, as far as it leads to the roots;
//! 3. a Merkle log has no holes, so what stands behind a gap cannot be a part of it any more. Its changes are appended
//!    to the new client's log, in canonical order (E-9), with their streams by name and their times. They are proven
//!    by checksums alone.
//!
//! What is left out is named in the [`SalvageReport`]: gaps, changes of which a part is lost, segments of other
//! workspaces or without a usable head. Control entries behind a gap are about the old log and are left out silently,
//! but stream declarations among them tell the names. Saved cuts (`.seg.cut-*`) are left out too: the log has gone on
//! without what is in them.
//!
//! If an undamaged replica of a log turns up later, its bundles complete the log as ever. What had stood behind a gap is
//! then there twice: in its log, and in the new client's.
//!
//! The new workspace gets its `index.json` last. Until then a file `salvage.tmp` in it says that it is not finished.
//!
//! - `find`, `patient`: what is in the folder, read as far as the disk allows;
//! - `frames`: the sound frames of one file; `survey`: the first pass; `carry`: the second; `changes`, `append`: the
//!   third;
//! - `assets`: whole assets out of any packs;
//! - `new`: the folder that is written; `report`: what came of it.

mod append;
mod assets;
mod carry;
mod changes;
mod find;
mod frames;
mod new;
mod patient;
mod report;
mod survey;

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use self::assets::SalvagedAssets;
pub use self::report::{
    Appended, Gap, IncompleteChange, LeftOut, Note, RenamedStream, SalvageReport, SalvageTotals,
    SalvagedFile, SalvagedLog,
};
use self::{
    append::{NewLog, append_rest},
    carry::{Carried, carry},
    find::{Finds, Found},
    frames::{Frames, Stop},
    new::NewFolder,
    survey::{Survey, survey},
};
use crate::{
    bytes::{ClientId, LogId},
    check::{self, CheckError, Depth},
    error::IoError,
    io::{Disk, DiskFile, LockKind, OsDisk},
    log::{AppendError, ReadError},
    workspace::AssetError,
};

/// Why nothing was salvaged, or why it was not finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SalvageError {
    /// An asset could not be taken over.
    #[error(transparent)]
    Asset(AssetError),
    /// The operating system refused something. What cannot be read of the damaged segments is no error: it is lost.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Somebody has the workspace open for writing: then it is not as damaged as that, and changes meanwhile.
    #[error("{}: the workspace is open for writing elsewhere; close it to salvage from it", .0.display())]
    Locked(PathBuf),
    /// The new folder holds something.
    #[error("{}: the folder is not empty (it holds {found:?}); what is salvaged needs an empty one", .folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The new folder is what an earlier run has left that was interrupted.
    #[error("{}: an earlier salvage into this folder was not finished; remove the folder, or name another one", .0.display())]
    Unfinished(PathBuf),
    /// The new folder would be in the damaged one, in which nothing is to change.
    #[error("{}: it lies in the folder that is to be salvaged, in which nothing is changed", .0.display())]
    Inside(PathBuf),
    /// There is no segment that could be read.
    #[error("{}: nothing to salvage: {}", .folder.display(), reasons(.left_out))]
    Nothing {
        /// The folder.
        folder: PathBuf,
        /// The segments of which nothing could be taken.
        left_out: Vec<LeftOut>,
    },
    /// A stream could not be declared in the new log.
    #[error("stream {name:?}: {reason}")]
    Stream {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// What was just written cannot be read.
    #[error("cannot read what was carried over: {0}")]
    Replica(String),
    /// The new log cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The new log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The new workspace cannot be checked.
    #[error(transparent)]
    Check(#[from] CheckError),
}

fn reasons(left_out: &[LeftOut]) -> String {
    match left_out {
        [] => "there are no segments in it".to_owned(),
        [only] => only.to_string(),
        [first, others @ ..] => format!("{first}, and {} other segments", others.len()),
    }
}

/// A file with the first pass's results.
struct Source {
    found: Found,
    survey: Survey,
    contradicts_at: Option<u64>,
}

impl Source {
    fn frames(&self, read_ahead: usize) -> Result<Frames<'_>, IoError> {
        let frames = Frames::new(&self.found.segment, Some(self.survey.limit), read_ahead)?;
        Ok(frames.refusing(self.survey.refused.clone()))
    }
}

/// A log on its way.
struct Salvaged {
    client: ClientId,
    log: LogId,
    /// The file with the longest sound prefix first.
    sources: Vec<Source>,
    carried: Carried,
    appended: Appended,
    renamed: Vec<RenamedStream>,
    incomplete: Vec<IncompleteChange>,
}

/// Salvages what still verifies in the folder `from` into a new workspace in the folder `into`, which must be missing
/// or empty.
///
/// `from` may be in any state, or just be a heap of segment files; nothing in it is changed. `progress` is told bytes
/// done and bytes in all, roughly. Cost: reads each segment up to three times, hashes it twice; memory grows with the
/// number of files, streams and gaps, not with the entries.
///
/// # Errors
///
/// See [`SalvageError`]. Damage is no error here, but in the report. After an error `into` may hold an unfinished
/// workspace that says that it is one.
///
/// # Examples
///
/// ```
/// use annals::{Options, Workspace, salvage};
///
/// let folder = tempfile::tempdir()?;
/// let (old, new) = (folder.path().join("old"), folder.path().join("new"));
/// let workspace = Workspace::create(&old, Options::default())?;
/// let log = workspace.own_log().id();
/// for change in ["first", "second", "third"] {
///     workspace.append(change.as_bytes())?;
///     workspace.commit()?;
/// }
/// workspace.close()?;
///
/// // The disk loses a byte of the second change.
/// let segment = old.join(format!("logs/{log}.seg"));
/// let mut bytes = std::fs::read(&segment)?;
/// let at = bytes.windows(6).position(|bytes| bytes == b"second").expect("it is there");
/// bytes[at] ^= 1;
/// std::fs::write(&segment, bytes)?;
///
/// let report = salvage::salvage(&old, &new, |_, _| ())?;
/// assert_eq!((report.logs[0].gaps[0].first, report.logs[0].gaps[0].end), (1, Some(2)));
/// let salvaged = Workspace::open(&new, Options::default())?;
/// let changes: Vec<_> = salvaged.merged()?.changes().collect::<Result<_, _>>()?;
/// assert_eq!(changes[0].payload()?, b"first"); // in a replica of the old log, with its proofs
/// assert_eq!(changes[1].payload()?, b"third"); // in the new client's log
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn salvage(
    from: impl AsRef<Path>,
    into: impl AsRef<Path>,
    progress: impl FnMut(u64, u64),
) -> Result<SalvageReport, SalvageError> {
    salvage_on(&(Arc::new(OsDisk) as Arc<dyn Disk>), from.as_ref(), into.as_ref(), progress)
}

/// As [`salvage`] on another disk than the operating system's.
///
/// # Errors
///
/// As for [`salvage`].
pub fn salvage_on(
    disk: &Arc<dyn Disk>,
    from: &Path,
    into: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<SalvageReport, SalvageError> {
    if is_inside(into, from) {
        return Err(SalvageError::Inside(into.to_owned()));
    }
    // Held so that nobody begins to write meanwhile.
    let held = hold(&**disk, from)?;
    let mut finds = Finds::look(disk, from)?;
    let workspace = finds.workspace();
    let total: u64 = finds.files.iter().map(|found| found.len).sum::<u64>() * 2;
    let mut before = 0;
    let mut logs: BTreeMap<LogId, Vec<Source>> = BTreeMap::new();
    for found in std::mem::take(&mut finds.files) {
        let (len, header) = (found.len, &found.segment.header);
        if workspace != Some(header.workspace) {
            let reason = format!("it is of another workspace, {}", header.workspace);
            finds.left_out.push(LeftOut {
                path: found.path().to_owned(),
                log: Some(header.log),
                reason,
            });
            continue;
        }
        match survey(&found, &mut |offset| progress(before + offset.min(len), total)) {
            Ok(survey) => {
                let source = Source { found, survey, contradicts_at: None };
                logs.entry(source.found.segment.header.log).or_default().push(source);
            }
            Err(Stop::Io(error)) => return Err(error.into()),
            Err(Stop::Unsupported(reason)) => finds.left_out.push(LeftOut {
                path: found.path().to_owned(),
                log: Some(header.log),
                reason,
            }),
        }
        before += len;
    }
    let Some(workspace) = workspace.filter(|_| !logs.is_empty()) else {
        return Err(SalvageError::Nothing { folder: from.to_owned(), left_out: finds.left_out });
    };
    let new = NewFolder::begin(disk, into, workspace)?;
    let mut salvaged = Vec::with_capacity(logs.len());
    for (log, mut sources) in logs {
        sort(&mut sources);
        let len: u64 = sources.iter().map(|source| source.found.len).sum();
        let client = sources[0].found.segment.header.client;
        let carried =
            carry(disk, into, &sources, &mut |offset| progress(before + offset.min(len), total))?;
        before += len;
        salvaged.push(Salvaged {
            client,
            log,
            sources,
            carried,
            appended: Appended::default(),
            renamed: Vec::new(),
            incomplete: Vec::new(),
        });
    }
    let (rows, replicas) = new.replicas(&mut salvaged)?;
    let own = new.open_log()?;
    append_rest(&mut salvaged, &replicas, &mut NewLog::new(&own, rows))?;
    drop(replicas);
    let logs: Vec<SalvagedLog> =
        salvaged.into_iter().map(|log| log.conclude(&mut finds.notes)).collect();
    // What claims them may be among what is lost.
    let may_be_unclaimed =
        !finds.left_out.is_empty() || logs.iter().any(|log| !log.gaps.is_empty());
    let ids = (workspace, own.client());
    let assets = assets::carry(disk, from, into, ids, may_be_unclaimed, &mut finds.notes)?;
    let metadata = new.finish(&own)?;
    drop((own, held));
    let check = check::check_on(disk, into, Depth::Payloads, |done, all| {
        progress(total + done, total + all);
    })?;
    let Finds { left_out, notes, .. } = finds;
    let (client, log) = (metadata.client, metadata.log);
    Ok(SalvageReport {
        workspace,
        client,
        log,
        path: into.to_owned(),
        logs,
        assets,
        left_out,
        notes,
        check,
    })
}

/// Whether `into` is the folder `from` or lies in it, by their names.
fn is_inside(into: &Path, from: &Path) -> bool {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole(into).starts_with(whole(from))
}

/// Keeps writers out, if there is a lock file that can be locked; it is not created.
fn hold(disk: &dyn Disk, folder: &Path) -> Result<Option<Arc<dyn DiskFile>>, SalvageError> {
    match disk.lock(&folder.join("LOCK"), LockKind::Shared) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(SalvageError::Locked(folder.to_owned())),
        // It is missing, or on something that knows no locks.
        Err(_) => Ok(None),
    }
}

/// The file with the longest sound prefix first; then finished ones before unfinished ones, later generations, which may
/// have forgotten more, and the one in its place.
fn sort(sources: &mut [Source]) {
    sources.sort_by_key(|source| {
        let found = &source.found;
        let prefix = std::cmp::Reverse(source.survey.prefix);
        let generation = std::cmp::Reverse(found.segment.header.generation);
        (prefix, found.unfinished, generation, !found.in_place, found.path().to_owned())
    });
}

impl Salvaged {
    fn conclude(self, notes: &mut Vec<Note>) -> SalvagedLog {
        let sound = union(self.sources.iter().flat_map(|source| source.survey.sound.clone()));
        let gaps = self.gaps(&sound);
        let mut files = Vec::with_capacity(self.sources.len());
        for source in self.sources {
            let path = source.found.path().to_owned();
            let unreadable_bytes = source.found.file.unreadable_len();
            if unreadable_bytes > 0 {
                let what = format!("{unreadable_bytes} bytes cannot be read from the disk");
                notes.push(Note { path: path.clone(), what });
            }
            let of_survey = source.survey.notes.iter();
            notes.extend(of_survey.map(|what| Note { path: path.clone(), what: what.clone() }));
            files.push(SalvagedFile {
                path,
                entries: source.survey.sound_count(),
                prefix: source.survey.prefix,
                unreadable_bytes,
                contradicts_at: source.contradicts_at,
            });
        }
        SalvagedLog {
            client: self.client,
            log: self.log,
            files,
            entries: sound.iter().map(|range| range.end - range.start).sum(),
            carried: self.carried.count,
            root: self.carried.root,
            appended: self.appended,
            gaps,
            incomplete: self.incomplete,
            renamed: self.renamed,
        }
    }

    /// What is lost in one file and is in none of the others, each entry named once.
    fn gaps(&self, sound: &[Range<u64>]) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        let firsts = self.sources.iter().map(|source| source.found.segment.header.first_index);
        let pruned = 0..firsts.max().unwrap_or(0);
        let mut named = union(sound.iter().cloned().chain([pruned]));
        for (number, source) in self.sources.iter().enumerate() {
            // What was never finished has never had what is missing in it.
            let mut of_file: Vec<Gap> = Vec::new();
            for lost in source.survey.lost.iter().filter(|_| !source.found.unfinished) {
                let gap = |first, end| Gap {
                    first,
                    end,
                    path: source.found.path().to_owned(),
                    offset: lost.offset,
                    cause: lost.cause.clone(),
                };
                let end = match lost.end {
                    Some(end) => end,
                    // Another file that is whole and goes beyond it tells how many there were.
                    None if self.is_told(number, lost.first) => continue,
                    None => named.last().map_or(0, |last| last.end),
                };
                let known = without(lost.first..end, &named);
                of_file.extend(known.map(|range| gap(range.start, Some(range.end))));
                if lost.end.is_none() && gaps.iter().all(|gap| gap.end.is_some()) {
                    of_file.push(gap(lost.first.max(end), None));
                }
            }
            let ranges = of_file.iter().filter_map(|gap| Some(gap.first..gap.end?));
            named = union(named.into_iter().chain(ranges));
            gaps.append(&mut of_file);
        }
        gaps.sort_by_key(|gap| (gap.first, gap.end.is_none(), gap.end));
        gaps
    }

    /// Whether another file than `number` goes beyond the entry `first`, and ends where the log did.
    fn is_told(&self, number: usize, first: u64) -> bool {
        let others = self.sources.iter().enumerate().filter(|(other, _)| *other != number);
        others.map(|(_, other)| &other.survey).any(|other| {
            other.reached() > first && other.lost.iter().all(|lost| lost.end.is_some())
        })
    }
}

/// Ranges joined to ascending ones that do not touch.
fn union(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut().filter(|last| last.end >= range.start) {
            Some(last) => last.end = last.end.max(range.end),
            None => joined.push(range),
        }
    }
    joined
}

/// What of `range` is in none of `taken`, which are ascending and do not touch.
fn without(range: Range<u64>, taken: &[Range<u64>]) -> impl Iterator<Item = Range<u64>> {
    let Range { start: mut at, end } = range;
    let first = taken.partition_point(|taken| taken.end <= at);
    let taken = taken[first..].iter().cloned().take_while(move |taken| taken.start < end);
    taken.chain(std::iter::once(end..end)).filter_map(move |taken| {
        let left = at..taken.start.max(at);
        at = at.max(taken.end);
        (!left.is_empty()).then_some(left)
    })
}

#[cfg(test)]
mod tests;

//! Checking a workspace without changing it, and mending what can be mended. Behind `annals-fsck`.
//!
//! [`check`] reads every segment from its first frame on (not from a checkpoint, as opening does): each
//! header, checksum, link, watermark and opening (F-2 to F-8), each checkpoint against what the frames before
//! it give (C-1 to C-4), and the index (section 10). Behind damage it searches on (R-2), names each range of
//! entries that is lost, and judges the end by R-3: a torn tail as a crash leaves it is a note, damage is
//! an error. It writes nothing at all, not even a lock file.
//!
//! [`repair`] changes only what holds no acknowledged data, or holds it twice: the second copy of a header, a
//! damaged checkpoint slot, an unacknowledged tail (saved before it is cut), index runs. Damaged entries
//! are never touched in place; with a replica at hand, a new generation of the segment takes the place of
//! the damaged one.
//!
//! - `code`, `report`: what is found, for people and programs;
//! - `folder`: what is in a workspace that should not be; `log`, `index`: one log;
//! - `walk`, `witness`, `fault`: over the frames of a segment, and what is said of places in it;
//! - `deep`, `rebuilt`, `scratch`: everything hashed, and the index made anew in memory;
//! - `assets`: packs, and whether they are what the logs claim;
//! - `seen`: what the logs say of each other, against what is here;
//! - `verdict`: what the breaks in a log mean; `repair`: what is done about it;
//! - `heal`, `sound`, `replica`: a new generation out of what is sound here and what a replica has;
//! - `renew`: which logs are healed, successors, and the metadata.

mod assets;
mod code;
mod deep;
mod fault;
mod folder;
mod heal;
mod index;
mod log;
mod rebuilt;
mod renew;
mod repair;
mod replica;
mod report;
mod scratch;
mod seen;
mod sound;
mod verdict;
mod walk;
mod witness;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub use self::{
    code::{Code, Severity},
    repair::{RepairOptions, repair, repair_on},
    report::{Correction, Finding, LogReport, PackReport, Report},
};
use crate::{
    error::IoError,
    index::IndexError,
    io::{Disk, OsDisk},
    log::{Writer, look_for_writer},
    workspace::MetadataError,
};

/// How often the check is made again because a writer came meanwhile.
const ATTEMPT_COUNT_MAX: u32 = 3;

/// How much of a workspace is looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Depth {
    /// Every byte against its checksum, and how frames, batches and checkpoints fit together.
    #[default]
    Structure,
    /// Also everything decompressed and hashed: each root, the index against a rebuilt one, and what each
    /// log has seen of the others against those.
    Payloads,
}

/// Why nothing can be said about a workspace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The folder is none.
    #[error(transparent)]
    NotAWorkspace(MetadataError),
    /// The operating system refused something. The data may be all right (R-7).
    #[error(transparent)]
    Io(#[from] IoError),
    /// Somebody else has the workspace open for writing, so it cannot be repaired.
    #[error("{}: the workspace is open for writing elsewhere; close it to repair", .0.display())]
    Locked(PathBuf),
    /// What was given as a replica cannot be read as one.
    #[error("{}: not usable as a replica: {reason}", .path.display())]
    Replica {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl From<IndexError> for CheckError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Io { path, source } => Self::Io(IoError::new(&path, "read", source)),
            IndexError::Damaged { ref path, .. } | IndexError::Gone { ref path } => {
                let path = path.clone();
                Self::Io(IoError::new(&path, "read", std::io::Error::other(error)))
            }
        }
    }
}

/// Checks the workspace in the folder `path`. Writes nothing, and may run beside a writer: then logs are
/// checked as far as they are known to be durable (R-11).
///
/// `progress` is told bytes done and bytes in all. Cost: reads every segment once; memory is
/// constant, but for [`Depth::Payloads`] that of an index (a byte per entry, and 0.2 % of the segment).
///
/// # Errors
///
/// See [`CheckError`]. Damage is no error here, but a [`Finding`].
///
/// # Examples
///
/// ```
/// use annals::{Options, Workspace, check::{self, Depth}};
///
/// let folder = tempfile::tempdir()?;
/// let workspace = Workspace::create(folder.path().join("notes"), Options::default())?;
/// workspace.append(b"a change")?;
/// workspace.close()?;
///
/// let report = check::check(folder.path().join("notes"), Depth::Payloads, |_, _| ())?;
/// assert!(report.is_clean());
/// assert_eq!(report.logs[0].entries, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check(
    path: impl AsRef<Path>,
    depth: Depth,
    progress: impl FnMut(u64, u64),
) -> Result<Report, CheckError> {
    check_on(&(Arc::new(OsDisk) as Arc<dyn Disk>), path.as_ref(), depth, progress)
}

/// As [`check`] on another disk than the operating system's.
///
/// # Errors
///
/// As for [`check`].
pub fn check_on(
    disk: &Arc<dyn Disk>,
    path: &Path,
    depth: Depth,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, CheckError> {
    let lock = path.join("LOCK");
    let mut attempt = 1;
    loop {
        let writer = look_for_writer(&**disk, &lock)?;
        let report = folder::check(disk, path, depth, writer, &mut progress)?;
        // What was seen while a writer opened the workspace may have been half done.
        let disturbed = writer == Writer::None
            && !report.is_clean()
            && look_for_writer(&**disk, &lock)? != Writer::None;
        if !disturbed || attempt == ATTEMPT_COUNT_MAX {
            return Ok(report);
        }
        attempt += 1;
    }
}

#[cfg(test)]
mod tests;

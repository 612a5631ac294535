//! The index of one log (section 10): each run by itself, and all of them against the log.

use std::{path::Path, sync::Arc};

use super::{CheckError, Code, Finding, folder::Run, rebuilt::Rebuilt};
use crate::{
    error::IoContext as _,
    index::{IgnoredReason, Index, IndexError},
    log::{Segment, Writer},
};

/// Length of a page of a run, in bytes.
const PAGE_LEN: u64 = 4096;

/// An index that was opened to be checked.
pub(super) struct Opened {
    pub(super) index: Index,
}

/// Opens the index in `folder`, which may be missing, and reports the files that are not used.
pub(super) fn open(
    run: &mut Run<'_>,
    folder: &Path,
    segment: &Segment,
) -> Result<Opened, CheckError> {
    let (identity, origin) = (segment.header.identity(), segment.index_origin());
    let index = Index::open_from(Arc::clone(run.disk), folder.to_owned(), identity, origin)?;
    for ignored in index.ignored() {
        // A writer makes, folds and removes them all the time.
        let live = run.writer != Writer::None && ignored.reason != IgnoredReason::Foreign;
        if live {
            continue;
        }
        let (code, what) = match ignored.reason {
            IgnoredReason::Foreign => (Code::ForeignFile, "not a part of a workspace"),
            IgnoredReason::Unfinished => (Code::UnfinishedFile, "a file that was never finished"),
            IgnoredReason::Invalid => {
                (Code::DamagedIndex, "an index run that is damaged, or of another file")
            }
            IgnoredReason::Superfluous => (Code::LeftoverIndex, "an index run that is not used"),
        };
        run.find(Finding::new(code, &folder.join(&ignored.name), what));
    }
    Ok(Opened { index })
}

impl Opened {
    /// Reads all of it; compares it with `rebuilt`, what the log gives.
    pub(super) fn check(
        &self,
        run: &mut Run<'_>,
        folder: &Path,
        rebuilt: Option<&Rebuilt>,
    ) -> Result<(), CheckError> {
        match self.index.check() {
            Ok(()) => {}
            // Folded by a writer into a larger one.
            Err(IndexError::Gone { .. }) => return Ok(()),
            Err(IndexError::Damaged { path, page }) => {
                let finding = Finding::new(Code::DamagedIndex, &path, "a damaged index page");
                run.find(finding.at(page.saturating_mul(PAGE_LEN)));
                return Ok(());
            }
            Err(error @ IndexError::Io { .. }) => return Err(error.into()),
        }
        let Some(rebuilt) = rebuilt else { return Ok(()) };
        rebuilt.finish();
        for entry in run.disk.list(folder).context(folder, "list")? {
            let ignored = self.index.ignored().iter().any(|ignored| ignored.name == entry.name);
            let is_run = Path::new(&entry.name).extension().is_some_and(|end| end == "run");
            if ignored || entry.is_dir || !is_run {
                continue;
            }
            let path = folder.join(&entry.name);
            match rebuilt.equals(&**run.disk, &path, &entry.name) {
                Ok(true) => {}
                // Written or folded since.
                _ if run.writer != Writer::None => {}
                Ok(false) => {
                    let what = "an index run that is not what its log gives";
                    run.find(Finding::new(Code::StaleIndex, &path, what));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

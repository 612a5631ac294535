//! What the logs say of each other, against the logs that are here (E-7, and the predecessor in S-2).
//!
//! Whoever writes that it has seen so many entries of a log had them. So the own log must be as long as anybody
//! says, and every log as long as the own log says: less is a loss on this device. What a foreign log says of
//! another foreign log, this replica need not have yet.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{CheckError, Code, Finding, LogReport, Severity, folder::Run};
use crate::{
    bytes::{Hash, LogId},
    error::{IoError, LostEntries},
    log::{BatchCache, OpenAs, OpenLog, OpenLogError, ReadError, SegmentError, Verdict, Writer},
    workspace::{index_folder, segment_path},
};

/// The first `size` entries of a log have this root, says another one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Claim {
    pub(super) log: LogId,
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) by: LogId,
}

/// Compares all claims that the logs of the run have made.
pub(super) fn check(run: &mut Run<'_>) -> Result<(), CheckError> {
    let mut by_log: BTreeMap<LogId, Vec<Claim>> = BTreeMap::new();
    for claim in std::mem::take(&mut run.claims) {
        by_log.entry(claim.log).or_default().push(claim);
    }
    for (log, claims) in by_log {
        let report = run.report.logs.iter().find(|report| report.log == log).cloned();
        match report {
            Some(LogReport { verdict: None | Some(Verdict::Damaged), .. }) => {}
            Some(report) => {
                compare_length(run, log, report.entries, &claims);
                compare_roots(run, &report, &claims)?;
            }
            None => compare_length(run, log, 0, &claims),
        }
    }
    Ok(())
}

/// Reports the claim that goes farthest beyond what is here.
fn compare_length(run: &mut Run<'_>, log: LogId, entries: u64, claims: &[Claim]) {
    // Beside a writer not all that its log says may be durable in the others yet.
    let Some(own) = run.metadata.as_ref().map(|metadata| metadata.log) else { return };
    if run.writer != Writer::None || (entries == 0 && log == own) && missing(run, log) {
        return;
    }
    let had = |claim: &&Claim| log == own || claim.by == own;
    let beyond = || claims.iter().filter(|claim| claim.size > entries);
    let farthest = beyond().filter(had).max_by_key(|claim| claim.size);
    let is_lost = farthest.is_some();
    // A log of which nothing is here is none of this replica's.
    let farthest =
        farthest.or_else(|| beyond().filter(|_| !missing(run, log)).max_by_key(|claim| claim.size));
    let Some(claim) = farthest else { return };
    let what = format!(
        "{entries} entries are here, and the log {} has seen {}{}",
        claim.by,
        claim.size,
        if is_lost { "" } else { "; they have not come here yet" }
    );
    let mut finding = Finding::new(Code::ShorterThanKnown, &segment_path(run.folder, log), what);
    if is_lost {
        finding = finding.losing(LostEntries::from(entries..claim.size));
    } else {
        finding.severity = Severity::Note;
    }
    run.find(finding);
}

fn missing(run: &Run<'_>, log: LogId) -> bool {
    run.report.logs.iter().all(|report| report.log != log)
}

/// Reports the first claim of each log that this one contradicts.
fn compare_roots(
    run: &mut Run<'_>,
    report: &LogReport,
    claims: &[Claim],
) -> Result<(), CheckError> {
    let mut claims: Vec<Claim> =
        claims.iter().filter(|claim| claim.size <= report.entries).copied().collect();
    claims.sort_unstable_by_key(|claim| (claim.by, claim.size));
    if claims.is_empty() {
        return Ok(());
    }
    let Some(opened) = open(run, report)? else { return Ok(()) };
    let mut contradicted = None;
    for claim in claims {
        if contradicted == Some(claim.by) {
            continue;
        }
        let found = match opened.log.root_at(Some(claim.size)) {
            Ok((_, root)) => root,
            Err(ReadError::Io(error)) => return Err(error.into()),
            // It was found where it stands.
            Err(_) => return Ok(()),
        };
        if found != claim.root {
            contradicted = Some(claim.by);
            let what = format!(
                "the root of the first {} entries is {found}, and the log {} has seen {}",
                claim.size, claim.by, claim.root
            );
            run.find(Finding::new(Code::RootContradicts, &report.path, what));
        }
    }
    Ok(())
}

fn open(run: &Run<'_>, report: &LogReport) -> Result<Option<OpenLog>, IoError> {
    let how = match run.writer {
        Writer::None => OpenAs::Reader,
        Writer::Active(published) => {
            let published = published.filter(|published| published.log == report.log);
            OpenAs::Follower { published }
        }
    };
    let folder = index_folder(run.folder, report.log);
    let unsound = run.report.findings.iter().any(|finding| {
        matches!(finding.code, Code::DamagedIndex | Code::StaleIndex)
            && (finding.path.starts_with(&folder) || finding.path == report.path)
    });
    // Without an index the tree is made from the entries.
    let folder = if unsound { PathBuf::new() } else { folder };
    let cache = Arc::new(BatchCache::new(CACHE_LEN));
    match OpenLog::open(run.disk, &report.path, &folder, &cache, how) {
        Ok(opened) => Ok(Some(opened)),
        Err(
            OpenLogError::Io(error)
            | OpenLogError::Segment(SegmentError::Io(error))
            | OpenLogError::Read(ReadError::Io(error)),
        ) => Err(error),
        // It was found where it stands.
        Err(_) => Ok(None),
    }
}

/// For the entries that are hashed between two nodes of the index.
const CACHE_LEN: usize = 16 << 20;

//! One log: its head, its frames, its index.

use std::{path::Path, time::Duration};

use super::{
    CheckError, Code, Depth, Finding, LogReport, deep::Deep, folder::Run, index, rebuilt::Rebuilt,
    seen::Claim, verdict, walk::Stop, walk::Walk,
};
use crate::{
    bytes::LogId,
    error::{IoContext as _, LostEntries},
    io::Access,
    log::{
        Checkpoint, HEAD_LEN, HeadError, Published, Segment, SegmentError, Slot, UNIT_LEN,
        UnitState, Verdict, Writer, slot_offset,
    },
    workspace::{index_folder, segment_path},
};

/// A checkpoint that is just being written is read again so many times.
const HEAD_ATTEMPTS: u32 = 20;
const HEAD_PAUSE: Duration = Duration::from_millis(5);

/// What is known of where the log ends before its frames are read.
pub(super) struct Bounds {
    /// Where the file ends for this check.
    pub(super) limit: u64,
    /// Everything below was durable, says the index or a writer.
    pub(super) durable: u64,
    /// Entries that there were, at least.
    pub(super) entries: u64,
    /// What the lock file says of this log.
    pub(super) published: Option<Published>,
}

/// Checks the log `log` and adds what is found to the report.
pub(super) fn check(
    run: &mut Run<'_>,
    log: LogId,
    progress: &mut dyn FnMut(u64),
) -> Result<(), CheckError> {
    let path = segment_path(run.folder, log);
    let Some(segment) = load(run, log, &path)? else { return Ok(()) };
    check_head(run, &segment);
    let in_place = check_place(run, log, &segment);
    // The index of another log says nothing about this one.
    let cache = in_place.then(|| index_folder(run.folder, log));
    let index = match &cache {
        Some(folder) => Some(index::open(run, folder, &segment)?),
        None => None,
    };
    let bounds = bounds(run, &segment, index.as_ref())?;
    let rebuilt = index.as_ref().filter(|_| run.depth == Depth::Payloads).and_then(|index| {
        Rebuilt::new(&index.index, segment.header.identity(), segment.index_origin())
    });
    let index_end = index.as_ref().map(|index| index.index.position());
    let mut walk =
        Walk::new(&segment, bounds.limit, run.depth, index_end, || Deep::new(&segment, rebuilt));
    match walk.run(progress) {
        Ok(()) => {}
        Err(Stop::Io(error)) => return Err(error.into()),
        Err(Stop::Unsupported { offset, what }) => {
            run.report.findings.append(&mut walk.findings);
            let lost = LostEntries { first: walk.at.entries, end: None };
            run.find(Finding::new(Code::Unsupported, &path, what).at(offset).losing(lost));
            run.report.logs.push(unjudged(log, &segment, &walk));
            return Ok(());
        }
    }
    let mut deep = walk.deep.take();
    let claims = deep.as_mut().filter(|_| in_place).map(Deep::take_seen).unwrap_or_default();
    let rebuilt = deep.and_then(Deep::into_rebuilt);
    let report = verdict::conclude(walk, &bounds, &mut run.report.findings)?;
    if run.depth == Depth::Payloads && report.verdict != Some(Verdict::Damaged) {
        let predecessor = segment.header.predecessor.filter(|_| in_place);
        run.claims.extend(claims);
        run.claims.extend(predecessor.map(|predecessor| Claim {
            log: predecessor.log,
            size: predecessor.size,
            root: predecessor.root,
            by: log,
        }));
    }
    run.report.logs.push(report);
    match (index, cache) {
        (Some(index), Some(folder)) => index.check(run, &folder, rebuilt.as_ref()),
        _ => Ok(()),
    }
}

/// Opens the segment; `None` if its head cannot be used, which is reported.
fn load(run: &mut Run<'_>, log: LogId, path: &Path) -> Result<Option<Segment>, CheckError> {
    let mut attempt = 1;
    let error = loop {
        match Segment::load(&**run.disk, path, Access::Read) {
            Ok(segment) => {
                let torn = segment.slots.contains(&Slot::Damaged);
                if !torn || run.writer == Writer::None || attempt == HEAD_ATTEMPTS {
                    return Ok(Some(segment));
                }
                run.disk.sleep(HEAD_PAUSE);
                attempt += 1;
            }
            Err(error) => break error,
        }
    };
    let lost = LostEntries { first: 0, end: None };
    let finding = match error {
        SegmentError::Io(error) => return Err(error.into()),
        SegmentError::Head { source: source @ HeadError::Unsupported { .. }, .. } => {
            Finding::new(Code::Unsupported, path, source.to_string())
        }
        SegmentError::Head { source, .. } => Finding::new(Code::BadHead, path, source.to_string()),
        SegmentError::Corrupt(corruption) => {
            Finding::new(Code::BadHead, path, corruption.cause.to_string())
        }
    };
    run.find(finding.at(0).losing(lost));
    let file = run.disk.open(path, Access::Read).context(path, "open")?;
    run.report.logs.push(LogReport {
        log,
        client: None,
        path: path.to_owned(),
        file_len: file.len().context(path, "read the length of")?,
        entries: 0,
        changes: None,
        frames: 0,
        root: None,
        verdict: None,
    });
    Ok(None)
}

fn unjudged(log: LogId, segment: &Segment, walk: &Walk<'_>) -> LogReport {
    LogReport {
        log,
        client: Some(segment.header.client),
        path: segment.path.clone(),
        file_len: walk.limit,
        entries: walk.at.entries,
        changes: walk.at.changes,
        frames: walk.frames,
        root: None,
        verdict: None,
    }
}

/// Both copies of the header, and both checkpoint slots (S-3, C-2).
fn check_head(run: &mut Run<'_>, segment: &Segment) {
    for (unit, state) in (0_u64..).zip(segment.units) {
        if state == UnitState::Damaged {
            let what = format!("copy {unit} of the segment header is damaged, the other is sound");
            let finding = Finding::new(Code::BadHeaderUnit, &segment.path, what);
            run.find(finding.at(unit * UNIT_LEN as u64));
        }
    }
    for (slot, state) in (0_u64..).zip(&segment.slots) {
        if *state == Slot::Damaged {
            let what =
                format!("checkpoint slot {slot} is damaged, or was torn while it was written");
            let finding = Finding::new(Code::BadCheckpoint, &segment.path, what);
            run.find(finding.at(slot_offset(slot)));
        }
    }
    if let [Slot::Valid(a), Slot::Valid(b)] = &segment.slots {
        let (older, newer) = if a.sequence < b.sequence { (a, b) } else { (b, a) };
        let rises = |of: fn(&Checkpoint) -> u64| of(older) <= of(newer);
        if !rises(|checkpoint| checkpoint.state.end_offset)
            || !rises(|checkpoint| u64::from(checkpoint.opening))
        {
            let what = format!(
                "checkpoint {} is behind the older checkpoint {}",
                newer.sequence, older.sequence
            );
            let finding = Finding::new(Code::WrongCheckpoint, &segment.path, what);
            run.find(finding.at(slot_offset(newer.slot())));
        }
    }
}

/// Whether the segment belongs here (W-1, W-2). Returns whether it is the log that its name says.
fn check_place(run: &mut Run<'_>, log: LogId, segment: &Segment) -> bool {
    let header = &segment.header;
    let mut wrong = Vec::new();
    if header.log != log {
        wrong.push(format!("of the log {}", header.log));
    }
    if let Some(metadata) = &run.metadata {
        if header.workspace != metadata.workspace {
            wrong.push(format!("of the workspace {}", header.workspace));
        }
        if log == metadata.log && header.client != metadata.client {
            wrong.push(format!("of the client {}", header.client));
        }
    }
    if !wrong.is_empty() {
        let what = format!("a segment {}", wrong.join(" and "));
        run.find(Finding::new(Code::SegmentMismatch, &segment.path, what));
    }
    header.log == log
}

fn bounds(
    run: &Run<'_>,
    segment: &Segment,
    index: Option<&index::Opened>,
) -> Result<Bounds, CheckError> {
    // Read last: what others have said of the file was in it before.
    let file_len = segment.file.len().context(&segment.path, "read the length of")?;
    let evidence = index.map_or(0, |index| index.index.evidence());
    let checkpoint = segment.checkpoint();
    let (log, generation) = (segment.header.log, segment.header.generation);
    let published = run.published.filter(|published| published.is_of(log, generation));
    let mut bounds = Bounds {
        limit: file_len,
        durable: evidence,
        entries: index.map_or(0, |index| index.index.position().end_index),
        published,
    };
    bounds.entries = bounds
        .entries
        .max(checkpoint.map_or(0, |last| last.state.entry_count()))
        .max(published.map_or(0, |published| published.entry_count));
    if let Writer::Active(_) = run.writer {
        let published = published.map_or(HEAD_LEN, |published| published.durable_len);
        let checkpointed = checkpoint.map_or(HEAD_LEN, |last| last.state.end_offset);
        bounds.durable = published.max(checkpointed).max(evidence);
        bounds.limit = file_len.min(bounds.durable);
    }
    Ok(bounds)
}

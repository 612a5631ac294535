//! What the breaks in a log mean, now that all of it is known.

use super::{
    Code, Finding, LogReport,
    log::Bounds,
    walk::{Break, Reached, Walk},
};
use crate::{
    error::{IoContext as _, IoError, LostEntries},
    log::{HEAD_LEN, Published, READ_AHEAD_LONG, Slot, Verdict, judge},
};

/// Below `offset` everything was durable (W of R-1); and who says so.
struct Watermark {
    offset: u64,
    by: &'static str,
}

/// Judges the log that was walked over, and adds what is wrong to `findings`.
pub(super) fn conclude(
    mut walk: Walk<'_>,
    bounds: &Bounds,
    findings: &mut Vec<Finding>,
) -> Result<LogReport, IoError> {
    let start = findings.len();
    findings.append(&mut walk.findings);
    let (reached, group) = match walk.first_break.clone() {
        Some(first) => (first.reached, first.group),
        None => (walk.at.clone(), walk.group.clone()),
    };
    // Counted by entries, as another replica of the log has other offsets.
    let broken_off = bounds.published.filter(|published| reached.entries < published.entry_count);
    let watermark = watermark(&walk, bounds, broken_off);
    // A group without its end is as if it had never been written, unless it was durable.
    let incomplete =
        group.as_ref().filter(|_| reached.offset >= watermark.offset && broken_off.is_none());
    let end = incomplete.unwrap_or(&reached);
    let unused_zeros = walk.segment.header.preallocated
        && walk.frames_after == 0
        && all_zero(&mut walk, end.offset)?;
    let verdict = if broken_off.is_some() {
        Verdict::Damaged
    } else {
        judge(end.offset, watermark.offset, walk.limit, walk.frames_after, unused_zeros)
    };
    let group = group.as_ref();
    let case = Case { walk: &walk, bounds, watermark: &watermark, end, group, broken_off };
    match &verdict {
        Verdict::Clean | Verdict::Preallocated => {}
        Verdict::TornTail => findings.push(case.torn_tail(incomplete.is_some())),
        Verdict::UnsyncedHole { frame_count } => findings.push(case.hole(*frame_count)),
        Verdict::Damaged => case.damage(findings),
    }
    findings[start..].sort_by_key(|finding| finding.offset);
    if walk.unlisted_breaks > 0 {
        let what = format!("{} more findings of this log are not listed", walk.unlisted_breaks);
        findings.push(Finding::new(Code::MoreDamage, &walk.segment.path, what));
    }
    Ok(report(&walk, bounds, end, verdict))
}

fn report(walk: &Walk<'_>, bounds: &Bounds, end: &Reached, verdict: Verdict) -> LogReport {
    let header = &walk.segment.header;
    let report = LogReport {
        log: header.log,
        client: Some(header.client),
        path: walk.segment.path.clone(),
        file_len: walk.limit,
        entries: end.entries,
        changes: end.changes,
        frames: end.counts.map_or(walk.frames, |(frames, _)| frames),
        root: end.root,
        verdict: None,
    };
    if verdict == Verdict::Damaged {
        LogReport {
            entries: walk.at.entries.max(bounds.entries),
            changes: walk.at.changes,
            frames: walk.frames,
            root: None,
            verdict: Some(verdict),
            ..report
        }
    } else {
        LogReport { verdict: Some(verdict), ..report }
    }
}

fn watermark(walk: &Walk<'_>, bounds: &Bounds, broken_off: Option<Published>) -> Watermark {
    let checkpoints = walk.segment.slots.iter().filter_map(Slot::checkpoint);
    let checkpointed = checkpoints.map(|checkpoint| checkpoint.state.end_offset).max();
    [
        (HEAD_LEN, "the format"),
        (walk.segment.header.compacted_upto, "the compaction that wrote it"),
        (broken_off.map_or(0, |published| published.durable_len), "the lock file"),
        (bounds.durable, "the index or the writer"),
        (walk.synced_upto, "a later frame"),
        (checkpointed.unwrap_or(HEAD_LEN), "the checkpoint"),
    ]
    .into_iter()
    .map(|(offset, by)| Watermark { offset, by })
    .max_by_key(|watermark| watermark.offset)
    .unwrap_or(Watermark { offset: HEAD_LEN, by: "the format" })
}

fn all_zero(walk: &mut Walk<'_>, from: u64) -> Result<bool, IoError> {
    let mut offset = from;
    while offset < walk.limit {
        let bytes =
            walk.reader.bytes(offset, READ_AHEAD_LONG).context(&walk.segment.path, "read")?;
        if bytes.is_empty() || bytes.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        offset += bytes.len() as u64;
    }
    Ok(true)
}

struct Case<'a> {
    walk: &'a Walk<'a>,
    bounds: &'a Bounds,
    watermark: &'a Watermark,
    /// Where the log ends for a writer (X, moved by R-5).
    end: &'a Reached,
    group: Option<&'a Reached>,
    /// The lock record, if the log has fewer entries than it says.
    broken_off: Option<Published>,
}

impl Case<'_> {
    fn finding(&self, code: Code, offset: u64, what: String) -> Finding {
        Finding::new(code, &self.walk.segment.path, what).at(offset)
    }

    fn fault(&self) -> &str {
        self.walk.breaks.first().map_or("the file ends here", |first| &first.fault.what)
    }

    fn torn_tail(&self, in_group: bool) -> Finding {
        let len = self.walk.limit - self.end.offset;
        let what = if in_group {
            format!("torn tail: {len} bytes of an atomic group whose end was never written")
        } else {
            format!("torn tail: {len} bytes, never acknowledged ({})", self.fault())
        };
        self.finding(Code::TornTail, self.end.offset, what)
    }

    fn hole(&self, frame_count: u64) -> Finding {
        let what = format!(
            "{}, and {frame_count} sound frames behind it; nothing says that this was durable",
            self.fault()
        );
        let finding = self.finding(Code::UnsyncedHole, self.end.offset, what);
        let end = self.walk.breaks.first().and_then(|first| first.end);
        finding.losing(LostEntries { first: self.end.entries, end })
    }

    fn damage(&self, findings: &mut Vec<Finding>) {
        let Watermark { offset: watermark, by } = *self.watermark;
        let limit = self.walk.limit;
        let cut_off = limit < watermark;
        for found in &self.walk.breaks {
            if found.end.is_some() {
                let lost = LostEntries { first: found.first, end: found.end };
                findings.push(self.of_break(found).losing(lost));
            } else if !cut_off && found.offset >= watermark {
                let what = format!(
                    "torn tail: {} bytes, never acknowledged ({}); kept, as the log is damaged",
                    limit - found.offset,
                    found.fault.what
                );
                findings.push(self.finding(Code::TornTail, found.offset, what));
            } else if !cut_off {
                findings.push(self.of_break(found).losing(self.lost_from(found.first)));
            } else if found.fault.code != Code::MissingEnd {
                findings.push(self.of_break(found));
            }
        }
        if cut_off {
            let what = format!(
                "the file ends at {limit}, but everything below {watermark} was durable, says {by}"
            );
            let open = self.walk.breaks.last().filter(|last| last.end.is_none());
            let first = open.map_or(self.walk.at.entries, |open| open.first);
            let finding = self.finding(Code::MissingEnd, limit, what);
            findings.push(finding.losing(self.lost_from(first)));
        } else if self.walk.breaks.is_empty()
            && let Some(group) = self.group
        {
            let what = format!(
                "an atomic group whose end is missing, though {watermark} bytes were durable, says {by}"
            );
            findings.push(self.finding(Code::IncompleteGroup, group.offset, what));
        }
        self.too_few(cut_off, findings);
    }

    /// Entries that are missing at the end of a file that is long enough.
    fn too_few(&self, cut_off: bool, findings: &mut Vec<Finding>) {
        let found = self.walk.at.entries;
        let named = cut_off
            || self
                .walk
                .breaks
                .last()
                .is_some_and(|last| last.end.is_none() && last.offset < self.watermark.offset);
        if let Some(published) = self.broken_off
            && found < published.entry_count
            && !named
        {
            let what = format!(
                "the file has {found} entries, but {} were acknowledged here, says the lock file",
                published.entry_count
            );
            let finding = self.finding(Code::MissingEnd, self.walk.limit, what);
            findings.push(finding.losing(self.lost_from(found)));
        }
    }

    fn of_break(&self, found: &Break) -> Finding {
        self.finding(found.fault.code, found.offset, found.fault.what.clone())
    }

    /// Up to what is known to have been there.
    fn lost_from(&self, first: u64) -> LostEntries {
        LostEntries { first, end: Some(self.bounds.entries).filter(|&count| count > first) }
    }
}

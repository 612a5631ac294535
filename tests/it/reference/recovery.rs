//! Recovery (section 9): which frames of a file are served, and the verdict.
//!
//! There are two walks. [`walk`] covers the whole file: X is looked for from 16,384 on, so that
//! damage below the checkpoint is seen too; by C-3 such a break lies below W. [`walk_at_opening`]
//! starts at the checkpoint, as R-1 has it, and sees nothing below.

use super::bytes::{Uuid, crc, ensure, to_u64, to_usize, u32_at, u64_at};
use super::frame::{self, Frame};
use super::head::{Checkpoint, HEAD_LEN, Header};

/// What the lock file says of a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LockRecord {
    pub(crate) log: Uuid,
    pub(crate) generation: u64,
    pub(crate) durable_len: u64,
    pub(crate) entry_count: u64,
}

/// The record at the start of a lock file, if it is whole and of this segment.
pub(crate) fn lock_record(lock_file: &[u8], head: &Header) -> Option<LockRecord> {
    let bytes = lock_file.get(..64)?;
    let sound = bytes.starts_with(b"\x89ANLK\x0D\x0A\x1A")
        && u32_at(bytes, 60) == Ok(crc(bytes.get(..60)?));
    let record = LockRecord {
        log: bytes.get(16..32)?.try_into().ok()?,
        generation: u64_at(bytes, 32).ok()?,
        durable_len: u64_at(bytes, 40).ok()?,
        entry_count: u64_at(bytes, 48).ok()?,
    };
    (sound && record.log == head.log && record.generation == head.generation).then_some(record)
}

/// What is known of a segment beside its frames.
#[derive(Clone, Copy)]
pub(crate) struct Witnesses<'a> {
    pub(crate) checkpoints: &'a [Checkpoint],
    pub(crate) lock: Option<LockRecord>,
}

/// A cell of table R-3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing but valid frames in sequence (and unused space).
    Clean,
    /// Bytes from X on that were never acknowledged: cut there.
    TornTail,
    /// Valid frames behind a break that lies above W: saved, possibly acknowledged, cut.
    Hole,
    /// Acknowledged bytes are wrong or gone: never cut.
    Damaged,
}

/// A stretch below W that is not readable, and the entries it held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Gap {
    pub(crate) offset: u64,
    /// `None`: up to the end of the file.
    pub(crate) end_offset: Option<u64>,
    /// Index of the first lost entry.
    pub(crate) first_index: u64,
    /// Index behind the last lost entry, if a later frame tells.
    pub(crate) end_index: Option<u64>,
}

/// What recovery finds in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Walk {
    pub(crate) verdict: Verdict,
    /// What is known to be durable.
    pub(crate) w: u64,
    /// The first byte that does not belong to a valid frame in sequence.
    pub(crate) x: u64,
    /// Length of the file.
    pub(crate) e: u64,
    /// Why the frame at the break (before R-5) is none; `None` at the end of the file.
    pub(crate) break_reason: Option<String>,
    /// Frames in sequence below X.
    pub(crate) sequence: Vec<Frame>,
    /// Valid frames behind a break, each with the gap before it if there is one. Empty
    /// unless damaged: the frames behind a hole are cut.
    pub(crate) after: Vec<(Option<Gap>, Frame)>,
    /// The gap that no frame ends.
    pub(crate) end_gap: Option<Gap>,
}

/// Where reading has got to.
#[derive(Clone, Copy)]
struct Reached {
    offset: u64,
    index: u64,
    link: u32,
    opening: u32,
}

impl Reached {
    fn behind(frame: &Frame) -> Self {
        Self {
            offset: frame.end(),
            index: frame.end_index(),
            link: frame.header_crc,
            opening: frame.opening,
        }
    }
}

/// Walks a whole segment whose head is sound.
pub(crate) fn walk(file: &[u8], head: &Header, known: Witnesses<'_>) -> Walk {
    let (index, link) = (head.first_index, head.link_seed());
    let start = Reached { offset: HEAD_LEN, index, link, opening: 1 };
    walk_from(file, head, known, start)
}

/// Walks from the checkpoint on, or from the start without one (R-1, C-4).
pub(crate) fn walk_at_opening(file: &[u8], head: &Header, known: Witnesses<'_>) -> Walk {
    let latest = known.checkpoints.iter().max_by_key(|c| c.sequence);
    let Some(latest) = latest.filter(|c| c.durable_len <= to_u64(file.len())) else {
        return walk(file, head, known);
    };
    let start = Reached {
        offset: latest.durable_len,
        index: latest.entry_count,
        link: latest.last_header_crc,
        opening: latest.opening,
    };
    let mut walk = walk_from(file, head, known, start);
    if latest.durable_len > HEAD_LEN && trailer_crc(file, latest) != Ok(latest.last_header_crc) {
        walk.verdict = Verdict::Damaged;
    }
    walk
}

/// The header CRC in the trailer before `durable_len` (C-4).
fn trailer_crc(file: &[u8], checkpoint: &Checkpoint) -> Result<u32, String> {
    u32_at(file, to_usize(checkpoint.durable_len)?.saturating_sub(4))
}

fn walk_from(file: &[u8], head: &Header, known: Witnesses<'_>, start: Reached) -> Walk {
    let checkpoints = known.checkpoints;
    let e = to_u64(file.len());
    let mut w = checkpoints.iter().map(|c| c.durable_len).max().unwrap_or(0).max(HEAD_LEN);
    w = w.max(head.compacted_upto);

    let mut reached = start;
    let mut sequence = Vec::new();
    let mut break_reason = None;
    while reached.offset < e {
        match frame_in_sequence(file, head, checkpoints, &reached) {
            Ok(frame) => {
                w = w.max(frame.synced_upto);
                reached = Reached::behind(&frame);
                sequence.push(frame);
            }
            Err(reason) => {
                break_reason = Some(reason);
                break;
            }
        }
    }
    let break_at = reached.offset;
    if let Ok(frame) = header_in_sequence(file, head, checkpoints, &reached) {
        w = w.max(frame.synced_upto);
    }
    // By entries: in another replica of the log they stand at other offsets.
    let broken_off = known.lock.filter(|lock| reached.index < lock.entry_count);
    w = w.max(broken_off.map_or(0, |lock| lock.durable_len));
    let (after, end_gap) = search(file, head, known, reached, &mut w);

    let x = if break_at >= w && broken_off.is_none() {
        group_start(&sequence, break_at)
    } else {
        break_at
    };
    let verdict = if break_at < w || e < w || broken_off.is_some() {
        Verdict::Damaged
    } else if !after.is_empty() {
        Verdict::Hole
    } else if x == e || (head.preallocated && x == break_at && is_zero_from(file, x)) {
        Verdict::Clean
    } else {
        Verdict::TornTail
    };
    sequence.retain(|frame| frame.frame_offset < x);
    let (after, end_gap) = match verdict {
        // Behind the last frame that was found, bytes above W are an unacknowledged tail.
        Verdict::Damaged => {
            let acknowledged = broken_off.map_or(0, |lock| lock.entry_count);
            (after, end_gap.filter(|gap| gap.offset < w || gap.first_index < acknowledged))
        }
        _ => (Vec::new(), None),
    };
    Walk { verdict, w, x, e, break_reason, sequence, after, end_gap }
}

/// The valid frame in sequence behind `reached` (F-5).
fn frame_in_sequence(
    file: &[u8],
    head: &Header,
    checkpoints: &[Checkpoint],
    reached: &Reached,
) -> Result<Frame, String> {
    let frame = header_in_sequence(file, head, checkpoints, reached)?;
    frame::check_body(file, &frame, head)?;
    Ok(frame)
}

/// The valid header in sequence behind `reached`, whatever follows it (F-5, R-1).
fn header_in_sequence(
    file: &[u8],
    head: &Header,
    checkpoints: &[Checkpoint],
    reached: &Reached,
) -> Result<Frame, String> {
    let frame = frame::header_at(file, reached.offset, head)?;
    ensure(frame.link == reached.link, || format!("F-5: link {:08x}", frame.link))?;
    ensure(frame.first_index == reached.index, || {
        format!("F-5: first_index {}", frame.first_index)
    })?;
    ensure(frame.opening >= opening_min(reached, checkpoints, frame.frame_offset), || {
        format!("F-5: opening {}", frame.opening)
    })?;
    Ok(frame)
}

/// The least opening of a frame at `offset` behind `reached` (F-5, R-2).
fn opening_min(reached: &Reached, checkpoints: &[Checkpoint], offset: u64) -> u32 {
    let at_or_below = checkpoints.iter().filter(|c| c.durable_len <= offset);
    at_or_below.map(|c| c.opening).max().unwrap_or(0).max(reached.opening)
}

/// Searches valid frames at every aligned offset from the break on, and raises W by those that
/// count.
fn search(
    file: &[u8],
    head: &Header,
    known: Witnesses<'_>,
    mut reached: Reached,
    w: &mut u64,
) -> (Vec<(Option<Gap>, Frame)>, Option<Gap>) {
    let Witnesses { checkpoints, lock } = known;
    let e = to_u64(file.len());
    let before = reached;
    let mut found = Vec::new();
    let mut offset = reached.offset;
    while offset < e {
        let counts = |frame: &Frame| {
            frame.opening >= opening_min(&before, checkpoints, offset)
                && frame.first_index >= reached.index
        };
        let Some(frame) = frame::frame_at(file, offset, head).ok().filter(counts) else {
            offset = offset.saturating_add(head.align());
            continue;
        };
        *w = (*w).max(frame.synced_upto);
        let follows = frame.frame_offset == reached.offset
            && frame.link == reached.link
            && frame.first_index == reached.index;
        let gap = (!follows).then_some(Gap {
            offset: reached.offset,
            end_offset: Some(offset),
            first_index: reached.index,
            end_index: Some(frame.first_index),
        });
        reached = Reached::behind(&frame);
        offset = reached.offset;
        found.push((gap, frame));
    }
    // A file that ends too early has its gap at its end.
    let acknowledged = lock.map_or(0, |lock| lock.entry_count);
    let ends_early = reached.offset < (*w).max(e) || reached.index < acknowledged;
    let end_gap = ends_early.then_some(Gap {
        offset: reached.offset,
        end_offset: None,
        first_index: reached.index,
        end_index: checkpoints
            .iter()
            .map(|c| c.entry_count)
            .chain([acknowledged])
            .max()
            .filter(|&end| end > reached.index),
    });
    (found, end_gap)
}

/// X by R-5: the start of the group whose last frame is missing at `break_at`, if there is one.
fn group_start(sequence: &[Frame], break_at: u64) -> u64 {
    let group = sequence.iter().rev().take_while(|frame| frame.continues());
    group.last().map_or(break_at, |first| first.frame_offset)
}

fn is_zero_from(file: &[u8], offset: u64) -> bool {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    file.get(from..).is_some_and(|rest| rest.iter().all(|&byte| byte == 0))
}

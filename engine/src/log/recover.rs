//! Recovery: torn or rotten is decided, not guessed.
//!
//! Three witnesses tell what a log must still have, whatever its file looks like: the checkpoints and
//! frames in it, the index runs beside it, and the last record of the lock file.
//!
//! [`judge`] is the table of R-3 as a pure function. [`recover`] is the thin driver that finds out
//! what the table asks for; it reads and never writes. What an opening for writing does about a
//! verdict is in the appender.

use crate::{
    batch::{BatchError, Unsupported},
    error::{Cause, IoContext as _, IoError, LostEntries},
    frame::{FrameHeader, FrameKind},
    log::{
        checkpoint::{Checkpoint, LogState, Slot},
        frames::{FrameFault, FrameReader, READ_AHEAD_LONG, follows},
        head::HEAD_LEN,
        lock::Published,
        replay::{Replay, ReplayError},
        segment::Segment,
    },
};

/// What recovery found behind the last good frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The file ends with its last frame.
    Clean,
    /// Only zeros follow, in a file that preallocates.
    Preallocated,
    /// Unacknowledged bytes that are short or wrong; they may be cut.
    TornTail,
    /// Valid frames behind bad bytes, none of it recorded as durable. Saved aside before it is cut.
    UnsyncedHole {
        /// How many valid frames.
        frame_count: u64,
    },
    /// Acknowledged bytes are wrong or gone. Never cut.
    Damaged,
}

/// The table of R-3. `bad_offset` is X, `watermark` W, `file_len` E.
pub(crate) fn judge(
    bad_offset: u64,
    watermark: u64,
    file_len: u64,
    frames_after: u64,
    unused_zeros: bool,
) -> Verdict {
    if bad_offset < watermark || file_len < watermark {
        Verdict::Damaged
    } else if bad_offset == file_len {
        Verdict::Clean
    } else if frames_after > 0 {
        Verdict::UnsyncedHole { frame_count: frames_after }
    } else if unused_zeros {
        Verdict::Preallocated
    } else {
        Verdict::TornTail
    }
}

/// What is known of a segment after its tail was read.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) verdict: Verdict,
    /// The log up to X: where a writer goes on.
    pub(crate) state: LogState,
    /// Length of the file (E).
    pub(crate) file_len: u64,
    /// Below this offset everything was durable (W).
    pub(crate) watermark: u64,
    /// Why the frame at X is none; `None` if the file ends there.
    pub(crate) cause: Option<Cause>,
    /// The damage lies below the checkpoint: a writer can go on from there (C-4).
    pub(crate) below_checkpoint: bool,
    /// Entries lost to damage.
    pub(crate) lost: Option<LostEntries>,
    /// End of the last valid frame in the file, and the entries up to there: where reading ends.
    pub(crate) readable_end: u64,
    pub(crate) readable_count: u64,
    /// Highest opening seen in frames and checkpoints.
    pub(crate) opening: u32,
}

/// Why the tail of a segment cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    #[error(transparent)]
    Io(#[from] IoError),
    /// A critical frame of a kind that this version does not know (F-4).
    #[error("frame of unknown kind {} at byte {}", .0.kind.0, .0.offset)]
    UnknownKind(FrameHeader),
    /// A batch that only a later version can read (B-2).
    #[error("batch at byte {offset} cannot be read: {what}")]
    Unsupported { offset: u64, what: Unsupported },
}

/// Reads what follows the last checkpoint and judges it. `evidence` is the highest offset that the
/// log's index runs cover; `published` is the lock record, if there is one, of whatever log; `file_len` is
/// where the file ends for this reader.
pub(crate) fn recover(
    segment: &Segment,
    evidence: u64,
    published: Option<Published>,
    file_len: u64,
) -> Result<Recovery, RecoverError> {
    let published = published
        .filter(|published| published.is_of(segment.header.log, segment.header.generation));
    let usable = |checkpoint: &&Checkpoint| checkpoint.state.end_offset <= file_len;
    let checkpoints = || segment.slots.iter().filter_map(Slot::checkpoint);
    let start = checkpoints().filter(usable).max_by_key(|checkpoint| checkpoint.sequence);
    let state = start.map_or_else(|| segment.base().clone(), |checkpoint| checkpoint.state.clone());
    let reader =
        FrameReader::new(segment.file.clone(), segment.header.frames(), file_len, READ_AHEAD_LONG);
    let replay =
        Replay::new(segment.header.log, segment.salts.clone(), segment.header.align_log2, state);
    let mut walk = Walk {
        segment,
        reader,
        replay,
        boundary: None,
        opening: checkpoints().map(|checkpoint| checkpoint.opening).max().unwrap_or(0),
        last_opening: 0,
        synced_upto: 0,
    };
    let fault = walk.forward(file_len)?;
    let reached = walk.replay.state().clone();
    let after = if fault.is_some() { walk.after(&reached)? } else { After::default() };
    let durable = checkpoints().map(|checkpoint| checkpoint.state.end_offset).max().unwrap_or(0);
    // Counted by entries: another replica of the log may stand here, with other offsets and all entries.
    let broken_off = published.filter(|published| reached.entry_count() < published.entry_count);
    let published_len = broken_off.map_or(0, |published| published.durable_len);
    // A generation was synced before it came into its place (S-7).
    let compacted = segment.header.compacted_upto;
    let watermark =
        HEAD_LEN.max(compacted).max(durable).max(walk.synced_upto).max(evidence).max(published_len);
    // A group without its end is as if it had never been written, unless it was: then it is damaged.
    let incomplete =
        walk.boundary.take().filter(|_| reached.end_offset >= watermark && broken_off.is_none());
    let state = incomplete.unwrap_or_else(|| reached.clone());
    let bad_offset = state.end_offset;
    let unused_zeros = segment.header.preallocated
        && after.frame_count == 0
        && walk.all_zero(bad_offset, file_len)?;
    let verdict = if broken_off.is_some() {
        Verdict::Damaged
    } else {
        judge(bad_offset, watermark, file_len, after.frame_count, unused_zeros)
    };
    if verdict != Verdict::Damaged
        && let Some(checkpoint) = start
        && !walk.ends_with_its_frame(&checkpoint.state)?
    {
        return Ok(walk.damaged_below(checkpoint, state, file_len, watermark));
    }
    let damaged = verdict == Verdict::Damaged;
    let acknowledged = checkpoints().map(|checkpoint| checkpoint.state.entry_count()).max();
    let acknowledged = acknowledged.max(broken_off.map(|published| published.entry_count));
    let lost_end = after.first_index.or(acknowledged.filter(|&count| count > state.entry_count()));
    let missing = || match broken_off {
        Some(Published { entry_count, .. }) if file_len >= watermark => {
            Cause::TooFew { entries: reached.entry_count(), acknowledged: entry_count }
        }
        _ => Cause::Missing { file_len, watermark },
    };
    Ok(Recovery {
        lost: damaged.then(|| LostEntries { first: state.entry_count(), end: lost_end }),
        readable_end: if damaged { after.end_offset.max(reached.end_offset) } else { bad_offset },
        readable_count: if damaged {
            after.end_index.max(reached.entry_count())
        } else {
            state.entry_count()
        },
        below_checkpoint: false,
        cause: fault.or_else(|| damaged.then(missing)),
        opening: walk.opening,
        verdict,
        state,
        file_len,
        watermark,
    })
}

/// What was found behind the first bad place.
#[derive(Debug, Default)]
struct After {
    frame_count: u64,
    /// Entries before the first valid frame.
    first_index: Option<u64>,
    end_offset: u64,
    end_index: u64,
}

struct Walk<'a> {
    segment: &'a Segment,
    reader: FrameReader,
    replay: Replay,
    /// The state before the group that is being read.
    boundary: Option<LogState>,
    /// Highest opening of frames and checkpoints.
    opening: u32,
    /// Opening of the last frame.
    last_opening: u32,
    /// Highest watermark of the frames.
    synced_upto: u64,
}

impl Walk<'_> {
    /// Applies frames until the end of the file or the first bad one; says why that is none.
    fn forward(&mut self, file_len: u64) -> Result<Option<Cause>, RecoverError> {
        loop {
            let state = self.replay.state();
            let offset = state.end_offset;
            if offset >= file_len {
                return Ok(None);
            }
            let (link, first_index) = (state.link, state.entry_count());
            let header = match self.reader.header(offset).context(&self.segment.path, "read")? {
                Ok(header) => header,
                Err(fault) => return Ok(Some(fault.into())),
            };
            let opening = self.last_opening.max(self.checkpoint_opening(offset));
            if let Err(fault) = follows(&header, link, first_index, opening) {
                return Ok(Some(fault.into()));
            }
            let payload = match self.reader.payload(&header).context(&self.segment.path, "read")? {
                Ok(payload) => payload,
                Err(fault) => {
                    self.note(&header);
                    return Ok(Some(fault.into()));
                }
            };
            let before =
                (header.continues && self.boundary.is_none()).then(|| self.replay.state().clone());
            if header.kind == FrameKind::BATCH {
                if let Err(error) = self.replay.apply(&header, payload) {
                    if let ReplayError::Batch(BatchError::Unsupported(what)) = error {
                        return Err(RecoverError::Unsupported { offset: header.offset, what });
                    }
                    self.note(&header);
                    return Ok(Some(error.into()));
                }
            } else if header.is_refused() {
                return Err(RecoverError::UnknownKind(header));
            } else {
                self.replay.skip(&header);
            }
            if header.continues {
                self.boundary = before.or(self.boundary.take());
            } else {
                self.boundary = None;
            }
            self.last_opening = header.opening;
            self.note(&header);
        }
    }

    /// Looks for valid frames behind the first bad place, where the log had reached `state`.
    fn after(&mut self, state: &LogState) -> Result<After, RecoverError> {
        let mut after = After::default();
        let mut offset = state.end_offset;
        while let Some(header) = self.reader.find(offset).context(&self.segment.path, "read")? {
            let counts = header.opening
                >= self.last_opening.max(self.checkpoint_opening(header.offset))
                && header.first_index >= state.entry_count().max(after.end_index);
            if counts {
                self.note(&header);
                after.frame_count += 1;
                after.first_index.get_or_insert(header.first_index);
                after.end_offset = header.offset + header.len(self.segment.header.align_log2);
                after.end_index = header.end_index();
                offset = after.end_offset;
            } else {
                offset = header.offset + 1;
            }
        }
        Ok(after)
    }

    /// Whether the frame before a checkpoint is the one that the checkpoint names (C-4).
    fn ends_with_its_frame(&mut self, state: &LogState) -> Result<bool, RecoverError> {
        if state.end_offset == HEAD_LEN {
            return Ok(true);
        }
        let at = state.end_offset - 4;
        let crc = self.reader.bytes(at, 4).context(&self.segment.path, "read")?;
        Ok(crc == state.link.to_le_bytes())
    }

    fn damaged_below(
        &self,
        checkpoint: &Checkpoint,
        state: LogState,
        file_len: u64,
        watermark: u64,
    ) -> Recovery {
        let end = checkpoint.state.entry_count();
        let fault = FrameFault::OutOfSequence(
            "the frame before the checkpoint is not the one that the checkpoint names",
        );
        Recovery {
            verdict: Verdict::Damaged,
            below_checkpoint: true,
            lost: Some(LostEntries { first: end.saturating_sub(1), end: Some(end) }),
            readable_end: state.end_offset,
            readable_count: state.entry_count(),
            cause: Some(fault.into()),
            opening: self.opening,
            state,
            file_len,
            watermark,
        }
    }

    /// The lowest opening that a frame at `offset` may have, by the checkpoints (F-5).
    fn checkpoint_opening(&self, offset: u64) -> u32 {
        let checkpoints = self.segment.slots.iter().filter_map(Slot::checkpoint);
        let before = checkpoints.filter(|checkpoint| checkpoint.state.end_offset <= offset);
        before.map(|checkpoint| checkpoint.opening).max().unwrap_or(0)
    }

    fn note(&mut self, header: &FrameHeader) {
        self.synced_upto = self.synced_upto.max(header.synced_upto);
        self.opening = self.opening.max(header.opening);
    }

    fn all_zero(&mut self, from: u64, to: u64) -> Result<bool, RecoverError> {
        let mut offset = from;
        while offset < to {
            let bytes =
                self.reader.bytes(offset, READ_AHEAD_LONG).context(&self.segment.path, "read")?;
            if bytes.is_empty() || bytes.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            offset += bytes.len() as u64;
        }
        Ok(true)
    }
}

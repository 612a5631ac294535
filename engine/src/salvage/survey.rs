//! The first pass over one file: how far it is whole, what is lost in it, and what its streams are called.

use std::{collections::BTreeMap, ops::Range};

use super::{
    find::Found,
    frames::{Break, Frames, Place, Step, Stop},
};
use crate::{
    batch::{BatchError, Decoder},
    bytes::StreamId,
    entry::Kind,
    frame::{FrameHeader, FrameKind},
    index::{Declaration, DeclarationForm},
    log::{READ_AHEAD_LONG, Replay, ReplayError, Segment, Slot, Verdict, decode_for, judge},
};

/// What the first pass has found out about a file.
pub(super) struct Survey {
    /// Entries of the sound prefix: from entry 0 to the first gap, pruned ones included, ending with a complete group.
    pub(super) prefix: u64,
    /// Where the prefix ends.
    pub(super) rest: Place,
    /// Behind this offset is nothing that was ever a part of the log.
    pub(super) limit: u64,
    /// The entries in sound frames, as ascending ranges that do not touch.
    pub(super) sound: Vec<Range<u64>>,
    /// What is lost: ascending, and each of at least one entry, or of an unknown number.
    pub(super) lost: Vec<Break>,
    /// Frames whose checksums hold and whose batches do not (F-7).
    pub(super) refused: BTreeMap<u64, String>,
    /// The declared streams.
    pub(super) names: StreamNames,
    /// What is no loss, and worth knowing.
    pub(super) notes: Vec<String>,
}

/// Streams by number. The same stream is declared once, so that memory does not grow with the entries.
pub(super) type StreamNames = BTreeMap<u32, String>;

impl Survey {
    /// Index behind the last sound entry.
    pub(super) fn reached(&self) -> u64 {
        self.sound.last().map_or(0, |last| last.end)
    }

    pub(super) fn sound_count(&self) -> u64 {
        self.sound.iter().map(|range| range.end - range.start).sum()
    }
}

/// The text by which a declaration calls its stream.
fn name_of(declaration: &Declaration) -> Option<String> {
    match declaration.form {
        DeclarationForm::Name => String::from_utf8(declaration.name.to_vec()).ok(),
        DeclarationForm::Uuid => {
            let bytes = <[u8; 16]>::try_from(&*declaration.name).ok()?;
            Some(crate::bytes::LogId::from_bytes(bytes).to_string())
        }
    }
}

/// Reads a file from its first frame to its last, hashing what is in the sound prefix.
pub(super) fn survey(found: &Found, progress: &mut dyn FnMut(u64)) -> Result<Survey, Stop> {
    let segment = &found.segment;
    let header = &segment.header;
    let pruned = segment.pruned.as_deref();
    let mut names = found.names.clone();
    let declared = pruned.into_iter().flat_map(|record| &record.declarations);
    names.extend(declared.filter_map(|found| Some((found.stream.0, name_of(found)?))));
    let mut pass = Pass {
        segment,
        frames: Frames::new(segment, None, READ_AHEAD_LONG)?,
        replay: Replay::new(
            header.log,
            segment.salts.clone(),
            header.align_log2,
            segment.base().clone(),
        ),
        decoder: Decoder::new(),
        breaks: Vec::new(),
        sound: Vec::new(),
        names,
        boundary: None,
        group: None,
        first_break: None,
        frames_after: 0,
        is_provable: found.is_provable,
    };
    let first = if found.is_provable { header.first_index } else { 0 };
    pass.boundary = Some((first, pass.frames.place().clone()));
    pass.run(progress)?;
    pass.conclude(found)
}

struct Pass<'a> {
    segment: &'a Segment,
    frames: Frames<'a>,
    replay: Replay,
    decoder: Decoder,
    breaks: Vec<Break>,
    sound: Vec<Range<u64>>,
    names: StreamNames,
    /// Entries of the sound prefix, and where it ends.
    boundary: Option<(u64, Place)>,
    /// The first frame of the atomic group that is not complete yet: its offset, and entries before.
    group: Option<(u64, u64)>,
    /// Where the first break is: its offset, and the group that it is in.
    first_break: Option<(u64, Option<(u64, u64)>)>,
    /// Sound frames behind the first break.
    frames_after: u64,
    /// Whether the tree can be built.
    is_provable: bool,
}

impl Pass<'_> {
    fn run(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), Stop> {
        loop {
            match self.frames.next()? {
                Step::End => return Ok(()),
                Step::Break(found) => {
                    let group = self.group.take();
                    if self.first_break.is_none() {
                        self.first_break = Some((found.offset, group));
                    }
                    self.breaks.push(found);
                }
                Step::Frame(header) => {
                    if self.take(&header)? {
                        self.accept(&header);
                    }
                }
            }
            progress(self.frames.place().offset);
        }
    }

    /// Looks into a frame; whether it is sound.
    fn take(&mut self, header: &FrameHeader) -> Result<bool, Stop> {
        if header.kind != FrameKind::BATCH {
            return Ok(true);
        }
        let payload = self.frames.payload(header)?;
        // Behind a gap the tree is unknown: there checksums are all that is known of a batch.
        let is_next = self.replay.state().entry_count() == header.first_index;
        let result = if self.is_provable && is_next {
            self.replay.apply(header, payload).map(|summary| {
                let declared = summary.declarations.iter();
                declared.filter_map(|found| Some((found.stream.0, name_of(found)?))).collect()
            })
        } else {
            decode_for(self.segment.header.log, header, &mut self.decoder, payload).map(|batch| {
                let declared = (batch.first_index()..)
                    .zip(batch.entries())
                    .filter(|(_, (entry, _))| entry.kind == Kind::STREAM);
                let names = declared.filter_map(|(index, (entry, payload))| {
                    let found = Declaration::decode(entry.stream, index, payload.payload()?)?;
                    Some((found.stream.0, name_of(&found)?))
                });
                names.collect::<Vec<_>>()
            })
        };
        match result {
            Ok(names) => {
                self.names.extend(names);
                Ok(true)
            }
            Err(ReplayError::Batch(BatchError::Unsupported(what))) => {
                let offset = header.offset;
                Err(Stop::Unsupported(format!(
                    "the batch at byte {offset} cannot be read by this version: {what}"
                )))
            }
            Err(error) => {
                self.frames.refuse(header, error.to_string());
                Ok(false)
            }
        }
    }

    fn accept(&mut self, header: &FrameHeader) {
        if header.continues && self.group.is_none() {
            self.group = Some((header.offset, header.first_index));
        }
        self.frames_after += u64::from(self.first_break.is_some());
        self.frames.pass(header);
        if header.entry_count > 0 {
            let entries = header.first_index..header.end_index();
            match self.sound.last_mut().filter(|last| last.end == entries.start) {
                Some(last) => last.end = entries.end,
                None => self.sound.push(entries),
            }
        }
        if !header.continues {
            self.group = None;
            let count = self.replay.state().entry_count();
            if self.is_provable && count == header.end_index() {
                self.boundary = Some((count, self.frames.place().clone()));
            }
        }
    }

    /// Judges the end of the file, and what of the breaks is a loss.
    fn conclude(mut self, found: &Found) -> Result<Survey, Stop> {
        let len = self.frames.limit();
        let checkpoints = || self.segment.slots.iter().filter_map(Slot::checkpoint);
        let checkpointed = checkpoints().map(|checkpoint| checkpoint.state.end_offset).max();
        let known = checkpoints().map(|checkpoint| checkpoint.state.entry_count()).max();
        let known = known.unwrap_or(0).max(found.known_count);
        let watermark =
            self.frames.synced_upto().max(found.durable_len).max(checkpointed.unwrap_or(0));

        let (reached, group) = self.first_break.unwrap_or((len, self.group));
        // A group without its end is as if it had never been written, unless it was durable.
        let incomplete = group.filter(|_| reached >= watermark);
        let end = incomplete.map_or(reached, |(offset, _)| offset);
        let zeros = self.segment.header.preallocated
            && self.frames_after == 0
            && self.frames.is_zero_from(end)?;
        let verdict = judge(end, watermark, len, self.frames_after, zeros);
        let mut survey = Survey {
            prefix: 0,
            rest: self.frames.place().clone(),
            limit: len,
            sound: self.sound,
            lost: Vec::new(),
            refused: self.frames.into_refused(),
            names: self.names,
            notes: Vec::new(),
        };
        if let Some((prefix, rest)) = self.boundary {
            survey.prefix = prefix;
            survey.rest = rest;
        }
        match verdict {
            Verdict::Clean | Verdict::Preallocated => self.breaks.clear(),
            Verdict::TornTail => {
                self.breaks.clear();
                survey.limit = end;
                survey.notes.push(torn_tail(end, len));
                if let Some((_, first)) = incomplete {
                    survey.sound.retain_mut(|range| {
                        range.end = range.end.min(first);
                        range.start < range.end
                    });
                }
            }
            Verdict::UnsyncedHole { .. } => {}
            Verdict::Damaged => {
                let tail = |last: &mut Break| last.end.is_none() && last.offset >= watermark;
                if len >= watermark
                    && let Some(tail) = self.breaks.pop_if(tail)
                {
                    survey.notes.push(torn_tail(tail.offset, len));
                }
                let ends_open = self.breaks.last().is_some_and(|last| last.end.is_none());
                if (len < watermark || self.breaks.is_empty()) && !ends_open {
                    self.breaks.push(Break {
                        offset: len,
                        first: survey.reached(),
                        end: None,
                        cause: format!(
                            "the file ends here, but everything below {watermark} was durable"
                        ),
                    });
                }
            }
        }
        survey.lose(self.breaks, known);
        Ok(survey)
    }
}

impl Survey {
    /// Sorts out which breaks have lost entries; those that touch become one.
    fn lose(&mut self, breaks: Vec<Break>, known: u64) {
        for mut found in breaks {
            found.end = found.end.or(Some(known).filter(|&known| known > found.first));
            let touches = |last: &&mut Break| last.end == Some(found.first);
            if found.end == Some(found.first) {
                self.notes.push(format!(
                    "bytes at {} are in no sound frame ({}); no entries are lost by it",
                    found.offset, found.cause
                ));
            } else if let Some(last) = self.lost.last_mut().filter(touches) {
                last.end = found.end;
            } else {
                self.lost.push(found);
            }
        }
    }
}

fn torn_tail(offset: u64, len: u64) -> String {
    format!(
        "a torn tail of {} bytes at {offset}, as a crash leaves it: never acknowledged, left out",
        len - offset
    )
}

/// Where the name of a stream comes from is the same for all passes.
pub(super) fn made_up_name(log: crate::bytes::LogId, stream: StreamId) -> String {
    format!("{log}/{}", stream.0)
}

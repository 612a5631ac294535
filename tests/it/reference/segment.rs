//! One segment from its bytes (sections 3 to 9 and 14).

use std::collections::BTreeMap;

use super::batch::{self, Batch};
use super::bytes::ensure;
use super::entry::Entry;
use super::forgotten::{self, Redacted};
use super::frame::{self, Frame, KIND_BATCH, KIND_PRUNE, KIND_SALTS};
use super::head::{self, Checkpoint, HEAD_LEN, Header};
use super::history::History;
use super::merkle::{Hash, Roots};
use super::prune::{self, PruneRecord};
use super::recovery::{self, Gap, Verdict, Walk, Witnesses};
use super::{salts, snapshot};

pub(crate) use super::dump::dump;

/// A segment, with all that can be read of it.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// The header, with the salts of the record in frames if it is there (P-5).
    pub(crate) header: Header,
    /// What is kept of the entries that were pruned (H-10).
    pub(crate) pruned: Option<PruneRecord>,
    /// Why a header unit is not valid (S-3); at least one is.
    pub(crate) units: [Result<(), String>; 2],
    /// The checkpoint slots: never written, valid, or damaged (C-2).
    pub(crate) checkpoints: [Result<Option<Checkpoint>, String>; 2],
    pub(crate) verdict: Verdict,
    /// W, X and E of R-1, X for the whole file.
    pub(crate) w: u64,
    pub(crate) x: u64,
    pub(crate) e: u64,
    /// Verdict and X for a reader that starts at the checkpoint: it does not see damage below.
    pub(crate) at_opening: (Verdict, u64),
    /// Why the bytes at the break are no frame in sequence, if the file does not end there. The
    /// break is X unless R-5 moved X to the start of a group.
    pub(crate) break_reason: Option<String>,
    /// The unreadable stretches of a damaged segment, in order.
    pub(crate) gaps: Vec<Gap>,
    /// The frames that are served, in order.
    pub(crate) frames: Vec<Frame>,
    /// The batches in those frames, with their entries.
    pub(crate) batches: Vec<ServedBatch>,
    /// The index that reading got to: the number of entries if none is lost.
    pub(crate) end_index: u64,
    /// The root, unless entries are lost (M-5).
    pub(crate) root: Option<Hash>,
    roots: Roots,
    /// What a rule names without saying what follows from it.
    pub(crate) notes: Vec<String>,
}

/// A batch of a segment.
#[derive(Clone, Debug)]
pub(crate) struct ServedBatch {
    pub(crate) frame_offset: u64,
    pub(crate) batch: Batch,
    /// Whether the root was computed and found right; behind a gap it cannot be.
    pub(crate) root_is_checked: bool,
}

impl Segment {
    /// The entries that can be read, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.batches.iter().flat_map(|served| &served.batch.entries)
    }

    /// The root of the first `size` entries (M-5, H-11).
    ///
    /// # Errors
    ///
    /// Entries among them are lost, or `size` is below the number of those that were pruned.
    pub(crate) fn root_at(&self, size: u64) -> Result<Hash, String> {
        self.roots.at(size)
    }

    /// The valid checkpoint with the higher sequence (C-2).
    pub(crate) fn checkpoint(&self) -> Option<&Checkpoint> {
        let valid = self.checkpoints.iter().filter_map(|slot| slot.as_ref().ok()?.as_ref());
        valid.max_by_key(|checkpoint| checkpoint.sequence)
    }
}

/// Decodes the bytes of a segment file.
///
/// # Errors
///
/// The head is damaged, the file is refused, or bytes whose checksums hold break a rule.
pub(crate) fn decode(bytes: &[u8]) -> Result<Segment, String> {
    decode_beside(bytes, &[])
}

/// Decodes the bytes of a segment file, beside which a lock file stands with these bytes.
///
/// # Errors
///
/// As for [`decode`].
pub(crate) fn decode_beside(bytes: &[u8], lock_file: &[u8]) -> Result<Segment, String> {
    let (mut header, units) = head::header(bytes)?;
    let records = Records::find(bytes, &mut header)?;
    let checkpoints = [0, 1].map(|number| head::checkpoint(bytes, number, &header));
    let valid: Vec<Checkpoint> =
        checkpoints.iter().filter_map(|slot| slot.clone().ok().flatten()).collect();
    let lock = recovery::lock_record(lock_file, &header);
    let known = Witnesses { checkpoints: &valid, lock };
    let walk = recovery::walk(bytes, &header, known);
    let opening = recovery::walk_at_opening(bytes, &header, known);
    let mut reader = Reader::new(&header, records)?;

    reader.meet_checkpoints(&valid, HEAD_LEN, header.link_seed())?;
    for frame in &walk.sequence {
        reader.read(bytes, frame)?;
        reader.check_in_sequence(frame)?;
        reader.meet_checkpoints(&valid, frame.end(), frame.header_crc)?;
    }
    let mut gaps = Vec::new();
    for (gap, frame) in &walk.after {
        reader.history.skip_to(frame.first_index);
        gaps.extend(gap.clone());
        reader.read(bytes, frame)?;
    }
    gaps.extend(walk.end_gap.clone());

    let mut notes = reader.notes;
    let verdict = contradicted_by(&valid, &walk, &reader.ends, &mut notes);
    note_copies(&walk, &valid, &mut notes);
    let beyond = check_boundaries(&header, walk.x, &reader.ends)?;
    notes.extend(beyond.into_iter().filter(|_| verdict != Verdict::Damaged));
    // A gap where the frames of a record stood has cost no entry.
    let is_lossless = |gap: &Gap| gap.end_index == Some(gap.first_index);
    let is_whole = reader.history.is_whole() && gaps.iter().all(is_lossless);
    let redacted = forgotten::redacted(reader.batches.iter().flat_map(|b| &b.batch.entries));
    let entries = reader.batches.iter_mut().flat_map(|served| &mut served.batch.entries);
    forgotten::explain(entries, &redacted);
    check_forgotten(&header, &reader.batches, &redacted)?;
    notes.extend(snapshot::notes(&header.log, &groups(&reader.batches), is_whole));
    let Walk { w, x, e, break_reason, sequence, after, .. } = walk;
    Ok(Segment {
        header,
        pruned: reader.records.pruned,
        units,
        checkpoints,
        verdict,
        w,
        x,
        e,
        at_opening: (opening.verdict, opening.x),
        break_reason,
        gaps,
        frames: sequence.into_iter().chain(after.into_iter().map(|(_, frame)| frame)).collect(),
        batches: reader.batches,
        end_index: reader.history.end_index,
        root: if is_whole { reader.history.root() } else { None },
        roots: reader.history.roots,
        notes,
    })
}

/// The records that stand in frames of their own.
struct Records {
    /// What was pruned, if anything was.
    pruned: Option<PruneRecord>,
    /// Where the two frames of a record start, by their kind.
    offsets: BTreeMap<u8, [u64; 2]>,
}

impl Records {
    /// Finds the records, and puts the salts in the header if they do not stand there (P-5, H-10).
    fn find(file: &[u8], header: &mut Header) -> Result<Self, String> {
        let mut records = Self { pruned: None, offsets: BTreeMap::new() };
        if let Some(offset) = header.salts_offset {
            let found = frame::twice(file, offset, KIND_SALTS, header, "P-5")?;
            header.salts = salts::decode(&found.payload)?;
            records.offsets.insert(KIND_SALTS, found.offsets);
        }
        let first_index = header.first_index;
        if first_index > 0 {
            let found = frame::twice(file, HEAD_LEN, KIND_PRUNE, header, "H-10")?;
            let record = prune::decode(&header.log, &found.payload)?;
            ensure(record.size == first_index, || {
                format!("H-10: {} entries pruned, and first_index {first_index}", record.size)
            })?;
            ensure(found.first_index == first_index, || {
                format!("H-10: first_index {} of the frame", found.first_index)
            })?;
            records.pruned = Some(record);
            records.offsets.insert(KIND_PRUNE, found.offsets);
        }
        let first_kept = header.salts.first_kept();
        ensure(first_kept.is_none_or(|index| index >= first_index), || {
            format!("H-11: {first_index} entries are pruned, and not all of their salts erased")
        })?;
        Ok(records)
    }

    /// F-4 and F-7 for a frame of a kind other than 1.
    fn check(&self, frame: &Frame) -> Result<(), String> {
        let (kind, flags) = (frame.kind, frame.flags);
        ensure(frame.entry_count == 0, || {
            format!("F-7: {} entries in a frame of kind {kind}", frame.entry_count)
        })?;
        let rule = match kind {
            KIND_SALTS => "P-5",
            KIND_PRUNE => "H-10",
            _ if frame.is_critical() => {
                return Err(format!("F-4: unknown critical frame kind {kind}"));
            }
            _ => return Ok(()),
        };
        ensure(frame.is_critical() && !frame.is_copied(), || {
            format!("F-4: a frame of kind {kind} with flags {flags}")
        })?;
        // What another record says is out of date, and may be what should be forgotten (H-2).
        let offsets = self.offsets.get(&kind);
        ensure(offsets.is_some_and(|offsets| offsets.contains(&frame.frame_offset)), || {
            format!("{rule}: a frame of kind {kind} where the record does not stand")
        })
    }
}

/// Reads frames one after the other.
struct Reader {
    records: Records,
    history: History,
    batches: Vec<ServedBatch>,
    frame_count: u64,
    /// Where frames in sequence end: header CRC, and whether a group goes on behind it.
    ends: BTreeMap<u64, (u32, bool)>,
    notes: Vec<String>,
}

impl Reader {
    fn new(header: &Header, records: Records) -> Result<Self, String> {
        let salts = header.salts.clone();
        Ok(Self {
            history: match &records.pruned {
                None => History::new(&header.log, salts),
                Some(record) => History::pruned(&header.log, salts, record)?,
            },
            records,
            batches: Vec::new(),
            frame_count: 0,
            ends: BTreeMap::from([(HEAD_LEN, (header.link_seed(), false))]),
            notes: Vec::new(),
        })
    }

    /// Reads a valid frame by its kind (F-4, F-7).
    fn read(&mut self, file: &[u8], frame: &Frame) -> Result<(), String> {
        let at = |e: String| format!("{e}, in the frame at {}", frame.frame_offset);
        if frame.kind == KIND_BATCH {
            ensure(frame.is_critical() && frame.is_copied(), || {
                at(format!("F-4: a batch with frame flags {}", frame.flags))
            })?;
            let batch = batch::decode(frame.payload(file)?).map_err(at)?;
            let in_frame = (frame.first_index, frame.entry_count, frame.continues());
            let in_batch = (batch.first_index, batch.entry_count, batch.continues);
            ensure(in_frame == in_batch, || at(format!("F-7: batch {in_batch:?}")))?;
            let root_is_checked = self.history.append(&batch).map_err(at)?;
            let frame_offset = frame.frame_offset;
            self.batches.push(ServedBatch { frame_offset, batch, root_is_checked });
        } else {
            self.records.check(frame).map_err(at)?;
        }
        self.frame_count += 1;
        Ok(())
    }

    /// The rules that need all frames before this one (F-6, E-5).
    fn check_in_sequence(&mut self, frame: &Frame) -> Result<(), String> {
        ensure(self.is_group_end(frame.synced_upto), || {
            let (upto, offset) = (frame.synced_upto, frame.frame_offset);
            format!("F-6: synced_upto {upto} of the frame at {offset}")
        })?;
        self.ends.insert(frame.end(), (frame.header_crc, frame.continues()));
        if frame.continues() { Ok(()) } else { self.history.end_group() }
    }

    fn is_group_end(&self, offset: u64) -> bool {
        self.ends.get(&offset).is_some_and(|(_, continues)| !continues)
    }

    /// Compares the checkpoints that were taken here with what was read (C-1). One whose frame is
    /// another than this is the business of C-4.
    fn meet_checkpoints(
        &self,
        checkpoints: &[Checkpoint],
        offset: u64,
        header_crc: u32,
    ) -> Result<(), String> {
        let here = checkpoints.iter().filter(|c| c.durable_len == offset);
        for checkpoint in here.filter(|c| c.last_header_crc == header_crc) {
            let differs = |name: &str| format!("C-1: {name} of checkpoint {}", checkpoint.sequence);
            let history = &self.history;
            let same = |name: &str, holds: bool| ensure(holds, || differs(name));
            same("entry_count", checkpoint.entry_count == history.end_index)?;
            same("change_count", checkpoint.change_count == history.change_count)?;
            same("payload_bytes", checkpoint.payload_bytes == history.payload_bytes)?;
            same("frame_count", checkpoint.frame_count == self.frame_count)?;
            same("lamport", checkpoint.lamport == history.lamport)?;
            same("time_max", checkpoint.time_max == history.time_max)?;
            same("stream_count", checkpoint.stream_count == history.stream_count)?;
            same("root", Some(checkpoint.root) == history.root())?;
            same("peaks", Some(&checkpoint.peaks) == history.peaks().as_ref())?;
            ensure(self.is_group_end(offset), || {
                format!("F-6: durable_len of checkpoint {}", checkpoint.sequence)
            })?;
        }
        Ok(())
    }
}

/// C-4: a checkpoint whose last frame is not there is damage below the checkpoint, even if other
/// frames stand there in sequence.
fn contradicted_by(
    checkpoints: &[Checkpoint],
    walk: &Walk,
    ends: &BTreeMap<u64, (u32, bool)>,
    notes: &mut Vec<String>,
) -> Verdict {
    let mut verdict = walk.verdict;
    for checkpoint in checkpoints.iter().filter(|c| c.durable_len <= walk.x) {
        let end = ends.get(&checkpoint.durable_len);
        if end.is_none_or(|(crc, _)| *crc != checkpoint.last_header_crc) {
            verdict = Verdict::Damaged;
            notes.push(format!("C-4: checkpoint {} names another frame", checkpoint.sequence));
        }
    }
    verdict
}

/// F-8: equal openings with different incarnations come from two copies of one log.
fn note_copies(walk: &Walk, checkpoints: &[Checkpoint], notes: &mut Vec<String>) {
    let after = walk.after.iter().map(|(_, frame)| frame);
    let frames = walk.sequence.iter().chain(after).map(|f| (f.opening, f.incarnation));
    let slots = checkpoints.iter().map(|c| (c.opening, c.incarnation));
    let mut incarnations = BTreeMap::new();
    for (opening, incarnation) in frames.chain(slots) {
        if *incarnations.entry(opening).or_insert(incarnation) != incarnation {
            notes.push(format!("F-8: opening {opening} has two incarnations"));
        }
    }
}

/// S-5: both offsets are those of frame boundaries. Behind X nothing says where those are, and a
/// file that ends there is damaged by no rule: returns what is to be noted of it.
fn check_boundaries(
    header: &Header,
    x: u64,
    ends: &BTreeMap<u64, (u32, bool)>,
) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    let offsets =
        [("carried_upto", header.carried_upto), ("compacted_upto", header.compacted_upto)];
    for (name, offset) in offsets {
        if offset > x {
            notes.push(format!("S-5: {name} {offset} lies behind X"));
        } else {
            ensure(offset == 0 || ends.contains_key(&offset), || {
                format!("S-5: {name} {offset} is no frame boundary")
            })?;
        }
    }
    Ok(notes)
}

/// H-4 (and H-2 for what was carried): when the frames below `compacted_upto` were written, all
/// redactions among them were known. What those are about is gone, and so are the salts.
fn check_forgotten(
    header: &Header,
    batches: &[ServedBatch],
    redacted: &Redacted,
) -> Result<(), String> {
    let compacted = batches.iter().filter(|served| served.frame_offset < header.compacted_upto);
    let end_index = compacted.clone().map(|served| served.batch.end_index()).max().unwrap_or(0);
    for entry in compacted.flat_map(|served| &served.batch.entries) {
        let by = redacted.get(&entry.index).map(|(by, _)| *by).filter(|&by| by < end_index);
        // Empty ones stay: there is nothing in them.
        let Some(by) = by.filter(|_| entry.absent.is_some() || !entry.payload.is_empty()) else {
            continue;
        };
        let index = entry.index;
        ensure(entry.absent.is_some(), || {
            format!("H-4: entry {index} has the payload that entry {by} redacts")
        })?;
        ensure(header.salts.of(index)?.is_none(), || {
            format!("H-4: the salt of entry {index}, which entry {by} redacts, is not erased")
        })?;
    }
    Ok(())
}

/// The entries of each atomic group (F-6).
fn groups(batches: &[ServedBatch]) -> Vec<Vec<&Entry>> {
    let mut groups: Vec<Vec<&Entry>> = Vec::new();
    let mut continues = false;
    for served in batches {
        let entries = served.batch.entries.iter();
        match groups.last_mut().filter(|_| continues) {
            Some(group) => group.extend(entries),
            None => groups.push(entries.collect()),
        }
        continues = served.batch.continues;
    }
    groups
}

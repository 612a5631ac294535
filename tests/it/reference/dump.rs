//! A segment as text that stays the same as long as the format does: for golden files.

use std::fmt::Write;

use super::bytes::{hex, uuid};
use super::entry::{Entry, KIND_REDACTION, KIND_SNAPSHOT, Why};
use super::forgotten;
use super::frame::Frame;
use super::head::{Checkpoint, Header};
use super::prune::PruneRecord;
use super::recovery::{Gap, Verdict};
use super::salts::Salts;
use super::segment::{Segment, ServedBatch};
use super::snapshot::{self, State};

/// Payloads above this length, in bytes, are shown by their start and their hash.
const SHOWN_LEN_MAX: usize = 64;

/// A stable, human-readable dump: the header, the checkpoints, the verdict, then a line for each
/// gap, frame, batch (with the root at its end) and entry. What section 14 adds is shown only where
/// it is used, so that dumps of other segments stay what they were.
pub(crate) fn dump(segment: &Segment) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail, and a dump that ended early would show as a difference.
    let _ = write_segment(&mut out, segment);
    out
}

fn write_segment(out: &mut String, segment: &Segment) -> std::fmt::Result {
    writeln!(out, "segment of {} bytes", segment.e)?;
    for (number, unit) in segment.units.iter().enumerate() {
        let state = unit.as_ref().map_or_else(|e| format!("damaged: {e}"), |()| "valid".into());
        writeln!(out, "header unit {number}: {state}")?;
    }
    write_header(out, &segment.header)?;
    if let Some(record) = &segment.pruned {
        write_pruned(out, record)?;
    }
    for (number, slot) in segment.checkpoints.iter().enumerate() {
        match slot {
            Err(e) => writeln!(out, "checkpoint slot {number}: damaged: {e}")?,
            Ok(None) => writeln!(out, "checkpoint slot {number}: never written")?,
            Ok(Some(checkpoint)) => {
                writeln!(out, "checkpoint slot {number}: valid")?;
                write_checkpoint(out, checkpoint)?;
            }
        }
    }
    let (w, x, e) = (segment.w, segment.x, segment.e);
    writeln!(out, "verdict {} (W {w}, X {x}, E {e})", verdict(segment.verdict))?;
    let (at_opening, x) = segment.at_opening;
    writeln!(out, "verdict at opening {} (X {x})", verdict(at_opening))?;
    if let Some(reason) = &segment.break_reason {
        writeln!(out, "break {reason}")?;
    }
    for note in &segment.notes {
        writeln!(out, "note {note}")?;
    }

    let mut gaps = segment.gaps.iter().peekable();
    let mut batches = segment.batches.iter().peekable();
    for frame in &segment.frames {
        while let Some(gap) = gaps.next_if(|gap| gap.offset < frame.end()) {
            write_gap(out, gap)?;
        }
        write_frame(out, frame)?;
        while let Some(served) = batches.next_if(|b| b.frame_offset == frame.frame_offset) {
            write_batch(out, served)?;
        }
    }
    for gap in gaps {
        write_gap(out, gap)?;
    }
    match &segment.root {
        Some(root) => writeln!(out, "root of {} {}", segment.end_index, hex(root)),
        None => writeln!(out, "root unknown, reading got to {}", segment.end_index),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "clean",
        Verdict::TornTail => "torn tail",
        Verdict::Hole => "unsynced hole",
        Verdict::Damaged => "damaged",
    }
}

fn write_header(out: &mut String, header: &Header) -> std::fmt::Result {
    writeln!(out, "  version 1.{}", header.version_minor)?;
    writeln!(out, "  align {}", header.align())?;
    writeln!(out, "  preallocated {}", header.preallocated)?;
    writeln!(out, "  compatible_features {:#x}", header.compatible_features)?;
    writeln!(out, "  generation {}", header.generation)?;
    writeln!(out, "  carried_upto {}", header.carried_upto)?;
    writeln!(out, "  workspace {}", uuid(&header.workspace))?;
    writeln!(out, "  client {}", uuid(&header.client))?;
    writeln!(out, "  log {}", uuid(&header.log))?;
    writeln!(out, "  salt {}", hex(&header.salt))?;
    writeln!(out, "  created {}", time(header.created))?;
    writeln!(out, "  predecessor_log {}", uuid(&header.predecessor_log))?;
    writeln!(out, "  predecessor_size {}", header.predecessor_size)?;
    writeln!(out, "  predecessor_root {}", hex(&header.predecessor_root))?;
    writeln!(out, "  writer {:?}", header.writer)?;
    for (name, value) in [
        ("first_index", header.first_index),
        ("salts_offset", header.salts_offset.unwrap_or(0)),
        ("compacted_upto", header.compacted_upto),
        ("compacted_frames", header.compacted_frames),
    ] {
        if value != 0 {
            writeln!(out, "  {name} {value}")?;
        }
    }
    write_salts(out, &header.salts)
}

/// The salts that are kept; the root is all of them.
fn write_salts(out: &mut String, salts: &Salts) -> std::fmt::Result {
    if let Some(root) = salts.root() {
        return writeln!(out, "  salt_root {}", hex(&root));
    }
    for node in &salts.nodes {
        let (depth, position) = (node.depth, node.position);
        writeln!(out, "  salt_node depth {depth} position {position} {}", hex(&node.value))?;
    }
    for kept in &salts.groups {
        let hashes: Vec<String> = kept.salts.iter().map(|salt| hex(salt)).collect();
        write!(out, "  salt_group {} kept {:016x}", kept.number, kept.kept)?;
        writeln!(out, " {}", hashes.join(" "))?;
    }
    Ok(())
}

fn write_pruned(out: &mut String, record: &PruneRecord) -> std::fmt::Result {
    writeln!(out, "pruned {} entries at {}", record.size, time(record.pruned))?;
    writeln!(out, "  change_count {}", record.change_count)?;
    writeln!(out, "  payload_bytes {}", record.payload_bytes)?;
    writeln!(out, "  lamport {}", record.lamport)?;
    writeln!(out, "  time_max {}", time(record.time_max))?;
    writeln!(out, "  root {}", hex(&record.root))?;
    for peak in &record.peaks {
        writeln!(out, "  peak {}", hex(peak))?;
    }
    for named in &record.declarations {
        write!(out, "  stream {} of entry {}", named.stream, named.index)?;
        writeln!(out, " form {} name {}", named.form, quoted(&named.name))?;
    }
    for kept in &record.kept {
        write!(out, "  kept entry {} kind {}", kept.index, kept.kind)?;
        writeln!(out, " stream {} payload {}", kept.stream, hex(&kept.payload))?;
    }
    Ok(())
}

fn write_checkpoint(out: &mut String, checkpoint: &Checkpoint) -> std::fmt::Result {
    writeln!(out, "  sequence {}", checkpoint.sequence)?;
    writeln!(out, "  generation {}", checkpoint.generation)?;
    writeln!(out, "  incarnation {:016x}", checkpoint.incarnation)?;
    writeln!(out, "  opening {}", checkpoint.opening)?;
    writeln!(out, "  clean_close {}", checkpoint.clean_close)?;
    writeln!(out, "  durable_len {}", checkpoint.durable_len)?;
    writeln!(out, "  entry_count {}", checkpoint.entry_count)?;
    writeln!(out, "  change_count {}", checkpoint.change_count)?;
    writeln!(out, "  payload_bytes {}", checkpoint.payload_bytes)?;
    writeln!(out, "  frame_count {}", checkpoint.frame_count)?;
    writeln!(out, "  lamport {}", checkpoint.lamport)?;
    writeln!(out, "  time_max {}", time(checkpoint.time_max))?;
    writeln!(out, "  stream_count {}", checkpoint.stream_count)?;
    writeln!(out, "  last_header_crc {:08x}", checkpoint.last_header_crc)?;
    writeln!(out, "  root {}", hex(&checkpoint.root))?;
    for peak in &checkpoint.peaks {
        writeln!(out, "  peak {}", hex(peak))?;
    }
    Ok(())
}

fn write_gap(out: &mut String, gap: &Gap) -> std::fmt::Result {
    let end = |end: Option<u64>| end.map_or_else(|| "unknown".to_owned(), |end| end.to_string());
    let (end_offset, end_index) = (end(gap.end_offset), end(gap.end_index));
    let (offset, first_index) = (gap.offset, gap.first_index);
    writeln!(out, "lost bytes {offset}..{end_offset} entries {first_index}..{end_index}")
}

fn write_frame(out: &mut String, frame: &Frame) -> std::fmt::Result {
    write!(out, "frame {}..{} kind {}", frame.frame_offset, frame.end(), frame.kind)?;
    write!(out, " flags {} payload_len {}", frame.flags, frame.payload_len)?;
    write!(out, " payload_crc {:08x} generation {}", frame.payload_crc, frame.generation)?;
    write!(out, " incarnation {:016x} opening {}", frame.incarnation, frame.opening)?;
    write!(out, " synced_upto {} first_index {}", frame.synced_upto, frame.first_index)?;
    write!(out, " entry_count {} link {:08x}", frame.entry_count, frame.link)?;
    writeln!(out, " header_crc {:08x}", frame.header_crc)
}

fn write_batch(out: &mut String, served: &ServedBatch) -> std::fmt::Result {
    let batch = &served.batch;
    write!(out, "  batch {}..{}", batch.first_index, batch.end_index())?;
    write!(out, " meta codec {}", batch.meta_codec)?;
    write!(out, " {} of {}", batch.meta_len, batch.meta_raw_len)?;
    write!(out, " payload codec {}", batch.payload_codec)?;
    writeln!(out, " {} of {}", batch.payload_len, batch.payload_raw_len)?;
    for extension in &batch.extensions {
        writeln!(out, "  extension {} {}", extension.kind, hex(&extension.content))?;
    }
    for entry in &batch.entries {
        write_entry(out, entry)?;
    }
    let checked = if served.root_is_checked { "" } else { " (not checked)" };
    writeln!(out, "  root of {} {}{checked}", batch.end_index(), hex(&batch.root))
}

fn write_entry(out: &mut String, entry: &Entry) -> std::fmt::Result {
    write!(out, "  entry {} lamport {}", entry.index, entry.lamport)?;
    write!(out, " time {} kind {}", time(entry.timestamp), entry.kind)?;
    write!(out, " flags {} stream {}", entry.flags, entry.stream)?;
    let Some(absent) = &entry.absent else {
        writeln!(out, " payload {}", payload(&entry.payload))?;
        return write_meaning(out, entry);
    };
    write!(out, " payload of {} bytes absent", absent.payload_len)?;
    write!(out, ", hash {}", hex(&absent.payload_hash))?;
    match &absent.why {
        Why::Withheld => writeln!(out, ", withheld"),
        Why::Redacted { by, reason } => writeln!(out, ", redacted by {by}: {reason:?}"),
    }
}

/// What a redaction or snapshot says, if it is well-formed.
fn write_meaning(out: &mut String, entry: &Entry) -> std::fmt::Result {
    if let (KIND_REDACTION, Ok(said)) = (entry.kind, forgotten::decode(&entry.payload)) {
        let (first, end) =
            (said.first_index, said.first_index.saturating_add(said.entry_count.into()));
        writeln!(out, "    redacts {first}..{end}: {:?}", said.reason)?;
    }
    if let (KIND_SNAPSHOT, Ok(said)) = (entry.kind, snapshot::decode(&entry.payload)) {
        for row in said.frontier {
            write!(out, "    covers log {} size {}", uuid(&row.log), row.size)?;
            writeln!(out, " lamport {} root {}", row.lamport, hex(&row.root))?;
        }
        match said.state {
            State::Inline(state) => writeln!(out, "    state {}", payload(&state))?,
            State::Asset { size, id } => {
                writeln!(out, "    state asset of {size} bytes {}", hex(&id))?;
            }
        }
    }
    Ok(())
}

fn time(time: Option<i64>) -> String {
    time.map_or_else(|| "none".to_owned(), |micros| micros.to_string())
}

/// Printable ASCII in quotes, anything else in hex. A long payload is its length, its hash and
/// its start.
fn payload(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN_LEN_MAX).filter(|_| bytes.len() > SHOWN_LEN_MAX) {
        None => quoted(bytes),
        Some(start) => {
            let hash = blake3::hash(bytes).to_hex();
            format!("{} bytes, BLAKE3 {hash}, from {}", bytes.len(), quoted(start))
        }
    }
}

fn quoted(bytes: &[u8]) -> String {
    let is_text = bytes.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic());
    if is_text { format!("\"{}\"", bytes.escape_ascii()) } else { format!("hex {}", hex(bytes)) }
}

//! Bundles (section 11, H-12), as a reader without a workspace judges them.
//!
//! Every root is computed: of a log that is carried from a later entry than the first, the bundle has
//! the peaks of what comes before. Whether those are right is for the importer, who has the entries.

use super::batch::{self, Batch};
use super::bytes::{
    Uuid, array_at, crc, ensure, padded_text, part, salted_crc, time_at, to_usize, u8_at, u16_at,
    u32_at, u64_at, zero_at,
};
use super::entry::{self, Row};
use super::forgotten;
use super::history::History;
use super::limits::FRAME_PAYLOAD_LEN_MAX;
use super::merkle::Hash;
use super::prune::{self, PruneRecord};
use super::salts::{self, Salts};

/// Length of the bundle header (U-1).
const HEADER_LEN: usize = 96;
/// Length of a record header (U-2).
const RECORD_HEADER_LEN: usize = 32;
/// Length of a row of the frontier record (U-3).
const ROW_LEN: usize = 88;
/// Offset of the peaks in a log record (U-3); their number stands before them.
const PEAKS_AT: usize = 100;

/// A bundle that is complete and sound.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "the names are those of the table")]
pub(crate) struct Bundle {
    pub(crate) version_minor: u16,
    pub(crate) compatible_features: u64,
    pub(crate) workspace: Uuid,
    pub(crate) bundle: Uuid,
    pub(crate) writer: String,
    /// The frontier: for each row the index of the first entry that is carried.
    pub(crate) frontier: Vec<(Row, u64)>,
    /// The logs of which entries are carried.
    pub(crate) logs: Vec<BundleLog>,
    pub(crate) record_count: u64,
}

/// One log of a bundle.
#[derive(Clone, Debug)]
pub(crate) struct BundleLog {
    pub(crate) row: Row,
    pub(crate) from: u64,
    pub(crate) created: Option<i64>,
    pub(crate) predecessor_log: Uuid,
    pub(crate) predecessor_size: u64,
    pub(crate) predecessor_root: Hash,
    /// Peaks of the first `from` entries.
    pub(crate) peaks: Vec<Hash>,
    pub(crate) salts: Salts,
    /// The first `from` entries, handed over as pruned (H-12).
    pub(crate) pruned: Option<PruneRecord>,
    pub(crate) batches: Vec<Batch>,
}

/// One record whose checksums hold (U-2).
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    kind: u8,
    flags: u8,
    sequence: u64,
    /// Offset of the record in the bundle.
    offset: usize,
    payload: &'a [u8],
}

/// Decodes a whole bundle.
///
/// # Errors
///
/// It is refused, ends before its end record, or breaks a rule.
pub(crate) fn decode(bytes: &[u8]) -> Result<Bundle, String> {
    let mut bundle = decode_header(bytes)?;
    let mut records = decode_records(bytes, &bundle.bundle)?;
    let end = records.pop().ok_or_else(|| "U-3: no records".to_owned())?;
    check_end(bytes, &end)?;

    let mut records = records.iter().peekable();
    let first = records.next().filter(|record| record.kind == 1);
    let frontier = first.ok_or_else(|| "U-3: the first record is no frontier".to_owned())?;
    for (row, from) in entry::rows(frontier.payload, ROW_LEN)? {
        let from = u64_at(&from, 0)?;
        ensure(from <= row.size, || format!("U-3: from {from} above size {}", row.size))?;
        bundle.frontier.push((row, from));
    }
    for (row, from) in bundle.frontier.clone() {
        if from == row.size {
            continue;
        }
        let log = records.next().filter(|record| record.kind == 2);
        let log = log.ok_or_else(|| "U-3: a row without its log record".to_owned())?;
        let mut log = decode_log(log.payload, &row, from)?;
        if let Some(record) = records.next_if(|record| record.kind == 5) {
            log.pruned = Some(decode_pruned(record.payload, &log)?);
        }
        while let Some(record) = records.next_if(|record| record.kind == 3) {
            let batch = batch::decode(record.payload)
                .map_err(|e| format!("{e}, in record {}", record.sequence))?;
            log.batches.push(batch);
        }
        check_log(&log)?;
        // A redaction stands behind what it is about: none of an entry that is carried is missing.
        let redacted = forgotten::redacted(log.batches.iter().flat_map(|batch| &batch.entries));
        let entries = log.batches.iter_mut().flat_map(|batch| &mut batch.entries);
        forgotten::explain(entries, &redacted);
        bundle.logs.push(log);
    }
    if let Some(record) = records.next() {
        return Err(format!("U-3: record {} of kind {}", record.sequence, record.kind));
    }
    bundle.record_count = end.sequence;
    Ok(bundle)
}

/// U-1; the rest of the bundle is still empty.
fn decode_header(bytes: &[u8]) -> Result<Bundle, String> {
    let header = part(bytes, 0, HEADER_LEN).map_err(|_| "U-1: no header".to_owned())?;
    ensure(header.starts_with(b"\x89ANLB\r\n\x1A"), || "U-1: magic".to_owned())?;
    ensure(u32_at(header, 92)? == crc(part(header, 0, 92)?), || "U-1: CRC".to_owned())?;
    let writer = padded_text(part(header, 64, 24)?);
    let version_major = u16_at(header, 8)?;
    ensure(version_major == 1, || format!("V-1: version {version_major} by {writer:?}"))?;
    let incompatible = u64_at(header, 24)?;
    ensure(incompatible == 0, || {
        format!("V-1: incompatible features {incompatible:#x} by {writer:?}")
    })?;
    zero_at(header, 12, 4, "U-1")?;
    zero_at(header, 88, 4, "U-1")?;
    Ok(Bundle {
        version_minor: u16_at(header, 10)?,
        compatible_features: u64_at(header, 16)?,
        workspace: array_at(header, 32)?,
        bundle: array_at(header, 48)?,
        writer,
        frontier: Vec::new(),
        logs: Vec::new(),
        record_count: 0,
    })
}

/// All records up to the end record (U-2), without those this version may ignore.
fn decode_records<'a>(bytes: &'a [u8], salt: &Uuid) -> Result<Vec<Record<'a>>, String> {
    let mut records = Vec::new();
    let mut offset = HEADER_LEN;
    let mut sequence = 0;
    loop {
        let record = decode_record(bytes, offset, sequence, salt)?;
        let is_critical = record.flags == 1;
        offset = offset.saturating_add(RECORD_HEADER_LEN).saturating_add(record.payload.len());
        sequence += 1;
        if !matches!(record.kind, 1..=5) {
            ensure(!is_critical, || format!("U-3: unknown critical record kind {}", record.kind))?;
            continue;
        }
        ensure(is_critical, || format!("U-3: record kind {} is not critical", record.kind))?;
        records.push(record);
        if record.kind == 4 {
            ensure(offset == bytes.len(), || "U-3: bytes follow the end record".to_owned())?;
            return Ok(records);
        }
    }
}

fn decode_record<'a>(
    bytes: &'a [u8],
    offset: usize,
    sequence: u64,
    salt: &Uuid,
) -> Result<Record<'a>, String> {
    let ends = |_| "U-5: the bundle ends before its end record".to_owned();
    let header = part(bytes, offset, RECORD_HEADER_LEN).map_err(ends)?;
    ensure(header.starts_with(b"ANR1"), || format!("U-2: magic of record {sequence}"))?;
    ensure(u32_at(header, 28)? == salted_crc(salt, part(header, 0, 28)?), || {
        format!("U-2: header CRC of record {sequence}")
    })?;
    let flags = u8_at(header, 5)?;
    ensure(flags <= 1, || format!("U-2: flags {flags:#x} of record {sequence}"))?;
    zero_at(header, 6, 2, "U-2")?;
    zero_at(header, 24, 4, "U-2")?;
    let own_sequence = u64_at(header, 8)?;
    ensure(own_sequence == sequence, || format!("U-2: sequence {own_sequence}, not {sequence}"))?;
    let payload_len = u32_at(header, 16)?;
    ensure(payload_len <= FRAME_PAYLOAD_LEN_MAX, || format!("L-1: payload_len {payload_len}"))?;
    let payload_at = offset.saturating_add(RECORD_HEADER_LEN);
    let payload = part(bytes, payload_at, to_usize(u64::from(payload_len))?).map_err(ends)?;
    ensure(u32_at(header, 20)? == salted_crc(salt, payload), || {
        format!("U-2: payload CRC of record {sequence}")
    })?;
    Ok(Record { kind: u8_at(header, 4)?, flags, sequence, offset, payload })
}

/// The end record (U-3).
fn check_end(bytes: &[u8], end: &Record<'_>) -> Result<(), String> {
    ensure(end.payload.len() == 40, || {
        format!("U-3: an end record of {} bytes", end.payload.len())
    })?;
    let record_count = u64_at(end.payload, 0)?;
    ensure(record_count == end.sequence, || format!("U-3: record_count {record_count}"))?;
    let hash: Hash = array_at(end.payload, 8)?;
    ensure(hash == *blake3::hash(part(bytes, 0, end.offset)?).as_bytes(), || {
        "U-3: hash in the end record".to_owned()
    })
}

/// A log record (U-3); its batches are yet to come.
fn decode_log(payload: &[u8], row: &Row, from: u64) -> Result<BundleLog, String> {
    let ids: (Uuid, Uuid) = (array_at(payload, 0)?, array_at(payload, 16)?);
    ensure(ids == (row.client, row.log), || "U-3: a log record out of order".to_owned())?;
    let peak_count = u32_at(payload, PEAKS_AT - 4)?;
    ensure(peak_count == from.count_ones(), || format!("U-3: {peak_count} peaks of {from}"))?;
    let peaks = part(payload, PEAKS_AT, 32 * to_usize(u64::from(peak_count))?)?;
    let record = payload.get(PEAKS_AT + peaks.len()..).unwrap_or_default();
    Ok(BundleLog {
        row: row.clone(),
        from,
        created: time_at(payload, 32)?,
        predecessor_log: array_at(payload, 40)?,
        predecessor_size: u64_at(payload, 56)?,
        predecessor_root: array_at(payload, 64)?,
        peaks: peaks.chunks_exact(32).map(|p| array_at(p, 0)).collect::<Result<_, _>>()?,
        salts: salts::decode(record)?,
        pruned: None,
        batches: Vec::new(),
    })
}

/// The prune record behind the record of `log` (H-12).
fn decode_pruned(payload: &[u8], log: &BundleLog) -> Result<PruneRecord, String> {
    let record = prune::decode(&log.row.log, payload)?;
    ensure(record.size == log.from, || {
        format!("H-12: {} entries pruned, and from {}", record.size, log.from)
    })?;
    ensure(record.peaks == log.peaks, || {
        "H-12: the peaks of the prune record are not those of the log record".to_owned()
    })?;
    Ok(record)
}

/// The batches of a log against its row (U-3, U-4).
fn check_log(log: &BundleLog) -> Result<(), String> {
    let name = super::bytes::uuid(&log.row.log);
    let at = |e: String| format!("{e}, in log {name}");
    let salts = log.salts.clone();
    let mut history = if let Some(record) = &log.pruned {
        History::pruned(&log.row.log, salts, record).map_err(at)?
    } else {
        let mut history = History::new(&log.row.log, salts);
        history.skip_with_peaks(log.from, &log.peaks).map_err(at)?;
        history
    };
    for batch in &log.batches {
        history.append(batch).map_err(at)?;
    }
    ensure(history.end_index == log.row.size, || {
        at(format!("U-3: the batches end at {}, not {}", history.end_index, log.row.size))
    })?;
    history.end_group().map_err(at)?;
    ensure(!log.batches.last().is_some_and(|batch| batch.continues), || {
        at(format!("U-3: size {} lies inside an atomic group", log.row.size))
    })?;
    ensure(history.lamport == log.row.lamport, || {
        at(format!("E-7: lamport {}, not {}", history.lamport, log.row.lamport))
    })?;
    let root = log.batches.last().map(|batch| batch.root);
    ensure(root == Some(log.row.root), || at("U-4: the last root is not the row's".to_owned()))
}

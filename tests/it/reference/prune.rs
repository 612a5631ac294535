//! Prune records (H-10): what is kept of the entries that a log begins without.

use std::collections::HashSet;

use super::bytes::{
    Uuid, array_at, ensure, part, time_at, to_usize, u8_at, u16_at, u32_at, u64_at, zero_at,
};
use super::entry;
use super::limits::{ENTRY_PAYLOAD_LEN_MAX, LAMPORT_MAX, LOG_ENTRY_COUNT_MAX, STREAM_COUNT_MAX};
use super::merkle::{self, Hash};

/// Offset of the peaks in a prune record.
const PEAKS_AT: usize = 96;

/// A prune record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PruneRecord {
    /// How many entries were pruned.
    pub(crate) size: u64,
    pub(crate) root: Hash,
    pub(crate) change_count: u64,
    pub(crate) payload_bytes: u64,
    /// Clock of the last pruned entry.
    pub(crate) lamport: u64,
    pub(crate) time_max: Option<i64>,
    pub(crate) pruned: Option<i64>,
    pub(crate) peaks: Vec<Hash>,
    pub(crate) declarations: Vec<Declaration>,
    pub(crate) kept: Vec<KeptEntry>,
}

/// A stream that was declared by a pruned entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Declaration {
    pub(crate) stream: u32,
    pub(crate) form: u8,
    pub(crate) index: u64,
    pub(crate) name: Vec<u8>,
}

/// An entry that still counts though it was pruned: a claim that was live, or a release of claims elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct KeptEntry {
    pub(crate) index: u64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) stream: u32,
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

/// Decodes the prune record of `log` that is all of `bytes`.
pub(crate) fn decode(log: &Uuid, bytes: &[u8]) -> Result<PruneRecord, String> {
    ensure(bytes.len() >= PEAKS_AT, || format!("H-10: a record of {} bytes", bytes.len()))?;
    let version = u8_at(bytes, 0)?;
    ensure(version == 1, || format!("H-10: prune record version {version}"))?;
    zero_at(bytes, 1, 3, "H-10")?;
    let size = u64_at(bytes, 8)?;
    ensure((1..=LOG_ENTRY_COUNT_MAX).contains(&size), || format!("H-10: {size} pruned entries"))?;
    let peak_count = u32_at(bytes, 4)?;
    ensure(peak_count == size.count_ones(), || format!("H-10: {peak_count} peaks of {size}"))?;
    let reader = &mut Reader { bytes, at: PEAKS_AT };
    let peaks = (0..peak_count)
        .map(|_| array_at(reader.next(32)?, 0))
        .collect::<Result<Vec<Hash>, String>>()?;
    let root = array_at(bytes, 16)?;
    let mth = merkle::mth_of_peaks(log, &peaks);
    ensure(root == merkle::root_of(log, size, &mth), || {
        "H-10: the peaks do not give the root".to_owned()
    })?;
    let declarations = declarations(reader, u32_at(bytes, 88)?, size)?;
    let kept = kept_entries(reader, u32_at(bytes, 92)?, size, &declarations)?;
    ensure(reader.at == bytes.len(), || {
        format!("H-10: the record ends at {} of {} bytes", reader.at, bytes.len())
    })?;
    let record = PruneRecord {
        size,
        root,
        change_count: u64_at(bytes, 48)?,
        payload_bytes: u64_at(bytes, 56)?,
        lamport: u64_at(bytes, 64)?,
        time_max: time_at(bytes, 72)?,
        pruned: time_at(bytes, 80)?,
        peaks,
        declarations,
        kept,
    };
    check_counts(&record)?;
    Ok(record)
}

/// No entry has two kinds, none is longer than an entry may be, and every clock is above the one
/// before (E-8).
fn check_counts(record: &PruneRecord) -> Result<(), String> {
    let controls = super::bytes::to_u64(record.declarations.len() + record.kept.len());
    let entries = record.change_count.saturating_add(controls);
    ensure(entries <= record.size, || {
        format!("H-10: {entries} changes, declarations and kept entries in {} entries", record.size)
    })?;
    ensure(record.payload_bytes <= record.size.saturating_mul(ENTRY_PAYLOAD_LEN_MAX), || {
        format!("H-10: {} bytes in {} entries", record.payload_bytes, record.size)
    })?;
    ensure((record.size..=LAMPORT_MAX).contains(&record.lamport), || {
        format!("H-10: lamport {} after {} entries", record.lamport, record.size)
    })
}

/// The declarations, in order (E-4, X-8).
fn declarations(
    reader: &mut Reader<'_>,
    count: u32,
    size: u64,
) -> Result<Vec<Declaration>, String> {
    ensure(count <= STREAM_COUNT_MAX, || format!("L-1: {count} declarations"))?;
    let mut declarations: Vec<Declaration> = Vec::new();
    let mut names = HashSet::new();
    for number in 1..=count {
        let fixed = reader.next(16)?;
        let stream = u32_at(fixed, 0)?;
        ensure(stream == number, || format!("E-4: stream {stream} is declared, not {number}"))?;
        let form = u8_at(fixed, 4)?;
        ensure(u16_at(fixed, 6)? == 0, || "X-8, G-3: bytes 6 and 7 are not zero".to_owned())?;
        let index = u64_at(fixed, 8)?;
        ensure(
            index < size && declarations.last().is_none_or(|before| before.index < index),
            || format!("H-10: stream {stream} is declared by entry {index}"),
        )?;
        let name = reader.next(u64::from(u8_at(fixed, 5)?))?.to_vec();
        let as_entry = entry::stream_name(&[[form].as_slice(), &name].concat())?;
        ensure(names.insert(as_entry), || format!("E-4: stream {stream} has a name again"))?;
        declarations.push(Declaration { stream, form, index, name });
    }
    Ok(declarations)
}

/// The kept entries, ascending by index (H-10).
fn kept_entries(
    reader: &mut Reader<'_>,
    count: u32,
    size: u64,
    declarations: &[Declaration],
) -> Result<Vec<KeptEntry>, String> {
    let mut kept: Vec<KeptEntry> = Vec::new();
    for _ in 0..count {
        let fixed = reader.next(32)?;
        let (index, stream) = (u64_at(fixed, 0)?, u32_at(fixed, 16)?);
        ensure(index < size && kept.last().is_none_or(|before| before.index < index), || {
            format!("H-10: the kept entry {index} is out of order")
        })?;
        let is_declared = stream == 0
            || declarations.iter().any(|named| named.stream == stream && named.index < index);
        ensure(is_declared, || format!("E-4: the kept entry {index} names stream {stream}"))?;
        let kind = u8_at(fixed, 24)?;
        ensure(matches!(kind, 4 | 5), || format!("H-10: a kept entry of kind {kind}"))?;
        zero_at(fixed, 25, 7, "H-10")?;
        // Whether it claims or releases anything is A-4's to say: a malformed one is kept as well.
        let payload = reader.next(u64::from(u32_at(fixed, 20)?))?.to_vec();
        kept.push(KeptEntry { index, timestamp: time_at(fixed, 8)?, stream, kind, payload });
    }
    Ok(kept)
}

/// The parts of a record one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self, len: u64) -> Result<&'a [u8], String> {
        let bytes = part(self.bytes, self.at, to_usize(len)?)
            .map_err(|_| format!("H-10: {len} bytes at {} of {}", self.at, self.bytes.len()))?;
        self.at = self.at.saturating_add(bytes.len());
        Ok(bytes)
    }
}

//! Batches (section 5).

use std::collections::BTreeMap;

use super::bytes::{
    Uuid, array_at, ensure, part, time, to_usize, u8_at, u16_at, u32_at, u64_at, zero_at,
};
use super::column;
use super::entry::{Absent, Entry, KIND_CHANGE, Why};
use super::limits::{
    BATCH_ENTRY_COUNT_MAX, BATCH_EXTENSION_LEN_MAX, BATCH_META_LEN_MAX, BATCH_PAYLOAD_LEN_MAX,
    ENTRY_PAYLOAD_LEN_MAX, LAMPORT_MAX, LOG_ENTRY_COUNT_MAX,
};
use super::merkle::Hash;

/// Length of the batch header (B-1).
const HEADER_LEN: usize = 96;
/// Type of the extension that names absent payloads (B-8).
const EXTENSION_ABSENT: u16 = 1;
/// Length of a row in it.
const ABSENT_ROW_LEN: usize = 36;

/// A batch and its entries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Batch {
    pub(crate) meta_codec: u8,
    pub(crate) payload_codec: u8,
    /// The next batch belongs to the same atomic group.
    pub(crate) continues: bool,
    pub(crate) log: Uuid,
    pub(crate) first_index: u64,
    pub(crate) entry_count: u32,
    pub(crate) meta_raw_len: u32,
    pub(crate) meta_len: u32,
    pub(crate) payload_raw_len: u32,
    pub(crate) payload_len: u32,
    /// What the batch claims; whether it holds is for the caller, who knows the entries before.
    pub(crate) root: Hash,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) entries: Vec<Entry>,
}

/// An extension section that is kept and ignored (B-3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Extension {
    pub(crate) kind: u16,
    pub(crate) content: Vec<u8>,
}

impl Batch {
    /// Index behind the last entry.
    pub(crate) fn end_index(&self) -> u64 {
        self.first_index.saturating_add(u64::from(self.entry_count))
    }
}

/// Decodes the batch that is all of `bytes` (B-2).
pub(crate) fn decode(bytes: &[u8]) -> Result<Batch, String> {
    ensure(bytes.len() >= HEADER_LEN, || format!("B-1: a batch of {} bytes", bytes.len()))?;
    ensure(bytes.starts_with(b"ANB1"), || "B-1: magic".to_owned())?;
    let (meta_codec, payload_codec) = (u8_at(bytes, 4)?, u8_at(bytes, 5)?);
    let cipher_suite = u8_at(bytes, 6)?;
    ensure(cipher_suite == 0, || format!("B-2: cipher suite {cipher_suite} is not supported"))?;
    zero_at(bytes, 7, 1, "B-1")?;
    let key_epoch = u32_at(bytes, 8)?;
    ensure(key_epoch == 0, || format!("B-1: key epoch {key_epoch}"))?;
    let flags = u32_at(bytes, 12)?;
    ensure(flags <= 1, || format!("B-2: flags {flags:#x} are not supported"))?;

    let first_index = u64_at(bytes, 32)?;
    let entry_count = u32_at(bytes, 40)?;
    ensure((1..=BATCH_ENTRY_COUNT_MAX).contains(&entry_count), || {
        format!("L-1: a batch of {entry_count} entries")
    })?;
    let end_index = first_index.checked_add(u64::from(entry_count));
    ensure(end_index.is_some_and(|end| end <= LOG_ENTRY_COUNT_MAX), || {
        format!("L-1: {entry_count} entries from {first_index}")
    })?;
    let extension_len = limited(bytes, 44, "extension_len", BATCH_EXTENSION_LEN_MAX)?;
    let meta_raw_len = limited(bytes, 48, "meta_raw_len", BATCH_META_LEN_MAX)?;
    let meta_len = u32_at(bytes, 52)?;
    let payload_raw_len = limited(bytes, 56, "payload_raw_len", BATCH_PAYLOAD_LEN_MAX)?;
    let payload_len = u32_at(bytes, 60)?;

    let extension_at = HEADER_LEN;
    let meta_at = end_of(extension_at, extension_len)?;
    let payload_at = end_of(meta_at, meta_len)?;
    let end = end_of(payload_at, payload_len)?;
    ensure(end == bytes.len(), || {
        format!("B-2: the batch ends at {end} of {} bytes", bytes.len())
    })?;
    let stored = |at: usize, len: u32| part(bytes, at, to_usize(u64::from(len))?);
    let (extensions, absent) =
        decode_extensions(stored(extension_at, extension_len)?, entry_count)?;
    let meta = decode_section(meta_codec, stored(meta_at, meta_len)?, meta_raw_len)
        .map_err(|e| format!("{e}, in the meta section"))?;
    let payloads = decode_section(payload_codec, stored(payload_at, payload_len)?, payload_raw_len)
        .map_err(|e| format!("{e}, in the payload section"))?;

    Ok(Batch {
        meta_codec,
        payload_codec,
        continues: flags == 1,
        log: array_at(bytes, 16)?,
        first_index,
        entry_count,
        meta_raw_len,
        meta_len,
        payload_raw_len,
        payload_len,
        root: array_at(bytes, 64)?,
        extensions,
        entries: decode_entries(first_index, entry_count, &meta, &payloads, &absent)?,
    })
}

fn limited(bytes: &[u8], offset: usize, name: &str, max: u32) -> Result<u32, String> {
    let len = u32_at(bytes, offset)?;
    ensure(len <= max, || format!("L-1: {name} {len}"))?;
    Ok(len)
}

fn end_of(at: usize, len: u32) -> Result<usize, String> {
    at.checked_add(to_usize(u64::from(len))?).ok_or_else(|| "B-1: lengths overflow".to_owned())
}

/// Payload hashes of the entries whose payload is absent, by position in the batch (B-8).
type AbsentHashes = BTreeMap<u32, Hash>;

/// Extension sections (B-3): those that are kept and ignored, and what that of B-8 says.
fn decode_extensions(
    bytes: &[u8],
    entry_count: u32,
) -> Result<(Vec<Extension>, AbsentHashes), String> {
    let mut extensions = Vec::new();
    let mut absent = AbsentHashes::new();
    let mut at = 0;
    while at < bytes.len() {
        let fill = || format!("B-3: the extension at {at} does not fit in {}", bytes.len());
        let header = part(bytes, at, 8).map_err(|_| fill())?;
        let kind = u16_at(header, 0)?;
        let flags = u16_at(header, 2)?;
        let len = to_usize(u64::from(u32_at(header, 4)?))?;
        ensure(flags <= 1, || format!("B-3: extension flags {flags:#x}"))?;
        let content = part(bytes, at.saturating_add(8), len).map_err(|_| fill())?;
        if kind == EXTENSION_ABSENT {
            ensure(flags == 1, || "B-8: the extension is not critical".to_owned())?;
            // It has at least one row.
            ensure(absent.is_empty(), || "B-8: the extension comes twice".to_owned())?;
            absent = decode_absent(content, entry_count)?;
        } else {
            ensure(flags == 0, || format!("B-3: critical extension {kind} is not supported"))?;
            extensions.push(Extension { kind, content: content.to_vec() });
        }
        at = at.saturating_add(8).saturating_add(len);
    }
    Ok((extensions, absent))
}

/// The rows of the extension of B-8.
fn decode_absent(content: &[u8], entry_count: u32) -> Result<AbsentHashes, String> {
    let len = content.len();
    ensure(len > 0 && len.is_multiple_of(ABSENT_ROW_LEN), || {
        format!("B-8: {len} bytes are no rows of {ABSENT_ROW_LEN}")
    })?;
    let mut absent = AbsentHashes::new();
    for row in content.chunks_exact(ABSENT_ROW_LEN) {
        let position = u32_at(row, 0)?;
        ensure(position < entry_count, || {
            format!("B-8: position {position} of {entry_count} entries")
        })?;
        ensure(absent.last_key_value().is_none_or(|(&before, _)| before < position), || {
            format!("B-8: position {position} does not ascend")
        })?;
        absent.insert(position, array_at(row, 4)?);
    }
    Ok(absent)
}

/// A section as it stood before compression (B-2).
fn decode_section(codec: u8, stored: &[u8], raw_len: u32) -> Result<Vec<u8>, String> {
    let raw_len = to_usize(u64::from(raw_len))?;
    match codec {
        0 => {
            ensure(stored.len() == raw_len, || {
                format!("B-2: {} stored bytes for {raw_len}", stored.len())
            })?;
            Ok(stored.to_vec())
        }
        1 => decompress(stored, raw_len),
        other => Err(format!("B-2: codec {other} is not supported")),
    }
}

/// Exactly one zstd frame without a dictionary that holds exactly `raw_len` bytes (B-2).
fn decompress(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, String> {
    use zstd::zstd_safe::{find_frame_compressed_size, get_dict_id_from_frame};

    // A skippable frame has another magic, and RFC 8878 does not call it a Zstandard frame.
    ensure(stored.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]), || "B-2: no zstd frame".to_owned())?;
    let frame_len = find_frame_compressed_size(stored)
        .map_err(|code| format!("B-2: {}", zstd::zstd_safe::get_error_name(code)))?;
    ensure(frame_len == stored.len(), || {
        format!("B-2: a zstd frame of {frame_len} in {} bytes", stored.len())
    })?;
    ensure(get_dict_id_from_frame(stored).is_none(), || "B-2: a dictionary".to_owned())?;
    let raw = zstd::bulk::decompress(stored, raw_len).map_err(|e| format!("B-2: zstd: {e}"))?;
    ensure(raw.len() == raw_len, || format!("B-2: {} bytes for {raw_len}", raw.len()))?;
    Ok(raw)
}

/// The entries from the columns (B-4, B-6) and the payloads (B-7) that are not absent (B-8).
fn decode_entries(
    first_index: u64,
    entry_count: u32,
    meta: &[u8],
    payloads: &[u8],
    absent: &AbsentHashes,
) -> Result<Vec<Entry>, String> {
    let n = to_usize(u64::from(entry_count))?;
    let at = &mut 0;
    let mut next =
        |name: &str| column::decode(meta, at, n).map_err(|e| format!("{e}, in the {name} column"));
    let mut kinds = next("kind")?.into_iter();
    let mut flags = next("flags")?.into_iter();
    let mut streams = next("stream")?.into_iter();
    let mut payload_lens = next("payload_len")?.into_iter();
    let mut lamports = next("lamport")?.into_iter();
    let mut timestamps = next("timestamp")?.into_iter();
    ensure(*at == meta.len(), || format!("B-4: {} bytes of columns in {}", at, meta.len()))?;

    let mut entries: Vec<Entry> = Vec::new();
    let mut payload_at = 0_usize;
    for position in 0..entry_count {
        let i = u64::from(position);
        let value = |column: &mut std::vec::IntoIter<u64>, name: &str, max: u64| {
            let value = column.next().ok_or_else(|| format!("B-4: no {name} of entry {i}"))?;
            ensure(value <= max, || format!("B-6: {name} {value} of entry {i}"))?;
            Ok::<u64, String>(value)
        };
        let kind = value(&mut kinds, "kind", u64::from(u8::MAX))?;
        let flags = value(&mut flags, "flags", 3)?;
        let stream = value(&mut streams, "stream", u64::from(u32::MAX))?;
        let payload_len = value(&mut payload_lens, "payload_len", ENTRY_PAYLOAD_LEN_MAX)?;
        let lamport = value(&mut lamports, "lamport", LAMPORT_MAX)?;
        let timestamp = value(&mut timestamps, "timestamp", u64::MAX)?;
        ensure(lamport > entries.last().map_or(0, |before| before.lamport), || {
            format!("B-6: lamport {lamport} of entry {i} does not rise")
        })?;
        let kind = u8::try_from(kind).map_err(|e| format!("B-6: {e}"))?;
        let absent = absent
            .get(&position)
            .map(|hash| absent_payload(kind, payload_len, hash))
            .transpose()
            .map_err(|e| format!("{e}, entry {i}"))?;
        let stored_len = if absent.is_some() { 0 } else { to_usize(payload_len)? };
        let payload = part(payloads, payload_at, stored_len)
            .map_err(|_| format!("B-7: the payload of entry {i} ends too late"))?;
        payload_at = payload_at.saturating_add(payload.len());
        entries.push(Entry {
            index: first_index.saturating_add(i),
            lamport,
            timestamp: time(i64::from_le_bytes(timestamp.to_le_bytes())),
            kind,
            flags: u8::try_from(flags).map_err(|e| format!("B-6: {e}"))?,
            stream: u32::try_from(stream).map_err(|e| format!("B-6: {e}"))?,
            payload: payload.to_vec(),
            absent,
        });
    }
    ensure(payload_at == payloads.len(), || {
        format!("B-7: {payload_at} bytes of payloads in {}", payloads.len())
    })?;
    Ok(entries)
}

/// What stands for an absent payload; only a change that is not empty has one (B-8).
fn absent_payload(kind: u8, payload_len: u64, hash: &Hash) -> Result<Absent, String> {
    ensure(kind == KIND_CHANGE, || format!("B-8: the payload of a kind {kind} is absent"))?;
    ensure(payload_len > 0, || "B-8: an empty payload is absent".to_owned())?;
    let payload_len = u32::try_from(payload_len).map_err(|e| format!("B-6: {e}"))?;
    Ok(Absent { payload_len, payload_hash: *hash, why: Why::Withheld })
}

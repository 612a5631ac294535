//! Entries and the payloads of control entries (sections 6 and 12).

use super::bytes::{Uuid, array_at, ensure, u8_at, u16_at, u64_at, zero_at};
use super::limits::{
    ASSET_MEDIA_TYPE_LEN_MAX, ASSET_PREVIEW_LEN_MAX, ASSET_SIZE_MAX, FRONTIER_LOG_COUNT_MAX,
    LAMPORT_MAX, LOG_ENTRY_COUNT_MAX, STREAM_NAME_LEN_MAX,
};
use super::merkle::Hash;

/// Kind of a change (E-3).
pub(crate) const KIND_CHANGE: u8 = 0;
/// Kind of a stream declaration (E-3).
pub(crate) const KIND_STREAM: u8 = 1;
/// Kind of a seen entry (E-3).
pub(crate) const KIND_SEEN: u8 = 2;
/// Kind of a snapshot (E-3).
pub(crate) const KIND_SNAPSHOT: u8 = 3;
/// Kind of a claim (E-3).
pub(crate) const KIND_ASSET: u8 = 4;
/// Kind of a redaction (E-3).
pub(crate) const KIND_REDACTION: u8 = 6;
/// Flag of E-1: not the first part of a change.
pub(crate) const FLAG_NOT_FIRST: u8 = 1;
/// Flag of E-1: not the last part of a change.
pub(crate) const FLAG_NOT_LAST: u8 = 2;

/// One entry of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) index: u64,
    pub(crate) lamport: u64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    /// Empty if the payload is absent.
    pub(crate) payload: Vec<u8>,
    pub(crate) absent: Option<Absent>,
}

/// What stands in the place of a payload that is absent (B-8).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Absent {
    /// Length of the payload that was.
    pub(crate) payload_len: u32,
    pub(crate) payload_hash: Hash,
    pub(crate) why: Why,
}

/// Why a payload is absent (H-5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Why {
    /// Nothing says why; so it is with a batch alone, which does not tell of redactions.
    Withheld,
    /// The redaction at index `by` is the first that is about the entry.
    Redacted { by: u64, reason: String },
}

impl Entry {
    /// Length of the payload, be it absent or not. It fits: B-6 limits it.
    pub(crate) fn payload_len(&self) -> Result<u32, String> {
        match &self.absent {
            Some(absent) => Ok(absent.payload_len),
            None => u32::try_from(self.payload.len()).map_err(|e| format!("E-1: {e}")),
        }
    }

    /// The canonical header (E-1).
    pub(crate) fn canonical_header(&self) -> Result<[u8; 32], String> {
        let payload_len = self.payload_len()?;
        let mut header = Vec::new();
        header.extend(self.lamport.to_le_bytes());
        header.extend(self.timestamp.unwrap_or(i64::MIN).to_le_bytes());
        header.extend(payload_len.to_le_bytes());
        header.extend(self.stream.to_le_bytes());
        header.extend([self.kind, self.flags]);
        header.extend([0; 6]);
        array_at(&header, 0)
    }
}

/// The name that a stream declaration gives (E-3): form and bytes.
pub(crate) fn stream_name(payload: &[u8]) -> Result<(u8, Vec<u8>), String> {
    let (form, name) = payload
        .split_first()
        .ok_or_else(|| "E-3: a stream declaration without a form".to_owned())?;
    match form {
        0 => {
            ensure((1..=STREAM_NAME_LEN_MAX).contains(&name.len()), || {
                format!("L-1: a stream name of {} bytes", name.len())
            })?;
            std::str::from_utf8(name).map_err(|e| format!("E-3: stream name: {e}"))?;
        }
        1 => ensure(name.len() == 16, || format!("E-3: a UUID of {} bytes", name.len()))?,
        other => return Err(format!("E-3: stream name form {other}")),
    }
    Ok((*form, name.to_vec()))
}

/// One row of a frontier (E-7).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) client: Uuid,
    pub(crate) log: Uuid,
    pub(crate) size: u64,
    pub(crate) lamport: u64,
    pub(crate) root: Hash,
}

/// Decodes rows of `row_len` bytes that start with the 80 bytes of E-7, and returns the rest of
/// each row beside it.
pub(crate) fn rows(payload: &[u8], row_len: usize) -> Result<Vec<(Row, Vec<u8>)>, String> {
    ensure(payload.len().is_multiple_of(row_len), || {
        format!("E-7: {} bytes are no rows of {row_len}", payload.len())
    })?;
    ensure(payload.len() / row_len <= FRONTIER_LOG_COUNT_MAX, || {
        format!("L-1: a frontier of {} logs", payload.len() / row_len)
    })?;
    let mut rows: Vec<(Row, Vec<u8>)> = Vec::new();
    for bytes in payload.chunks_exact(row_len) {
        let row = Row {
            client: array_at(bytes, 0)?,
            log: array_at(bytes, 16)?,
            size: u64_at(bytes, 32)?,
            lamport: u64_at(bytes, 40)?,
            root: array_at(bytes, 48)?,
        };
        ensure(row.size <= LOG_ENTRY_COUNT_MAX, || format!("L-1: a log of {}", row.size))?;
        ensure(row.lamport <= LAMPORT_MAX, || format!("L-1: lamport {}", row.lamport))?;
        ensure((row.size == 0) == (row.lamport == 0), || {
            format!("E-7: size {} with lamport {}", row.size, row.lamport)
        })?;
        ensure(rows.last().is_none_or(|(before, _)| before.log < row.log), || {
            "E-7: the logs are not in ascending order".to_owned()
        })?;
        let rest = bytes.get(80..).unwrap_or_default().to_vec();
        rows.push((row, rest));
    }
    Ok(rows)
}

/// The frontier of a seen entry (E-3, E-7).
pub(crate) fn frontier(payload: &[u8]) -> Result<Vec<Row>, String> {
    Ok(rows(payload, 80)?.into_iter().map(|(row, _)| row).collect())
}

/// The flags of an entry (E-1); control entries are never split (E-5).
pub(crate) fn check_flags(entry: &Entry) -> Result<(), String> {
    ensure(entry.flags <= 3, || format!("E-1: flags {} of entry {}", entry.flags, entry.index))?;
    let parts = entry.kind != KIND_CHANGE && entry.flags != 0;
    ensure(!parts, || format!("E-5: control entry {} has part flags", entry.index))
}

/// An asset that an entry of kind asset claims, as far as section 14 asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Claim {
    pub(crate) size: u64,
    pub(crate) id: Hash,
}

/// Decodes the payload of an entry of kind asset.
pub(crate) fn claim(payload: &[u8]) -> Result<Claim, String> {
    ensure(payload.len() >= 48, || format!("A-2: a claim of {} bytes", payload.len()))?;
    let form = u8_at(payload, 0)?;
    ensure(form == 0, || format!("A-2: claim form {form}"))?;
    zero_at(payload, 3, 1, "A-2")?;
    zero_at(payload, 6, 2, "A-2")?;
    let (media_type_len, name_len) =
        (usize::from(u8_at(payload, 1)?), usize::from(u8_at(payload, 2)?));
    let preview_len = usize::from(u16_at(payload, 4)?);
    ensure(media_type_len <= ASSET_MEDIA_TYPE_LEN_MAX, || {
        format!("L-1: a media type of {media_type_len} bytes")
    })?;
    ensure(preview_len <= ASSET_PREVIEW_LEN_MAX, || format!("L-1: a preview of {preview_len}"))?;
    let name_at = 48 + media_type_len;
    let end = name_at + name_len + preview_len;
    ensure(payload.len() == end, || format!("A-2: a claim of {}, not {end}", payload.len()))?;
    let media_type = payload.get(48..name_at).unwrap_or_default();
    ensure(media_type.iter().all(u8::is_ascii_graphic), || "A-2: media type".to_owned())?;
    let name = payload.get(name_at..name_at + name_len).unwrap_or_default();
    let name = std::str::from_utf8(name).map_err(|e| format!("A-2: name: {e}"))?;
    let is_plain = |c: char| c != '/' && !c.is_ascii_control();
    ensure(name.chars().all(is_plain), || format!("A-2: name {name:?}"))?;
    let size = u64_at(payload, 8)?;
    ensure(size <= ASSET_SIZE_MAX, || format!("L-1: an asset of {size} bytes"))?;
    Ok(Claim { size, id: array_at(payload, 16)? })
}

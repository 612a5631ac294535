//! Entries and the payloads of control entries (section 6).

use super::bytes::{Uuid, array_at, ensure, u64_at};
use super::limits::{
    FRONTIER_LOG_COUNT_MAX, LAMPORT_MAX, LOG_ENTRY_COUNT_MAX, STREAM_NAME_LEN_MAX,
};
use super::merkle::Hash;

/// Kind of a change (E-3).
pub(crate) const KIND_CHANGE: u8 = 0;
/// Kind of a stream declaration (E-3).
pub(crate) const KIND_STREAM: u8 = 1;
/// Kind of a seen entry (E-3).
pub(crate) const KIND_SEEN: u8 = 2;
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
    pub(crate) payload: Vec<u8>,
}

impl Entry {
    /// The canonical header (E-1). `payload_len` fits: B-6 limits it.
    pub(crate) fn canonical_header(&self) -> Result<[u8; 32], String> {
        let payload_len = u32::try_from(self.payload.len()).map_err(|e| format!("E-1: {e}"))?;
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

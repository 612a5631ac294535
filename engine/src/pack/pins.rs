//! The file `pins` (K-14): assets that are kept here whatever the logs say.
//!
//! ```text
//! offset  size  field
//!      0     8  magic  89 "ANLN" 0D 0A 1A
//!      8     8  count
//!     16     .  ids, 32 bytes each, in ascending order
//!      .     4  crc    of all before, not salted
//! ```

use super::PIN_COUNT_MAX;
use crate::bytes::{DecodeError, Hash, Put as _, Reader, crc};

const MAGIC: [u8; 8] = [0x89, b'A', b'N', b'L', b'N', 0x0D, 0x0A, 0x1A];
const CRC_LEN: usize = 4;

/// Why a file is not a list of pins. Whoever meets one evicts and collects nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PinsError {
    /// Not such a file at all.
    #[error("not a list of pins (wrong magic)")]
    Foreign,
    /// The file fails its checksum.
    #[error("bad checksum of the list of pins")]
    Crc,
    /// There are more than there can be.
    #[error("a list of {0} pins")]
    Count(u64),
    /// The ids are not in ascending order, or not as many as there should be.
    #[error("malformed list of pins")]
    Malformed,
}

impl From<DecodeError> for PinsError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

/// Encodes pins.
///
/// # Panics
///
/// If they are not in ascending order, each once, or more than [`PIN_COUNT_MAX`].
pub fn encode(pins: &[Hash]) -> Vec<u8> {
    assert!(pins.is_sorted_by(|a, b| a < b), "pins are in ascending order");
    assert!(pins.len() as u64 <= PIN_COUNT_MAX, "too many pins");
    let mut out = Vec::with_capacity(MAGIC.len() + 8 + pins.len() * Hash::LEN + CRC_LEN);
    out.put(&MAGIC);
    out.put_u64(pins.len() as u64);
    for pin in pins {
        out.put(pin.as_bytes());
    }
    let checksum = crc(&out);
    out.put_u32(checksum);
    out
}

/// Decodes pins: the whole file.
///
/// # Errors
///
/// See [`PinsError`].
pub fn decode(bytes: &[u8]) -> Result<Vec<Hash>, PinsError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(PinsError::Foreign);
    }
    let (body, checksum) = bytes.split_last_chunk::<CRC_LEN>().ok_or(PinsError::Crc)?;
    if crc(body) != u32::from_le_bytes(*checksum) {
        return Err(PinsError::Crc);
    }
    let mut reader = Reader::new(body);
    reader.take(MAGIC.len())?;
    let count = reader.u64()?;
    if count > PIN_COUNT_MAX {
        return Err(PinsError::Count(count));
    }
    let (ids, rest) = reader.rest().as_chunks::<{ Hash::LEN }>();
    if ids.len() as u64 != count || !rest.is_empty() || !ids.is_sorted_by(|a, b| a < b) {
        return Err(PinsError::Malformed);
    }
    Ok(ids.iter().map(|id| Hash::from_bytes(*id)).collect())
}

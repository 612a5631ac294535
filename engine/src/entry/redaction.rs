//! Redactions: entries that take back changes (H-3).
//!
//! ```text
//! offset  size  field
//!      0     1  form          0
//!      1     1                zero
//!      2     2  reason_len    at most REDACTION_REASON_LEN_MAX
//!      4     4  entry_count   at least 1
//!      8     8  first_index
//!     16     .  reason        UTF-8
//! ```

use std::ops::Range;

use super::LOG_ENTRY_COUNT_MAX;
use crate::bytes::{DecodeError, Put as _, Reader};

/// Longest reason of a redaction, in bytes of UTF-8.
pub const REDACTION_REASON_LEN_MAX: usize = 1024;

const FORM: u8 = 0;

/// What an entry of kind redaction says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Redaction {
    /// The entries that are taken back: those of kind change among them.
    pub entries: Range<u64>,
    /// Why, for people.
    pub reason: String,
}

impl Redaction {
    /// The payload of the entry.
    ///
    /// # Panics
    ///
    /// If the reason is longer than [`REDACTION_REASON_LEN_MAX`], or the range is empty or longer than 2^32 - 1.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.reason.len() <= REDACTION_REASON_LEN_MAX, "the reason has a limit");
        assert!(self.entries.start < self.entries.end, "a redaction is about something");
        let mut out = Vec::with_capacity(16 + self.reason.len());
        out.put(&[FORM, 0]);
        out.put_u16(u16::try_from(self.reason.len()).expect("checked above"));
        let count = self.entries.end - self.entries.start;
        out.put_u32(u32::try_from(count).expect("a change has fewer parts than 2^32"));
        out.put_u64(self.entries.start);
        out.put(self.reason.as_bytes());
        out
    }

    /// Decodes the payload of the entry `index`. What is at or above it is not in the range any more.
    ///
    /// # Errors
    ///
    /// What breaks H-3: then the entry redacts nothing.
    pub fn decode(index: u64, payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != FORM {
            return Err(DecodeError::Reserved);
        }
        reader.zeros(1)?;
        let reason_len = usize::from(reader.u16()?);
        let count = reader.u32()?;
        let first = reader.u64()?;
        let reason = reader.rest();
        if count == 0
            || first > LOG_ENTRY_COUNT_MAX
            || reason.len() != reason_len
            || reason_len > REDACTION_REASON_LEN_MAX
        {
            return Err(DecodeError::Reserved);
        }
        let reason = std::str::from_utf8(reason).map_err(|_| DecodeError::Reserved)?.to_owned();
        let entries = first.min(index)..(first + u64::from(count)).min(index);
        Ok(Self { entries, reason })
    }
}

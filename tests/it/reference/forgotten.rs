//! What redactions take back (H-3 to H-5).

use std::collections::BTreeMap;

use super::bytes::{ensure, u8_at, u16_at, u32_at, u64_at, zero_at};
use super::entry::{Entry, FLAG_NOT_FIRST, KIND_CHANGE, KIND_REDACTION, Why};
use super::limits::REDACTION_REASON_LEN_MAX;

/// Offset of the reason in a redaction.
const REASON_AT: usize = 16;

/// What a redaction says (H-3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Redaction {
    pub(crate) first_index: u64,
    pub(crate) entry_count: u32,
    pub(crate) reason: String,
}

/// Why entries are redacted, by their indices: the index of the first redaction that is about each,
/// and its reason.
pub(crate) type Redacted = BTreeMap<u64, (u64, String)>;

/// Decodes the payload of a redaction (H-3). One that is an error redacts nothing.
pub(crate) fn decode(payload: &[u8]) -> Result<Redaction, String> {
    let fixed = payload.get(..REASON_AT);
    let fixed = fixed.ok_or_else(|| format!("H-3: a redaction of {} bytes", payload.len()))?;
    let form = u8_at(fixed, 0)?;
    ensure(form == 0, || format!("H-3: redaction form {form}"))?;
    zero_at(fixed, 1, 1, "H-3")?;
    let reason = payload.get(REASON_AT..).unwrap_or_default();
    let reason_len = usize::from(u16_at(fixed, 2)?);
    ensure(reason_len <= REDACTION_REASON_LEN_MAX, || format!("L-1: a reason of {reason_len}"))?;
    ensure(reason_len == reason.len(), || {
        format!("H-3: {} bytes for a reason of {reason_len}", reason.len())
    })?;
    let reason = std::str::from_utf8(reason).map_err(|e| format!("H-3: reason: {e}"))?;
    let entry_count = u32_at(fixed, 4)?;
    ensure(entry_count >= 1, || "H-3: a redaction of no entries".to_owned())?;
    Ok(Redaction { first_index: u64_at(fixed, 8)?, entry_count, reason: reason.to_owned() })
}

/// The entries that the redactions among `entries`, which are in order, are about (H-3).
pub(crate) fn redacted<'a>(entries: impl Iterator<Item = &'a Entry>) -> Redacted {
    // Of each change the first part and the one behind the last.
    let mut changes: Vec<(u64, u64)> = Vec::new();
    let mut redacted = Redacted::new();
    for entry in entries {
        if entry.kind == KIND_CHANGE {
            let is_next_part = entry.flags & FLAG_NOT_FIRST != 0;
            match changes.last_mut().filter(|(_, end)| is_next_part && *end == entry.index) {
                Some((_, end)) => *end += 1,
                None => changes.push((entry.index, entry.index + 1)),
            }
        }
        let Some(redaction) =
            (entry.kind == KIND_REDACTION).then(|| decode(&entry.payload).ok()).flatten()
        else {
            continue;
        };
        let first = redaction.first_index;
        let end = first.saturating_add(u64::from(redaction.entry_count));
        // Those read so far stand before it.
        for &(change, change_end) in &changes {
            if change < end && first < change_end {
                for index in change..change_end {
                    let why = || (entry.index, redaction.reason.clone());
                    redacted.entry(index).or_insert_with(why);
                }
            }
        }
    }
    redacted
}

/// Says of each absent payload why it is absent (H-5).
pub(crate) fn explain<'a>(entries: impl Iterator<Item = &'a mut Entry>, redacted: &Redacted) {
    for entry in entries {
        if let (Some(absent), Some((by, reason))) = (&mut entry.absent, redacted.get(&entry.index))
        {
            absent.why = Why::Redacted { by: *by, reason: reason.clone() };
        }
    }
}

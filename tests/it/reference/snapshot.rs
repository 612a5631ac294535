//! Snapshots (H-8).

use super::bytes::{Uuid, array_at, ensure, part, to_usize, u8_at, u32_at, u64_at, zero_at};
use super::entry::{self, Entry, KIND_ASSET, KIND_SNAPSHOT, Row};
use super::merkle::Hash;

/// Offset of the rows of the frontier in a snapshot.
const ROWS_AT: usize = 8;
/// Length of a row of a frontier (E-7).
const ROW_LEN: u64 = 80;

/// A snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) frontier: Vec<Row>,
    pub(crate) state: State,
}

/// The state that stands for all that the frontier covers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// The application's bytes.
    Inline(Vec<u8>),
    /// They are an asset.
    Asset { size: u64, id: Hash },
}

/// Decodes the payload of a snapshot.
pub(crate) fn decode(payload: &[u8]) -> Result<Snapshot, String> {
    ensure(payload.len() >= ROWS_AT, || format!("H-8: a snapshot of {} bytes", payload.len()))?;
    let form = u8_at(payload, 0)?;
    zero_at(payload, 1, 3, "H-8")?;
    let rows_len = to_usize(u64::from(u32_at(payload, 4)?).saturating_mul(ROW_LEN))?;
    let rows = part(payload, ROWS_AT, rows_len)
        .map_err(|_| format!("H-8: {rows_len} bytes of rows in {}", payload.len()))?;
    let frontier = entry::frontier(rows)?;
    let state = payload.get(ROWS_AT + rows_len..).unwrap_or_default();
    let state = match form {
        0 => State::Inline(state.to_vec()),
        1 => {
            ensure(state.len() == 40, || format!("H-8: {} bytes name an asset", state.len()))?;
            State::Asset { size: u64_at(state, 0)?, id: array_at(state, 8)? }
        }
        other => return Err(format!("H-8: snapshot form {other}")),
    };
    Ok(Snapshot { frontier, state })
}

/// Checks the snapshot `entry` of `log`, which stands in the atomic group `group`. Without the
/// whole group there is no telling whether its asset is claimed.
pub(crate) fn check(log: &Uuid, entry: &Entry, group: Option<&[&Entry]>) -> Result<(), String> {
    let snapshot = decode(&entry.payload)?;
    let own = snapshot.frontier.iter().find(|row| row.log == *log);
    ensure(own.is_none_or(|row| row.size <= entry.index), || {
        "H-8: the frontier covers the snapshot itself".to_owned()
    })?;
    if let (State::Asset { size, id }, Some(group)) = (snapshot.state, group) {
        let mut claims = group.iter().filter(|other| other.kind == KIND_ASSET);
        let is_claimed = claims.any(|other| {
            entry::claim(&other.payload).is_ok_and(|claim| (claim.size, claim.id) == (size, id))
        });
        ensure(is_claimed, || "H-8: no entry of the group claims the asset".to_owned())?;
    }
    Ok(())
}

/// What is wrong with the snapshots of `log`, whose atomic groups `groups` are; `are_whole` says
/// that no entry of any is lost. The text does not say what follows from it: it is told, no more.
pub(crate) fn notes(log: &Uuid, groups: &[Vec<&Entry>], are_whole: bool) -> Vec<String> {
    let mut notes = Vec::new();
    for group in groups {
        let whole = Some(group.as_slice()).filter(|_| are_whole);
        for entry in group.iter().filter(|entry| entry.kind == KIND_SNAPSHOT) {
            if let Err(reason) = check(log, entry, whole) {
                notes.push(format!("{reason}, in the snapshot {}", entry.index));
            }
        }
    }
    notes
}

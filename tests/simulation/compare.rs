//! A log, compared with what is known of it.

use std::collections::btree_map::Entry as Slot;

use annals::{Absent, Entry, Kind, LogView, ReadError};

use super::{model::LogModel, session::Stop};

/// Why changes are taken back here.
pub(super) const REASON: &str = "taken back";

/// Where a log stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Whose {
    /// In the workspace, where it is compacted.
    Own,
    /// In a copy, which may be older, and forgets when it is compacted itself: never.
    Copied,
}

/// How far a log goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) changes: u64,
    pub(super) entries: u64,
}

/// What is wrong with a log.
pub(super) enum Wrong {
    /// It cannot be read.
    Unreadable(String),
    /// It holds something else.
    Broken(String),
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Unreadable(why) => Self::Refused(why),
            Wrong::Broken(why) => Self::Broken(why),
        }
    }
}

impl From<Wrong> for String {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Unreadable(why) | Wrong::Broken(why) => why,
        }
    }
}

fn unreadable(error: impl std::fmt::Display) -> Wrong {
    Wrong::Unreadable(format!("it cannot be read: {error}"))
}

/// Keeps the entries and roots of a log that end with its first `upto` entries. What was kept before stays: it is to be
/// compared with.
pub(super) fn remember(model: &mut LogModel, view: &LogView, upto: u64) -> Result<(), ReadError> {
    let first = view.first_index();
    for entry in view.scan(first..upto)? {
        let entry = entry?;
        if entry.end_index() <= upto {
            model.entries.entry(entry.index()).or_insert(entry);
        }
    }
    for size in first..=upto {
        if let Slot::Vacant(slot) = model.roots.entry(size) {
            slot.insert(view.root_at(size)?);
        }
    }
    Ok(())
}

/// Compares a log with what is known of it: see [`compare_readable`].
pub(super) fn compare(
    model: &LogModel,
    view: &LogView,
    position: u64,
    whose: Whose,
) -> Result<Found, String> {
    compare_readable(model, view, position, whose).map_err(String::from)
}

/// Whether a log is a prefix of what was submitted up to `position`, and ends between groups.
pub(super) fn compare_readable(
    model: &LogModel,
    view: &LogView,
    position: u64,
    whose: Whose,
) -> Result<Found, Wrong> {
    let broken = |why: String| Wrong::Broken(format!("log {}: {why}", view.id()));
    let groups = model.groups.iter().filter(|group| group.begun <= position);
    let mut submitted = groups.flat_map(|group| {
        let last = group.changes.len() - 1;
        let changes = group.changes.iter().enumerate();
        changes.map(move |(at, change)| (change, group.stream, at == last))
    });
    let first = view.first_index();
    let Some(pruned) = model.pruned_to(first, position) else {
        return Err(broken(format!("nobody has pruned its first {first} entries")));
    };
    let must = model.certainly_pruned(position);
    if whose == Whose::Own && first < must {
        return Err(broken(format!("it begins with entry {first}, and was pruned to {must}")));
    }
    let mut found = Found { changes: pruned, entries: first };
    let mut ends_group = true;
    for _ in 0..pruned {
        let Some((_, _, last)) = submitted.next() else {
            return Err(broken(format!("{pruned} changes are pruned that were not submitted")));
        };
        ends_group = last;
    }
    for entry in view.scan(..).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let at = entry.index();
        if at != found.entries {
            return Err(broken(format!("entry {at} comes where {} should", found.entries)));
        }
        found.entries = entry.end_index();
        if let Some(known) = model.entries.get(&at)
            && (known.header() != entry.header()
                || known.end_index() != found.entries
                || matches!((known.payload(), entry.payload()), (Ok(known), Ok(now)) if known != now))
        {
            return Err(broken(format!("entry {at} is another than the one that was there")));
        }
        if entry.kind().is_control() {
            continue;
        }
        found.changes += 1;
        let Some((payload, stream, last)) = submitted.next() else {
            return Err(broken(format!("entry {at} was never submitted")));
        };
        match entry.payload() {
            Ok(there) if there != &payload[..] => {
                return Err(broken(format!("entry {at} has another payload than was submitted")));
            }
            Ok(_) if whose == Whose::Own && is_forgotten(model, at, position) => {
                return Err(broken(format!("entry {at} was redacted and compacted, and is there")));
            }
            Ok(_) => {}
            Err(_) if entry.payload_len() != payload.len() as u64 => {
                return Err(broken(format!("entry {at} has another length than was submitted")));
            }
            Err(absent) => {
                let is_redacted = is_redacted(model, view, &entry, &absent, position);
                if !is_redacted.map_err(unreadable)? {
                    return Err(broken(format!("entry {at} is {absent}, which was not submitted")));
                }
            }
        }
        if stream.is_some_and(|stream| stream != entry.stream()) {
            return Err(broken(format!("entry {at} is in another stream")));
        }
        ends_group = last;
    }
    if !ends_group {
        return Err(broken(format!("it ends inside a group, at entry {}", found.entries)));
    }
    if view.entry_count() != found.entries {
        let count = view.entry_count();
        return Err(broken(format!("it says {count} entries and gives {}", found.entries)));
    }
    compare_roots(model, view, found.entries, position).map_err(|wrong| match wrong {
        Wrong::Broken(why) => broken(why),
        unreadable @ Wrong::Unreadable(_) => unreadable,
    })?;
    Ok(found)
}

/// Whether the payload of this entry must be gone.
fn is_forgotten(model: &LogModel, index: u64, position: u64) -> bool {
    model.taken_back.iter().any(|redaction| {
        redaction.entries.contains(&index)
            && redaction.forgotten.is_some_and(|done| done <= position)
    })
}

/// Whether the payload of this entry may be gone: only if a redaction was submitted, and is there.
fn is_redacted(
    model: &LogModel,
    view: &LogView,
    entry: &Entry,
    absent: &Absent,
    position: u64,
) -> Result<bool, ReadError> {
    let Absent::Redacted { by, reason } = absent else { return Ok(false) };
    let was_submitted = model.taken_back.iter().any(|redaction| {
        redaction.begun <= position
            && redaction.by.is_none_or(|submitted| submitted == *by)
            && redaction.entries == (entry.index()..entry.end_index())
    });
    let is_there = view.entry(*by)?.kind() == Kind::REDACTION && &**reason == REASON;
    Ok(was_submitted && is_there)
}

/// Whether the roots are the ones that there were, and go on from each other. Of a log that was written anew all of
/// them, and every entry is proven.
fn compare_roots(model: &LogModel, view: &LogView, size: u64, position: u64) -> Result<(), Wrong> {
    let is_rewritten = model.rewritten.is_some_and(|rewritten| rewritten <= position);
    let known = model.roots.get(&size);
    if known.is_none() && !is_rewritten {
        return Ok(());
    }
    let root = view.root().map_err(unreadable)?;
    if known.is_some_and(|known| *known != root) {
        return Err(Wrong::Broken(format!("another root of all {size} entries")));
    }
    let sizes: Vec<u64> = if is_rewritten {
        model.roots.range(..=size).map(|(from, _)| *from).collect()
    } else {
        let earlier = model.acknowledged.iter().filter(|promise| promise.position <= position);
        earlier.map(|promise| promise.entries).filter(|&entries| entries <= size).collect()
    };
    let (first, mut last) = (view.first_index(), u64::MAX);
    for from in sizes {
        if from == last {
            continue;
        }
        last = from;
        let Some(old) = model.roots.get(&from) else { continue };
        if from < first {
            match view.root_at(from) {
                Err(ReadError::Pruned { .. }) => continue,
                _ if from == 0 => continue,
                other => {
                    let what = format!("the root of the first {from} entries is {other:?}");
                    return Err(Wrong::Broken(format!("{what}, and {first} are pruned")));
                }
            }
        }
        if view.root_at(from).map_err(unreadable)? != *old {
            return Err(Wrong::Broken(format!("another root of the first {from} entries")));
        }
        let proof = view.prove_consistency(from, Some(size)).map_err(unreadable)?;
        proof.verify(old, &root).map_err(|error| {
            Wrong::Broken(format!("the proof from {from} to {size} entries fails: {error}"))
        })?;
    }
    for index in if is_rewritten { first..size } else { 0..0 } {
        let proof = view.prove_inclusion(index, None).map_err(unreadable)?;
        let verified = proof.verify(&root);
        verified.map_err(|error| Wrong::Broken(format!("the proof of entry {index}: {error}")))?;
    }
    Ok(())
}

//! A log, compared with what is known of it.

use annals::LogView;

use super::{model::LogModel, session::Stop};

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

/// Keeps all entries and roots of a log.
pub(super) fn remember(model: &mut LogModel, view: &LogView) -> Result<(), String> {
    let entries = view.scan(..).map_err(|error| error.to_string())?;
    model.entries = entries.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let roots = (0..=view.entry_count()).map(|size| view.root_at(size));
    model.roots = roots.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    Ok(())
}

/// Compares a log with what is known of it: see [`compare_readable`].
pub(super) fn compare(model: &LogModel, view: &LogView, position: u64) -> Result<Found, String> {
    compare_readable(model, view, position).map_err(String::from)
}

/// Whether a log is a prefix of what was submitted up to `position`, and ends between groups.
pub(super) fn compare_readable(
    model: &LogModel,
    view: &LogView,
    position: u64,
) -> Result<Found, Wrong> {
    let broken = |why: String| Wrong::Broken(format!("log {}: {why}", view.id()));
    let groups = model.groups.iter().filter(|group| group.begun <= position);
    let mut submitted = groups.flat_map(|group| {
        let last = group.changes.len() - 1;
        let changes = group.changes.iter().enumerate();
        changes.map(move |(at, change)| (change, group.stream, at == last))
    });
    let mut found = Found { changes: 0, entries: 0 };
    let mut ends_group = true;
    for (number, entry) in view.scan(..).map_err(unreadable)?.enumerate() {
        let entry = entry.map_err(unreadable)?;
        let at = entry.index();
        if at != found.entries {
            return Err(broken(format!("entry {at} comes where {} should", found.entries)));
        }
        found.entries = entry.end_index();
        if let Some(known) = model.entries.get(number)
            && (known.header() != entry.header()
                || known.index() != at
                || known.payload().unwrap() != entry.payload().unwrap())
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
        if entry.payload().unwrap() != &payload[..] {
            return Err(broken(format!("entry {at} has another payload than was submitted")));
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

/// Whether the roots are the ones that there were, and go on from each other.
fn compare_roots(model: &LogModel, view: &LogView, size: u64, position: u64) -> Result<(), Wrong> {
    let known = |size: u64| model.roots.get(usize::try_from(size).unwrap_or(usize::MAX));
    let Some(root) = known(size) else { return Ok(()) };
    if view.root().map_err(unreadable)? != *root {
        return Err(Wrong::Broken(format!("another root of all {size} entries")));
    }
    let earlier = model.acknowledged.iter().filter(|promise| promise.position <= position);
    let mut last = u64::MAX;
    for from in earlier.map(|promise| promise.entries).filter(|&entries| entries <= size) {
        if from == last {
            continue;
        }
        last = from;
        let Some(old) = known(from) else { continue };
        if view.root_at(from).map_err(unreadable)? != *old {
            return Err(Wrong::Broken(format!("another root of the first {from} entries")));
        }
        let proof = view.prove_consistency(from, Some(size)).map_err(unreadable)?;
        proof.verify(old, root).map_err(|error| {
            Wrong::Broken(format!("the proof from {from} to {size} entries fails: {error}"))
        })?;
    }
    Ok(())
}

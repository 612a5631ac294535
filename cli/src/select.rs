//! Which entries a command is about, and reading them.

use std::collections::HashMap;

use annals::{
    ClientId, Direction, Entry, Frontier, FrontierRow, Hash, LogId, LogView, LostEntries,
    ReadError, StreamId, Timestamp, Workspace,
};
use anyhow::{Context as _, bail};

use crate::{
    exit::{Outcome, say},
    open::name_unreadable,
};

/// Which entries.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Selection {
    /// The log of this client, or the log with this id, instead of this client's own
    #[arg(long, value_name = "UUID", conflicts_with = "merged")]
    pub(crate) client: Option<String>,
    /// The logs of all clients in one order: (Lamport clock, client, log, index)
    #[arg(long)]
    pub(crate) merged: bool,
    /// Only entries of the stream with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<String>,
    /// Index of the first entry; with --merged in each log. Without it the first that was not pruned
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<u64>,
    /// Index behind the last entry; with --merged in each log
    #[arg(long, value_name = "M")]
    pub(crate) to: Option<u64>,
    /// As it was at this time (RFC 3339, or a date): up to before the first entry that is later
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<Timestamp>,
    /// Newest first
    #[arg(long, conflicts_with = "merged")]
    pub(crate) reverse: bool,
}

/// The logs that `client` names: a client's, a log's, or this client's own.
///
/// # Errors
///
/// If it is no UUID, or none of a client or log here.
pub(crate) fn logs_of(workspace: &Workspace, client: Option<&str>) -> anyhow::Result<Vec<LogView>> {
    let Some(client) = client else { return Ok(vec![workspace.own_log()]) };
    let id: ClientId = client.parse().with_context(|| format!("{client:?}"))?;
    match workspace.logs_of(id) {
        Err(ReadError::UnknownClient(_)) => {
            let log = LogId::from_bytes(*id.as_bytes());
            let log = workspace.log(log).map_err(|_| ReadError::UnknownClient(id));
            Ok(vec![log.with_context(|| workspace.path().display().to_string())?])
        }
        result => Ok(result?),
    }
}

/// The one log that `client` names.
///
/// # Errors
///
/// As for [`logs_of`], and if the client has several logs.
pub(crate) fn log_of(workspace: &Workspace, client: Option<&str>) -> anyhow::Result<LogView> {
    let mut logs = logs_of(workspace, client)?;
    match logs.pop() {
        Some(log) if logs.is_empty() => Ok(log),
        _ => bail!(
            "{}: the client has {} logs; give the id of one of them instead",
            workspace.path().display(),
            logs.len() + 1
        ),
    }
}

/// Reads the entries of a selection; damage is named on stderr and passed over.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    command: &'static str,
    workspace: &'a Workspace,
    selection: &'a Selection,
    logs: Vec<LogView>,
    /// Where reading begins and ends in each log.
    ranges: HashMap<LogId, (u64, u64)>,
    /// Damage that was named: the log's file would be named twice otherwise, by opening and by reading.
    named: Vec<(std::path::PathBuf, LostEntries)>,
    outcome: Outcome,
}

impl<'a> Reading<'a> {
    /// Finds the logs and ranges of `selection`.
    ///
    /// # Errors
    ///
    /// If it names a client or stream that is not there.
    pub(crate) fn new(
        command: &'static str,
        workspace: &'a Workspace,
        selection: &'a Selection,
    ) -> anyhow::Result<Self> {
        let logs = if selection.merged {
            workspace.logs()
        } else {
            logs_of(workspace, selection.client.as_deref())?
        };
        let outcome = match &selection.client {
            None if !selection.merged => Outcome::Done,
            _ => name_unreadable(command, workspace),
        };
        let mut reading = Self {
            command,
            workspace,
            selection,
            logs,
            ranges: HashMap::new(),
            named: Vec::new(),
            outcome,
        };
        reading.find_ranges()?;
        if let Some(name) = &selection.stream
            && reading.streams(name)?.iter().all(|(_, stream)| stream.is_none())
        {
            bail!("{}: there is no stream {name:?}", workspace.path().display());
        }
        Ok(reading)
    }

    fn find_ranges(&mut self) -> anyhow::Result<()> {
        let Selection { from, to, at, .. } = *self.selection;
        for log in &self.logs {
            let mut end = to.unwrap_or(u64::MAX);
            if let Some(time) = at {
                end = end.min(log.size_at(time)?);
            }
            let from = from.unwrap_or_else(|| log.first_index());
            self.ranges.entry(log.id()).or_insert((from, end.max(from)));
        }
        Ok(())
    }

    fn streams(&self, name: &str) -> Result<Vec<(&LogView, Option<StreamId>)>, ReadError> {
        self.logs.iter().map(|log| Ok((log, log.find_stream(name)?))).collect()
    }

    fn range(&self, log: LogId) -> std::ops::Range<u64> {
        let (start, end) = self.ranges.get(&log).copied().unwrap_or_default();
        start..end
    }

    /// Gives every entry to `each`, control entries too; says whether all could be read.
    ///
    /// # Errors
    ///
    /// What `each` says, and what ends reading: all but damage.
    pub(crate) fn read(
        &mut self,
        mut each: impl FnMut(&Entry) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        if self.selection.merged {
            let entries = self.merged()?;
            self.pass_on(entries, &mut each)?;
        } else {
            let mut logs = self.logs.clone();
            if self.selection.reverse {
                logs.reverse();
            }
            for log in logs {
                let range = self.range(log.id());
                let direction =
                    if self.selection.reverse { Direction::Backward } else { Direction::Forward };
                let stream = match &self.selection.stream {
                    Some(name) => match log.find_stream(name)? {
                        Some(stream) => Some(stream),
                        None => continue,
                    },
                    None => None,
                };
                let entries = match (stream, direction) {
                    (Some(stream), _) => log.scan_stream(stream, range, direction)?,
                    (None, Direction::Forward) => log.scan(range)?,
                    (None, Direction::Backward) => log.scan_backward(range)?,
                };
                self.pass_on(entries, &mut each)?;
            }
        }
        self.name_damage_of_opening();
        Ok(self.outcome)
    }

    fn merged(&self) -> Result<Box<dyn Iterator<Item = Result<Entry, ReadError>> + 'a>, ReadError> {
        if let Some(name) = &self.selection.stream {
            let ranges = self.ranges.clone();
            let entries = self.workspace.merged_stream(name)?;
            return Ok(Box::new(entries.filter(move |entry| {
                entry.as_ref().map_or(true, |entry| {
                    ranges
                        .get(&entry.log())
                        .is_some_and(|&(start, end)| (start..end).contains(&entry.index()))
                })
            })));
        }
        let frontier = |size: fn(&(u64, u64)) -> u64| {
            let rows = self.logs.iter().map(|log| FrontierRow {
                client: log.client(),
                log: log.id(),
                size: self.ranges.get(&log.id()).map_or(0, size),
                lamport: 0,
                // Only the sizes say what is read.
                root: Hash::ZERO,
            });
            Frontier::from(rows.collect::<Vec<_>>())
        };
        let (from, to) = (frontier(|range| range.0), frontier(|range| range.1));
        Ok(Box::new(self.workspace.merged_between(&from, Some(&to))?))
    }

    fn pass_on(
        &mut self,
        entries: impl Iterator<Item = Result<Entry, ReadError>>,
        each: &mut impl FnMut(&Entry) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for entry in entries {
            match entry {
                Ok(entry) => each(&entry)?,
                Err(ReadError::Corrupt(damage)) => {
                    say("annals", format_args!("{}: {damage}", self.command));
                    self.named.push((damage.path, damage.lost));
                    self.outcome = Outcome::Incomplete;
                }
                Err(pruned @ ReadError::Pruned { .. }) => {
                    say("annals", format_args!("{}: {pruned}", self.command));
                    self.outcome = Outcome::Incomplete;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Damage at the end of a log, where reading ends before it.
    fn name_damage_of_opening(&mut self) {
        for log in &self.logs {
            let Some(damage) = log.damage() else { continue };
            let range = self.range(log.id());
            let asked_for = overlap(damage.lost, LostEntries::from(range));
            let is_named =
                |(path, lost): &(_, _)| *path == damage.path && overlap(*lost, damage.lost);
            if asked_for && !self.named.iter().any(is_named) {
                say("annals", format_args!("{}: {damage}", self.command));
                self.outcome = Outcome::Incomplete;
            }
        }
    }

    /// Goes on with what comes, until the selection ends or the process is ended: gives new entries to `each`, and
    /// calls `pause` before it waits.
    ///
    /// # Errors
    ///
    /// As for [`Reading::read`].
    pub(crate) fn follow(
        &mut self,
        mut each: impl FnMut(&Entry) -> anyhow::Result<()>,
        mut pause: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let mut names = StreamNames::default();
        let everything = Selection { stream: None, ..self.selection.clone() };
        let mut seen = None;
        loop {
            let counts: u64 = self.logs.iter().map(LogView::entry_count).sum();
            if seen != Some(counts) {
                seen = Some(counts);
                let mut step = Reading {
                    command: self.command,
                    workspace: self.workspace,
                    // The index of a stream is for the past; here what is new is looked at once.
                    selection: &everything,
                    logs: self.logs.clone(),
                    ranges: self.ranges.clone(),
                    named: std::mem::take(&mut self.named),
                    outcome: self.outcome,
                };
                let ranges = &mut self.ranges;
                let wanted = self.selection.stream.as_deref();
                let outcome = step.read(|entry| {
                    if let Some(range) = ranges.get_mut(&entry.log()) {
                        range.0 = range.0.max(entry.end_index());
                    }
                    if let Some(wanted) = wanted
                        && names.of(self.workspace, entry)? != Some(wanted)
                    {
                        return Ok(());
                    }
                    each(entry)
                })?;
                self.named = step.named;
                self.outcome = outcome;
                pause()?;
                if !self.ranges.is_empty() && self.ranges.values().all(|range| range.0 >= range.1) {
                    return Ok(self.outcome);
                }
            }
            // Looks every 10 milliseconds; so that a log that appears meanwhile is seen, not for longer than this.
            let own = self.workspace.own_log();
            if self.selection.merged {
                own.wait_for(own.entry_count(), FOLLOW_PAUSE)?;
                self.logs = self.workspace.logs();
                self.find_ranges()?;
            } else if let Some(log) = self.logs.first() {
                log.wait_for(log.entry_count(), FOLLOW_PAUSE)?;
            }
        }
    }
}

/// How long a follower waits at most before it looks for new logs.
const FOLLOW_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

fn overlap(a: LostEntries, b: LostEntries) -> bool {
    a.first < b.end.unwrap_or(u64::MAX) && b.first < a.end.unwrap_or(u64::MAX)
}

/// Names of streams, looked up once.
#[derive(Debug, Default)]
pub(crate) struct StreamNames {
    names: HashMap<LogId, HashMap<StreamId, String>>,
}

impl StreamNames {
    /// The name of the stream that `entry` is in; `None` for the default stream. One whose declaration is lost is
    /// called by its number: `#7`.
    ///
    /// # Errors
    ///
    /// What reading the declarations says.
    pub(crate) fn of(
        &mut self,
        workspace: &Workspace,
        entry: &Entry,
    ) -> Result<Option<&str>, ReadError> {
        let stream = entry.stream();
        if stream == StreamId::DEFAULT {
            return Ok(None);
        }
        let names = self.names.entry(entry.log()).or_default();
        if !names.contains_key(&stream) {
            match workspace.log(entry.log())?.streams() {
                Ok(declared) => names.extend(declared),
                // The damage is named where it is met.
                Err(ReadError::Corrupt(_)) => {}
                Err(error) => return Err(error),
            }
            names.entry(stream).or_insert_with(|| format!("#{}", stream.0));
        }
        Ok(names.get(&stream).map(String::as_str))
    }
}

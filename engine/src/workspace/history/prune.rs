//! Pruning a prefix of a log that a snapshot stands for (H-9 to H-11).

use std::{collections::HashMap, sync::Arc};

use super::{compact::CompactedLog, snapshot::history_of};
use crate::{
    bytes::{ClientId, LogId, Timestamp},
    compact::{CompactError, Prune, Request},
    entry::{Kind, decode_frontier},
    log::{Log, ReadError},
    workspace::{AssetError, CompactOptions, LogSlot, Workspace},
};

/// How much of the past a workspace keeps when it is compacted. Logs are pruned only where a snapshot stands for what
/// goes, and only what every other client has seen the snapshot of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum History {
    /// All of it.
    #[default]
    Everything,
    /// What is younger than so many days: up to the latest snapshot that is older.
    Days(u32),
    /// So many bytes of each segment: up to the earliest snapshot that leaves no more than that, or else to the latest one.
    Bytes(u64),
}

/// Why a log was not pruned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// No snapshot covers what is to be pruned.
    #[error(
        "log {log}: no snapshot stands for its first {size} entries: take one first (annals snapshot), or force it"
    )]
    NoSnapshot {
        /// The log.
        log: LogId,
        /// Entries that were to be pruned.
        size: u64,
    },
    /// The snapshots cover less than is to be pruned.
    #[error(
        "log {log}: its snapshots stand for {covered} entries, not for {size}: prune to {covered}"
    )]
    BeyondSnapshot {
        /// The log.
        log: LogId,
        /// Entries that were to be pruned.
        size: u64,
        /// Those that a snapshot stands for.
        covered: u64,
    },
    /// Other clients have not said that they have seen the snapshot: they may still need what is to be pruned.
    #[error(
        "log {log}: {} have not seen the snapshot that stands for its first {size} entries; exchange bundles with them, or force it",
        list(.clients)
    )]
    NotSeen {
        /// The log.
        log: LogId,
        /// Entries that were to be pruned.
        size: u64,
        /// The clients.
        clients: Vec<ClientId>,
    },
    /// The log has fewer entries.
    #[error("log {log} has {entry_count} entries, fewer than the {size} that are to be pruned")]
    TooFew {
        /// The log.
        log: LogId,
        /// Entries that were to be pruned.
        size: u64,
        /// What there is.
        entry_count: u64,
    },
    /// The entry in front of which the log is to begin is in the middle of a change.
    #[error(
        "log {log}: entry {size} is in the middle of a change: prune to {first}, where it begins"
    )]
    InsideChange {
        /// The log.
        log: LogId,
        /// Entries that were to be pruned.
        size: u64,
        /// Where the change begins.
        first: u64,
    },
    /// What is claimed is not known, so it cannot be kept.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// A log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log cannot be written anew.
    #[error(transparent)]
    Compact(#[from] CompactError),
}

fn list(clients: &[ClientId]) -> String {
    let names: Vec<String> = clients.iter().map(ToString::to_string).collect();
    let what = if names.len() == 1 { "client" } else { "clients" };
    format!("{what} {}", names.join(", "))
}

/// How a log is pruned.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until a log is pruned with them"]
pub struct PruneOptions {
    force: bool,
    dry_run: bool,
}

impl PruneOptions {
    /// Prunes also where no snapshot stands for what goes, and where others have not seen it. What goes is gone here.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// Finds out whether it may be pruned and what would be gained, and leaves everything as it is.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }
}

/// A snapshot that covers a log.
struct Cover {
    /// Entries of the log that it stands for.
    size: u64,
    /// Where it stands itself.
    at: (LogId, u64),
    timestamp: Option<Timestamp>,
}

/// What other clients have recorded that they have seen: of each its log, and how far others go in it.
#[derive(Default)]
struct Seen(Vec<(ClientId, LogId, HashMap<LogId, u64>)>);

impl Seen {
    /// The clients that have not seen entry `index` of `log`, whose author is not asked.
    fn unaware_of(&self, (log, index): (LogId, u64)) -> Vec<ClientId> {
        let others = self.0.iter().filter(|(_, own, _)| *own != log);
        let unaware =
            others.filter(|(_, _, sizes)| sizes.get(&log).is_none_or(|size| *size <= index));
        unaware.map(|(client, ..)| *client).collect()
    }
}

impl Workspace {
    /// Prunes the first `up_to` entries of the log that `client` writes now: they are gone afterwards, and what proves
    /// the rest stays. Roots of `up_to` and more entries, proofs of entries from there on, and all proofs made earlier
    /// keep verifying; reading what is gone gives [`ReadError::Pruned`]. Live claims of assets and declared streams are
    /// kept. Pruning is each device's own decision, and is not carried to others.
    ///
    /// A snapshot has to stand for these entries ([`Workspace::snapshot`]), and each other client whose log is here has to
    /// have recorded that it has seen that snapshot; [`PruneOptions::force`] does without either, but never goes beyond
    /// the snapshots that there are. Nothing happens if so much was pruned before.
    ///
    /// `progress` is as for [`Workspace::compact`]; so are time and room.
    ///
    /// # Errors
    ///
    /// See [`PruneError`].
    ///
    /// ```
    /// # use annals::{Options, PruneOptions, ReadError, Workspace};
    /// # let folder = tempfile::tempdir()?;
    /// # let workspace = Workspace::create(folder.path().join("w"), Options::default())?;
    /// for _ in 0..100 {
    ///     workspace.append(b"+1")?;
    /// }
    /// let frontier = workspace.frontier()?;
    /// workspace.snapshot(&frontier, b"100")?.wait_durable()?;
    /// let root = workspace.own_log().root()?;
    ///
    /// workspace.prune(workspace.client(), 100, &PruneOptions::default(), |_, _| true)?;
    ///
    /// let log = workspace.own_log();
    /// assert_eq!((log.first_index(), log.root()?), (100, root));
    /// assert!(matches!(log.entry(99), Err(ReadError::Pruned { first_index: 100, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prune(
        &self,
        client: ClientId,
        up_to: u64,
        options: &PruneOptions,
        mut progress: impl FnMut(u64, u64) -> bool,
    ) -> Result<CompactedLog, PruneError> {
        let _turn = self.compacting()?;
        let slot = self.logs_of(client)?.pop().ok_or(ReadError::UnknownClient(client))?.slot;
        let log = slot.now();
        let (id, size) = (log.id(), up_to);
        let entry_count = log.entry_count();
        if size > entry_count {
            return Err(PruneError::TooFew { log: id, size, entry_count });
        }
        if size > log.first_index() {
            self.check_cover(&log, size, options.force)?;
            let mut first = size;
            while first < entry_count && !log.entry_header(first)?.part.is_first() {
                first -= 1;
            }
            if first < size {
                return Err(PruneError::InsideChange { log: id, size, first });
            }
        }
        let mut request = CompactOptions::default().request();
        request.dry_run = options.dry_run;
        if size <= log.first_index() {
            return Ok(CompactedLog::unchanged(&log));
        }
        request.prune = Some(self.prune_request(&log, size)?);
        drop(log);
        self.prune_log(&slot, &request, &mut progress)
    }

    pub(super) fn prune_log(
        &self,
        slot: &LogSlot,
        request: &Request,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<CompactedLog, PruneError> {
        let done = self.compact_log(slot, request, progress)?;
        let log = slot.now();
        if !request.dry_run {
            // What was saved of the log may hold what is pruned.
            self.remove_remains(&log).map_err(CompactError::from)?;
        }
        Ok(CompactedLog::new(&log, &done))
    }

    /// What a log is to keep of its first `size` entries.
    pub(super) fn prune_request(&self, log: &Arc<Log>, size: u64) -> Result<Prune, PruneError> {
        let mut kept = Vec::new();
        for index in self.assets().kept(log.id(), size)? {
            kept.push(log.kept_entry(index)?);
        }
        Ok(Prune { size, kept, time: self.inner.disk.now() })
    }

    fn check_cover(&self, log: &Arc<Log>, size: u64, force: bool) -> Result<(), PruneError> {
        let id = log.id();
        let covers = self.covers(log)?;
        let covered = covers.iter().map(|cover| cover.size).max().unwrap_or(0);
        match covered {
            0 if force => return Ok(()),
            0 => return Err(PruneError::NoSnapshot { log: id, size }),
            covered if covered < size => {
                return Err(PruneError::BeyondSnapshot { log: id, size, covered });
            }
            _ if force => return Ok(()),
            _ => {}
        }
        let seen = self.seen_by_others()?;
        let mut clients = Vec::new();
        for cover in covers.iter().filter(|cover| cover.size >= size) {
            clients = seen.unaware_of(cover.at);
            if clients.is_empty() {
                return Ok(());
            }
        }
        Err(PruneError::NotSeen { log: id, size, clients })
    }

    /// The snapshots that stand for entries of a log, as it is here.
    fn covers(&self, log: &Arc<Log>) -> Result<Vec<Cover>, ReadError> {
        let mut covers = Vec::new();
        for snapshot in self.snapshots()? {
            let Some(row) = snapshot.frontier.row(log.id()).copied() else { continue };
            // What another history was made of stands for nothing here.
            let is_ours = row.size >= log.first_index().max(1)
                && row.size <= log.readable_size()
                && log.root_at(Some(row.size))?.1 == row.root;
            if is_ours {
                let at = (snapshot.log, snapshot.index);
                covers.push(Cover { size: row.size, at, timestamp: snapshot.timestamp });
            }
        }
        Ok(covers)
    }

    /// What other clients have recorded that they have seen. Of a client that went on in another log the last one counts.
    fn seen_by_others(&self) -> Result<Seen, ReadError> {
        let logs = self.inner.all_logs();
        let is_succeeded = |id: LogId| {
            logs.iter().any(|other| other.header.predecessor.is_some_and(|before| before.log == id))
        };
        let mut seen = Seen::default();
        for other in &logs {
            let is_silent = other.entry_count() == 0 || is_succeeded(other.id());
            if other.client() == self.client() || is_silent {
                continue;
            }
            let mut sizes: HashMap<LogId, u64> = HashMap::new();
            for entry in history_of(other)? {
                let entry = match entry {
                    Err(ReadError::Corrupt(_)) => continue,
                    entry => entry?,
                };
                if entry.kind() == Kind::SEEN {
                    let rows = entry.stored_payload().map(decode_frontier);
                    for row in rows.and_then(Result::ok).unwrap_or_default() {
                        let size = sizes.entry(row.log).or_default();
                        *size = row.size.max(*size);
                    }
                }
            }
            seen.0.push((other.client(), other.id(), sizes));
        }
        Ok(seen)
    }

    /// Up to where a log may be pruned to keep no more than `history` says.
    pub(super) fn budget(
        &self,
        log: &Arc<Log>,
        history: History,
    ) -> Result<Option<u64>, PruneError> {
        if history == History::Everything {
            return Ok(None);
        }
        let first_index = log.first_index();
        let seen = self.seen_by_others()?;
        let mut candidates = Vec::new();
        for cover in self.covers(log)? {
            let is_inside =
                cover.size < log.entry_count() && !log.entry_header(cover.size)?.part.is_first();
            if cover.size > first_index && !is_inside && seen.unaware_of(cover.at).is_empty() {
                candidates.push(cover);
            }
        }
        candidates.sort_by_key(|cover| cover.size);
        let chosen = match history {
            History::Everything => None,
            History::Days(days) => {
                let span = i64::from(days).saturating_mul(86_400_000_000);
                let limit = self.inner.disk.now().as_micros().saturating_sub(span);
                let is_old =
                    |cover: &&Cover| cover.timestamp.is_some_and(|at| at.as_micros() <= limit);
                candidates.iter().rev().find(is_old)
            }
            History::Bytes(bytes) => {
                let end = log.view.read().end_offset;
                let mut chosen = None;
                for cover in candidates.iter().filter(|_| end > bytes) {
                    chosen = Some(cover);
                    let left = match log.frame_with(cover.size) {
                        Ok((_, frame)) => end.saturating_sub(frame.offset),
                        Err(ReadError::OutOfRange { .. }) => 0,
                        Err(error) => return Err(error.into()),
                    };
                    if left <= bytes {
                        break;
                    }
                }
                chosen
            }
        };
        Ok(chosen.map(|cover| cover.size))
    }
}

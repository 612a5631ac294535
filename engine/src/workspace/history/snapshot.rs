//! Snapshots: states that stand for what came before (H-8).

use crate::{
    bytes::{ClientId, LogId, Timestamp},
    entry::{Kind, Snapshot, SnapshotState},
    log::{AppendError, Change, Direction, Log, ReadError, Scan},
    workspace::{AssetError, AssetMeta, Frontier, Ticket, Workspace},
};

/// Read at once when snapshots are looked for.
const READ_AHEAD: usize = 64 << 10;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The frontier names entries that are not here, or others.
    #[error(
        "log {log}: the frontier of the snapshot names {size} entries that are not those that are here"
    )]
    Frontier {
        /// The log.
        log: LogId,
        /// The size that the frontier gives.
        size: u64,
    },
    /// The state is large, and could not be put into an asset or read from one.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// A log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The snapshot cannot be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// A snapshot that stands in a log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// The client that took it.
    pub client: ClientId,
    /// The log that it stands in.
    pub log: LogId,
    /// Its entry.
    pub index: u64,
    /// When it was taken.
    pub timestamp: Option<Timestamp>,
    /// What it stands for.
    pub frontier: Frontier,
    state: SnapshotState,
}

impl SnapshotInfo {
    /// Length of the state in bytes.
    pub fn state_len(&self) -> u64 {
        match &self.state {
            SnapshotState::Inline(state) => state.len() as u64,
            SnapshotState::Asset { size, .. } => *size,
        }
    }
}

impl Workspace {
    /// Records `state`, the application's state behind all entries that `frontier` covers, as a snapshot in this client's
    /// log. Whoever has it needs those entries no longer: it is where logs may be pruned.
    ///
    /// A state that does not fit an entry (1 MiB less 80 bytes for each log) goes into an asset, which is claimed here.
    /// [`Workspace::frontier`] gives the frontier of now; take it before the state.
    ///
    /// # Errors
    ///
    /// See [`SnapshotError`].
    ///
    /// ```
    /// # use annals::{Options, Workspace};
    /// # let folder = tempfile::tempdir()?;
    /// # let workspace = Workspace::create(folder.path().join("w"), Options::default())?;
    /// workspace.append(b"+1")?;
    /// workspace.append(b"+2")?;
    /// let frontier = workspace.frontier()?;
    /// workspace.snapshot(&frontier, b"3")?.wait_durable()?;
    /// let last = workspace.snapshots()?.pop().unwrap();
    /// assert_eq!(workspace.snapshot_state(&last)?, b"3");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self, frontier: &Frontier, state: &[u8]) -> Result<Ticket<'_>, SnapshotError> {
        for row in frontier.rows() {
            let here = self.log(row.log)?;
            if here.entry_count() < row.size || here.root_at(row.size)? != row.root {
                return Err(SnapshotError::Frontier { log: row.log, size: row.size });
            }
        }
        let rows = frontier.rows().to_vec();
        let state = if state.len() <= Snapshot::inline_len_max(rows.len()) {
            SnapshotState::Inline(state.to_vec())
        } else {
            let added = self.assets().put(state, AssetMeta::named("snapshot"))?;
            SnapshotState::Asset { id: *added.id.as_bytes(), size: added.size }
        };
        let payload = Snapshot { rows, state }.encode();
        Ok(self.append_all(&[Change::new(&payload).of_kind(Kind::SNAPSHOT)])?)
    }

    /// All snapshots that are here, in the order of their logs and in each log in its order; malformed ones are left out.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>, ReadError> {
        let mut snapshots = Vec::new();
        for log in self.inner.all_logs() {
            let (client, id) = (log.client(), log.id());
            for entry in history_of(&log)? {
                let entry = match entry {
                    // What is damaged is reported by whoever reads it.
                    Err(ReadError::Corrupt(_)) => continue,
                    entry => entry?,
                };
                if entry.kind() == Kind::SNAPSHOT
                    && let Some(Ok(snapshot)) = entry.stored_payload().map(Snapshot::decode)
                {
                    snapshots.push(SnapshotInfo {
                        client,
                        log: id,
                        index: entry.index(),
                        timestamp: entry.timestamp(),
                        frontier: Frontier::from(snapshot.rows),
                        state: snapshot.state,
                    });
                }
            }
        }
        Ok(snapshots)
    }

    /// The state that a snapshot holds.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Asset`], if it is in an asset whose bytes are not here.
    pub fn snapshot_state(&self, snapshot: &SnapshotInfo) -> Result<Vec<u8>, SnapshotError> {
        match &snapshot.state {
            SnapshotState::Inline(state) => Ok(state.clone()),
            SnapshotState::Asset { id, .. } => {
                let id = crate::asset::AssetId::from_bytes(*id);
                Ok(self.assets().read(&id, 0..snapshot.state_len())?)
            }
        }
    }
}

/// The entries of a log that say what was seen, snapshots and redactions.
pub(super) fn history_of(log: &std::sync::Arc<Log>) -> Result<Scan, ReadError> {
    use crate::log::Filter;

    let range = log.first_index()..log.readable_size();
    Scan::new(std::sync::Arc::clone(log), range, Filter::History, Direction::Forward, READ_AHEAD)
}

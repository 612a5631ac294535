//! Frontiers: how far each log goes, the version vector of a workspace (E-7).
//!
//! A frontier names of each log what is sound here. Of a damaged log that is what comes before the damage, up to the
//! end of a group: with its root anybody can check it, and go on from there.

use std::path::PathBuf;

use crate::{
    bytes::{ClientId, DecodeError, LogId},
    entry::{FrontierRow, decode_frontier},
    error::Corruption,
    log::{Log, ReadError},
};

/// Why a log takes part in an exchange only in part, or not at all. As JSON: a message.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Hindrance {
    /// Acknowledged entries of it are damaged here.
    #[error(transparent)]
    Damaged(#[from] Corruption),
    /// What comes next for whoever has less was pruned here: only a snapshot, or another replica, leads on.
    #[error("its entries before {first_index} were pruned")]
    Pruned {
        /// The first entry that is there.
        first_index: u64,
    },
    /// Its segment here cannot be used.
    #[error("{}: {reason}", .path.display())]
    Unreadable {
        /// The segment file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Hindrance {
    /// An error that concerns one log alone; any other is given back.
    pub(super) fn of(error: ReadError) -> Result<Self, ReadError> {
        match error {
            ReadError::Corrupt(damage) => Ok(Self::Damaged(damage)),
            ReadError::Pruned { first_index, .. } => Ok(Self::Pruned { first_index }),
            ReadError::UnknownKind { ref path, .. } | ReadError::Unsupported { ref path, .. } => {
                Ok(Self::Unreadable { path: path.clone(), reason: error.to_string() })
            }
            error => Err(error),
        }
    }
}

impl serde::Serialize for Hindrance {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A log that takes part in an exchange only in part, or not at all; the others are not concerned.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct HinderedLog {
    /// The client that writes it, if that is known.
    pub client: Option<ClientId>,
    /// The log.
    pub log: LogId,
    /// How many of its entries take part: those before the damage.
    pub size: u64,
    /// Why not more.
    pub reason: Hindrance,
}

/// The row of a log with `size` entries.
pub(super) fn row_at(log: &Log, size: u64) -> Result<FrontierRow, ReadError> {
    let (size, root) = log.root_at(Some(size))?;
    let lamport = log.lamport_at(size)?;
    Ok(FrontierRow { client: log.client(), log: log.id(), size, lamport, root })
}

/// The row of a log with `size` entries, or with those before the damage if there is some among them. `None` if
/// that leaves none.
pub(super) fn sound_row(log: &Log, size: u64) -> Result<Option<FrontierRow>, ReadError> {
    let damage = log.view.read().damage.clone();
    let mut size = match damage.filter(|damage| damage.lost.first <= size) {
        Some(damage) => group_end(log, damage.lost.first)?,
        None => size,
    };
    while size > 0 {
        let hindrance = match row_at(log, size) {
            Ok(row) => return Ok(Some(row)),
            Err(error) => Hindrance::of(error)?,
        };
        match hindrance {
            Hindrance::Damaged(damage) if damage.lost.first < size => {
                size = group_end(log, damage.lost.first)?;
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// The end of the last whole group of the first `size` entries, where `size` is the end of a frame.
fn group_end(log: &Log, mut size: u64) -> Result<u64, ReadError> {
    while let Some(last) = size.checked_sub(1) {
        match log.frame_with(last) {
            Ok((_, frame)) if frame.continues && frame.end_index() == size => {
                size = frame.first_index;
            }
            Err(ReadError::Corrupt(damage)) if damage.lost.first < size => {
                size = damage.lost.first;
            }
            result => return result.map(|_| size),
        }
    }
    Ok(0)
}

/// How far each log goes. As JSON: an array of rows.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(from = "Vec<FrontierRow>", into = "Vec<FrontierRow>")]
pub struct Frontier {
    /// Ascending by log, each log once.
    rows: Vec<FrontierRow>,
}

impl From<Vec<FrontierRow>> for Frontier {
    /// Of two rows of one log the longer one counts.
    fn from(mut rows: Vec<FrontierRow>) -> Self {
        rows.sort_by_key(|row| (row.log, std::cmp::Reverse(row.size)));
        rows.dedup_by_key(|row| row.log);
        Self { rows }
    }
}

impl From<Frontier> for Vec<FrontierRow> {
    fn from(frontier: Frontier) -> Self {
        frontier.rows
    }
}

impl Frontier {
    /// The frontier of somebody who has nothing.
    pub const fn empty() -> Self {
        Self { rows: Vec::new() }
    }

    /// The rows, ascending by log.
    pub fn rows(&self) -> &[FrontierRow] {
        &self.rows
    }

    /// The row of `log`.
    pub fn row(&self, log: LogId) -> Option<&FrontierRow> {
        self.rows.binary_search_by_key(&log, |row| row.log).ok().map(|at| &self.rows[at])
    }

    /// How many entries of `log` it covers.
    pub fn size(&self, log: LogId) -> u64 {
        self.row(log).map_or(0, |row| row.size)
    }

    /// The highest Lamport clock in it.
    pub fn lamport(&self) -> u64 {
        self.rows.iter().map(|row| row.lamport).max().unwrap_or(0)
    }

    /// As the payload of a *seen* entry.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FrontierRow::LEN * self.rows.len());
        self.rows.iter().for_each(|row| row.encode(&mut out));
        out
    }

    /// Decodes the payload of a *seen* entry.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it is not what E-7 says.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        decode_frontier(payload).map(|rows| Self { rows })
    }
}

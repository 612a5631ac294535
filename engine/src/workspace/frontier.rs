//! Frontiers: how far each log goes, the version vector of a workspace (E-7).

use crate::{
    bytes::{DecodeError, LogId},
    entry::{FrontierRow, decode_frontier},
};

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

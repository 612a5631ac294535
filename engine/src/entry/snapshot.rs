//! Snapshots: entries that hold a state which stands for all that its frontier covers (H-8).
//!
//! ```text
//! offset  size  field
//!      0     1  form          0 = the state is inline, 1 = it is an asset
//!      1     3                zero
//!      4     4  row_count
//!      8  80 n  rows          a frontier (E-7)
//!      .     .  state         up to the end; or size u64 and id (32) of an asset
//! ```

use super::{ENTRY_PAYLOAD_LEN_MAX, FRONTIER_LOG_COUNT_MAX, FrontierRow, decode_frontier};
use crate::bytes::{DecodeError, LogId, Put as _, Reader};

const FORM_INLINE: u8 = 0;
const FORM_ASSET: u8 = 1;
const HEAD_LEN: usize = 8;

/// Where the state of a snapshot is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SnapshotState {
    /// In the entry.
    Inline(Vec<u8>),
    /// In an asset: its plain BLAKE3 hash and its size in bytes.
    Asset {
        /// The id of the asset.
        id: [u8; 32],
        /// Its size.
        size: u64,
    },
}

/// What an entry of kind snapshot says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// The logs that it covers, and how far; ascending by log.
    pub rows: Vec<FrontierRow>,
    /// The application's state.
    pub state: SnapshotState,
}

impl Snapshot {
    /// The longest state that fits an entry beside a frontier of `row_count` logs.
    pub const fn inline_len_max(row_count: usize) -> usize {
        (ENTRY_PAYLOAD_LEN_MAX as usize).saturating_sub(HEAD_LEN + row_count * FrontierRow::LEN)
    }

    /// How many entries of this log it covers.
    pub fn covers(&self, log: LogId) -> u64 {
        let row = self.rows.binary_search_by_key(&log, |row| row.log);
        row.map_or(0, |at| self.rows[at].size)
    }

    /// The payload of the entry.
    pub fn encode(&self) -> Vec<u8> {
        let form = match self.state {
            SnapshotState::Inline(_) => FORM_INLINE,
            SnapshotState::Asset { .. } => FORM_ASSET,
        };
        let mut out = vec![form, 0, 0, 0];
        out.put_u32(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
        self.rows.iter().for_each(|row| row.encode(&mut out));
        match &self.state {
            SnapshotState::Inline(state) => out.put(state),
            SnapshotState::Asset { id, size } => {
                out.put_u64(*size);
                out.put(id);
            }
        }
        out
    }

    /// Decodes the payload of an entry.
    ///
    /// # Errors
    ///
    /// What breaks H-8: then the entry covers nothing.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let form = reader.u8()?;
        reader.zeros(3)?;
        let count = reader.u32()? as usize;
        if count > FRONTIER_LOG_COUNT_MAX {
            return Err(DecodeError::Reserved);
        }
        let rows = decode_frontier(reader.take(count * FrontierRow::LEN)?)?;
        let state = match form {
            FORM_INLINE => SnapshotState::Inline(reader.rest().to_vec()),
            FORM_ASSET => {
                let size = reader.u64()?;
                let id = reader.array()?;
                reader.finish()?;
                SnapshotState::Asset { id, size }
            }
            _ => return Err(DecodeError::Reserved),
        };
        Ok(Self { rows, state })
    }
}

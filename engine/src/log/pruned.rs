//! The prune record: what is still needed of entries that are gone (H-10).
//!
//! ```text
//! offset  size  field
//!      0     1  version            1
//!      1     3                     zero
//!      4     4  peak_count
//!      8     8  size               entries that were pruned
//!     16    32  root               of these entries
//!     48     8  change_count
//!     56     8  payload_bytes
//!     64     8  lamport            of the last one
//!     72     8  time_max           latest time, or none
//!     80     8  pruned             time when this was done
//!     88     4  declaration_count
//!     92     4  kept_count
//!     96  32 n  peaks
//!      .     .  declarations, kept entries
//! ```

use std::sync::Arc;

use crate::{
    bytes::{DecodeError, Hash, LogKeys, Put as _, Reader, StreamId, Timestamp},
    entry::{ENTRY_PAYLOAD_LEN_MAX, Kind, LAMPORT_MAX, STREAM_COUNT_MAX},
    frame::FRAME_PAYLOAD_LEN_MAX,
    index::Declaration,
    log::checkpoint::LogState,
    merkle::Peaks,
};

const VERSION: u8 = 1;
const HEAD_LEN: usize = 96;
const KEPT_HEAD_LEN: usize = 32;
const PEAK_COUNT_MAX: u32 = 48;

const _: () = assert!(HEAD_LEN == 1 + 3 + 4 + 8 + 32 + 5 * 8 + 4 + 4);

/// An entry that was pruned and still counts: a claim of an asset, or a release of claims elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct KeptEntry {
    pub(crate) index: u64,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) stream: StreamId,
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
}

/// What a log keeps of the entries that it has pruned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PruneRecord {
    /// The state behind them. Offset, link and frames are those of an empty file.
    pub(crate) state: LogState,
    /// When they were pruned.
    pub(crate) pruned: Option<Timestamp>,
    /// The streams that they declare, in order.
    pub(crate) declarations: Vec<Declaration>,
    /// Those that still count, ascending.
    pub(crate) kept: Vec<KeptEntry>,
}

impl PruneRecord {
    /// The entry `index`, if it still counts.
    pub(crate) fn kept(&self, index: u64) -> Option<&KeptEntry> {
        let found = self.kept.binary_search_by_key(&index, |entry| entry.index);
        found.ok().map(|at| &self.kept[at])
    }

    /// Entries that were pruned.
    pub(crate) fn size(&self) -> u64 {
        self.state.entry_count()
    }

    /// The record in a file whose frames begin with the link `link_seed`, which may be another than where it was read.
    pub(crate) fn linked_to(mut self: Arc<Self>, link_seed: u32) -> Arc<Self> {
        if self.state.link != link_seed {
            Arc::make_mut(&mut self).state.link = link_seed;
        }
        self
    }

    pub(crate) fn encode(&self, keys: &LogKeys) -> Vec<u8> {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(HEAD_LEN);
        out.put(&[VERSION, 0, 0, 0]);
        out.put_u32(self.size().count_ones());
        out.put_u64(self.size());
        out.put(self.state.peaks.root(keys).as_bytes());
        out.put_u64(self.state.change_count);
        out.put_u64(self.state.payload_bytes);
        out.put_u64(self.state.lamport);
        out.put_i64(Timestamp::encode(self.state.time_max));
        out.put_i64(Timestamp::encode(self.pruned));
        out.put_u32(count(self.declarations.len()));
        out.put_u32(count(self.kept.len()));
        self.state.peaks.hashes().iter().for_each(|peak| out.put(peak.as_bytes()));
        self.declarations.iter().for_each(|declaration| declaration.encode(&mut out));
        for entry in &self.kept {
            out.put_u64(entry.index);
            out.put_i64(Timestamp::encode(entry.timestamp));
            out.put_u32(entry.stream.0);
            out.put_u32(count(entry.payload.len()));
            out.put_u8(entry.kind.0);
            out.put(&[0; 7]);
            out.put(&entry.payload);
        }
        out
    }

    /// Whether the record fits a frame, as a bundle and a segment demand.
    pub(crate) fn fits(&self) -> bool {
        let declarations: usize = self.declarations.iter().map(Declaration::encoded_len).sum();
        let kept: usize = self.kept.iter().map(|entry| KEPT_HEAD_LEN + entry.payload.len()).sum();
        let peaks = PEAK_COUNT_MAX as usize * Hash::LEN;
        HEAD_LEN + peaks + declarations + kept <= FRAME_PAYLOAD_LEN_MAX as usize
    }

    /// Decodes the record of a log with these keys, whose frames begin with the link `link_seed`.
    pub(crate) fn decode(
        bytes: &[u8],
        keys: &LogKeys,
        link_seed: u32,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(DecodeError::Reserved);
        }
        reader.zeros(3)?;
        let peak_count = reader.u32()?;
        let size = reader.u64()?;
        let root = Hash::from_bytes(reader.array()?);
        let mut state = LogState::empty(link_seed);
        state.change_count = reader.u64()?;
        state.payload_bytes = reader.u64()?;
        state.lamport = reader.u64()?;
        state.time_max = Timestamp::decode(reader.i64()?);
        let pruned = Timestamp::decode(reader.i64()?);
        let (declaration_count, kept_count) = (reader.u32()?, reader.u32()?);
        let within_limits = peak_count <= PEAK_COUNT_MAX
            && size > 0
            && declaration_count <= STREAM_COUNT_MAX
            && state.change_count <= size
            && state.payload_bytes <= size.saturating_mul(ENTRY_PAYLOAD_LEN_MAX.into())
            && (size..=LAMPORT_MAX).contains(&state.lamport);
        if !within_limits {
            return Err(DecodeError::Reserved);
        }
        let peaks = (0..peak_count).map(|_| reader.array().map(Hash::from_bytes));
        let peaks = peaks.collect::<Result<Vec<_>, _>>()?;
        state.peaks = Peaks::from_parts(size, &peaks).ok_or(DecodeError::Reserved)?;
        if state.peaks.root(keys) != root {
            return Err(DecodeError::Reserved);
        }
        let mut declarations = Vec::new();
        for number in 1..=declaration_count {
            let (declaration, name_len) = Declaration::decode_head(&reader.array()?)?;
            let name = reader.take(name_len)?.into();
            if declaration.stream != StreamId(number) || declaration.index >= size {
                return Err(DecodeError::Reserved);
            }
            declarations.push(Declaration { name, ..declaration });
        }
        state.stream_count = declaration_count;
        let mut kept: Vec<KeptEntry> = Vec::new();
        for _ in 0..kept_count {
            let index = reader.u64()?;
            let timestamp = Timestamp::decode(reader.i64()?);
            let stream = StreamId(reader.u32()?);
            let payload_len = reader.u32()? as usize;
            let kind = Kind(reader.u8()?);
            reader.zeros(7)?;
            let payload = reader.take(payload_len)?.to_vec();
            let in_order = kept.last().is_none_or(|last| last.index < index);
            if index >= size || !in_order || !kind.is_about_assets() {
                return Err(DecodeError::Reserved);
            }
            kept.push(KeptEntry { index, timestamp, stream, kind, payload });
        }
        reader.finish()?;
        Ok(Self { state, pruned, declarations, kept })
    }
}

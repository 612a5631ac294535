//! Replaying batches: from frames to the state of a log, every entry hashed.
//!
//! Recovery, the index, imports and the deep check all learn what a batch does to a log in this one
//! place.

use crate::{
    batch::{Batch, BatchError, Content, Decoder},
    bytes::{Hash, Lanes, LogId, LogKeys, StreamId, Timestamp},
    entry::{EntryHeader, Kind, Part, STREAM_COUNT_MAX, decode_frontier},
    frame::FrameHeader,
    index::{ASSET_POSTINGS, Declaration, FrameSummary, HISTORY_POSTINGS},
    log::checkpoint::LogState,
    merkle::{SaltCursor, SaltTree},
};

/// Lowest level of the subtrees that the index keeps.
const INDEX_LEVEL_MIN: u32 = 6;
/// Highest level of those subtrees; the one above is complete only in a log of the largest size.
const INDEX_LEVEL_MAX: u32 = 47;

/// Why a batch does not continue its log, though its frame is sound.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The batch is malformed.
    #[error("malformed batch: {0}")]
    Batch(#[from] BatchError),
    /// The batch is one of another log.
    #[error("batch of another log ({0})")]
    OtherLog(LogId),
    /// The batch header and the frame header do not agree (F-7).
    #[error("the batch holds other entries than its frame says")]
    Range,
    /// A Lamport clock is not what the entries before and the frontiers seen make it (E-8).
    #[error("wrong Lamport clock at entry {0}")]
    Lamport(u64),
    /// An entry names a stream that is not declared, or declares one wrongly (E-4).
    #[error("entry {0} names or declares a stream out of order")]
    Stream(u64),
    /// A control entry is split into parts (E-5).
    #[error("control entry {0} is split into parts")]
    Part(u64),
    /// The salt of an entry was erased, its payload is there.
    #[error("entry {0} has a payload but no salt")]
    Salt(u64),
    /// The entries do not lead to the root that the batch names.
    #[error("wrong root: the batch says {expected}, its entries give {found}")]
    Root {
        /// What the batch says.
        expected: Hash,
        /// What the entries give.
        found: Hash,
    },
}

/// What one batch does to the index.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    pub(crate) change_count: u32,
    pub(crate) payload_bytes: u64,
    pub(crate) time_max: Option<Timestamp>,
    /// Distinct, ascending.
    pub(crate) streams: Vec<StreamId>,
    pub(crate) declarations: Vec<Declaration>,
    pub(crate) nodes: Vec<(u32, u64, Hash)>,
}

impl Effect {
    fn clear(&mut self) {
        self.change_count = 0;
        self.payload_bytes = 0;
        self.time_max = None;
        self.streams.clear();
        self.declarations.clear();
        self.nodes.clear();
    }

    /// Checks that the entry `index` continues `state`, moves it on, and notes what the entry means to the index.
    fn learn(
        &mut self,
        state: &mut LogState,
        index: u64,
        header: &EntryHeader,
        content: Content<'_>,
    ) -> Result<(), ReplayError> {
        // Control entries always have theirs (B-8).
        let payload = content.payload().unwrap_or_default();
        if header.lamport != next_lamport(state.lamport, header, payload) {
            return Err(ReplayError::Lamport(index));
        }
        state.lamport = header.lamport;
        if header.kind.is_control() && header.part != Part::WHOLE {
            return Err(ReplayError::Part(index));
        }
        self.change_count += u32::from(header.begins_change());
        self.payload_bytes += u64::from(header.payload_len);
        self.time_max = self.time_max.max(header.timestamp);
        if header.kind == Kind::STREAM {
            state.stream_count += 1;
            let declaration = Declaration::decode(header.stream, index, payload)
                .ok_or(ReplayError::Stream(index))?;
            if header.stream.0 != state.stream_count || state.stream_count > STREAM_COUNT_MAX {
                return Err(ReplayError::Stream(index));
            }
            self.declarations.push(declaration);
        }
        if header.stream.0 > state.stream_count {
            return Err(ReplayError::Stream(index));
        }
        if self.streams.last() != Some(&header.stream) {
            self.streams.push(header.stream);
        }
        if header.kind.is_about_assets() && !self.streams.contains(&ASSET_POSTINGS) {
            self.streams.push(ASSET_POSTINGS);
        }
        if header.kind.is_about_history() && !self.streams.contains(&HISTORY_POSTINGS) {
            self.streams.push(HISTORY_POSTINGS);
        }
        Ok(())
    }

    /// Gives back memory that was set aside for larger ones.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.streams.shrink_to_fit();
        self.declarations.shrink_to_fit();
        self.nodes.shrink_to_fit();
    }

    pub(crate) fn summary<'a>(
        &'a self,
        frame: &FrameHeader,
        end_offset: u64,
        root: Hash,
    ) -> FrameSummary<'a> {
        FrameSummary {
            offset: frame.offset,
            end_offset,
            generation: frame.generation,
            first_index: frame.first_index,
            entry_count: frame.entry_count,
            change_count: self.change_count,
            time_max: self.time_max,
            streams: &self.streams,
            declarations: &self.declarations,
            nodes: &self.nodes,
            root,
        }
    }
}

/// Hashes entries into a log's tree, one batch after the other.
#[derive(Debug)]
pub(crate) struct Hasher {
    keys: LogKeys,
    salts: SaltTree,
    leaves: LeafHasher,
    lanes: Lanes,
}

impl Hasher {
    pub(crate) fn new(log: LogId, salts: SaltTree) -> Self {
        Self { keys: LogKeys::new(log), salts, leaves: LeafHasher::new(), lanes: Lanes::new() }
    }

    pub(crate) fn keys(&self) -> &LogKeys {
        &self.keys
    }

    /// The salts that it hashes with.
    pub(crate) fn salts(&self) -> &SaltTree {
        &self.salts
    }

    /// Gives back memory.
    pub(crate) fn rest(&mut self) {
        self.leaves = LeafHasher::new();
        self.lanes = Lanes::new();
    }

    /// Appends the entries to `state`, and says in `effect` what they mean to the index.
    ///
    /// Only what hashing needs is changed in `state`; offsets and links are the caller's.
    pub(crate) fn append<'a>(
        &mut self,
        state: &mut LogState,
        entries: impl Iterator<Item = (EntryHeader, Content<'a>)>,
        effect: &mut Effect,
    ) -> Result<(), ReplayError> {
        effect.clear();
        let first_index = state.entry_count();
        let entries = (first_index..).zip(entries).map(|(index, (header, content))| {
            effect.learn(state, index, &header, content)?;
            Ok((header, content))
        });
        let mut leaves = Vec::new();
        self.leaves.hash(&self.keys, &self.salts, first_index, entries, &mut leaves)?;
        self.push(state, &leaves, effect);
        Ok(())
    }

    /// The same, if the leaves are known already.
    pub(crate) fn append_hashed<'a>(
        &mut self,
        state: &mut LogState,
        entries: impl Iterator<Item = (EntryHeader, Content<'a>)>,
        leaves: &[Hash],
        effect: &mut Effect,
    ) -> Result<(), ReplayError> {
        effect.clear();
        for (index, (header, content)) in (state.entry_count()..).zip(entries) {
            effect.learn(state, index, &header, content)?;
        }
        self.push(state, leaves, effect);
        Ok(())
    }

    fn push(&mut self, state: &mut LogState, leaves: &[Hash], effect: &mut Effect) {
        state.peaks.extend(&self.keys, &mut self.lanes, leaves, |level, position, node| {
            if (INDEX_LEVEL_MIN..=INDEX_LEVEL_MAX).contains(&level) {
                effect.nodes.push((level, position, *node));
            }
        });
        effect.streams.sort_unstable();
        effect.streams.dedup();
        state.change_count += u64::from(effect.change_count);
        state.payload_bytes += effect.payload_bytes;
        state.time_max = state.time_max.max(effect.time_max);
    }
}

/// Hashes entries to the leaves that they are in the tree.
#[derive(Debug)]
pub(crate) struct LeafHasher {
    cursor: SaltCursor,
    lanes: Lanes,
    /// The canonical headers of the entries that are being hashed.
    headers: Vec<[u8; EntryHeader::LEN]>,
}

impl LeafHasher {
    pub(crate) fn new() -> Self {
        Self { cursor: SaltCursor::new(), lanes: Lanes::new(), headers: Vec::new() }
    }

    /// Appends to `leaves` those of the entries from `first_index` on.
    pub(crate) fn hash<'a>(
        &mut self,
        keys: &LogKeys,
        salts: &SaltTree,
        first_index: u64,
        entries: impl Iterator<Item = Result<(EntryHeader, Content<'a>), ReplayError>>,
        leaves: &mut Vec<Hash>,
    ) -> Result<(), ReplayError> {
        self.headers.clear();
        self.lanes.start(keys.of_payloads());
        for (index, entry) in (first_index..).zip(entries) {
            let (header, content) = entry?;
            self.headers.push(header.encode());
            match content {
                Content::Payload(payload) => {
                    let salt = self.cursor.salt(salts, index).ok_or(ReplayError::Salt(index))?;
                    self.lanes.push(&salt, payload);
                }
                Content::Absent(hash) => self.lanes.push_hash(hash),
            }
        }
        let start = leaves.len();
        leaves.extend_from_slice(self.lanes.finish());
        self.lanes.start(keys.of_leaves());
        for (header, payload_hash) in self.headers.iter().zip(&leaves[start..]) {
            self.lanes.push(header, payload_hash.as_bytes());
        }
        leaves[start..].copy_from_slice(self.lanes.finish());
        Ok(())
    }
}

/// The clock of an entry that follows one with the clock `before` (E-8). 0, which no entry has, if its frontier is
/// malformed.
fn next_lamport(before: u64, header: &EntryHeader, payload: &[u8]) -> u64 {
    if header.kind != Kind::SEEN {
        return before + 1;
    }
    let Ok(rows) = decode_frontier(payload) else { return 0 };
    rows.iter().map(|row| row.lamport).fold(before, u64::max) + 1
}

/// Applies frames to a state.
#[derive(Debug)]
pub(crate) struct Replay {
    log: LogId,
    align_log2: u8,
    hasher: Hasher,
    decoder: Decoder,
    state: LogState,
    effect: Effect,
}

impl Replay {
    pub(crate) fn new(log: LogId, salts: SaltTree, align_log2: u8, state: LogState) -> Self {
        Self {
            log,
            align_log2,
            hasher: Hasher::new(log, salts),
            decoder: Decoder::new(),
            state,
            effect: Effect::default(),
        }
    }

    pub(crate) fn state(&self) -> &LogState {
        &self.state
    }

    pub(crate) fn set_state(&mut self, state: LogState) {
        self.state = state;
    }

    pub(crate) fn into_parts(self) -> (LogState, Hasher) {
        (self.state, self.hasher)
    }

    /// Decodes the batch of a frame that follows the state, checks all of it, and moves the state
    /// behind the frame. After an error the state is unchanged.
    pub(crate) fn apply(
        &mut self,
        frame: &FrameHeader,
        payload: &[u8],
    ) -> Result<FrameSummary<'_>, ReplayError> {
        self.apply_and(frame, payload, |_| ())
    }

    /// As [`Replay::apply`]; `look` is shown the batch if it is sound.
    pub(crate) fn apply_and(
        &mut self,
        frame: &FrameHeader,
        payload: &[u8],
        look: impl FnOnce(&Batch),
    ) -> Result<FrameSummary<'_>, ReplayError> {
        let batch = decode_for(self.log, frame, &mut self.decoder, payload)?;
        let before = self.state.clone();
        match self.hash(&batch) {
            Ok(root) => {
                look(&batch);
                self.state.end_offset = frame.offset + frame.len(self.align_log2);
                self.state.frame_count += 1;
                self.state.link = frame.header_crc;
                Ok(self.effect.summary(frame, self.state.end_offset, root))
            }
            Err(error) => {
                self.state = before;
                Err(error)
            }
        }
    }

    fn hash(&mut self, batch: &Batch) -> Result<Hash, ReplayError> {
        self.hasher.append(&mut self.state, batch.entries(), &mut self.effect)?;
        let found = self.state.peaks.root(self.hasher.keys());
        let expected = batch.header().root();
        if found == expected { Ok(found) } else { Err(ReplayError::Root { expected, found }) }
    }

    /// Moves the state over a frame that holds no entries.
    pub(crate) fn skip(&mut self, frame: &FrameHeader) -> FrameSummary<'_> {
        self.state.end_offset = frame.offset + frame.len(self.align_log2);
        self.state.frame_count += 1;
        self.state.link = frame.header_crc;
        self.effect.clear();
        let root = self.state.peaks.root(self.hasher.keys());
        self.effect.summary(frame, self.state.end_offset, root)
    }
}

/// Decodes the batch of a frame and checks that they agree (F-7).
pub(crate) fn decode_for(
    log: LogId,
    frame: &FrameHeader,
    decoder: &mut Decoder,
    payload: &[u8],
) -> Result<Batch, ReplayError> {
    let batch = decoder.decode(payload)?;
    if batch.header().log() != log {
        return Err(ReplayError::OtherLog(batch.header().log()));
    }
    if batch.first_index() != frame.first_index
        || batch.header().entry_count() != frame.entry_count
        || batch.header().continues() != frame.continues
    {
        return Err(ReplayError::Range);
    }
    Ok(batch)
}

//! The Merkle tree of one log: roots at any size and proofs, from the index and the entries (section 8).

use crate::{
    batch::Content,
    bytes::Hash,
    log::read::{Log, ReadError, position_in},
    merkle::{
        ConsistencyProof, InclusionProof, NodeSource, Peaks, SaltCursor, consistency_path,
        inclusion_path, peaks_at,
    },
};

/// The index keeps subtrees from this level on; smaller ones are hashed from their entries.
const INDEX_LEVEL_MIN: u32 = 6;

impl NodeSource for Log {
    type Error = ReadError;

    /// Cost: one lookup in the index; below level 6, or where the index ends, the entries are hashed.
    fn node(&self, level: u32, position: u64) -> Result<Hash, ReadError> {
        let range = position << level..(position + 1) << level;
        let first_index = self.first_index();
        if range.end <= first_index {
            return self.pruned_node(level, position);
        }
        if level >= INDEX_LEVEL_MIN
            && let Some(node) = self.with_index(|index| index.node(level, position))?
        {
            return Ok(node);
        }
        // A subtree that begins before what is left follows from the peaks of what is gone.
        if level <= INDEX_LEVEL_MIN && range.start >= first_index {
            return self.hash_entries(level, position);
        }
        let left = self.node(level - 1, 2 * position)?;
        let right = self.node(level - 1, 2 * position + 1)?;
        Ok(self.keys.node(&left, &right))
    }
}

impl Log {
    /// A subtree of pruned entries: it is one of the peaks that are left, or nobody has it any more.
    fn pruned_node(&self, level: u32, position: u64) -> Result<Hash, ReadError> {
        let record = self.pruned.as_ref();
        let peak = record.and_then(|record| record.state.peaks.peak(level, position));
        peak.ok_or_else(|| self.pruned_error(position << level))
    }

    /// A small perfect subtree, from its entries.
    fn hash_entries(&self, level: u32, position: u64) -> Result<Hash, ReadError> {
        let count = 1_u64 << level;
        let first = position << level;
        let mut cursor = SaltCursor::new();
        let mut peaks = Peaks::new();
        for index in first..first + count {
            let batch = self.batch_with(index)?;
            let position = position_in(&batch, index);
            let payload_hash = self.payload_hash(&mut cursor, index, batch.content(position))?;
            let leaf = self.keys.leaf(&batch.entry_header(position).encode(), &payload_hash);
            peaks.push(&self.keys, leaf, |_, _, _| {});
        }
        Ok(peaks.tree_hash(&self.keys))
    }

    /// The salted hash of a payload, which stands in its place if it is absent.
    fn payload_hash(
        &self,
        cursor: &mut SaltCursor,
        index: u64,
        content: Content<'_>,
    ) -> Result<Hash, ReadError> {
        match content {
            Content::Payload(payload) => {
                Ok(self.keys.payload_hash(&self.salt(cursor, index)?, payload))
            }
            Content::Absent(hash) => Ok(hash),
        }
    }

    fn salt(&self, cursor: &mut SaltCursor, index: u64) -> Result<[u8; 16], ReadError> {
        let erased = || {
            let lost = (index..index + 1).into();
            self.corruption(0, lost, super::ReplayError::Salt(index))
        };
        cursor.salt(&self.salts, index).ok_or_else(erased)
    }

    /// The peaks of the first `size` entries.
    pub(crate) fn peaks_at(&self, size: u64) -> Result<Peaks, ReadError> {
        peaks_at(self, size)
    }

    /// The generation that has everything in its file that was appended before, entries staged in this process included.
    fn written(&self) -> Result<&Self, ReadError> {
        if let Some(core) = self.core.get()
            && core.end_index() > self.latest().view.read().entry_count
        {
            core.flush()?;
        }
        // Asked for last: what was just written may stand in a generation that came meanwhile.
        Ok(self.latest())
    }

    /// The root of the first `size` entries; all of them if `size` is `None`. Also says how many they are.
    pub(crate) fn root_at(&self, size: Option<u64>) -> Result<(u64, Hash), ReadError> {
        let this = self.written()?;
        let view = this.view.read().clone();
        let count = view.entry_count;
        let size = size.unwrap_or(count);
        if size == view.state.entry_count() {
            return Ok((size, view.state.peaks.root(&self.keys)));
        }
        this.check_size(size, count)?;
        Ok((size, this.peaks_at(size)?.root(&self.keys)))
    }

    /// Sizes above what is there, and sizes behind damage, have no root.
    fn check_size(&self, size: u64, count: u64) -> Result<(), ReadError> {
        if size > count {
            return Err(self.out_of_range(size - 1));
        }
        if size > 0 {
            self.check_pruned(size)?;
        }
        let view = self.view.read();
        match &view.damage {
            Some(damage) if size > view.state.entry_count() => {
                Err(ReadError::Corrupt(damage.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Proves that entry `index` stands in the first `size` entries. Discloses its payload and salt.
    pub(crate) fn prove_inclusion(
        &self,
        index: u64,
        size: Option<u64>,
    ) -> Result<InclusionProof, ReadError> {
        let this = self.written()?;
        let count = this.view.read().entry_count;
        let size = size.unwrap_or(count);
        this.check_size(size, count)?;
        if index >= size {
            return Err(ReadError::OutOfRange { log: this.id(), index, entry_count: size });
        }
        this.check_pruned(index)?;
        this.prepare_tree()?;
        let batch = this.batch_with(index)?;
        let position = position_in(&batch, index);
        let content = batch.content(position);
        let mut cursor = SaltCursor::new();
        let payload_hash = this.payload_hash(&mut cursor, index, content)?;
        // Of an absent payload nothing can be disclosed; the proof holds without.
        let salt = content.payload().map(|_| this.salt(&mut cursor, index)).transpose()?;
        Ok(InclusionProof {
            log: this.id(),
            index,
            size,
            header: batch.entry_header(position),
            payload_hash,
            path: inclusion_path(this, &this.keys, index, size)?,
            salt,
            payload: content.payload().map(<[u8]>::to_vec),
        })
    }

    /// Proves that the first `from` entries are the beginning of the first `size`.
    pub(crate) fn prove_consistency(
        &self,
        from: u64,
        size: Option<u64>,
    ) -> Result<ConsistencyProof, ReadError> {
        let this = self.written()?;
        let count = this.view.read().entry_count;
        let size = size.unwrap_or(count);
        this.check_size(size, count)?;
        if from > size {
            return Err(ReadError::OutOfRange { log: this.id(), index: from, entry_count: size });
        }
        this.prepare_tree()?;
        let (_, from_root) = this.root_at(Some(from))?;
        let path = consistency_path(this, &this.keys, from, size)?;
        Ok(ConsistencyProof { log: this.id(), from_size: from, size, from_root, path })
    }

    /// Nodes of large subtrees come from the index: without it each would be hashed from its entries.
    fn prepare_tree(&self) -> Result<(), ReadError> {
        let unindexed =
            self.view.read().entry_count.saturating_sub(self.index.position().end_index);
        if unindexed > UNINDEXED_COUNT_MAX { self.read_up_index() } else { Ok(()) }
    }
}

/// More entries than this behind the index are read up before the tree is asked.
const UNINDEXED_COUNT_MAX: u64 = 4096;

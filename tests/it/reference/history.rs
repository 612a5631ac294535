//! The rules that span entries (section 6), and the hashes of section 8 over them.
//!
//! A history is fed all entries of a log in order. Where entries are lost it is told so, and then
//! checks only what still can be checked: there is no root without every leaf, and no telling
//! whether a stream was declared.

use std::collections::HashSet;

use super::batch::Batch;
use super::bytes::{Uuid, ensure};
use super::entry::{self, Entry, FLAG_NOT_FIRST, FLAG_NOT_LAST};
use super::limits::STREAM_COUNT_MAX;
use super::merkle::{self, Hash, Roots, Tree};
use super::prune::PruneRecord;
use super::salts::Salts;

/// What a log holds so far.
#[derive(Clone, Debug)]
pub(crate) struct History {
    log: Uuid,
    salts: Salts,
    /// None once entries are missing.
    tree: Option<Tree>,
    /// The roots of all sizes that can be known.
    pub(crate) roots: Roots,
    /// Index of the next entry.
    pub(crate) end_index: u64,
    /// Clock of the last entry, 0 if there is none.
    pub(crate) lamport: u64,
    /// Whether the entry directly before `end_index` is known, or there is none.
    before_is_known: bool,
    /// Whether every declaration before is known.
    streams_are_known: bool,
    /// Highest stream number that was declared.
    pub(crate) stream_count: u32,
    stream_names: HashSet<(u8, Vec<u8>)>,
    /// Stream and timestamp of a change whose last part is yet to come (E-5).
    open_change: Option<(u32, Option<i64>)>,
    pub(crate) change_count: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) time_max: Option<i64>,
}

impl History {
    /// The history of an empty log.
    pub(crate) fn new(log: &Uuid, salts: Salts) -> Self {
        Self {
            log: *log,
            salts,
            tree: Some(Tree::new(log)),
            roots: Roots::from(Tree::new(log)),
            end_index: 0,
            lamport: 0,
            before_is_known: true,
            streams_are_known: true,
            stream_count: 0,
            stream_names: HashSet::new(),
            open_change: None,
            change_count: 0,
            payload_bytes: 0,
            time_max: None,
        }
    }

    /// The history of a log of which everything that `record` stands for was pruned (H-10, H-11).
    pub(crate) fn pruned(log: &Uuid, salts: Salts, record: &PruneRecord) -> Result<Self, String> {
        let tree = Tree::from_peaks(log, record.size, &record.peaks)?;
        let declared = record.declarations.iter();
        Ok(Self {
            roots: Roots::from(tree.clone()),
            tree: Some(tree),
            end_index: record.size,
            lamport: record.lamport,
            stream_count: declared.clone().map(|named| named.stream).max().unwrap_or(0),
            stream_names: declared.map(|named| (named.form, named.name.clone())).collect(),
            change_count: record.change_count,
            payload_bytes: record.payload_bytes,
            time_max: record.time_max,
            ..Self::new(log, salts)
        })
    }

    /// The entries from the next one up to `end_index` are unknown.
    pub(crate) fn skip_to(&mut self, end_index: u64) {
        if end_index > self.end_index {
            let lost_count = end_index - self.end_index;
            self.lamport = self.lamport.saturating_add(lost_count);
            self.end_index = end_index;
            self.tree = None;
            self.before_is_known = false;
            self.streams_are_known = false;
            self.open_change = None;
        }
    }

    /// As [`History::skip_to`], but the hashes of what is skipped are known by its peaks (U-3).
    pub(crate) fn skip_with_peaks(&mut self, end_index: u64, peaks: &[Hash]) -> Result<(), String> {
        self.skip_to(end_index);
        let tree = Tree::from_peaks(&self.log, end_index, peaks)?;
        self.roots = Roots::from(tree.clone());
        self.tree = Some(tree);
        Ok(())
    }

    /// Whether every entry from index 0 on is known.
    pub(crate) fn is_whole(&self) -> bool {
        self.tree.is_some()
    }

    /// Root of all entries, if all are known (M-5).
    pub(crate) fn root(&self) -> Option<Hash> {
        self.tree.as_ref().map(Tree::root)
    }

    /// Peaks of all entries, if all are known (M-4).
    pub(crate) fn peaks(&self) -> Option<Vec<Hash>> {
        self.tree.as_ref().map(Tree::peaks)
    }

    /// Appends the entries of a batch; returns whether its root was checked, which needs all
    /// entries before.
    pub(crate) fn append(&mut self, batch: &Batch) -> Result<bool, String> {
        ensure(batch.log == self.log, || "B-1: a batch of another log".to_owned())?;
        ensure(batch.first_index == self.end_index, || {
            format!("E-2: entry {} follows {} entries", batch.first_index, self.end_index)
        })?;
        for entry in &batch.entries {
            self.push(entry)?;
        }
        match self.root() {
            None => Ok(false),
            Some(root) if root == batch.root => Ok(true),
            Some(_) => Err(format!("B-1: root of the first {} entries", self.end_index)),
        }
    }

    /// Ends an atomic group: all parts of a change belong to one (E-5).
    pub(crate) fn end_group(&self) -> Result<(), String> {
        ensure(self.open_change.is_none(), || {
            format!("E-5: the change before entry {} has no last part", self.end_index)
        })
    }

    fn push(&mut self, entry: &Entry) -> Result<(), String> {
        entry::check_flags(entry)?;
        self.check_lamport(entry)?;
        self.check_stream(entry)?;
        self.check_parts(entry)?;

        let payload_hash = self.payload_hash(entry)?;
        if let Some(tree) = &mut self.tree {
            let leaf = merkle::leaf(&self.log, &entry.canonical_header()?, &payload_hash);
            tree.push(leaf);
            self.roots.leaves.push(leaf);
        }
        if entry.kind == entry::KIND_CHANGE && entry.flags & FLAG_NOT_FIRST == 0 {
            self.change_count += 1;
        }
        self.payload_bytes = self.payload_bytes.saturating_add(u64::from(entry.payload_len()?));
        self.time_max = self.time_max.max(entry.timestamp);
        self.end_index += 1;
        self.before_is_known = true;
        Ok(())
    }

    /// M-2; an entry whose salt is erased has no payload here (H-4).
    fn payload_hash(&self, entry: &Entry) -> Result<Hash, String> {
        if let Some(absent) = &entry.absent {
            return Ok(absent.payload_hash);
        }
        let salt = self.salts.of(entry.index)?;
        let erased = || format!("H-4: entry {} has a payload, but its salt is erased", entry.index);
        let salt = salt.ok_or_else(erased)?;
        Ok(merkle::payload_hash(&self.log, &salt, &entry.payload))
    }

    /// E-8; where the entry before is not known, its clock is at least the number of entries.
    fn check_lamport(&mut self, entry: &Entry) -> Result<(), String> {
        let mut before = self.lamport;
        if entry.kind == entry::KIND_SEEN {
            let rows = entry::frontier(&entry.payload)?;
            before = before.max(rows.iter().map(|row| row.lamport).max().unwrap_or(0));
        }
        let next = before.saturating_add(1);
        let holds =
            if self.before_is_known { entry.lamport == next } else { entry.lamport >= next };
        ensure(holds, || {
            format!("E-8: lamport {} of entry {} after {before}", entry.lamport, entry.index)
        })?;
        self.lamport = entry.lamport;
        Ok(())
    }

    /// E-4. After a loss a declaration may have been among the lost entries.
    fn check_stream(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.kind == entry::KIND_STREAM {
            let next = self.stream_count.saturating_add(1);
            let exact = self.streams_are_known;
            let holds = if exact { entry.stream == next } else { entry.stream >= next };
            ensure(holds, || {
                format!("E-4: entry {} declares stream {}, not {next}", entry.index, entry.stream)
            })?;
            ensure(entry.stream <= STREAM_COUNT_MAX, || {
                format!("L-1: entry {} declares stream {}", entry.index, entry.stream)
            })?;
            ensure(self.stream_names.insert(entry::stream_name(&entry.payload)?), || {
                format!("E-4: entry {} declares a name again", entry.index)
            })?;
            self.stream_count = entry.stream;
        }
        let limit = if self.streams_are_known { self.stream_count } else { STREAM_COUNT_MAX };
        ensure(entry.stream <= limit, || {
            format!("E-4: entry {} names stream {}", entry.index, entry.stream)
        })
    }

    /// E-5. Directly after a loss a change may begin with any of its parts.
    fn check_parts(&mut self, entry: &Entry) -> Result<(), String> {
        let broken = || format!("E-5: entry {} is no part of a split change", entry.index);
        let is_change = entry.kind == entry::KIND_CHANGE;
        let continues = is_change && entry.flags & FLAG_NOT_FIRST != 0;
        match self.open_change {
            Some(first) => {
                ensure(continues && first == (entry.stream, entry.timestamp), broken)?;
            }
            None => ensure(!continues || !self.before_is_known, broken)?,
        }
        let is_open = is_change && entry.flags & FLAG_NOT_LAST != 0;
        self.open_change = is_open.then_some((entry.stream, entry.timestamp));
        Ok(())
    }
}

//! A segment file: created with its whole head, loaded without being changed (S-1 to S-6).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    bytes::LogKeys,
    error::{Cause, Corruption, IoContext as _, IoError, LostEntries},
    frame::FrameKind,
    index::Position,
    io::{Access, Disk, DiskFile, replace_file},
    log::{
        checkpoint::{Checkpoint, CheckpointContext, LogState, Slot},
        frames::{FrameReader, READ_AHEAD_SHORT},
        head::{HEAD_LEN, HeadError, SLOTS_OFFSET, SegmentHeader, UNIT_LEN, UnitState},
        pruned::PruneRecord,
        renewed::index_origin,
    },
    merkle::SaltTree,
};

/// Why a segment cannot be opened at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The operating system refused something; nothing was changed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The head is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The file is no segment, or one of a later format.
    #[error("{}: {source}", .path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        source: HeadError,
    },
}

/// An opened segment: its head is checked, its frames are not.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: SegmentHeader,
    pub(crate) units: [UnitState; 2],
    pub(crate) slots: [Slot; 2],
    pub(crate) salts: SaltTree,
    /// What is kept of entries that were pruned.
    pub(crate) pruned: Option<Arc<PruneRecord>>,
    base: LogState,
    pub(crate) keys: LogKeys,
}

impl Segment {
    /// Creates the file of a new log with an empty head (S-1).
    pub(crate) fn create(
        disk: &dyn Disk,
        path: &Path,
        header: &SegmentHeader,
    ) -> Result<(), IoError> {
        let mut head = header.encode();
        head.resize(usize::try_from(HEAD_LEN).expect("16 KiB"), 0);
        replace_file(disk, path, &head).context(path, "create")
    }

    /// Opens the file and checks its head.
    pub(crate) fn load(disk: &dyn Disk, path: &Path, access: Access) -> Result<Self, SegmentError> {
        let file = disk.open(path, access).context(path, "open")?;
        Self::load_file(path, file)
    }

    /// Checks the head of an open file.
    pub(crate) fn load_file(path: &Path, file: Arc<dyn DiskFile>) -> Result<Self, SegmentError> {
        let head = file
            .read_vec_at(0, usize::try_from(HEAD_LEN).expect("16 KiB"))
            .context(path, "read")?;
        let damaged = |source: HeadError| match source {
            HeadError::Foreign | HeadError::Unsupported { .. } => {
                SegmentError::Head { path: path.to_owned(), source }
            }
            source => SegmentError::Corrupt(Corruption {
                path: path.to_owned(),
                offset: 0,
                lost: LostEntries { first: 0, end: None },
                cause: Cause::Head(source),
            }),
        };
        let (header, units) = SegmentHeader::decode(&head).map_err(damaged)?;
        let keys = LogKeys::new(header.log);
        let record = |offset, kind| {
            let record = read_record(&file, &header, offset, kind).context(path, "read")?;
            record.ok_or_else(|| damaged(HeadError::Record(kind)))
        };
        let salts = match header.salts_offset {
            0 => SaltTree::decode(&header.salt_record),
            offset => SaltTree::decode(&record(offset, FrameKind::SALTS)?),
        };
        let salts = salts.map_err(|_| damaged(HeadError::Malformed))?;
        let pruned = match header.first_index {
            0 => None,
            size => {
                let record = record(HEAD_LEN, FrameKind::PRUNED)?;
                let record = PruneRecord::decode(&record, &keys, header.link_seed()).ok();
                let record = record.filter(|record| record.size() == size);
                Some(Arc::new(record.ok_or_else(|| damaged(HeadError::Record(FrameKind::PRUNED)))?))
            }
        };
        let base = base(&header, pruned.as_deref());
        let slots = decode_slots(&head, &header, &keys);
        Ok(Self { path: path.to_owned(), file, header, units, slots, salts, pruned, base, keys })
    }

    /// The state of the log before its first frame: that behind the pruned entries, if there are any.
    pub(crate) fn base(&self) -> &LogState {
        &self.base
    }

    /// Checks the head of an open file of which the salts or what was pruned cannot be read (P-5, H-10): without them no
    /// entry can be hashed, and no salts are in what this gives.
    pub(crate) fn load_without_records(
        path: &Path,
        file: Arc<dyn DiskFile>,
    ) -> Result<Self, HeadError> {
        let len = usize::try_from(HEAD_LEN).expect("16 KiB");
        let head = file.read_vec_at(0, len).map_err(|_| HeadError::Damaged)?;
        let (header, units) = SegmentHeader::decode(&head)?;
        let keys = LogKeys::new(header.log);
        let slots = decode_slots(&head, &header, &keys);
        let pruned = read_pruned(&file, &header, &keys);
        let base = base(&header, pruned.as_deref());
        let (path, salts) = (path.to_owned(), SaltTree::erased());
        Ok(Self { path, file, header, units, slots, salts, pruned, base, keys })
    }

    /// Puts a segment together whose head is damaged, if `other` is of the same log (S-5): then the salt is that of
    /// `other`, and so are the salts of the entries. Checkpoints and what was pruned are its own.
    pub(crate) fn with_head_of(
        path: &Path,
        file: Arc<dyn DiskFile>,
        other: &Self,
        generation: u64,
    ) -> Self {
        let is_same = other.header.generation == generation;
        let mut header = SegmentHeader {
            generation,
            first_index: if is_same { other.header.first_index } else { 0 },
            carried_upto: 0,
            compacted_upto: 0,
            compacted_frames: 0,
            ..other.header.clone()
        };
        let keys = LogKeys::new(header.log);
        let pruned =
            read_pruned(&file, &header, &keys).or_else(|| other.pruned.clone().filter(|_| is_same));
        if let Some(record) = &pruned {
            header.first_index = record.size();
        }
        let mut salts = other.salts.clone();
        salts.puncture_below(header.first_index);
        let context = checkpoint_context(&header, &keys);
        let slots = [0_u64, 1].map(|slot| {
            let bytes = file.read_vec_at(slot_offset(slot), UNIT_LEN).unwrap_or_default();
            bytes
                .first_chunk()
                .map_or(Slot::Damaged, |bytes| Checkpoint::decode(bytes, slot, &context))
        });
        Self {
            path: path.to_owned(),
            file,
            units: [UnitState::Damaged; 2],
            slots,
            salts,
            base: base(&header, pruned.as_deref()),
            pruned,
            header,
            keys,
        }
    }

    /// Where the index of the log begins.
    pub(crate) fn index_origin(&self) -> Position {
        index_origin(&self.header, self.pruned.as_deref(), &self.keys)
    }

    /// The valid checkpoint with the highest sequence (C-2).
    pub(crate) fn checkpoint(&self) -> Option<&Checkpoint> {
        self.slots.iter().filter_map(Slot::checkpoint).max_by_key(|checkpoint| checkpoint.sequence)
    }
}

/// The state of a log before its first frame.
fn base(header: &SegmentHeader, pruned: Option<&PruneRecord>) -> LogState {
    pruned.map_or_else(|| LogState::empty(header.link_seed()), |record| record.state.clone())
}

/// What is kept of pruned entries, if there are any and it can be read (H-10).
fn read_pruned(
    file: &Arc<dyn DiskFile>,
    header: &SegmentHeader,
    keys: &LogKeys,
) -> Option<Arc<PruneRecord>> {
    let record = read_record(file, header, HEAD_LEN, FrameKind::PRUNED).ok()??;
    PruneRecord::decode(&record, keys, header.link_seed()).ok().map(Arc::new)
}

/// The payload of the first valid frame of two, at `offset` and behind it, that are to be of this kind and to hold the same
/// (P-5, H-10).
fn read_record(
    file: &Arc<dyn DiskFile>,
    header: &SegmentHeader,
    offset: u64,
    kind: FrameKind,
) -> std::io::Result<Option<Vec<u8>>> {
    let limit = file.len()?;
    let mut reader = FrameReader::new(Arc::clone(file), header.frames(), limit, READ_AHEAD_SHORT);
    // Where the first copy is damaged, the next valid frame is the second one.
    let Some(frame) = reader.find(offset)?.filter(|frame| frame.kind == kind) else {
        return Ok(None);
    };
    Ok(reader.payload(&frame)?.ok().map(<[u8]>::to_vec))
}

fn decode_slots(head: &[u8], header: &SegmentHeader, keys: &LogKeys) -> [Slot; 2] {
    let context = checkpoint_context(header, keys);
    [0_u64, 1].map(|slot| {
        let start = usize::try_from(slot_offset(slot)).expect("within the head");
        let bytes = head[start..].first_chunk::<UNIT_LEN>().expect("the head has its full length");
        Checkpoint::decode(bytes, slot, &context)
    })
}

/// Offset of a checkpoint slot in the file.
pub(crate) fn slot_offset(slot: u64) -> u64 {
    SLOTS_OFFSET + slot * UNIT_LEN as u64
}

/// What the checkpoints of a segment are bound to.
pub(crate) fn checkpoint_context<'a>(
    header: &SegmentHeader,
    keys: &'a LogKeys,
) -> CheckpointContext<'a> {
    CheckpointContext {
        crc: header.crc(),
        generation: header.generation,
        align_log2: header.align_log2,
        keys,
    }
}

//! A segment file: created with its whole head, loaded without being changed (S-1 to S-6).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    bytes::LogKeys,
    error::{Cause, Corruption, IoContext as _, IoError, LostEntries},
    io::{Access, Disk, DiskFile, replace_file},
    log::{
        checkpoint::Checkpoint,
        checkpoint::{CheckpointContext, Slot},
        head::{HEAD_LEN, HeadError, SLOTS_OFFSET, SegmentHeader, UNIT_LEN, UnitState},
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
        let salts =
            SaltTree::decode(&header.salt_record).map_err(|_| damaged(HeadError::Malformed))?;
        let keys = LogKeys::new(header.log);
        let slots = decode_slots(&head, &header, &keys);
        Ok(Self { path: path.to_owned(), file, header, units, slots, salts, keys })
    }

    /// The valid checkpoint with the highest sequence (C-2).
    pub(crate) fn checkpoint(&self) -> Option<&Checkpoint> {
        self.slots.iter().filter_map(Slot::checkpoint).max_by_key(|checkpoint| checkpoint.sequence)
    }
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

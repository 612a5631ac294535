//! An index rebuilt in memory, to compare the files of the one on disk with it byte for byte (section 10).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::scratch::ScratchDisk;
use crate::{
    error::{IoContext as _, IoError},
    index::{FrameSummary, Identity, Index, Position},
    io::{Access, Disk, DiskFile},
};

/// The index is written out, to scratch memory, after this many bytes.
const PERSIST_LEN: usize = 4 << 20;
/// Bytes that are compared at once.
const COMPARE_LEN: usize = 64 << 10;

/// An index of the frames up to an offset.
#[derive(Debug)]
pub(super) struct Rebuilt {
    disk: Arc<dyn Disk>,
    index: Index,
    /// What the index to be compared covers.
    end_offset: u64,
}

impl Rebuilt {
    /// `None` if there is nothing to compare, that is if no run is in a file.
    pub(super) fn new(index: &Index, identity: Identity, origin: Position) -> Option<Self> {
        let end_offset = index.persisted().end_offset;
        let disk: Arc<dyn Disk> = Arc::new(ScratchDisk::default());
        let index = Index::open_from(Arc::clone(&disk), folder(), identity, origin).ok()?;
        (end_offset > origin.end_offset).then_some(Self { disk, index, end_offset })
    }

    pub(super) fn push(&mut self, frame: &FrameSummary<'_>) {
        if frame.end_offset <= self.end_offset {
            self.index.push(frame);
            if self.index.unpersisted_len() > PERSIST_LEN {
                // Memory cannot fail; what is missing afterwards is found by comparing.
                let _ = self.index.persist(self.end_offset);
            }
        }
    }

    /// Whether the run `name` in `path` is, byte for byte, what the log gives.
    pub(super) fn equals(&self, disk: &dyn Disk, path: &Path, name: &str) -> Result<bool, IoError> {
        let Ok(expected) = self.disk.open(&folder().join(name), Access::Read) else {
            return Ok(false);
        };
        let found = disk.open(path, Access::Read).context(path, "open")?;
        same_bytes(&*expected, &*found).context(path, "read")
    }

    /// Writes everything out, so that it can be compared.
    pub(super) fn finish(&self) {
        let _ = self.index.persist(self.end_offset);
    }
}

fn folder() -> PathBuf {
    PathBuf::from("index")
}

fn same_bytes(a: &dyn DiskFile, b: &dyn DiskFile) -> std::io::Result<bool> {
    let mut offset = 0;
    loop {
        let (a, b) = (a.read_vec_at(offset, COMPARE_LEN)?, b.read_vec_at(offset, COMPARE_LEN)?);
        if a != b {
            return Ok(false);
        }
        if a.is_empty() {
            return Ok(true);
        }
        offset += a.len() as u64;
    }
}

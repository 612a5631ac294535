//! Reading from a disk that fails: what cannot be read is taken for zeros, block by block.

use std::{io, ops::Range, sync::Arc};

use parking_lot::Mutex;

use crate::io::DiskFile;

/// What is given up at once where reading fails.
const BLOCK_LEN: u64 = 4096;

/// A file that is read as far as it can be.
///
/// Zeros pass for no frame and no header, as all of those have checksums: what cannot be read is lost, and
/// nothing else is.
#[derive(Debug)]
pub(super) struct PatientFile {
    file: Arc<dyn DiskFile>,
    /// Ascending, apart from each other.
    unreadable: Mutex<Vec<Range<u64>>>,
}

impl PatientFile {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, unreadable: Mutex::default() }
    }

    /// How many bytes could not be read.
    pub(super) fn unreadable_len(&self) -> u64 {
        self.unreadable.lock().iter().map(|range| range.end - range.start).sum()
    }

    fn give_up(&self, lost: Range<u64>) {
        let mut ranges = self.unreadable.lock();
        let at = ranges.partition_point(|range| range.end < lost.start);
        let mut lost = lost;
        while let Some(range) = ranges.get(at).filter(|range| range.start <= lost.end) {
            lost = lost.start.min(range.start)..lost.end.max(range.end);
            ranges.remove(at);
        }
        ranges.insert(at, lost);
    }
}

impl DiskFile for PatientFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.file.read_at(bytes, offset) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {}
            result => return result,
        }
        let rest = self.file.len()?.saturating_sub(offset);
        // One block at a time, so that what is beside a bad one is read.
        let block = (BLOCK_LEN - offset % BLOCK_LEN).min(rest);
        let len = bytes.len().min(usize::try_from(block).unwrap_or(usize::MAX));
        let bytes = &mut bytes[..len];
        match self.file.read_at(bytes, offset) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                bytes.fill(0);
                self.give_up(offset..offset + len as u64);
                Ok(len)
            }
            result => result,
        }
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

//! Reading from a disk that fails: what cannot be read is taken for zeros, block by block.

use std::{io, ops::Range, sync::Arc};

use crate::{io::DiskFile, sync::Mutex};

/// What is given up at once where reading fails.
const BLOCK_LEN: u64 = 4096;

/// A file that is read as far as it can be.
///
/// Zeros pass for no frame and no header, as all of those have checksums: what cannot be read is lost, and
/// nothing else is.
#[derive(Debug)]
pub(super) struct PatientFile {
    file: Arc<dyn DiskFile>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What could not be read: ascending, apart from each other.
    lost: Vec<Range<u64>>,
    /// A long read has failed here: it is read in blocks, as each failure can take a disk seconds.
    suspect: Range<u64>,
}

impl State {
    /// How much behind `offset` is known to be lost.
    fn lost_from(&self, offset: u64) -> u64 {
        let at = self.lost.partition_point(|range| range.end <= offset);
        let range = self.lost.get(at).filter(|range| range.start <= offset);
        range.map_or(0, |range| range.end - offset)
    }

    fn give_up(&mut self, mut lost: Range<u64>) {
        let at = self.lost.partition_point(|range| range.end < lost.start);
        while let Some(range) = self.lost.get(at).filter(|range| range.start <= lost.end) {
            lost = lost.start.min(range.start)..lost.end.max(range.end);
            self.lost.remove(at);
        }
        self.lost.insert(at, lost);
    }
}

impl PatientFile {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, state: Mutex::default() }
    }

    /// How many bytes could not be read.
    pub(super) fn unreadable_len(&self) -> u64 {
        self.state.lock().lost.iter().map(|range| range.end - range.start).sum()
    }
}

impl DiskFile for PatientFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state.lock();
        if !state.suspect.contains(&offset) && state.lost_from(offset) == 0 {
            match self.file.read_at(bytes, offset) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    state.suspect = offset..offset + bytes.len() as u64;
                }
                result => return result,
            }
        }
        let rest = self.file.len()?.saturating_sub(offset);
        let block = (BLOCK_LEN - offset % BLOCK_LEN).min(rest);
        let len = bytes.len().min(usize::try_from(block).unwrap_or(usize::MAX));
        let known = usize::try_from(state.lost_from(offset)).unwrap_or(usize::MAX);
        let len = if known > 0 { len.min(known) } else { len };
        let bytes = &mut bytes[..len];
        if known == 0 {
            match self.file.read_at(bytes, offset) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    state.give_up(offset..offset + len as u64);
                }
                result => return result,
            }
        }
        bytes.fill(0);
        Ok(len)
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

//! Reading frames from a file through a window of read-ahead: the thin driver under everything that
//! walks a segment (recovery, scans, index, check).

use std::{io, sync::Arc};

use crate::{
    frame::{FRAME_HEADER_LEN, FrameContext, FrameError, FrameHeader},
    io::DiskFile,
};

/// Read-ahead of a walk that is going to read everything.
pub(crate) const READ_AHEAD_LONG: usize = 256 << 10;
/// Read-ahead of a walk that looks for one frame.
pub(crate) const READ_AHEAD_SHORT: usize = 20 << 10;

/// Why there is no frame at an offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameFault {
    /// The bytes end before the frame does.
    #[error("the frame is cut off")]
    Short,
    /// The bytes are wrong.
    #[error(transparent)]
    Invalid(#[from] FrameError),
    /// The frame is sound, but not the one that follows here (F-5).
    #[error("{0}")]
    OutOfSequence(&'static str),
}

/// Reads frames of one file, below a limit.
#[derive(Debug)]
pub(crate) struct FrameReader {
    file: Arc<dyn DiskFile>,
    context: FrameContext,
    /// Bytes at and above this offset do not exist for this reader.
    limit: u64,
    read_ahead: usize,
    window: Vec<u8>,
    window_offset: u64,
}

impl FrameReader {
    pub(crate) fn new(
        file: Arc<dyn DiskFile>,
        context: FrameContext,
        limit: u64,
        read_ahead: usize,
    ) -> Self {
        Self { file, context, limit, read_ahead, window: Vec::new(), window_offset: 0 }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// How much is read at once.
    pub(crate) fn read_ahead(&self) -> usize {
        self.read_ahead
    }

    /// Changes how much is read at once.
    pub(crate) fn set_read_ahead(&mut self, read_ahead: usize) {
        self.read_ahead = read_ahead;
    }

    /// `len` bytes at `offset`, or fewer where the limit or the file ends.
    pub(crate) fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let wanted = (len as u64).min(self.limit.saturating_sub(offset));
        let window_end = self.window_offset + self.window.len() as u64;
        if offset < self.window_offset || offset + wanted > window_end {
            self.fill(offset, wanted.max(self.read_ahead as u64))?;
        }
        let Ok(start) = usize::try_from(offset - self.window_offset) else { return Ok(&[]) };
        let available = self.window.get(start..).unwrap_or(&[]);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        Ok(available.get(..wanted).unwrap_or(available))
    }

    fn fill(&mut self, offset: u64, len: u64) -> io::Result<()> {
        let len = usize::try_from(len.min(self.limit.saturating_sub(offset))).unwrap_or(usize::MAX);
        self.window.resize(len, 0);
        self.window_offset = offset;
        let filled = self.file.read_full_at(&mut self.window, offset);
        self.window.truncate(*filled.as_ref().unwrap_or(&0));
        filled.map(|_| ())
    }

    /// The header of the frame at `offset`, if there is a valid one (F-2).
    pub(crate) fn header(&mut self, offset: u64) -> io::Result<Result<FrameHeader, FrameFault>> {
        let context = self.context;
        let Some(bytes) = self.bytes(offset, FRAME_HEADER_LEN)?.first_chunk() else {
            return Ok(Err(FrameFault::Short));
        };
        Ok(FrameHeader::decode(bytes, offset, &context).map_err(FrameFault::Invalid))
    }

    /// The payload of the frame with this header, if the frame is valid (F-3).
    pub(crate) fn payload(
        &mut self,
        header: &FrameHeader,
    ) -> io::Result<Result<&[u8], FrameFault>> {
        let context = self.context;
        let len = usize::try_from(header.len(context.align_log2)).unwrap_or(usize::MAX);
        let frame = self.bytes(header.offset, len)?;
        if frame.len() < len {
            return Ok(Err(FrameFault::Short));
        }
        Ok(header.payload(frame, &context).map_err(FrameFault::Invalid))
    }

    /// The valid header behind the frame with this header, if there is one: from the same read as the
    /// frame itself, when that is asked for next.
    pub(crate) fn header_behind(
        &mut self,
        header: &FrameHeader,
    ) -> io::Result<Option<FrameHeader>> {
        let len = header.len(self.context.align_log2);
        self.bytes(header.offset, usize::try_from(len).unwrap_or(usize::MAX) + FRAME_HEADER_LEN)?;
        Ok(self.header(header.offset + len)?.ok())
    }

    /// The first valid frame at an aligned offset in `from..`, payload checked.
    ///
    /// Cost: one pass over the bytes; checksums only where a magic number stands.
    pub(crate) fn find(&mut self, from: u64) -> io::Result<Option<FrameHeader>> {
        let align = 1 << self.context.align_log2;
        let mut offset = from.next_multiple_of(align);
        while offset < self.limit {
            if let Ok(header) = self.header(offset)?
                && self.payload(&header)?.is_ok()
            {
                return Ok(Some(header));
            }
            offset += align;
        }
        Ok(None)
    }
}

/// Whether `next` is the frame that follows `before` (F-5), apart from its offset.
pub(crate) fn follows(
    next: &FrameHeader,
    link: u32,
    first_index: u64,
    opening: u32,
) -> Result<(), FrameFault> {
    if next.first_index != first_index {
        return Err(FrameFault::OutOfSequence(
            "the frame's entries do not continue those before it",
        ));
    }
    if next.link != link {
        return Err(FrameFault::OutOfSequence("the frame does not link to the one before it"));
    }
    if next.opening < opening.max(1) {
        return Err(FrameFault::OutOfSequence(
            "the frame is of an earlier opening than the one before it",
        ));
    }
    Ok(())
}

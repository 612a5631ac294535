//! Walking the records of a pack (K-10).

use std::{io, ops::Range, sync::Arc};

use crate::{
    bytes::SaltedCrc,
    io::DiskFile,
    pack::{
        Footer, PACK_HEAD_LEN, RECORD_ALIGN, RECORD_FOOTER_LEN, RECORD_HEADER_LEN, RecordError,
        RecordHeader,
    },
};

/// Bytes that are read at once.
const WINDOW_LEN: usize = 256 << 10;

/// A file, read through a window.
#[derive(Debug)]
pub(crate) struct Window {
    file: Arc<dyn DiskFile>,
    /// Bytes at and above this offset do not exist for this reader.
    limit: u64,
    bytes: Vec<u8>,
    offset: u64,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn DiskFile>, limit: u64) -> Self {
        Self { file, limit, bytes: Vec::new(), offset: 0 }
    }

    /// `len` bytes at `offset`, or fewer where the file ends.
    pub(crate) fn at(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let wanted = (len as u64).min(self.limit.saturating_sub(offset));
        let end = self.offset + self.bytes.len() as u64;
        if offset < self.offset || offset + wanted > end {
            let ahead = (WINDOW_LEN as u64).max(wanted).min(self.limit.saturating_sub(offset));
            self.bytes.resize(usize::try_from(ahead).unwrap_or(usize::MAX), 0);
            self.offset = offset;
            let filled = self.file.read_full_at(&mut self.bytes, offset);
            self.bytes.truncate(*filled.as_ref().unwrap_or(&0));
            filled?;
        }
        let start = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(start..).unwrap_or(&[]);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        Ok(rest.get(..wanted).unwrap_or(rest))
    }
}

/// What stands at a place of a pack.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// A sound record.
    Record(RecordHeader),
    /// Bytes that belong to no sound record, and why. If the header is valid, whose they are.
    Bad { bytes: Range<u64>, header: Option<RecordHeader>, fault: WalkFault },
}

/// Why bytes are not a sound record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum WalkFault {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the file ends inside the record")]
    Short,
    #[error("bad checksum of the table")]
    Table,
    #[error("the bytes between the parts of the record are not zero")]
    Pad,
}

/// Walks the records of a pack in order, over damage as well.
#[derive(Debug)]
pub(crate) struct Walk {
    window: Window,
    crc: SaltedCrc,
    at: u64,
    end: u64,
    /// The highest watermark of a valid header so far (W of K-10).
    synced_upto: u64,
}

impl Walk {
    /// From `from`, a record boundary, up to `end`, the end of the file.
    pub(crate) fn new(file: Arc<dyn DiskFile>, crc: SaltedCrc, from: u64, end: u64) -> Self {
        Self { window: Window::new(file, end), crc, at: from, end, synced_upto: PACK_HEAD_LEN }
    }

    pub(crate) fn synced_upto(&self) -> u64 {
        self.synced_upto
    }

    /// The next record, or the next stretch of bytes that are none; `None` at the end.
    pub(crate) fn step(&mut self) -> io::Result<Option<Step>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        let (header, fault) = match self.header(start)? {
            Ok(header) => {
                self.synced_upto = self.synced_upto.max(header.synced_upto);
                match self.rest(&header)? {
                    Ok(()) => {
                        self.at = header.end_offset();
                        return Ok(Some(Step::Record(header)));
                    }
                    Err(fault) => (Some(header), fault),
                }
            }
            Err(fault) => (None, fault),
        };
        self.at = match &header {
            Some(header) if header.end_offset() <= self.end => header.end_offset(),
            _ => self.find(start + RECORD_ALIGN)?,
        };
        Ok(Some(Step::Bad { bytes: start..self.at, header, fault }))
    }

    fn header(&mut self, offset: u64) -> io::Result<Result<RecordHeader, WalkFault>> {
        let Some(bytes) = self.window.at(offset, RECORD_HEADER_LEN)?.first_chunk() else {
            return Ok(Err(WalkFault::Short));
        };
        Ok(RecordHeader::decode(bytes, offset, self.crc).map_err(WalkFault::Record))
    }

    /// Everything of a record but its header and its data (K-3).
    fn rest(&mut self, header: &RecordHeader) -> io::Result<Result<(), WalkFault>> {
        if header.end_offset() > self.end {
            return Ok(Err(WalkFault::Short));
        }
        let pad = self.window.at(
            header.offset + RECORD_HEADER_LEN as u64,
            usize::try_from(header.data_pad).unwrap_or(usize::MAX),
        )?;
        if pad.iter().any(|&byte| byte != 0) {
            return Ok(Err(WalkFault::Pad));
        }
        let footer_offset = header.footer_offset();
        let header_crc = RecordHeader::header_crc(&header.encode(self.crc));
        let Some(footer) = self.window.at(footer_offset, RECORD_FOOTER_LEN)?.first_chunk() else {
            return Ok(Err(WalkFault::Short));
        };
        let footer = match Footer::decode(footer, header, header_crc, self.crc) {
            Ok(footer) => footer,
            Err(error) => return Ok(Err(WalkFault::Record(error))),
        };
        let table_offset = header.table_offset();
        let table_end = table_offset + header.table_len();
        if self.table_crc(table_offset..table_end)? != footer.table_crc {
            return Ok(Err(WalkFault::Table));
        }
        let zeros = usize::try_from(footer_offset - table_end).unwrap_or(usize::MAX);
        let zeros = self.window.at(table_end, zeros)?;
        if zeros.iter().any(|&byte| byte != 0) {
            return Ok(Err(WalkFault::Pad));
        }
        Ok(Ok(()))
    }

    /// The CRC of a table, which may be larger than the window.
    fn table_crc(&mut self, mut table: Range<u64>) -> io::Result<u32> {
        let mut crc = self.crc;
        while !table.is_empty() {
            let len = usize::try_from(table.end - table.start).unwrap_or(usize::MAX);
            let part = self.window.at(table.start, len.min(WINDOW_LEN))?;
            if part.is_empty() {
                break;
            }
            table.start += part.len() as u64;
            crc = crc.bound_to(part);
        }
        Ok(crc.crc(&[]))
    }

    /// The first valid header from `from` on, or the end.
    fn find(&mut self, from: u64) -> io::Result<u64> {
        let mut offset = from.next_multiple_of(RECORD_ALIGN);
        while offset < self.end {
            if self.header(offset)?.is_ok() {
                return Ok(offset);
            }
            offset += RECORD_ALIGN;
        }
        Ok(self.end)
    }
}

//! Parts of a content, which threads hash and compress.

use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use super::{error::StoreError, pipeline};
use crate::{
    bytes::Hash,
    io::DiskFile,
    pack::{CHUNK_LEN, ChunkEncoder, chunk_cv},
};

/// Chunks that one thread takes at once: 1 MiB.
const SLAB_CHUNK_COUNT: usize = 16;
pub(super) const SLAB_LEN: usize = SLAB_CHUNK_COUNT * CHUNK_LEN;
/// Part of a content, for a thread to hash and compress.
pub(super) struct Slab {
    pub(super) first_chunk: u64,
    pub(super) content: Content,
}

pub(super) enum Content {
    Bytes(Vec<u8>),
    /// In a file already, and read by the thread.
    At(Arc<dyn DiskFile>, Range<u64>),
}

/// What a thread made of it.
pub(super) struct Encoded {
    /// Of each chunk the chaining value and the stored length.
    pub(super) chunks: Vec<(Hash, u32)>,
    /// The content, to be used again.
    pub(super) content: Vec<u8>,
    /// What is to be stored, if that is not the content as it is.
    pub(super) stored: Option<Vec<u8>>,
    pub(super) failed: Option<io::Error>,
}

pub(super) fn encode_slab(slab: Slab, encoder: Option<&mut ChunkEncoder>) -> Encoded {
    let mut encoded =
        Encoded { chunks: Vec::new(), content: Vec::new(), stored: None, failed: None };
    match slab.content {
        Content::Bytes(bytes) => encoded.content = bytes,
        Content::At(file, range) => {
            let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            match file.read_vec_at(range.start, len) {
                Ok(bytes) if bytes.len() == len => encoded.content = bytes,
                Ok(_) => encoded.failed = Some(io::ErrorKind::UnexpectedEof.into()),
                Err(error) => encoded.failed = Some(error),
            }
        }
    }
    let chunks = (slab.first_chunk..).zip(encoded.content.chunks(CHUNK_LEN));
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a chunk is short");
    match encoder {
        None => {
            encoded.chunks = chunks.map(|(n, chunk)| (chunk_cv(n, chunk), len(chunk))).collect();
        }
        Some(encoder) => {
            let mut stored = Vec::with_capacity(encoded.content.len());
            for (number, chunk) in chunks {
                let bytes = encoder.encode(chunk);
                encoded.chunks.push((chunk_cv(number, chunk), len(bytes)));
                stored.extend_from_slice(bytes);
            }
            encoded.stored = Some(stored);
        }
    }
    encoded
}

/// Reads from a file at an offset of its own.
#[derive(Debug)]
pub(super) struct FileSource {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) offset: u64,
}

impl Read for FileSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buf, self.offset)?;
        self.offset += len as u64;
        Ok(len)
    }
}

/// Fills `buffer` up to `len` bytes; fewer only at the end of the source.
pub(super) fn fill(
    source: &mut dyn Read,
    buffer: &mut Vec<u8>,
    len: usize,
) -> Result<(), StoreError> {
    let missing = len.saturating_sub(buffer.len());
    let result = source.take(missing as u64).read_to_end(buffer);
    result.map(drop).map_err(|error| StoreError::Source(Arc::new(error)))
}

/// Reads all of `source`, lets threads hash and compress it, and hands `take` the parts in order.
pub(super) fn stream(
    source: &mut dyn Read,
    compresses: bool,
    level: i32,
    take: &mut dyn FnMut(&Encoded) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    // Buffers go round: asking the system for new ones costs as much as hashing them.
    let spare = std::cell::RefCell::new(Vec::<Vec<u8>>::new());
    let mut first_chunk = 0;
    let next = || -> Result<Option<Slab>, StoreError> {
        let mut content = spare.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(SLAB_LEN));
        content.clear();
        fill(source, &mut content, SLAB_LEN)?;
        if content.is_empty() {
            return Ok(None);
        }
        let slab = Slab { first_chunk, content: Content::Bytes(content) };
        first_chunk += SLAB_CHUNK_COUNT as u64;
        Ok(Some(slab))
    };
    let worker = || {
        let mut encoder = compresses.then(|| ChunkEncoder::new(level));
        move |slab| encode_slab(slab, encoder.as_mut())
    };
    pipeline::run(next, worker, |encoded: Encoded| {
        take(&encoded)?;
        spare.borrow_mut().push(encoded.content);
        Ok(())
    })
}

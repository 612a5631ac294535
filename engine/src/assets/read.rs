//! Content out: any range of it, each chunk verified against the id before it is given.

use std::{
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use super::{
    error::{AssetCorruption, AssetFault, StoreError},
    packs::Pack,
    store::Store,
};
use crate::{
    asset::AssetId,
    bytes::Hash,
    error::{IoContext as _, IoError},
    io::DiskFile,
    pack::{
        CHUNK_LEN, ChunkDecoder, Codec, RecordHeader, TABLE_FANOUT, TableShape, Verifier,
        VerifyError, chunk_cv, chunk_len, merge_level,
    },
};

/// A record up to this length is read at once.
const WHOLE_LEN_MAX: u64 = 256 << 10;
/// Chunks that are read at once when content is read in order: 1 MiB.
const AHEAD_CHUNK_COUNT: u64 = 16;
const CHUNK: u64 = CHUNK_LEN as u64;
/// Groups of hashes made anew that are remembered: 8 KiB each.
const REBUILT_COUNT_MAX: usize = 8;

/// The content of one asset, to read. Each chunk of 64 KiB is verified against the id before any of it is given.
///
/// Implements [`Read`] and [`Seek`]; their errors hold an [`AssetCorruption`] or an [`IoError`]. Memory: 1 MiB of
/// content, and 8 KiB for each level of the hash tree. A reader goes on reading the file that it opened, also if the
/// asset is evicted meanwhile.
#[derive(Debug)]
pub struct AssetReader {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    id: AssetId,
    header: RecordHeader,
    /// The record, if it is short.
    record: Option<Vec<u8>>,
    verifier: Verifier,
    /// Groups of hashes that are damaged in the table, made anew from what is below: level, group, hashes.
    rebuilt: Vec<(u32, u64, Vec<Hash>)>,
    decoder: ChunkDecoder,
    /// Chunks as they are stored, if they are compressed.
    stored: Vec<u8>,
    /// One chunk, decompressed.
    chunk: Vec<u8>,
    position: u64,
    /// Verified content, and where it begins.
    window: Vec<u8>,
    window_start: u64,
    /// Where the last read ended: whoever goes on there reads in order.
    expected: u64,
}

/// Reads go on from an error in this form.
fn io_error(error: StoreError) -> io::Error {
    match error {
        StoreError::Corrupt(corruption) => io::Error::new(io::ErrorKind::InvalidData, *corruption),
        error => io::Error::other(error),
    }
}

impl AssetReader {
    pub(crate) fn of_record(pack: &Pack, header: &RecordHeader) -> Self {
        Self {
            path: pack.path.clone(),
            file: Arc::clone(&pack.file),
            id: AssetId::from(header.id),
            header: *header,
            record: None,
            verifier: Verifier::new(header.id, header.size),
            rebuilt: Vec::new(),
            decoder: ChunkDecoder::new(),
            chunk: Vec::new(),
            position: 0,
            stored: Vec::new(),
            window: Vec::new(),
            window_start: 0,
            expected: 0,
        }
    }

    /// Decompresses with one that has its memory already.
    pub(super) fn use_decoder(&mut self, decoder: ChunkDecoder) {
        self.decoder = decoder;
    }

    pub(super) fn into_decoder(self) -> ChunkDecoder {
        self.decoder
    }

    /// The asset.
    pub fn id(&self) -> AssetId {
        self.id
    }

    /// Size of the content in bytes.
    pub fn size(&self) -> u64 {
        self.header.size
    }

    /// Number of chunks.
    pub(crate) fn chunk_count(&self) -> u64 {
        self.header.chunk_count()
    }

    /// Bytes that the record takes in its pack.
    pub(crate) fn record_len(&self) -> u64 {
        self.header.record_len()
    }

    fn shape(&self) -> TableShape {
        self.header.shape()
    }

    fn content_of(&self, chunk: u64) -> Range<u64> {
        chunk * CHUNK..((chunk + 1) * CHUNK).min(self.size())
    }

    /// Fills `bytes` from `offset` of the content. Reads and verifies the chunks in which they lie, and no others.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the content ends before; [`io::ErrorKind::InvalidData`] with an
    /// [`AssetCorruption`] if a chunk is damaged; those of the operating system.
    pub fn read_exact_at(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= self.size());
        let Some(end) = end else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let mut at = offset;
        while at < end {
            let last_chunk = (end - 1) / CHUNK + 1;
            let part = self.window_at(at, last_chunk).map_err(io_error)?;
            let filled = usize::try_from(at - offset).unwrap_or(usize::MAX);
            let Some(rest) = bytes.get_mut(filled..) else { break };
            let len = part.len().min(rest.len());
            rest[..len].copy_from_slice(&part[..len]);
            at += len as u64;
        }
        Ok(())
    }

    /// Verified content from `at` on, at least one byte: of chunks below `last_chunk` where more has to be read.
    fn window_at(&mut self, at: u64, last_chunk: u64) -> Result<&[u8], StoreError> {
        let window_end = self.window_start + self.window.len() as u64;
        if at < self.window_start || at >= window_end {
            let first = at / CHUNK;
            let end = last_chunk.min(first + AHEAD_CHUNK_COUNT).max(first + 1);
            self.load(first..end.min(self.chunk_count()))?;
        }
        let start = usize::try_from(at - self.window_start).expect("inside the window");
        Ok(&self.window[start..])
    }

    /// Reads and verifies these chunks into the window. After a failure it holds those before.
    fn load(&mut self, chunks: Range<u64>) -> Result<(), StoreError> {
        self.window_start = chunks.start * CHUNK;
        // What the window held before is written over: it keeps its memory, which need not be cleared again.
        let mut filled = 0;
        let result = self.fill_window(chunks, &mut filled);
        self.window.truncate(filled);
        result
    }

    /// As [`AssetReader::load`]; `filled` says how much of the window was verified.
    fn fill_window(&mut self, chunks: Range<u64>, filled: &mut usize) -> Result<(), StoreError> {
        let stored = self.stored_ranges(&chunks)?;
        let (Some(first), Some(last)) = (stored.first(), stored.last()) else { return Ok(()) };
        let (start, len) = (first.start, length(&(first.start..last.end)));
        let is_raw = self.header.codec == Codec::Stored;
        // Stored as it is, it is read to where it belongs.
        let mut data = std::mem::take(if is_raw { &mut self.window } else { &mut self.stored });
        let read = self.read_stored(start, len, &mut data);
        *(if is_raw { &mut self.window } else { &mut self.stored }) = data;
        let read = read?;
        for (chunk, range) in chunks.zip(stored) {
            let at = length(&(start..range.start));
            let to = length(&(start..range.end));
            if to > read {
                return Err(self.broken(chunk, range.start, AssetFault::Short).into());
            }
            let raw_len = length(&self.content_of(chunk));
            if !is_raw {
                let bytes = &self.stored[at..to];
                self.window.resize(self.window.len().max(*filled + raw_len), 0);
                let place = &mut self.window[*filled..*filled + raw_len];
                if bytes.len() == raw_len {
                    place.copy_from_slice(bytes);
                } else {
                    let decoded = self.decoder.decode(bytes, raw_len, &mut self.chunk);
                    if let Err(fault) = decoded {
                        return Err(self.broken(chunk, range.start, fault.into()).into());
                    }
                    place.copy_from_slice(&self.chunk);
                }
            }
            self.check(chunk, *filled..*filled + raw_len, range.start)?;
            *filled += raw_len;
        }
        Ok(())
    }

    /// Checks that what stands at `place` of the window is the chunk.
    fn check(&mut self, chunk: u64, place: Range<usize>, offset: u64) -> Result<(), StoreError> {
        loop {
            let (level, group) = match self.verify_in_window(chunk, place.clone()) {
                Ok(()) => return Ok(()),
                Err(VerifyError::Fetch(error)) => return Err(error.into()),
                Err(VerifyError::Group { level, group }) => (level, group),
                Err(_) => return Err(self.broken(chunk, offset, AssetFault::Chunk).into()),
            };
            if self.rebuilt.iter().any(|(l, g, _)| (*l, *g) == (level, group)) {
                let place = self.shape().node_offset(level, group * TABLE_FANOUT);
                let place = self.header.table_offset() + place;
                return Err(self.broken(chunk, place, AssetFault::Table).into());
            }
            let nodes = self.rebuild_group(level, group)?;
            if self.rebuilt.len() == REBUILT_COUNT_MAX {
                self.rebuilt.remove(0);
            }
            self.rebuilt.push((level, group, nodes));
        }
    }

    fn verify_in_window(
        &mut self,
        chunk: u64,
        place: Range<usize>,
    ) -> Result<(), VerifyError<IoError>> {
        let Self { verifier, window, file, header, record, path, rebuilt, .. } = self;
        let source = Table { file: &**file, header, record: record.as_deref() };
        let fetch = |level: u32, nodes: Range<u64>| -> Result<Vec<Hash>, IoError> {
            let group = nodes.start / TABLE_FANOUT;
            match rebuilt.iter().find(|(l, g, _)| (*l, *g) == (level, group)) {
                Some((_, _, nodes)) => Ok(nodes.clone()),
                None => source.nodes(level, nodes).context(path, "read"),
            }
        };
        verifier.verify_chunk(chunk, &window[place], fetch)
    }

    /// The hashes of a group from what is below them: the chunks, or the hashes of the level below. A hash that cannot be
    /// computed is taken from the table.
    fn rebuild_group(&mut self, level: u32, group: u64) -> Result<Vec<Hash>, StoreError> {
        let start = group * TABLE_FANOUT;
        let range = start..self.shape().level_len(level).min(start + TABLE_FANOUT);
        let table =
            Table { file: &*self.file, header: &self.header, record: self.record.as_deref() };
        let mut nodes = table.nodes(level, range.clone()).context(&self.path, "read")?;
        for (node, number) in nodes.iter_mut().zip(range) {
            if level == 0 {
                let Ok(stored) = self.stored_ranges(&(number..number + 1)) else { continue };
                let Some(place) = stored.first() else { continue };
                let len = usize::try_from(place.end - place.start).unwrap_or(usize::MAX);
                let bytes = self.stored(place.start, len)?;
                let raw_len = chunk_len(self.size(), number);
                let mut content = Vec::new();
                if bytes.len() == raw_len {
                    content = bytes;
                } else if self.decoder.decode(&bytes, raw_len, &mut content).is_err() {
                    continue;
                }
                *node = chunk_cv(number, &content);
            } else {
                let below = number * TABLE_FANOUT;
                let end = self.shape().level_len(level - 1).min(below + TABLE_FANOUT);
                let table = Table {
                    file: &*self.file,
                    header: &self.header,
                    record: self.record.as_deref(),
                };
                let below = table.nodes(level - 1, below..end).context(&self.path, "read")?;
                if !below.is_empty() {
                    *node = merge_level(&below);
                }
            }
        }
        Ok(nodes)
    }

    fn broken(&self, chunk: u64, offset: u64, cause: AssetFault) -> AssetCorruption {
        let range = self.content_of(chunk);
        AssetCorruption { path: self.path.clone(), id: self.id, offset, range, cause }
    }

    /// Where the chunks are stored, as offsets in the file (K-4, K-5).
    fn stored_ranges(&self, chunks: &Range<u64>) -> Result<Vec<Range<u64>>, StoreError> {
        let data = self.header.data_offset();
        if self.header.codec == Codec::Stored {
            let range = |chunk| {
                let content = self.content_of(chunk);
                data + content.start..data + content.end
            };
            return Ok(chunks.clone().map(range).collect());
        }
        // The end of the chunk before comes first, if there is one.
        let before = u64::from(chunks.start > 0);
        let first = chunks.start - before;
        let offset = self.header.table_offset() + self.shape().ends_offset() + 8 * first;
        let count = usize::try_from(chunks.end - first).unwrap_or(usize::MAX);
        let bytes = self.stored(offset, count * 8)?;
        let ends = bytes.chunks_exact(8).filter_map(|end| end.first_chunk());
        let ends: Vec<u64> = ends.map(|end| u64::from_le_bytes(*end)).collect();
        let starts = std::iter::once(0).filter(|_| before == 0).chain(ends.iter().copied());
        let ends = ends.iter().copied().skip(usize::from(before > 0));
        let mut ranges = Vec::new();
        for (chunk, (start, end)) in chunks.clone().zip(starts.zip(ends)) {
            let content = self.content_of(chunk);
            let fits = start < end
                && end <= self.header.data_len
                && end - start <= content.end - content.start;
            if !fits {
                return Err(self.broken(chunk, offset, AssetFault::Table).into());
            }
            ranges.push(data + start..data + end);
        }
        if ranges.len() as u64 != chunks.end - chunks.start {
            return Err(self.broken(chunks.start, offset, AssetFault::Short).into());
        }
        Ok(ranges)
    }

    fn stored(&self, offset: u64, len: usize) -> Result<Vec<u8>, IoError> {
        bytes_at(&*self.file, &self.header, self.record.as_deref(), offset, len)
            .context(&self.path, "read")
    }

    /// Reads stored bytes to the start of `into`, which grows if it has to; says how many there were.
    fn read_stored(&self, offset: u64, len: usize, into: &mut Vec<u8>) -> Result<usize, IoError> {
        if into.len() < len {
            into.resize(len, 0);
        }
        let Some(record) = &self.record else {
            return self.file.read_full_at(&mut into[..len], offset).context(&self.path, "read");
        };
        let start = length(&(self.header.offset..offset));
        let rest = record.get(start..).unwrap_or(&[]);
        let read = rest.len().min(len);
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    /// Reads and verifies everything. `progress` is told how many bytes of the content are done, and ends it by
    /// answering `false`.
    pub(crate) fn verify(
        &mut self,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), StoreError> {
        let mut first = 0;
        if self.size() == 0 && self.id != AssetId::of(&[]) {
            return Err(self.broken(0, self.header.offset, AssetFault::OtherAsset).into());
        }
        while first < self.chunk_count() {
            let end = (first + AHEAD_CHUNK_COUNT).min(self.chunk_count());
            self.load(first..end)?;
            first = end;
            if !progress(self.content_of(end - 1).end) {
                return Err(StoreError::Cancelled);
            }
        }
        Ok(())
    }

    /// Reads and verifies everything, and gives each damaged chunk to `found`.
    pub(crate) fn survey(
        &mut self,
        found: &mut dyn FnMut(AssetCorruption),
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), StoreError> {
        if self.size() == 0 && self.id != AssetId::of(&[]) {
            found(self.broken(0, self.header.offset, AssetFault::OtherAsset));
        }
        let mut first = 0;
        while first < self.chunk_count() {
            let end = (first + AHEAD_CHUNK_COUNT).min(self.chunk_count());
            match self.load(first..end) {
                Ok(()) => first = end,
                Err(StoreError::Corrupt(corruption)) => {
                    // What was loaded before it is sound.
                    first = corruption.range.start / CHUNK + 1;
                    found(*corruption);
                }
                Err(error) => return Err(error),
            }
            if !progress((first * CHUNK).min(self.size())) {
                return Err(StoreError::Cancelled);
            }
        }
        Ok(())
    }

    /// Node `node` of a level of the hash tree, as it stands in the table.
    pub(crate) fn node(&self, level: u32, node: u64) -> Result<Hash, StoreError> {
        let offset = self.header.table_offset() + self.shape().node_offset(level, node);
        let bytes = self.stored(offset, Hash::LEN)?;
        let hash = bytes.first_chunk().map(|hash: &[u8; 32]| Hash::from_bytes(*hash));
        hash.ok_or_else(|| self.broken(0, offset, AssetFault::Short).into())
    }
}

/// Where hashes are read from.
struct Table<'a> {
    file: &'a dyn DiskFile,
    header: &'a RecordHeader,
    record: Option<&'a [u8]>,
}

impl Table<'_> {
    /// Hashes of a level as they stand in the table; fewer where the file ends.
    fn nodes(&self, level: u32, nodes: Range<u64>) -> io::Result<Vec<Hash>> {
        let offset =
            self.header.table_offset() + self.header.shape().node_offset(level, nodes.start);
        let count = usize::try_from(nodes.end - nodes.start).unwrap_or(usize::MAX);
        let bytes = bytes_at(self.file, self.header, self.record, offset, count * Hash::LEN)?;
        let hashes = bytes.chunks_exact(Hash::LEN).filter_map(|hash| hash.first_chunk());
        Ok(hashes.map(|hash: &[u8; 32]| Hash::from_bytes(*hash)).collect())
    }
}

/// The length of a range that fits into memory.
fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).expect("a part of what is held in memory")
}

/// Bytes of a file, or of the record in memory.
fn bytes_at(
    file: &dyn DiskFile,
    header: &RecordHeader,
    record: Option<&[u8]>,
    offset: u64,
    len: usize,
) -> io::Result<Vec<u8>> {
    if let Some(record) = record {
        let start = usize::try_from(offset - header.offset).unwrap_or(usize::MAX);
        let rest = record.get(start..).unwrap_or(&[]);
        return Ok(rest.get(..len).unwrap_or(rest).to_vec());
    }
    file.read_vec_at(offset, len)
}

impl Read for AssetReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.position >= self.size() {
            return Ok(0);
        }
        let at = self.position;
        // Whoever reads in order gets more at once.
        let ahead = if at == self.expected { AHEAD_CHUNK_COUNT } else { 1 };
        let wanted = (at + buf.len() as u64).min(self.size());
        let last_chunk = ((wanted - 1) / CHUNK + 1).max(at / CHUNK + ahead);
        let part = self.window_at(at, last_chunk).map_err(io_error)?;
        let len = part.len().min(buf.len());
        buf[..len].copy_from_slice(&part[..len]);
        self.position += len as u64;
        self.expected = self.position;
        Ok(len)
    }
}

impl Seek for AssetReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl Store {
    /// Opens the content of `id`, which must be here whole.
    pub(crate) fn reader(&self, id: &AssetId) -> Result<AssetReader, StoreError> {
        match self.find_reader(id) {
            // A collection in another process may have moved it.
            Err(StoreError::NotHere(_)) if self.reload_as_reader()? => self.find_reader(id),
            Err(StoreError::Io(error))
                if error.source.kind() == io::ErrorKind::NotFound && self.reload_as_reader()? =>
            {
                self.find_reader(id)
            }
            result => result,
        }
    }

    fn find_reader(&self, id: &AssetId) -> Result<AssetReader, StoreError> {
        let places = self.state.lock().places.of(id).to_vec();
        let mut damage = None;
        for place in places.iter().rev() {
            let pack = self.pack(place.number)?;
            let opened = if place.record_len <= WHOLE_LEN_MAX {
                let len = usize::try_from(place.record_len).expect("256 KiB");
                let record =
                    pack.file.read_vec_at(place.offset, len).context(&pack.path, "read")?;
                let header = pack.record_in(id, place.offset, record.get(..96).unwrap_or(&[]));
                header.map(|header| AssetReader {
                    record: Some(record),
                    ..AssetReader::of_record(&pack, &header)
                })
            } else {
                pack.record(id, place.offset).map(|header| AssetReader::of_record(&pack, &header))
            };
            match opened {
                Ok(reader) => return Ok(reader),
                Err(error @ StoreError::Corrupt(_)) => damage = Some(error),
                Err(error) => return Err(error),
            }
        }
        match self.single(id)? {
            Some(pack) => {
                let header = pack.single_record(id)?;
                Ok(AssetReader::of_record(&pack, &header))
            }
            None => Err(damage.unwrap_or(StoreError::NotHere(*id))),
        }
    }
}

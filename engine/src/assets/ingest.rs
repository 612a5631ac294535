//! Content in: hashed, compressed where that pays, stored once.

use std::{
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{StoreError, write_error},
    names, pipeline,
    places::Spot,
    read::AssetReader,
    shared::{crc_later, somewhere},
    store::{Lease, Store},
};
use crate::{
    asset::{ASSET_SIZE_MAX, AssetId},
    bytes::Hash,
    error::{IoContext as _, IoError},
    io::{Access, DiskFile},
    pack::{
        CHUNK_LEN, ChunkEncoder, Codec, Footer, PACK_HEAD_LEN, PackKind, RECORD_HEADER_LEN,
        RecordHeader, SINGLE_DATA_PAD, TableBuilder, chunk_cv, encode_record, pays,
    },
};

/// Chunks that one thread takes at once: 1 MiB.
const SLAB_CHUNK_COUNT: usize = 16;
const SLAB_LEN: usize = SLAB_CHUNK_COUNT * CHUNK_LEN;
/// Where the data of a single pack starts (K-7).
pub(super) const SINGLE_DATA_OFFSET: u64 =
    PACK_HEAD_LEN + RECORD_HEADER_LEN as u64 + SINGLE_DATA_PAD as u64;
/// How much of a content is looked at to see whether compressing it pays.
const SAMPLE_LEN: usize = 256 << 10;

/// What is known of a content before it is read, and what is asked for.
pub(crate) struct What<'a> {
    /// Its media type.
    pub(crate) media_type: Option<&'a str>,
    /// The asset that it must be.
    pub(crate) wanted: Option<AssetId>,
    /// What is stored already is read and checked before it is believed, also if it is large.
    pub(crate) verify: bool,
    /// Whether the own log claims an asset, so that its bytes were durable here.
    pub(crate) is_claimed: &'a dyn Fn(&AssetId) -> Result<bool, StoreError>,
    /// Told how many bytes are done; answers `false` to end it.
    pub(crate) progress: &'a mut dyn FnMut(u64) -> bool,
}

/// Content that is stored. It is durable after [`Store::settle`].
#[derive(Debug)]
pub(crate) struct Added {
    pub(crate) id: AssetId,
    pub(crate) size: u64,
    /// The same content was here already.
    pub(crate) was_here: bool,
    /// Keeps it until the entry that claims it is in the log.
    pub(crate) _lease: Lease,
    /// The end of its record in the shared pack that has to be synced.
    unsynced: Option<Spot>,
}

/// What stands in the way of taking content for stored already.
enum Here {
    No,
    /// It is, and has to be synced up to there, if anywhere.
    Yes(Option<Spot>),
}

/// Part of a content, for a thread to hash and compress.
struct Slab {
    first_chunk: u64,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    /// In a file already, and read by the thread.
    At(Arc<dyn DiskFile>, Range<u64>),
}

/// What a thread made of it.
struct Encoded {
    /// Of each chunk the chaining value and the stored length.
    chunks: Vec<(Hash, u32)>,
    /// The content, to be used again.
    content: Vec<u8>,
    /// What is to be stored, if that is not the content as it is.
    stored: Option<Vec<u8>>,
    failed: Option<io::Error>,
}

fn encode_slab(slab: Slab, encoder: Option<&mut ChunkEncoder>) -> Encoded {
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
pub(crate) struct FileSource {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) offset: u64,
}

impl Read for FileSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buf, self.offset)?;
        self.offset += len as u64;
        Ok(len)
    }
}

/// Fills `buffer` up to `len` bytes; fewer only at the end of the source.
fn fill(source: &mut dyn Read, buffer: &mut Vec<u8>, len: usize) -> Result<(), StoreError> {
    let missing = len.saturating_sub(buffer.len());
    let result = source.take(missing as u64).read_to_end(buffer);
    result.map(drop).map_err(|error| StoreError::Source(Arc::new(error)))
}

impl Store {
    /// Stores all that `source` gives. Reads it once; memory is constant, but for 40 bytes a chunk.
    pub(crate) fn add(
        self: &Arc<Self>,
        source: &mut dyn Read,
        what: &mut What<'_>,
    ) -> Result<Added, StoreError> {
        self.check_writable()?;
        let mut first = Vec::new();
        fill(source, &mut first, self.options.single_min + 1)?;
        if first.len() <= self.options.single_min {
            let added = self.add_small(&first, what)?;
            return Ok(added);
        }
        let compresses = pays(what.media_type, &first[..SAMPLE_LEN.min(first.len())]);
        let mut single = NewSingle::begin(self, compresses)?;
        let mut begun = io::Cursor::new(first).chain(source);
        single.fill(self, &mut begun, what)?;
        self.finish_single(single, what)
    }

    /// Stores a file: by the cheapest copy that the system has, where it is kept as it is.
    pub(crate) fn add_file(
        self: &Arc<Self>,
        file: &Arc<dyn DiskFile>,
        path: &Path,
        may_be_here: bool,
        what: &mut What<'_>,
    ) -> Result<Added, StoreError> {
        self.check_writable()?;
        let len = file.len().context(path, "read the length of")?;
        let mut source = FileSource { file: Arc::clone(file), offset: 0 };
        if len <= self.options.single_min as u64 {
            return self.add(&mut source, what);
        }
        if may_be_here {
            // Reading twice costs less than writing what is here already.
            let (id, size) = self.hash(&mut source, what)?;
            if what.wanted.is_some_and(|wanted| wanted != id) {
                return Err(StoreError::OtherContent {
                    wanted: what.wanted.unwrap_or(id),
                    found: id,
                });
            }
            let lease = self.lease(id);
            let storing = self.begin_storing(id);
            if let Here::Yes(unsynced) = self.is_here(&id, what)? {
                return Ok(Added { id, size, was_here: true, _lease: lease, unsynced });
            }
            drop(storing);
            source.offset = 0;
        }
        let mut sample = vec![0; SAMPLE_LEN];
        let sampled = file.read_full_at(&mut sample, 0).context(path, "read")?;
        if pays(what.media_type, &sample[..sampled]) {
            return self.add(&mut source, what);
        }
        let mut single = NewSingle::begin(self, false)?;
        single.copy(file, path, what)?;
        if single.size <= self.options.single_min as u64 {
            // It has become shorter since its length was asked for.
            let content = single.content()?;
            return self.add_small(&content, what);
        }
        self.finish_single(single, what)
    }

    /// Whether content of this length gets a pack of its own.
    pub(crate) fn is_long(&self, len: u64) -> bool {
        len > self.options.single_min as u64
    }

    /// Makes what was added durable.
    pub(crate) fn settle<'a>(
        &self,
        added: impl IntoIterator<Item = &'a Added>,
    ) -> Result<(), StoreError> {
        for added in added {
            if let Some((number, end)) = added.unsynced {
                self.sync_upto(number, end)?;
            }
        }
        Ok(())
    }

    fn add_small(
        self: &Arc<Self>,
        content: &[u8],
        what: &mut What<'_>,
    ) -> Result<Added, StoreError> {
        let size = content.len() as u64;
        let id = AssetId::of(content);
        if let Some(wanted) = what.wanted.filter(|wanted| *wanted != id) {
            return Err(StoreError::OtherContent { wanted, found: id });
        }
        let lease = self.lease(id);
        let _storing = self.begin_storing(id);
        if let Here::Yes(unsynced) = self.is_here(&id, what)? {
            (what.progress)(size);
            return Ok(Added { id, size, was_here: true, _lease: lease, unsynced });
        }
        let compresses = pays(what.media_type, &content[..SAMPLE_LEN.min(content.len())]);
        let (header, record) = self.encode_small(id, content, compresses);
        let place = self.append_asset(&header, record)?;
        (what.progress)(size);
        let unsynced = Some((place.number, place.end_offset()));
        Ok(Added { id, size, was_here: false, _lease: lease, unsynced })
    }

    /// The record of a short content, without a place.
    fn encode_small(
        &self,
        id: AssetId,
        content: &[u8],
        compresses: bool,
    ) -> (RecordHeader, Vec<u8>) {
        let size = content.len() as u64;
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a chunk is short");
        let mut table = TableBuilder::new(if compresses { Codec::Zstd } else { Codec::Stored });
        let mut data = Vec::new();
        if compresses {
            let encoder = self.encoders.lock().pop();
            let mut encoder = encoder.unwrap_or_else(|| ChunkEncoder::new(self.options.level));
            data.reserve(content.len());
            for (number, chunk) in (0..).zip(content.chunks(CHUNK_LEN)) {
                let stored = encoder.encode(chunk);
                table.push(chunk_cv(number, chunk), len(stored));
                data.extend_from_slice(stored);
            }
            self.encoders.lock().push(encoder);
            if data.len() == content.len() {
                table = table.into_stored();
            }
        } else {
            for (number, chunk) in (0..).zip(content.chunks(CHUNK_LEN)) {
                table.push(chunk_cv(number, chunk), len(chunk));
            }
        }
        let (codec, data_len) = (table.codec(), table.data_len());
        let data = if codec == Codec::Stored { content } else { &data };
        let (table, _) = table.finish(&content[..content.len().min(CHUNK_LEN)]);
        let header = somewhere(RecordHeader::asset(id.into(), size, codec, data_len, 0));
        (header, encode_record(header, data, &table, crc_later()))
    }

    /// Whether the content may be taken for stored already (K-11).
    fn is_here(&self, id: &AssetId, what: &mut What<'_>) -> Result<Here, StoreError> {
        let (places, trusted) = {
            let state = self.state.lock();
            let places = state.places.of(id).to_vec();
            let trusted = places.iter().rev().find_map(|place| {
                let info = state.packs.get(&place.number)?;
                let end = place.end_offset();
                match &state.active {
                    Some(active)
                        if active.pack.header.number == place.number
                            && place.offset >= active.start =>
                    {
                        Some(Some((place.number, end)))
                    }
                    _ => (end <= info.synced_upto).then_some(None),
                }
            });
            (places, trusted)
        };
        let unsynced = match trusted {
            Some(unsynced) => unsynced,
            None if !places.is_empty() && (what.is_claimed)(id)? => None,
            None => return self.single_is_here(id, what),
        };
        // A short one is looked at: that costs little, and mends what has rotted.
        match self.reader(id).and_then(|mut reader| reader.verify(&mut |_| true)) {
            Ok(()) => Ok(Here::Yes(unsynced)),
            Err(StoreError::Corrupt(_) | StoreError::NotHere(_)) => self.single_is_here(id, what),
            Err(error) => Err(error),
        }
    }

    fn single_is_here(&self, id: &AssetId, what: &mut What<'_>) -> Result<Here, StoreError> {
        let Some(pack) = self.single(id)? else { return Ok(Here::No) };
        let Ok(header) = pack.single_record(id) else { return Ok(Here::No) };
        let end = pack.len()?;
        let sound = if what.verify {
            AssetReader::of_record(&pack, &header).verify(what.progress)
        } else if end == header.end_offset() {
            Ok(())
        } else {
            return Ok(Here::No);
        };
        match sound {
            Ok(()) => {}
            Err(StoreError::Corrupt(_)) => return Ok(Here::No),
            Err(error) => return Err(error),
        }
        // Its name may be in the memory of the system only.
        let folder = pack.path.parent().unwrap_or(Path::new(".")).to_owned();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !self.state.lock().settled_folders.contains(&name) {
            pack.file.sync().context(&pack.path, "sync")?;
            self.disk.sync_dir(&folder).context(&folder, "sync")?;
            self.disk.sync_dir(&self.folder).context(&self.folder, "sync")?;
        }
        Ok(Here::Yes(None))
    }

    /// The id of a content, and its size.
    fn hash(
        &self,
        source: &mut dyn Read,
        what: &mut What<'_>,
    ) -> Result<(AssetId, u64), StoreError> {
        let mut table = TableBuilder::new(Codec::Stored);
        let (mut size, mut short) = (0, Vec::new());
        stream(source, false, self.options.level, &mut |encoded| {
            for (cv, len) in &encoded.chunks {
                table.push(*cv, *len);
            }
            if size == 0 && encoded.content.len() <= CHUNK_LEN {
                short.clone_from(&encoded.content);
            }
            size += encoded.content.len() as u64;
            if size > ASSET_SIZE_MAX {
                return Err(StoreError::TooLarge);
            }
            if (what.progress)(size) { Ok(()) } else { Err(StoreError::Cancelled) }
        })?;
        Ok((AssetId::from(table.finish(&short).1), size))
    }

    /// Gives a new single pack its name, unless its content is here already.
    fn finish_single(
        self: &Arc<Self>,
        mut single: NewSingle,
        what: &mut What<'_>,
    ) -> Result<Added, StoreError> {
        // Shorter ones have a place in a shared pack: there are at least two chunks.
        let builder = std::mem::replace(&mut single.table, TableBuilder::new(Codec::Stored));
        let (table, id) = builder.finish(&[]);
        let (id, size) = (AssetId::from(id), single.size);
        if let Some(wanted) = what.wanted.filter(|wanted| *wanted != id) {
            return Err(StoreError::OtherContent { wanted, found: id });
        }
        let lease = self.lease(id);
        let _storing = self.begin_storing(id);
        if let Here::Yes(unsynced) = self.is_here(&id, what)? {
            return Ok(Added { id, size, was_here: true, _lease: lease, unsynced });
        }
        single.write_rest(id, &table)?;
        single.file.sync().context(&single.path, "sync")?;
        self.settle_single(&single.path, &id)?;
        single.kept = true;
        Ok(Added { id, size, was_here: false, _lease: lease, unsynced: None })
    }

    /// Renames a whole, synced single pack to its name, durably.
    pub(super) fn settle_single(&self, from: &Path, id: &AssetId) -> Result<(), StoreError> {
        let path = self.folder.join(names::single(id));
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        self.make_folder_at(&folder)?;
        self.disk.rename(from, &path).context(&path, "rename")?;
        self.disk.sync_dir(&folder).context(&folder, "sync")?;
        if from.parent() != Some(&folder) {
            self.disk.sync_dir(&self.folder).context(&self.folder, "sync")?;
        }
        Ok(())
    }
}

/// A single pack that is being written.
struct NewSingle {
    store: Arc<Store>,
    path: PathBuf,
    name: String,
    file: Arc<dyn DiskFile>,
    header: crate::pack::PackHeader,
    codec: Codec,
    table: TableBuilder,
    /// Of the content.
    size: u64,
    data_len: u64,
    /// Whoever drops it before it has its name gives up what was written.
    kept: bool,
}

impl NewSingle {
    fn begin(store: &Arc<Store>, compresses: bool) -> Result<Self, StoreError> {
        store.make_folder()?;
        let mut random = [0; 8];
        store.disk.fill_random(&mut random).context(&store.folder, "draw random numbers for")?;
        let name = format!("{:016x}.tmp", u64::from_le_bytes(random));
        let path = store.folder.join(&name);
        let header = store.new_head(PackKind::Single, 0)?;
        // Before it is there: a collection removes what nobody is known to write.
        store.state.lock().unfinished.insert(name.clone());
        let codec = if compresses { Codec::Zstd } else { Codec::Stored };
        let result = store.disk.open(&path, Access::CreateNew).and_then(|file| {
            file.write_all_at(&header.encode_head(), 0)?;
            Ok(file)
        });
        let file = match result {
            Ok(file) => file,
            Err(error) => {
                let _ = store.disk.remove(&path);
                store.state.lock().unfinished.remove(&name);
                return Err(write_error(&path, "write", error));
            }
        };
        Ok(Self {
            store: Arc::clone(store),
            path,
            name,
            file,
            header,
            codec,
            table: TableBuilder::new(codec),
            size: 0,
            data_len: 0,
            kept: false,
        })
    }

    /// Takes in all that `source` gives.
    fn fill(
        &mut self,
        store: &Store,
        source: &mut dyn Read,
        what: &mut What<'_>,
    ) -> Result<(), StoreError> {
        stream(source, self.codec == Codec::Zstd, store.options.level, &mut |encoded| {
            let stored = encoded.stored.as_ref().unwrap_or(&encoded.content);
            let offset = SINGLE_DATA_OFFSET + self.data_len;
            self.file
                .write_all_at(stored, offset)
                .map_err(|error| write_error(&self.path, "write", error))?;
            self.data_len += stored.len() as u64;
            self.took(encoded, what)
        })
    }

    fn took(&mut self, encoded: &Encoded, what: &mut What<'_>) -> Result<(), StoreError> {
        for (cv, len) in &encoded.chunks {
            self.table.push(*cv, *len);
        }
        self.size += encoded.content.len() as u64;
        if self.size > ASSET_SIZE_MAX {
            return Err(StoreError::TooLarge);
        }
        if (what.progress)(self.size) { Ok(()) } else { Err(StoreError::Cancelled) }
    }

    /// Copies a file as it is, and hashes the copy: what changes in the file meanwhile is no harm.
    fn copy(
        &mut self,
        source: &Arc<dyn DiskFile>,
        source_path: &Path,
        what: &mut What<'_>,
    ) -> Result<(), StoreError> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        let mut copied = 0;
        let mut ended = false;
        let next = || -> Result<Option<Slab>, StoreError> {
            let start = copied;
            while !ended && copied - start < SLAB_LEN as u64 {
                let wanted = SLAB_LEN as u64 - (copied - start);
                let offset = SINGLE_DATA_OFFSET + copied;
                match source.copy_range(copied, &*file, offset, wanted) {
                    Ok(0) => ended = true,
                    Ok(len) => copied += len,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if is_write_error(&error) => {
                        return Err(write_error(&path, "write", error));
                    }
                    Err(error) => return Err(IoError::new(source_path, "copy", error).into()),
                }
            }
            let range = SINGLE_DATA_OFFSET + start..SINGLE_DATA_OFFSET + copied;
            let content = Content::At(Arc::clone(&file), range);
            Ok((copied > start).then_some(Slab { first_chunk: start / CHUNK_LEN as u64, content }))
        };
        pipeline::run(
            next,
            || |slab| encode_slab(slab, None),
            |encoded: Encoded| {
                if let Some(error) = encoded.failed {
                    return Err(IoError::new(&self.path, "read", error).into());
                }
                self.data_len += encoded.content.len() as u64;
                self.took(&encoded, what)
            },
        )
    }

    /// What was copied, which is short.
    fn content(&self) -> Result<Vec<u8>, StoreError> {
        let len = usize::try_from(self.size).unwrap_or(usize::MAX);
        Ok(self.file.read_vec_at(SINGLE_DATA_OFFSET, len).context(&self.path, "read")?)
    }

    /// Writes what the content says only at its end: the table, the footer, the header of the record.
    fn write_rest(&self, id: AssetId, table: &[u8]) -> Result<(), StoreError> {
        let header =
            RecordHeader::asset(id.into(), self.size, self.codec, self.data_len, SINGLE_DATA_PAD);
        let header = header.at(PACK_HEAD_LEN, PACK_HEAD_LEN);
        write_single_rest(&*self.file, &self.path, header, table, self.header.crc())
    }
}

/// Writes table, footer and header of the record of a single pack whose data is there.
pub(super) fn write_single_rest(
    file: &dyn DiskFile,
    path: &Path,
    header: RecordHeader,
    table: &[u8],
    crc: crate::bytes::SaltedCrc,
) -> Result<(), StoreError> {
    let head = header.encode(crc);
    let footer = Footer::of(&header, RecordHeader::header_crc(&head), table, crc).encode(crc);
    let table_offset = header.table_offset();
    let mut rest = table.to_vec();
    let footer_at = usize::try_from(header.footer_offset() - table_offset).expect("in memory");
    rest.resize(footer_at, 0);
    rest.extend_from_slice(&footer);
    let write = |bytes: &[u8], offset| {
        file.write_all_at(bytes, offset).map_err(|error| write_error(path, "write", error))
    };
    write(&rest, table_offset)?;
    write(&head, header.offset)
}

impl Drop for NewSingle {
    fn drop(&mut self) {
        if !self.kept {
            // A collection removes it else.
            let _ = self.store.disk.remove(&self.path);
        }
        self.store.state.lock().unfinished.remove(&self.name);
    }
}

fn is_write_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Reads all of `source`, lets threads hash and compress it, and hands `take` the parts in order.
fn stream(
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

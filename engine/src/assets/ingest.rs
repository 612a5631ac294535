//! Content in: hashed, compressed where that pays, stored once.

use std::{
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use super::{
    error::StoreError,
    places::Spot,
    read::AssetReader,
    shared::{crc_later, somewhere},
    single::NewSingle,
    slab::{FileSource, fill, stream},
    store::{Lease, Store},
};
use crate::{
    asset::{ASSET_SIZE_MAX, AssetId},
    error::IoContext as _,
    io::DiskFile,
    pack::{
        CHUNK_LEN, ChunkEncoder, Codec, RecordHeader, TableBuilder, chunk_cv, encode_record, pays,
    },
};

/// How much of a content is looked at to see whether compressing it pays.
const SAMPLE_LEN: usize = 256 << 10;
/// About how long content is of which nothing is known.
const SHORT_LEN: u64 = 8 << 10;
/// Room for bytes behind the expected end of a content: reading on there is what shows that it is the end.
const END_PROBE_LEN: usize = 64;

/// What is known of a content before it is read, and what is asked for.
pub(crate) struct What<'a> {
    /// Its media type.
    pub(crate) media_type: Option<&'a str>,
    /// The asset that it must be.
    pub(crate) wanted: Option<AssetId>,
    /// What is stored already is read and checked before it is believed, also if it is large.
    pub(crate) verify: bool,
    /// Whether the own log claims an asset, so that its bytes were durable here.
    pub(crate) is_claimed: &'a dyn Fn(&AssetId) -> bool,
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

impl Store {
    /// Stores all that `source` gives. Reads it once; memory is constant, but for 40 bytes a chunk.
    pub(crate) fn add(
        self: &Arc<Self>,
        source: &mut dyn Read,
        what: &mut What<'_>,
    ) -> Result<Added, StoreError> {
        self.add_sized(source, SHORT_LEN, what)
    }

    /// The same, of content of about this length.
    fn add_sized(
        self: &Arc<Self>,
        source: &mut dyn Read,
        len: u64,
        what: &mut What<'_>,
    ) -> Result<Added, StoreError> {
        self.check_writable()?;
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.options.single_min);
        // Room to see the end as well.
        let mut first = Vec::with_capacity(len + END_PROBE_LEN);
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
            return self.add_sized(&mut source, len, what);
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
            return self.add_sized(&mut source, len, what);
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
            None if !places.is_empty() && (what.is_claimed)(id) => None,
            None => return self.single_is_here(id, what),
        };
        // A short one is looked at: that costs little, and mends what has rotted.
        match self.verify_in_pack(id) {
            Ok(()) => Ok(Here::Yes(unsynced)),
            Err(StoreError::Corrupt(_) | StoreError::NotHere(_)) => self.single_is_here(id, what),
            Err(error) => Err(error),
        }
    }

    fn verify_in_pack(&self, id: &AssetId) -> Result<(), StoreError> {
        let mut reader = self.reader(id)?;
        reader.use_decoder(self.decoders.lock().pop().unwrap_or_default());
        let verified = reader.verify(&mut |_| true);
        let decoder = reader.into_decoder();
        self.decoders.lock().push(decoder);
        verified
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
}

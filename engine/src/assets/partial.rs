//! Assets that come in pieces: each proven on its own, kept over a restart (K-13).

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{AssetFault, StoreError, write_error},
    ingest::What,
    names,
    packs::Pack,
    single::{SINGLE_DATA_OFFSET, write_single_rest},
    store::Store,
};
use crate::{
    asset::{ASSET_SIZE_MAX, AssetId},
    bytes::{Hash, SaltedCrc},
    error::IoContext as _,
    io::{Access, DiskFile, temporary_name, write_temporary},
    pack::{
        CHUNK_LEN, Codec, HaveHeader, HaveRow, PACK_HEAD_LEN, PackKind, RecordHeader,
        SINGLE_DATA_PAD, TableBuilder, chunk_count, chunk_cv,
        have::{HAVE_HEADER_LEN, HAVE_ROW_CHUNK_COUNT_MAX},
        proof,
    },
};

const CHUNK: u64 = CHUNK_LEN as u64;
/// Rows are read so many bytes at once; one fits at least.
const ROWS_LEN: usize = 256 << 10;

/// An asset of which only some chunks are here. Only one handle of it can be open.
#[derive(Debug)]
pub(crate) struct PartialAsset {
    store: Arc<Store>,
    id: AssetId,
    size: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    crc: SaltedCrc,
    have_path: PathBuf,
    have: Arc<dyn DiskFile>,
    header: HaveHeader,
    /// Where the next row of `have` goes.
    have_end: u64,
    /// The chaining values of the chunks that are here.
    chunks: BTreeMap<u64, Hash>,
}

impl Drop for PartialAsset {
    fn drop(&mut self) {
        self.store.state.lock().partial.remove(&self.id);
    }
}

/// What came of pieces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Accepted {
    /// More is missing.
    Partial,
    /// That was the last one: the asset is present, and durable.
    Complete,
}

impl Store {
    /// Whether some chunks of `id` are here.
    pub(crate) fn has_partial(&self, id: &AssetId) -> Result<bool, StoreError> {
        let path = self.folder.join(names::of(id, "partial"));
        match self.disk.open(&path, Access::Read) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(crate::error::IoError::new(&path, "open", error).into()),
        }
    }

    /// Begins an asset that comes in pieces, or goes on with it.
    pub(crate) fn partial(
        self: &Arc<Self>,
        id: AssetId,
        size: u64,
    ) -> Result<PartialAsset, StoreError> {
        self.check_writable()?;
        if size > ASSET_SIZE_MAX {
            return Err(StoreError::TooLarge);
        }
        if !self.state.lock().partial.insert(id) {
            return Err(StoreError::Busy(id));
        }
        let opened = match self.open_partial(id, size) {
            Ok(None) => self
                .create_partial(id, size)
                .and_then(|()| self.open_partial(id, size)?.ok_or(StoreError::NotHere(id))),
            Ok(Some(partial)) => Ok(partial),
            Err(error) => Err(error),
        };
        if opened.is_err() {
            self.state.lock().partial.remove(&id);
        }
        opened
    }

    fn create_partial(&self, id: AssetId, size: u64) -> Result<(), StoreError> {
        self.make_folder()?;
        let path = self.folder.join(names::of(&id, "partial"));
        let folder = path.parent().unwrap_or(&self.folder).to_owned();
        self.make_folder_at(&folder)?;
        let mut salt = [0; 16];
        self.disk.fill_random(&mut salt).context(&path, "draw random numbers for")?;
        let header = HaveHeader { size, id: id.into(), salt };
        let have = self.folder.join(names::of(&id, "have"));
        self.place_file(&have, &header.encode())?;
        let head = self.new_head(PackKind::Single, 0)?;
        let mut bytes = head.encode_head();
        let record = RecordHeader::asset(id.into(), size, Codec::Stored, size, SINGLE_DATA_PAD);
        bytes.extend_from_slice(&record.at(PACK_HEAD_LEN, PACK_HEAD_LEN).encode(head.crc()));
        self.place_file(&path, &bytes)?;
        Ok(self.disk.sync_dir(&folder).context(&folder, "sync")?)
    }

    fn place_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = temporary_name(path);
        let file = write_temporary(&*self.disk, &temporary, bytes)
            .map_err(|error| write_error(&temporary, "write", error))?;
        file.sync().context(&temporary, "sync")?;
        Ok(self.disk.rename(&temporary, path).context(path, "rename")?)
    }

    /// Opens what is there; `None` if there is nothing that can be used for this size.
    fn open_partial(
        self: &Arc<Self>,
        id: AssetId,
        size: u64,
    ) -> Result<Option<PartialAsset>, StoreError> {
        let path = self.folder.join(names::of(&id, "partial"));
        let pack = match Pack::open(&*self.disk, &path, Access::Write, self.workspace) {
            Ok(pack) => pack,
            Err(StoreError::Io(error)) if error.source.kind() != ErrorKind::NotFound => {
                return Err(StoreError::Io(error));
            }
            Err(_) => return Ok(None),
        };
        let is_its = pack.single_record(&id).is_ok_and(|record| record.size == size);
        let have_path = self.folder.join(names::of(&id, "have"));
        let have = match self.disk.open(&have_path, Access::Write) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            result => result.context(&have_path, "open")?,
        };
        let header = have.read_vec_at(0, HAVE_HEADER_LEN).context(&have_path, "read")?;
        let header = header.first_chunk().and_then(|bytes| HaveHeader::decode(bytes).ok());
        let Some(header) =
            header.filter(|header| header.id == Hash::from(id) && header.size == size)
        else {
            return Ok(None);
        };
        if !is_its {
            return Ok(None);
        }
        let mut partial = PartialAsset {
            store: Arc::clone(self),
            id,
            size,
            path,
            file: pack.file,
            crc: pack.crc,
            have_path,
            have,
            header,
            have_end: HAVE_HEADER_LEN as u64,
            chunks: BTreeMap::new(),
        };
        partial.load_rows()?;
        Ok(Some(partial))
    }
}

impl PartialAsset {
    /// The asset.
    pub(crate) fn id(&self) -> AssetId {
        self.id
    }

    /// The size that it is to have.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Reads the rows up to the first one that is short or wrong, and cuts what follows.
    fn load_rows(&mut self) -> Result<(), StoreError> {
        loop {
            let bytes = self.have.read_vec_at(self.have_end, ROWS_LEN);
            let bytes = bytes.context(&self.have_path, "read")?;
            let mut at = 0;
            while let Some((row, len)) = self.header.decode_row(&bytes[at..]) {
                self.chunks.extend((row.first_chunk..).zip(row.cvs));
                at += len;
            }
            if at == 0 {
                break;
            }
            self.have_end += at as u64;
        }
        if self.have.len().context(&self.have_path, "read the length of")? > self.have_end {
            self.have.set_len(self.have_end).context(&self.have_path, "cut")?;
        }
        Ok(())
    }

    /// The bytes of the content that are still missing, in ascending order. Whole chunks of 64 KiB, but for the end.
    pub(crate) fn missing(&self) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut next = 0;
        let end = chunk_count(self.size);
        for chunk in self.chunks.keys().copied().chain(std::iter::once(end)) {
            if chunk > next {
                missing.push(next * CHUNK..(chunk * CHUNK).min(self.size));
            }
            next = chunk + 1;
        }
        missing
    }

    /// Takes in content from `offset` on, a multiple of 64 KiB: whole chunks, or all up to the end, with the proof that
    /// came with them (K-16). Nothing of it is kept if it does not lead to the id. It is durable when this returns.
    pub(crate) fn accept(
        &mut self,
        offset: u64,
        content: &[u8],
        proof: &[Hash],
    ) -> Result<Accepted, StoreError> {
        let first_chunk = offset / CHUNK;
        let cvs = if offset.is_multiple_of(CHUNK) {
            proof::verify_range(self.id.into(), self.size, first_chunk, content, proof).ok()
        } else {
            None
        };
        let Some(cvs) = cvs else {
            let end = offset.saturating_add(content.len() as u64);
            return Err(StoreError::NotProven { id: self.id, range: offset..end });
        };
        let write = |error| write_error(&self.path, "write", error);
        self.file.write_all_at(content, SINGLE_DATA_OFFSET + offset).map_err(write)?;
        self.file.sync().context(&self.path, "sync")?;
        let mut first = first_chunk;
        for part in cvs.chunks(HAVE_ROW_CHUNK_COUNT_MAX) {
            let row = HaveRow { first_chunk: first, cvs: part.to_vec() };
            let row = row.encode(self.header.crc());
            self.have
                .write_all_at(&row, self.have_end)
                .map_err(|error| write_error(&self.have_path, "write", error))?;
            self.have_end += row.len() as u64;
            first += part.len() as u64;
        }
        self.chunks.extend((first_chunk..).zip(cvs));
        if self.chunks.len() as u64 == chunk_count(self.size) {
            self.complete()?;
            return Ok(Accepted::Complete);
        }
        Ok(Accepted::Partial)
    }

    /// Makes rows durable that are not yet: after that, nothing has to be fetched twice.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        Ok(self.have.sync().context(&self.have_path, "sync")?)
    }

    /// Content that is here: those bytes of `range` are read and verified.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let mut content = Vec::new();
        if range.end > self.size || range.start > range.end {
            return Err(StoreError::Incomplete(self.id));
        }
        let mut at = range.start;
        while at < range.end {
            let chunk = at / CHUNK;
            let cv = self.chunks.get(&chunk).ok_or(StoreError::Incomplete(self.id))?;
            let start = chunk * CHUNK;
            let len = usize::try_from(CHUNK.min(self.size - start)).expect("64 KiB");
            let bytes = self.file.read_vec_at(SINGLE_DATA_OFFSET + start, len);
            let bytes = bytes.context(&self.path, "read")?;
            let sound = if self.size <= CHUNK {
                AssetId::of(&bytes) == self.id
            } else {
                !bytes.is_empty() && chunk_cv(chunk, &bytes) == *cv
            };
            if !sound {
                return Err(self.damaged(chunk).into());
            }
            let from = usize::try_from(at - start).expect("64 KiB");
            let to = usize::try_from((range.end - start).min(len as u64)).expect("64 KiB");
            content.extend_from_slice(bytes.get(from..to).unwrap_or(&[]));
            at = start + len as u64;
        }
        Ok(content)
    }

    fn damaged(&self, chunk: u64) -> super::error::AssetCorruption {
        super::error::AssetCorruption {
            path: self.path.clone(),
            id: self.id,
            offset: SINGLE_DATA_OFFSET + chunk * CHUNK,
            range: chunk * CHUNK..((chunk + 1) * CHUNK).min(self.size),
            cause: AssetFault::Chunk,
        }
    }

    /// Makes a pack of it. What is short goes into the shared pack.
    fn complete(&mut self) -> Result<(), StoreError> {
        let store = Arc::clone(&self.store);
        if self.size <= store.options.single_min as u64 {
            let content = self.read(0..self.size)?;
            let mut what = What {
                media_type: None,
                wanted: Some(self.id),
                verify: true,
                is_claimed: &|_| false,
                progress: &mut |_| true,
            };
            let added = store.add(&mut content.as_slice(), &mut what)?;
            store.settle(std::slice::from_ref(&added))?;
            self.remove_file(&self.path)?;
            return self.remove_file(&self.have_path);
        }
        let mut table = TableBuilder::new(Codec::Stored);
        for (chunk, cv) in &self.chunks {
            let len = CHUNK.min(self.size - chunk * CHUNK);
            table.push(*cv, u32::try_from(len).expect("64 KiB"));
        }
        let header = RecordHeader::asset(
            self.id.into(),
            self.size,
            Codec::Stored,
            self.size,
            SINGLE_DATA_PAD,
        );
        let header = header.at(PACK_HEAD_LEN, PACK_HEAD_LEN);
        let (table, id) = table.finish(&[]);
        if AssetId::from(id) != self.id {
            // Each piece was proven: what was read back is not what was written.
            return Err(self.damaged(0).into());
        }
        write_single_rest(&*self.file, &self.path, header, &table, self.crc)?;
        self.file.sync().context(&self.path, "sync")?;
        {
            let _storing = store.begin_storing(self.id);
            store.settle_single(&self.path, &self.id)?;
        }
        self.remove_file(&self.have_path)
    }

    fn remove_file(&self, path: &Path) -> Result<(), StoreError> {
        self.store.disk.remove(path).context(path, "remove")?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Ok(self.store.disk.sync_dir(folder).context(folder, "sync")?)
    }
}

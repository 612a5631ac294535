//! A single pack that is being written (K-7).

use std::{
    io,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{StoreError, write_error},
    ingest::What,
    names, pipeline,
    slab::{Content, Encoded, SLAB_LEN, Slab, encode_slab, stream},
    store::Store,
};
use crate::{
    asset::{ASSET_SIZE_MAX, AssetId},
    bytes::SaltedCrc,
    error::{IoContext as _, IoError},
    io::{Access, DiskFile},
    pack::{
        CHUNK_LEN, Codec, Footer, PACK_HEAD_LEN, PackHeader, PackKind, RECORD_HEADER_LEN,
        RecordHeader, SINGLE_DATA_PAD, TableBuilder,
    },
};

/// Where the data of a single pack starts (K-7).
pub(crate) const SINGLE_DATA_OFFSET: u64 =
    PACK_HEAD_LEN + RECORD_HEADER_LEN as u64 + SINGLE_DATA_PAD as u64;
/// A single pack that is being written.
pub(super) struct NewSingle {
    store: Arc<Store>,
    pub(super) path: PathBuf,
    name: String,
    pub(super) file: Arc<dyn DiskFile>,
    header: PackHeader,
    codec: Codec,
    pub(super) table: TableBuilder,
    /// Of the content.
    pub(super) size: u64,
    data_len: u64,
    /// Whoever drops it before it has its name gives up what was written.
    pub(super) kept: bool,
}

impl NewSingle {
    pub(super) fn begin(store: &Arc<Store>, compresses: bool) -> Result<Self, StoreError> {
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
    pub(super) fn fill(
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
    pub(super) fn copy(
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
    pub(super) fn content(&self) -> Result<Vec<u8>, StoreError> {
        let len = usize::try_from(self.size).unwrap_or(usize::MAX);
        Ok(self.file.read_vec_at(SINGLE_DATA_OFFSET, len).context(&self.path, "read")?)
    }

    /// Writes what the content says only at its end: the table, the footer, the header of the record.
    pub(super) fn write_rest(&self, id: AssetId, table: &[u8]) -> Result<(), StoreError> {
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
    crc: SaltedCrc,
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

impl Store {
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

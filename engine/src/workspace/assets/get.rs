//! Content out: whole, in ranges, to files; and in proven pieces from one device to another.

use std::{io, ops::Range, path::Path, sync::Arc};

use super::{AssetError, Assets};
use crate::{
    asset::AssetId,
    assets::{self, Accepted, AssetCorruption, AssetReader, StoreError},
    bytes::Hash,
    error::{IoContext as _, IoError},
    io::{Access, temporary_name},
    pack::{CHUNK_LEN, proof},
};

const CHUNK: u64 = CHUNK_LEN as u64;
/// Content is written to files in parts of this length.
const PART_LEN: usize = 1 << 20;

/// Assets are fetched in pieces of this length, each synced.
const PIECE_LEN: u64 = 8 << 20;

/// Whole chunks of an asset, with what proves them: [`Assets::range`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AssetRange {
    /// The asset.
    pub id: AssetId,
    /// Its size.
    pub size: u64,
    /// Where the content begins: a multiple of 64 KiB.
    pub offset: u64,
    /// The content.
    pub content: Vec<u8>,
    /// The hashes that lead from its chunks to the id (K-16): about 32 bytes for each level of the tree.
    pub proof: Vec<Hash>,
}

/// An asset of which only some chunks are here: [`Assets::partial`]. Only one handle of it can be open.
#[derive(Debug)]
pub struct PartialAsset {
    partial: assets::PartialAsset,
}

impl Assets {
    /// The bytes `range` of an asset. Reads and verifies the chunks of 64 KiB in which they lie.
    ///
    /// # Errors
    ///
    /// [`AssetError::NotHere`], [`AssetError::Range`], [`AssetError::Corrupt`], those of the operating system.
    pub fn read(&self, id: &AssetId, range: Range<u64>) -> Result<Vec<u8>, AssetError> {
        let mut reader = self.open(id)?;
        let len = range.end.checked_sub(range.start).filter(|_| range.end <= reader.size());
        let len = len.and_then(|len| usize::try_from(len).ok());
        let Some(len) = len else {
            return Err(AssetError::Range { id: *id, size: reader.size(), range });
        };
        let mut bytes = vec![0; len];
        reader.read_exact_at(&mut bytes, range.start).map_err(|error| asset_error(error, id))?;
        Ok(bytes)
    }

    /// Opens an asset to read: as a stream, or at any place. Verifies what it gives.
    ///
    /// # Errors
    ///
    /// [`AssetError::NotHere`], [`AssetError::Corrupt`], those of the operating system.
    pub fn open(&self, id: &AssetId) -> Result<AssetReader, AssetError> {
        match self.store()?.reader(id) {
            Err(StoreError::NotHere(_)) => Err(self.why_not_here(id)?),
            result => Ok(result?),
        }
    }

    /// Why there is nothing to read.
    pub(super) fn why_not_here(&self, id: &AssetId) -> Result<AssetError, AssetError> {
        if self.store()?.has_partial(id)? {
            return Ok(AssetError::Incomplete(*id));
        }
        let said = self.claims()?.said(id);
        Ok(said.map_or(AssetError::Unknown(*id), |_| AssetError::NotHere(*id)))
    }

    /// Writes an asset to the file `to`, which is replaced: under a temporary name, verified, synced, renamed. Whoever
    /// looks sees the file that was there before, or the whole asset.
    ///
    /// `progress` is told how many bytes are done, and ends it by answering `false`.
    ///
    /// # Errors
    ///
    /// As for [`Assets::open`], and [`AssetError::Cancelled`]. Nothing is left behind.
    pub fn export(
        &self,
        id: &AssetId,
        to: impl AsRef<Path>,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Result<u64, AssetError> {
        let to = to.as_ref();
        let mut reader = self.open(id)?;
        let disk = &*self.workspace.inner.disk;
        let mut random = [0; 8];
        disk.fill_random(&mut random).context(to, "draw random numbers for")?;
        let mut temporary = to.as_os_str().to_owned();
        temporary.push(format!(".{:016x}", u64::from_le_bytes(random)));
        let temporary = temporary_name(Path::new(&temporary));
        let result = (|| {
            let file = disk.open(&temporary, Access::CreateNew).context(&temporary, "create")?;
            let (mut at, size) = (0, reader.size());
            let mut part = vec![0; PART_LEN];
            while at < size {
                let len = usize::try_from(size - at).unwrap_or(PART_LEN).min(PART_LEN);
                reader.read_exact_at(&mut part[..len], at).map_err(|e| asset_error(e, id))?;
                file.write_all_at(&part[..len], at).context(&temporary, "write")?;
                at += len as u64;
                if !progress(at) {
                    return Err(AssetError::Cancelled);
                }
            }
            file.sync().context(&temporary, "sync")?;
            disk.rename(&temporary, to).context(to, "rename")?;
            let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            disk.sync_dir(folder).context(folder, "sync")?;
            Ok(size)
        })();
        if result.is_err() {
            let _ = disk.remove(&temporary);
        }
        result
    }

    /// Reads and verifies all of an asset. Gives each damaged chunk to `found`; answers whether there was none.
    ///
    /// # Errors
    ///
    /// [`AssetError::NotHere`], [`AssetError::Cancelled`], those of the operating system.
    pub fn verify(
        &self,
        id: &AssetId,
        mut found: impl FnMut(AssetCorruption),
        mut progress: impl FnMut(u64) -> bool,
    ) -> Result<bool, AssetError> {
        let mut sound = true;
        let mut tell = |corruption| {
            sound = false;
            found(corruption);
        };
        match self.open(id) {
            Ok(mut reader) => reader.survey(&mut tell, &mut progress)?,
            Err(AssetError::Corrupt(corruption)) => tell(*corruption),
            Err(error) => return Err(error),
        }
        Ok(sound)
    }

    /// The chunks in which the bytes `range` lie, with a proof: for somebody who has the id and the size.
    ///
    /// # Errors
    ///
    /// As for [`Assets::read`].
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::{Accepted, AssetMeta, AssetState, Options, Workspace};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let laptop = Workspace::create(folder.path().join("laptop"), Options::default())?;
    /// let film = vec![1; 300_000];
    /// let film = laptop.assets().put(&film[..], AssetMeta::named("film"))?;
    /// let phone = Workspace::join(folder.path().join("phone"), laptop.id(), Options::default())?;
    /// let mut bundle = Vec::new();
    /// laptop.export(&phone.frontier()?, &mut bundle)?;
    /// phone.import(&bundle[..])?;                    // the phone knows the asset, and has no bytes of it
    ///
    /// let mut partial = phone.assets().partial(&film.id, film.size)?;
    /// for missing in partial.missing() {
    ///     for start in missing.clone().step_by(100_000) {
    ///         let part = laptop.assets().range(&film.id, start..missing.end.min(start + 100_000))?;
    ///         partial.accept(&part)?;               // each proven on its own, in any order
    ///     }
    /// }
    /// assert_eq!(phone.assets().state(&film.id)?, Some(AssetState::Present));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn range(&self, id: &AssetId, range: Range<u64>) -> Result<AssetRange, AssetError> {
        let mut reader = self.open(id)?;
        let size = reader.size();
        if range.start >= range.end || range.end > size {
            return Err(AssetError::Range { id: *id, size, range });
        }
        let chunks = range.start / CHUNK..range.end.div_ceil(CHUNK);
        let (offset, end) = (chunks.start * CHUNK, (chunks.end * CHUNK).min(size));
        let mut content = vec![0; usize::try_from(end - offset).unwrap_or(usize::MAX)];
        reader.read_exact_at(&mut content, offset).map_err(|error| asset_error(error, id))?;
        let proof = proof::range_proof(reader.chunk_count(), chunks, |level, node| {
            reader.node(level, node)
        })?;
        Ok(AssetRange { id: *id, size, offset, content, proof })
    }

    /// Fetches the bytes of an asset from another workspace, whatever is missing of them: proven piece by piece, and gone
    /// on with after an interruption if it is long. Returns how many bytes came.
    ///
    /// # Errors
    ///
    /// As for [`Assets::range`] there and [`PartialAsset::accept`] here; [`AssetError::Cancelled`].
    pub fn fetch(
        &self,
        id: &AssetId,
        from: &Self,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Result<u64, AssetError> {
        let source = from.open(id)?;
        let size = source.size();
        if !self.store()?.is_long(size) {
            let was_here = self.receive(id, source, progress)?;
            return Ok(if was_here { 0 } else { size });
        }
        let sound = self.store()?.has(id)? && self.verify(id, |_| (), |_| true)?;
        if sound {
            return Ok(0);
        }
        let mut partial = self.partial(id, size)?;
        let missing = partial.missing();
        let mut done = size - missing.iter().map(|range| range.end - range.start).sum::<u64>();
        let before = done;
        for range in missing {
            let mut start = range.start;
            while start < range.end {
                let end = range.end.min(start + PIECE_LEN);
                partial.accept(&from.range(id, start..end)?)?;
                done += end - start;
                start = end;
                if !progress(done) {
                    partial.sync()?;
                    return Err(AssetError::Cancelled);
                }
            }
        }
        Ok(done - before)
    }

    /// Begins an asset that comes in pieces, or goes on with it after a restart. If its bytes are here, there is nothing
    /// to begin: look at [`Assets::state`] first.
    ///
    /// Memory: about 70 bytes for each chunk of 64 KiB that is here.
    ///
    /// # Errors
    ///
    /// [`AssetError::Busy`] if another handle is open, [`AssetError::TooLarge`], those of the operating system.
    pub fn partial(&self, id: &AssetId, size: u64) -> Result<PartialAsset, AssetError> {
        Ok(PartialAsset { partial: self.store()?.partial(*id, size)? })
    }
}

impl PartialAsset {
    /// The asset.
    pub fn id(&self) -> AssetId {
        self.partial.id()
    }

    /// The size that it is to have.
    pub fn size(&self) -> u64 {
        self.partial.size()
    }

    /// The bytes that are missing, ascending: whole chunks of 64 KiB, but for the end.
    pub fn missing(&self) -> Vec<Range<u64>> {
        self.partial.missing()
    }

    /// Takes in a piece, in any order. It is durable when this returns. With the last one the asset is present.
    ///
    /// # Errors
    ///
    /// [`AssetError::NotProven`] if it does not lead to the id: nothing of it is kept. [`AssetError::DiskFull`], those of
    /// the operating system.
    pub fn accept(&mut self, piece: &AssetRange) -> Result<Accepted, AssetError> {
        let range = piece.offset..piece.offset.saturating_add(piece.content.len() as u64);
        if piece.id != self.id() || piece.size != self.size() {
            return Err(AssetError::NotProven { id: self.id(), range });
        }
        Ok(self.partial.accept(piece.offset, &piece.content, &piece.proof)?)
    }

    /// Makes durable which pieces are here: without it, those of the last moments may have to be fetched again after a
    /// power loss.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn sync(&self) -> Result<(), AssetError> {
        Ok(self.partial.sync()?)
    }

    /// The bytes `range`, if they are here.
    ///
    /// # Errors
    ///
    /// [`AssetError::Incomplete`], [`AssetError::Corrupt`], those of the operating system.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>, AssetError> {
        Ok(self.partial.read(range)?)
    }
}

/// What a reader of content said, as an error of assets.
fn asset_error(error: io::Error, id: &AssetId) -> AssetError {
    let path = std::path::PathBuf::from(id.to_string());
    let kind = error.kind();
    let Some(inner) = error.into_inner() else {
        return IoError::new(&path, "read", kind.into()).into();
    };
    match inner.downcast::<AssetCorruption>() {
        Ok(corruption) => AssetError::Corrupt(corruption),
        Err(inner) => match inner.downcast::<StoreError>() {
            Ok(error) => AssetError::from(*error),
            Err(inner) => {
                AssetError::Io(Arc::new(IoError::new(&path, "read", io::Error::new(kind, inner))))
            }
        },
    }
}

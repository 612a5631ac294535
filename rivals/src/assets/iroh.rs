//! iroh-blobs with its store in the file system, which copies the file. A range is `export_bao`, which verifies what it
//! gives; its tree has a hash for each 16 KiB.

use std::path::Path;

use anyhow::{Context as _, Result};
use iroh_blobs::{
    Hash,
    protocol::{ChunkRanges, ChunkRangesExt as _},
    store::fs::FsStore,
};
use tokio::runtime::Runtime;

use super::range::Read;

/// Ranges are given from a multiple of this many bytes on.
const UNIT: u64 = 1024;

/// Stores a file in a folder.
pub(super) fn store(folder: &Path, file: &Path) -> Result<()> {
    Runtime::new()?.block_on(async {
        let store = FsStore::load(folder).await?;
        store.add_path(file).await?;
        Ok(store.shutdown().await?)
    })
}

/// Reads ranges of the file that was stored.
pub(super) fn reader(folder: &Path, file: &Path) -> Result<Read> {
    let hash = Hash::from_bytes(blake3::hash(&std::fs::read(file)?).into());
    let runtime = Runtime::new()?;
    let store = runtime.block_on(FsStore::load(folder))?;
    Ok(Box::new(move |bytes, offset| {
        let ranges = ChunkRanges::bytes(offset..offset + bytes.len() as u64);
        let data = runtime.block_on(store.export_bao(hash, ranges).data_to_vec())?;
        let before = usize::try_from(offset % UNIT)?;
        let range = data.get(before..before + bytes.len()).context("less than was asked for")?;
        bytes.copy_from_slice(range);
        Ok(())
    }))
}

//! Content in: its bytes into a pack, then an entry that claims it.

use std::{io::Read, ops::Deref, path::Path, sync::Arc};

use super::{Asset, AssetError, AssetMeta, Assets};
use crate::{
    asset::{AssetId, ClaimRef},
    assets::{Added, Store, What},
    error::IoContext as _,
    io::Access,
};

/// An asset that was added.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct AddedAsset {
    /// What its entry says.
    #[serde(flatten)]
    pub asset: Asset,
    /// The same content was here before: nothing of it was stored again.
    pub was_here: bool,
}

impl Deref for AddedAsset {
    type Target = Asset;

    fn deref(&self) -> &Asset {
        &self.asset
    }
}

/// Several assets, with one sync for all: [`Assets::batch`].
///
/// What is put into it is durable, and in the log, after [`AssetBatch::commit`]. Dropping it before gives up what was
/// put: the bytes go with the next collection.
#[derive(Debug)]
#[must_use = "nothing of it is in the log until it is committed"]
pub struct AssetBatch {
    assets: Assets,
    added: Vec<(Added, AssetMeta)>,
    content_len: u64,
}

fn forever(_: u64) -> bool {
    true
}

impl Assets {
    /// Adds all that `content` gives, and appends the entry that claims it. The bytes are durable when this returns; the
    /// entry is, as any, after the next [`Workspace::commit`](crate::Workspace::commit).
    ///
    /// Cost: one pass over the content, hashed and compressed on all cores where it is long. Content of up to 4 MiB
    /// ([`Options::asset_single_min`](crate::Options::asset_single_min)) is held in memory and goes into a shared pack,
    /// where concurrent calls share one sync; longer content streams into a file of its own, in 4 MiB of memory for each
    /// core and 40 bytes for each chunk of 64 KiB. Compression is tried only where the media type and a sample promise
    /// something. Content that is here already is hashed, and not written.
    ///
    /// # Errors
    ///
    /// [`AssetError::Source`] if `content` fails, [`AssetError::DiskFull`], [`AssetError::TooLarge`],
    /// [`AssetError::Meta`], [`AssetError::Append`], and those of the operating system. Nothing is claimed then, and
    /// what was written goes with the next collection.
    pub fn put(&self, content: impl Read, meta: AssetMeta) -> Result<AddedAsset, AssetError> {
        self.put_with(content, meta, forever)
    }

    /// As [`Assets::put`]; `progress` is told how many bytes are done, and ends it by answering `false`.
    ///
    /// # Errors
    ///
    /// As for [`Assets::put`], and [`AssetError::Cancelled`].
    pub fn put_with(
        &self,
        content: impl Read,
        meta: AssetMeta,
        progress: impl FnMut(u64) -> bool,
    ) -> Result<AddedAsset, AssetError> {
        let mut batch = self.batch();
        batch.put_with(content, meta, progress)?;
        batch.commit_one()
    }

    /// Adds a file. A long one that does not compress is copied in the cheapest way that the file system offers, without
    /// using room where it can share blocks; it is hashed from the copy, so that changes meanwhile do no harm. One of
    /// whose size an asset is known is hashed before anything is written.
    ///
    /// The entry gets no name that `meta` does not have.
    ///
    /// # Errors
    ///
    /// As for [`Assets::put`].
    pub fn put_file(
        &self,
        path: impl AsRef<Path>,
        meta: AssetMeta,
    ) -> Result<AddedAsset, AssetError> {
        self.put_file_with(path, meta, forever)
    }

    /// As [`Assets::put_file`], with progress.
    ///
    /// # Errors
    ///
    /// As for [`Assets::put_with`].
    pub fn put_file_with(
        &self,
        path: impl AsRef<Path>,
        meta: AssetMeta,
        progress: impl FnMut(u64) -> bool,
    ) -> Result<AddedAsset, AssetError> {
        let mut batch = self.batch();
        batch.put_file_with(path, meta, progress)?;
        batch.commit_one()
    }

    /// Begins to add many assets with one sync. Several threads can each have a batch of their own.
    pub fn batch(&self) -> AssetBatch {
        AssetBatch { assets: self.clone(), added: Vec::new(), content_len: 0 }
    }

    /// Takes in the bytes of an asset that is known, as from another device, without an entry. Nothing is kept of other
    /// content. Durable when it returns. Answers whether the bytes were here already.
    ///
    /// An asset that no log here claims goes with the next collection, unless it is pinned or leased.
    ///
    /// # Errors
    ///
    /// [`AssetError::OtherContent`], and those of [`Assets::put_with`].
    pub fn receive(
        &self,
        id: &AssetId,
        content: impl Read,
        progress: impl FnMut(u64) -> bool,
    ) -> Result<bool, AssetError> {
        let store = self.store()?;
        let meta = AssetMeta::default().verify();
        let added = self.store_content(&store, content, &meta, Some(*id), progress)?;
        store.settle(std::slice::from_ref(&added))?;
        Ok(added.was_here)
    }

    fn store_content(
        &self,
        store: &Arc<Store>,
        mut content: impl Read,
        meta: &AssetMeta,
        wanted: Option<AssetId>,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Result<Added, AssetError> {
        let mut what = What {
            media_type: meta.media_type.as_deref(),
            wanted,
            verify: meta.verify,
            is_claimed: &|id| self.is_claimed_here(id),
            progress: &mut progress,
        };
        Ok(store.add(&mut content, &mut what)?)
    }

    /// Whether a log of this device claims it: then its bytes were durable here.
    fn is_claimed_here(&self, id: &AssetId) -> bool {
        // Logs that cannot be read claim nothing: then the content is stored again.
        self.claims().is_ok_and(|claims| claims.is_claimed_by(id, &self.own_logs()))
    }
}

impl AssetBatch {
    /// Stores content; see [`Assets::put`]. It is not durable yet. Returns its id.
    ///
    /// # Errors
    ///
    /// As for [`Assets::put`]. The batch can be gone on with.
    pub fn put(&mut self, content: impl Read, meta: AssetMeta) -> Result<AssetId, AssetError> {
        self.put_with(content, meta, forever)
    }

    /// As [`AssetBatch::put`], with progress; see [`Assets::put_with`].
    ///
    /// # Errors
    ///
    /// As for [`Assets::put_with`].
    pub fn put_with(
        &mut self,
        content: impl Read,
        meta: AssetMeta,
        progress: impl FnMut(u64) -> bool,
    ) -> Result<AssetId, AssetError> {
        meta.claim(AssetId::of(&[]), 0).encode()?;
        let store = self.assets.store()?;
        let added = self.assets.store_content(&store, content, &meta, None, progress)?;
        Ok(self.keep(added, meta))
    }

    /// Stores a file; see [`Assets::put_file`].
    ///
    /// # Errors
    ///
    /// As for [`Assets::put`].
    pub fn put_file(
        &mut self,
        path: impl AsRef<Path>,
        meta: AssetMeta,
    ) -> Result<AssetId, AssetError> {
        self.put_file_with(path, meta, forever)
    }

    /// As [`AssetBatch::put_file`], with progress.
    ///
    /// # Errors
    ///
    /// As for [`Assets::put_with`].
    pub fn put_file_with(
        &mut self,
        path: impl AsRef<Path>,
        meta: AssetMeta,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Result<AssetId, AssetError> {
        meta.claim(AssetId::of(&[]), 0).encode()?;
        let path = path.as_ref();
        let assets = &self.assets;
        let store = assets.store()?;
        let file = assets.workspace.inner.disk.open(path, Access::Read).context(path, "open")?;
        let len = file.len().context(path, "read the length of")?;
        let may_be_here = store.is_long(len) && assets.claims()?.has_size(len);
        let mut what = What {
            media_type: meta.media_type.as_deref(),
            wanted: None,
            verify: meta.verify,
            is_claimed: &|id| assets.is_claimed_here(id),
            progress: &mut progress,
        };
        let added = store.add_file(&file, path, may_be_here, &mut what)?;
        Ok(self.keep(added, meta))
    }

    fn keep(&mut self, added: Added, meta: AssetMeta) -> AssetId {
        let id = added.id;
        self.content_len += added.size;
        self.added.push((added, meta));
        id
    }

    /// How many assets are in it.
    pub fn len(&self) -> usize {
        self.added.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
    }

    /// Length of the content of what is in it, in bytes.
    pub fn content_len(&self) -> u64 {
        self.content_len
    }

    /// Makes all of it durable with one sync, and appends the entries, all or nothing also after a crash. They are durable
    /// after the next [`Workspace::commit`](crate::Workspace::commit). The batch is empty then and can be used again.
    ///
    /// # Errors
    ///
    /// [`AssetError::Append`], and those of syncing. Nothing is claimed then, and the batch is empty.
    pub fn commit(&mut self) -> Result<Vec<AddedAsset>, AssetError> {
        // The leases live until the entries are in the log.
        let added = std::mem::take(&mut self.added);
        self.content_len = 0;
        if added.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.assets.store()?;
        store.settle(added.iter().map(|(added, _)| added))?;
        let claims: Vec<_> = added.iter().map(|(a, meta)| meta.claim(a.id, a.size)).collect();
        let payloads =
            claims.iter().map(crate::asset::AssetClaim::encode).collect::<Result<Vec<_>, _>>()?;
        let time = self.assets.workspace.time();
        let changes: Vec<_> = added
            .iter()
            .zip(&payloads)
            .map(|((_, meta), payload)| meta.change(payload).at(meta.time(time)))
            .collect();
        // Several streams rest on their declarations: of those the last one counts, as they are declared in order.
        let declared = added.iter().filter_map(|(_, meta)| meta.declared).max_by_key(|d| d.end);
        let workspace = &self.assets.workspace;
        let first = workspace.append_resting_on(declared, &changes)?.index();
        let (client, log) = (workspace.client(), workspace.own_log().id());
        let assets =
            (first..).zip(added.iter().zip(claims)).map(|(index, ((added, meta), claim))| {
                let asset = Asset {
                    id: claim.id,
                    size: claim.size,
                    media_type: claim.media_type,
                    name: claim.name,
                    preview: claim.preview,
                    client,
                    claim: ClaimRef { log, index },
                    stream: meta.stream,
                    timestamp: meta.time(time),
                };
                AddedAsset { asset, was_here: added.was_here }
            });
        Ok(assets.collect())
    }

    fn commit_one(mut self) -> Result<AddedAsset, AssetError> {
        let mut added = self.commit()?;
        Ok(added.pop().expect("one was put"))
    }
}

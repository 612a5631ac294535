//! Assets: large binaries beside the logs.
//!
//! - `add`: content in, with an entry that claims it; `get`: content out; `info`: what is known of an asset;
//! - `keep`: release, pin, evict, purge; `collect`: garbage;
//! - `claims`: what the logs say; `meta`: what is said of an asset beside its bytes; `error`.

mod add;
mod claims;
mod collect;
mod error;
mod get;
mod info;
mod keep;
mod meta;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::{
    add::{AddedAsset, AssetBatch},
    collect::CollectOptions,
    error::AssetError,
    get::{AssetRange, PartialAsset},
    keep::{AssetLease, OtherCopy},
    meta::{Asset, AssetInfo, AssetMeta, AssetState},
};
pub(crate) use self::{claims::Claims, info::Claimed};
use super::Workspace;
use crate::{
    assets::{Store, StoreError},
    bytes::LogId,
    sync::MutexGuard,
};

/// The assets of a workspace: content that is addressed by its hash, beside the logs that say what it is for.
///
/// Adding content stores its bytes in a pack of this device and appends an entry to the own log that *claims* it. The
/// entry travels with the log; the bytes stay until they are fetched ([`Assets::range`], [`Assets::partial`]) or sent
/// by the host. Equal content is stored once. What no log claims any more goes with the next collection.
///
/// All methods may be called from any thread. Cloning gives another handle.
///
/// # Examples
///
/// ```
/// use std::io::Read as _;
/// use annals::{AssetMeta, AssetState, CollectOptions, Options, Workspace};
///
/// let folder = tempfile::tempdir()?;
/// let workspace = Workspace::create(folder.path().join("w"), Options::default())?;
/// let assets = workspace.assets();
///
/// let clip = vec![7; 10_000_000];                       // or any reader; `put_file` for a path
/// let asset = assets.put(&clip[..], AssetMeta::named("clip.bin"))?;
/// workspace.commit()?;                                  // now the entry is durable; the bytes are already
/// assert_eq!(asset.id, annals::AssetId::of(&clip));     // what `b3sum` prints
///
/// assert_eq!(assets.read(&asset.id, 4096..8192)?, &clip[4096..8192]);
/// let mut all = Vec::new();
/// assets.open(&asset.id)?.read_to_end(&mut all)?;       // streams, each chunk verified
/// assert_eq!(all, clip);
///
/// assets.release(&asset.id)?;
/// workspace.commit()?;
/// let freed = assets.collect(&CollectOptions::default(), |_, _| true)?;
/// assert_eq!(freed.removed_assets, 1);
/// assert_eq!(assets.state(&asset.id)?, Some(AssetState::Gone));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Assets {
    workspace: Workspace,
}

impl Workspace {
    /// The assets of this workspace.
    pub fn assets(&self) -> Assets {
        Assets { workspace: self.clone() }
    }
}

impl Assets {
    /// The packs, which are opened when they are needed first.
    pub(crate) fn store(&self) -> Result<Arc<Store>, StoreError> {
        let inner = &self.workspace.inner;
        let mut store = inner.store.lock();
        if let Some(store) = &*store {
            return Ok(Arc::clone(store));
        }
        let opened = Store::open(
            Arc::clone(&inner.disk),
            &inner.path,
            (inner.metadata.workspace, inner.metadata.client),
            inner.lock.is_some(),
            inner.options.store(),
        )?;
        *store = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// What the logs say now.
    fn claims(&self) -> Result<MutexGuard<'_, Claims>, AssetError> {
        let mut claims = self.workspace.inner.claims.lock();
        claims.refresh(&self.workspace)?;
        Ok(claims)
    }

    /// The logs that this device has written.
    fn own_logs(&self) -> Vec<LogId> {
        let own = self.workspace.own_log().id();
        let logs = self.workspace.logs_of(self.workspace.client()).unwrap_or_default();
        logs.iter().map(super::LogView::id).chain(std::iter::once(own)).collect()
    }
}

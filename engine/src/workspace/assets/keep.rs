//! What is kept on this device, and what is given up.

use super::{AssetError, AssetState, Assets};
use crate::{
    asset::{AssetId, ClaimRef, RELEASE_CLAIM_COUNT_MAX, Release},
    assets::Lease,
    entry::Kind,
    log::Change,
    workspace::Workspace,
};

/// What shows that an asset is not lost when it is evicted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum OtherCopy<'a> {
    /// Another workspace has it: all of it is read there and verified now.
    In(&'a Workspace),
    /// The host has made sure in its own way, as with a receipt of an online service.
    HostKnows,
    /// Nothing does, and it is to go all the same.
    Forced,
    /// Nothing does: the eviction is refused.
    Unknown,
}

/// Keeps an asset from being collected as long as it lives: [`Assets::lease`].
#[derive(Debug)]
#[must_use = "the asset is kept as long as it lives"]
pub struct AssetLease {
    _lease: Lease,
}

impl Assets {
    /// Ends all claims of an asset that are known here, of all clients, by an entry of the own log. Durable after the next
    /// [`Workspace::commit`]; the bytes go with a collection after that. Returns how many claims that were.
    ///
    /// A claim that another device makes at the same time stays.
    ///
    /// # Errors
    ///
    /// [`AssetError::Unknown`] if nothing is known of it, [`AssetError::Append`].
    pub fn release(&self, id: &AssetId) -> Result<u64, AssetError> {
        let said = self.claims()?.said(id).ok_or(AssetError::Unknown(*id))?;
        self.release_claims(id, &said.live(|_| true))
    }

    /// Ends these claims of an asset and no others, as those of one document.
    ///
    /// # Errors
    ///
    /// [`AssetError::Append`].
    pub fn release_claims(&self, id: &AssetId, claims: &[ClaimRef]) -> Result<u64, AssetError> {
        for part in claims.chunks(RELEASE_CLAIM_COUNT_MAX) {
            let payload = Release { id: *id, claims: part.to_vec() }.encode()?;
            let change = Change::new(&payload).of_kind(Kind::RELEASE);
            self.workspace.append_resting_on(None, &[change])?;
        }
        Ok(claims.len() as u64)
    }

    /// Keeps an asset on this device whatever the logs say, also such as come later. Durable when it returns. Its bytes
    /// need not be here. Answers whether that is new.
    ///
    /// # Errors
    ///
    /// [`AssetError::Pins`], [`AssetError::DiskFull`], those of the operating system.
    pub fn pin(&self, id: &AssetId) -> Result<bool, AssetError> {
        Ok(self.store()?.set_pinned(*id, true)?)
    }

    /// Ends what [`Assets::pin`] began. Answers whether it was pinned.
    ///
    /// # Errors
    ///
    /// As for [`Assets::pin`].
    pub fn unpin(&self, id: &AssetId) -> Result<bool, AssetError> {
        Ok(self.store()?.set_pinned(*id, false)?)
    }

    /// The assets that are pinned here.
    ///
    /// # Errors
    ///
    /// [`AssetError::Pins`].
    pub fn pinned(&self) -> Result<Vec<AssetId>, AssetError> {
        let store = self.store()?;
        store.check_pins()?;
        Ok(store.pins().into_iter().collect())
    }

    /// Keeps an asset from being collected as long as the lease lives: from before its bytes come until an entry claims
    /// it. It holds in this process only.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn lease(&self, id: &AssetId) -> Result<AssetLease, AssetError> {
        Ok(AssetLease { _lease: self.store()?.lease(*id) })
    }

    /// Gives up the bytes of an asset on this device; its claims stay, and it is *known* then. The file of a large asset is
    /// removed at once; the room of a small one is taken back by a collection. Returns the bytes given up.
    ///
    /// # Errors
    ///
    /// [`AssetError::LastCopy`] if nothing shows that there is another copy, [`AssetError::Pinned`],
    /// [`AssetError::NotHere`], and whatever reading the other copy says.
    pub fn evict(&self, id: &AssetId, other: OtherCopy<'_>) -> Result<u64, AssetError> {
        let store = self.store()?;
        store.check_pins()?;
        match self.state(id)? {
            None => return Err(AssetError::Unknown(*id)),
            Some(AssetState::Pinned) => return Err(AssetError::Pinned(*id)),
            Some(AssetState::Known | AssetState::Gone) => return Err(AssetError::NotHere(*id)),
            // What is not whole is no copy that could be the last one.
            Some(AssetState::Partial) => return Ok(store.remove(id)?.freed),
            Some(AssetState::Present) => {}
        }
        match other {
            OtherCopy::Unknown => return Err(AssetError::LastCopy(*id)),
            OtherCopy::In(workspace) => {
                if workspace.path() == self.workspace.path() {
                    return Err(AssetError::LastCopy(*id));
                }
                let mut damage = None;
                let mut keep_first = |found| {
                    damage.get_or_insert(found);
                };
                workspace.assets().verify(id, &mut keep_first, |_| true)?;
                if let Some(damage) = damage {
                    return Err(AssetError::Corrupt(Box::new(damage)));
                }
            }
            OtherCopy::HostKnows | OtherCopy::Forced => {}
        }
        Ok(store.remove(id)?.freed)
    }

    /// Removes an asset for good: ends its claims, durably, then removes its bytes from this device at once, whatever else
    /// is said, pins included. Other devices remove theirs when they learn of the release.
    ///
    /// Unlike after a collection nothing of it is left in any pack: packs that it shares with others are written anew,
    /// which needs room for those.
    ///
    /// # Errors
    ///
    /// Those of [`Assets::release`] and [`Assets::collect`]; [`AssetError::Pack`] names a pack in which the bytes still are,
    /// though nothing reads them any more.
    pub fn purge(&self, id: &AssetId) -> Result<u64, AssetError> {
        let store = self.store()?;
        store.check_pins()?;
        let said = self.claims()?.said(id);
        if said.is_none() && !store.has(id)? && !store.has_partial(id)? {
            return Err(AssetError::Unknown(*id));
        }
        let live = said.map_or(Vec::new(), |said| said.live(|_| true));
        if !live.is_empty() {
            self.release_claims(id, &live)?;
            self.workspace.commit()?;
        }
        store.set_pinned(*id, false)?;
        let removed = store.remove(id)?;
        let collection = store.begin_collection()?;
        collection.rewrite(&removed.packs)?;
        Ok(removed.freed)
    }
}

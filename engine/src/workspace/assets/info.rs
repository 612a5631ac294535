//! What is known of assets.

use std::collections::BTreeSet;

use super::{Asset, AssetError, AssetInfo, AssetState, Assets, claims::Said};
use crate::{
    asset::{AssetClaim, AssetId, AssetUrl, ClaimRef},
    assets::StoreError,
    entry::Kind,
    workspace::LogView,
};

/// Assets with live claims.
#[derive(Debug, Default)]
pub(crate) struct Claimed {
    /// Of any log.
    pub(crate) live: BTreeSet<AssetId>,
    /// Of a log of this client.
    pub(crate) own: BTreeSet<AssetId>,
}

impl Assets {
    /// Where the bytes of an asset are; `None` if nothing was ever heard of it.
    ///
    /// Cost: a lookup, and what the index finds of new entries.
    ///
    /// # Errors
    ///
    /// [`AssetError::Read`] if a log cannot be read; those of the operating system.
    pub fn state(&self, id: &AssetId) -> Result<Option<AssetState>, AssetError> {
        let said = self.claims()?.said(id);
        self.state_of(id, said.as_ref())
    }

    fn state_of(
        &self,
        id: &AssetId,
        said: Option<&Said>,
    ) -> Result<Option<AssetState>, AssetError> {
        let store = self.store()?;
        if store.has(id)? {
            let pinned = store.is_pinned(id);
            return Ok(Some(if pinned { AssetState::Pinned } else { AssetState::Present }));
        }
        if store.has_partial(id)? {
            return Ok(Some(AssetState::Partial));
        }
        Ok(said.map(|said| {
            if said.live(|_| true).is_empty() { AssetState::Gone } else { AssetState::Known }
        }))
    }

    /// All that is known of an asset; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// As for [`Assets::state`].
    pub fn info(&self, id: &AssetId) -> Result<Option<AssetInfo>, AssetError> {
        let said = self.claims()?.said(id);
        let Some(state) = self.state_of(id, said.as_ref())? else { return Ok(None) };
        let said = said.unwrap_or_default();
        let live = said.live(|_| true);
        let released_claims = (said.claims.len() - live.len()) as u64;
        let claims =
            live.into_iter().map(|claim| self.asset_at(claim)).collect::<Result<_, _>>()?;
        let reader = match self.store()?.reader(id) {
            Ok(reader) => Some(reader),
            Err(StoreError::NotHere(_) | StoreError::Corrupt(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let said_size = (!said.claims.is_empty()).then_some(said.size);
        Ok(Some(AssetInfo {
            id: *id,
            size: reader.as_ref().map(crate::assets::AssetReader::size).or(said_size),
            state,
            stored_bytes: reader.as_ref().map(crate::assets::AssetReader::record_len),
            chunks: reader.as_ref().map(crate::assets::AssetReader::chunk_count),
            claims,
            released_claims,
        }))
    }

    /// The ids of all assets of which something is known: claimed, released, or here. Ascending.
    ///
    /// # Errors
    ///
    /// As for [`Assets::state`].
    pub fn ids(&self) -> Result<BTreeSet<AssetId>, AssetError> {
        let mut ids = self.claims()?.ids();
        ids.extend(self.store()?.present()?.into_iter().map(|(id, _)| id));
        Ok(ids)
    }

    /// All live claims: the own log first, the others in the order of their ids, each log from its start.
    ///
    /// # Errors
    ///
    /// As for [`Assets::state`]; later ones come from the iterator.
    pub fn list(
        &self,
    ) -> Result<impl Iterator<Item = Result<Asset, AssetError>> + use<>, AssetError> {
        let claims = self.claims()?;
        let order: Vec<_> = self.workspace.logs().iter().map(LogView::id).collect();
        let mut live: Vec<ClaimRef> = claims
            .ids()
            .iter()
            .filter_map(|id| claims.said(id))
            .flat_map(|said| said.live(|_| true))
            .collect();
        drop(claims);
        let place = |claim: &ClaimRef| order.iter().position(|log| *log == claim.log);
        live.sort_by_key(|claim| (place(claim), claim.index));
        let assets = self.clone();
        Ok(live.into_iter().map(move |claim| assets.asset_at(claim)))
    }

    /// Which assets the logs claim now, for the checker.
    pub(crate) fn claimed(&self) -> Result<Claimed, AssetError> {
        let own = self.own_logs();
        let claims = self.claims()?;
        if let Some(doubt) = claims.doubt() {
            return Err(AssetError::Doubtful(doubt.to_owned()));
        }
        let mut claimed = Claimed::default();
        for id in claims.ids() {
            let live = claims.said(&id).map_or(Vec::new(), |said| said.live(|_| true));
            if !live.is_empty() {
                claimed.live.insert(id);
            }
            if live.iter().any(|claim| own.contains(&claim.log)) {
                claimed.own.insert(id);
            }
        }
        Ok(claimed)
    }

    /// The asset that an entry claims, released or not.
    ///
    /// # Errors
    ///
    /// [`AssetError::Read`], and [`AssetError::Entry`] if the entry does not claim an asset.
    pub fn asset_at(&self, claim: ClaimRef) -> Result<Asset, AssetError> {
        let log = self.workspace.log(claim.log)?;
        let entry = log.log().kept_entry(claim.index)?;
        let broken = |what: String| AssetError::Entry { log: claim.log, index: claim.index, what };
        if entry.kind != Kind::ASSET {
            return Err(broken("not an entry that claims an asset".to_owned()));
        }
        let said = AssetClaim::decode(&entry.payload).map_err(|error| broken(error.to_string()))?;
        Ok(Asset {
            id: said.id,
            size: said.size,
            media_type: said.media_type,
            name: said.name,
            preview: said.preview,
            client: log.client(),
            claim,
            stream: entry.stream,
            timestamp: entry.timestamp,
        })
    }

    /// The asset that a URL stands for, after its hints were checked: a size that is not the asset's is an error, and so
    /// is a position whose entry claims another asset. Its bytes need not be here.
    ///
    /// # Errors
    ///
    /// [`AssetError::WrongSize`], [`AssetError::NotThere`], [`AssetError::Unknown`].
    pub fn resolve(&self, url: &AssetUrl) -> Result<AssetId, AssetError> {
        let id = url.id();
        if let Some((client, index)) = url.position() {
            let there = |log: &LogView| {
                let asset = self.asset_at(ClaimRef { log: log.id(), index });
                asset.is_ok_and(|asset| asset.id == id)
            };
            let logs = self.workspace.logs_of(client).unwrap_or_default();
            // Of a client that is not known here nothing can be checked.
            if !logs.is_empty() && !logs.iter().any(there) {
                return Err(AssetError::NotThere { client, index, id });
            }
        }
        let size = match self.store()?.size(&id)? {
            Some(size) => size,
            None => self.claims()?.said(&id).ok_or(AssetError::Unknown(id))?.size,
        };
        url.check_size(size)?;
        Ok(id)
    }
}

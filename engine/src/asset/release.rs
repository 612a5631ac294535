//! Releases: what an entry of kind release says.

use super::{AssetEntryError, AssetId, RELEASE_CLAIM_COUNT_MAX};
use crate::{
    bytes::{DecodeError, LogId, Put as _, Reader},
    entry::LOG_ENTRY_COUNT_MAX,
};

/// The only form of releases that is known.
const FORM: u8 = 0;
/// What comes before the claims, in bytes.
const FIXED_LEN: usize = 40;

const _: () = assert!(
    FIXED_LEN + RELEASE_CLAIM_COUNT_MAX * ClaimRef::LEN
        <= crate::entry::ENTRY_PAYLOAD_LEN_MAX as usize
);

/// A claim by its place: an entry of kind [`ASSET`](crate::Kind::ASSET).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClaimRef {
    /// The log of the entry.
    pub log: LogId,
    /// Its index in that log.
    pub index: u64,
}

impl ClaimRef {
    /// Encoded size, in bytes.
    pub const LEN: usize = 24;
}

/// That an asset is not wanted any more for the sake of certain claims: the payload of an entry of kind
/// [`RELEASE`](crate::Kind::RELEASE).
///
/// It names claims and not just the asset, so that one which somebody else makes at the same time stays.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Release {
    /// The asset. Of the entries named only those that claim it are released.
    pub id: AssetId,
    /// The claims, 1 to [`RELEASE_CLAIM_COUNT_MAX`] of them. In any order and as often as you like to encode;
    /// ascending and each once when decoded.
    pub claims: Vec<ClaimRef>,
}

impl Release {
    /// The payload of the entry.
    ///
    /// # Errors
    ///
    /// [`AssetEntryError::ClaimCount`] for none or too many different claims, and
    /// [`AssetEntryError::Index`] for one behind the longest log that there can be.
    pub fn encode(&self) -> Result<Vec<u8>, AssetEntryError> {
        let mut claims = self.claims.clone();
        claims.sort_unstable();
        claims.dedup();
        check_count(claims.len())?;
        let claim_count =
            u32::try_from(claims.len()).map_err(|_| AssetEntryError::ClaimCount(claims.len()))?;

        let mut payload = Vec::with_capacity(FIXED_LEN + claims.len() * ClaimRef::LEN);
        payload.put_u8(FORM);
        payload.put(&[0; 3]);
        payload.put_u32(claim_count);
        payload.put(self.id.as_bytes());
        for claim in claims {
            check_index(claim.index)?;
            payload.put(claim.log.as_bytes());
            payload.put_u64(claim.index);
        }
        Ok(payload)
    }

    /// The release in the payload of an entry. No two payloads are the same release.
    ///
    /// # Errors
    ///
    /// [`AssetEntryError`] for a payload that A-3 does not allow, which may be a later version's.
    pub fn decode(payload: &[u8]) -> Result<Self, AssetEntryError> {
        let mut reader = Reader::new(payload);
        let form = reader.u8()?;
        if form != FORM {
            return Err(AssetEntryError::Form(form));
        }
        reader.zeros(3)?;
        let count = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
        let id = AssetId::from_bytes(reader.array()?);
        check_count(count)?;
        if reader.rest().len() < count * ClaimRef::LEN {
            return Err(DecodeError::Truncated.into());
        }
        let mut claims: Vec<ClaimRef> = Vec::with_capacity(count);
        for _ in 0..count {
            let claim = ClaimRef { log: LogId::from_bytes(reader.array()?), index: reader.u64()? };
            check_index(claim.index)?;
            if claims.last().is_some_and(|last| *last >= claim) {
                return Err(AssetEntryError::Order);
            }
            claims.push(claim);
        }
        reader.finish()?;
        Ok(Self { id, claims })
    }
}

fn check_count(count: usize) -> Result<(), AssetEntryError> {
    let fits = (1..=RELEASE_CLAIM_COUNT_MAX).contains(&count);
    if fits { Ok(()) } else { Err(AssetEntryError::ClaimCount(count)) }
}

fn check_index(index: u64) -> Result<(), AssetEntryError> {
    if index < LOG_ENTRY_COUNT_MAX { Ok(()) } else { Err(AssetEntryError::Index(index)) }
}

//! Assets as logs and texts name them: ids, claims, releases and URLs; pure. Normative: `format-spec.md` A-1 to A-7.
//!
//! An asset is bytes of any length that live apart from the logs: an image, a film. Its id is the hash of its
//! bytes. That it is wanted is an entry of a log, a *claim*; that it is not wanted any more, a *release* of the
//! claims that its author had seen. A document refers to it by a URL, which holds the id and a few hints.
//!
//! The payload of a claim:
//!
//! ```text
//! offset  size  field
//!      0     1  form            0
//!      1     1  media_type_len
//!      2     1  name_len
//!      3     1  zero
//!      4     2  preview_len
//!      6     2  zero
//!      8     8  size            of the content, in bytes
//!     16    32  id
//!     48     .  media_type, name, preview, each as long as its field above says
//! ```
//!
//! The payload of a release:
//!
//! ```text
//! offset  size  field
//!      0     1  form            0
//!      1     3  zero
//!      4     4  claim_count
//!      8    32  id
//!     40    24  log (16), index (8); so many times, ascending
//! ```
//!
//! Whoever reads an entry that is neither must take it for a claim of a later version and collect no garbage
//! (A-4): the errors here are verdicts about one entry, never a reason to refuse its log.
//!
//! # Example: what is written, and what a document says
//!
//! ```
//! use annals::{AssetClaim, AssetId, AssetUrl};
//!
//! let content = b"not really a film";
//! let claim = AssetClaim {
//!     media_type: Some("video/mp4".to_owned()),
//!     name: annals::asset::clean_name("holiday clip.mp4"),
//!     ..AssetClaim::new(AssetId::of(content), content.len() as u64)
//! };
//! let payload = claim.encode()?;
//! assert_eq!(AssetClaim::decode(&payload)?, claim);
//!
//! let url = AssetUrl::from(&claim).to_string();
//! assert_eq!(
//!     url,
//!     "asset:///b3/c5ykcvwfij6z6am6clmuzomhczjy7bs2kwspub44og64i5zo6l2a/holiday%20clip.mp4?s=17&t=video/mp4"
//! );
//! assert_eq!(url.parse::<AssetUrl>()?.id(), AssetId::of(content));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod claim;
mod error;
mod id;
mod name;
mod release;
mod url;

pub use self::{
    claim::AssetClaim,
    error::AssetEntryError,
    id::{AssetId, ParseAssetIdError},
    name::clean_name,
    release::{ClaimRef, Release},
    url::{AssetUrl, ParseAssetUrlError, WrongSize},
};

/// Largest asset, in bytes: 64 TiB (L-1).
pub const ASSET_SIZE_MAX: u64 = 1 << 46;
/// Longest name of an asset, in bytes of UTF-8 (L-1). What most file systems can hold, too.
pub const ASSET_NAME_LEN_MAX: usize = 255;
/// Longest media type, in bytes (L-1).
pub const ASSET_MEDIA_TYPE_LEN_MAX: usize = 127;
/// Longest preview, in bytes (L-1). For a blurred thumbnail, not for a thumbnail: it stays in the log for ever.
pub const ASSET_PREVIEW_LEN_MAX: usize = 1024;
/// Most claims that one release names (L-1). They fill three quarters of an entry.
pub const RELEASE_CLAIM_COUNT_MAX: usize = 1 << 15;
/// Most assets that are pinned on one device (L-1, K-14). Their ids take 512 MiB.
pub const PIN_COUNT_MAX: u64 = 1 << 24;

#[cfg(test)]
mod tests;

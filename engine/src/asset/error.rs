//! What is wrong with an entry about an asset.

use super::{
    ASSET_MEDIA_TYPE_LEN_MAX, ASSET_NAME_LEN_MAX, ASSET_PREVIEW_LEN_MAX, ASSET_SIZE_MAX,
    RELEASE_CLAIM_COUNT_MAX,
};
use crate::{bytes::DecodeError, entry::LOG_ENTRY_COUNT_MAX};

/// Why a payload is no claim or no release, or why a value cannot be written as one.
///
/// Such an entry may be a later version's: it claims and releases nothing, and no garbage is collected.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AssetEntryError {
    /// The layout is of a later version.
    #[error("form {0} is not known")]
    Form(u8),
    /// Fields and lengths do not fit together.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The content is said to have this size, in bytes.
    #[error("a size of {0} bytes, more than {ASSET_SIZE_MAX}")]
    Size(u64),
    /// The media type is too long or has other characters than `!` to `~`.
    #[error("a media type has at most {ASSET_MEDIA_TYPE_LEN_MAX} printable ASCII characters")]
    MediaType,
    /// The name is too long, is not UTF-8, or has a control character or a slash.
    #[error(
        "a name has at most {ASSET_NAME_LEN_MAX} bytes of UTF-8 without control characters and /"
    )]
    Name,
    /// The preview has this length, in bytes.
    #[error("a preview of {0} bytes, more than {ASSET_PREVIEW_LEN_MAX}")]
    PreviewLen(usize),
    /// The release names so many claims.
    #[error("a release of {0} claims, not of 1 to {RELEASE_CLAIM_COUNT_MAX}")]
    ClaimCount(usize),
    /// The claims of the release are not in ascending order, or one comes twice.
    #[error("the claims of a release do not ascend")]
    Order,
    /// The release names an entry that no log can have.
    #[error("entry {0} of a log of at most {LOG_ENTRY_COUNT_MAX}")]
    Index(u64),
}

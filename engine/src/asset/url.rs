//! How a document refers to an asset (A-6, A-7).

mod parse;

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use data_encoding::BASE64URL_NOPAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use self::parse::ParseAssetUrlError;
use super::{
    ASSET_SIZE_MAX, AssetClaim, AssetId, clean_name,
    name::{is_media_type, is_name},
};
use crate::{bytes::ClientId, entry::LOG_ENTRY_COUNT_MAX};

/// What is escaped: all but the characters that no program has a reason to escape or to unescape (the
/// unreserved ones of RFC 3986), so that Markdown, JSON and other URL libraries leave the text as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for media types, where everybody expects a slash.
const ESCAPED_IN_TYPE: &AsciiSet = &ESCAPED.remove(b'/');

/// The URL of an asset: its id, and hints about it.
///
/// ```text
/// asset:///b3/<id in base32>/<name>?s=<size>&t=<media type>
/// asset:///<client>/<index>/<name>?s=<size>&t=<media type>&d=<id in base64url>
/// ```
///
/// The second, *positional* form also says which client claimed the asset where in its log. All but the id can
/// be missing.
///
/// Two URLs are **equal if their ids are**, whatever the hints say; they hash alike. To compare all of it,
/// compare the texts: what is printed has just one form, and survives Markdown and URL libraries unchanged.
///
/// The hints are what somebody wrote into a text: look at the content before you trust a media type, and never
/// take a name for a path. A hint that the rules for claims (A-2) do not allow is left out when it is set, and
/// an error when it is read.
///
/// # Examples
///
/// ```
/// use annals::{AssetId, AssetUrl};
///
/// let url = AssetUrl::new(AssetId::of(b"")).with_name("empty (1).svg").with_media_type("image/svg+xml").with_size(0);
/// assert_eq!(
///     url.to_string(),
///     "asset:///b3/v4jutopv7gq2nicajxvdnxgjjgn4wjojvxarfn6mtkj4vza7gjra/empty%20%281%29.svg?s=0&t=image/svg%2Bxml"
/// );
/// let read: AssetUrl = url.to_string().parse()?;
/// assert_eq!(read.name(), Some("empty (1).svg"));
/// assert!(read.check_size(7).is_err());
/// # Ok::<(), annals::ParseAssetUrlError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AssetUrl {
    id: AssetId,
    /// At most [`ASSET_SIZE_MAX`].
    size: Option<u64>,
    /// Fits A-2, and is not empty.
    media_type: Option<String>,
    /// Fits A-2, and is neither empty nor a step in a path.
    name: Option<String>,
    /// The index is below [`LOG_ENTRY_COUNT_MAX`].
    position: Option<(ClientId, u64)>,
}

/// The content has another size than its URL says: one of the two is not what was meant (A-6).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the URL says {expected} bytes, the asset has {actual}")]
pub struct WrongSize {
    /// What the URL says, in bytes.
    pub expected: u64,
    /// What the asset has, in bytes.
    pub actual: u64,
}

impl AssetUrl {
    /// The URL of `id` without any hint.
    pub const fn new(id: AssetId) -> Self {
        Self { id, size: None, media_type: None, name: None, position: None }
    }

    /// The URL of `id` in the positional form: entry `index` in the log of `client` claims it.
    ///
    /// A position that no entry can have is left out, and with it the form.
    pub fn positional(client: ClientId, index: u64, id: AssetId) -> Self {
        let position = (index < LOG_ENTRY_COUNT_MAX).then_some((client, index));
        Self { position, ..Self::new(id) }
    }

    /// Says how large the asset is, in bytes. Left out above [`ASSET_SIZE_MAX`].
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size).filter(|&size| size <= ASSET_SIZE_MAX);
        self
    }

    /// Says of which type it is, as in `image/svg+xml`. Left out if a claim cannot hold it.
    #[must_use]
    pub fn with_media_type(mut self, media_type: &str) -> Self {
        let fits = !media_type.is_empty() && is_media_type(media_type);
        self.media_type = fits.then(|| media_type.to_owned());
        self
    }

    /// Says how its file is called, [cleaned](clean_name). Left out if that gives nothing, `.` or `..`.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = Some(clean_name(name)).filter(|name| is_segment(name));
        self
    }

    /// The asset.
    pub const fn id(&self) -> AssetId {
        self.id
    }

    /// How large it is said to be, in bytes.
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// Of which type it is said to be: 1 to 127 of the characters `!` to `~`.
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// How its file is said to be called: 1 to 255 bytes without control characters and slashes, not `.` or
    /// `..`.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Which client is said to claim it, and by which of its entries.
    pub const fn position(&self) -> Option<(ClientId, u64)> {
        self.position
    }

    /// Checks the size that the URL gives, if it gives one, against that of the content.
    ///
    /// # Errors
    ///
    /// [`WrongSize`] if they differ.
    pub fn check_size(&self, actual: u64) -> Result<(), WrongSize> {
        match self.size {
            Some(expected) if expected != actual => Err(WrongSize { expected, actual }),
            _ => Ok(()),
        }
    }
}

/// Whether `name` can stand in a path, where `.` and `..` are steps, also when they are escaped.
fn is_segment(name: &str) -> bool {
    is_name(name) && !matches!(name, "" | "." | "..")
}

/// What a claim says, but for the preview. What it must not say (A-2) is left out.
impl From<&AssetClaim> for AssetUrl {
    fn from(claim: &AssetClaim) -> Self {
        let media_type = claim.media_type.as_deref().unwrap_or_default();
        Self::new(claim.id).with_size(claim.size).with_media_type(media_type).with_name(&claim.name)
    }
}

impl PartialEq for AssetUrl {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for AssetUrl {}

impl Hash for AssetUrl {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Display for AssetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            None => write!(f, "asset:///b3/{}", self.id.to_base32())?,
            Some((client, index)) => write!(f, "asset:///{client}/{index}")?,
        }
        if let Some(name) = &self.name {
            write!(f, "/{}", utf8_percent_encode(name, ESCAPED))?;
        }
        let mut separators = std::iter::once('?').chain(std::iter::repeat('&'));
        let mut separator = || separators.next().unwrap_or('&');
        if let Some(size) = self.size {
            write!(f, "{}s={size}", separator())?;
        }
        if let Some(media_type) = &self.media_type {
            let media_type = utf8_percent_encode(media_type, ESCAPED_IN_TYPE);
            write!(f, "{}t={media_type}", separator())?;
        }
        if self.position.is_some() {
            write!(f, "{}d={}", separator(), BASE64URL_NOPAD.encode(self.id.as_bytes()))?;
        }
        Ok(())
    }
}

impl FromStr for AssetUrl {
    type Err = ParseAssetUrlError;

    fn from_str(text: &str) -> Result<Self, ParseAssetUrlError> {
        parse::parse(text)
    }
}

impl serde::Serialize for AssetUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for AssetUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

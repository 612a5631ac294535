//! What is said of an asset beside its bytes.

use crate::{
    asset::{AssetClaim, AssetId, AssetUrl, ClaimRef, clean_name},
    bytes::{ClientId, StreamId, Timestamp},
    entry::Kind,
    log::{Assigned, Change, Stamp},
    workspace::Stream,
};

/// What is known of an asset when it is added.
///
/// # Examples
///
/// ```
/// use annals::AssetMeta;
///
/// let meta = AssetMeta::named("clip.mp4").media_type("video/mp4");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing until an asset is added with it"]
pub struct AssetMeta {
    pub(super) name: String,
    pub(super) media_type: Option<String>,
    pub(super) preview: Vec<u8>,
    pub(super) stream: StreamId,
    pub(super) declared: Option<Assigned>,
    at: Stamp,
    pub(super) verify: bool,
}

impl AssetMeta {
    /// An asset with this name, for people: 255 bytes of it at most, without control characters and slashes, which are
    /// left out.
    pub fn named(name: impl AsRef<str>) -> Self {
        Self { name: clean_name(name.as_ref()), ..Self::default() }
    }

    /// Its media type, as `image/png`. It decides whether compressing is tried, and is not checked against the content.
    pub fn media_type(mut self, media_type: impl Into<String>) -> Self {
        self.media_type = Some(media_type.into());
        self
    }

    /// Up to 1,024 bytes that stand for the asset where its bytes are not: a tiny picture, a hash of one.
    pub fn preview(mut self, preview: impl Into<Vec<u8>>) -> Self {
        self.preview = preview.into();
        self
    }

    /// What the asset belongs to: its entry goes into this stream.
    pub fn in_stream(mut self, stream: &Stream) -> Self {
        self.stream = stream.id();
        self.declared = Some(stream.declared());
        self
    }

    /// Gives the entry this time, or none, instead of what the workspace's options say.
    pub fn at(mut self, timestamp: Option<Timestamp>) -> Self {
        self.at = Stamp::At(timestamp);
        self
    }

    /// Also reads what is stored already of the same content, however large, and replaces it if it has rotted. Content of
    /// up to 4 MiB is always checked so.
    pub fn verify(mut self) -> Self {
        self.verify = true;
        self
    }

    pub(super) fn claim(&self, id: AssetId, size: u64) -> AssetClaim {
        AssetClaim {
            id,
            size,
            media_type: self.media_type.clone(),
            name: self.name.clone(),
            preview: self.preview.clone(),
        }
    }

    pub(super) fn change<'a>(&self, payload: &'a [u8]) -> Change<'a> {
        Change::new(payload).in_stream(self.stream).of_kind(Kind::ASSET)
    }

    /// The time of the entry; `time` is that of entries which bring none.
    pub(super) fn time(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        match self.at {
            Stamp::Default => time,
            Stamp::At(at) => at,
        }
    }
}

/// An asset as an entry of a log claims it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Asset {
    /// BLAKE3 of its content.
    pub id: AssetId,
    /// Size in bytes, as its client says.
    pub size: u64,
    /// Media type, as its client says.
    pub media_type: Option<String>,
    /// Name, as its client says; may be empty.
    pub name: String,
    /// What stands for it where its bytes are not.
    #[serde(serialize_with = "as_base64", skip_serializing_if = "Vec::is_empty")]
    pub preview: Vec<u8>,
    /// The client that added it.
    pub client: ClientId,
    /// Its entry.
    #[serde(flatten)]
    pub claim: ClaimRef,
    /// What it belongs to.
    pub stream: StreamId,
    /// When it was added.
    pub timestamp: Option<Timestamp>,
}

fn as_base64<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    use base64::Engine as _;

    serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
}

impl Asset {
    /// The URL of its content, with its name, size and type as hints.
    ///
    /// # Examples
    ///
    /// ```
    /// # use annals::{AssetMeta, Options, Workspace};
    /// # let folder = tempfile::tempdir()?;
    /// # let workspace = Workspace::create(folder.path().join("w"), Options::default())?;
    /// let meta = AssetMeta::named("a (1).txt").media_type("text/plain");
    /// let asset = workspace.assets().put(&b"hello"[..], meta)?;
    /// assert_eq!(
    ///     asset.url().to_string(),
    ///     "asset:///b3/5khrmpntq2bjexseshc6ldklwnig56gbj23yvbxjbdcwestheahq/a%20%281%29.txt?s=5&t=text/plain",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn url(&self) -> AssetUrl {
        let url = AssetUrl::new(self.id).with_size(self.size).with_name(&self.name);
        match &self.media_type {
            Some(media_type) => url.with_media_type(media_type),
            None => url,
        }
    }
}

/// Where the bytes of an asset are (A-8).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AssetState {
    /// A log claims it; its bytes are not on this device.
    Known,
    /// Some verified chunks are on this device.
    Partial,
    /// All its bytes are on this device.
    Present,
    /// They are, and are kept here whatever the logs say.
    Pinned,
    /// Every claim was released, and no bytes are on this device.
    Gone,
}

impl AssetState {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Partial => "partial",
            Self::Present => "present",
            Self::Pinned => "pinned",
            Self::Gone => "gone",
        }
    }

    /// Whether all bytes are here.
    pub const fn is_here(self) -> bool {
        matches!(self, Self::Present | Self::Pinned)
    }
}

/// What is known of an asset.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct AssetInfo {
    /// BLAKE3 of its content.
    pub id: AssetId,
    /// Size in bytes: that of the bytes here, else what a claim says.
    pub size: Option<u64>,
    /// Where its bytes are.
    pub state: AssetState,
    /// Bytes that it takes in a pack, hashes and headers included.
    pub stored_bytes: Option<u64>,
    /// Chunks of 64 KiB, the last one shorter.
    pub chunks: Option<u64>,
    /// The entries that claim it and were not released, in canonical order of their logs.
    pub claims: Vec<Asset>,
    /// Claims that were released.
    pub released_claims: u64,
}

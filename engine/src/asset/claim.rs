//! Claims: what an entry of kind asset says.

use super::{
    ASSET_PREVIEW_LEN_MAX, ASSET_SIZE_MAX, AssetEntryError, AssetId,
    name::{is_media_type, is_name},
};
use crate::bytes::{Put as _, Reader};

/// The only form of claims that is known.
const FORM: u8 = 0;
/// What comes before the media type, in bytes.
const FIXED_LEN: usize = 48;

/// That a client has added an asset and wants it kept: the payload of an entry of kind
/// [`ASSET`](crate::Kind::ASSET).
///
/// All but the id is what the client said. Who has the content knows better.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AssetClaim {
    /// The asset.
    pub id: AssetId,
    /// Size of the content in bytes, at most [`ASSET_SIZE_MAX`].
    pub size: u64,
    /// Media type, as in `image/svg+xml`, if it is known: at most
    /// [`ASSET_MEDIA_TYPE_LEN_MAX`](super::ASSET_MEDIA_TYPE_LEN_MAX) of the characters `!` to `~`. An empty
    /// one is written like none.
    pub media_type: Option<String>,
    /// Name of the file, or nothing: at most [`ASSET_NAME_LEN_MAX`](super::ASSET_NAME_LEN_MAX) bytes without
    /// control characters and slashes. [`clean_name`](super::clean_name) makes one of any text.
    pub name: String,
    /// Whatever the application shows until the content is here, at most [`ASSET_PREVIEW_LEN_MAX`] bytes.
    pub preview: Vec<u8>,
}

impl AssetClaim {
    /// A claim of `size` bytes with the hash `id`, of which no more is said.
    pub const fn new(id: AssetId, size: u64) -> Self {
        Self { id, size, media_type: None, name: String::new(), preview: Vec::new() }
    }

    /// The payload of the entry.
    ///
    /// # Errors
    ///
    /// [`AssetEntryError::Size`], [`MediaType`](AssetEntryError::MediaType), [`Name`](AssetEntryError::Name)
    /// or [`PreviewLen`](AssetEntryError::PreviewLen) for a field that a claim cannot hold.
    pub fn encode(&self) -> Result<Vec<u8>, AssetEntryError> {
        let media_type = self.media_type.as_deref().unwrap_or_default();
        self.check()?;
        let name_len = u8::try_from(self.name.len()).map_err(|_| AssetEntryError::Name)?;
        let media_type_len =
            u8::try_from(media_type.len()).map_err(|_| AssetEntryError::MediaType)?;
        let preview_len = u16::try_from(self.preview.len())
            .map_err(|_| AssetEntryError::PreviewLen(self.preview.len()))?;

        let lens = media_type.len() + self.name.len() + self.preview.len();
        let mut payload = Vec::with_capacity(FIXED_LEN + lens);
        payload.put_u8(FORM);
        payload.put_u8(media_type_len);
        payload.put_u8(name_len);
        payload.put_u8(0);
        payload.put_u16(preview_len);
        payload.put_u16(0);
        payload.put_u64(self.size);
        payload.put(self.id.as_bytes());
        payload.put(media_type.as_bytes());
        payload.put(self.name.as_bytes());
        payload.put(&self.preview);
        Ok(payload)
    }

    /// The claim in the payload of an entry. No two payloads are the same claim.
    ///
    /// # Errors
    ///
    /// [`AssetEntryError`] for a payload that A-2 does not allow, which may be a later version's.
    pub fn decode(payload: &[u8]) -> Result<Self, AssetEntryError> {
        let mut reader = Reader::new(payload);
        let form = reader.u8()?;
        if form != FORM {
            return Err(AssetEntryError::Form(form));
        }
        let media_type_len = reader.u8()?;
        let name_len = reader.u8()?;
        reader.zeros(1)?;
        let preview_len = reader.u16()?;
        reader.zeros(2)?;
        let size = reader.u64()?;
        let id = AssetId::from_bytes(reader.array()?);
        let media_type = std::str::from_utf8(reader.take(media_type_len.into())?)
            .map_err(|_| AssetEntryError::MediaType)?;
        let name = std::str::from_utf8(reader.take(name_len.into())?)
            .map_err(|_| AssetEntryError::Name)?;
        let preview = reader.take(preview_len.into())?;
        reader.finish()?;
        let claim = Self {
            id,
            size,
            media_type: (!media_type.is_empty()).then(|| media_type.to_owned()),
            name: name.to_owned(),
            preview: preview.to_owned(),
        };
        claim.check()?;
        Ok(claim)
    }

    /// Whether A-2 allows the values of the fields.
    fn check(&self) -> Result<(), AssetEntryError> {
        if self.size > ASSET_SIZE_MAX {
            return Err(AssetEntryError::Size(self.size));
        }
        if !self.media_type.as_deref().is_none_or(is_media_type) {
            return Err(AssetEntryError::MediaType);
        }
        if !is_name(&self.name) {
            return Err(AssetEntryError::Name);
        }
        if self.preview.len() > ASSET_PREVIEW_LEN_MAX {
            return Err(AssetEntryError::PreviewLen(self.preview.len()));
        }
        Ok(())
    }
}

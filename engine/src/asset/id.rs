//! What names an asset: the hash of its bytes (A-1).

use std::{fmt, str::FromStr};

use data_encoding::{BASE32_NOPAD_NOCASE, HEXLOWER_PERMISSIVE};

use crate::bytes::Hash;

/// An asset: the BLAKE3 hash of its content, 32 bytes.
///
/// Printed as 64 lower-case hex digits, as `b3sum` does; in URLs and file names as 52 lower-case characters of
/// base32. Both are read, in either case.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AssetId([u8; AssetId::LEN]);

/// The text is neither 64 hex digits nor 52 characters of base32.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the id of an asset is 64 hex digits or 52 characters of base32")]
pub struct ParseAssetIdError;

impl AssetId {
    /// Encoded size, in bytes.
    pub const LEN: usize = Hash::LEN;
    /// Length in hex, in characters.
    const HEX_LEN: usize = 64;
    /// Length in base32 without padding, in characters. They have room for 260 bits; the last four are zero.
    const BASE32_LEN: usize = 52;

    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The id of the asset with this content. Hashes all of it, in this thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::AssetId;
    ///
    /// let id = AssetId::of(b"");
    /// assert_eq!(id.to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    /// assert_eq!(id.to_base32(), "v4jutopv7gq2nicajxvdnxgjjgn4wjojvxarfn6mtkj4vza7gjra");
    /// assert_eq!(id.to_base32().parse(), Ok(id));
    /// ```
    pub fn of(content: &[u8]) -> Self {
        Self(blake3::hash(content).into())
    }

    /// The id as 52 lower-case characters of base32 (RFC 4648, section 6) without padding.
    ///
    /// Lower case, so that it is the same name on file systems that ignore case.
    pub fn to_base32(&self) -> String {
        BASE32_NOPAD_NOCASE.encode(&self.0).to_ascii_lowercase()
    }

    /// The inverse of [`AssetId::to_base32`]; upper case is read too.
    pub(super) fn from_base32(text: &str) -> Result<Self, ParseAssetIdError> {
        Self::decode(&BASE32_NOPAD_NOCASE, Self::BASE32_LEN, text)
    }

    /// Reads `len` characters of an encoding that has just one text for each id, but for its case.
    pub(super) fn decode(
        encoding: &data_encoding::Encoding,
        len: usize,
        text: &str,
    ) -> Result<Self, ParseAssetIdError> {
        let mut bytes = [0; Self::LEN];
        // Checked first, since decoding into a slice of another length is a panic.
        if text.len() != len || encoding.decode_len(len) != Ok(Self::LEN) {
            return Err(ParseAssetIdError);
        }
        encoding.decode_mut(text.as_bytes(), &mut bytes).map_err(|_| ParseAssetIdError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER_PERMISSIVE.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssetId({self})")
    }
}

impl FromStr for AssetId {
    type Err = ParseAssetIdError;

    fn from_str(text: &str) -> Result<Self, ParseAssetIdError> {
        if text.len() == Self::HEX_LEN {
            Self::decode(&HEXLOWER_PERMISSIVE, Self::HEX_LEN, text)
        } else {
            Self::from_base32(text)
        }
    }
}

impl From<Hash> for AssetId {
    fn from(hash: Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl From<AssetId> for Hash {
    fn from(id: AssetId) -> Self {
        Self::from_bytes(id.0)
    }
}

impl serde::Serialize for AssetId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for AssetId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

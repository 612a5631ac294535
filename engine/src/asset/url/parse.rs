//! Reading the URL of an asset. One pass over each part of the text, whatever it holds.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use percent_encoding::percent_decode_str;

use super::{AssetUrl, is_segment};
use crate::{
    asset::{ASSET_SIZE_MAX, AssetId, name::is_media_type},
    bytes::ClientId,
    entry::LOG_ENTRY_COUNT_MAX,
};

/// What a URL may hold unescaped in its path or its query, apart from letters and digits (RFC 3986).
const MARKS: &str = "-._~!$&'()*+,;=:@/?";
/// Length of an id in base64url without padding, in characters.
const DIGEST_LEN: usize = 43;
/// Length of a UUID with hyphens, in characters.
const UUID_LEN: usize = 36;

/// Why a text is not the URL of an asset.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseAssetUrlError {
    /// The text has another scheme, or none.
    #[error("the URL of an asset begins with asset:///")]
    Scheme,
    /// The URL names a host, or has no three slashes behind the scheme.
    #[error("asset: is followed by three slashes: the URL of an asset names no host")]
    Authority,
    /// The path has not the two or three parts of either form.
    #[error("the path is neither /b3/<id>/<name> nor /<client>/<index>/<name>")]
    Path,
    /// A character that must be escaped in a URL is not.
    #[error("{0:?} must be escaped in a URL")]
    Character(char),
    /// A `%` that two hex digits do not follow.
    #[error("% must be followed by two hex digits")]
    Escape,
    /// What is escaped is not UTF-8.
    #[error("what is escaped is not UTF-8")]
    Utf8,
    /// The id is not 52 characters of base32.
    #[error("the id behind /b3/ is not 52 characters of base32")]
    Id,
    /// The path begins neither with `b3` nor with a UUID.
    #[error("the path begins neither with b3 nor with a client's UUID")]
    Client,
    /// The index of the entry is not a number, or none that a log can have.
    #[error("the index behind the client is not that of an entry")]
    Index,
    /// The name is longer than that of an asset can be, or has control characters or slashes.
    #[error("the name is not that of an asset")]
    Name,
    /// `s`, `t` or `d` comes twice.
    #[error("a key comes twice")]
    Repeated,
    /// `s` is not a number, or larger than an asset can be.
    #[error("s is not the size of an asset")]
    Size,
    /// `t` is longer than a media type can be, or has other characters.
    #[error("t is not a media type")]
    MediaType,
    /// The positional form has no id, or one that is not 32 bytes in base64url.
    #[error("d is not the id of an asset in base64url")]
    Digest,
}

use ParseAssetUrlError as Error;

/// Reads either form.
pub(super) fn parse(text: &str) -> Result<AssetUrl, Error> {
    let (scheme, rest) = text.split_once(':').ok_or(Error::Scheme)?;
    if !scheme.eq_ignore_ascii_case("asset") {
        return Err(Error::Scheme);
    }
    let rest = rest.strip_prefix("///").ok_or(Error::Authority)?;
    let rest = rest.split_once('#').map_or(rest, |(before, _fragment)| before);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));

    let query = Query::parse(query)?;
    let mut parts = path.split('/');
    let (Some(first), Some(second), name, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::Path);
    };
    let (first, second) = (unescape(first)?, unescape(second)?);
    let url = if first == "b3" {
        AssetUrl::new(AssetId::from_base32(&second).map_err(|_| Error::Id)?)
    } else {
        let client = client(&first).ok_or(Error::Client)?;
        let index = number(&second).filter(|&index| index < LOG_ENTRY_COUNT_MAX);
        let id = query.digest.as_deref().and_then(digest).ok_or(Error::Digest)?;
        AssetUrl::positional(client, index.ok_or(Error::Index)?, id)
    };
    Ok(AssetUrl {
        size: query.size()?,
        media_type: query.media_type()?,
        name: name.map_or(Ok(None), file_name)?,
        ..url
    })
}

/// The values of the keys that are known, unescaped.
#[derive(Default)]
struct Query<'a> {
    size: Option<Cow<'a, str>>,
    media_type: Option<Cow<'a, str>>,
    digest: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    fn parse(text: &'a str) -> Result<Self, Error> {
        let mut query = Self::default();
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            // Those of unknown keys too: a text that is no URL is refused wherever it is none.
            let (key, value) = (unescape(key)?, unescape(value)?);
            let known = match &*key {
                "s" => &mut query.size,
                "t" => &mut query.media_type,
                "d" => &mut query.digest,
                _ => continue,
            };
            if known.replace(value).is_some() {
                return Err(Error::Repeated);
            }
        }
        Ok(query)
    }

    fn size(&self) -> Result<Option<u64>, Error> {
        let Some(text) = &self.size else { return Ok(None) };
        let size = number(text).filter(|&size| size <= ASSET_SIZE_MAX);
        size.map(Some).ok_or(Error::Size)
    }

    fn media_type(&self) -> Result<Option<String>, Error> {
        match self.media_type.as_deref() {
            // As in a claim: it is not known.
            None | Some("") => Ok(None),
            Some(text) if is_media_type(text) => Ok(Some(text.to_owned())),
            Some(_) => Err(Error::MediaType),
        }
    }
}

/// The name in the last part of a path; none if it is empty or a step in the path.
fn file_name(part: &str) -> Result<Option<String>, Error> {
    let name = unescape(part)?;
    if matches!(&*name, "" | "." | "..") {
        return Ok(None);
    }
    if is_segment(&name) { Ok(Some(name.into_owned())) } else { Err(Error::Name) }
}

/// A UUID with hyphens, and in no other of its forms.
fn client(text: &str) -> Option<ClientId> {
    if text.len() == UUID_LEN { text.parse().ok() } else { None }
}

/// Digits alone: the parser of the standard library would take a sign.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// An id in base64url; padding is read, though it is not written.
fn digest(text: &str) -> Option<AssetId> {
    let text = text.strip_suffix('=').unwrap_or(text);
    AssetId::decode(&BASE64URL_NOPAD, DIGEST_LEN, text).ok()
}

/// Checks a part of a URL and resolves its escapes; `+` is a plus.
fn unescape(text: &str) -> Result<Cow<'_, str>, Error> {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || c == '%' || MARKS.contains(c);
    if let Some(other) = text.chars().find(|&c| !may_stand(c)) {
        return Err(Error::Character(other));
    }
    for (at, _) in text.match_indices('%') {
        let digits = text.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(Error::Escape);
        }
    }
    percent_decode_str(text).decode_utf8().map_err(|_| Error::Utf8)
}

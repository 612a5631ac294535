//! Proofs as JSON (M-8).
//!
//! The structs here are what is read; the proofs themselves are written. Members that this version
//! does not know are ignored: what they say is not verified, and nothing is concluded from them.

use std::fmt;

use base64::{Engine as _, display::Base64Display, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serializer,
    de::{Error as _, SeqAccess, Visitor},
};

use super::{CONSISTENCY_PATH_LEN_MAX, ConsistencyProof, INCLUSION_PATH_LEN_MAX, InclusionProof};
use crate::{
    bytes::{Hash, LogId},
    entry::{ENTRY_PAYLOAD_LEN_MAX, EntryHeader},
};

/// Length of the longest payload in base64.
const PAYLOAD_TEXT_LEN_MAX: u64 = (ENTRY_PAYLOAD_LEN_MAX as u64).div_ceil(3) * 4;

/// The formats of inclusion proofs.
#[derive(Deserialize)]
enum InclusionFormat {
    #[serde(rename = "annals-inclusion-1")]
    V1,
}

/// The formats of consistency proofs.
#[derive(Deserialize)]
enum ConsistencyFormat {
    #[serde(rename = "annals-consistency-1")]
    V1,
}

/// The members of an inclusion proof.
#[derive(Deserialize)]
pub(super) struct InclusionJson {
    format: InclusionFormat,
    log: LogId,
    index: u64,
    size: u64,
    #[serde(deserialize_with = "read_header")]
    header: EntryHeader,
    payload_hash: Hash,
    #[serde(deserialize_with = "read_path::<_, INCLUSION_PATH_LEN_MAX>")]
    path: Vec<Hash>,
    #[serde(default, deserialize_with = "read_salt")]
    salt: Option<[u8; 16]>,
    #[serde(default, deserialize_with = "read_payload")]
    payload: Option<Vec<u8>>,
}

impl From<InclusionJson> for InclusionProof {
    fn from(json: InclusionJson) -> Self {
        let InclusionFormat::V1 = json.format;
        let InclusionJson { log, index, size, header, payload_hash, path, salt, payload, .. } =
            json;
        Self { log, index, size, header, payload_hash, path, salt, payload }
    }
}

/// The members of a consistency proof.
#[derive(Deserialize)]
pub(super) struct ConsistencyJson {
    format: ConsistencyFormat,
    log: LogId,
    from_size: u64,
    size: u64,
    from_root: Hash,
    #[serde(deserialize_with = "read_path::<_, CONSISTENCY_PATH_LEN_MAX>")]
    path: Vec<Hash>,
}

impl From<ConsistencyJson> for ConsistencyProof {
    fn from(json: ConsistencyJson) -> Self {
        let ConsistencyFormat::V1 = json.format;
        let ConsistencyJson { log, from_size, size, from_root, path, .. } = json;
        Self { log, from_size, size, from_root, path }
    }
}

pub(super) fn write_header<S: Serializer>(header: &EntryHeader, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&Hex(&header.encode()))
}

fn read_header<'de, D: Deserializer<'de>>(from: D) -> Result<EntryHeader, D::Error> {
    let bytes = from.deserialize_str(Text("64 lower-case hex digits", parse_hex))?;
    EntryHeader::decode(&bytes).map_err(D::Error::custom)
}

#[expect(clippy::ref_option, reason = "serde hands a reference to the field")]
pub(super) fn write_salt<S: Serializer>(salt: &Option<[u8; 16]>, to: S) -> Result<S::Ok, S::Error> {
    match salt {
        Some(salt) => to.collect_str(&Hex(salt)),
        None => to.serialize_none(),
    }
}

fn read_salt<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[u8; 16]>, D::Error> {
    from.deserialize_str(Text("32 lower-case hex digits", parse_hex)).map(Some)
}

#[expect(clippy::ref_option, reason = "serde hands a reference to the field")]
pub(super) fn write_payload<S: Serializer>(
    payload: &Option<Vec<u8>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match payload {
        Some(payload) => to.collect_str(&Base64Display::new(payload, &STANDARD)),
        None => to.serialize_none(),
    }
}

fn read_payload<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    from.deserialize_str(Text("a payload in base64 with padding", parse_payload)).map(Some)
}

fn parse_payload(text: &str) -> Option<Vec<u8>> {
    // Nothing is decoded, and so nothing allocated, that could not be the payload of an entry.
    if text.len() as u64 > PAYLOAD_TEXT_LEN_MAX {
        return None;
    }
    STANDARD.decode(text).ok()
}

fn read_path<'de, D: Deserializer<'de>, const LEN_MAX: usize>(
    from: D,
) -> Result<Vec<Hash>, D::Error> {
    from.deserialize_seq(Path::<LEN_MAX>)
}

/// Reads at most `LEN_MAX` hashes, so that a hostile proof fills no memory.
struct Path<const LEN_MAX: usize>;

impl<'de, const LEN_MAX: usize> Visitor<'de> for Path<LEN_MAX> {
    type Value = Vec<Hash>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {LEN_MAX} hashes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Hash>, A::Error> {
        let mut path = Vec::new();
        while let Some(hash) = items.next_element()? {
            if path.len() == LEN_MAX {
                return Err(A::Error::invalid_length(LEN_MAX + 1, &self));
            }
            path.push(hash);
        }
        Ok(path)
    }
}

/// Reads a string: what it should be, and how it is parsed, without a copy of it.
struct Text<F>(&'static str, F);

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        let Self(expected, parse) = self;
        // Without the text itself: it may be a megabyte long, or a secret.
        parse(text).ok_or_else(|| E::custom(format_args!("expected {expected}")))
    }
}

/// Prints bytes in lower-case hex.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The inverse of [`Hex`]: exactly 2 `N` digits, none of them upper-case.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

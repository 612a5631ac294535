//! Hashes and the keys that keep their uses apart (M-1 to M-5).

use std::{fmt, str::FromStr};

use super::LogId;

/// A BLAKE3 hash: 32 bytes. Printed as 64 lower-case hex digits; upper case is read too.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Hash([u8; Hash::LEN]);

/// The text is not 64 hex digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a hash is 64 hex digits")]
pub struct ParseHashError;

impl Hash {
    /// Encoded size of a hash, in bytes.
    pub const LEN: usize = 32;
    /// 32 zero bytes: the tree hash of no leaves (M-4).
    pub const ZERO: Self = Self([0; Self::LEN]);

    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, ParseHashError> {
        if text.len() != 2 * Self::LEN {
            return Err(ParseHashError);
        }
        let mut bytes = [0; Self::LEN];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).ok_or(ParseHashError);
            *byte =
                u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).map_err(|_| ParseHashError)?;
        }
        Ok(Self(bytes))
    }
}

impl serde::Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The public keys of one log: one for each use of a hash, so that no hash means two things (M-1).
#[derive(Clone, Debug)]
pub struct LogKeys {
    payload: [u8; 32],
    leaf: [u8; 32],
    node: [u8; 32],
    root: [u8; 32],
}

impl LogKeys {
    /// Derives the keys of `log`. Anybody who knows the id can.
    pub fn new(log: LogId) -> Self {
        let derive = |context| blake3::derive_key(context, log.as_bytes());
        Self {
            payload: derive("annals v1 payload"),
            leaf: derive("annals v1 leaf"),
            node: derive("annals v1 node"),
            root: derive("annals v1 root"),
        }
    }

    /// The salted hash of a payload (M-2). One compression for payloads of up to 48 bytes.
    pub fn payload_hash(&self, salt: &[u8; 16], payload: &[u8]) -> Hash {
        const ONE_BLOCK: usize = 64 - 16;
        if payload.len() <= ONE_BLOCK {
            let mut block = [0; 64];
            block[..16].copy_from_slice(salt);
            block[16..16 + payload.len()].copy_from_slice(payload);
            return Hash(blake3::keyed_hash(&self.payload, &block[..16 + payload.len()]).into());
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.payload);
        hasher.update(salt).update(payload);
        Hash(hasher.finalize().into())
    }

    /// The leaf of an entry: its canonical header and payload hash, one compression (M-3).
    pub fn leaf(&self, header: &[u8; 32], payload_hash: &Hash) -> Hash {
        Hash(blake3::keyed_hash(&self.leaf, &join(header, &payload_hash.0)).into())
    }

    /// The key of payloads: of the salt and the payload in a row (M-2).
    pub(crate) const fn of_payloads(&self) -> &[u8; 32] {
        &self.payload
    }

    /// The key of leaves: of the canonical header and the payload hash in a row (M-3).
    pub(crate) const fn of_leaves(&self) -> &[u8; 32] {
        &self.leaf
    }

    /// The key of inner nodes: of the left and the right one in a row (M-4).
    pub(crate) const fn of_nodes(&self) -> &[u8; 32] {
        &self.node
    }

    /// An inner node of the tree, one compression (M-4).
    pub fn node(&self, left: &Hash, right: &Hash) -> Hash {
        Hash(blake3::keyed_hash(&self.node, &join(&left.0, &right.0)).into())
    }

    /// The root of a tree of `size` leaves with the tree hash `tree` (M-5).
    pub fn root(&self, size: u64, tree: &Hash) -> Hash {
        let mut input = [0; 40];
        input[..8].copy_from_slice(&size.to_le_bytes());
        input[8..].copy_from_slice(&tree.0);
        Hash(blake3::keyed_hash(&self.root, &input).into())
    }
}

fn join(left: &[u8; 32], right: &[u8; 32]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(left);
    block[32..].copy_from_slice(right);
    block
}

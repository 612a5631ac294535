//! Proofs, which anybody can verify who has a root to trust (M-7; RFC 9162, 2.1.3.2 and 2.1.4.2).

use crate::{
    bytes::{Hash, LogId, LogKeys},
    entry::{EntryHeader, LOG_ENTRY_COUNT_MAX},
};

/// Longest path of an inclusion proof, in hashes: the height of the largest tree.
pub const INCLUSION_PATH_LEN_MAX: usize = 48;
/// Longest path of a consistency proof, in hashes: one for each level, and the one it starts from.
pub const CONSISTENCY_PATH_LEN_MAX: usize = 49;

const _: () = assert!(1 << INCLUSION_PATH_LEN_MAX == LOG_ENTRY_COUNT_MAX);
const _: () = assert!(CONSISTENCY_PATH_LEN_MAX == INCLUSION_PATH_LEN_MAX + 1);

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The size is above [`LOG_ENTRY_COUNT_MAX`].
    #[error("no log has {size} entries")]
    Size {
        /// The size that the proof names.
        size: u64,
    },
    /// The entry is not one of the first `size`.
    #[error("entry {index} is not among the first {size}")]
    Index {
        /// The index that the proof names.
        index: u64,
        /// The size that the proof names.
        size: u64,
    },
    /// The old size is above the new one.
    #[error("the old size {from_size} is above the new size {size}")]
    FromSize {
        /// The old size that the proof names.
        from_size: u64,
        /// The new size that the proof names.
        size: u64,
    },
    /// The path has fewer hashes than the sizes call for.
    #[error("the path is too short")]
    PathTooShort,
    /// The path has more hashes than the sizes call for.
    #[error("the path is too long")]
    PathTooLong,
    /// The proof says itself that it starts from another root than the trusted old one.
    #[error("the proof is about another old root than the trusted one")]
    OtherFromRoot,
    /// The path does not lead to the trusted old root.
    #[error("does not lead to the trusted old root")]
    FromRoot,
    /// The path does not lead to the trusted root.
    #[error("does not lead to the trusted root")]
    Root,
    /// A salt without a payload, or a payload without a salt: neither can be checked.
    #[error("discloses only one of salt and payload")]
    HalfDisclosed,
    /// The disclosed payload has another length than the entry.
    #[error("the payload has another length than the entry")]
    PayloadLen,
    /// The disclosed salt and payload do not give the payload hash (M-2).
    #[error("the payload is not that of the entry")]
    Payload,
}

/// Shows that an entry is number `index` of the first `size` entries of a log.
///
/// Complete in itself: verifying needs the root, and no workspace. It discloses the entry's header,
/// but its content only if salt and payload are included. Serialized as the JSON object of M-8;
/// deserializing checks the format and the limits, and the rest is for [`InclusionProof::verify`].
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "format", rename = "annals-inclusion-1", from = "super::json::InclusionJson")]
pub struct InclusionProof {
    /// The log; the keys of all hashes depend on it (M-1).
    pub log: LogId,
    /// Index of the entry.
    pub index: u64,
    /// The size of the log whose root the proof is for.
    pub size: u64,
    /// The entry but for its payload.
    #[serde(serialize_with = "super::json::write_header")]
    pub header: EntryHeader,
    /// The salted hash of the payload (M-2).
    pub payload_hash: Hash,
    /// The audit path, from the leaf upwards.
    pub path: Vec<Hash>,
    /// The salt of the entry, if the content is disclosed.
    #[serde(serialize_with = "super::json::write_salt", skip_serializing_if = "Option::is_none")]
    pub salt: Option<[u8; 16]>,
    /// The payload of the entry, if the content is disclosed.
    #[serde(
        serialize_with = "super::json::write_payload",
        skip_serializing_if = "Option::is_none"
    )]
    pub payload: Option<Vec<u8>>,
}

impl InclusionProof {
    /// Checks the proof against the root of the first `size` entries, which the caller has from a
    /// source that it trusts.
    ///
    /// After `Ok` all fields are true: `log`, `index`, `size`, `header` and `payload_hash` are those
    /// of the entry, and so are `salt` and `payload` if they are there.
    ///
    /// Cost: at most 48 compressions, and hashing the payload if it is there.
    ///
    /// # Errors
    ///
    /// A [`ProofError`] for a proof that is malformed, contradicts itself or is not for this root.
    ///
    /// # Examples
    ///
    /// ```
    /// # use annals::{LogId, StreamId, bytes::LogKeys, entry::{EntryHeader, Kind, Part}};
    /// # use annals::merkle::{InclusionProof, Peaks, ProofError};
    /// # let log = LogId::from_random([7; 16]);
    /// # let keys = LogKeys::new(log);
    /// # let header = EntryHeader {
    /// #     lamport: 1,
    /// #     timestamp: None,
    /// #     payload_len: 5,
    /// #     stream: StreamId::DEFAULT,
    /// #     kind: Kind::CHANGE,
    /// #     part: Part::WHOLE,
    /// # };
    /// # let payload_hash = keys.payload_hash(&[9; 16], b"hello");
    /// # let mut peaks = Peaks::new();
    /// # peaks.push(&keys, keys.leaf(&header.encode(), &payload_hash), |_, _, _| ());
    /// # let trusted_root = peaks.root(&keys);
    /// # let (salt, payload) = (Some([9; 16]), Some(b"hello".to_vec()));
    /// # let proof =
    /// #     InclusionProof { log, index: 0, size: 1, header, payload_hash, path: vec![], salt, payload };
    /// # let json = serde_json::to_string(&proof)?;
    /// let proof: InclusionProof = serde_json::from_str(&json)?;
    /// assert_eq!(proof.verify(&trusted_root), Ok(()));
    ///
    /// let forged = InclusionProof { payload: Some(b"HELLO".to_vec()), ..proof };
    /// assert_eq!(forged.verify(&trusted_root), Err(ProofError::Payload));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self, root: &Hash) -> Result<(), ProofError> {
        let Self { index, size, .. } = *self;
        if size > LOG_ENTRY_COUNT_MAX {
            return Err(ProofError::Size { size });
        }
        if index >= size {
            return Err(ProofError::Index { index, size });
        }

        let keys = LogKeys::new(self.log);
        let mut climb = Climb { node: index, last: size - 1 };
        let mut hash = keys.leaf(&self.header.encode(), &self.payload_hash);
        for sibling in &self.path {
            hash = match climb.step()? {
                Side::Left => keys.node(sibling, &hash),
                Side::Right => keys.node(&hash, sibling),
            };
        }
        climb.finish()?;
        if keys.root(size, &hash) != *root {
            return Err(ProofError::Root);
        }
        self.verify_content(&keys)
    }

    fn verify_content(&self, keys: &LogKeys) -> Result<(), ProofError> {
        let (salt, payload) = match (&self.salt, &self.payload) {
            (None, None) => return Ok(()),
            (Some(salt), Some(payload)) => (salt, payload),
            (Some(_), None) | (None, Some(_)) => return Err(ProofError::HalfDisclosed),
        };
        if u32::try_from(payload.len()) != Ok(self.header.payload_len) {
            return Err(ProofError::PayloadLen);
        }
        if keys.payload_hash(salt, payload) != self.payload_hash {
            return Err(ProofError::Payload);
        }
        Ok(())
    }
}

/// Shows that the first `from_size` of the first `size` entries of a log are as they were.
///
/// The path is that of RFC 9162, with one addition: if `from_size` is a power of two less than
/// `size`, the tree hash (M-4) of the first `from_size` leaves stands before it. The RFC's verifier
/// knows that hash; ours knows the root, which commits to it (M-5) and does not reveal it.
/// Serialized as the JSON object of M-8.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "format", rename = "annals-consistency-1", from = "super::json::ConsistencyJson")]
pub struct ConsistencyProof {
    /// The log; the keys of all hashes depend on it (M-1).
    pub log: LogId,
    /// The old size.
    pub from_size: u64,
    /// The new size.
    pub size: u64,
    /// The root at `from_size` according to the prover. Compared with the trusted one, never used.
    pub from_root: Hash,
    /// The path, from the boundary at `from_size` upwards; empty if that is 0 or `size`.
    pub path: Vec<Hash>,
}

impl ConsistencyProof {
    /// Checks the proof against the root at `from_size` and the root at `size`, both of which the
    /// caller has from sources that it trusts.
    ///
    /// After `Ok` the log with the root `root` begins with the log with the root `from_root`. The
    /// two sizes are those of the roots, except where this needs no path: for equal sizes it is
    /// shown only that the roots are equal, and from size 0 nothing is shown about `root`, because
    /// any log begins with the empty one.
    ///
    /// Cost: at most 100 compressions.
    ///
    /// # Errors
    ///
    /// A [`ProofError`] for a proof that is malformed, contradicts itself or is not for these roots.
    pub fn verify(&self, from_root: &Hash, root: &Hash) -> Result<(), ProofError> {
        let Self { from_size, size, .. } = *self;
        if size > LOG_ENTRY_COUNT_MAX {
            return Err(ProofError::Size { size });
        }
        if from_size > size {
            return Err(ProofError::FromSize { from_size, size });
        }
        if self.from_root != *from_root {
            return Err(ProofError::OtherFromRoot);
        }

        let keys = LogKeys::new(self.log);
        // Or a prover could get around any trusted root by saying that it is that of size 0.
        if from_size == 0 && keys.root(0, &Hash::ZERO) != *from_root {
            return Err(ProofError::FromRoot);
        }
        if from_size == 0 || from_size == size {
            if !self.path.is_empty() {
                return Err(ProofError::PathTooLong);
            }
            let differ = from_size == size && from_root != root;
            return if differ { Err(ProofError::Root) } else { Ok(()) };
        }

        // The path starts from the largest subtree that ends at `from_size`. It is a part of both
        // trees; siblings on its left are too, and those on its right are of the new one alone.
        let (start, siblings) = self.path.split_first().ok_or(ProofError::PathTooShort)?;
        let level = (from_size - 1).trailing_ones();
        let mut climb = Climb { node: (from_size - 1) >> level, last: (size - 1) >> level };
        let (mut old, mut new) = (*start, *start);
        for sibling in siblings {
            match climb.step()? {
                Side::Left => {
                    old = keys.node(sibling, &old);
                    new = keys.node(sibling, &new);
                }
                Side::Right => new = keys.node(&new, sibling),
            }
        }
        climb.finish()?;
        if keys.root(from_size, &old) != *from_root {
            return Err(ProofError::FromRoot);
        }
        if keys.root(size, &new) != *root {
            return Err(ProofError::Root);
        }
        Ok(())
    }
}

/// On which side of the path the next sibling is.
enum Side {
    Left,
    Right,
}

/// The way from a node to the root, as both verifications of RFC 9162 take it (`fn` and `sn`).
struct Climb {
    /// Position of the node reached, on its level.
    node: u64,
    /// Position of the last node of that level.
    last: u64,
}

impl Climb {
    /// Goes up past the next sibling.
    fn step(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::PathTooLong);
        }
        // The last node of a level has no right sibling: if it is a left child, it stands for its
        // parent too, until it is a right child. It then is not node 0, because `last` is not 0.
        let levels = if self.node == self.last { self.node.trailing_zeros() } else { 0 };
        let side = if self.node >> levels & 1 == 1 { Side::Left } else { Side::Right };
        self.node >>= levels + 1;
        self.last >>= levels + 1;
        Ok(side)
    }

    /// Checks that this is the root.
    fn finish(self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::PathTooShort) }
    }
}

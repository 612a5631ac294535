//! The salt record (P-3, P-4).
//!
//! ```text
//! offset  size  field
//!      0     1  version        1
//!      1     1  cipher_suite   0 = none
//!      2     2  zero
//!      4     4  key_epoch      0
//!      8     4  node_count
//!     12     4  group_count
//!     16  48 n  nodes          depth u8, 7 bytes zero, position u64, value (32)
//!     ..    ..  groups         group u64, kept u64, then 16 bytes for each bit of kept
//! ```

use super::{DEPTH, Group, Node, SALT_LEN, SaltTree};
use crate::bytes::{DecodeError, Put as _, Reader};

const VERSION: u8 = 1;
const CIPHER_NONE: u8 = 0;
const HEAD_LEN: usize = 16;
const NODE_LEN: usize = 48;
const GROUP_HEAD_LEN: usize = 16;

const _: () = assert!(HEAD_LEN == 1 + 1 + 2 + 4 + 4 + 4);
const _: () = assert!(NODE_LEN == 1 + 7 + 8 + 32);

/// Why bytes are not a salt record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SaltError {
    /// A version other than 1.
    #[error("salt record of version {0}, which this program does not know")]
    Version(u8),
    /// The record is encrypted, which this version of the format does not have.
    #[error("salt record with cipher suite {0}, which this program does not know")]
    CipherSuite(u8),
    /// A depth below the leaves'.
    #[error("salt node at depth {0}")]
    Depth(u8),
    /// More nodes or groups to the left than there are at this depth.
    #[error("salt node or group {position} at depth {depth}")]
    Position {
        /// Depth of the node; 42 for a group.
        depth: u8,
        /// Number of the node or group.
        position: u64,
    },
    /// Nodes overlap or are not ordered by the groups they cover.
    #[error("salt nodes overlap or are out of order")]
    NodeOrder,
    /// Groups are repeated or not ascending.
    #[error("salt groups are out of order")]
    GroupOrder,
    /// A group that a node covers too.
    #[error("salt group {0} is covered by a node")]
    GroupCovered(u64),
    /// The bytes end too early or go on, or reserved ones are not zero.
    #[error("salt record: {0}")]
    Malformed(#[from] DecodeError),
}

impl SaltTree {
    /// Decodes a salt record; `record` ends where it ends.
    ///
    /// # Errors
    ///
    /// A [`SaltError`] for anything that P-3 and P-4 do not allow.
    pub fn decode(record: &[u8]) -> Result<Self, SaltError> {
        let mut reader = Reader::new(record);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(SaltError::Version(version));
        }
        let cipher_suite = reader.u8()?;
        if cipher_suite != CIPHER_NONE {
            return Err(SaltError::CipherSuite(cipher_suite));
        }
        reader.zeros(2)?;
        // The epoch of the key, which only an encrypted record has.
        reader.zeros(4)?;
        let (node_count, group_count) = (reader.u32()?, reader.u32()?);
        let nodes = decode_nodes(&mut reader, node_count)?;
        let groups = decode_groups(&mut reader, group_count)?;
        reader.finish()?;

        let tree = Self { nodes, groups };
        match tree.groups.iter().find(|group| tree.node_covers(group.number)) {
            Some(covered) => Err(SaltError::GroupCovered(covered.number)),
            None => Ok(tree),
        }
    }

    /// The salt record. Secret: it gives all salts that are left.
    pub fn encode(&self) -> Vec<u8> {
        let groups_len: usize =
            self.groups.iter().map(|group| GROUP_HEAD_LEN + group.salts.len() * SALT_LEN).sum();
        let mut record = Vec::with_capacity(HEAD_LEN + self.nodes.len() * NODE_LEN + groups_len);
        record.put(&[VERSION, CIPHER_NONE]);
        record.pad_to(8);
        record.put_u32(count(self.nodes.len()));
        record.put_u32(count(self.groups.len()));
        for node in &self.nodes {
            record.put_u8(node.depth);
            record.put(&[0; 7]);
            record.put_u64(node.position);
            record.put(&node.value);
        }
        for group in &self.groups {
            record.put_u64(group.number);
            record.put_u64(group.kept);
            record.put(group.salts.as_flattened());
        }
        record
    }

    fn node_covers(&self, group: u64) -> bool {
        matches!(self.cover(group), super::Cover::Node(..))
    }
}

fn decode_nodes(reader: &mut Reader<'_>, node_count: u32) -> Result<Vec<Node>, SaltError> {
    let mut nodes = Vec::with_capacity(fitting(reader, node_count, NODE_LEN)?);
    let mut covered_upto = 0;
    for _ in 0..node_count {
        let depth = reader.u8()?;
        if depth > DEPTH {
            return Err(SaltError::Depth(depth));
        }
        reader.zeros(7)?;
        let position = reader.u64()?;
        if position >= 1 << depth {
            return Err(SaltError::Position { depth, position });
        }
        let node = Node { depth, position, value: reader.array()? };
        if node.first_group() < covered_upto {
            return Err(SaltError::NodeOrder);
        }
        covered_upto = node.first_group() + (1 << (DEPTH - depth));
        nodes.push(node);
    }
    Ok(nodes)
}

fn decode_groups(reader: &mut Reader<'_>, group_count: u32) -> Result<Vec<Group>, SaltError> {
    let mut groups = Vec::with_capacity(fitting(reader, group_count, GROUP_HEAD_LEN)?);
    let mut above = 0;
    for _ in 0..group_count {
        let number = reader.u64()?;
        if number >= 1 << DEPTH {
            return Err(SaltError::Position { depth: DEPTH, position: number });
        }
        if number < above {
            return Err(SaltError::GroupOrder);
        }
        above = number + 1;
        let kept = reader.u64()?;
        // At most 64 salts. None at all means the same as no group, and P-4 does not forbid it.
        let salts = reader.take(kept.count_ones() as usize * SALT_LEN)?;
        groups.push(Group { number, kept, salts: salts.as_chunks().0.to_vec() });
    }
    Ok(groups)
}

/// `item_count` as a capacity, if as many items of at least `item_len` bytes can follow.
fn fitting(reader: &Reader<'_>, item_count: u32, item_len: usize) -> Result<usize, DecodeError> {
    let item_count = usize::try_from(item_count).map_err(|_| DecodeError::Truncated)?;
    if item_count > reader.rest().len() / item_len {
        return Err(DecodeError::Truncated);
    }
    Ok(item_count)
}

/// A count as it is written. A tree with more nodes or groups than a u32 counts would take hundreds
/// of gigabytes of memory.
fn count(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than 2^32 nodes and groups")
}

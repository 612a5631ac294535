//! Salts of entries (section 7).

use super::bytes::{array_at, ensure, to_usize, u8_at, u32_at, u64_at, zero_at};
use super::limits::LOG_ENTRY_COUNT_MAX;
use super::merkle::Hash;

/// Depth of the salt tree (P-1).
const DEPTH: u32 = 42;

/// The salts of a log, whole: the root of the tree (P-5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Salts {
    pub(crate) root: Hash,
}

/// Decodes a salt record (P-3), which must be the whole tree (P-5) and fill `record`.
pub(crate) fn decode(record: &[u8]) -> Result<Salts, String> {
    let version = u8_at(record, 0)?;
    ensure(version == 1, || format!("P-3: salt record version {version}"))?;
    let cipher_suite = u8_at(record, 1)?;
    ensure(cipher_suite == 0, || format!("P-3: cipher suite {cipher_suite}"))?;
    zero_at(record, 2, 2, "P-3")?;
    let key_epoch = u32_at(record, 4)?;
    ensure(key_epoch == 0, || format!("P-3: key epoch {key_epoch}"))?;
    let (node_count, group_count) = (u32_at(record, 8)?, u32_at(record, 12)?);
    ensure((node_count, group_count) == (1, 0), || {
        format!("P-5: {node_count} nodes and {group_count} groups")
    })?;
    ensure(record.len() == 64, || format!("P-3: {} bytes for one node", record.len()))?;
    let depth = u8_at(record, 16)?;
    ensure(depth == 0, || format!("P-5: a node of depth {depth}"))?;
    zero_at(record, 17, 7, "P-3")?;
    let position = u64_at(record, 24)?;
    ensure(position == 0, || format!("P-3: position {position} at depth 0"))?;
    Ok(Salts { root: array_at(record, 32)? })
}

impl Salts {
    /// The salt of the entry at `index` (P-1, P-2).
    pub(crate) fn of(&self, index: u64) -> Result<[u8; 16], String> {
        ensure(index < LOG_ENTRY_COUNT_MAX, || format!("L-1: entry {index}"))?;
        let group = index / 64;
        let mut node = self.root;
        for bit in (0..DEPTH).rev() {
            let children = keyed_xof(&node, b"annals v1 salt node", 64);
            node = array_at(&children, if (group >> bit) & 1 == 0 { 0 } else { 32 })?;
        }
        let salts = keyed_xof(&node, b"annals v1 salt group", 1024);
        array_at(&salts, to_usize((index % 64) * 16)?)
    }
}

/// `keyed_xof` (G-5).
fn keyed_xof(key: &Hash, x: &[u8], n: usize) -> Vec<u8> {
    let mut output = vec![0; n];
    blake3::Hasher::new_keyed(key).update(x).finalize_xof().fill(&mut output);
    output
}

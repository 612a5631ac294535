//! Salts of entries (section 7).

use super::bytes::{array_at, ensure, part, to_usize, u8_at, u32_at, u64_at, zero_at};
use super::limits::LOG_ENTRY_COUNT_MAX;
use super::merkle::Hash;

/// Depth of the salt tree (P-1).
const DEPTH: u32 = 42;
/// Entries of a group (P-2).
const GROUP_LEN: u64 = 64;
/// Length of a salt record without nodes and groups (P-3).
const HEADER_LEN: usize = 16;
/// Length of a node in it.
const NODE_LEN: usize = 48;

/// The salts of a log that are not erased (P-3, P-4).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Salts {
    pub(crate) nodes: Vec<Node>,
    pub(crate) groups: Vec<Group>,
}

/// A node of the salt tree, and with it all salts below.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Node {
    pub(crate) depth: u32,
    pub(crate) position: u64,
    pub(crate) value: Hash,
}

/// A group of which some salts are erased.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Group {
    pub(crate) number: u64,
    pub(crate) kept: u64,
    pub(crate) salts: Vec<[u8; 16]>,
}

impl Node {
    /// The first group below the node, and the first one behind it.
    fn groups(&self) -> (u64, u64) {
        let below = DEPTH.saturating_sub(self.depth);
        (self.position << below, (self.position + 1) << below)
    }
}

/// Decodes the salt record (P-3) that is all of `record`.
pub(crate) fn decode(record: &[u8]) -> Result<Salts, String> {
    ensure(record.len() >= HEADER_LEN, || format!("P-3: a record of {} bytes", record.len()))?;
    let version = u8_at(record, 0)?;
    ensure(version == 1, || format!("P-3: salt record version {version}"))?;
    let cipher_suite = u8_at(record, 1)?;
    ensure(cipher_suite == 0, || format!("P-3: cipher suite {cipher_suite}"))?;
    zero_at(record, 2, 2, "P-3")?;
    let key_epoch = u32_at(record, 4)?;
    ensure(key_epoch == 0, || format!("P-3: key epoch {key_epoch}"))?;
    let (node_count, group_count) = (u32_at(record, 8)?, u32_at(record, 12)?);

    let mut salts = Salts::default();
    let mut at = HEADER_LEN;
    let ends = |_| format!("P-3: {} bytes for {node_count} and {group_count}", record.len());
    for _ in 0..node_count {
        let bytes = part(record, at, NODE_LEN).map_err(ends)?;
        salts.nodes.push(decode_node(bytes)?);
        at = at.saturating_add(NODE_LEN);
    }
    for _ in 0..group_count {
        let fixed = part(record, at, 16).map_err(ends)?;
        let (group, kept) = (u64_at(fixed, 0)?, u64_at(fixed, 8)?);
        ensure(group < 1 << DEPTH, || format!("P-3: group {group}"))?;
        ensure(kept != 0, || format!("P-4: group {group} keeps nothing"))?;
        let len = 16 * to_usize(u64::from(kept.count_ones()))?;
        let kept_salts = part(record, at.saturating_add(16), len).map_err(ends)?;
        let kept_salts = kept_salts.chunks_exact(16).map(|salt| array_at(salt, 0));
        salts.groups.push(Group {
            number: group,
            kept,
            salts: kept_salts.collect::<Result<_, _>>()?,
        });
        at = at.saturating_add(16).saturating_add(len);
    }
    ensure(at == record.len(), || {
        format!("P-3: {} bytes for {node_count} nodes and {group_count} groups", record.len())
    })?;
    check_order(&salts)?;
    Ok(salts)
}

fn decode_node(bytes: &[u8]) -> Result<Node, String> {
    let depth = u32::from(u8_at(bytes, 0)?);
    ensure(depth <= DEPTH, || format!("P-3: a node of depth {depth}"))?;
    zero_at(bytes, 1, 7, "P-3")?;
    let position = u64_at(bytes, 8)?;
    ensure(position < 1 << depth, || format!("P-3: position {position} at depth {depth}"))?;
    Ok(Node { depth, position, value: array_at(bytes, 16)? })
}

/// P-4: everything is in order, and no salt stands in the record twice.
fn check_order(salts: &Salts) -> Result<(), String> {
    let mut covered_upto = 0;
    for node in &salts.nodes {
        let (first, end) = node.groups();
        ensure(first >= covered_upto, || {
            format!("P-4: the node at depth {} and {} is out of order", node.depth, node.position)
        })?;
        covered_upto = end;
    }
    let ascend = salts.groups.is_sorted_by(|a, b| a.number < b.number);
    ensure(ascend, || "P-4: the groups are not in ascending order".to_owned())?;
    for Group { number: group, .. } in &salts.groups {
        ensure(salts.node_over(*group).is_none(), || {
            format!("P-4: group {group} is covered by a node")
        })?;
    }
    Ok(())
}

impl Salts {
    /// The root of the tree, if nothing is erased (P-5).
    pub(crate) fn root(&self) -> Option<Hash> {
        match self.nodes.as_slice() {
            [node] if node.depth == 0 => Some(node.value),
            _ => None,
        }
    }

    /// The salt of the entry at `index` (P-1, P-2), `None` if it is erased (P-4).
    pub(crate) fn of(&self, index: u64) -> Result<Option<[u8; 16]>, String> {
        ensure(index < LOG_ENTRY_COUNT_MAX, || format!("L-1: entry {index}"))?;
        let (group, place) = (index / GROUP_LEN, index % GROUP_LEN);
        if let Some(node) = self.node_over(group) {
            let mut value = node.value;
            for bit in (0..DEPTH.saturating_sub(node.depth)).rev() {
                let children = keyed_xof(&value, b"annals v1 salt node", 64);
                value = array_at(&children, if (group >> bit) & 1 == 0 { 0 } else { 32 })?;
            }
            let salts = keyed_xof(&value, b"annals v1 salt group", 1024);
            return array_at(&salts, to_usize(place * 16)?).map(Some);
        }
        let Some(kept) = self.groups.iter().find(|kept| kept.number == group) else {
            return Ok(None);
        };
        // One salt for each bit; those of the bits below stand before it.
        let before = (kept.kept & ((1 << place) - 1)).count_ones();
        let is_kept = (kept.kept >> place) & 1 == 1;
        Ok(kept.salts.get(to_usize(u64::from(before))?).copied().filter(|_| is_kept))
    }

    /// Index of the first entry whose salt is not erased.
    pub(crate) fn first_kept(&self) -> Option<u64> {
        let nodes = self.nodes.iter().map(|node| node.groups().0 * GROUP_LEN);
        let groups = self
            .groups
            .iter()
            .map(|kept| kept.number * GROUP_LEN + u64::from(kept.kept.trailing_zeros()));
        nodes.chain(groups).min()
    }

    fn node_over(&self, group: u64) -> Option<&Node> {
        self.nodes.iter().find(|node| {
            let (first, end) = node.groups();
            (first..end).contains(&group)
        })
    }
}

/// `keyed_xof` (G-5).
fn keyed_xof(key: &Hash, x: &[u8], n: usize) -> Vec<u8> {
    let mut output = vec![0; n];
    blake3::Hasher::new_keyed(key).update(x).finalize_xof().fill(&mut output);
    output
}

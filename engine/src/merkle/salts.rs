//! Salts: 16 bytes for each entry, all from one seed, any of which can be erased (P-1 to P-5).
//!
//! ```text
//! depth 0        seed             two children by keyed_xof(node, "annals v1 salt node", 64)
//!               /    \
//!              .      .
//! depth 42   leaf .. leaf         one for each group of 64 entries
//!             |
//!          64 salts               keyed_xof(leaf, "annals v1 salt group", 1024)
//! ```
//!
//! This is the tree of Goldreich, Goldwasser and Micali, which can be *punctured*: a node gives
//! everything below it and nothing else. To erase a salt, the nodes above it are given up for the
//! siblings along the path, and its group for the other 63 salts.
//!
//! Salts and nodes are secrets: they are not printed. They are not wiped from memory either.

mod cursor;
mod record;

use std::fmt;

pub use self::{cursor::SaltCursor, record::SaltError};

/// Length of a salt, in bytes.
pub const SALT_LEN: usize = 16;
/// Depth of the leaves.
const DEPTH: u8 = 42;
/// Entries of a group.
const GROUP_LEN: u64 = 64;

const _: () = assert!(GROUP_LEN << DEPTH == crate::entry::LOG_ENTRY_COUNT_MAX);

/// What is left of the salts of a log: nodes of the tree, and groups that have lost some.
#[derive(Clone, Eq, PartialEq)]
pub struct SaltTree {
    /// In the order of the groups they cover, without overlap.
    nodes: Vec<Node>,
    /// Ascending, none of them covered by a node.
    groups: Vec<Group>,
}

/// A node of the tree: everything below it can be had.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Node {
    /// 0 is the root, [`DEPTH`] a leaf.
    depth: u8,
    /// Number among the nodes of its depth.
    position: u64,
    value: [u8; 32],
}

/// A group whose leaf was given up, and the salts that were kept.
#[derive(Clone, Eq, PartialEq)]
struct Group {
    number: u64,
    /// Bit i: the salt of entry i of the group was kept.
    kept: u64,
    /// As many as `kept` has one bits.
    salts: Vec<[u8; SALT_LEN]>,
}

/// What gives the salts of a group.
enum Cover<'a> {
    /// The node with this number in the tree.
    Node(usize, &'a Node),
    /// The group with this number in the tree.
    Group(usize, &'a Group),
    /// Nothing: they were erased.
    Nothing,
}

impl SaltTree {
    /// The whole tree under a random seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { nodes: vec![Node { depth: 0, position: 0, value: seed }], groups: Vec::new() }
    }

    /// Erases the salt of entry `index`: afterwards neither this tree nor its record gives it.
    /// Does nothing if it was erased before, or if no log is that long.
    ///
    /// The record grows by up to 42 nodes and 63 salts, about 3 KiB; less if a salt nearby was erased
    /// before. Copies that were made before are not reached.
    pub fn puncture(&mut self, index: u64) {
        let (group, entry) = place(index);
        match self.cover(group) {
            Cover::Node(slot, &node) => {
                let mut left = Vec::new();
                let mut right = Vec::new();
                let leaf = node.descend(group, |sibling| {
                    let side = if sibling.first_group() < group { &mut left } else { &mut right };
                    side.push(sibling);
                });
                // The siblings close in on the group from both sides.
                right.reverse();
                self.nodes.splice(slot..=slot, left.into_iter().chain(right));

                let mut punctured =
                    Group { number: group, kept: u64::MAX, salts: expand_group(&leaf).to_vec() };
                punctured.erase(entry);
                let slot = self.groups.partition_point(|other| other.number < group);
                self.groups.insert(slot, punctured);
            }
            Cover::Group(slot, _) => {
                let punctured = &mut self.groups[slot];
                punctured.erase(entry);
                if punctured.kept == 0 {
                    self.groups.remove(slot);
                }
            }
            Cover::Nothing => {}
        }
    }

    /// The salt of entry `index`; `None` if it was erased, or no log is that long.
    ///
    /// Cost: at most 43 compressions. For many entries see [`SaltCursor`].
    pub fn salt(&self, index: u64) -> Option<[u8; SALT_LEN]> {
        let (group, entry) = place(index);
        match self.cover(group) {
            Cover::Node(_, node) => {
                let leaf = node.descend(group, |_| ());
                let mut salt = [0; SALT_LEN];
                let mut output = group_output(&leaf);
                output.set_position(index % GROUP_LEN * SALT_LEN as u64);
                output.fill(&mut salt);
                Some(salt)
            }
            Cover::Group(_, group) => group.salt(entry),
            Cover::Nothing => None,
        }
    }

    /// Whether no salt of these entries is erased. Cost: one lookup, and one more for each node or punctured group.
    pub fn has_all(&self, entries: std::ops::Range<u64>) -> bool {
        let mut index = entries.start;
        while index < entries.end {
            let (group, entry) = place(index);
            let group_end = (group + 1) * GROUP_LEN;
            index = match self.cover(group) {
                Cover::Node(_, node) => {
                    (node.first_group() + (1 << (DEPTH - node.depth))) * GROUP_LEN
                }
                Cover::Group(_, kept) => {
                    let len = group_end.min(entries.end) - index;
                    let wanted = (u64::MAX >> (GROUP_LEN - len)) << entry;
                    if kept.kept & wanted != wanted {
                        return false;
                    }
                    group_end
                }
                Cover::Nothing => return false,
            };
        }
        true
    }

    /// A tree of which nothing is left.
    pub(crate) fn erased() -> Self {
        Self { nodes: Vec::new(), groups: Vec::new() }
    }

    /// Erases the salts of the first `size` entries: nodes below are given up as a whole.
    pub fn puncture_below(&mut self, size: u64) {
        let (group, entry) = place(size);
        if entry > 0 {
            // The group that holds the first entry to be kept becomes one of its own.
            (size - entry as u64..size).for_each(|index| self.puncture(index));
        }
        while let Some(node) = self.nodes.first().copied() {
            if node.first_group() >= group {
                break;
            }
            let end = node.first_group() + (1 << (DEPTH - node.depth));
            self.nodes.remove(0);
            if end > group {
                // What is behind the first groups are the siblings to the right of the path to the last of them.
                let mut right = Vec::new();
                node.descend(group - 1, |sibling| {
                    if sibling.first_group() >= group {
                        right.push(sibling);
                    }
                });
                right.reverse();
                self.nodes.splice(0..0, right);
                break;
            }
        }
        self.groups.retain(|kept| kept.number >= group);
    }

    fn cover(&self, group: u64) -> Cover<'_> {
        let after = self.nodes.partition_point(|node| node.first_group() <= group);
        if let Some((slot, node)) = self.nodes[..after].iter().enumerate().next_back()
            && node.covers(group)
        {
            return Cover::Node(slot, node);
        }
        match self.groups.binary_search_by_key(&group, |kept| kept.number) {
            Ok(slot) => Cover::Group(slot, &self.groups[slot]),
            Err(_) => Cover::Nothing,
        }
    }
}

impl fmt::Debug for SaltTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaltTree")
            .field("node_count", &self.nodes.len())
            .field("group_count", &self.groups.len())
            .finish_non_exhaustive()
    }
}

impl Node {
    const fn first_group(&self) -> u64 {
        self.position << (DEPTH - self.depth)
    }

    const fn covers(&self, group: u64) -> bool {
        group >> (DEPTH - self.depth) == self.position
    }

    /// The leaf of `group`, which this node covers; hands out the siblings met on the way down.
    fn descend(&self, group: u64, mut on_sibling: impl FnMut(Self)) -> [u8; 32] {
        let mut value = self.value;
        for depth in self.depth + 1..=DEPTH {
            let position = group >> (DEPTH - depth);
            let children = children(&value);
            let right = position & 1 == 1;
            let sibling = children[usize::from(!right)];
            on_sibling(Self { depth, position: position ^ 1, value: sibling });
            value = children[usize::from(right)];
        }
        value
    }
}

impl Group {
    /// The salt of entry `entry` of the group.
    fn salt(&self, entry: usize) -> Option<[u8; SALT_LEN]> {
        self.slot(entry).map(|slot| self.salts[slot])
    }

    fn erase(&mut self, entry: usize) {
        if let Some(slot) = self.slot(entry) {
            self.salts.remove(slot);
            self.kept &= !(1 << entry);
        }
    }

    /// Where the salt of an entry is among those that were kept.
    fn slot(&self, entry: usize) -> Option<usize> {
        let bit = 1 << entry;
        (self.kept & bit != 0).then(|| (self.kept & (bit - 1)).count_ones() as usize)
    }
}

/// The group of an entry, and the entry's number in it.
fn place(index: u64) -> (u64, usize) {
    (index / GROUP_LEN, (index % GROUP_LEN) as usize)
}

/// The children of a node, left and right: one compression (P-1).
fn children(node: &[u8; 32]) -> [[u8; 32]; 2] {
    let mut children = [[0; 32]; 2];
    let mut hasher = blake3::Hasher::new_keyed(node);
    hasher.update(b"annals v1 salt node").finalize_xof().fill(children.as_flattened_mut());
    children
}

/// The salts of a group: 16 compressions (P-2).
fn expand_group(leaf: &[u8; 32]) -> [[u8; SALT_LEN]; 64] {
    let mut salts = [[0; SALT_LEN]; 64];
    group_output(leaf).fill(salts.as_flattened_mut());
    salts
}

fn group_output(leaf: &[u8; 32]) -> blake3::OutputReader {
    blake3::Hasher::new_keyed(leaf).update(b"annals v1 salt group").finalize_xof()
}

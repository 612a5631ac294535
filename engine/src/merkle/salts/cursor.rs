//! Salts of many entries, mostly in order.

use std::fmt;

use super::{Cover, DEPTH, Node, SALT_LEN, SaltTree, children, expand_group, place};

const PATH_LEN: usize = DEPTH as usize + 1;

/// Gives the salts of one entry after the other. Holds the salts of the last group (1 KiB) and the
/// nodes above it, and allocates nothing.
///
/// In order, a group costs two compressions on average, and 16 for its salts; a jump at most 42 and
/// 16. What the cursor holds may outlive a puncture, but is not given out any more.
#[derive(Clone)]
pub struct SaltCursor {
    /// The node of the tree that the path starts from, and its number in the tree.
    origin: Option<(usize, Node)>,
    /// The group that `path` leads to and `salts` are of; means nothing without an origin.
    group: u64,
    /// The values of the nodes above the group by depth, from the origin's down to the leaf's.
    path: [[u8; 32]; PATH_LEN],
    salts: [[u8; SALT_LEN]; 64],
}

impl SaltCursor {
    /// A cursor that holds nothing yet.
    pub const fn new() -> Self {
        Self { origin: None, group: 0, path: [[0; 32]; PATH_LEN], salts: [[0; SALT_LEN]; 64] }
    }

    /// As [`SaltTree::salt`]. Each call may be for another tree.
    #[inline]
    pub fn salt(&mut self, tree: &SaltTree, index: u64) -> Option<[u8; SALT_LEN]> {
        let (group, entry) = place(index);
        // A puncture removes the node that it starts from. So while the tree has the origin, all
        // that was derived from it is good, whatever else happened to the tree.
        let origin = self.origin.as_ref();
        match origin.filter(|(slot, node)| tree.nodes.get(*slot) == Some(node)) {
            Some(_) if self.group == group => {}
            Some((_, node)) if node.covers(group) => {
                // Both groups are below the node at which their bits begin to differ.
                let bits = u64::BITS - (self.group ^ group).leading_zeros();
                self.seek(group, PATH_LEN - 1 - bits as usize);
            }
            _ => match tree.cover(group) {
                Cover::Node(slot, node) => {
                    let depth = usize::from(node.depth);
                    self.origin = Some((slot, *node));
                    self.path[depth] = node.value;
                    self.seek(group, depth);
                }
                Cover::Group(_, kept) => return kept.salt(entry),
                Cover::Nothing => return None,
            },
        }
        Some(self.salts[entry])
    }

    /// Goes to `group`, which is below the node at `depth` of the path.
    fn seek(&mut self, group: u64, depth: usize) {
        for depth in depth..PATH_LEN - 1 {
            let right = group >> (PATH_LEN - 2 - depth) & 1 == 1;
            self.path[depth + 1] = children(&self.path[depth])[usize::from(right)];
        }
        self.salts = expand_group(&self.path[PATH_LEN - 1]);
        self.group = group;
    }
}

impl Default for SaltCursor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SaltCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.origin.as_ref().map(|_| self.group);
        f.debug_struct("SaltCursor").field("group", &group).finish_non_exhaustive()
    }
}

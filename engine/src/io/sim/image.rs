//! What a machine stores: files and names, each as programs see it and as the disk holds it.
//!
//! Names are kept as files are (`inode`), but apart from them: the names that programs see, those that
//! are durable, and between them the operations of folders that were not synced. So a file can be durable
//! without a name, and a name without what was written to its file.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use super::{content::Content, history::Event, inode::Inode};

pub(super) type InodeId = u64;
pub(super) type Names = Arc<BTreeMap<PathBuf, Node>>;

/// What a name stands for. A folder has no content but the names that begin with its own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Node {
    Folder,
    File(InodeId),
}

/// A change of one folder.
#[derive(Clone)]
pub(super) struct PendingName {
    pub(super) seq: u64,
    folder: PathBuf,
    /// Made together: a rename within a folder is one operation.
    bindings: Vec<(PathBuf, Option<Node>)>,
}

/// Which pending operation.
#[derive(Clone, Copy)]
pub(super) enum Pending {
    /// The operation with this place in its file.
    File(InodeId, usize),
    /// The operation with this place among those of all names.
    Name(usize),
}

#[derive(Clone)]
pub(super) struct Image {
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) live: Names,
    pub(super) durable: Names,
    pub(super) name_ops: Arc<Vec<PendingName>>,
    next_inode: InodeId,
    next_seq: u64,
    /// Microseconds since 1970.
    pub(super) clock: i64,
    pub(super) seed: u64,
    /// How often random numbers were drawn.
    pub(super) drawn: u64,
}

impl PendingName {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        for (path, node) in &self.bindings {
            match node {
                Some(node) => drop(names.insert(path.clone(), *node)),
                None => drop(names.remove(path)),
            }
        }
    }
}

impl Image {
    pub(super) fn new(seed: u64, clock: i64) -> Self {
        Self {
            inodes: BTreeMap::new(),
            live: Names::default(),
            durable: Names::default(),
            name_ops: Arc::default(),
            next_inode: 0,
            next_seq: 0,
            clock,
            seed,
            drawn: 0,
        }
    }

    pub(super) fn node(&self, path: &Path) -> Option<Node> {
        if is_root(path) { Some(Node::Folder) } else { self.live.get(path).copied() }
    }

    /// The file at `path`.
    pub(super) fn file(&self, path: &Path) -> io::Result<InodeId> {
        match self.node(path) {
            Some(Node::File(id)) => Ok(id),
            Some(Node::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(self.missing(path)),
        }
    }

    /// Whether `path` is a folder.
    pub(super) fn check_folder(&self, path: &Path) -> io::Result<()> {
        match self.node(path) {
            Some(Node::Folder) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(self.missing(path)),
        }
    }

    /// Why there is nothing at `path`.
    fn missing(&self, path: &Path) -> io::Error {
        let below_file = path
            .ancestors()
            .skip(1)
            .any(|above| !is_root(above) && matches!(self.live.get(above), Some(Node::File(_))));
        if below_file {
            io::ErrorKind::NotADirectory.into()
        } else {
            io::ErrorKind::NotFound.into()
        }
    }

    /// Does what was called. Whatever can be refused is refused before anything changes.
    pub(super) fn apply(&mut self, event: &Event) -> io::Result<()> {
        let seq = &mut self.next_seq;
        match event {
            Event::Create { path } => self.create(path),
            Event::CreateDir { path } => self.create_dir(path),
            Event::Rename { from, to } => self.rename(from, to),
            Event::Remove { path } => {
                self.file(path)?;
                Arc::make_mut(&mut self.live).remove(path);
                self.push_name(folder_of(path), vec![(path.clone(), None)]);
                self.forget_unreachable();
                Ok(())
            }
            Event::SyncDir { path, lies } => self.sync_dir(path, *lies),
            Event::SetContent { path, bytes } => self.set_content(path, bytes),
            // In a replay nobody holds a handle, so a file without names is gone already.
            Event::Write { inode, offset, bytes } => match self.inodes.get_mut(inode) {
                Some(inode) => inode.write(seq, bytes, *offset),
                None => Ok(()),
            },
            Event::SetLen { inode, len } => {
                if let Some(inode) = self.inodes.get_mut(inode) {
                    inode.set_len(seq, *len);
                }
                Ok(())
            }
            Event::Sync { inode, outcome } => {
                if let Some(inode) = self.inodes.get_mut(inode) {
                    inode.sync(*outcome);
                }
                Ok(())
            }
        }
    }

    fn push_name(&mut self, folder: &Path, bindings: Vec<(PathBuf, Option<Node>)>) {
        let pending = PendingName { seq: self.next_seq, folder: folder.to_owned(), bindings };
        Arc::make_mut(&mut self.name_ops).push(pending);
        self.next_seq += 1;
    }

    fn bind_new(&mut self, path: &Path, node: Node) {
        Arc::make_mut(&mut self.live).insert(path.to_owned(), node);
        self.push_name(folder_of(path), vec![(path.to_owned(), Some(node))]);
    }

    fn new_inode(&mut self, inode: Inode) -> InodeId {
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        id
    }

    fn create(&mut self, path: &Path) -> io::Result<()> {
        self.check_folder(folder_of(path))?;
        if self.node(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.new_inode(Inode::default());
        self.bind_new(path, Node::File(id));
        Ok(())
    }

    fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        self.check_folder(folder_of(path))?;
        if self.node(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.bind_new(path, Node::Folder);
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = match self.file(from) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                return Err(io::ErrorKind::Unsupported.into());
            }
            result => result?,
        };
        self.check_folder(folder_of(to))?;
        if self.node(to) == Some(Node::Folder) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if from == to {
            return Ok(());
        }
        let live = Arc::make_mut(&mut self.live);
        live.remove(from);
        live.insert(to.to_owned(), Node::File(id));
        let unbound = (from.to_owned(), None);
        let bound = (to.to_owned(), Some(Node::File(id)));
        let (from_folder, to_folder) = (folder_of(from), folder_of(to));
        if from_folder == to_folder {
            self.push_name(to_folder, vec![unbound, bound]);
        } else {
            self.push_name(to_folder, vec![bound]);
            self.push_name(from_folder, vec![unbound]);
        }
        self.forget_unreachable();
        Ok(())
    }

    fn sync_dir(&mut self, path: &Path, lies: bool) -> io::Result<()> {
        self.check_folder(path)?;
        if lies || !self.name_ops.iter().any(|pending| pending.folder == path) {
            return Ok(());
        }
        let durable = Arc::make_mut(&mut self.durable);
        Arc::make_mut(&mut self.name_ops).retain(|pending| {
            let synced = pending.folder == path;
            if synced {
                pending.apply(durable);
            }
            !synced
        });
        self.forget_unreachable();
        Ok(())
    }

    /// Puts a file there, durable at once, and the folders above it.
    fn set_content(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let content = Content::from_bytes(bytes)?;
        let id = match self.file(path) {
            Ok(id) => {
                let inode = self.inodes.get_mut(&id).expect("a name has its file");
                inode.settle(content);
                id
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.new_inode(Inode::settled(content))
            }
            Err(error) => return Err(error),
        };
        let above = path.ancestors().skip(1).filter(|above| !is_root(above));
        let nodes = above.map(|above| (above, Node::Folder)).chain([(path, Node::File(id))]);
        for (path, node) in nodes {
            Arc::make_mut(&mut self.live).insert(path.to_owned(), node);
            Arc::make_mut(&mut self.durable).insert(path.to_owned(), node);
            let name_ops = Arc::make_mut(&mut self.name_ops);
            for pending in name_ops.iter_mut() {
                pending.bindings.retain(|(bound, _)| bound != path);
            }
            name_ops.retain(|pending| !pending.bindings.is_empty());
        }
        self.forget_unreachable();
        Ok(())
    }

    /// The files that a name stands for, or can stand for after a loss.
    fn reachable(&self) -> BTreeSet<InodeId> {
        let pending = self.name_ops.iter().flat_map(|pending| &pending.bindings);
        let pending = pending.filter_map(|(_, node)| *node);
        let nodes = self.live.values().chain(self.durable.values()).copied().chain(pending);
        nodes
            .filter_map(|node| match node {
                Node::File(id) => Some(id),
                Node::Folder => None,
            })
            .collect()
    }

    /// A handle to this file was dropped.
    pub(super) fn closed(&mut self, id: InodeId) {
        if !self.live.values().any(|node| *node == Node::File(id)) {
            self.forget_unreachable();
        }
    }

    /// Lets go of the files that nobody can come to any more.
    pub(super) fn forget_unreachable(&mut self) {
        let reachable = self.reachable();
        self.inodes.retain(|id, inode| inode.opened > 0 || reachable.contains(id));
    }

    /// All that is pending, in the order in which it was issued.
    pub(super) fn pending(&self) -> Vec<Pending> {
        let reachable = self.reachable();
        let mut found: Vec<(u64, Pending)> = Vec::new();
        for (id, inode) in self.inodes.iter().filter(|(id, _)| reachable.contains(id)) {
            let ops = inode.ops.iter().enumerate();
            found.extend(ops.map(|(at, pending)| (pending.seq, Pending::File(*id, at))));
        }
        let names = self.name_ops.iter().enumerate();
        found.extend(names.map(|(at, pending)| (pending.seq, Pending::Name(at))));
        found.sort_unstable_by_key(|(seq, _)| *seq);
        found.into_iter().map(|(_, pending)| pending).collect()
    }

    /// The same as if nobody had opened anything.
    pub(super) fn without_handles(mut self) -> Self {
        for inode in self.inodes.values_mut() {
            (inode.opened, inode.locked_shared, inode.locked) = (0, 0, false);
        }
        self.forget_unreachable();
        self
    }

    /// The machine that holds only this, all of it durable. Names below a folder that is not there are
    /// gone with it.
    pub(super) fn rebuilt(
        &self,
        names: &BTreeMap<PathBuf, Node>,
        mut content: impl FnMut(InodeId, &Inode) -> Content,
    ) -> Self {
        let found = |path: &Path| is_root(path) || names.get(path) == Some(&Node::Folder);
        let kept = names.iter().filter(|(path, _)| path.ancestors().skip(1).all(found));
        let kept: BTreeMap<_, _> = kept.map(|(path, node)| (path.clone(), *node)).collect();
        let mut inodes = BTreeMap::new();
        for node in kept.values() {
            let Node::File(id) = node else { continue };
            let inode = self.inodes.get(id).expect("a name has its file");
            inodes.entry(*id).or_insert_with(|| Inode::settled(content(*id, inode)));
        }
        let names = Arc::new(kept);
        Self {
            inodes,
            live: Arc::clone(&names),
            durable: names,
            name_ops: Arc::default(),
            next_inode: self.next_inode,
            next_seq: self.next_seq,
            clock: self.clock,
            seed: self.seed,
            drawn: self.drawn,
        }
    }

    /// The sum of the lengths of all files that have a name or are open.
    pub(super) fn used(&self) -> u64 {
        let named: BTreeSet<_> = self.live.values().collect();
        let held = self
            .inodes
            .iter()
            .filter(|(id, inode)| inode.opened > 0 || named.contains(&Node::File(**id)));
        held.map(|(_, inode)| inode.live.len()).sum()
    }

    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (path, node) in self.live.iter() {
            let name = path.as_os_str().as_encoded_bytes();
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
            match node {
                Node::Folder => drop(hasher.update(&[0])),
                Node::File(id) => {
                    hasher.update(&[1]);
                    self.inodes.get(id).expect("a name has its file").live.hash_into(&mut hasher);
                }
            }
        }
        *hasher.finalize().as_bytes()
    }
}

/// The path without what means nothing. Needless slashes may be left, as paths are compared by their parts.
/// There is no current folder but the root of relative paths.
pub(super) fn normalise(path: &Path) -> PathBuf {
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::RootDir);
    if path.components().all(is_plain) {
        return path.to_owned();
    }
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

/// The folder that holds the name.
fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The top of the relative or of the absolute paths: it is always there.
fn is_root(path: &Path) -> bool {
    path.parent().is_none() || path.as_os_str().is_empty()
}

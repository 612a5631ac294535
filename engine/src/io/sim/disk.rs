//! The machine as a [`Disk`].

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    SECTOR_LEN, SimDisk,
    content::Content,
    fault::{AfterFailedSync, Call, Effect},
    history::{Event, SyncOutcome},
    image::{Image, InodeId, Node, normalise},
    inode::Inode,
    loss::sectors_of,
    machine::Machine,
    random::Random,
};
use crate::{
    bytes::Timestamp,
    io::{Access, DirEntry, Disk, DiskFile, LockKind},
};

/// How far the clock goes on each time somebody looks, in microseconds.
const CLOCK_STEP: i64 = 1_000;

/// A handle to an inode.
struct SimFile {
    disk: SimDisk,
    inode: InodeId,
    /// The name under which it was opened.
    path: PathBuf,
    writes: bool,
    lock: Option<LockKind>,
}

impl SimDisk {
    fn handle(
        &self,
        machine: &mut Machine,
        inode: InodeId,
        path: PathBuf,
        writes: bool,
        lock: Option<LockKind>,
    ) -> Arc<dyn DiskFile> {
        let held = machine.image.inodes.get_mut(&inode).expect("a name has its file");
        held.opened += 1;
        match lock {
            Some(LockKind::Shared) => held.locked_shared += 1,
            Some(LockKind::Exclusive) => held.locked = true,
            None => {}
        }
        Arc::new(SimFile { disk: self.clone(), inode, path, writes, lock })
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let path = normalise(path);
        let mut machine = self.machine();
        let creates = access == Access::CreateNew;
        machine.begin(if creates { Call::Create } else { Call::Open }, &path)?;
        if creates {
            machine.change(Event::Create { path: path.clone() })?;
        }
        let inode = machine.image.file(&path)?;
        Ok(self.handle(&mut machine, inode, path, access != Access::Read, None))
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let path = normalise(path);
        let mut machine = self.machine();
        machine.begin(Call::Lock, &path)?;
        if kind == LockKind::Exclusive && machine.image.node(&path).is_none() {
            machine.change(Event::Create { path: path.clone() })?;
        }
        let id = machine.image.file(&path)?;
        let inode = machine.image.inodes.get(&id).expect("a name has its file");
        let excluded = match kind {
            LockKind::Shared => inode.locked,
            LockKind::Exclusive => inode.locked || inode.locked_shared > 0,
        };
        if excluded {
            return Ok(None);
        }
        let writes = kind == LockKind::Exclusive;
        Ok(Some(self.handle(&mut machine, id, path, writes, Some(kind))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normalise(from), normalise(to));
        let mut machine = self.machine();
        machine.begin(Call::Rename, &to)?;
        machine.change(Event::Rename { from, to })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = normalise(path);
        let mut machine = self.machine();
        machine.begin(Call::Remove, &path)?;
        machine.change(Event::Remove { path })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let path = normalise(path);
        let mut machine = self.machine();
        machine.begin(Call::CreateDir, &path)?;
        if machine.image.node(&path) == Some(Node::Folder) {
            return Ok(());
        }
        machine.change(Event::CreateDir { path })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let path = normalise(path);
        let mut machine = self.machine();
        machine.begin(Call::List, &path)?;
        machine.image.check_folder(&path)?;
        let names = machine.image.live.range(path.clone()..);
        let below = names.take_while(|(name, _)| name.starts_with(&path));
        let direct = below.filter(|(name, _)| name.parent() == Some(&path));
        Ok(direct.map(|(name, node)| entry(&machine.image, name, *node)).collect())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = normalise(path);
        let mut machine = self.machine();
        let lies = machine.begin(Call::SyncDir, &path)? == Some(Effect::Lie);
        machine.change(Event::SyncDir { path, lies })
    }

    fn now(&self) -> Timestamp {
        let mut machine = self.machine();
        machine.image.clock = machine.image.clock.saturating_add(CLOCK_STEP);
        Timestamp::from_micros(machine.image.clock)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut machine = self.machine();
        machine.begin(Call::Random, Path::new(""))?;
        let image = &mut machine.image;
        image.drawn += 1;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&image.seed.to_le_bytes()).update(&image.drawn.to_le_bytes());
        hasher.finalize_xof().fill(bytes);
        Ok(())
    }

    fn sleep(&self, duration: Duration) {
        let mut machine = self.machine();
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        machine.image.clock = machine.image.clock.saturating_add(micros);
        drop(machine);
        crate::sync::yield_now();
    }
}

fn entry(image: &Image, path: &Path, node: Node) -> DirEntry {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (is_dir, len) = match node {
        Node::Folder => (true, 0),
        Node::File(id) => (false, image.inodes.get(&id).map_or(0, |inode| inode.live.len())),
    };
    DirEntry { name, is_dir, len }
}

/// Changes what was read from `offset` on.
fn spoil(inode: &Inode, effect: Effect, chance: &mut Random, bytes: &mut [u8], offset: u64) {
    if bytes.is_empty() {
        return;
    }
    let sectors: Vec<_> = sectors_of(offset, bytes.len()).collect();
    let (start, end) = sectors[chance.place(sectors.len())];
    match effect {
        Effect::BitFlip => {
            let at = chance.place(bytes.len());
            bytes[at] ^= 1 << chance.below(8);
        }
        Effect::ZeroSector => bytes[start..end].fill(0),
        Effect::StaleSector => {
            let old = |content: &Content, (start, end): (usize, usize)| {
                let mut old = vec![0; end - start];
                content.read(&mut old, offset + start as u64);
                old
            };
            let differs = |content: &Content| {
                let mut sectors = sectors.iter().copied();
                sectors.find(|&(start, end)| old(content, (start, end)) != bytes[start..end])
            };
            let found = [&inode.durable, &inode.older]
                .into_iter()
                .find_map(|content| Some((content, differs(content)?)));
            if let Some((content, (start, end))) = found {
                let old = old(content, (start, end));
                bytes[start..end].copy_from_slice(&old);
            }
        }
        Effect::Error(_)
        | Effect::Short
        | Effect::FailedSync(_)
        | Effect::Lie
        | Effect::Misdirected => {}
    }
}

/// Some whole sectors beside `offset`, in a file of this length or right behind it.
fn beside(chance: &mut Random, offset: u64, len: u64) -> u64 {
    let sector_len = SECTOR_LEN as u64;
    let own = offset / sector_len;
    let sectors = len.div_ceil(sector_len).max(own + 1).max(2);
    // Any sector but its own.
    let other = (own + 1 + chance.below(sectors - 1)) % sectors;
    other * sector_len + offset % sector_len
}

impl SimFile {
    fn check_writes(&self) -> io::Result<()> {
        if self.writes { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    fn len_in(&self, machine: &Machine) -> u64 {
        machine.image.inodes.get(&self.inode).expect("an open file stays").live.len()
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut machine = self.disk.machine();
        let Some(inode) = machine.image.inodes.get_mut(&self.inode) else { return };
        inode.opened = inode.opened.saturating_sub(1);
        match self.lock {
            Some(LockKind::Shared) => {
                inode.locked_shared = inode.locked_shared.saturating_sub(1);
            }
            Some(LockKind::Exclusive) => inode.locked = false,
            None => {}
        }
        machine.image.closed(self.inode);
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("path", &self.path)
            .field("inode", &self.inode)
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut machine = self.disk.machine();
        let effect = machine.begin(Call::Read, &self.path)?;
        let Machine { image, chance, .. } = &mut *machine;
        let inode = image.inodes.get(&self.inode).expect("an open file stays");
        let wanted =
            if effect == Some(Effect::Short) { bytes.len().div_ceil(2) } else { bytes.len() };
        let len = inode.live.read(&mut bytes[..wanted], offset);
        if let Some(effect) = effect {
            spoil(inode, effect, chance, &mut bytes[..len], offset);
        }
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut machine = self.disk.machine();
        let effect = machine.begin(Call::Write, &self.path)?;
        self.check_writes()?;
        let mut offset = offset;
        let mut len = bytes.len();
        match effect {
            Some(Effect::Short) => len = len.div_ceil(2),
            Some(Effect::Misdirected) => {
                let file_len = self.len_in(&machine);
                offset = beside(&mut machine.chance, offset, file_len);
            }
            _ => {}
        }
        let file_len = self.len_in(&machine);
        let grows = offset.saturating_add(len as u64).saturating_sub(file_len);
        let free = machine.space_free();
        if grows > free {
            let over = usize::try_from(grows - free).unwrap_or(usize::MAX);
            len = len.saturating_sub(over);
            if len == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let bytes = Arc::from(&bytes[..len]);
        machine.change(Event::Write { inode: self.inode, offset, bytes })?;
        Ok(len)
    }

    fn len(&self) -> io::Result<u64> {
        let mut machine = self.disk.machine();
        machine.begin(Call::Len, &self.path)?;
        Ok(self.len_in(&machine))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut machine = self.disk.machine();
        machine.begin(Call::SetLen, &self.path)?;
        self.check_writes()?;
        let grows = len.saturating_sub(self.len_in(&machine));
        if grows > 0 && grows > machine.space_free() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        machine.change(Event::SetLen { inode: self.inode, len })
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.disk.machine();
        let outcome = match machine.begin(Call::Sync, &self.path)? {
            Some(Effect::Lie) => SyncOutcome::Lie,
            Some(Effect::FailedSync(AfterFailedSync::Clean)) => SyncOutcome::Forgotten,
            Some(Effect::FailedSync(AfterFailedSync::Reverted)) => SyncOutcome::Reverted,
            _ => SyncOutcome::Durable,
        };
        machine.change(Event::Sync { inode: self.inode, outcome })?;
        match outcome {
            SyncOutcome::Durable | SyncOutcome::Lie => Ok(()),
            SyncOutcome::Forgotten | SyncOutcome::Reverted => {
                Err(io::Error::other("Sync: a fault of the simulated disk"))
            }
        }
    }
}

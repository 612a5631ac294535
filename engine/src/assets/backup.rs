//! A copy of all packs, for a backup.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{StoreError, write_error},
    names,
    packs::Pack,
    pins,
    read::AssetReader,
    store::Store,
    walk::{Step, Walk},
};
use crate::{
    error::IoContext as _,
    io::{Access, temporary_name},
    pack::{PACK_HEAD_LEN, RecordHeader, RecordKind, encode_record},
    sync::MutexGuard,
};

/// Bytes that are copied at once.
const PART_LEN: u64 = 8 << 20;

/// What is to be copied. Nothing is collected as long as it lives.
pub(crate) struct PacksToCopy<'a> {
    store: &'a Arc<Store>,
    /// Names in `assets`, and how much of each file.
    files: Vec<(PathBuf, u64)>,
    _alone: MutexGuard<'a, ()>,
}

impl Store {
    /// Lets nothing be removed from now on.
    pub(crate) fn begin_copy(self: &Arc<Self>) -> PacksToCopy<'_> {
        PacksToCopy { store: self, files: Vec::new(), _alone: self.collecting.lock() }
    }

    /// All packs as they are now: what the logs claimed before this is in them.
    fn files_to_copy(&self) -> Result<Vec<(PathBuf, u64)>, StoreError> {
        if self.writable {
            self.sync()?;
        }
        let mut files: Vec<(PathBuf, u64)> = {
            let state = self.state.lock();
            let synced = state.active.as_ref().map(|a| (a.pack.header.number, a.synced));
            state
                .packs
                .iter()
                .map(|(number, info)| {
                    let len = synced.filter(|(active, _)| active == number);
                    (names::shared(*number).into(), len.map_or(info.covered_len, |(_, len)| len))
                })
                .collect()
        };
        for (id, len) in self.singles()? {
            files.push((names::single(&id), len));
        }
        Ok(files)
    }
}

impl PacksToCopy<'_> {
    /// Looks at what there is. Returns the bytes in all.
    pub(crate) fn look(&mut self) -> Result<u64, StoreError> {
        self.files = self.store.files_to_copy()?;
        Ok(self.files.iter().map(|(_, len)| len).sum())
    }

    /// Copies them into the folder of assets `to`, and verifies every asset in the copy: a backup of rot would be found
    /// when it is needed. `progress` is told bytes.
    pub(crate) fn copy(&self, to: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
        let store = self.store;
        let pins = store.pins();
        if self.files.is_empty() && pins.is_empty() {
            return Ok(());
        }
        store.make_folder_at(to)?;
        let mut done = 0;
        for (name, len) in &self.files {
            self.copy_file(name, *len, &to.join(name), &mut |copied| progress(done + copied))?;
            done += len;
        }
        if !pins.is_empty() {
            pins::store(&*store.disk, to, &pins)?;
        }
        Ok(store.disk.sync_dir(to).context(to, "sync")?)
    }

    fn copy_file(
        &self,
        name: &Path,
        len: u64,
        to: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let disk = &*self.store.disk;
        let from = self.store.folder.join(name);
        let source = disk.open(&from, Access::Read).context(&from, "open")?;
        let folder = to.parent().unwrap_or(Path::new("."));
        self.store.make_folder_at(folder)?;
        let temporary = temporary_name(to);
        let file = disk.open(&temporary, Access::CreateNew).context(&temporary, "create")?;
        let mut at = 0;
        while at < len {
            let part = source.copy_range(at, &*file, at, PART_LEN.min(len - at));
            match part.map_err(|error| write_error(&temporary, "copy", error))? {
                0 => break,
                copied => at += copied,
            }
            progress(at);
        }
        file.sync().context(&temporary, "sync")?;
        disk.rename(&temporary, to).context(to, "rename")?;
        disk.sync_dir(folder).context(folder, "sync")?;
        self.check(to, len)
    }

    /// Verifies a copied pack; a shared one that was being written gets the mark that its writer will add later.
    fn check(&self, path: &Path, len: u64) -> Result<(), StoreError> {
        let disk = &*self.store.disk;
        let pack = Pack::open(disk, path, Access::Write, self.store.workspace)?;
        let mut walk = Walk::new(Arc::clone(&pack.file), pack.crc, PACK_HEAD_LEN, len);
        let mut last = None;
        while let Some(step) = walk.step().context(path, "read")? {
            let Step::Record(header) = step else {
                last = None;
                continue;
            };
            last = Some(header.kind);
            let counts = || {
                let state = self.store.state.lock();
                let spot = (pack.header.number, header.offset);
                state.places.of(&header.id.into()).iter().any(|place| place.spot() == spot)
            };
            let is_single = pack.header.number == 0;
            if header.kind == RecordKind::Asset && (is_single || counts()) {
                AssetReader::of_record(&pack, &header).verify(&mut |_| true)?;
            }
        }
        let is_shared = pack.header.number > 0;
        if is_shared && last.is_some_and(|kind| kind != RecordKind::Mark) {
            let mark = encode_record(RecordHeader::mark().at(len, len), &[], &[], pack.crc);
            pack.file.write_all_at(&mark, len).map_err(|e| write_error(path, "write", e))?;
            pack.file.sync().context(path, "sync")?;
        }
        Ok(())
    }
}

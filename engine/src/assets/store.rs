//! The packs of one workspace: what is where, and one writer that adds to them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::StoreError,
    names,
    packs::{Pack, PackInfo},
    pins,
    places::{Place, Places},
};
use crate::{
    asset::AssetId,
    bytes::{ClientId, WorkspaceId},
    error::{IoContext as _, IoError},
    io::{Access, DirEntry, Disk},
    pack::{ChunkDecoder, ChunkEncoder},
    sync::{Condvar, Mutex, MutexGuard},
};

/// Packs that are kept open for reading.
const OPEN_COUNT_MAX: usize = 64;

/// How assets are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreOptions {
    /// Longer assets get a pack of their own.
    pub(crate) single_min: usize,
    /// Level of zstd.
    pub(crate) level: i32,
    /// A shared pack that is this long is left for the next one.
    pub(crate) shared_len_max: u64,
}

/// The packs of one workspace.
///
/// Knows bytes and ids. What they are for, and which are still needed, is in the logs, which it does not know.
#[derive(Debug)]
pub(crate) struct Store {
    pub(super) disk: Arc<dyn Disk>,
    /// `assets` in the folder of the workspace.
    pub(super) folder: PathBuf,
    /// `cache/assets` there.
    pub(super) cache: PathBuf,
    pub(super) workspace: WorkspaceId,
    pub(super) client: ClientId,
    pub(super) writable: bool,
    pub(super) options: StoreOptions,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    handles: Mutex<VecDeque<Arc<Pack>>>,
    pub(super) encoders: Mutex<Vec<ChunkEncoder>>,
    pub(super) decoders: Mutex<Vec<ChunkDecoder>>,
    /// Held while garbage is collected.
    pub(super) collecting: Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The shared packs that can be used.
    pub(super) packs: BTreeMap<u64, PackInfo>,
    /// The highest number of a shared pack, whether it can be used or not.
    pub(super) last_number: u64,
    /// Shared packs that cannot be used, and why.
    pub(super) unusable: Vec<(PathBuf, StoreError)>,
    pub(super) places: Places,
    /// The index on disk lacks so many records.
    pub(super) unindexed: usize,
    pub(super) active: Option<Active>,
    /// Somebody syncs the active pack.
    pub(super) syncing: bool,
    pub(super) poisoned: Option<Arc<IoError>>,
    pub(super) leases: HashMap<AssetId, usize>,
    /// What was leased since a collection began.
    pub(super) touched: Option<HashSet<AssetId>>,
    /// Ids that somebody is just storing.
    storing: HashSet<AssetId>,
    /// Partial assets that somebody has open.
    pub(super) partial: HashSet<AssetId>,
    /// Temporary files that are being written.
    pub(super) unfinished: HashSet<String>,
    pub(super) pins: BTreeSet<AssetId>,
    /// What is pinned is not known: nothing may be removed.
    pub(super) pins_damaged: bool,
    /// Folders of single packs whose names are known to be durable.
    pub(super) settled_folders: HashSet<String>,
}

/// The shared pack that records are added to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) pack: Arc<Pack>,
    /// Where this opening began to write.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) synced: u64,
    /// What the last record states as synced; and the same of those that are synced themselves.
    pub(super) stated_upto: u64,
    pub(super) settled_upto: u64,
}

/// Keeps an asset from being collected as long as it lives.
#[derive(Debug)]
pub(crate) struct Lease {
    store: Arc<Store>,
    id: AssetId,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.store.state.lock();
        if let Some(count) = state.leases.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                state.leases.remove(&self.id);
            }
        }
    }
}

/// The right to store an asset, which one thread has at a time.
pub(super) struct Storing<'a> {
    store: &'a Store,
    id: AssetId,
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        self.store.state.lock().storing.remove(&self.id);
        self.store.changed.notify_all();
    }
}

impl Store {
    /// Opens what is in the folder of a workspace; there may be nothing yet. Reads the index, and what it does not cover.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        (workspace, client): (WorkspaceId, ClientId),
        writable: bool,
        options: StoreOptions,
    ) -> Result<Arc<Self>, StoreError> {
        let assets = folder.join("assets");
        let store = Self {
            disk,
            cache: folder.join("cache").join("assets"),
            workspace,
            client,
            writable,
            options,
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
            handles: Mutex::new(VecDeque::new()),
            encoders: Mutex::new(Vec::new()),
            decoders: Mutex::new(Vec::new()),
            collecting: Mutex::new(()),
            folder: assets,
        };
        store.load()?;
        Ok(Arc::new(store))
    }

    /// Reads what is on the disk now.
    pub(crate) fn load(&self) -> Result<(), StoreError> {
        let found = self.survey()?;
        let (pins, pins_damaged) = match pins::load(&*self.disk, &self.folder) {
            Err(StoreError::Pins(_)) => (BTreeSet::new(), true),
            result => (result?, false),
        };
        let mut state = self.state.lock();
        state.packs = found.packs;
        state.last_number = found.last_number;
        state.unusable = found.unusable;
        state.places = found.places;
        state.unindexed = found.unindexed;
        state.pins = pins;
        state.pins_damaged = pins_damaged;
        Ok(())
    }

    /// Whether a reader had to look again: then what it knew was of packs that are gone.
    pub(super) fn reload_as_reader(&self) -> Result<bool, StoreError> {
        if self.writable {
            return Ok(false);
        }
        self.handles.lock().clear();
        self.load()?;
        Ok(true)
    }

    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        if self.writable { Ok(()) } else { Err(StoreError::ReadOnly) }
    }

    /// The shared pack `number`, open for reading.
    pub(super) fn pack(&self, number: u64) -> Result<Arc<Pack>, StoreError> {
        let mut handles = self.handles.lock();
        if let Some(at) = handles.iter().position(|pack| pack.header.number == number) {
            let pack = handles.remove(at).expect("it was just found");
            handles.push_front(Arc::clone(&pack));
            return Ok(pack);
        }
        drop(handles);
        let path = self.folder.join(names::shared(number));
        let pack = Arc::new(Pack::open(&*self.disk, &path, Access::Read, self.workspace)?);
        let mut handles = self.handles.lock();
        handles.push_front(Arc::clone(&pack));
        handles.truncate(OPEN_COUNT_MAX);
        Ok(pack)
    }

    pub(super) fn close_handle(&self, number: u64) {
        self.handles.lock().retain(|pack| pack.header.number != number);
    }

    /// The single pack of `id`, if there is one.
    pub(super) fn single(&self, id: &AssetId) -> Result<Option<Pack>, StoreError> {
        let path = self.folder.join(names::single(id));
        match Pack::open(&*self.disk, &path, Access::Read, self.workspace) {
            Err(StoreError::Io(error)) if error.source.kind() == ErrorKind::NotFound => Ok(None),
            result => result.map(Some),
        }
    }

    pub(super) fn has_single(&self, id: &AssetId) -> Result<bool, StoreError> {
        let path = self.folder.join(names::single(id));
        match self.disk.open(&path, Access::Read) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(IoError::new(&path, "open", error).into()),
        }
    }

    /// The record of `id` in a shared pack that is read first.
    pub(crate) fn place(&self, id: &AssetId) -> Option<Place> {
        self.state.lock().places.last(id)
    }

    /// Whether all bytes of the asset are here, as far as names and headers tell.
    pub(crate) fn has(&self, id: &AssetId) -> Result<bool, StoreError> {
        if self.place(id).is_some() {
            return Ok(true);
        }
        self.has_single(id)
    }

    /// Size of the content, if it is here.
    pub(crate) fn size(&self, id: &AssetId) -> Result<Option<u64>, StoreError> {
        if let Some(place) = self.place(id) {
            return Ok(Some(place.size));
        }
        match self.single(id)? {
            Some(pack) => Ok(Some(pack.single_record(id)?.size)),
            None => Ok(None),
        }
    }

    /// Keeps `id` from being collected, whether it is here or not.
    pub(crate) fn lease(self: &Arc<Self>, id: AssetId) -> Lease {
        let mut state = self.state.lock();
        *state.leases.entry(id).or_default() += 1;
        if let Some(touched) = &mut state.touched {
            touched.insert(id);
        }
        drop(state);
        Lease { store: Arc::clone(self), id }
    }

    /// Waits until nobody else stores `id`.
    pub(super) fn begin_storing(&self, id: AssetId) -> Storing<'_> {
        let mut state = self.state.lock();
        while !state.storing.insert(id) {
            self.changed.wait(&mut state);
        }
        Storing { store: self, id }
    }

    /// Files in the folder of assets; nothing if there is no such folder.
    pub(super) fn list(&self, folder: &Path) -> Result<Vec<DirEntry>, StoreError> {
        match self.disk.list(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            result => Ok(result.context(folder, "list")?),
        }
    }

    /// The single packs: id, length of the file.
    pub(crate) fn singles(&self) -> Result<Vec<(AssetId, u64)>, StoreError> {
        let mut singles = Vec::new();
        for folder in self.list(&self.folder)?.into_iter().filter(names::is_single_folder) {
            for entry in self.list(&self.folder.join(&folder.name))? {
                if let Some(id) = names::single_of(&folder.name, &entry) {
                    singles.push((id, entry.len));
                }
            }
        }
        Ok(singles)
    }

    /// All assets that are here whole, with the size of each: those of shared packs, then those of single ones.
    pub(crate) fn present(&self) -> Result<Vec<(AssetId, u64)>, StoreError> {
        let mut present: Vec<(AssetId, u64)> =
            self.state.lock().places.ids().map(|(id, place)| (id, place.size)).collect();
        let shared: HashSet<AssetId> = present.iter().map(|(id, _)| *id).collect();
        for (id, _) in self.singles()? {
            if !shared.contains(&id)
                && let Some(pack) = self.single(&id)?
            {
                // One whose record cannot be read is here, and says nothing of its size.
                present.push((id, pack.single_record(&id).map_or(0, |record| record.size)));
            }
        }
        Ok(present)
    }

    pub(crate) fn unusable(&self) -> Vec<(PathBuf, StoreError)> {
        self.state.lock().unusable.clone()
    }

    pub(crate) fn is_pinned(&self, id: &AssetId) -> bool {
        self.state.lock().pins.contains(id)
    }

    /// Refuses to go on if nobody knows what is pinned.
    pub(crate) fn check_pins(&self) -> Result<(), StoreError> {
        let damaged = self.state.lock().pins_damaged;
        if damaged { Err(StoreError::Pins(self.folder.join("pins"))) } else { Ok(()) }
    }

    pub(crate) fn pins(&self) -> BTreeSet<AssetId> {
        self.state.lock().pins.clone()
    }

    /// Pins or unpins; says whether that changed anything. Durable when it returns.
    pub(crate) fn set_pinned(&self, id: AssetId, pinned: bool) -> Result<bool, StoreError> {
        self.check_writable()?;
        self.check_pins()?;
        let mut state = self.state.lock();
        let changes = if pinned { state.pins.insert(id) } else { state.pins.remove(&id) };
        if changes {
            let stored = self
                .make_folder()
                .and_then(|()| pins::store(&*self.disk, &self.folder, &state.pins));
            if let Err(error) = stored {
                if pinned {
                    state.pins.remove(&id)
                } else {
                    state.pins.insert(id)
                };
                return Err(error);
            }
        }
        Ok(changes)
    }

    pub(super) fn is_leased(state: &MutexGuard<'_, State>, id: &AssetId) -> bool {
        state.leases.contains_key(id)
    }

    /// Creates the folder of assets, durably, if it is missing.
    pub(super) fn make_folder(&self) -> Result<(), StoreError> {
        self.make_folder_at(&self.folder)
    }

    pub(super) fn make_folder_at(&self, folder: &Path) -> Result<(), StoreError> {
        if self.disk.list(folder).is_ok() {
            return Ok(());
        }
        self.disk.create_dir(folder).map_err(|e| super::error::write_error(folder, "create", e))?;
        let parent = folder.parent().unwrap_or(Path::new("."));
        Ok(self.disk.sync_dir(parent).context(parent, "sync")?)
    }

    pub(super) fn poison(&self, state: &mut MutexGuard<'_, State>, error: IoError) -> StoreError {
        let error = Arc::new(error);
        state.poisoned = Some(Arc::clone(&error));
        self.changed.notify_all();
        StoreError::Poisoned(error)
    }
}

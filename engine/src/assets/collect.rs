//! Taking back the room of what nobody needs any more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{
    error::{StoreError, write_error},
    names,
    packs::Pack,
    places::Place,
    read::AssetReader,
    shared::{crc_later, somewhere},
    store::{State, Store},
    walk::{Step, Walk},
};
use crate::{
    asset::AssetId,
    error::{IoContext as _, IoError},
    io::Access,
    pack::{PACK_HEAD_LEN, RecordHeader, RecordKind, encode_record},
    sync::MutexGuard,
};

/// So many shared packs that are nearly empty become one.
const SMALL_COUNT_MIN: usize = 8;

/// What a collection does, and how far it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    /// A shared pack is written anew if at least this part of it, in percent, is not needed.
    pub(crate) waste_percent_min: u64,
    /// Shared packs below this length are put together, if there are several.
    pub(crate) small_len: u64,
    /// All that is needed is here: then bytes that look like what a crash leaves are that.
    pub(crate) all_are_here: bool,
}

/// What a collection did, or would do.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct CollectReport {
    /// Assets whose bytes were removed.
    pub removed_assets: u64,
    /// Length of their content.
    pub removed_content: u64,
    /// Bytes that the files of packs are shorter by.
    pub freed_bytes: u64,
    /// Assets that are kept.
    pub kept_assets: u64,
    /// Assets that are not needed, and whose room is not worth the writing yet.
    pub waiting_assets: u64,
    /// Bytes of records that stay for that reason, those of older copies among them.
    pub waiting_bytes: u64,
    /// Files of packs that were removed.
    pub removed_packs: u64,
    /// Bytes that were written to keep what shared a pack with what was removed.
    pub copied_bytes: u64,
    /// Files that were removed because nobody finished them.
    pub unfinished_files: u64,
    /// Packs that stay although they should go: they hold damaged assets that are still needed, or cannot be used.
    pub skipped_packs: Vec<std::path::PathBuf>,
    /// There was no room to write what shares a pack with what is not needed: some of it stays.
    pub disk_full: bool,
}

/// What one shared pack holds.
#[derive(Debug, Default)]
struct Tally {
    live: Vec<(AssetId, Place)>,
    dead: Vec<(AssetId, Place)>,
    live_len: u64,
}

/// A collection that is under way. What is leased from its beginning on is kept.
pub(crate) struct Collection<'a> {
    store: &'a Arc<Store>,
    leased: HashSet<AssetId>,
    _alone: crate::sync::MutexGuard<'a, ()>,
}

impl Drop for Collection<'_> {
    fn drop(&mut self) {
        self.store.state.lock().touched = None;
    }
}

impl Store {
    /// Begins a collection. What is needed has to be found out after this, not before: whoever stores something now
    /// holds a lease until the logs say that it is needed.
    pub(crate) fn begin_collection(self: &Arc<Self>) -> Result<Collection<'_>, StoreError> {
        self.check_writable()?;
        self.check_pins()?;
        let alone = self.collecting.lock();
        let mut state = self.state.lock();
        state.touched = Some(HashSet::new());
        let leased = Self::leased(&state);
        drop(state);
        Ok(Collection { store: self, leased, _alone: alone })
    }
}

impl Collection<'_> {
    fn is_kept(&self, state: &MutexGuard<'_, State>, id: &AssetId) -> bool {
        self.leased.contains(id)
            || state.pins.contains(id)
            || Store::is_leased(state, id)
            || state.touched.as_ref().is_some_and(|touched| touched.contains(id))
    }

    /// Removes what `needs` does not want. Needs no room for what goes as a whole, and does that first.
    ///
    /// `progress` is told bytes done and bytes in all, and ends it by answering `false`.
    pub(crate) fn run(
        &self,
        needs: &dyn Fn(&AssetId) -> bool,
        thresholds: Thresholds,
        dry_run: bool,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<CollectReport, StoreError> {
        let unusable = self.store.unusable().into_iter().map(|(path, _)| path);
        let mut report =
            CollectReport { skipped_packs: unusable.collect(), ..CollectReport::default() };
        self.unfinished_files(dry_run, &mut report)?;
        self.singles(needs, dry_run, &mut report)?;
        let (mut tallies, lens) = self.tally(needs);
        let mut gone: HashMap<AssetId, u64> = HashMap::new();
        for tally in tallies.values() {
            report.kept_assets += tally.live.len() as u64;
            gone.extend(tally.dead.iter().map(|(id, place)| (*id, place.size)));
        }
        for tally in tallies.values() {
            for (id, _) in &tally.live {
                gone.remove(id);
            }
        }
        let chosen = self.choose(&tallies, &lens, thresholds);
        let total: u64 = chosen.iter().map(|number| lens[number]).sum();
        let mut done = 0;
        for number in chosen {
            let Some(tally) = tallies.remove(&number) else { continue };
            if !progress(done, total) {
                return Err(StoreError::Cancelled);
            }
            done += lens[&number];
            let fits = !report.disk_full || tally.live.is_empty();
            let went = fits
                && (dry_run
                    || self.replace_pack(number, needs, thresholds.all_are_here, &mut report)?);
            if !went {
                tallies.insert(number, tally);
                continue;
            }
            report.removed_packs += 1;
            report.freed_bytes += lens[&number];
            if dry_run {
                report.copied_bytes += tally.live_len;
            }
        }
        progress(total, total);
        // What is still in some pack waits; the rest is gone.
        for (id, place) in tallies.values().flat_map(|tally| &tally.dead) {
            report.waiting_bytes += place.record_len;
            report.waiting_assets += u64::from(gone.remove(id).is_some());
        }
        report.removed_assets += gone.len() as u64;
        report.removed_content += gone.values().sum::<u64>();
        report.freed_bytes = report.freed_bytes.saturating_sub(report.copied_bytes);
        if !dry_run {
            match self.store.persist_index(report.removed_packs > 0) {
                Err(StoreError::DiskFull(_)) => {}
                result => result?,
            }
        }
        Ok(report)
    }

    /// Writes these shared packs anew with all that counts in them, so that nothing else is left.
    pub(crate) fn rewrite(&self, numbers: &[u64]) -> Result<(), StoreError> {
        let mut report = CollectReport::default();
        for number in numbers {
            if !self.store.state.lock().packs.contains_key(number) {
                continue;
            }
            let went = self.replace_pack(*number, &|_| true, false, &mut report)?;
            if !went {
                let path = self.store.folder.join(names::shared(*number));
                return Err(StoreError::NotRewritten(path));
            }
        }
        self.store.persist_index(true)
    }

    /// Files that nobody is writing.
    fn unfinished_files(
        &self,
        dry_run: bool,
        report: &mut CollectReport,
    ) -> Result<(), StoreError> {
        let store = self.store;
        let mut folders = vec![store.folder.clone()];
        let entries = store.list(&store.folder)?;
        let singles = entries.iter().filter(|entry| names::is_single_folder(entry));
        folders.extend(singles.map(|entry| store.folder.join(&entry.name)));
        for folder in folders {
            let mut changed = false;
            for entry in store.list(&folder)?.iter().filter(|entry| names::is_unfinished(entry)) {
                // A new shared pack and the pins are written with the state locked.
                let state = store.state.lock();
                let still_there = store.list(&folder)?.iter().any(|e| e.name == entry.name);
                if !still_there || state.unfinished.contains(&entry.name) {
                    continue;
                }
                report.unfinished_files += 1;
                report.freed_bytes += entry.len;
                if !dry_run {
                    let path = folder.join(&entry.name);
                    store.disk.remove(&path).context(&path, "remove")?;
                    changed = true;
                }
            }
            if changed {
                store.disk.sync_dir(&folder).context(&folder, "sync")?;
            }
        }
        Ok(())
    }

    /// Single packs and partial assets: each goes as a file.
    fn singles(
        &self,
        needs: &dyn Fn(&AssetId) -> bool,
        dry_run: bool,
        report: &mut CollectReport,
    ) -> Result<(), StoreError> {
        let store = self.store;
        for folder in store.list(&store.folder)?.into_iter().filter(names::is_single_folder) {
            let path = store.folder.join(&folder.name);
            let mut removed = false;
            for entry in store.list(&path)? {
                let end = [".pack", ".partial", ".have"]
                    .into_iter()
                    .find_map(|end| Some((end, names::of_end(&folder.name, &entry, end)?)));
                let Some((end, id)) = end else { continue };
                let is_pack = end == ".pack";
                if needs(&id) {
                    report.kept_assets += u64::from(is_pack);
                    continue;
                }
                let content = if is_pack { store.size(&id).ok().flatten() } else { None };
                let state = store.state.lock();
                if self.is_kept(&state, &id) {
                    report.kept_assets += u64::from(is_pack);
                    continue;
                }
                report.removed_assets += u64::from(is_pack);
                report.removed_packs += u64::from(is_pack);
                report.removed_content += content.unwrap_or(0);
                report.freed_bytes += entry.len;
                if !dry_run {
                    let path = path.join(&entry.name);
                    store.disk.remove(&path).context(&path, "remove")?;
                    removed = true;
                }
            }
            if removed {
                store.disk.sync_dir(&path).context(&path, "sync")?;
            }
        }
        Ok(())
    }

    /// What each shared pack holds, and how long its file is.
    fn tally(&self, needs: &dyn Fn(&AssetId) -> bool) -> (HashMap<u64, Tally>, HashMap<u64, u64>) {
        let state = self.store.state.lock();
        let lens = state.packs.iter().map(|(number, info)| (*number, info.len)).collect();
        let mut tallies: HashMap<u64, Tally> =
            state.packs.keys().map(|number| (*number, Tally::default())).collect();
        for (id, place) in state.places.all() {
            let Some(tally) = tallies.get_mut(&place.number) else { continue };
            self.count(tally, &state, needs, id, place);
        }
        (tallies, lens)
    }

    /// The packs to be replaced: those first that need no room.
    fn choose(
        &self,
        tallies: &HashMap<u64, Tally>,
        lens: &HashMap<u64, u64>,
        thresholds: Thresholds,
    ) -> Vec<u64> {
        let (last_number, dropped) = {
            let state = self.store.state.lock();
            let dropped: HashSet<u64> = state.places.drops().map(|(target, _)| target.0).collect();
            (state.last_number, dropped)
        };
        let used = |number: &u64| lens[number].saturating_sub(PACK_HEAD_LEN);
        let wasteful = |number: &u64, tally: &Tally| {
            // Marks alone, and drops that are still needed, are no waste that writing it anew would save.
            let has_waste = !tally.dead.is_empty() || dropped.contains(number);
            let waste = used(number).saturating_sub(tally.live_len);
            (has_waste && waste * 100 >= used(number) * thresholds.waste_percent_min)
                || (tally.live.is_empty() && (has_waste || *number != last_number))
        };
        let mut chosen: Vec<u64> =
            tallies.iter().filter(|(n, tally)| wasteful(n, tally)).map(|(n, _)| *n).collect();
        let small: Vec<u64> =
            lens.iter().filter(|(_, len)| **len < thresholds.small_len).map(|(n, _)| *n).collect();
        if small.len() >= SMALL_COUNT_MIN {
            chosen.extend(small);
        }
        chosen.sort_unstable_by_key(|number| (tallies[number].live_len, *number));
        chosen.dedup();
        chosen
    }

    /// Writes what is needed of a pack elsewhere, and removes it (K-12). Answers whether it is gone.
    fn replace_pack(
        &self,
        number: u64,
        needs: &dyn Fn(&AssetId) -> bool,
        all_are_here: bool,
        report: &mut CollectReport,
    ) -> Result<bool, StoreError> {
        match self.copy_live(number, needs, all_are_here) {
            Ok(Some(copied)) => report.copied_bytes += copied,
            Ok(None) => {
                report.skipped_packs.push(self.store.folder.join(names::shared(number)));
                return Ok(false);
            }
            Err(StoreError::DiskFull(_)) => {
                report.disk_full = true;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        self.store.sync()?;
        let path = self.store.folder.join(names::shared(number));
        let mut state = self.store.state.lock();
        // Looked at again: somebody may have begun to need what was not needed.
        let rest = self.in_pack(&state, number, needs);
        if !rest.live.is_empty() {
            return Ok(false);
        }
        for (id, place) in &rest.dead {
            state.places.forget(id, place.spot());
        }
        state.packs.remove(&number);
        state.places.retain_packs(|other| other != number);
        self.store.close_handle(number);
        if let Err(error) = self.store.disk.remove(&path) {
            return Err(IoError::new(&path, "remove", error).into());
        }
        drop(state);
        let folder = &self.store.folder;
        self.store.disk.sync_dir(folder).context(folder, "sync")?;
        Ok(true)
    }

    /// What is in one pack now.
    fn in_pack(
        &self,
        state: &MutexGuard<'_, State>,
        number: u64,
        needs: &dyn Fn(&AssetId) -> bool,
    ) -> Tally {
        let mut tally = Tally::default();
        for (id, place) in state.places.all().filter(|(_, place)| place.number == number) {
            self.count(&mut tally, state, needs, id, place);
        }
        tally.live.sort_unstable_by_key(|(_, place)| place.offset);
        tally
    }

    fn count(
        &self,
        tally: &mut Tally,
        state: &MutexGuard<'_, State>,
        needs: &dyn Fn(&AssetId) -> bool,
        id: AssetId,
        place: Place,
    ) {
        let is_newest = state.places.last(&id) == Some(place);
        if is_newest && (needs(&id) || self.is_kept(state, &id)) {
            tally.live.push((id, place));
            tally.live_len += place.record_len;
        } else {
            tally.dead.push((id, place));
        }
    }

    /// Adds what is needed of a pack to another one; says how many bytes. `None` if something in it is damaged that may
    /// be needed: then it stays as it is.
    fn copy_live(
        &self,
        number: u64,
        needs: &dyn Fn(&AssetId) -> bool,
        all_are_here: bool,
    ) -> Result<Option<u64>, StoreError> {
        let store = self.store;
        let tally = {
            let mut state = store.state.lock();
            while state.syncing {
                store.changed.wait(&mut state);
            }
            let is_active =
                state.active.as_ref().is_some_and(|active| active.pack.header.number == number);
            if is_active {
                store.leave_active(&mut state)?;
            }
            if state.last_number == number {
                // Its number must not come again (K-9), nor may anything be added to it.
                store.begin_pack(&mut state)?;
            }
            // Only now: what others added until then is in it too.
            self.in_pack(&state, number, needs)
        };
        let path = store.folder.join(names::shared(number));
        let pack = Pack::open(&*store.disk, &path, Access::Read, store.workspace)?;
        let Some(drops) = drops_of(&pack, all_are_here)? else { return Ok(None) };
        let mut copied = 0;
        for (id, place) in &tally.live {
            let len = usize::try_from(place.record_len).unwrap_or(usize::MAX);
            let mut record = pack.file.read_vec_at(place.offset, len).context(&path, "read")?;
            let header = pack.record_in(id, place.offset, record.get(..96).unwrap_or(&[]));
            // What is damaged is not made to look new: its pack stays.
            let sound = header.and_then(|header| {
                AssetReader::of_record(&pack, &header).verify(&mut |_| true).map(|()| header)
            });
            let header = match sound {
                Ok(header) => header,
                Err(StoreError::Corrupt(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            let state = store.state.lock();
            let is_wanted = needs(id) || self.is_kept(&state, id);
            drop(state);
            if is_wanted {
                record.truncate(len);
                copied += record.len() as u64;
                store.append_asset(&header, record)?;
            }
        }
        // Drops are needed as long as the pack is there that they are about (K-12).
        for header in drops {
            let Some(target) = header.dropped() else { continue };
            let mut state = store.state.lock();
            if target.0 == number || !state.packs.contains_key(&target.0) {
                continue;
            }
            let mut record = encode_record(somewhere(header), &[], &[], crc_later());
            let by = store.append(&mut state, &mut record)?;
            state.places.drop(&AssetId::from(header.id), target, by);
        }
        Ok(Some(copied))
    }
}

/// The drops of a pack. `None` if bytes of it are damaged: below what was synced in any case, behind it unless
/// `all_are_here`, so that they are what a crash left.
fn drops_of(pack: &Pack, all_are_here: bool) -> Result<Option<Vec<RecordHeader>>, StoreError> {
    let mut walk = Walk::new(Arc::clone(&pack.file), pack.crc, PACK_HEAD_LEN, pack.len()?);
    let (mut drops, mut bad) = (Vec::new(), Vec::new());
    while let Some(step) = walk.step().context(&pack.path, "read")? {
        match step {
            Step::Record(header) if header.kind == RecordKind::Drop => drops.push(header),
            Step::Record(_) => {}
            Step::Bad { bytes, .. } => bad.push(bytes.start),
        }
    }
    let is_damage = |start: &u64| *start < walk.synced_upto() || !all_are_here;
    Ok((!bad.iter().any(is_damage)).then_some(drops))
}

/// What was removed of one asset.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    /// Bytes in packs.
    pub(crate) freed: u64,
    /// The shared packs in which they still stand, and no longer count.
    pub(crate) packs: Vec<u64>,
}

impl Store {
    /// Removes all bytes of an asset that are here, whatever the logs say. Durable when it returns.
    ///
    /// A single pack and what is partial are unlinked; a record of a shared pack is dropped, and its room is taken back
    /// by a collection.
    pub(crate) fn remove(self: &Arc<Self>, id: &AssetId) -> Result<Removed, StoreError> {
        self.check_writable()?;
        let _storing = self.begin_storing(*id);
        let dropped = self.drop_records(id)?;
        let mut freed = dropped.iter().map(|place| place.record_len).sum();
        for end in ["pack", "partial", "have"] {
            let path = self.folder.join(names::of(id, end));
            let Ok(file) = self.disk.open(&path, Access::Read) else { continue };
            freed += file.len().context(&path, "read the length of")?;
            drop(file);
            self.disk.remove(&path).map_err(|error| write_error(&path, "remove", error))?;
            let folder = path.parent().unwrap_or(&self.folder);
            self.disk.sync_dir(folder).context(folder, "sync")?;
        }
        Ok(Removed { freed, packs: dropped.iter().map(|place| place.number).collect() })
    }

    pub(super) fn leased(state: &MutexGuard<'_, State>) -> HashSet<AssetId> {
        state.leases.keys().copied().collect()
    }
}

//! Adding to the shared packs: many assets, one sync.

use std::sync::Arc;

use super::{
    error::{StoreError, write_error},
    names,
    packs::{Pack, PackInfo},
    places::{Place, Spot},
    store::{Active, State, Store},
};
use crate::{
    asset::AssetId,
    bytes::SaltedCrc,
    error::{IoContext as _, IoError},
    io::{Access, temporary_name, write_temporary},
    log::WRITER,
    pack::{PACK_HEAD_LEN, PackHeader, PackKind, RecordHeader, encode_record, relocate},
    sync::MutexGuard,
};

impl Store {
    /// The head of a new pack.
    pub(super) fn new_head(&self, kind: PackKind, number: u64) -> Result<PackHeader, StoreError> {
        let mut salt = [0; 16];
        self.disk.fill_random(&mut salt).context(&self.folder, "draw random numbers for")?;
        Ok(PackHeader {
            kind,
            number,
            created: Some(self.disk.now()),
            workspace: self.workspace,
            client: self.client,
            salt,
            writer: WRITER.to_owned(),
            version_minor: 0,
            compatible_features: 0,
        })
    }

    /// Makes sure that there is a pack to add to, and room in it.
    fn make_active(&self, state: &mut MutexGuard<'_, State>, len: u64) -> Result<(), StoreError> {
        if let Some(error) = &state.poisoned {
            return Err(StoreError::Poisoned(Arc::clone(error)));
        }
        if let Some(active) = &state.active {
            let fits = active.end + len <= self.options.shared_len_max;
            if fits || active.end == PACK_HEAD_LEN {
                return Ok(());
            }
            self.leave_active(state)?;
        } else if let Some(info) = state.packs.get(&state.last_number).copied()
            && info.is_closed
            && info.len + len <= self.options.shared_len_max
        {
            return self.go_on(state, info);
        }
        self.begin_pack(state)
    }

    /// Goes on in the last pack (K-9).
    fn go_on(&self, state: &mut MutexGuard<'_, State>, info: PackInfo) -> Result<(), StoreError> {
        let number = state.last_number;
        let path = self.folder.join(names::shared(number));
        let pack = Pack::open(&*self.disk, &path, Access::Write, self.workspace)?;
        if pack.len()? != info.len || pack.header.salt != info.salt {
            // Not the file that was walked.
            return self.begin_pack(state);
        }
        pack.file.sync().context(&path, "sync")?;
        self.disk.sync_dir(&self.folder).context(&self.folder, "sync")?;
        state.active = Some(Active {
            pack: Arc::new(pack),
            start: info.len,
            end: info.len,
            synced: info.len,
            settled_upto: info.synced_upto,
            stated_upto: info.synced_upto,
        });
        Ok(())
    }

    /// Begins a new pack, durably.
    pub(super) fn begin_pack(&self, state: &mut MutexGuard<'_, State>) -> Result<(), StoreError> {
        self.make_folder()?;
        let number = state.last_number + 1;
        let header = self.new_head(PackKind::Shared, number)?;
        let path = self.folder.join(names::shared(number));
        let temporary = temporary_name(&path);
        let file = write_temporary(&*self.disk, &temporary, &header.encode_head())
            .map_err(|error| write_error(&temporary, "write", error))?;
        file.sync().context(&temporary, "sync")?;
        self.disk.rename(&temporary, &path).context(&path, "rename")?;
        self.disk.sync_dir(&self.folder).context(&self.folder, "sync")?;
        let info = PackInfo {
            salt: header.salt,
            covered_len: PACK_HEAD_LEN,
            synced_upto: PACK_HEAD_LEN,
            is_closed: false,
            len: PACK_HEAD_LEN,
        };
        let pack = Arc::new(Pack { path, crc: header.crc(), header, file });
        state.last_number = number;
        state.packs.insert(number, info);
        state.active = Some(Active {
            pack,
            start: PACK_HEAD_LEN,
            end: PACK_HEAD_LEN,
            synced: PACK_HEAD_LEN,
            settled_upto: PACK_HEAD_LEN,
            stated_upto: PACK_HEAD_LEN,
        });
        Ok(())
    }

    /// Writes an encoded record behind the others. Not synced.
    pub(super) fn append(
        &self,
        state: &mut MutexGuard<'_, State>,
        record: &mut [u8],
    ) -> Result<Spot, StoreError> {
        self.check_writable()?;
        self.make_active(state, record.len() as u64)?;
        let active = state.active.as_mut().expect("it was just made");
        let offset = active.end;
        relocate(record, offset, active.synced, active.pack.crc);
        let stated = active.synced;
        let path = active.pack.path.clone();
        if let Err(error) = active.pack.file.write_all_at(record, offset) {
            // What was written of it would look like a torn tail: it is taken back.
            let cut = active.pack.file.set_len(offset);
            let error = write_error(&path, "write", error);
            return Err(match (error, cut) {
                (error, Ok(())) => error,
                (_, Err(cut)) => self.poison(state, IoError::new(&path, "cut", cut)),
            });
        }
        active.end += record.len() as u64;
        active.stated_upto = stated;
        let (number, end) = (active.pack.header.number, active.end);
        let info = state.packs.get_mut(&number).expect("the active pack is known");
        (info.len, info.covered_len, info.is_closed) = (end, end, false);
        state.unindexed += 1;
        Ok((number, offset))
    }

    /// Adds the record of an asset. Not synced.
    pub(super) fn append_asset(
        &self,
        header: &RecordHeader,
        mut record: Vec<u8>,
    ) -> Result<Place, StoreError> {
        let mut state = self.state.lock();
        let (number, offset) = self.append(&mut state, &mut record)?;
        let record_len = record.len() as u64;
        let place = Place { number, offset, size: header.size, record_len };
        state.places.insert(AssetId::from(header.id), place);
        Ok(place)
    }

    /// Waits until the active pack is durable up to `end`, syncing if nobody else does. Packs before are.
    pub(super) fn sync_upto(&self, number: u64, end: u64) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        loop {
            if let Some(error) = &state.poisoned {
                return Err(StoreError::Poisoned(Arc::clone(error)));
            }
            let (pack, upto) = match &state.active {
                Some(active) if active.pack.header.number == number && active.synced < end => {
                    (Arc::clone(&active.pack), active.end)
                }
                _ => return Ok(()),
            };
            if state.syncing {
                self.changed.wait(&mut state);
                continue;
            }
            state.syncing = true;
            drop(state);
            let result = pack.file.sync();
            state = self.state.lock();
            state.syncing = false;
            match result {
                Ok(()) => Self::synced(&mut state, number, upto),
                Err(error) => {
                    return Err(self.poison(&mut state, IoError::new(&pack.path, "sync", error)));
                }
            }
            self.changed.notify_all();
        }
    }

    fn synced(state: &mut MutexGuard<'_, State>, number: u64, upto: u64) {
        if let Some(active) = &mut state.active
            && active.pack.header.number == number
        {
            active.synced = active.synced.max(upto);
            // What a record states counts once the record is there for certain.
            active.settled_upto = active.stated_upto;
        }
    }

    /// Syncs everything that was added.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let active = self.state.lock().active.as_ref().map(|a| (a.pack.header.number, a.end));
        active.map_or(Ok(()), |(number, end)| self.sync_upto(number, end))
    }

    /// Syncs the active pack, and ends it with a mark (K-8).
    pub(super) fn leave_active(&self, state: &mut MutexGuard<'_, State>) -> Result<(), StoreError> {
        let Some(active) = &state.active else { return Ok(()) };
        if let Some(error) = &state.poisoned {
            return Err(StoreError::Poisoned(Arc::clone(error)));
        }
        let pack = Arc::clone(&active.pack);
        if active.end == active.start && active.start > PACK_HEAD_LEN {
            // Nothing was added: its mark is still the last thing in it.
            state.active = None;
            return Ok(());
        }
        if let Err(error) = pack.file.sync() {
            return Err(self.poison(state, IoError::new(&pack.path, "sync", error)));
        }
        let active = state.active.as_mut().expect("it was there before");
        active.synced = active.end;
        let number = pack.header.number;
        let offset = active.end;
        let mark = encode_record(RecordHeader::mark().at(offset, offset), &[], &[], pack.crc);
        if let Err(error) = pack.file.write_all_at(&mark, offset) {
            // Without a mark the pack is not gone on with, and nothing is lost.
            let _ = pack.file.set_len(offset);
            state.active = None;
            return Err(write_error(&pack.path, "write", error));
        }
        if let Err(error) = pack.file.sync() {
            return Err(self.poison(state, IoError::new(&pack.path, "sync", error)));
        }
        let info = state.packs.get_mut(&number).expect("the active pack is known");
        let end = offset + mark.len() as u64;
        (info.len, info.covered_len, info.synced_upto, info.is_closed) = (end, end, offset, true);
        state.active = None;
        Ok(())
    }

    /// Ends the active pack, and brings the index up to date if much is missing. Adding goes on afterwards.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        if !self.writable {
            return Ok(());
        }
        let mut state = self.state.lock();
        while state.syncing {
            self.changed.wait(&mut state);
        }
        self.leave_active(&mut state)?;
        drop(state);
        self.persist_index(false)
    }

    /// Says that the records of `id` no longer count (K-8). Durable when it returns.
    pub(super) fn drop_records(&self, id: &AssetId) -> Result<Vec<Place>, StoreError> {
        let places = self.state.lock().places.of(id).to_vec();
        let mut last = None;
        for place in &places {
            let header = RecordHeader::drop_of((*id).into(), place.number, place.offset);
            let mut state = self.state.lock();
            let mut record = encode_record(somewhere(header), &[], &[], crc_later());
            let by = self.append(&mut state, &mut record)?;
            last = Some((by.0, by.1 + record.len() as u64));
            state.places.drop(id, place.spot(), by);
        }
        if let Some((number, end)) = last {
            self.sync_upto(number, end)?;
        }
        Ok(places)
    }
}

/// A record that has no place yet: [`Store::append`] gives it one, and makes its CRCs.
pub(super) fn somewhere(header: RecordHeader) -> RecordHeader {
    header.at(PACK_HEAD_LEN, PACK_HEAD_LEN)
}

/// What such a record is encoded with.
pub(super) fn crc_later() -> SaltedCrc {
    SaltedCrc::new(&[])
}

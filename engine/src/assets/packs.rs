//! Pack files: opening one, and finding out what all of them hold.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{AssetCorruption, AssetFault, StoreError},
    names,
    places::{CoveredPack, Place, Places, decode_index, encode_index},
    read::AssetReader,
    store::Store,
    walk::{Step, Walk, WalkFault},
};
use crate::{
    asset::AssetId,
    bytes::{Hash, SaltedCrc, WorkspaceId},
    error::{IoContext as _, IoError},
    io::{Access, Disk, DiskFile, replace_file},
    pack::{
        PACK_HEAD_LEN, PackHeader, PackKind, RECORD_HEADER_LEN, RecordError, RecordHeader,
        RecordKind, decode_head,
    },
};

/// Length of a mark.
const MARK_LEN: u64 = 120;
/// The index is written again when it lacks so many records, and so large a part of them.
const UNINDEXED_MIN: usize = 4096;
const UNINDEXED_PART: usize = 8;

/// An open pack.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) path: PathBuf,
    pub(crate) header: PackHeader,
    pub(crate) crc: SaltedCrc,
    pub(crate) file: Arc<dyn DiskFile>,
}

impl Pack {
    /// Opens a pack and checks that it belongs where it is.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        access: Access,
        workspace: WorkspaceId,
    ) -> Result<Self, StoreError> {
        let file = disk.open(path, access).context(path, "open")?;
        let head_len = usize::try_from(PACK_HEAD_LEN).expect("8 KiB");
        let head = file.read_vec_at(0, head_len).context(path, "read")?;
        let head = decode_head(&head)
            .map_err(|source| StoreError::Head { path: path.to_owned(), source })?;
        let header = head.header;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let what = if header.workspace != workspace {
            Some(format!("workspace {}", header.workspace))
        } else if header.kind == PackKind::Shared && names::shared(header.number) != *name {
            Some(format!("number {}", header.number))
        } else {
            None
        };
        if let Some(what) = what {
            return Err(StoreError::Mismatch { path: path.to_owned(), what });
        }
        Ok(Self { path: path.to_owned(), crc: header.crc(), header, file })
    }

    pub(crate) fn len(&self) -> Result<u64, IoError> {
        self.file.len().context(&self.path, "read the length of")
    }

    /// The header of the record at `offset`, which is to be one of `id`.
    pub(crate) fn record(&self, id: &AssetId, offset: u64) -> Result<RecordHeader, StoreError> {
        let bytes = self.file.read_vec_at(offset, RECORD_HEADER_LEN).context(&self.path, "read")?;
        self.record_in(id, offset, &bytes)
    }

    /// The same from the bytes that stand there.
    pub(crate) fn record_in(
        &self,
        id: &AssetId,
        offset: u64,
        bytes: &[u8],
    ) -> Result<RecordHeader, StoreError> {
        let broken = |cause: AssetFault| self.corruption(id, offset, 0..u64::MAX, cause);
        let bytes = bytes.first_chunk().ok_or_else(|| broken(AssetFault::Short))?;
        let header = RecordHeader::decode(bytes, offset, self.crc)
            .map_err(|error| broken(AssetFault::Record(error)))?;
        if header.kind != RecordKind::Asset || header.id != Hash::from(*id) {
            return Err(broken(AssetFault::OtherAsset).into());
        }
        Ok(header)
    }

    /// The record of a single pack.
    pub(crate) fn single_record(&self, id: &AssetId) -> Result<RecordHeader, StoreError> {
        self.record(id, PACK_HEAD_LEN)
    }

    pub(crate) fn corruption(
        &self,
        id: &AssetId,
        offset: u64,
        range: Range<u64>,
        cause: AssetFault,
    ) -> AssetCorruption {
        AssetCorruption { path: self.path.clone(), id: *id, offset, range, cause }
    }

    /// Whether the file ends with a mark (K-8).
    fn ends_with_mark(&self, len: u64) -> Result<bool, IoError> {
        let Some(offset) = len.checked_sub(MARK_LEN).filter(|&offset| offset >= PACK_HEAD_LEN)
        else {
            return Ok(false);
        };
        let mut walk = Walk::new(Arc::clone(&self.file), self.crc, offset, len);
        let step = walk.step().context(&self.path, "read")?;
        Ok(matches!(step, Some(Step::Record(header)) if header.kind == RecordKind::Mark))
    }
}

/// What is known of a shared pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackInfo {
    pub(crate) salt: [u8; 16],
    /// Everything below was walked.
    pub(crate) covered_len: u64,
    /// Everything below was synced (W of K-10).
    pub(crate) synced_upto: u64,
    /// It ends with a mark, so that it can be gone on with.
    pub(crate) is_closed: bool,
    pub(crate) len: u64,
}

/// What all shared packs hold.
pub(super) struct Survey {
    pub(super) packs: BTreeMap<u64, PackInfo>,
    pub(super) last_number: u64,
    pub(super) unusable: Vec<(PathBuf, StoreError)>,
    pub(super) places: Places,
    pub(super) unindexed: usize,
}

impl Store {
    /// Finds out what the shared packs hold: from the index as far as it is theirs, else from their records.
    pub(super) fn survey(&self) -> Result<Survey, StoreError> {
        let (covered, mut places) = self.load_index()?;
        let mut packs = BTreeMap::new();
        let mut unusable = Vec::new();
        let mut last_number = 0;
        let mut found = Vec::new();
        for entry in self.list(&self.folder)? {
            let Some(names::Kind::Shared(number)) = names::kind(&entry) else { continue };
            last_number = last_number.max(number);
            let path = self.folder.join(&entry.name);
            match Pack::open(&*self.disk, &path, Access::Read, self.workspace) {
                Ok(pack) => found.push((number, pack)),
                Err(StoreError::Io(error)) if error.source.kind() == ErrorKind::NotFound => {}
                Err(error @ StoreError::Io(_)) => return Err(error),
                Err(error) => unusable.push((path, error)),
            }
        }
        let known = |number: u64, pack: &Pack, len: u64| {
            covered
                .get(&number)
                .copied()
                .filter(|covered| covered.salt == pack.header.salt && covered.covered_len <= len)
        };
        let mut lens = BTreeMap::new();
        for (number, pack) in &found {
            lens.insert(*number, pack.len()?);
        }
        let is_covered = |number: u64| {
            found
                .iter()
                .any(|(n, pack)| *n == number && known(number, pack, lens[&number]).is_some())
        };
        places.retain_packs(is_covered);
        let mut unindexed = 0;
        for (number, pack) in &found {
            let len = lens[number];
            let known = known(*number, pack, len);
            match self.survey_pack(*number, pack, len, known, &mut places) {
                Ok((info, added)) => {
                    unindexed += added;
                    packs.insert(*number, info);
                }
                // What this version does not understand it neither reads nor removes (K-3).
                Err(error @ StoreError::Later { .. }) => unusable.push((pack.path.clone(), error)),
                Err(error) => return Err(error),
            }
        }
        Ok(Survey { packs, last_number, unusable, places, unindexed })
    }

    fn survey_pack(
        &self,
        number: u64,
        pack: &Pack,
        len: u64,
        known: Option<CoveredPack>,
        places: &mut Places,
    ) -> Result<(PackInfo, usize), StoreError> {
        let from = known.map_or(PACK_HEAD_LEN, |known| known.covered_len);
        let mut walk = Walk::new(Arc::clone(&pack.file), pack.crc, from, len);
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        let mut covered_len = from;
        while let Some(step) = walk.step().context(&pack.path, "read")? {
            match step {
                Step::Record(header)
                    if header.critical && matches!(header.kind, RecordKind::Other(_)) =>
                {
                    return Err(StoreError::Later {
                        path: pack.path.clone(),
                        offset: header.offset,
                    });
                }
                Step::Bad {
                    bytes, fault: WalkFault::Record(RecordError::Unsupported(_)), ..
                } => {
                    return Err(StoreError::Later { path: pack.path.clone(), offset: bytes.start });
                }
                Step::Record(header) => {
                    covered_len = header.end_offset();
                    records.push(header);
                }
                // What is damaged in it is told when it is read; all its other chunks are served.
                Step::Bad { bytes, header: Some(header), .. }
                    if bytes.end == header.end_offset() =>
                {
                    covered_len = bytes.end;
                    damaged.push(header);
                }
                // What a writer is just adding is looked at again.
                Step::Bad { bytes, .. } if self.writable || bytes.end < len => {
                    covered_len = bytes.end;
                }
                Step::Bad { .. } => {}
            }
        }
        let synced_upto =
            walk.synced_upto().max(known.map_or(PACK_HEAD_LEN, |known| known.synced_upto));
        let added = records.len();
        // Behind what was synced it is what a crash left.
        damaged.retain(|header| {
            header.kind == RecordKind::Asset && header.end_offset() <= synced_upto
        });
        for header in &damaged {
            places.insert(AssetId::from(header.id), Place::new(number, header));
        }
        for header in records {
            let id = AssetId::from(header.id);
            let place = Place::new(number, &header);
            match header.kind {
                // What was not synced may have come to the disk in parts.
                RecordKind::Asset
                    if self.writable
                        && place.end_offset() > synced_upto
                        && !Self::is_sound(pack, &header)? => {}
                RecordKind::Asset => places.insert(id, place),
                RecordKind::Drop => {
                    if let Some(target) = header.dropped() {
                        places.drop(&id, target, place.spot());
                    }
                }
                RecordKind::Mark | RecordKind::Other(_) => {}
            }
        }
        let is_closed = covered_len == len && pack.ends_with_mark(len)?;
        let salt = pack.header.salt;
        Ok((PackInfo { salt, covered_len, synced_upto, is_closed, len }, added))
    }

    /// Whether all content of a record leads to its id.
    fn is_sound(pack: &Pack, header: &RecordHeader) -> Result<bool, StoreError> {
        match AssetReader::of_record(pack, header).verify(&mut |_| true) {
            Ok(()) => Ok(true),
            Err(StoreError::Corrupt(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn index_path(&self) -> PathBuf {
        self.cache.join("packs.index")
    }

    /// The index on disk; nothing if there is none that is whole.
    fn load_index(&self) -> Result<(BTreeMap<u64, CoveredPack>, Places), StoreError> {
        let path = self.index_path();
        let file = match self.disk.open(&path, Access::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Default::default()),
            result => result.context(&path, "open")?,
        };
        let len = file.len().context(&path, "read the length of")?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = file.read_vec_at(0, len).context(&path, "read")?;
        let Ok((packs, places)) = decode_index(&bytes) else { return Ok(Default::default()) };
        Ok((packs.into_iter().map(|pack| (pack.number, pack)).collect(), places))
    }

    /// What the index is to hold now.
    pub(crate) fn encoded_index(&self) -> Vec<u8> {
        let state = self.state.lock();
        // What is not synced yet may be gone after a crash, and the index would not tell.
        let settled = |number: u64, info: &PackInfo| match &state.active {
            Some(active) if active.pack.header.number == number => {
                (active.synced, info.synced_upto.max(active.settled_upto))
            }
            _ => (info.covered_len, info.synced_upto),
        };
        let packs = state.packs.iter().map(|(number, info)| {
            let (covered_len, synced_upto) = settled(*number, info);
            CoveredPack { number: *number, salt: info.salt, covered_len, synced_upto }
        });
        encode_index(&packs.collect::<Vec<_>>(), &state.places)
    }

    /// Writes the index if enough is missing in it, or in any case.
    pub(crate) fn persist_index(&self, always: bool) -> Result<(), StoreError> {
        self.check_writable()?;
        let (unindexed, count) = {
            let state = self.state.lock();
            (state.unindexed, state.places.len())
        };
        let enough = unindexed >= UNINDEXED_MIN.max(count / UNINDEXED_PART);
        if !always && !enough {
            return Ok(());
        }
        if let Some(parent) = self.cache.parent() {
            self.make_folder_at(parent)?;
        }
        self.make_folder_at(&self.cache)?;
        let path = self.index_path();
        replace_file(&*self.disk, &path, &self.encoded_index()).context(&path, "write")?;
        self.state.lock().unindexed = 0;
        Ok(())
    }

    /// Drops the index, and finds everything out anew.
    pub(crate) fn rebuild_index(&self) -> Result<(), StoreError> {
        self.check_writable()?;
        let path = self.index_path();
        match self.disk.remove(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => result.context(&path, "remove")?,
        }
        let survey = self.survey()?;
        {
            let mut state = self.state.lock();
            // What is added meanwhile is in the packs as well; records of this opening stay known as they are.
            for (id, place) in survey.places.all() {
                state.places.insert(id, place);
            }
        }
        self.persist_index(true)
    }
}

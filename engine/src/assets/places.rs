//! Where the assets of the shared packs are: in memory, and as a cache in a file (K-15).

use std::collections::{BTreeMap, HashMap};

use crate::{
    asset::AssetId,
    bytes::{DecodeError, Hash, Put as _, Reader, crc},
    pack::RecordHeader,
};

const MAGIC: [u8; 8] = [0x89, b'A', b'N', b'L', b'J', 0x0D, 0x0A, 0x1A];
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;
const CRC_LEN: usize = 4;
const PACK_LEN: u64 = 40;
const ROW_LEN: u64 = 64;
const DROP_LEN: u64 = 32;

/// A place in the shared packs: number of the pack, offset of the record. In the order in which they were written.
pub(crate) type Spot = (u64, u64);

/// One record of an asset in a shared pack.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    /// The pack.
    pub(crate) number: u64,
    /// Offset of the record.
    pub(crate) offset: u64,
    /// Size of the content.
    pub(crate) size: u64,
    /// Length of the record.
    pub(crate) record_len: u64,
}

impl Place {
    pub(crate) fn new(number: u64, header: &RecordHeader) -> Self {
        Self { number, offset: header.offset, size: header.size, record_len: header.record_len() }
    }

    pub(crate) fn spot(&self) -> Spot {
        (self.number, self.offset)
    }

    pub(crate) fn end_offset(&self) -> u64 {
        self.offset + self.record_len
    }
}

/// The records of one asset, in the order in which they were written. Nearly always one.
#[derive(Clone, Debug)]
enum Copies {
    One(Place),
    Many(Vec<Place>),
}

impl Copies {
    fn as_slice(&self) -> &[Place] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Many(places) => places,
        }
    }
}

/// Where the assets of the shared packs are. About 80 bytes for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    by_id: HashMap<AssetId, Copies>,
    /// Records that no longer count, and what says so.
    drops: BTreeMap<Spot, Spot>,
}

impl Places {
    /// The records of `id` that count, the last one last.
    pub(crate) fn of(&self, id: &AssetId) -> &[Place] {
        self.by_id.get(id).map_or(&[], Copies::as_slice)
    }

    /// The one that is read first.
    pub(crate) fn last(&self, id: &AssetId) -> Option<Place> {
        self.of(id).last().copied()
    }

    /// All ids that have a record, in no order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (AssetId, Place)> {
        self.by_id.iter().filter_map(|(id, copies)| Some((*id, *copies.as_slice().last()?)))
    }

    /// All records that count.
    pub(crate) fn all(&self) -> impl Iterator<Item = (AssetId, Place)> {
        self.by_id.iter().flat_map(|(id, copies)| copies.as_slice().iter().map(|p| (*id, *p)))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Adds a record, unless it was dropped.
    pub(crate) fn insert(&mut self, id: AssetId, place: Place) {
        if self.drops.contains_key(&place.spot()) {
            return;
        }
        let Some(copies) = self.by_id.get_mut(&id) else {
            self.by_id.insert(id, Copies::One(place));
            return;
        };
        let mut places = copies.as_slice().to_vec();
        match places.binary_search(&place) {
            Ok(_) => return,
            Err(at) => places.insert(at, place),
        }
        *copies = Copies::Many(places);
    }

    /// Adds a drop (K-8): `target` no longer counts, says the record at `by`.
    pub(crate) fn drop(&mut self, id: &AssetId, target: Spot, by: Spot) {
        if by <= target {
            // About something that came later: it was never written so.
            return;
        }
        self.drops.insert(target, by);
        self.retain_of(id, |place| place.spot() != target);
    }

    fn retain_of(&mut self, id: &AssetId, keep: impl Fn(&Place) -> bool) {
        let Some(copies) = self.by_id.get_mut(id) else { return };
        let places: Vec<Place> = copies.as_slice().iter().copied().filter(keep).collect();
        match places.as_slice() {
            [] => drop(self.by_id.remove(id)),
            [place] => *copies = Copies::One(*place),
            _ => *copies = Copies::Many(places),
        }
    }

    /// Forgets the record of `id` at `spot`.
    pub(crate) fn forget(&mut self, id: &AssetId, spot: Spot) {
        self.retain_of(id, |place| place.spot() != spot);
    }

    /// Forgets everything in and about the packs that `is_there` does not know.
    pub(crate) fn retain_packs(&mut self, is_there: impl Fn(u64) -> bool) {
        let gone: Vec<AssetId> = self
            .by_id
            .iter()
            .filter(|(_, copies)| copies.as_slice().iter().any(|place| !is_there(place.number)))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.retain_of(&id, |place| is_there(place.number));
        }
        self.drops.retain(|target, by| is_there(target.0) && is_there(by.0));
    }

    /// The drops: what they are about, and where they stand.
    pub(crate) fn drops(&self) -> impl Iterator<Item = (Spot, Spot)> {
        self.drops.iter().map(|(target, by)| (*target, *by))
    }
}

/// What the index says of one pack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CoveredPack {
    pub(crate) number: u64,
    pub(crate) salt: [u8; 16],
    /// Its records below are in the index.
    pub(crate) covered_len: u64,
    /// W of K-10 for them.
    pub(crate) synced_upto: u64,
}

/// The content of `packs.index`: of each pack what stands below its `covered_len`. The same packs give the same bytes.
pub(crate) fn encode_index(packs: &[CoveredPack], places: &Places) -> Vec<u8> {
    let covered: HashMap<u64, u64> =
        packs.iter().map(|pack| (pack.number, pack.covered_len)).collect();
    let is_covered = |(number, offset): Spot| covered.get(&number).is_some_and(|&len| offset < len);
    let mut rows: Vec<(AssetId, Place)> =
        places.all().filter(|(_, place)| is_covered(place.spot())).collect();
    rows.sort_unstable();
    let drops: Vec<(Spot, Spot)> = places.drops().filter(|(_, by)| is_covered(*by)).collect();
    let mut out = Vec::with_capacity(HEADER_LEN + packs.len() * 40 + rows.len() * 64 + CRC_LEN);
    out.put(&MAGIC);
    out.put_u32(VERSION);
    out.put_u32(u32::try_from(packs.len()).unwrap_or(u32::MAX));
    out.put_u64(rows.len() as u64);
    out.put_u64(drops.len() as u64);
    out.pad_to(HEADER_LEN);
    for pack in packs {
        out.put_u64(pack.number);
        out.put(&pack.salt);
        out.put_u64(pack.covered_len);
        out.put_u64(pack.synced_upto);
    }
    for (id, place) in rows {
        out.put(id.as_bytes());
        out.put_u64(place.number);
        out.put_u64(place.offset);
        out.put_u64(place.size);
        out.put_u64(place.record_len);
    }
    for (target, by) in drops {
        for value in [target.0, target.1, by.0, by.1] {
            out.put_u64(value);
        }
    }
    let checksum = crc(&out);
    out.put_u32(checksum);
    out
}

/// Reads `packs.index`.
///
/// # Errors
///
/// [`DecodeError`] if it is not whole: then it is made anew.
pub(crate) fn decode_index(bytes: &[u8]) -> Result<(Vec<CoveredPack>, Places), DecodeError> {
    let content_len = bytes.len().checked_sub(CRC_LEN).ok_or(DecodeError::Truncated)?;
    let (content, checksum) = bytes.split_at(content_len);
    if Reader::new(checksum).u32()? != crc(content) {
        return Err(DecodeError::Reserved);
    }
    let mut reader = Reader::new(content);
    if reader.array()? != MAGIC || reader.u32()? != VERSION {
        return Err(DecodeError::Reserved);
    }
    let pack_count = u64::from(reader.u32()?);
    let (row_count, drop_count) = (reader.u64()?, reader.u64()?);
    reader.zeros(32)?;
    // The counts are bounded by the bytes that are there before anything is allocated for them.
    let wanted = pack_count
        .checked_mul(PACK_LEN)
        .zip(row_count.checked_mul(ROW_LEN))
        .zip(drop_count.checked_mul(DROP_LEN))
        .and_then(|((packs, rows), drops)| packs.checked_add(rows)?.checked_add(drops));
    if wanted != Some(reader.rest().len() as u64) {
        return Err(DecodeError::Truncated);
    }
    let mut packs = Vec::new();
    for _ in 0..pack_count {
        packs.push(CoveredPack {
            number: reader.u64()?,
            salt: reader.array()?,
            covered_len: reader.u64()?,
            synced_upto: reader.u64()?,
        });
    }
    let mut places = Places::default();
    places.by_id.reserve(usize::try_from(row_count).unwrap_or(0));
    for _ in 0..row_count {
        let id = AssetId::from(Hash::from_bytes(reader.array()?));
        let place = Place {
            number: reader.u64()?,
            offset: reader.u64()?,
            size: reader.u64()?,
            record_len: reader.u64()?,
        };
        places.insert(id, place);
    }
    for _ in 0..drop_count {
        let target = (reader.u64()?, reader.u64()?);
        places.drops.insert(target, (reader.u64()?, reader.u64()?));
    }
    Ok((packs, places))
}

//! The head of a pack (K-1): pure encoding and decoding.

use super::{PACK_HEAD_LEN, PACK_UNIT_LEN};
use crate::bytes::{
    ClientId, DecodeError, Put as _, Reader, SaltedCrc, Timestamp, WorkspaceId, crc,
};

const MAGIC: [u8; 8] = [0x89, b'A', b'N', b'L', b'P', 0x0D, 0x0A, 0x1A];
const VERSION_MAJOR: u16 = 1;
const HASH_SUITE: u8 = 1;
const KNOWN_INCOMPATIBLE: u64 = 0;
const UNIT_OFFSET: usize = 12;
const WRITER_OFFSET: usize = 96;
const WRITER_LEN: usize = 32;
const CRC_OFFSET: usize = PACK_UNIT_LEN - 4;

/// How many assets a pack holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PackKind {
    /// Any number of them.
    Shared,
    /// One, with which the file goes (K-7).
    Single,
}

/// What a pack says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PackHeader {
    /// How many assets the pack holds.
    pub kind: PackKind,
    /// Number of a shared pack, at least 1; of a single pack 0.
    pub number: u64,
    /// When the pack was created.
    pub created: Option<Timestamp>,
    /// The workspace of the device.
    pub workspace: WorkspaceId,
    /// The client of the device that wrote the pack.
    pub client: ClientId,
    /// Seeds all salted CRCs of the pack.
    pub salt: [u8; 16],
    /// Name and version of the program that wrote the pack.
    pub writer: String,
    /// 0 when this version writes it; kept as it is.
    pub version_minor: u16,
    /// Features that an old reader may ignore; kept as they are.
    pub compatible_features: u64,
}

/// Whether the two copies of the header are in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnitState {
    /// Valid.
    Valid,
    /// Damaged; the other copy serves.
    Damaged,
}

/// A header, and how its two copies are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DecodedHead {
    /// The header.
    pub header: PackHeader,
    /// The states of unit 0 and unit 1; one of them is valid.
    pub units: [UnitState; 2],
}

/// Why a head cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PackHeadError {
    /// Not a pack at all: opening it changes nothing in it.
    #[error("not an Annals pack (wrong magic)")]
    Foreign,
    /// The file is shorter than the head of a pack.
    #[error("the file ends inside its head of {PACK_HEAD_LEN} bytes")]
    Short,
    /// Both copies of the header are damaged, or they contradict each other.
    #[error("both copies of the pack header are damaged, or they contradict each other")]
    Damaged,
    /// The checksum is right, the fields are not.
    #[error("malformed pack header")]
    Malformed,
    /// Written by a program that is newer than this one.
    #[error("written by {writer:?} in a format that this version cannot read ({what})")]
    Unsupported {
        /// The program that wrote it.
        writer: String,
        /// Which part is unknown.
        what: &'static str,
    },
}

impl From<DecodeError> for PackHeadError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

impl PackHeader {
    /// CRCs seeded with the pack's salt.
    pub fn crc(&self) -> SaltedCrc {
        SaltedCrc::new(&self.salt)
    }

    /// Both copies of the header: the [`PACK_HEAD_LEN`] bytes in front of the first record.
    ///
    /// # Panics
    ///
    /// If `number` does not fit `kind`.
    pub fn encode_head(&self) -> Vec<u8> {
        assert!(number_fits(self.kind, self.number), "shared packs have numbers, single ones none");
        let mut head = self.encode_unit(0);
        head.extend(self.encode_unit(1));
        head
    }

    fn encode_unit(&self, unit: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(PACK_UNIT_LEN);
        out.put(&MAGIC);
        out.put_u16(VERSION_MAJOR);
        out.put_u16(self.version_minor);
        out.put_u8(unit);
        out.put_u8(HASH_SUITE);
        out.put_u8(match self.kind {
            PackKind::Shared => 1,
            PackKind::Single => 2,
        });
        out.put_u8(0);
        out.put_u64(self.compatible_features);
        out.put_u64(KNOWN_INCOMPATIBLE);
        out.put_u64(self.number);
        out.put_i64(Timestamp::encode(self.created));
        out.put(self.workspace.as_bytes());
        out.put(self.client.as_bytes());
        out.put(&self.salt);
        out.put(&self.writer.as_bytes()[..self.writer.floor_char_boundary(WRITER_LEN)]);
        out.pad_to(CRC_OFFSET);
        let checksum = crc(&out);
        out.put_u32(checksum);
        out
    }

    fn decode_unit(unit: &[u8]) -> Result<Self, PackHeadError> {
        let mut reader = Reader::new(&unit[..CRC_OFFSET]);
        reader.take(MAGIC.len())?;
        let writer = &unit[WRITER_OFFSET..WRITER_OFFSET + WRITER_LEN];
        let writer = String::from_utf8_lossy(writer).trim_end_matches('\0').to_owned();
        let unsupported = |what| PackHeadError::Unsupported { writer: writer.clone(), what };
        if reader.u16()? != VERSION_MAJOR {
            return Err(unsupported("version"));
        }
        let version_minor = reader.u16()?;
        reader.u8()?;
        let hash_suite = reader.u8()?;
        let kind = reader.u8()?;
        let reserved = reader.zeros(1);
        let compatible_features = reader.u64()?;
        let incompatible_features = reader.u64()?;
        // What a later version means is judged before what this one would call malformed (V-4).
        if hash_suite != HASH_SUITE {
            return Err(unsupported("hash suite"));
        }
        if incompatible_features & !KNOWN_INCOMPATIBLE != 0 {
            return Err(unsupported("incompatible features"));
        }
        reserved?;
        let kind = match kind {
            1 => PackKind::Shared,
            2 => PackKind::Single,
            _ => return Err(PackHeadError::Malformed),
        };
        let number = reader.u64()?;
        if !number_fits(kind, number) {
            return Err(PackHeadError::Malformed);
        }
        let header = Self {
            kind,
            number,
            created: Timestamp::decode(reader.i64()?),
            workspace: WorkspaceId::from_bytes(reader.array()?),
            client: ClientId::from_bytes(reader.array()?),
            salt: reader.array()?,
            writer: writer.clone(),
            version_minor,
            compatible_features,
        };
        reader.take(WRITER_LEN)?;
        reader.zeros(reader.rest().len())?;
        Ok(header)
    }
}

/// Decodes the header from the start of a pack; also says how its two copies are.
///
/// # Errors
///
/// See [`PackHeadError`].
pub fn decode_head(bytes: &[u8]) -> Result<DecodedHead, PackHeadError> {
    // What is cut within the magic may be ours: damaged, but not foreign.
    let start = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(start) && !second_is_ours(bytes) {
        return Err(PackHeadError::Foreign);
    }
    if (bytes.len() as u64) < PACK_HEAD_LEN {
        return Err(PackHeadError::Short);
    }
    let units = [0_u8, 1].map(|unit| {
        let start = usize::from(unit) * PACK_UNIT_LEN;
        let bytes = &bytes[start..start + PACK_UNIT_LEN];
        is_valid(bytes, unit).then_some(bytes)
    });
    let unit = match units {
        [Some(first), Some(second)] if !is_same(first, second) => None,
        [first, second] => first.or(second),
    };
    let header = PackHeader::decode_unit(unit.ok_or(PackHeadError::Damaged)?)?;
    let units =
        units.map(|unit| if unit.is_some() { UnitState::Valid } else { UnitState::Damaged });
    Ok(DecodedHead { header, units })
}

const fn number_fits(kind: PackKind, number: u64) -> bool {
    match kind {
        PackKind::Shared => number > 0,
        PackKind::Single => number == 0,
    }
}

/// A head whose first unit is damaged is still ours if the second one says so.
fn second_is_ours(bytes: &[u8]) -> bool {
    bytes.get(PACK_UNIT_LEN..PACK_UNIT_LEN + MAGIC.len()) == Some(&MAGIC)
}

fn is_valid(bytes: &[u8], unit: u8) -> bool {
    bytes.starts_with(&MAGIC)
        && bytes[UNIT_OFFSET] == unit
        && bytes[CRC_OFFSET..] == crc(&bytes[..CRC_OFFSET]).to_le_bytes()
}

/// Equal in everything but the number of the unit and the CRC (S-3).
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a[..UNIT_OFFSET] == b[..UNIT_OFFSET]
        && a[UNIT_OFFSET + 1..CRC_OFFSET] == b[UNIT_OFFSET + 1..CRC_OFFSET]
}

const _: () = assert!(MAGIC.len() + 4 == UNIT_OFFSET);

//! Entries: the canonical header that is hashed, kinds, and the limits of section 1 (E-1 to E-6).

mod redaction;
mod snapshot;

pub use self::{
    redaction::{REDACTION_REASON_LEN_MAX, Redaction},
    snapshot::{Snapshot, SnapshotState},
};

use crate::bytes::{ClientId, DecodeError, Hash, LogId, Put as _, Reader, StreamId, Timestamp};

/// Longest payload of one entry, in bytes (L-1). A longer change is split into parts.
pub const ENTRY_PAYLOAD_LEN_MAX: u32 = 1 << 20;
/// Most entries of a log (L-1).
pub const LOG_ENTRY_COUNT_MAX: u64 = 1 << 48;
/// Highest Lamport clock (L-1).
pub const LAMPORT_MAX: u64 = (1 << 63) - 1;
/// Longest name of a stream, in bytes of UTF-8 (L-1).
pub const STREAM_NAME_LEN_MAX: usize = 255;
/// Most streams of a log, the default stream not counted (L-1).
pub const STREAM_COUNT_MAX: u32 = 1 << 20;

/// What an entry is (E-3). All kinds but [`Kind::CHANGE`] are control entries.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Kind(pub u8);

impl Kind {
    /// The application's bytes.
    pub const CHANGE: Self = Self(0);
    /// Declares a stream.
    pub const STREAM: Self = Self(1);
    /// What this client had seen of other logs.
    pub const SEEN: Self = Self(2);
    /// A state that stands for what came before.
    pub const SNAPSHOT: Self = Self(3);
    /// Claims an asset: this client wants it kept.
    pub const ASSET: Self = Self(4);
    /// Releases claims of an asset.
    pub const RELEASE: Self = Self(5);
    /// Takes back changes.
    pub const REDACTION: Self = Self(6);

    /// Whether the entry is the engine's own and not the application's.
    pub const fn is_control(self) -> bool {
        self.0 != Self::CHANGE.0
    }

    /// Whether the log itself needs it to be found: what was seen, snapshots and redactions.
    pub(crate) const fn is_about_history(self) -> bool {
        matches!(self, Self::SEEN | Self::SNAPSHOT | Self::REDACTION)
    }

    /// Whether it claims an asset or releases claims.
    pub const fn is_about_assets(self) -> bool {
        matches!(self, Self::ASSET | Self::RELEASE)
    }

    /// The name used in messages and listings; `None` for kinds of later versions.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::CHANGE => Some("change"),
            Self::STREAM => Some("stream"),
            Self::SEEN => Some("seen"),
            Self::SNAPSHOT => Some("snapshot"),
            Self::ASSET => Some("asset"),
            Self::RELEASE => Some("release"),
            Self::REDACTION => Some("redaction"),
            _ => None,
        }
    }
}

/// Which part of a change an entry is (E-5).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Part(u8);

impl Part {
    const NOT_FIRST: u8 = 1;
    const NOT_LAST: u8 = 2;

    /// The whole change.
    pub const WHOLE: Self = Self(0);

    /// Part number `part` of `count`.
    pub const fn of(part: usize, count: usize) -> Self {
        let not_first = if part == 0 { 0 } else { Self::NOT_FIRST };
        let not_last = if part + 1 == count { 0 } else { Self::NOT_LAST };
        Self(not_first | not_last)
    }

    /// From the flags byte of an entry; `None` if other bits are set.
    pub const fn from_flags(flags: u8) -> Option<Self> {
        if flags > (Self::NOT_FIRST | Self::NOT_LAST) { None } else { Some(Self(flags)) }
    }

    /// As the flags byte of an entry.
    pub const fn flags(self) -> u8 {
        self.0
    }

    /// Whether a change begins here.
    pub const fn is_first(self) -> bool {
        self.0 & Self::NOT_FIRST == 0
    }

    /// Whether a change ends here.
    pub const fn is_last(self) -> bool {
        self.0 & Self::NOT_LAST == 0
    }
}

/// The canonical header of an entry: all of it but the payload, as it is hashed (E-1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EntryHeader {
    /// Lamport clock, at least 1.
    pub lamport: u64,
    /// Wall time, if the entry has one.
    pub timestamp: Option<Timestamp>,
    /// Length of the payload in bytes.
    pub payload_len: u32,
    /// What the entry is about.
    pub stream: StreamId,
    /// What the entry is.
    pub kind: Kind,
    /// Which part of a change it is.
    pub part: Part,
}

impl EntryHeader {
    /// Encoded size, in bytes.
    pub const LEN: usize = 32;

    /// The 32 bytes that enter the leaf hash.
    pub fn encode(&self) -> [u8; Self::LEN] {
        // By hand into a fixed array: this runs once for each entry that is hashed.
        let mut header = [0; Self::LEN];
        header[0..8].copy_from_slice(&self.lamport.to_le_bytes());
        header[8..16].copy_from_slice(&Timestamp::encode(self.timestamp).to_le_bytes());
        header[16..20].copy_from_slice(&self.payload_len.to_le_bytes());
        header[20..24].copy_from_slice(&self.stream.0.to_le_bytes());
        header[24] = self.kind.0;
        header[25] = self.part.flags();
        header
    }

    /// Decodes and checks the 32 bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Reserved`] for bytes that E-1 does not allow.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = Self {
            lamport: reader.u64()?,
            timestamp: Timestamp::decode(reader.i64()?),
            payload_len: reader.u32()?,
            stream: StreamId(reader.u32()?),
            kind: Kind(reader.u8()?),
            part: Part::from_flags(reader.u8()?).ok_or(DecodeError::Reserved)?,
        };
        reader.zeros(6)?;
        if header.lamport == 0
            || header.lamport > LAMPORT_MAX
            || header.payload_len > ENTRY_PAYLOAD_LEN_MAX
        {
            return Err(DecodeError::Reserved);
        }
        Ok(header)
    }

    /// Whether a change begins here, that is whether the entry counts as a change (E-6).
    pub const fn begins_change(&self) -> bool {
        !self.kind.is_control() && self.part.is_first()
    }
}

/// Most logs of a frontier (L-1).
pub const FRONTIER_LOG_COUNT_MAX: usize = ENTRY_PAYLOAD_LEN_MAX as usize / FrontierRow::LEN;

/// One log of a frontier: its first `size` entries (E-7).
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct FrontierRow {
    /// The client that writes the log.
    pub client: ClientId,
    /// The log.
    pub log: LogId,
    /// How many of its entries.
    pub size: u64,
    /// Lamport clock of the last of them; 0 if there is none.
    #[serde(default)]
    pub lamport: u64,
    /// Their root.
    pub root: Hash,
}

impl FrontierRow {
    /// Encoded size, in bytes.
    pub const LEN: usize = 80;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put(self.client.as_bytes());
        out.put(self.log.as_bytes());
        out.put_u64(self.size);
        out.put_u64(self.lamport);
        out.put(self.root.as_bytes());
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let row = Self {
            client: ClientId::from_bytes(reader.array()?),
            log: LogId::from_bytes(reader.array()?),
            size: reader.u64()?,
            lamport: reader.u64()?,
            root: Hash::from_bytes(reader.array()?),
        };
        let within_limits = row.size <= LOG_ENTRY_COUNT_MAX && row.lamport <= LAMPORT_MAX;
        if within_limits { Ok(row) } else { Err(DecodeError::Reserved) }
    }
}

/// Decodes the rows of a *seen* entry (E-7).
///
/// # Errors
///
/// [`DecodeError`] if there are too many, their order is wrong, or one is malformed.
pub(crate) fn decode_frontier(payload: &[u8]) -> Result<Vec<FrontierRow>, DecodeError> {
    if !payload.len().is_multiple_of(FrontierRow::LEN)
        || payload.len() / FrontierRow::LEN > FRONTIER_LOG_COUNT_MAX
    {
        return Err(DecodeError::Trailing);
    }
    let mut reader = Reader::new(payload);
    let mut rows: Vec<FrontierRow> = Vec::with_capacity(payload.len() / FrontierRow::LEN);
    while !reader.rest().is_empty() {
        let row = FrontierRow::decode(&mut reader)?;
        if rows.last().is_some_and(|last| last.log >= row.log) {
            return Err(DecodeError::Reserved);
        }
        rows.push(row);
    }
    Ok(rows)
}

//! Payloads that are not there: rows of a position and the hash that stands for the payload (B-8).

use super::{BatchError, column::Column};
use crate::{
    bytes::{Hash, Put as _, Reader},
    entry::Kind,
};

/// Length of a row.
pub(super) const ROW_LEN: usize = 4 + Hash::LEN;
/// What stands before the rows: the head of an extension section (B-3).
pub(super) const SECTION_HEAD_LEN: usize = 8;

/// What a batch holds of an entry's payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content<'a> {
    /// All of it.
    Payload(&'a [u8]),
    /// Only the salted hash of it (M-2): the payload was redacted, or left out.
    Absent(Hash),
}

impl<'a> Content<'a> {
    /// The payload, if it is there.
    pub const fn payload(self) -> Option<&'a [u8]> {
        match self {
            Self::Payload(payload) => Some(payload),
            Self::Absent(_) => None,
        }
    }
}

/// One absent payload.
#[derive(Clone, Copy, Debug)]
struct Row {
    position: u32,
    /// Length of the payload that is not there.
    len: u32,
    hash: Hash,
}

/// The absent payloads of a batch, ascending by position.
#[derive(Clone, Debug, Default)]
pub(super) struct Absent {
    rows: Box<[Row]>,
}

impl Absent {
    /// Decodes the content of the extension section; takes the lengths of the absent payloads out of `lens`, as they
    /// take no room in the payload section.
    pub(super) fn decode(
        bytes: &[u8],
        kinds: &Column<u8>,
        lens: &Column<u32>,
        count: usize,
    ) -> Result<(Self, Column<u32>), BatchError> {
        let (chunks, rest) = bytes.as_chunks::<ROW_LEN>();
        if chunks.is_empty() || !rest.is_empty() {
            return Err(BatchError::Absent);
        }
        let mut stored: Vec<u32> = (0..count).map(|position| lens.get(position)).collect();
        let mut rows = Vec::with_capacity(chunks.len());
        let mut above = 0;
        for chunk in chunks {
            let mut reader = Reader::new(chunk);
            let position = reader.u32().map_err(|_| BatchError::Absent)?;
            let hash = Hash::from_bytes(reader.array().map_err(|_| BatchError::Absent)?);
            let at = position as usize;
            if position < above || at >= count || kinds.get(at) != Kind::CHANGE.0 || stored[at] == 0
            {
                return Err(BatchError::Absent);
            }
            above = position + 1;
            rows.push(Row { position, len: std::mem::take(&mut stored[at]), hash });
        }
        Ok((Self { rows: rows.into() }, Column::Values(stored)))
    }

    #[inline]
    fn find(&self, position: usize) -> Option<&Row> {
        if self.rows.is_empty() { None } else { self.search(position) }
    }

    fn search(&self, position: usize) -> Option<&Row> {
        let found = self.rows.binary_search_by_key(&position, |row| row.position as usize);
        found.ok().map(|at| &self.rows[at])
    }

    /// Whether all payloads are there.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The length of the payload at this position, if it is absent.
    #[inline]
    pub(super) fn len_of(&self, position: usize) -> Option<u32> {
        self.find(position).map(|row| row.len)
    }

    /// The hash of the payload at this position, if it is absent.
    #[inline]
    pub(super) fn hash_of(&self, position: usize) -> Option<Hash> {
        self.find(position).map(|row| row.hash)
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().map(|row| row.position as usize)
    }

    pub(super) fn heap_len(&self) -> usize {
        self.rows.len() * size_of::<Row>()
    }
}

/// Appends the rows of the extension section.
pub(super) fn put_rows(absent: &[(u32, Hash)], out: &mut Vec<u8>) {
    for (position, hash) in absent {
        out.put_u32(*position);
        out.put(hash.as_bytes());
    }
}

//! Entries that are to become one batch.

use super::{
    BATCH_EXTENSION_LEN_MAX, Batch, Content,
    absent::{ROW_LEN, SECTION_HEAD_LEN},
};
use crate::{bytes::Hash, entry::EntryHeader};

/// What an entry weighs beside its payload when the length of a batch is chosen: about what its columns cost.
const ENTRY_WEIGHT: usize = 4;
/// More absent payloads than this do not fit a batch (L-1).
const ABSENT_COUNT_MAX: usize = (BATCH_EXTENSION_LEN_MAX as usize - SECTION_HEAD_LEN) / ROW_LEN;

/// Entries in the order of a log, put together to be encoded as one batch.
///
/// ```
/// # use annals::{Hash, LogId, StreamId, batch::{BatchDraft, Content, Decoder, Encoder}, entry::{EntryHeader, Kind, Part}};
/// # let header = |lamport, payload_len| EntryHeader {
/// #     lamport, timestamp: None, payload_len, stream: StreamId::DEFAULT, kind: Kind::CHANGE, part: Part::WHOLE };
/// let mut draft = BatchDraft::default();
/// draft.push(header(1, 2), Content::Payload(b"hi"));
/// draft.push(header(2, 12), Content::Absent(Hash::ZERO));
/// let mut bytes = Vec::new();
/// Encoder::new(3).encode_draft(LogId::from_bytes([7; 16]), 0, &draft, Hash::ZERO, &mut bytes);
/// let batch = Decoder::new().decode(&bytes)?;
/// assert_eq!(batch.content(1), Content::Absent(Hash::ZERO));
/// assert_eq!(batch.entry_header(1).payload_len, 12);
/// # Ok::<(), annals::batch::BatchError>(())
/// ```
#[derive(Debug, Default)]
pub struct BatchDraft {
    pub(super) headers: Vec<EntryHeader>,
    pub(super) payloads: Vec<u8>,
    pub(super) absent: Vec<(u32, Hash)>,
}

impl BatchDraft {
    /// Appends an entry. An absent payload keeps its length in the header.
    pub fn push(&mut self, header: EntryHeader, content: Content<'_>) {
        match content {
            Content::Payload(payload) => self.payloads.extend_from_slice(payload),
            Content::Absent(hash) => {
                let position = u32::try_from(self.headers.len()).unwrap_or(u32::MAX);
                self.absent.push((position, hash));
            }
        }
        self.headers.push(header);
    }

    /// Appends the entries of a batch from position `from` on.
    pub fn extend_from(&mut self, batch: &Batch, from: usize) {
        batch.entries().skip(from).for_each(|(header, content)| self.push(header, content));
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.headers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// About how many bytes the batch has before it is compressed.
    pub fn weight(&self) -> usize {
        self.payloads.len() + ENTRY_WEIGHT * self.headers.len() + ROW_LEN * self.absent.len()
    }

    /// Whether another entry could be one too many for a batch, whatever it is (L-1).
    pub fn is_full(&self) -> bool {
        let payload_room = super::BATCH_PAYLOAD_LEN_MAX - crate::entry::ENTRY_PAYLOAD_LEN_MAX;
        self.headers.len() >= super::BATCH_ENTRY_COUNT_MAX as usize
            || self.absent.len() >= ABSENT_COUNT_MAX
            || self.payloads.len() > payload_room as usize
    }

    /// The entries in order.
    pub fn entries(&self) -> impl Iterator<Item = (EntryHeader, Content<'_>)> {
        let (mut start, mut absent) = (0, self.absent.iter().peekable());
        self.headers.iter().enumerate().map(move |(position, header)| {
            if let Some((_, hash)) = absent.next_if(|(at, _)| *at as usize == position) {
                return (*header, Content::Absent(*hash));
            }
            let end = start + header.payload_len as usize;
            let payload = &self.payloads[std::mem::replace(&mut start, end)..end];
            (*header, Content::Payload(payload))
        })
    }

    /// Takes all entries out; memory is kept.
    pub fn clear(&mut self) {
        self.headers.clear();
        self.payloads.clear();
        self.absent.clear();
    }
}

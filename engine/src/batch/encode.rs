//! Writing batches.

use std::io::Cursor;

use zstd::bulk::Compressor;

use super::{
    BATCH_ENTRY_COUNT_MAX, BATCH_EXTENSION_LEN_MAX, BATCH_META_LEN_MAX, BATCH_PAYLOAD_LEN_MAX,
    BatchDraft, BatchHeader, Codec,
    absent::{ROW_LEN, put_rows},
    column,
    header::{FLAG_CONTINUES, FLAGS, MAGIC, ROOT, SectionHeader, put_absent_extension},
    zstd_frame::compressor,
};
use crate::{
    bytes::{Hash, LogId, Put as _, Timestamp},
    entry::{ENTRY_PAYLOAD_LEN_MAX, EntryHeader, LAMPORT_MAX, LOG_ENTRY_COUNT_MAX},
};

/// Shortest section, in bytes, that is worth a try with zstd. Its frame alone takes 9 bytes, so
/// that of ordinary text or JSON nothing shorter gets smaller; from here on it costs microseconds.
const COMPRESS_LEN_MIN: usize = 64;

/// Encodes batches. Keeps its zstd context and its scratch memory.
pub struct Encoder {
    compressor: Compressor<'static>,
    /// The columns before compression.
    meta: Vec<u8>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder that compresses with zstd's `level`; one that zstd does not have becomes the
    /// nearest that it has, and 0 is zstd's default.
    ///
    /// # Panics
    ///
    /// If there is no memory for zstd's context.
    pub fn new(level: i32) -> Self {
        Self { compressor: compressor(level), meta: Vec::new() }
    }

    /// Appends to `out` the batch of the entries from `first_index` of `log`.
    ///
    /// `payloads` are the payloads one after the other, as long as `headers` say. `root` may be
    /// anything if [`set_root`] follows: hashing can then go on beside compression.
    ///
    /// Cost: two passes over the headers, one compression of the columns and one of the payloads;
    /// a section is stored as it is where zstd would not make it shorter. Appends at most
    /// [`BATCH_LEN_MAX`](super::BATCH_LEN_MAX) bytes.
    ///
    /// # Panics
    ///
    /// If the entries break a limit of L-1, their clocks do not rise from 1 or more, or `payloads`
    /// is not as long as the headers say.
    pub fn encode(
        &mut self,
        log: LogId,
        first_index: u64,
        headers: &[EntryHeader],
        payloads: &[u8],
        root: Hash,
        out: &mut Vec<u8>,
    ) {
        self.put(log, first_index, (headers, payloads, &[]), root, out);
    }

    /// The same, of entries that were put together one by one, and of which payloads may be absent.
    ///
    /// # Panics
    ///
    /// As [`Encoder::encode`].
    pub fn encode_draft(
        &mut self,
        log: LogId,
        first_index: u64,
        draft: &BatchDraft,
        root: Hash,
        out: &mut Vec<u8>,
    ) {
        let entries = (&draft.headers[..], &draft.payloads[..], &draft.absent[..]);
        self.put(log, first_index, entries, root, out);
    }

    fn put(
        &mut self,
        log: LogId,
        first_index: u64,
        (headers, payloads, absent): (&[EntryHeader], &[u8], &[(u32, Hash)]),
        root: Hash,
        out: &mut Vec<u8>,
    ) {
        let entry_count = check(first_index, headers, payloads, absent);
        self.meta.clear();
        put_columns(headers, &mut self.meta);

        // The sections come first, because the header says how long they became.
        let start = out.len();
        out.pad_to(start + BatchHeader::LEN);
        if !absent.is_empty() {
            let len = u32::try_from(absent.len() * ROW_LEN).unwrap_or(u32::MAX);
            put_absent_extension(len, out);
            put_rows(absent, out);
        }
        let extension_len = out.len() - start - BatchHeader::LEN;
        assert!(extension_len <= BATCH_EXTENSION_LEN_MAX as usize, "too many absent payloads");
        let header = BatchHeader {
            continues: false,
            log,
            first_index,
            entry_count,
            extension_len: u32::try_from(extension_len).expect("checked above"),
            meta: put_section(&mut self.compressor, &self.meta, BATCH_META_LEN_MAX, out),
            payload: put_section(&mut self.compressor, payloads, BATCH_PAYLOAD_LEN_MAX, out),
            root,
        };
        out[start..start + BatchHeader::LEN].copy_from_slice(&header.encode());
    }
}

/// Writes the root into an encoded batch.
///
/// # Panics
///
/// If `batch` does not start with a batch header.
pub fn set_root(batch: &mut [u8], root: &Hash) {
    assert!(batch.starts_with(&MAGIC), "the root is set in a batch");
    batch[ROOT].copy_from_slice(root.as_bytes());
}

/// Marks an encoded batch as one whose atomic group goes on in the next (F-6).
///
/// # Panics
///
/// If `batch` does not start with a batch header.
pub fn set_continues(batch: &mut [u8]) {
    assert!(batch.starts_with(&MAGIC), "the mark is set in a batch");
    batch[FLAGS].copy_from_slice(&FLAG_CONTINUES.to_le_bytes());
}

/// Asserts what a reader would otherwise refuse; returns the number of entries.
fn check(
    first_index: u64,
    headers: &[EntryHeader],
    payloads: &[u8],
    absent: &[(u32, Hash)],
) -> u32 {
    let entry_count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
    assert!(entry_count > 0, "a batch has entries");
    assert!(entry_count <= BATCH_ENTRY_COUNT_MAX, "too many entries for a batch");
    assert!(
        first_index <= LOG_ENTRY_COUNT_MAX - u64::from(entry_count),
        "the entries are beyond the end of any log"
    );
    let mut lamport = 0;
    let mut payload_len = 0;
    for header in headers {
        assert!(header.lamport > lamport, "clocks rise from entry to entry");
        assert!(header.lamport <= LAMPORT_MAX, "clocks have a limit");
        assert!(header.payload_len <= ENTRY_PAYLOAD_LEN_MAX, "too long a payload for an entry");
        lamport = header.lamport;
        payload_len += u64::from(header.payload_len);
    }
    for (position, _) in absent {
        let header = &headers[*position as usize];
        assert!(!header.kind.is_control(), "only payloads of changes are absent");
        assert!(header.payload_len > 0, "an empty payload is there");
        payload_len -= u64::from(header.payload_len);
    }
    assert!(payload_len == payloads.len() as u64, "payloads are as long as their headers say");
    entry_count
}

/// Appends the six columns (B-4).
fn put_columns(headers: &[EntryHeader], out: &mut Vec<u8>) {
    let headers = headers.iter();
    column::encode(headers.clone().map(|header| header.kind.0.into()), out);
    column::encode(headers.clone().map(|header| header.part.flags().into()), out);
    column::encode(headers.clone().map(|header| header.stream.0.into()), out);
    column::encode(headers.clone().map(|header| header.payload_len.into()), out);
    column::encode(headers.clone().map(|header| header.lamport), out);
    column::encode(headers.map(|header| Timestamp::encode(header.timestamp).cast_unsigned()), out);
}

/// Appends a section, compressed if that makes it shorter.
fn put_section(
    compressor: &mut Compressor<'static>,
    raw: &[u8],
    raw_len_max: u32,
    out: &mut Vec<u8>,
) -> SectionHeader {
    let raw_len = u32::try_from(raw.len()).ok().filter(|&len| len <= raw_len_max);
    let raw_len = raw_len.expect("too long a section for a batch");
    if let Some(len) = compress(compressor, raw, out) {
        return SectionHeader { codec: Codec::Zstd, raw_len, len };
    }
    out.put(raw);
    SectionHeader { codec: Codec::Stored, raw_len, len: raw_len }
}

/// Appends `raw` as a zstd frame and returns its length, if that is less than that of `raw`.
fn compress(compressor: &mut Compressor<'static>, raw: &[u8], out: &mut Vec<u8>) -> Option<u32> {
    if raw.len() < COMPRESS_LEN_MIN {
        return None;
    }
    let start = out.len();
    out.reserve(zstd::compress_bound(raw.len()));
    let mut unused = Cursor::new(&mut *out);
    unused.set_position(start as u64);
    // zstd fails only for want of memory: then, too, the section can be stored.
    let len = compressor.compress_to_buffer(raw, &mut unused).ok().filter(|&len| len < raw.len());
    if len.is_none() {
        out.truncate(start);
    }
    u32::try_from(len?).ok()
}

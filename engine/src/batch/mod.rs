//! Batches: entries as columns and payloads, compressed. Normative: `format-spec.md`, B-1 to B-8.
//!
//! A batch is the portable unit of storage and transport: its header says everything that is
//! needed to read it, and it means the same in any file, message or object.
//!
//! ```text
//! offset  size  field
//!      0     4  magic            "ANB1"
//!      4     1  meta_codec       0 = stored, 1 = zstd
//!      5     1  payload_codec    0 = stored, 1 = zstd
//!      6     1  cipher_suite     0 = none
//!      7     1                   zero
//!      8     4  key_epoch        0
//!     12     4  flags            zero
//!     16    16  log              UUID
//!     32     8  first_index      index of the first entry
//!     40     4  entry_count      1 to BATCH_ENTRY_COUNT_MAX
//!     44     4  extension_len    at most BATCH_EXTENSION_LEN_MAX
//!     48     4  meta_raw_len     at most BATCH_META_LEN_MAX
//!     52     4  meta_len
//!     56     4  payload_raw_len  at most BATCH_PAYLOAD_LEN_MAX
//!     60     4  payload_len
//!     64    32  root             of the log up to and including this batch
//!     96     .  extension sections (absent payloads), meta section (six columns), payload section
//! ```
//!
//! [`Encoder`] writes batches and [`Decoder`] reads them; both keep their zstd context and their
//! scratch memory, so each thread should hold one. A [`Batch`] has been checked against all rules
//! of section 5: reading entries from it cannot fail. What the rules of section 6 say about
//! neighbouring entries (clocks, declared streams, whole groups of parts) is not a batch's to know.
//!
//! # Examples
//!
//! ```
//! use annals::{
//!     Hash, LogId, StreamId,
//!     batch::{Decoder, Encoder},
//!     entry::{EntryHeader, Kind, Part},
//! };
//!
//! let header = |lamport, payload_len| EntryHeader {
//!     lamport,
//!     timestamp: None,
//!     payload_len,
//!     stream: StreamId::DEFAULT,
//!     kind: Kind::CHANGE,
//!     part: Part::WHOLE,
//! };
//! let log = LogId::from_bytes([7; 16]);
//!
//! let mut bytes = Vec::new();
//! Encoder::new(3).encode(log, 40, &[header(41, 2), header(42, 5)], b"hithere", Hash::ZERO, &mut bytes);
//!
//! let batch = Decoder::new().decode(&bytes)?;
//! assert_eq!(batch.indices(), 40..42);
//! assert_eq!(batch.payload(1), Some(&b"there"[..]));
//! assert_eq!(batch.entry_header(1).lamport, 42);
//! # Ok::<(), annals::batch::BatchError>(())
//! ```

mod absent;
mod column;
mod contents;
mod decode;
mod draft;
mod encode;
mod error;
mod header;
pub(crate) mod zstd_frame;

pub use self::{
    absent::Content,
    contents::{Batch, BatchMeta},
    decode::Decoder,
    draft::BatchDraft,
    encode::{Encoder, set_continues, set_root},
    error::{BatchError, ColumnError, Field, Section, Unsupported},
    header::{BatchHeader, Codec},
};

use crate::entry::ENTRY_PAYLOAD_LEN_MAX;

/// Most entries of one batch (L-1); the least is 1.
pub const BATCH_ENTRY_COUNT_MAX: u32 = 1 << 18;
/// Longest meta section of a batch, uncompressed, in bytes (L-1).
pub const BATCH_META_LEN_MAX: u32 = 16 << 20;
/// Longest payload section of a batch, uncompressed, in bytes (L-1).
pub const BATCH_PAYLOAD_LEN_MAX: u32 = 16 << 20;
/// Most bytes of all extension sections of a batch together (L-1).
pub const BATCH_EXTENSION_LEN_MAX: u32 = 1 << 20;
/// Longest batch that [`Encoder`] writes, in bytes: it stores what compression would lengthen.
pub const BATCH_LEN_MAX: u32 =
    96 + BATCH_EXTENSION_LEN_MAX + BATCH_META_LEN_MAX + BATCH_PAYLOAD_LEN_MAX;

const _: () = assert!(BatchHeader::LEN == 96);
// The longest change that is not split fits a batch of its own.
const _: () = assert!(ENTRY_PAYLOAD_LEN_MAX <= BATCH_PAYLOAD_LEN_MAX);
// The columns of a full batch fit even if no encoding beats plain varints (B-5): for each entry
// 2 bytes of kind, 1 of flags, 5 of stream, 3 of payload length, 10 each of clock and time.
const _: () = assert!(ENTRY_PAYLOAD_LEN_MAX < 1 << 21);
const _: () = assert!(6 + (2 + 1 + 5 + 3 + 10 + 10) * BATCH_ENTRY_COUNT_MAX <= BATCH_META_LEN_MAX);

#[cfg(test)]
mod tests;

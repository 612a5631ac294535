//! Packs: the bytes of assets, in chunks that can be verified one by one. Pure: knows no files.
//!
//! A pack is a head of two units, then records without gaps (K-1, K-2). Integers are
//! little-endian; *salted* CRCs are seeded with the salt of the pack.
//!
//! ```text
//! offset  size  field of a header unit (one at 0, the same again at 4096)
//!      0     8  magic                  89 "ANLP" 0D 0A 1A
//!      8     2  version_major          1
//!     10     2  version_minor          0
//!     12     1  unit                   0 or 1
//!     13     1  hash_suite             1
//!     14     1  kind                   1 = shared, 2 = single
//!     15     1                         zero
//!     16     8  compatible_features
//!     24     8  incompatible_features
//!     32     8  number                 of a shared pack, from 1; of a single pack 0
//!     40     8  created                time
//!     48    16  workspace              UUID
//!     64    16  client                 UUID
//!     80    16  salt
//!     96    32  writer                 UTF-8, padded with zeros
//!    128  3964                         zero
//!   4092     4  crc                    of bytes 0..4092, not salted
//!
//! offset  size  field of a record
//!      0     4  magic                  "ANK1"
//!      4     1  kind                   1 = asset, 2 = drop, 3 = mark
//!      5     1  flags                  1 critical
//!      6     1  chunk_log2             16 in an asset record, else 0
//!      7     1  codec                  0 = stored, 1 = zstd by chunk
//!      8     4  data_pad               at most 4096
//!     12     1  cipher_suite           0
//!     13     3                         zero
//!     16     8  record_offset          offset of this record in its file
//!     24     8  synced_upto            offset below which the file was durable
//!     32    32  id                     of the asset; of a mark zero
//!     64     8  size                   of the content; of a drop the number of a pack
//!     72     8  data_len               of a drop the offset of a record in that pack
//!     80     4  key_epoch              0
//!     84     8                         zero
//!     92     4  header_crc             salted CRC of bytes 0..92
//!     96     .  data_pad zeros, data, table, zeros up to the footer
//! len-24     4  magic                  "ANK2"
//! len-20     4  table_crc              salted CRC of the table
//! len-16     8  record_len
//!  len-8     4  header_crc             again
//!  len-4     4  footer_crc             salted CRC of the 20 bytes before
//! ```
//!
//! The content is cut into chunks of [`CHUNK_LEN`] bytes. Each is a subtree of BLAKE3's own tree,
//! so the id of an asset is the plain hash of its content, and still each chunk is verified by
//! itself: the *table* of a record holds the chaining values of all chunks, those of each 256 of
//! them, and so on (K-5, K-6):
//!
//! ```text
//! id                    root of at most 256 nodes         600 chunks:
//! level 1      0   1   2                                  3 nodes, each of up to 256 chunks
//! level 0      0 1 .. 255   256 .. 511   512 .. 599       a chaining value for each chunk
//! ends         where each chunk ends in the data (with zstd only)
//! ```
//!
//! | file | what |
//! |---|---|
//! | `head` | [`PackHeader`]: the first 8 KiB |
//! | `record` | [`RecordHeader`]: what a record holds, and where its parts are |
//! | `whole` | [`Footer`]; records in one piece: [`encode_record`], [`decode_record`], [`relocate`] |
//! | `tree` | chaining values of chunks and of what is above them |
//! | `table` | [`TableShape`], [`TableBuilder`] |
//! | `verify` | [`Verifier`]: from a chunk up to the id, each group of nodes once |
//! | `codec` | [`ChunkEncoder`], [`ChunkDecoder`]: single chunks with zstd |
//! | `worth` | [`pays`]: whether compressing is worth a try |
//! | [`proof`] | chunks for somebody who has nothing but the id (K-16) |
//! | [`have`] | which chunks of a partial asset are here (K-13) |
//! | [`pins`] | what is kept whatever the logs say (K-14) |
//!
//! Normative: `format-spec.md`, section 13.
//!
//! # Examples
//!
//! A record in memory, and two of its chunks for somebody who has only the id:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use annals::{
//!     Hash,
//!     bytes::SaltedCrc,
//!     pack::{
//!         CHUNK_LEN, ChunkEncoder, Codec, RecordHeader, TableBuilder, chunk_cv, decode_record,
//!         encode_record,
//!         proof::{range_proof, verify_range},
//!     },
//! };
//!
//! let content = b"some text ".repeat(50_000);
//! let size = content.len() as u64;
//! let (mut encoder, mut table, mut data) = (ChunkEncoder::new(1), TableBuilder::new(Codec::Zstd), Vec::new());
//! for (index, chunk) in (0..).zip(content.chunks(CHUNK_LEN)) {
//!     let stored = encoder.encode(chunk);
//!     data.extend_from_slice(stored);
//!     table.push(chunk_cv(index, chunk), u32::try_from(stored.len())?);
//! }
//! let (table, id) = table.finish(&[]);
//! let crc = SaltedCrc::new(&[7; 16]);
//! let header = RecordHeader::asset(id, size, Codec::Zstd, data.len() as u64, 0).at(8192, 8192);
//! let bytes = encode_record(header, &data, &table, crc);
//! assert!(bytes.len() < content.len() / 100);
//!
//! let record = decode_record(&bytes, 8192, crc)?;
//! let node = |level, j| {
//!     let at = record.header.shape().node_offset(level, j) as usize;
//!     Ok::<_, Infallible>(Hash::from_bytes(*record.table[at..].first_chunk().unwrap()))
//! };
//! let proof = range_proof(record.header.chunk_count(), 2..4, node)?;
//! assert_eq!(proof.len(), 2);
//! verify_range(id, size, 2, &content[2 * CHUNK_LEN..4 * CHUNK_LEN], &proof)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::asset::{ASSET_SIZE_MAX, PIN_COUNT_MAX};

mod codec;
mod error;
pub mod have;
mod head;
pub mod pins;
pub mod proof;
mod record;
mod table;
mod tree;
mod verify;
mod whole;
mod worth;

pub use self::{
    codec::{ChunkDecoder, ChunkEncoder, ChunkError},
    error::{LaterVersion, RecordError},
    have::{HaveError, HaveHeader, HaveRow},
    head::{DecodedHead, PackHeadError, PackHeader, PackKind, UnitState, decode_head},
    pins::PinsError,
    proof::ProofFault,
    record::{Codec, RecordHeader, RecordKind},
    table::{TableBuilder, TableShape},
    tree::{chunk_cv, merge_level, merge_root},
    verify::{Verifier, VerifyError},
    whole::{Footer, Record, decode_record, encode_record, relocate},
    worth::pays,
};

/// Length of a header unit of a pack, in bytes.
pub const PACK_UNIT_LEN: usize = 4096;
/// Length of the head of a pack, in bytes; the first record starts here.
pub const PACK_HEAD_LEN: u64 = 2 * PACK_UNIT_LEN as u64;
/// Encoded size of a record header, in bytes.
pub const RECORD_HEADER_LEN: usize = 96;
/// Encoded size of a record footer, in bytes.
pub const RECORD_FOOTER_LEN: usize = 24;
/// Records start at multiples of this many bytes.
pub const RECORD_ALIGN: u64 = 8;
/// Most zeros between a record header and its data.
pub const DATA_PAD_MAX: u32 = 4096;
/// Zeros between the record header and the data of a single pack (K-7): the data starts at 12,288.
pub const SINGLE_DATA_PAD: u32 = 4000;
/// Binary logarithm of [`CHUNK_LEN`].
pub const CHUNK_LOG2: u8 = 16;
/// Length of a chunk, in bytes; the last one of an asset may be shorter.
pub const CHUNK_LEN: usize = 1 << CHUNK_LOG2;
/// Nodes of a level that one node of the next stands for.
pub const TABLE_FANOUT: u64 = 256;

const _: () = assert!(
    PACK_HEAD_LEN + RECORD_HEADER_LEN as u64 + SINGLE_DATA_PAD as u64 == 3 * PACK_UNIT_LEN as u64
);
const _: () = assert!(SINGLE_DATA_PAD <= DATA_PAD_MAX);

/// Number of chunks of a content of `size` bytes (K-4).
pub const fn chunk_count(size: u64) -> u64 {
    size.div_ceil(CHUNK_LEN as u64)
}

/// Length of chunk `chunk` of a content of `size` bytes: 0 if there is no such chunk.
pub fn chunk_len(size: u64, chunk: u64) -> usize {
    let rest = size.saturating_sub(chunk.saturating_mul(CHUNK_LEN as u64));
    usize::try_from(rest).map_or(CHUNK_LEN, |rest| rest.min(CHUNK_LEN))
}

#[cfg(test)]
mod tests;

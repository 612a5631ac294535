//! The index of one log: a cache that finds entries by number, by time and by stream, and keeps the
//! upper nodes of the Merkle tree. Normative: `format-spec.md`, section 10.
//!
//! The segment is cut into *stretches* of 256 KiB (X-1). What a stretch holds goes into an
//! immutable *run* file; eight runs of a level become one of the next (X-2), like the digits of a
//! counter to the base 8. So there are O(log n) files, an entry is copied O(log n) times, and which
//! files there are, to the byte, depends on nothing but the segment: a rebuilt index equals one
//! that grew.
//!
//! ```text
//! page (X-3)              run content (X-4)
//! offset  size             192  header
//!      0  4092  content     32  x span_count    spans: offset, first_index, change_count, time_max
//!   4092     4  crc         32  x nodes         by level from 6, then by position
//!                           12  x stream_count  stream, first_posting, posting_count
//!                            4  x posting_count numbers of spans
//!                               declarations    16 bytes and a name each
//! ```
//!
//! [`Index`] keeps what has been pushed and is not yet in a run in memory, in the same form, so that
//! readers see no difference. Opening reads one page of each file; queries read the pages that they
//! need, check each, and keep a few.
//!
//! Nothing here is synced. After a crash a run may be missing, empty or torn: then its pages do not
//! check out, and it is rebuilt (X-9).

use crate::bytes::StreamId;

mod check;
mod cursor;
mod iter;
mod layout;
mod merge;
mod pages;
mod run;
mod scan;
mod store;
mod stretch;
mod types;

pub use self::{
    iter::{Declarations, Spans},
    scan::remove_all,
    store::Index,
    types::{
        Declaration, DeclarationForm, Direction, FrameSummary, Identity, Ignored, IgnoredReason,
        IndexError, Position, SpanRef,
    },
};

/// Length of a segment's head: the frames of stretch 0 start here (X-1).
const HEAD_LEN: u64 = 16_384;
/// Bytes of a segment whose frames make up one stretch (X-1).
const STRETCH_LEN: u64 = 262_144;
/// How far behind the start of its span a batch frame starts a new one (X-5).
const SPAN_LEN: u64 = 16_384;
/// Not a stream: under this number stand the spans that hold entries about assets (X-7).
pub(crate) const ASSET_POSTINGS: StreamId = StreamId(u32::MAX);
/// The number that stands for all entries of the kinds seen, snapshot and redaction (X-7).
pub(crate) const HISTORY_POSTINGS: StreamId = StreamId(u32::MAX - 1);
/// Longest frame: the longest payload, header and trailer, at the widest alignment (F-1).
const FRAME_LEN_MAX: u64 = (35_651_584 + 80_u64).next_multiple_of(4096);
/// Runs of one level that make up one of the next (X-2).
const FOLD: usize = 8;
/// Lowest level of the tree nodes that are kept (X-6); lower ones are cheap to compute again.
const NODE_LEVEL_MIN: u32 = 6;
/// Highest level of the tree nodes that are kept (X-6).
const NODE_LEVEL_MAX: u32 = 47;

#[cfg(test)]
mod tests;

//! Frames: the self-delimiting unit of a segment file. Normative: `format-spec.md` F-1 to F-8.
//!
//! ```text
//! offset  size  field
//!      0     4  magic         "ANF1"
//!      4     1  kind          1 = batch
//!      5     1  flags         1 critical, 2 copy on compaction, 4 continues
//!      6     2  zero
//!      8     4  payload_len
//!     12     4  payload_crc   salted CRC of the payload
//!     16     8  frame_offset  offset of this frame in its file
//!     24     8  generation
//!     32     8  incarnation
//!     40     8  synced_upto   highest offset known to be durable when the frame was built
//!     48     8  first_index
//!     56     4  entry_count
//!     60     4  link          header CRC of the frame before
//!     64     4  opening
//!     68     4  header_crc    salted CRC of bytes 0..68
//!     72     n  payload, then zeros up to the trailer
//!  len-8     4  frame_len
//!  len-4     4  header_crc again
//! ```
//!
//! The header has a checksum of its own, so that a length is trusted before it is used and a rotted
//! payload costs exactly one frame. It carries its own offset, so that a frame inside a payload, or
//! one that a disk wrote to the wrong place, is never taken for one of the log.

mod header;

pub use self::header::{
    FRAME_ALIGN_LOG2_MAX, FRAME_ALIGN_LOG2_MIN, FRAME_HEADER_LEN, FRAME_PAYLOAD_LEN_MAX,
    FRAME_TRAILER_LEN, FrameContext, FrameError, FrameHeader, FrameKind, encode_frame, frame_len,
};

#[cfg(test)]
mod tests;

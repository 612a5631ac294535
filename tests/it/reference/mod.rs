//! The reference decoder: a slow reader of segments and bundles, written against `format-spec.md`
//! alone. It shares no code with the engine, so that an agreement of the two says something.
//!
//! Everything is a function from bytes to owned values; offsets in the code are those of the
//! tables in the text. There are three kinds of outcome:
//!
//! - Bytes that are missing or fail a checksum are what section 9 is about. They end up in
//!   [`segment::Segment::verdict`], and whatever still verifies is decoded.
//! - Bytes whose checksums hold but which break another rule were written by a faulty program (or
//!   are refused by S-4, B-2, ..). They are an `Err` that starts with the rule, as in
//!   "E-8: lamport 7 after 5". By F-7 a reader that must go on takes the frame of such a batch for
//!   one that is not valid; this one judges writers too, and stops.
//! - What a rule names without saying what follows from it becomes one of
//!   [`segment::Segment::notes`].
//!
//! | module | sections |
//! |---|---|
//! | [`bytes`], [`column`] | 1, B-5 |
//! | [`head`] | 3 |
//! | [`frame`] | 4 |
//! | [`batch`] | 5 |
//! | [`entry`], [`history`] | 6 |
//! | [`salts`] | 7 |
//! | [`merkle`] | 8 |
//! | [`recovery`] | 9 |
//! | [`bundle`] | 11 |
//! | [`pack`] | 13 |
//! | [`forgotten`], [`snapshot`], [`prune`] | 14 |
//! | [`segment`], [`dump`] | all of it, for one file |

pub(crate) mod batch;
pub(crate) mod bundle;
pub(crate) mod bytes;
pub(crate) mod column;
pub(crate) mod dump;
pub(crate) mod entry;
pub(crate) mod forgotten;
pub(crate) mod frame;
pub(crate) mod head;
pub(crate) mod history;
pub(crate) mod merkle;
pub(crate) mod pack;
pub(crate) mod prune;
pub(crate) mod recovery;
pub(crate) mod salts;
pub(crate) mod segment;
pub(crate) mod snapshot;

mod tests;

/// The limits of L-1.
pub(crate) mod limits {
    pub(crate) const ENTRY_PAYLOAD_LEN_MAX: u64 = 1_048_576;
    pub(crate) const BATCH_ENTRY_COUNT_MAX: u32 = 262_144;
    pub(crate) const BATCH_META_LEN_MAX: u32 = 16_777_216;
    pub(crate) const BATCH_PAYLOAD_LEN_MAX: u32 = 16_777_216;
    pub(crate) const BATCH_EXTENSION_LEN_MAX: u32 = 1_048_576;
    pub(crate) const FRAME_PAYLOAD_LEN_MAX: u32 = 35_651_584;
    pub(crate) const LOG_ENTRY_COUNT_MAX: u64 = 1 << 48;
    pub(crate) const STREAM_NAME_LEN_MAX: usize = 255;
    pub(crate) const STREAM_COUNT_MAX: u32 = 1_048_576;
    pub(crate) const FRONTIER_LOG_COUNT_MAX: usize = 13_107;
    pub(crate) const LAMPORT_MAX: u64 = (1 << 63) - 1;
    pub(crate) const ASSET_SIZE_MAX: u64 = 1 << 46;
    pub(crate) const ASSET_NAME_LEN_MAX: usize = 255;
    pub(crate) const ASSET_MEDIA_TYPE_LEN_MAX: usize = 127;
    pub(crate) const ASSET_PREVIEW_LEN_MAX: usize = 1_024;
    pub(crate) const RELEASE_CLAIM_COUNT_MAX: u32 = 32_768;
    pub(crate) const PIN_COUNT_MAX: u64 = 16_777_216;
    pub(crate) const REDACTION_REASON_LEN_MAX: usize = 1_024;
}

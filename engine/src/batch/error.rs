//! Why bytes are not a batch.

use std::fmt;

use crate::bytes::DecodeError;

/// Why bytes are not a batch that this version reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Sound as far as one can tell, but of a later version (B-2, B-3).
    #[error("not supported by this version: {0}")]
    Unsupported(#[from] Unsupported),
    /// The magic is another.
    #[error("not a batch: wrong magic")]
    Magic,
    /// The batch ends too early, bytes follow it (B-2), or reserved bytes are not zero (G-3).
    #[error("malformed batch: {0}")]
    Decode(#[from] DecodeError),
    /// No entries, or more than [`BATCH_ENTRY_COUNT_MAX`](super::BATCH_ENTRY_COUNT_MAX).
    #[error("batch of {0} entries")]
    EntryCount(u32),
    /// The entries would lie beyond the most that a log can have (L-1).
    #[error("first index {0} is beyond the end of any log")]
    FirstIndex(u64),
    /// A section is longer, uncompressed, than its limit (L-1).
    #[error("{section} of {raw_len} bytes")]
    SectionLen {
        /// Which one.
        section: Section,
        /// Its length, uncompressed.
        raw_len: u32,
    },
    /// A stored section whose two lengths differ (B-2).
    #[error("{0} is stored, but its lengths differ")]
    StoredLen(Section),
    /// A compressed section that is not exactly one zstd frame (B-2).
    #[error("{0} is not one zstd frame")]
    ZstdFrame(Section),
    /// A compressed section that needs a dictionary (B-2).
    #[error("{0} needs a dictionary")]
    Dictionary(Section),
    /// A compressed section that does not decompress, at least not within its length.
    #[error("{0} cannot be decompressed to its length")]
    Zstd(Section),
    /// A compressed section that decompresses to another length than the header says.
    #[error("{0} decompresses to another length")]
    RawLen(Section),
    /// The extension sections do not add up, or have unknown flags (B-3).
    #[error("malformed extension sections: {0}")]
    Extension(DecodeError),
    /// A column of the meta section is wrong (B-5, B-6).
    #[error("column {field}: {error}")]
    Column {
        /// Which one.
        field: Field,
        /// What is wrong.
        error: ColumnError,
    },
    /// The clocks do not rise from entry to entry (B-6).
    #[error("lamport does not rise from entry to entry")]
    LamportOrder,
    /// Bytes follow the last column (B-4).
    #[error("bytes follow the columns")]
    MetaTrailing,
    /// The list of absent payloads is malformed, or names an entry that has to have its payload (B-8).
    #[error("malformed list of absent payloads")]
    Absent,
    /// The payload lengths do not add up to the payload section (B-7).
    #[error("payload lengths do not add up")]
    PayloadSum,
}

/// What a later version may have written, and this one refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// A codec other than those of B-1.
    #[error("codec {codec} of the {section}")]
    Codec {
        /// The section it was used for.
        section: Section,
        /// Its number.
        codec: u8,
    },
    /// An encrypted batch.
    #[error("cipher suite {0}")]
    CipherSuite(u8),
    /// Set flags.
    #[error("batch flags {0:#x}")]
    Flags(u32),
    /// An unknown extension section that is critical.
    #[error("critical extension {0}")]
    Extension(u16),
}

/// What is wrong with a column.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ColumnError {
    /// The column ends too early, or a varint is malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An encoding that B-5 does not list.
    #[error("unknown encoding {0}")]
    Encoding(u8),
    /// A delta column with scale 0.
    #[error("scale is zero")]
    Scale,
    /// An empty run, or runs that do not add up to the number of entries.
    #[error("runs do not add up")]
    Runs,
    /// A value outside of its field's range (B-6).
    #[error("value out of range")]
    Range,
}

/// A section of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Section {
    /// The extension sections, which are never compressed.
    Extensions,
    /// The columns.
    Meta,
    /// The payloads.
    Payload,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Extensions => "extensions",
            Self::Meta => "meta section",
            Self::Payload => "payload section",
        })
    }
}

/// A field of the entry header, that is a column (B-4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    /// What the entry is.
    Kind,
    /// Which part of a change it is.
    Flags,
    /// What it is about.
    Stream,
    /// Length of its payload.
    PayloadLen,
    /// Its clock.
    Lamport,
    /// Its wall time.
    Timestamp,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "kind",
            Self::Flags => "flags",
            Self::Stream => "stream",
            Self::PayloadLen => "payload_len",
            Self::Lamport => "lamport",
            Self::Timestamp => "timestamp",
        })
    }
}

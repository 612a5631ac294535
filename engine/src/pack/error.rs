//! Why bytes are not a record.

use crate::bytes::DecodeError;

/// Why bytes are not a record, or not a sound one. That there are too few is not among the reasons:
/// the caller knows the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No record starts here.
    #[error("no record header")]
    Magic,
    /// The header fails its checksum. Its lengths cannot be trusted.
    #[error("bad record header checksum")]
    HeaderCrc,
    /// The header is sound but says that it belongs elsewhere.
    #[error("record of offset {0} in a wrong place")]
    Misplaced(u64),
    /// The header's checksum is right, its fields are not.
    #[error("malformed record header")]
    Malformed,
    /// Sound as far as one can tell, but of a later version (K-3).
    #[error("record not supported by this version: {0}")]
    Unsupported(#[from] LaterVersion),
    /// Bytes between the parts of the record are not zero, or the record has another length.
    #[error("damaged space in a record")]
    Padding,
    /// The footer fails its checksum, or is that of another record.
    #[error("bad record footer")]
    Footer,
    /// The table fails its checksum.
    #[error("bad table checksum")]
    TableCrc,
    /// The table says of a chunk that it ends where it cannot.
    #[error("malformed table: chunk ends")]
    ChunkEnd,
}

/// What a later version may have written, and this one cannot read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LaterVersion {
    /// Chunks of another length.
    #[error("chunks of 2^{0} bytes")]
    ChunkLog2(u8),
    /// Another codec.
    #[error("codec {0}")]
    Codec(u8),
    /// The record is encrypted.
    #[error("cipher suite {0}")]
    CipherSuite(u8),
}

impl From<DecodeError> for RecordError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

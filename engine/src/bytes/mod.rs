//! Bytes: bounds-checked reading, writing, checksums, hashes, ids and times. Knows no files.
//!
//! Everything that this library reads from a disk or a peer goes through [`Reader`], which cannot
//! read past its input. Normative:
//! `format-spec.md`, section 1.

mod crc;
mod hash;
mod ids;
mod lanes;
mod reader;
mod time;
mod varint;
mod writer;

pub use self::{
    crc::{SaltedCrc, crc},
    hash::{Hash, LogKeys, ParseHashError},
    ids::{ClientId, LogId, ParseIdError, StreamId, WorkspaceId},
    reader::{DecodeError, Reader},
    time::{ParseTimestampError, Timestamp},
};
pub(crate) use self::{
    lanes::Lanes,
    varint::{unzigzag, zigzag},
    writer::{Put, fixed},
};

#[cfg(test)]
mod tests;

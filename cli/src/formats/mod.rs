//! Changes as bytes on stdin and stdout: what `append` reads and `cat` writes.
//!
//! ```text
//! lines       the payload, then 0x0a; nothing else is special, so bytes need not be text
//! json-lines  one JSON object a line: "text" or "data" (base64), "timestamp", "stream"
//! framed      payload_len u32 little-endian, then the payload
//! ```
//!
//! `json-lines` carries all that an application gives with a change; the other two carry payloads alone. What `cat`
//! writes in `json-lines` has "index" and "client" too, which `append` accepts and passes over.

mod read;
mod write;

pub(crate) use self::{
    read::{Record, RecordReader},
    write::write_entry,
};

#[cfg(test)]
mod tests;

/// Longest change that is read, in bytes: what the length of `framed` can say.
const CHANGE_LEN_MAX: u64 = u32::MAX as u64;

/// How changes are written as a sequence of bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One change a line, without its newline
    #[default]
    Lines,
    /// One JSON object a line: {"text": ".."} or {"data": base64}, "timestamp" (RFC 3339), "stream"
    JsonLines,
    /// Length as u32 little-endian, then that many bytes
    Framed,
}

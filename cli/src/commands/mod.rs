//! The subcommands of `annals`: for each its arguments, and a `run` that is given where to read and write.

pub(crate) mod append;
pub(crate) mod asset;
pub(crate) mod backup;
pub(crate) mod cat;
pub(crate) mod compact;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod frontier;
pub(crate) mod gc;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod log;
pub(crate) mod prove;
pub(crate) mod prune;
pub(crate) mod redact;
pub(crate) mod reindex;
pub(crate) mod root;
pub(crate) mod salvage;
pub(crate) mod snapshot;
pub(crate) mod stats;
pub(crate) mod verify_proof;

use std::io::Write;

/// Writes a value as one line of JSON.
fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

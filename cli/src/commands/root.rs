//! `annals root`.

use std::{io::Write, path::PathBuf};

use annals::{ClientId, Hash, LogId};

use super::write_json;
use crate::{exit::Outcome, open, select::log_of};

/// Print the Merkle root of a log, or of its first N entries.
///
/// The root commits to the log's id, to the number of entries, and to each of them. Who keeps a root can later verify
/// proofs against it (`annals prove`, `annals verify-proof`).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals root notes
  annals root notes --at 1000 --json")]
pub(crate) struct RootArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The log of this client, or the log with this id, instead of this client's own
    #[arg(long, value_name = "UUID")]
    client: Option<String>,
    /// Number of entries, instead of all
    #[arg(long, value_name = "N")]
    at: Option<u64>,
    /// Print {"client", "log", "size", "root"}
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Answer {
    client: ClientId,
    log: LogId,
    size: u64,
    root: Hash,
}

pub(crate) fn run(args: &RootArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let log = log_of(&workspace, args.client.as_deref())?;
    let size = args.at.unwrap_or_else(|| log.entry_count());
    let root = Answer { client: log.client(), log: log.id(), size, root: log.root_at(size)? };
    if args.json {
        write_json(out, &root)?;
    } else {
        writeln!(out, "{}", root.root)?;
    }
    Ok(Outcome::Done)
}

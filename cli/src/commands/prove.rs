//! `annals prove`.

use std::{io::Write, path::PathBuf};

use annals::InclusionProof;

use super::write_json;
use crate::{exit::Outcome, open, select::log_of};

/// Print a proof as JSON: that an entry stands in a log, or that a log only grew.
///
/// With --index, an inclusion proof: that this entry is the one at this index. It discloses the entry's time, clock,
/// stream number and length, and its payload, unless --no-payload. With --from, a consistency proof: that the log's
/// first SIZE entries are as they were.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals prove notes --index 42 | annals verify-proof --root \"$(annals root notes)\"
  annals prove notes --from 1000 |
    annals verify-proof --from-root \"$OLD_ROOT\" --root \"$(annals root notes)\"")]
#[command(group = clap::ArgGroup::new("what").required(true).args(["index", "from"]))]
pub(crate) struct ProveArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The log of this client, or the log with this id, instead of this client's own
    #[arg(long, value_name = "UUID")]
    client: Option<String>,
    /// Index of the entry to prove
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// Number of entries that the log had before
    #[arg(long, value_name = "SIZE")]
    from: Option<u64>,
    /// Number of entries of the log whose root the proof is for, instead of all
    #[arg(long, value_name = "SIZE")]
    at: Option<u64>,
    /// Leave out the payload and the salt of its hash: the content stays undisclosed
    #[arg(long, conflicts_with = "from")]
    no_payload: bool,
}

pub(crate) fn run(args: &ProveArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let log = log_of(&workspace, args.client.as_deref())?;
    if let Some(index) = args.index {
        let proof = log.prove_inclusion(index, args.at)?;
        let proof = if args.no_payload {
            InclusionProof { salt: None, payload: None, ..proof }
        } else {
            proof
        };
        write_json(out, &proof)?;
    }
    if let Some(from) = args.from {
        write_json(out, &log.prove_consistency(from, args.at)?)?;
    }
    Ok(Outcome::Done)
}

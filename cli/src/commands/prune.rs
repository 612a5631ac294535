//! `annals prune`.

use std::{io::Write, path::PathBuf};

use annals::{ClientId, Options, PruneOptions};

use super::{compact::write_log, write_json};
use crate::{exit::Outcome, open, progress::bytes_bar};

/// Drop the beginning of a log, here, and keep what proves the rest.
///
/// Roots of N and more entries, and all proofs made earlier, keep verifying; declared streams and live claims of assets
/// are kept. A snapshot has to stand for what goes (`annals snapshot`), and each other client must have seen it. Other
/// devices keep what they have. The log needs room for its new file beside the old one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals snapshot notes < state
  annals prune notes --to 10000 --dry-run
  annals prune notes --to 10000")]
pub(crate) struct PruneArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The client whose log is pruned: this one, if none is named
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    /// Index of the first entry that stays
    #[arg(long, value_name = "N")]
    to: u64,
    /// Also without a snapshot, and if others have not seen it; never beyond the snapshots that there are
    #[arg(long)]
    force: bool,
    /// Say what would be gained, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one object, as for one log of `compact`
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &PruneArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_write(&args.dir, Options::default())?;
    let client = args.client.unwrap_or_else(|| workspace.client());
    let mut options = PruneOptions::default();
    if args.force {
        options = options.force();
    }
    if args.dry_run {
        options = options.dry_run();
    }
    let bar = bytes_bar("prune", Some(0));
    let pruned = workspace.prune(client, args.to, &options, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        true
    });
    bar.finish_and_clear();
    let pruned = pruned?;
    workspace.close()?;
    if args.json {
        write_json(out, &pruned)?;
    } else {
        write_log(out, &pruned, args.dry_run)?;
    }
    Ok(Outcome::Done)
}

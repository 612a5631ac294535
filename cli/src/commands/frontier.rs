//! `annals frontier`.

use std::{io::Write, path::PathBuf};

use super::write_json;
use crate::{
    exit::{Outcome, say},
    open,
};

/// Print the frontier as JSON: for each log how many entries are here, and their root.
///
/// It is what `annals export --since` reads: send it to another client of the workspace, and its bundle carries what is
/// missing here.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  annals frontier phone > phone.json
  annals export laptop --since phone.json | annals import phone")]
pub(crate) struct FrontierArgs {
    /// Folder of the workspace
    dir: PathBuf,
}

pub(crate) fn run(args: &FrontierArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let outcome = open::name_unreadable("frontier", &workspace);
    write_json(out, &workspace.frontier()?)?;
    for log in workspace.logs() {
        if let Some(damage) = log.damage() {
            say(
                "annals",
                format_args!("frontier: only what comes before the damage is in it: {damage}"),
            );
        }
    }
    Ok(outcome)
}

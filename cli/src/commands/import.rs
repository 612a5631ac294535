//! `annals import`.

use std::{
    io::{BufReader, Read, Write},
    path::PathBuf,
};

use annals::Options;
use anyhow::Context as _;

use super::write_json;
use crate::{
    exit::Outcome,
    human, open,
    progress::{Metered, bytes_bar, stdin_len},
};

/// Take in a bundle from stdin.
///
/// Every entry is hashed and must lead to the roots that the bundle names. Importing a bundle again changes nothing;
/// one that contradicts what is here is refused. Of one that merely ends too early, what came is kept, and the exit code
/// is 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  annals import notes < all.bundle")]
pub(crate) struct ImportArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// Print {"logs": [{"client", "log", "before", "after"}], "entries"}
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(
    args: &ImportArgs,
    input: impl Read,
    out: &mut impl Write,
) -> anyhow::Result<Outcome> {
    let workspace = open::to_write(&args.dir, Options::default())?;
    let outcome = open::name_unreadable("import", &workspace);
    let bar = bytes_bar("import", stdin_len());
    let input = BufReader::with_capacity(256 << 10, Metered { inner: input, bar: bar.clone() });
    let report = workspace.import(input);
    bar.finish_and_clear();
    let report = report.with_context(|| args.dir.display().to_string())?;
    workspace.close()?;
    if args.json {
        write_json(out, &report)?;
        return Ok(outcome);
    }
    writeln!(out, "imported {}", human::counted(report.entries, "entry"))?;
    for log in report.logs.iter().filter(|log| log.after > log.before) {
        let [before, after] = [log.before, log.after].map(human::count);
        writeln!(out, "client {}: {before} before, {after} now", log.client)?;
    }
    Ok(outcome)
}

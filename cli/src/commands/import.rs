//! `annals import`.

use std::{
    io::{BufReader, Read, Write},
    path::PathBuf,
};

use annals::Options;
use anyhow::Context as _;

use super::write_json;
use crate::{
    exit::{Outcome, say},
    human, open,
    progress::{Metered, bytes_bar, stdin_len},
};

/// Take in a bundle from stdin.
///
/// Every entry is hashed and must lead to the roots that the bundle names. Importing a bundle again changes nothing;
/// one that contradicts what is here is refused. Of one that merely ends too early, what came is kept, and the exit code
/// is 1. So it is if a log cannot be gone on with because it is damaged here: it is named, the others are imported.
///
/// Entries of the own log that this device had lost, as after an old backup was restored, come back with the bundle;
/// stderr says so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  annals import notes < all.bundle")]
pub(crate) struct ImportArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// Print {"logs": [{"client", "log", "before", "after", "restored"}], "entries", "refused": [{"client", "log", "size",
    /// "reason"}]}
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
    for log in report.logs.iter().filter(|log| log.restored > 0) {
        say(
            "annals",
            format_args!(
                "import: note: the own log {} was shorter than what others have of it: restored {} that this device \
                 had lost",
                log.log,
                human::counted(log.restored, "entry")
            ),
        );
    }
    let outcome = outcome.and(open::name_hindered("import", &report.refused, "is not imported"));
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

//! `annals salvage`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use annals::salvage::{SalvageReport, salvage};

use super::write_json;
use crate::{
    exit::{Outcome, say},
    human,
    progress::bytes_bar,
};

/// Take every entry that still verifies into a new workspace, and name what is missing.
///
/// DIR may be in any state: without index.json, with damaged logs, or just a heap of segment files. It is only read. The
/// new workspace has the same id, so that it can exchange bundles with other replicas, and a new client. Of each log the
/// entries before the first gap become a replica with the same roots and proofs; the changes behind it cannot be a part
/// of that log any more and are appended to the new client's log, with their streams and times, proven by checksums
/// alone.
///
/// If a backup, a bundle or another replica is at hand, try `annals-fsck --repair --from` first: it loses less. And if
/// one turns up later, the changes from behind gaps are there twice, in their log and in the new client's.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing is missing, 1 something is, or it failed.

Examples:
  annals salvage notes --into notes-salvaged
  annals salvage lost+found --into notes --json | jq '.logs[].gaps'")]
pub(crate) struct SalvageArgs {
    /// Folder of the damaged workspace, or of its segments
    dir: PathBuf,
    /// Folder of the new workspace, which must be missing or empty
    #[arg(long, value_name = "NEW")]
    into: PathBuf,
    /// Print the report as one JSON object
    ///
    /// Its members: `workspace`, `client`, `log`, `path`, `complete`, `totals`, `logs` (of each `client`, `log`, `files`,
    /// `entries`, `carried`, `root`, `appended`, `gaps`, `incomplete`, `renamed`), `assets`, `left_out`, `notes`, `check`.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &SalvageArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let bar = bytes_bar("salvage", Some(0));
    let report = salvage(&args.dir, &args.into, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report?;
    if args.json {
        write_json(out, &report)?;
    } else {
        print(&report, out)?;
    }
    if report.is_complete() {
        return Ok(Outcome::Done);
    }
    say(
        "annals",
        format_args!("salvage: {}: incomplete: {}", args.dir.display(), missing(&report)),
    );
    Ok(Outcome::Incomplete)
}

fn print(report: &SalvageReport, out: &mut impl Write) -> io::Result<()> {
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    for left_out in &report.left_out {
        writeln!(out, "{left_out}")?;
    }
    for log in &report.logs {
        writeln!(out, "{log}")?;
        for gap in &log.gaps {
            writeln!(out, "  {gap}")?;
        }
        for incomplete in &log.incomplete {
            writeln!(out, "  {incomplete}")?;
        }
        if log.appended.absent > 0 {
            let changes = human::counted(log.appended.absent, "change");
            writeln!(out, "  {changes} left out whose payload was redacted or withheld")?;
        }
        for renamed in &log.renamed {
            let (stream, name) = (renamed.stream, &renamed.name);
            writeln!(out, "  the name of stream {stream} is lost; it is called {name:?} now")?;
        }
        for file in &log.files {
            if let Some(at) = file.contradicts_at {
                writeln!(out, "  {}: another history from entry {at} on", file.path.display())?;
            }
        }
    }
    for finding in report.check.errors() {
        writeln!(out, "{finding}")?;
    }
    let totals = report.totals();
    writeln!(out, "workspace {}", report.workspace)?;
    writeln!(out, "client    {} (new)", report.client)?;
    writeln!(out, "log       {} (new)", report.log)?;
    writeln!(
        out,
        "carried   {} in {}, with their roots",
        human::counted(totals.carried, "entry"),
        human::counted(totals.logs, "log")
    )?;
    writeln!(out, "appended  {} from behind gaps", human::counted(totals.appended, "change"))?;
    let pinned = if report.assets.pinned { ", pinned, since their claims may be lost" } else { "" };
    writeln!(out, "assets    {} whole{pinned}", human::count(report.assets.whole))?;
    for id in &report.assets.damaged {
        writeln!(out, "  asset {id}: no whole copy was found")?;
    }
    let missing = if report.is_complete() { "nothing".to_owned() } else { missing(report) };
    writeln!(out, "missing   {missing}")
}

/// What is missing, in one line.
fn missing(report: &SalvageReport) -> String {
    let totals = report.totals();
    let mut parts = Vec::new();
    if totals.gaps > 0 {
        let open = report.logs.iter().flat_map(|log| &log.gaps).any(|gap| gap.end.is_none());
        let least = if open { "at least " } else { "" };
        let lost = human::counted(totals.lost, "entry");
        parts.push(format!("{least}{lost} lost in {}", human::counted(totals.gaps, "gap")));
    }
    if totals.incomplete > 0 {
        parts.push(format!("parts of {}", human::counted(totals.incomplete, "incomplete change")));
    }
    if totals.left_out > 0 {
        parts.push(format!("{} left out", human::counted(totals.left_out, "segment")));
    }
    if !report.assets.damaged.is_empty() {
        parts.push(human::counted(report.assets.damaged.len() as u64, "damaged asset"));
    }
    if !report.check.is_clean() {
        parts.push("the new workspace is not sound".to_owned());
    }
    parts.join(", ")
}

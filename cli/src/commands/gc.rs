//! `annals gc`.

use std::{io::Write, path::PathBuf};

use annals::{CollectOptions, Options, Timestamp};

use super::write_json;
use crate::{
    exit::{Outcome, say},
    human, open,
    progress::bytes_bar,
};

/// Remove the bytes of assets that no log claims any more.
///
/// Pinned assets stay, and so does everything if a log is damaged, since a claim may be lost. Files of single assets, and
/// packs in which nothing is needed, go first and need no room; so it works on a full disk. Packs that small assets share
/// are written anew where that frees a quarter of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals gc notes --dry-run
  annals gc notes --keep-released-since 2026-01-01")]
pub(crate) struct GcArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Keep what was released at this time or later, or without a time: how far undo goes back
    #[arg(long, value_name = "TIME")]
    keep_released_since: Option<Timestamp>,
    /// Write a shared pack anew if at least this part of it is not needed; 0 takes back everything
    #[arg(long, value_name = "PERCENT", default_value_t = 25, value_parser = clap::value_parser!(u8).range(0..=100))]
    waste: u8,
    #[arg(
        long,
        help = r#"Print one object: {"removed_assets", "freed_bytes", "kept_assets", "waiting_assets", ..}"#
    )]
    json: bool,
}

pub(crate) fn run(args: &GcArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_write(&args.dir, Options::default())?;
    let mut options = CollectOptions::default().waste_percent_min(args.waste);
    if let Some(since) = args.keep_released_since {
        options = options.keep_released_since(since);
    }
    if args.dry_run {
        options = options.dry_run();
    }
    let bar = bytes_bar("gc", Some(0));
    let report = workspace.assets().collect(&options, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        true
    });
    bar.finish_and_clear();
    let report = report?;
    workspace.close()?;
    let mut outcome = Outcome::Done;
    for path in &report.skipped_packs {
        say("annals", format_args!("gc: {}: kept, since it holds damaged assets", path.display()));
        outcome = Outcome::Incomplete;
    }
    if report.disk_full {
        say("annals", "gc: the disk is full: what shares a pack with what is needed stays for now");
        outcome = Outcome::Incomplete;
    }
    if args.json {
        write_json(out, &report)?;
        return Ok(outcome);
    }
    let would = if args.dry_run { "would remove" } else { "removed" };
    let removed = human::counted(report.removed_assets, "asset");
    writeln!(out, "{would} {removed}, freed {}", human::bytes(report.freed_bytes))?;
    if report.unfinished_files > 0 {
        let files = human::counted(report.unfinished_files, "file");
        writeln!(out, "{would} {files} that nobody finished")?;
    }
    if report.copied_bytes > 0 {
        writeln!(out, "wrote {} anew", human::bytes(report.copied_bytes))?;
    }
    writeln!(out, "kept {}", human::counted(report.kept_assets, "asset"))?;
    if report.waiting_bytes > 0 {
        let assets = human::counted(report.waiting_assets, "asset");
        let len = human::bytes(report.waiting_bytes);
        writeln!(out, "{assets}, {len}, not worth the writing yet; --waste 0 takes them back")?;
    }
    Ok(outcome)
}

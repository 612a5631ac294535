//! `annals compact`.

use std::{io::Write, path::PathBuf};

use annals::{ClientId, CompactOptions, CompactedLog, History, Options};

use super::write_json;
use crate::{
    exit::{Outcome, say},
    human, open,
    progress::bytes_bar,
};

/// Write logs anew to take less room, and forget what was redacted.
///
/// Small batches become large ones and are compressed better; payloads that were redacted are gone afterwards, with their
/// salts. All roots and proofs stay what they are. What was compacted before is carried over as it is. Each log needs
/// room for its new file beside the old one. It can be interrupted at any time: a log is as before, or compacted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals compact notes --dry-run
  annals compact notes
  annals compact notes --archive
  annals compact notes --keep-days 365")]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct CompactArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// For what is read seldom: everything anew, in batches of a MiB, of which a random read decompresses one
    #[arg(long)]
    archive: bool,
    /// Write everything anew, also what was compacted before
    #[arg(long)]
    all: bool,
    /// Compact the logs of this client alone
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    /// Target length of a batch before compression, in bytes; 131072 by default
    #[arg(long, value_name = "BYTES")]
    batch_len: Option<usize>,
    /// Level of zstd; 15 by default, 19 for an archive
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=22))]
    level: Option<i32>,
    /// Work on at most so many bytes of the old files in a second
    #[arg(long, value_name = "BYTES")]
    rate: Option<u64>,
    /// Prune what is older than so many days, up to a snapshot that all other clients have seen
    #[arg(long, value_name = "DAYS", conflicts_with = "keep_bytes")]
    keep_days: Option<u32>,
    /// Prune each log to so many bytes, up to a snapshot that all other clients have seen
    #[arg(long, value_name = "BYTES")]
    keep_bytes: Option<u64>,
    /// Say what would be gained, and change nothing; takes as long
    #[arg(long)]
    dry_run: bool,
    #[arg(
        long,
        help = r#"Print one object: {"logs": [{"client", "log", "rewritten", "before_bytes", "after_bytes", ..}], ..}"#
    )]
    json: bool,
}

pub(crate) fn run(args: &CompactArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_write(&args.dir, Options::default())?;
    let mut outcome = open::name_unreadable("compact", &workspace);
    let mut options =
        if args.archive { CompactOptions::archive() } else { CompactOptions::default() };
    if let Some(level) = args.level {
        options = options.level(level);
    }
    if args.all {
        options = options.everything();
    }
    if let Some(client) = args.client {
        workspace.logs_of(client)?;
        options = options.client(client);
    }
    if let Some(bytes) = args.batch_len {
        options = options.batch_len(bytes);
    }
    if let Some(rate) = args.rate {
        options = options.rate(rate);
    }
    if let Some(days) = args.keep_days {
        options = options.history(History::Days(days));
    }
    if let Some(bytes) = args.keep_bytes {
        options = options.history(History::Bytes(bytes));
    }
    if args.dry_run {
        options = options.dry_run();
    }
    let bar = bytes_bar("compact", Some(0));
    let report = workspace.compact(&options, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        true
    });
    bar.finish_and_clear();
    let report = report?;
    workspace.close()?;
    for damage in &report.damaged {
        say("annals", format_args!("compact: {damage}"));
        outcome = Outcome::Incomplete;
    }
    if args.json {
        write_json(out, &report)?;
        return Ok(outcome);
    }
    for log in &report.logs {
        write_log(out, log, args.dry_run)?;
    }
    if report.removed_files > 0 {
        let files = human::counted(report.removed_files, "file");
        say(
            "annals",
            format_args!(
                "compact: removed {files} of saved bytes, which may have held what is gone"
            ),
        );
    }
    Ok(outcome)
}

/// One log, for people.
pub(super) fn write_log(
    out: &mut impl Write,
    log: &CompactedLog,
    dry_run: bool,
) -> anyhow::Result<()> {
    let would = if dry_run { "would become" } else { "became" };
    let (before, after) = (human::bytes(log.before_bytes), human::bytes(log.after_bytes));
    if !log.rewritten {
        writeln!(out, "log {}: {before}, nothing to do", log.log)?;
        return Ok(());
    }
    write!(out, "log {}: {before} {would} {after}", log.log)?;
    let (before, after) = (human::count(log.before_frames), human::count(log.after_frames));
    write!(out, ", {before} frames {would} {after}")?;
    if log.carried_bytes > 0 {
        write!(out, ", {} carried over", human::bytes(log.carried_bytes))?;
    }
    if log.redacted_entries > 0 {
        write!(out, ", {} forgotten", human::counted(log.redacted_entries, "payload"))?;
    }
    if log.pruned_entries > 0 {
        write!(out, ", {} pruned", human::counted(log.pruned_entries, "entry"))?;
    }
    writeln!(out)?;
    Ok(())
}

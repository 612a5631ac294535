//! `annals redact`.

use std::{io::Write, path::PathBuf};

use annals::{ClientId, Options};

use crate::{exit::Outcome, open};

/// Take back a change: its payload and its salt are gone after the next compaction.
///
/// That it was there, its time, clock and length, and the reason stay readable, and all roots and proofs stay valid. Only
/// the client that wrote a change can redact it; other devices learn of it with the next bundle, and forget when they
/// compact. A change in several parts is redacted whole. The engine's own entries cannot be redacted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals log notes | tail
  annals redact notes --index 4711 --reason 'not mine to tell'
  annals compact notes")]
pub(crate) struct RedactArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The client that wrote the change: this one, and no other can
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    /// Index of the change in its log, as `annals log` shows it
    #[arg(long, value_name = "N")]
    index: u64,
    /// Why; stays readable for ever
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Say what would be redacted, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &RedactArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_write(&args.dir, Options::default())?;
    let client = args.client.unwrap_or_else(|| workspace.client());
    if args.dry_run {
        let entries = workspace.redactable(client, args.index)?;
        writeln!(out, "would redact the entries {} to {}", entries.start, entries.end - 1)?;
        return Ok(Outcome::Done);
    }
    let ticket = workspace.redact(client, args.index, &args.reason)?;
    let by = ticket.index();
    ticket.wait_durable()?;
    workspace.close()?;
    writeln!(
        out,
        "entry {} is redacted by entry {by}; `annals compact` removes its payload from this disk",
        args.index
    )?;
    Ok(Outcome::Done)
}

//! `annals snapshot`.

use std::{
    io::{Read, Write},
    path::PathBuf,
};

use annals::{ClientId, LogId, Options, Timestamp};

use super::write_json;
use crate::{exit::Outcome, human, open};

/// Record the application's state as a snapshot, from stdin; or list snapshots, or write the last one to stdout.
///
/// A snapshot stands for all entries that are here when it is taken: whoever has it needs those no longer. It is where
/// logs may be pruned. A state that does not fit an entry is stored as an asset.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals snapshot notes < state
  annals snapshot notes --list
  annals snapshot notes --cat > state")]
pub(crate) struct SnapshotArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// List the snapshots, one a line: client, index, time, entries covered, size
    #[arg(long, conflicts_with = "cat")]
    list: bool,
    /// Write the state of the snapshot that covers most to stdout
    #[arg(long)]
    cat: bool,
    /// With --list: one JSON object a line
    #[arg(long, requires = "list")]
    json: bool,
}

#[derive(serde::Serialize)]
struct Line {
    client: ClientId,
    log: LogId,
    index: u64,
    time: Option<Timestamp>,
    covers: u64,
    size: u64,
}

pub(crate) fn run(
    args: &SnapshotArgs,
    mut input: impl Read,
    out: &mut impl Write,
) -> anyhow::Result<Outcome> {
    if !args.list && !args.cat {
        let workspace = open::to_write(&args.dir, Options::default())?;
        let frontier = workspace.frontier()?;
        let mut state = Vec::new();
        input.read_to_end(&mut state)?;
        let ticket = workspace.snapshot(&frontier, &state)?;
        let index = ticket.index();
        ticket.wait_durable()?;
        let covered = frontier.rows().iter().map(|row| row.size).sum();
        let covered = human::counted(covered, "entry");
        let own = frontier.size(workspace.own_log().id());
        workspace.close()?;
        writeln!(out, "entry {index} stands for {covered}, {own} of them of this client's log")?;
        return Ok(Outcome::Done);
    }
    let workspace = open::to_read(&args.dir)?;
    let outcome = open::name_unreadable("snapshot", &workspace);
    let snapshots = workspace.snapshots()?;
    let covers = |snapshot: &annals::SnapshotInfo| -> u64 {
        snapshot.frontier.rows().iter().map(|row| row.size).sum()
    };
    if args.cat {
        let Some(last) = snapshots.iter().max_by_key(|snapshot| covers(snapshot)) else {
            anyhow::bail!("{}: there is no snapshot", args.dir.display());
        };
        out.write_all(&workspace.snapshot_state(last)?)?;
        return Ok(outcome);
    }
    for snapshot in &snapshots {
        let line = Line {
            client: snapshot.client,
            log: snapshot.log,
            index: snapshot.index,
            time: snapshot.timestamp,
            covers: covers(snapshot),
            size: snapshot.state_len(),
        };
        if args.json {
            write_json(out, &line)?;
        } else {
            let Line { client, index, covers, size, .. } = line;
            let time = line.time.map_or_else(|| "-".to_owned(), |time| time.to_string());
            writeln!(out, "{client}  {index:>8}  {time:<27}  {covers:>10}  {size:>10}")?;
        }
    }
    Ok(outcome)
}

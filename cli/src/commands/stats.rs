//! `annals stats`.

use std::{io::Write, path::PathBuf};

use annals::{LogStats, WorkspaceId};

use super::write_json;
use crate::{
    exit::{Outcome, say},
    human, open,
};

/// Show figures of each log: entries, root, sizes in bytes.
///
/// This client's log comes first. `payload` is what applications appended, before compression; `file` is the length of
/// the segment; `dead` is what a compaction would drop of it as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  annals stats notes --json | jq '.clients[0].changes'")]
pub(crate) struct StatsArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// Print {"workspace", "clients": [..]}; lengths in bytes
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Stats {
    workspace: WorkspaceId,
    clients: Vec<LogStats>,
}

pub(crate) fn run(args: &StatsArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let mut outcome = open::name_unreadable("stats", &workspace);
    let mut clients = Vec::new();
    for log in workspace.logs() {
        if let Some(damage) = log.damage() {
            say("annals", format_args!("stats: {damage}"));
            outcome = outcome.and(Outcome::Incomplete);
        }
        clients.push(log.stats()?);
    }
    let stats = Stats { workspace: workspace.id(), clients };
    if args.json {
        write_json(out, &stats)?;
        return Ok(outcome);
    }
    writeln!(out, "workspace {}", stats.workspace)?;
    let own_log = workspace.own_log().id();
    for log in &stats.clients {
        let own = match log.client == workspace.client() {
            true if log.log == own_log => " (this client)",
            true => " (this client, before it went on in another log)",
            false => "",
        };
        writeln!(out, "\nclient    {}{own}", log.client)?;
        writeln!(out, "log       {}", log.log)?;
        writeln!(out, "root      {}", log.root)?;
        if log.first_index > 0 {
            writeln!(out, "pruned    {}", human::counted(log.first_index, "entry"))?;
        }
        let [entries, changes, frames] = [log.entries, log.changes, log.frames].map(human::count);
        writeln!(out, "entries   {entries}, {changes} of them changes, in {frames} frames")?;
        writeln!(out, "streams   {}", human::count(log.streams.into()))?;
        writeln!(out, "payload   {}", human::bytes(log.payload_bytes))?;
        writeln!(
            out,
            "file      {} ({:.1} % of the payload), {} dead, {} or more to be gained by compacting",
            human::bytes(log.file_bytes),
            human::percent(log.file_bytes, log.payload_bytes),
            human::bytes(log.dead_bytes),
            human::bytes(log.reclaimable_bytes)
        )?;
        if let Some(latest) = log.latest {
            writeln!(out, "latest    {latest}")?;
        }
    }
    Ok(outcome)
}

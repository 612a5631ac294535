//! `annals init`.

use std::{io::Write, path::PathBuf};

use annals::{ClientId, LogId, Options, Workspace, WorkspaceId};

use super::write_json;
use crate::exit::Outcome;

/// Create a workspace, and in it this device's client with an empty log.
///
/// The folder must be missing or empty. The client, and its log, are new; the workspace is new too, unless --workspace
/// names one to join. Clients of the same workspace can exchange bundles (`annals export`, `annals import`).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals init notes
  annals init phone --workspace \"$(annals stats notes --json | jq -r .workspace)\"")]
pub(crate) struct InitArgs {
    /// Folder of the new workspace
    dir: PathBuf,
    /// Join the workspace with this id as a new client
    #[arg(long, value_name = "UUID")]
    workspace: Option<WorkspaceId>,
    /// Print {"workspace", "client", "log", "path"}
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Created<'a> {
    workspace: WorkspaceId,
    client: ClientId,
    log: LogId,
    path: std::borrow::Cow<'a, str>,
}

pub(crate) fn run(args: &InitArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = match args.workspace {
        Some(id) => Workspace::join(&args.dir, id, Options::default())?,
        None => Workspace::create(&args.dir, Options::default())?,
    };
    let created = Created {
        workspace: workspace.id(),
        client: workspace.client(),
        log: workspace.own_log().id(),
        path: args.dir.to_string_lossy(),
    };
    if args.json {
        write_json(out, &created)?;
    } else {
        writeln!(out, "workspace {}", created.workspace)?;
        writeln!(out, "client    {}", created.client)?;
        writeln!(out, "log       {}", created.log)?;
    }
    workspace.close()?;
    Ok(Outcome::Done)
}

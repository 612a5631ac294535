//! `annals backup`.

use std::path::PathBuf;

use crate::{exit::Outcome, open, progress::bytes_bar};

/// Copy the workspace to another folder, consistently, while others go on appending.
///
/// The copy is this very client: use it in the place of this workspace, never beside it, or the log forks. To get a
/// second client use `annals init --workspace`, export and import.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  annals backup notes /mnt/usb/notes-2026-01-01")]
pub(crate) struct BackupArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// Folder of the copy, which must be missing or empty
    to: PathBuf,
}

pub(crate) fn run(args: &BackupArgs) -> anyhow::Result<Outcome> {
    let workspace = open::to_publish(&args.dir)?;
    let outcome = open::name_unreadable("backup", &workspace);
    let bar = bytes_bar("backup", Some(0));
    let copied = workspace.backup(&args.to, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    copied?;
    Ok(outcome)
}

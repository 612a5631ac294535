//! `annals reindex`.

use std::path::PathBuf;

use annals::Options;

use crate::{exit::Outcome, open, progress::bytes_bar};

/// Drop the indices and build them again from the logs and the packs.
///
/// They are a cache, which finds entries by number, by time and by stream, and assets by their ids. It can be interrupted at any time.
#[derive(Debug, clap::Args)]
pub(crate) struct ReindexArgs {
    /// Folder of the workspace
    dir: PathBuf,
}

pub(crate) fn run(args: &ReindexArgs) -> anyhow::Result<Outcome> {
    let workspace = open::to_write(&args.dir, Options::default())?;
    let outcome = open::name_unreadable("reindex", &workspace);
    let bar = bytes_bar("reindex", Some(0));
    let read = workspace.reindex(true, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        true
    });
    bar.finish_and_clear();
    read?;
    workspace.reindex_assets()?;
    workspace.close()?;
    Ok(outcome)
}

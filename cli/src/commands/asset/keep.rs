//! `annals asset rm`, `pin`, `unpin` and `evict`.

use std::{io::Write, path::PathBuf};

use annals::{Options, OtherCopy};
use anyhow::Context as _;

use super::resolve_all;
use crate::{exit::Outcome, human, open};

/// Release assets: end all claims that are known here.
///
/// Their bytes go with the next `annals gc`, here and on each device that learns of it. A claim that another device makes
/// at the same time stays.
#[derive(Debug, clap::Args)]
pub(super) struct RmArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The assets
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Also remove the bytes from this device at once, pinned or not, so that nothing of them is left in any pack
    #[arg(long)]
    purge: bool,
}

pub(super) fn rm(args: &RmArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_write(&args.dir, Options::default())?;
    let assets = workspace.assets();
    for id in resolve_all(&assets, &args.ids)? {
        if args.purge {
            let freed = assets.purge(&id)?;
            writeln!(out, "{id}  purged, {}", human::bytes(freed))?;
        } else {
            let count = assets.release(&id)?;
            workspace.commit()?;
            writeln!(out, "{id}  released {}", human::counted(count, "claim"))?;
        }
    }
    workspace.close()?;
    Ok(Outcome::Done)
}

/// Keep assets on this device whatever the logs say.
///
/// Their bytes need not be here yet.
#[derive(Debug, clap::Args)]
pub(super) struct PinArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The assets
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

pub(super) fn pin(args: &PinArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_write(&args.dir, Options::default())?;
    let assets = workspace.assets();
    for id in resolve_all(&assets, &args.ids)? {
        let what = if assets.pin(&id)? { "pinned" } else { "was pinned already" };
        writeln!(out, "{id}  {what}")?;
    }
    Ok(Outcome::Done)
}

/// End what `annals asset pin` began.
#[derive(Debug, clap::Args)]
pub(super) struct UnpinArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The assets
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

pub(super) fn unpin(args: &UnpinArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_write(&args.dir, Options::default())?;
    let assets = workspace.assets();
    for id in resolve_all(&assets, &args.ids)? {
        let what = if assets.unpin(&id)? { "unpinned" } else { "was not pinned" };
        writeln!(out, "{id}  {what}")?;
    }
    Ok(Outcome::Done)
}

/// Give up the bytes of assets on this device; they stay known.
///
/// Refused unless another copy is shown: with --copy the assets are read there and verified. The room of small ones is
/// taken back by `annals gc`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  annals asset evict notes ID --copy /mnt/usb/notes")]
pub(super) struct EvictArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The assets
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Folder of another workspace that has them
    #[arg(long, value_name = "OTHER", conflicts_with = "force")]
    copy: Option<PathBuf>,
    /// Also if this may be the last copy
    #[arg(long)]
    force: bool,
}

pub(super) fn evict(args: &EvictArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let copy = match &args.copy {
        Some(path) => Some(open::to_read(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let workspace = open::to_write(&args.dir, Options::default())?;
    let assets = workspace.assets();
    for id in resolve_all(&assets, &args.ids)? {
        let other = match &copy {
            Some(copy) => OtherCopy::In(copy),
            None if args.force => OtherCopy::Forced,
            None => OtherCopy::Unknown,
        };
        let freed = assets.evict(&id, other)?;
        writeln!(out, "{id}  evicted, {}", human::bytes(freed))?;
    }
    workspace.close()?;
    Ok(Outcome::Done)
}

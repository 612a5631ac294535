//! `annals asset`: large binaries beside the logs.

mod add;
mod get;
mod keep;
mod list;
mod verify;

use std::io::Write;

use annals::{AssetId, AssetUrl, Assets};
use anyhow::Context as _;
use clap::Subcommand;

use crate::exit::Outcome;

/// Keep images, films and other large binaries beside the logs.
///
/// An asset is its content: its id is what b3sum prints for the file. Adding one stores its bytes once, however often it
/// is added, and appends an entry to this client's log that claims it. The entry travels with exports; the bytes stay on
/// the device until `annals asset fetch` brings them to another one. ID is 64 hex digits, or the URL of the asset.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals asset add notes ~/pictures clip.mp4
  annals asset ls notes
  annals asset cat notes ID --range 0..65536 | xxd | head
  annals asset rm notes ID && annals gc notes")]
pub(crate) struct AssetArgs {
    #[command(subcommand)]
    command: AssetCommand,
}

#[derive(Debug, Subcommand)]
enum AssetCommand {
    Add(add::AddArgs),
    Get(get::GetArgs),
    Cat(get::CatArgs),
    Ls(list::LsArgs),
    Info(list::InfoArgs),
    Url(list::UrlArgs),
    Rm(keep::RmArgs),
    Pin(keep::PinArgs),
    Unpin(keep::UnpinArgs),
    Evict(keep::EvictArgs),
    Fetch(get::FetchArgs),
    Verify(verify::VerifyArgs),
}

pub(crate) fn run(args: &AssetArgs, out: &mut (impl Write + Send)) -> anyhow::Result<Outcome> {
    match &args.command {
        AssetCommand::Add(args) => add::run(args, out),
        AssetCommand::Get(args) => get::get(args),
        AssetCommand::Cat(args) => get::cat(args, out),
        AssetCommand::Ls(args) => list::ls(args, out),
        AssetCommand::Info(args) => list::info(args, out),
        AssetCommand::Url(args) => list::url(args, out),
        AssetCommand::Rm(args) => keep::rm(args, out),
        AssetCommand::Pin(args) => keep::pin(args, out),
        AssetCommand::Unpin(args) => keep::unpin(args, out),
        AssetCommand::Evict(args) => keep::evict(args, out),
        AssetCommand::Fetch(args) => get::fetch(args, out),
        AssetCommand::Verify(args) => verify::run(args, out),
    }
}

/// The asset that an argument names: hex digits, base32, or a URL, whose hints must be right.
fn resolve(assets: &Assets, text: &str) -> anyhow::Result<AssetId> {
    if text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("asset:")) {
        let url: AssetUrl = text.parse().with_context(|| text.to_owned())?;
        return assets.resolve(&url).with_context(|| text.to_owned());
    }
    text.parse().with_context(|| text.to_owned())
}

fn resolve_all(assets: &Assets, texts: &[String]) -> anyhow::Result<Vec<AssetId>> {
    texts.iter().map(|text| resolve(assets, text)).collect()
}

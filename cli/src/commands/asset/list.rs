//! `annals asset ls`, `info` and `url`.

use std::{io::Write, path::PathBuf};

use annals::{Asset, AssetState, AssetUrl};
use anyhow::Context as _;

use super::{resolve, resolve_all};
use crate::{commands::write_json, exit::Outcome, human, open};

/// List the assets that are claimed, one line for each claim.
///
/// State, size in bytes, id, name. The states: present (all bytes are on this device), pinned (and kept whatever happens),
/// partial (some are), known (none are). This client's log comes first.
#[derive(Debug, clap::Args)]
pub(super) struct LsArgs {
    /// Folder of the workspace
    dir: PathBuf,
    #[arg(
        long,
        help = r#"Print one object for each claim: {"state", "id", "size", "name", "media_type", "client", "log", "index", ..}"#
    )]
    json: bool,
}

#[derive(serde::Serialize)]
struct Listed {
    state: Option<AssetState>,
    #[serde(flatten)]
    asset: Asset,
    url: AssetUrl,
}

pub(super) fn ls(args: &LsArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let outcome = open::name_unreadable("asset ls", &workspace);
    let assets = workspace.assets();
    for asset in assets.list()? {
        let asset = asset?;
        let state = assets.state(&asset.id)?;
        if args.json {
            let url = asset.url();
            write_json(out, &Listed { state, asset, url })?;
        } else {
            let state = state.map_or("", AssetState::name);
            writeln!(out, "{state:<8} {:>14} {} {}", asset.size, asset.id, asset.name)?;
        }
    }
    Ok(outcome)
}

/// Show what is known of assets.
#[derive(Debug, clap::Args)]
pub(super) struct InfoArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The assets
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[arg(
        long,
        help = r#"Print one object for each: {"id", "size", "state", "stored_bytes", "chunks", "claims", "released_claims"}"#
    )]
    json: bool,
}

pub(super) fn info(args: &InfoArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let outcome = open::name_unreadable("asset info", &workspace);
    let assets = workspace.assets();
    for id in resolve_all(&assets, &args.ids)? {
        let info = assets.info(&id)?.with_context(|| format!("no asset {id} is known here"))?;
        if args.json {
            write_json(out, &info)?;
            continue;
        }
        writeln!(out, "id        {}", info.id)?;
        writeln!(out, "state     {}", info.state.name())?;
        if let Some(size) = info.size {
            writeln!(out, "size      {size} ({})", human::bytes(size))?;
        }
        if let (Some(stored), Some(chunks)) = (info.stored_bytes, info.chunks) {
            let chunks = human::counted(chunks, "chunk");
            writeln!(out, "stored    {stored} ({}), {chunks}", human::bytes(stored))?;
        }
        writeln!(out, "released  {}", human::counted(info.released_claims, "claim"))?;
        for asset in &info.claims {
            writeln!(out, "\nclaim     client {}, entry {}", asset.client, asset.claim.index)?;
            if !asset.name.is_empty() {
                writeln!(out, "name      {}", asset.name)?;
            }
            if let Some(media_type) = &asset.media_type {
                writeln!(out, "type      {media_type}")?;
            }
            if let Some(time) = asset.timestamp {
                writeln!(out, "added     {time}")?;
            }
            writeln!(out, "url       {}", asset.url())?;
        }
    }
    Ok(outcome)
}

/// Print the URL of an asset.
///
/// With the name, the size and the type of its first claim, as hints.
#[derive(Debug, clap::Args)]
pub(super) struct UrlArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The asset
    id: String,
    /// By the client and the entry that claims it, instead of by the hash alone
    #[arg(long)]
    positional: bool,
}

pub(super) fn url(args: &UrlArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let assets = workspace.assets();
    let id = resolve(&assets, &args.id)?;
    let info = assets.info(&id)?.with_context(|| format!("no asset {id} is known here"))?;
    let claim = info.claims.into_iter().next();
    let claim = claim.with_context(|| format!("asset {id}: every claim was released"))?;
    let mut url = claim.url();
    if args.positional {
        let plain = url;
        url = AssetUrl::positional(claim.client, claim.claim.index, id).with_size(claim.size);
        if let Some(name) = plain.name() {
            url = url.with_name(name);
        }
        if let Some(media_type) = plain.media_type() {
            url = url.with_media_type(media_type);
        }
    }
    writeln!(out, "{url}")?;
    Ok(Outcome::Done)
}

//! `annals asset get`, `cat` and `fetch`.

use std::{
    io::{Read as _, Write},
    ops::Range,
    path::PathBuf,
    str::FromStr,
};

use annals::{AssetState, Options};
use anyhow::Context as _;

use super::{resolve, resolve_all};
use crate::{
    exit::{Outcome, say},
    human, open,
    progress::bytes_bar,
};

/// Write an asset to a file.
///
/// Under a temporary name, verified, synced, renamed: the file is whole, or as it was.
#[derive(Debug, clap::Args)]
pub(super) struct GetArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The asset
    id: String,
    /// The file, which is replaced
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn get(args: &GetArgs) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let assets = workspace.assets();
    let id = resolve(&assets, &args.id)?;
    let size = assets.open(&id)?.size();
    let bar = bytes_bar("get", Some(size));
    let written = assets.export(&id, &args.output, |done| {
        bar.set_position(done);
        true
    });
    bar.finish_and_clear();
    written?;
    Ok(Outcome::Done)
}

/// The bytes `START..END`, `START..` or `..END`.
#[derive(Clone, Copy, Debug)]
struct ByteRange {
    start: u64,
    end: Option<u64>,
}

impl FromStr for ByteRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a range is START..END, START.. or ..END, in bytes".to_owned();
        let (start, end) = text.split_once("..").ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        let start = if start.is_empty() { 0 } else { number(start)? };
        let end = if end.is_empty() { None } else { Some(number(end)?) };
        Ok(Self { start, end })
    }
}

/// Write an asset, or a part of it, to stdout.
///
/// Each chunk of 64 KiB is verified before any of it is written. A part reads only the chunks in which it lies.
#[derive(Debug, clap::Args)]
pub(super) struct CatArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The asset
    id: String,
    /// Bytes START..END (END not included), START.. or ..END
    #[arg(long)]
    range: Option<ByteRange>,
}

pub(super) fn cat(args: &CatArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let assets = workspace.assets();
    let id = resolve(&assets, &args.id)?;
    let mut reader = assets.open(&id)?;
    let Some(range) = args.range else {
        std::io::copy(&mut reader, out)?;
        return Ok(Outcome::Done);
    };
    let Range { start, end } = range.start..range.end.unwrap_or(reader.size());
    anyhow::ensure!(start <= end && end <= reader.size(), "the asset has {} bytes", reader.size());
    std::io::Seek::seek(&mut reader, std::io::SeekFrom::Start(start))?;
    std::io::copy(&mut reader.take(end - start), out)?;
    Ok(Outcome::Done)
}

/// Bring the bytes of assets from another workspace of this device.
///
/// Of those named, or of all that are claimed here and whose bytes are not here. Each piece is verified; a long asset is
/// gone on with after an interruption.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  annals asset fetch notes --from /mnt/usb/notes")]
pub(super) struct FetchArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The assets; all that are missing if none is named
    ids: Vec<String>,
    /// Folder of the other workspace, which is only read
    #[arg(long, value_name = "OTHER")]
    from: PathBuf,
}

pub(super) fn fetch(args: &FetchArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let other = open::to_read(&args.from).with_context(|| args.from.display().to_string())?;
    let workspace = open::to_write(&args.dir, Options::default())?;
    let (assets, source) = (workspace.assets(), other.assets());
    let mut outcome = Outcome::Done;
    let ids = if args.ids.is_empty() {
        let mut missing = Vec::new();
        for id in assets.ids()? {
            let state = assets.state(&id)?;
            if matches!(state, Some(AssetState::Known | AssetState::Partial)) {
                missing.push(id);
            }
        }
        missing
    } else {
        resolve_all(&assets, &args.ids)?
    };
    let (mut count, mut len) = (0, 0);
    let bar = bytes_bar("fetch", None);
    for id in ids {
        let before = bar.position();
        let fetched = assets.fetch(&id, &source, |done| {
            bar.set_position(before + done);
            true
        });
        match fetched {
            Ok(bytes) => {
                count += u64::from(bytes > 0);
                len += bytes;
            }
            Err(error) => {
                say("annals", format_args!("asset fetch: {error}"));
                outcome = Outcome::Incomplete;
            }
        }
    }
    bar.finish_and_clear();
    workspace.close()?;
    writeln!(out, "fetched {}, {}", human::counted(count, "asset"), human::bytes(len))?;
    Ok(outcome)
}

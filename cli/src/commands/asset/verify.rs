//! `annals asset verify`.

use std::{io::Write, path::PathBuf};

use annals::AssetError;

use super::resolve_all;
use crate::{
    exit::{Outcome, say},
    human, open,
    progress::bytes_bar,
};

/// Read assets and verify every chunk.
///
/// Of those named, or of all whose bytes are on this device. Each damaged chunk is named on stderr, and the exit code is 1
/// then.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// The assets; all that are here if none is named
    ids: Vec<String>,
}

pub(super) fn run(args: &VerifyArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let assets = workspace.assets();
    let all = args.ids.is_empty();
    let ids =
        if all { assets.ids()?.into_iter().collect() } else { resolve_all(&assets, &args.ids)? };
    let bar = bytes_bar("verify", None);
    let (mut sound, mut damaged, mut done) = (0, 0, 0);
    for id in ids {
        let before = done;
        let tell = |found| say("annals", format_args!("asset verify: {found}"));
        let verified = assets.verify(&id, tell, |so_far| {
            done = before + so_far;
            bar.set_position(done);
            true
        });
        match verified {
            Ok(true) => sound += 1,
            Ok(false) => damaged += 1,
            Err(AssetError::NotHere(_) | AssetError::Incomplete(_)) if all => {}
            Err(error) => {
                say("annals", format_args!("asset verify: {error}"));
                damaged += 1;
            }
        }
    }
    bar.finish_and_clear();
    let assets = human::counted(sound, "asset");
    writeln!(out, "{assets} sound, {}; {damaged} damaged", human::bytes(done))?;
    Ok(if damaged == 0 { Outcome::Done } else { Outcome::Incomplete })
}

//! What editing traces take on disk: each keystroke durable by itself, then compacted. Prints a table.
//!
//! A trace is a file `*.json.gz` with `{"txns": [{"time": RFC 3339, "patches": [..]}, ..]}`; the payload of a change is
//! the JSON of its patches, without spaces.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "it prints ratios")]

use std::{error::Error, fs::File, io::Write as _, path::Path};

use annals::{Change, Clock, CompactOptions, Options, Timestamp, Workspace};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(serde::Deserialize)]
struct Trace {
    txns: Vec<Transaction>,
}

#[derive(serde::Deserialize)]
struct Transaction {
    time: String,
    patches: serde_json::Value,
}

/// Bytes of the segment: as it grew, compacted, as an archive.
fn sizes(changes: &[(Option<Timestamp>, String)]) -> Result<[u64; 3]> {
    let folder = tempfile::tempdir()?;
    let options = Options::default().clock(Clock::None);
    let workspace = Workspace::create(folder.path().join("w"), options)?;
    let mut bar = changes.len() / 10;
    for (number, (time, payload)) in changes.iter().enumerate() {
        workspace.append_change(Change::new(payload.as_bytes()).at(*time))?.wait_durable()?;
        if number == bar {
            eprint!(".");
            std::io::stderr().flush()?;
            bar += changes.len() / 10;
        }
    }
    let root = workspace.own_log().root()?;
    let len = || -> Result<u64> { Ok(std::fs::metadata(workspace.own_log().path())?.len()) };
    let before = len()?;
    workspace.compact(&CompactOptions::default(), |_, _| true)?;
    let compacted = len()?;
    workspace.compact(&CompactOptions::archive(), |_, _| true)?;
    let archived = len()?;
    assert_eq!(workspace.own_log().root()?, root, "no hash changes");
    Ok([before, compacted, archived])
}

fn measure(path: &Path) -> Result<()> {
    let trace: Trace = serde_json::from_reader(flate2::read::GzDecoder::new(File::open(path)?))?;
    let changes: Vec<(Option<Timestamp>, String)> = trace
        .txns
        .iter()
        .map(|change| Ok((Some(change.time.parse()?), change.patches.to_string())))
        .collect::<Result<_>>()?;
    let whole: String = changes.iter().map(|(_, payload)| payload.as_str()).collect();
    let whole_zstd = zstd::bulk::compress(whole.as_bytes(), 19)?.len() as u64;
    let plain: Vec<_> = changes.iter().map(|(_, payload)| (None, payload.clone())).collect();
    let [before, compacted, archived] = sizes(&plain)?;
    let [_, with_times, archived_with_times] = sizes(&changes)?;
    eprintln!();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default().replace(".json.gz", "");
    let ratio = |len: u64| len as f64 / whole_zstd as f64;
    println!(
        "| {name} | {} | {} | {whole_zstd} | {before} | {compacted} ({:.2}) | {archived} ({:.2}) | {} | {} |",
        changes.len(),
        whole.len(),
        ratio(compacted),
        ratio(archived),
        with_times - compacted,
        archived_with_times - archived,
    );
    Ok(())
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or("usage: traces FOLDER")?;
    let mut files: Vec<_> = std::fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(".json.gz"));
    files.sort();
    println!(
        "| trace | changes | payload | zstd -19 of it whole | each durable | compacted | archive | times, compacted | times, archive |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    files.iter().try_for_each(|path| measure(path))
}

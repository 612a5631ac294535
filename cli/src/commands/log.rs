//! `annals log`.

use std::{io::Write, path::PathBuf};

use annals::{ClientId, Entry, LogId, Timestamp};

use super::write_json;
use crate::{
    exit::Outcome,
    open,
    select::{Reading, Selection, StreamNames},
};

/// List entries, one a line: index, time, client, stream, kind, size in bytes.
///
/// Control entries too: `stream` declares a stream, `seen` records what this client had of others. The default stream
/// is shown as `-`. A change in several parts is one line, at the index of its first part. What was redacted is listed
/// with its reason.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals log notes
  annals log notes --merged --json | jq -r .time
  annals log notes --from 1000 --to 1010")]
pub(crate) struct LogArgs {
    /// Folder of the workspace
    dir: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// One JSON object a line: "index", "time", "client", "stream", "kind", "size", "lamport", "parts", "log"; "absent" if the payload is gone
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Line<'a> {
    index: u64,
    time: Option<Timestamp>,
    client: ClientId,
    stream: Option<&'a str>,
    kind: std::borrow::Cow<'static, str>,
    /// Length of the payload in bytes, that of all parts.
    size: u64,
    lamport: u64,
    parts: u32,
    log: LogId,
    /// Why the payload is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<String>,
}

pub(crate) fn run(args: &LogArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let mut names = StreamNames::default();
    Reading::new("log", &workspace, &args.selection)?.read(|entry: &Entry| {
        let kind = entry.kind();
        let line = Line {
            index: entry.index(),
            time: entry.timestamp(),
            client: entry.client(),
            stream: names.of(&workspace, entry)?,
            kind: kind.name().map_or_else(|| format!("kind-{}", kind.0).into(), Into::into),
            size: entry.payload_len(),
            lamport: entry.lamport(),
            parts: entry.part_count(),
            log: entry.log(),
            absent: entry.payload().err().map(|why| why.to_string()),
        };
        if args.json {
            write_json(out, &line)?;
        } else {
            let time = line.time.map_or_else(|| "-".to_owned(), |time| time.to_string());
            let Line { index, client, ref kind, size, .. } = line;
            let stream = line.stream.unwrap_or("-");
            write!(out, "{index:>8}  {time:<27}  {client}  {stream:<12}  {kind:<9}  {size:>8}")?;
            if let Some(absent) = &line.absent {
                write!(out, "  {absent}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    })
}

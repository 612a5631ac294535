//! `annals export`.

use std::{
    fs::File,
    io::{IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use annals::Frontier;
use anyhow::Context as _;

use super::write_json;
use crate::{
    exit::{Outcome, Usage},
    human, open,
    progress::{Metered, bytes_bar},
};

/// Write a bundle to stdout: the entries that another client of the workspace lacks.
///
/// All entries of all logs, unless --since says what the other one has. What is exported is durable here first. The
/// report goes to stderr. Of a log that is damaged here the bundle holds what comes before the damage; it is named, and
/// the exit code is 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals export notes > all.bundle
  annals export laptop --since phone.json | ssh phone annals import notes")]
pub(crate) struct ExportArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// File with the frontier of the receiver, as `annals frontier` prints it
    #[arg(long, value_name = "FRONTIER.json")]
    since: Option<PathBuf>,
    /// Report on stderr as JSON: {"logs", "entries", "bytes", "cut": [{"client", "log", "size", "reason"}]}
    #[arg(long)]
    json: bool,
}

/// Reads a frontier.
///
/// # Errors
///
/// If it cannot be read, or is none.
fn read_frontier(path: &Path) -> anyhow::Result<Frontier> {
    let file = File::open(path).with_context(|| format!("{}: cannot open", path.display()))?;
    let frontier = serde_json::from_reader(std::io::BufReader::new(file));
    frontier.with_context(|| format!("{}: not a frontier", path.display()))
}

pub(crate) fn run(
    args: &ExportArgs,
    out: &mut impl Write,
    report_to: &mut impl Write,
) -> anyhow::Result<Outcome> {
    if std::io::stdout().is_terminal() {
        return Err(
            Usage("a bundle is not for a terminal: redirect stdout to a file or a pipe").into()
        );
    }
    let since = args.since.as_deref().map_or_else(|| Ok(Frontier::empty()), read_frontier)?;
    let workspace = open::to_publish(&args.dir)?;
    let outcome = open::name_unreadable("export", &workspace);
    let bar = bytes_bar("export", None);
    let report = workspace.export(&since, Metered { inner: &mut *out, bar: bar.clone() });
    bar.finish_and_clear();
    let report = report.with_context(|| args.dir.display().to_string())?;
    out.flush().context("stdout: cannot write")?;
    let outcome = outcome.and(open::name_hindered("export", &report.cut, "is not exported"));
    // Nobody may be there to read it; the bundle is what counts.
    let _ = if args.json {
        write_json(report_to, &report)
    } else {
        let [entries, logs] = [(report.entries, "entry"), (report.logs, "log")]
            .map(|(n, noun)| human::counted(n, noun));
        writeln!(report_to, "exported {entries} of {logs}, {}", human::bytes(report.bytes))
    };
    Ok(outcome)
}

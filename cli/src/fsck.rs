//! `annals-fsck`: checks a workspace, and mends what can be mended. A thin dress for [`annals::check`].

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
    process::ExitCode,
};

use annals::check::{self, CheckError, Depth, RepairOptions, Report, Severity};
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

/// The check could not be made: no workspace, an I/O error, or somebody writes.
const EXIT_NOT_CHECKED: u8 = 8;
/// Workspaces below this size are checked before a bar could be read.
const BAR_LEN_MIN: u64 = 64 << 20;

/// Checks an Annals workspace, and repairs what can be repaired.
///
/// Reads every log from its first byte to its last: the head, each frame with its checksums and links, the
/// checkpoints, and the index. Names each damaged place with the entries that are lost there, and
/// goes on behind it. Without --repair nothing is written at all, and a program may go on writing to the
/// workspace meanwhile.
#[derive(Debug, Parser)]
#[command(name = "annals-fsck", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Args {
    /// The folder of the workspace
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Also decompress and hash everything, and compare the index with a rebuilt one
    ///
    /// This finds entries that do not lead to the Merkle root their batch names, which no disk does by itself.
    /// Takes several times as long.
    #[arg(long)]
    deep: bool,
    /// Mend what can be mended without losing acknowledged data
    ///
    /// Writes damaged copies of headers and checkpoints again; cuts off what a crash left behind the last sound
    /// frame, after saving it beside the log (LOG.seg.cut-...); removes damaged index files, which are
    /// rebuilt, and files that were never finished; writes a damaged index.json again where it is clear what was in
    /// it. Damaged entries are never touched.
    #[arg(long)]
    repair: bool,
    /// Heal damaged logs with what PATH has of them: another workspace's folder, or a bundle
    ///
    /// Lost entries are fetched, proven against every Merkle root that is still here, and written with all
    /// the others into a new generation of the log's file, which then takes its place. May be given several
    /// times. PATH is only read.
    #[arg(long, value_name = "PATH", requires = "repair")]
    from: Vec<PathBuf>,
    /// Go on in a new log if this client's own one stays damaged
    ///
    /// Or if it contradicts a replica that --from names: then both have gone on from one history in two ways.
    /// The new log names the old one, which stays where it is and can be read and healed later.
    #[arg(long, requires = "repair")]
    successor: bool,
    /// Print one JSON object: workspace, clean, logs, packs, findings, corrected, exit
    #[arg(long)]
    json: bool,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  clean; what a crash may leave at the end of a log is named, and is clean
  1  errors were found, and all were corrected
  4  errors are left
  8  the check could not be made: not a workspace, an I/O error, or locked";

/// Runs the program.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), io::stdout().lock(), io::stderr()))
}

/// Runs the program with these arguments, its own name first; returns the exit code.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    mut out: impl Write,
    mut err: impl Write,
) -> u8 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_NOT_CHECKED } else { 0 };
            let _ = error.print();
            return code;
        }
    };
    let result = examine(&args);
    let written = match &result {
        Ok(report) => print_report(report, &args, &mut out),
        Err(error) if args.json => {
            writeln!(out, "{}", json!({ "error": error.to_string(), "exit": EXIT_NOT_CHECKED }))
        }
        Err(_) => Ok(()),
    };
    if let Err(error) = &result {
        let _ = writeln!(err, "annals-fsck: {error}");
    }
    match (result, written.and_then(|()| out.flush())) {
        (Ok(report), Ok(())) => report.exit_code(),
        (Ok(report), Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => report.exit_code(),
        (Ok(_), Err(error)) => {
            let _ = writeln!(err, "annals-fsck: cannot write the report: {error}");
            EXIT_NOT_CHECKED
        }
        (Err(_), _) => EXIT_NOT_CHECKED,
    }
}

fn examine(args: &Args) -> Result<Report, CheckError> {
    let depth = if args.deep { Depth::Payloads } else { Depth::Structure };
    let mut bar = None;
    let progress = |done: u64, total: u64| {
        let bar = bar.get_or_insert_with(|| progress_bar(total));
        bar.set_length(total);
        bar.set_position(done);
    };
    let result = if args.repair {
        let (replicas, successor) = (args.from.clone(), args.successor);
        check::repair(&args.path, RepairOptions { depth, replicas, successor }, progress)
    } else {
        check::check(&args.path, depth, progress)
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    result
}

fn progress_bar(total: u64) -> ProgressBar {
    let shown = io::stderr().is_terminal() && total >= BAR_LEN_MIN;
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let template = "{wide_bar} {binary_bytes} of {binary_total_bytes}, {eta} left";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), target).with_style(style)
}

fn print_report(report: &Report, args: &Args, out: &mut impl Write) -> io::Result<()> {
    if args.json {
        serde_json::to_writer_pretty(&mut *out, report)?;
        return writeln!(out);
    }
    for correction in &report.corrected {
        writeln!(out, "{correction}")?;
    }
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    for log in &report.logs {
        writeln!(out, "{log}")?;
    }
    let count =
        |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, notes) = (count(Severity::Error), count(Severity::Note));
    let entries: u64 = report.logs.iter().map(|log| log.entries).sum();
    let in_logs: u64 = report.logs.iter().map(|log| log.file_len).sum();
    let bytes = in_logs + report.packs.iter().map(|pack| pack.file_len).sum::<u64>();
    let assets: u64 = report.packs.iter().map(|pack| pack.assets).sum();
    let verdict = match report.exit_code() {
        0 => "clean",
        1 => "clean now",
        _ => "ERRORS LEFT",
    };
    writeln!(
        out,
        "{}: {verdict}: {} logs, {entries} entries, {assets} assets, {bytes} bytes; {errors} errors, {notes} \
         notes, {} corrections",
        args.path.display(),
        report.logs.len(),
        report.corrected.len()
    )
}

#[cfg(test)]
mod tests;

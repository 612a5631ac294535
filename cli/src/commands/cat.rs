//! `annals cat`.

use std::{
    cell::{Cell, RefCell},
    io::Write,
    path::PathBuf,
};

use annals::Entry;

use crate::{
    exit::{Outcome, say},
    formats::{Format, write_entry},
    open,
    select::{Reading, Selection, StreamNames},
};

/// Write the payloads of changes to stdout, in order.
///
/// Of the log that this client writes, unless --client or --merged says otherwise; if it has gone on in a successor
/// log, --client with its id gives all of its logs, the oldest first. Control entries, the engine's own, are left out,
/// so that indices may have gaps. What is damaged or redacted is named on stderr and passed over; then the exit code is 1. Works
/// beside a writer, and shows what is durable.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals cat notes
  annals cat notes --merged --format json-lines
  annals cat notes --stream note/1 --reverse | head -1
  annals cat notes --at 2026-01-01
  annals cat notes --follow")]
pub(crate) struct CatArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// How changes are written; `lines` puts a newline after each, and so is unambiguous only if none has one inside
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    selection: Selection,
    /// Go on with what comes, until Ctrl-C; with --merged in the order in which it comes
    #[arg(long, conflicts_with_all = ["at", "reverse"])]
    follow: bool,
}

pub(crate) fn run(args: &CatArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let workspace = open::to_read(&args.dir)?;
    let mut reading = Reading::new("cat", &workspace, &args.selection)?;
    let mut names = StreamNames::default();
    // Written to by two closures, one after the other.
    let out = RefCell::new(out);
    let absent = Cell::new(Outcome::Done);
    let mut write = |entry: &Entry| {
        if entry.kind().is_control() {
            return Ok(());
        }
        if let Err(why) = entry.payload() {
            say("annals", format_args!("cat: log {}: entry {}: {why}", entry.log(), entry.index()));
            absent.set(Outcome::Incomplete);
            return Ok(());
        }
        let stream = match args.format {
            Format::JsonLines => names.of(&workspace, entry)?,
            Format::Lines | Format::Framed => None,
        };
        write_entry(&mut **out.borrow_mut(), args.format, entry, stream)
    };
    let read = if args.follow {
        reading.follow(|entry| write(entry), || Ok(out.borrow_mut().flush()?))?
    } else {
        reading.read(write)?
    };
    Ok(read.and(absent.get()))
}

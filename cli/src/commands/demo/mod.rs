//! `annals demo`: the main job end to end, on real data, with figures measured on the way.
//!
//! - `input`: the files of a folder and its history;
//! - `steps`: what is done with them;
//! - `assets`: the files again, as large binaries;
//! - `crash`: a child process that is killed while it appends;
//! - `check`: everything read back and compared.

mod assets;
mod check;
mod crash;
mod input;
mod steps;

use std::{
    fs,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use self::input::Input;
use crate::exit::{EXIT_INTERRUPTED, Outcome};

/// Show the main job end to end on real data: the files and the history of a folder.
///
/// Two clients: the lines of the folder's text files become changes of the first, the commits of its git history, if
/// there is one, of the second. They append, commit, read, exchange bundles, prove, look back in time; they store the files as assets, read one by
/// range, and hand it on; a child process is killed while it appends and its log recovered; at the end everything is read back and compared with the input.
/// Each step measures, and checks itself: the exit code is 1 if one fails. Takes a few seconds, changes nothing in the
/// folder, and cleans up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals demo
  annals demo --from ~/src/project --keep /tmp/look")]
pub(crate) struct DemoArgs {
    /// Folder whose text files and git history are the input
    #[arg(long, value_name = "DIR", default_value = ".")]
    from: PathBuf,
    /// Put the workspaces here, a folder that must be missing or empty, and keep them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// What prints one line for each step: its name, and what it found.
#[derive(Debug)]
struct Screen<W> {
    out: W,
}

impl<W: Write> Screen<W> {
    /// Prints a line, at most as wide as a terminal, at once.
    fn line(&mut self, step: &str, text: &str) -> anyhow::Result<()> {
        let line = format!("{step:<10} {text}");
        let line: String = line.trim_end().chars().take(SCREEN_WIDTH).collect();
        writeln!(self.out, "{line}")?;
        Ok(self.out.flush()?)
    }
}

const SCREEN_WIDTH: usize = 80;

/// Where the workspaces are. Removed when dropped, and when the process is interrupted, unless it is to be kept.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    temporary: Arc<Mutex<Option<tempfile::TempDir>>>,
}

impl Folder {
    fn new(keep: Option<&PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = keep {
            fs::create_dir_all(path)
                .with_context(|| format!("{}: cannot create", path.display()))?;
            return Ok(Self { path: path.clone(), temporary: Arc::default() });
        }
        let folder = tempfile::Builder::new().prefix("annals-demo-").tempdir();
        let folder = folder.context("cannot create a temporary folder")?;
        let path = folder.path().to_owned();
        let temporary = Arc::new(Mutex::new(Some(folder)));
        let to_remove = Arc::clone(&temporary);
        ctrlc::set_handler(move || {
            drop(to_remove.lock().unwrap_or_else(PoisonError::into_inner).take());
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        })
        .context("cannot listen to signals")?;
        Ok(Self { path, temporary })
    }

    /// Removes what is temporary, and says if that failed.
    fn remove(&self) -> anyhow::Result<()> {
        let folder = self.temporary.lock().unwrap_or_else(PoisonError::into_inner).take();
        folder
            .map_or(Ok(()), tempfile::TempDir::close)
            .context("cannot remove the temporary folder")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // After a failed step, which is what is reported. The handler of signals keeps the folder alive otherwise.
        let _ = self.remove();
    }
}

pub(crate) fn run(args: &DemoArgs, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let input = Input::gather(&args.from)?;
    let folder = Folder::new(args.keep.as_ref())?;
    let mut screen = Screen { out };
    screen.line("input", &input.describe(&args.from))?;
    let clients = steps::Clients::create(&folder.path)?;
    steps::append_in_bulk(&mut screen, &clients, &input)?;
    let durable = steps::append_durably(&mut screen, &clients, &input)?;
    steps::measure_size(&mut screen, &clients)?;
    steps::read(&mut screen, &clients, &input)?;
    steps::exchange(&mut screen, &clients)?;
    steps::prove(&mut screen, &clients)?;
    steps::look_back(&mut screen, &clients, &input)?;
    assets::store(&mut screen, &clients, &input)?;
    steps::compact(&mut screen, &clients)?;
    crash::kill_and_recover(&mut screen, &folder.path.join("killed"), &input)?;
    check::everything(&mut screen, clients, &input, durable)?;
    match &args.keep {
        Some(path) => screen.line("kept", &format!("{}: laptop, phone, killed", path.display()))?,
        None => folder.remove()?,
    }
    screen.line("done", &format!("all of it holds; {:.1} s", began.elapsed().as_secs_f64()))?;
    Ok(Outcome::Done)
}

/// Runs `work` and says how long it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = work();
    (result, began.elapsed())
}

//! `annals asset add`.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use annals::{AddedAsset, AssetError, AssetMeta, Clock, Options, Stream, Workspace};
use anyhow::Context as _;
use indicatif::ProgressBar;
use walkdir::WalkDir;

use crate::{
    commands::write_json,
    exit::{Outcome, say},
    open,
    progress::bytes_bar,
};

/// A batch is made durable when it has so many assets, or so much content.
const BATCH_COUNT_MAX: usize = 1024;
const BATCH_LEN_MAX: u64 = 64 << 20;
/// So much of a content tells what it is.
const MAGIC_LEN: usize = 8192;

/// Add files, and all files of folders.
///
/// Content that is here already is not stored again. Each file gets an entry in this client's log with its name, its size
/// and its media type, which is guessed from the content, else from the name. After a batch of files is durable, a line is
/// printed for each: its id and its path, as b3sum prints them. Links are not followed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  annals asset add notes clip.mp4 ~/pictures
  curl -s https://example.com/a.png | annals asset add notes - --name a.png")]
pub(super) struct AddArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// Files and folders; - is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Name of the asset, if it is one file
    #[arg(long)]
    name: Option<String>,
    /// Media type of all, instead of guessing
    #[arg(long = "type", value_name = "TYPE")]
    media_type: Option<String>,
    /// Stream that the entries go into: what the assets belong to
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Give the entries no time
    #[arg(long)]
    no_timestamps: bool,
    /// Read what is stored already of the same content, however large, and store it again if it has rotted
    #[arg(long)]
    verify: bool,
    #[arg(
        long,
        help = r#"Print one object for each asset: {"id", "size", "name", "media_type", "log", "index", "was_here", "path", ..}"#
    )]
    json: bool,
}

/// One line of output.
#[derive(serde::Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    added: &'a AddedAsset,
    path: String,
}

/// What all threads work on.
struct Work<'a, W> {
    args: &'a AddArgs,
    workspace: &'a Workspace,
    stream: Option<Stream>,
    /// What is to be added, and how long it is.
    files: Mutex<std::vec::IntoIter<(PathBuf, u64)>>,
    out: Mutex<&'a mut W>,
    bar: ProgressBar,
    incomplete: AtomicBool,
    /// Nothing can be added any more.
    stopped: AtomicBool,
}

pub(super) fn run(args: &AddArgs, out: &mut (impl Write + Send)) -> anyhow::Result<Outcome> {
    let clock = if args.no_timestamps { Clock::None } else { Clock::System };
    let workspace = open::to_write(&args.dir, Options::default().clock(clock))?;
    let mut outcome = open::name_unreadable("asset add", &workspace);
    let stream = args.stream.as_deref().map(|name| workspace.stream(name)).transpose()?;
    let mut files = Vec::new();
    for path in &args.files {
        if !gather(path, &mut files) {
            outcome = Outcome::Incomplete;
        }
    }
    let total = files.iter().map(|(_, len)| len).sum();
    let only_stdin = files.len() == 1 && files[0].0.as_os_str() == "-";
    let work = Work {
        args,
        workspace: &workspace,
        stream,
        files: Mutex::new(files.into_iter()),
        out: Mutex::new(out),
        bar: bytes_bar("add", (!only_stdin).then_some(total)),
        incomplete: AtomicBool::new(false),
        stopped: AtomicBool::new(false),
    };
    // One large content is spread over the cores by itself; many small ones are not.
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let result = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| work.run())).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    });
    work.bar.finish_and_clear();
    let incomplete = work.incomplete.load(Ordering::Relaxed);
    drop(work);
    result?;
    workspace.close()?;
    Ok(if incomplete { Outcome::Incomplete } else { outcome })
}

/// All files below `path`. Names what cannot be looked at, and answers `false` then.
fn gather(path: &Path, files: &mut Vec<(PathBuf, u64)>) -> bool {
    if path.as_os_str() == "-" {
        files.push((path.to_owned(), 0));
        return true;
    }
    let mut whole = true;
    for entry in WalkDir::new(path).sort_by_file_name() {
        match entry.and_then(|entry| entry.metadata().map(|metadata| (entry, metadata))) {
            Ok((entry, metadata)) => {
                // A file that was named is added whatever it is, as a pipe.
                if metadata.is_file() || (entry.depth() == 0 && !metadata.is_dir()) {
                    files.push((entry.into_path(), metadata.len()));
                }
            }
            Err(error) => {
                say("annals", format_args!("asset add: {error}"));
                whole = false;
            }
        }
    }
    whole
}

impl<W: Write> Work<'_, W> {
    fn run(&self) -> anyhow::Result<()>
    where
        W: Send,
    {
        let mut batch = self.workspace.assets().batch();
        let mut paths = Vec::new();
        while !self.stopped.load(Ordering::Relaxed) {
            let next = self.files.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((path, len)) = next else { break };
            let mut told = 0;
            let progress = |done: u64| {
                self.bar.inc(done.saturating_sub(told));
                told = told.max(done);
                true
            };
            let is_stdin = path.as_os_str() == "-";
            let is_file = std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
            let added = if is_stdin {
                self.add_stream(&mut batch, io::stdin().lock(), "", progress)
            } else if path.exists() && !is_file {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                File::open(&path)
                    .map_err(|error| AssetError::Source(error.into()))
                    .and_then(|pipe| self.add_stream(&mut batch, pipe, &name, progress))
            } else {
                self.meta(&path).and_then(|meta| batch.put_file_with(&path, meta, progress))
            };
            if !is_stdin {
                self.bar.inc(len.saturating_sub(told));
            }
            match added {
                Ok(_) => paths.push(path),
                Err(error) if is_about_one_file(&error) => {
                    let shown = path.display().to_string();
                    let error = error.to_string();
                    let shown = if error.contains(&shown) { String::new() } else { shown + ": " };
                    say("annals", format_args!("asset add: {shown}{error}"));
                    self.incomplete.store(true, Ordering::Relaxed);
                }
                Err(error) => {
                    self.stopped.store(true, Ordering::Relaxed);
                    // What is stored by now is kept, if it can be.
                    let _ = self.settle(&mut batch, &mut paths);
                    return Err(error).with_context(|| path.display().to_string());
                }
            }
            if batch.len() >= BATCH_COUNT_MAX || batch.content_len() >= BATCH_LEN_MAX {
                self.settle(&mut batch, &mut paths)?;
            }
        }
        self.settle(&mut batch, &mut paths)
    }

    /// Adds what can be read only once: stdin, or a pipe.
    fn add_stream(
        &self,
        batch: &mut annals::AssetBatch,
        mut input: impl Read,
        name: &str,
        progress: impl FnMut(u64) -> bool,
    ) -> Result<annals::AssetId, AssetError> {
        let mut first = Vec::new();
        let read = (&mut input).take(MAGIC_LEN as u64).read_to_end(&mut first);
        read.map_err(|error| AssetError::Source(error.into()))?;
        let meta = self.meta_of(self.args.name.as_deref().unwrap_or(name), &first);
        batch.put_with(io::Cursor::new(first).chain(input), meta, progress)
    }

    fn meta(&self, path: &Path) -> Result<AssetMeta, AssetError> {
        let mut first = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAGIC_LEN as u64).read_to_end(&mut first))
            .map_err(|error| AssetError::Source(error.into()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = self.args.name.clone().unwrap_or(name);
        Ok(self.meta_of(&name, &first))
    }

    fn meta_of(&self, name: &str, first: &[u8]) -> AssetMeta {
        let mut meta = AssetMeta::named(name);
        let guessed = || media_type(name, first);
        if let Some(media_type) = self.args.media_type.clone().or_else(guessed) {
            meta = meta.media_type(media_type);
        }
        if let Some(stream) = &self.stream {
            meta = meta.in_stream(stream);
        }
        if self.args.verify { meta.verify() } else { meta }
    }

    /// Makes the batch durable, and says so.
    fn settle(
        &self,
        batch: &mut annals::AssetBatch,
        paths: &mut Vec<PathBuf>,
    ) -> anyhow::Result<()> {
        let added = batch.commit()?;
        if added.is_empty() {
            return Ok(());
        }
        self.workspace.commit()?;
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        for (added, path) in added.iter().zip(paths.drain(..)) {
            if self.args.json {
                write_json(*out, &Line { added, path: path.display().to_string() })?;
            } else {
                writeln!(out, "{}  {}", added.id, path.display())?;
            }
        }
        Ok(out.flush()?)
    }
}

/// Whether the next file may fare better.
fn is_about_one_file(error: &AssetError) -> bool {
    match error {
        AssetError::Source(_) | AssetError::TooLarge | AssetError::Meta(_) => true,
        AssetError::Io(error) => error.doing == "open" || error.doing == "read",
        _ => false,
    }
}

/// By what the content begins with, else by the name.
fn media_type(name: &str, first: &[u8]) -> Option<String> {
    if let Some(found) = infer::get(first) {
        return Some(found.mime_type().to_owned());
    }
    mime_guess::from_path(name).first_raw().map(str::to_owned)
}

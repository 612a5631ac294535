//! `annals append`.

use std::{
    collections::HashMap,
    io::{BufReader, Read, Write},
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use annals::{Change, Clock, Options, StreamId, Workspace};
use anyhow::Context as _;

use crate::{
    exit::{AckFailed, EXIT_INTERRUPTED, Outcome, say},
    formats::{Format, Record, RecordReader},
    open,
    progress::{Metered, bytes_bar, stdin_len},
};

/// Bytes of stdin that are read at once.
const READ_LEN: usize = 256 << 10;

/// Append changes from stdin to this client's log.
///
/// Each change gets an index, a Lamport clock, and the time, unless --timestamps none. It is durable, through a power
/// failure too, once it was committed: see --sync and --ack. A change of more than 1 MiB becomes several entries, and
/// is given whole again; the largest has 4 GiB.
///
/// If the input is wrong somewhere, what came before is appended and committed, and the exit code is 1. Ctrl-C commits
/// what was read so far.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  printf 'a\\nb\\nc\\n' | annals append notes --sync each --ack
  git log --format=%s | annals append notes --stream history
  echo '{\"text\":\"hello\",\"stream\":\"note/1\"}' | annals append notes --format json-lines
  annals cat old --format json-lines | annals append new --format json-lines")]
pub(crate) struct AppendArgs {
    /// Folder of the workspace
    dir: PathBuf,
    /// How stdin is cut into changes
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Stream of all changes that name none; it is declared if it is new
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Time of changes that bring none
    #[arg(long, value_enum, default_value_t)]
    timestamps: Timestamps,
    /// When to commit durably: at the end, after each change, or after every N changes
    #[arg(long, value_name = "end|each|N", default_value = "end")]
    sync: SyncEvery,
    /// After each durable commit print `acked N`: N changes of this client's log are durable
    #[arg(long)]
    ack: bool,
    /// Level of zstd; higher is smaller and slower
    #[arg(long, value_name = "1..22", default_value_t = 1,
        value_parser = clap::value_parser!(i32).range(-7..=22), allow_negative_numbers = true)]
    compression_level: i32,
    /// Target of the uncompressed length of a batch, in bytes (1024 to 8388608): more compresses better, less makes
    /// reading a single entry cheaper
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 10,
        value_parser = clap::value_parser!(u32).range(1024..=8 << 20))]
    batch_len: u32,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
enum Timestamps {
    /// The wall clock of this machine
    #[default]
    Now,
    /// No time
    None,
}

/// After how many changes a commit is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct SyncEvery(u64);

impl FromStr for SyncEvery {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "end" => Ok(Self(u64::MAX)),
            "each" => Ok(Self(1)),
            number => match number.parse() {
                Ok(changes) if changes > 0 => Ok(Self(changes)),
                _ => Err("neither `end`, nor `each`, nor a number of changes from 1"),
            },
        }
    }
}

impl AppendArgs {
    fn options(&self) -> Options {
        let clock = match self.timestamps {
            Timestamps::Now => Clock::System,
            Timestamps::None => Clock::None,
        };
        Options::default()
            .clock(clock)
            .compression_level(self.compression_level)
            .batch_len(usize::try_from(self.batch_len).expect("at most 8 MiB"))
    }
}

/// What is appended to, and what was not committed yet.
#[derive(Debug)]
struct Session<W> {
    workspace: Workspace,
    /// Stream of changes that name none.
    stream: StreamId,
    /// Streams that were named.
    streams: HashMap<String, StreamId>,
    sync: SyncEvery,
    uncommitted: u64,
    ack: bool,
    acked_once: bool,
    out: W,
}

impl<W: Write> Session<W> {
    fn append(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        let stream = match record.stream {
            None => self.stream,
            Some(None) => StreamId::DEFAULT,
            Some(Some(name)) => self.named(name)?,
        };
        let mut change = Change::new(record.payload).in_stream(stream);
        if let Some(timestamp) = record.timestamp {
            change = change.at(timestamp);
        }
        let _ = self.workspace.append_change(change)?;
        self.uncommitted += 1;
        if self.uncommitted >= self.sync.0 { self.commit() } else { Ok(()) }
    }

    fn named(&mut self, name: &str) -> anyhow::Result<StreamId> {
        if let Some(&stream) = self.streams.get(name) {
            return Ok(stream);
        }
        let stream = self.workspace.stream(name).with_context(|| format!("stream {name:?}"))?.id();
        self.streams.insert(name.to_owned(), stream);
        Ok(stream)
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        let durable = self.workspace.commit()?;
        self.uncommitted = 0;
        if self.ack {
            self.acked_once = true;
            let written = writeln!(self.out, "acked {}", durable.changes);
            written.and_then(|()| self.out.flush()).map_err(|error| AckFailed(error.kind()))?;
        }
        Ok(())
    }

    /// Commits what is left, and closes the log. Closing is tried whatever else fails.
    fn finish(&mut self) -> anyhow::Result<()> {
        let due = self.uncommitted > 0 || !self.acked_once;
        let committed = if due { self.commit() } else { Ok(()) };
        let closed = self.workspace.clone().close();
        committed.and(closed.map_err(Into::into))
    }
}

fn lock<W>(session: &Mutex<Session<W>>) -> MutexGuard<'_, Session<W>> {
    // A panic elsewhere is on its way up; what is appended is sound whatever it interrupted.
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn run(
    args: &AppendArgs,
    input: impl Read,
    out: impl Write + Send + 'static,
) -> anyhow::Result<Outcome> {
    let workspace = open::to_write(&args.dir, args.options())?;
    let mut session = Session {
        workspace,
        stream: StreamId::DEFAULT,
        streams: HashMap::new(),
        sync: args.sync,
        uncommitted: 0,
        ack: args.ack,
        acked_once: false,
        out,
    };
    if let Some(name) = &args.stream {
        session.stream = session.named(name)?;
    }
    let session = Arc::new(Mutex::new(session));
    commit_when_interrupted(Arc::clone(&session))?;

    let bar = bytes_bar("append", stdin_len());
    let input = BufReader::with_capacity(READ_LEN, Metered { inner: input, bar: bar.clone() });
    let mut reader = RecordReader::new(input, args.format);
    let appended = append_all(&mut reader, &session);
    bar.finish_and_clear();
    // Whatever ended it: what was appended before is kept.
    let finished = lock(&session).finish();
    appended.and(finished).with_context(|| args.dir.display().to_string())?;
    Ok(Outcome::Done)
}

fn append_all<R: std::io::BufRead, W: Write>(
    reader: &mut RecordReader<R>,
    session: &Mutex<Session<W>>,
) -> anyhow::Result<()> {
    // The lock is not held while waiting for input: that is when an interruption finds its chance.
    while let Some(record) = reader.next()? {
        let appended = lock(session).append(&record);
        appended.with_context(|| reader.place())?;
    }
    Ok(())
}

/// On SIGINT, SIGTERM or SIGHUP commits what was appended so far and ends the process; the second one ends it at once.
fn commit_when_interrupted<W: Write + Send + 'static>(
    session: Arc<Mutex<Session<W>>>,
) -> anyhow::Result<()> {
    let before = Arc::new(AtomicBool::new(false));
    let handler = move || {
        if before.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
        let session = Arc::clone(&session);
        // On a thread of its own, so that the next signal finds this one free.
        std::thread::spawn(move || {
            // Never given back: nothing is appended behind what is committed here.
            let mut session = lock(&session);
            let finished = session.finish();
            match finished {
                Ok(()) => say("annals", "append: interrupted; what was read so far is committed"),
                Err(error) => {
                    say(
                        "annals",
                        format_args!("append: interrupted: {}", crate::exit::chain(&error)),
                    );
                }
            }
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        });
    };
    ctrlc::set_handler(handler).context("cannot listen to signals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_is_a_word_or_a_number_from_one() {
        assert_eq!("each".parse(), Ok(SyncEvery(1)));
        assert_eq!("100".parse(), Ok(SyncEvery(100)));
        assert_eq!("end".parse(), Ok(SyncEvery(u64::MAX)));
        for wrong in ["0", "-1", "", "never", "1.5"] {
            assert!(wrong.parse::<SyncEvery>().is_err(), "{wrong}");
        }
    }

    fn session(sync: SyncEvery, folder: &std::path::Path) -> Session<Vec<u8>> {
        Session {
            workspace: Workspace::create(folder.join("w"), Options::default()).unwrap(),
            stream: StreamId::DEFAULT,
            streams: HashMap::new(),
            sync,
            uncommitted: 0,
            ack: true,
            acked_once: false,
            out: Vec::new(),
        }
    }

    fn acks(sync: &str, input: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let session = Mutex::new(session(sync.parse().unwrap(), folder.path()));
        let mut reader = RecordReader::new(input, Format::Lines);
        append_all(&mut reader, &session).unwrap();
        lock(&session).finish().unwrap();
        String::from_utf8(session.into_inner().unwrap().out).unwrap()
    }

    #[test]
    fn acknowledgements_count_the_changes_of_the_log() {
        assert_eq!(acks("each", b"a\nb\nc\n"), "acked 1\nacked 2\nacked 3\n");
        assert_eq!(acks("2", b"a\nb\nc\n"), "acked 2\nacked 3\n");
        assert_eq!(acks("3", b"a\nb\nc\n"), "acked 3\n");
        assert_eq!(acks("end", b"a\nb\nc"), "acked 3\n");
        assert_eq!(acks("each", b""), "acked 0\n");
    }

    #[test]
    fn streams_are_declared_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = session(SyncEvery(u64::MAX), folder.path());
        let record = Record { payload: b"x", timestamp: Some(None), stream: Some(Some("s")) };
        session.append(&record).unwrap();
        session.append(&record).unwrap();
        assert_eq!(session.workspace.own_log().streams().unwrap().len(), 1);
        let entry = session.workspace.own_log().entry(2).unwrap();
        assert_eq!((entry.timestamp(), entry.payload().unwrap()), (None, &b"x"[..]));
    }
}

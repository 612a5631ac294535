//! What is asked of a store, and what is known about one.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::data::Entries;

/// Is shown payloads.
pub(crate) type Look<'a> = &'a mut dyn FnMut(&[u8]);

/// A log of payloads that are numbered from 0, open in one process.
pub(crate) trait Engine: Send + Sync {
    /// Appends all of them as fast as the store can, and makes them durable with one sync at the end.
    fn bulk(&self, entries: &Entries) -> Result<()>;

    /// Appends some of them at once; they are durable when it returns, unless the name of the subject says otherwise.
    fn commit(&self, payloads: &[&[u8]]) -> Result<()>;

    /// How many there are.
    fn count(&self) -> Result<u64>;

    /// Shows one of them.
    fn get(&self, index: u64, look: Look<'_>) -> Result<()>;

    /// Shows all of them in order.
    fn scan(&self, look: Look<'_>) -> Result<()>;

    /// Takes less room on disk, if the store has a way to; says whether it has.
    fn compact(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// The store as one of streams, if it has an order by stream.
    fn streams(&self) -> Option<&dyn Streams> {
        None
    }

    /// Closes the store as an application does that ends.
    fn close(self: Box<Self>) -> Result<()>;
}

/// A store that finds the entries of one stream among those of others.
pub(crate) trait Streams {
    /// Appends all of them in bulk to an empty store; entry `n` belongs to stream `n % count`.
    fn fill(&self, entries: &Entries, count: usize) -> Result<()>;

    /// Shows the entries of one stream in order.
    fn stream(&self, stream: usize, look: Look<'_>) -> Result<()>;

    /// Shows all entries, ordered by stream and number.
    fn scan_streams(&self, look: Look<'_>) -> Result<()>;
}

/// How much memory a store may use to keep what it has read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cache {
    /// What it uses by itself.
    Default,
    /// 256 MiB.
    Large,
    /// None, or the least that it works with. The page cache of the system remains.
    None,
}

impl Cache {
    /// Bytes, with `default` for the default and `least` for none.
    pub(crate) fn bytes(self, default: usize, least: usize) -> usize {
        match self {
            Self::Default => default,
            Self::Large => 256 << 20,
            Self::None => least,
        }
    }
}

/// What a store is measured in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Role {
    /// Durable commits alone.
    Commits,
    /// And everything else that is done with one log.
    Log,
    /// And finding the entries of streams.
    Streams,
}

/// A store in one of its set-ups.
pub(crate) struct Subject {
    /// How it is called in the report.
    pub(crate) name: &'static str,
    /// What it is measured in.
    pub(crate) role: Role,
    /// The packages whose versions are reported.
    pub(crate) packages: &'static [&'static str],
    /// Source of its module: what stands at its top tells the set-up.
    pub(crate) source: &'static str,
    /// Opens the store in a folder that exists, or makes a new one there.
    pub(crate) open: fn(&Path, Cache) -> Result<Box<dyn Engine>>,
}

impl Subject {
    /// The paragraph about the set-up.
    pub(crate) fn about(&self) -> String {
        about(self.source)
    }

    /// Names and versions of its packages, as Cargo.lock has them.
    pub(crate) fn versions(&self) -> Vec<String> {
        self.packages.iter().map(|name| format!("{name} {}", version(name))).collect()
    }
}

/// The text at the top of a module.
pub(crate) fn about(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn version(package: &str) -> &'static str {
    let entry = format!("name = \"{package}\"\nversion = \"");
    let lock = include_str!("../Cargo.lock");
    let found = lock.split_once(&entry).and_then(|(_, rest)| rest.split_once('"'));
    found.map_or("?", |(version, _)| version)
}

/// The index of a payload as a number that a `Vec` takes.
pub(crate) fn place(index: u64) -> Result<usize> {
    usize::try_from(index).context("an index that no vector has")
}

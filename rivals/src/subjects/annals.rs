//! Annals with its defaults, but without times: batches of 28 KiB in zstd level 1, a Merkle tree, 16 MiB of cache. A
//! durable commit is `append` and `wait_durable`, a hundred at once are `append_all`.

use std::{path::Path, sync::OnceLock};

use annals::{Change, Clock, CompactOptions, Direction, Options, StreamId, Workspace};
use anyhow::{Context as _, Result, bail};

use crate::{
    data::Entries,
    engine::{Cache, Engine, Look, Role, Streams, Subject},
};

pub(super) fn subjects() -> Vec<Subject> {
    vec![Subject {
        name: "annals",
        role: Role::Streams,
        packages: &["annals"],
        source: include_str!("annals.rs"),
        open: |folder, cache| {
            let workspace = open(&folder.join("workspace"), cache)?;
            Ok(Box::new(Annals { workspace, streams: OnceLock::new() }))
        },
    }]
}

/// The workspace `folder`, new if there is none.
pub(crate) fn open(folder: &Path, cache: Cache) -> Result<Workspace> {
    Ok(if folder.exists() {
        Workspace::open(folder, options(cache))?
    } else {
        Workspace::create(folder, options(cache))?
    })
}

/// The defaults, without times.
pub(crate) fn options(cache: Cache) -> Options {
    Options::default().clock(Clock::None).cache_len(cache.bytes(16 << 20, 0))
}

struct Annals {
    workspace: Workspace,
    /// Ids of the streams by their numbers, once they are asked for.
    streams: OnceLock<Vec<StreamId>>,
}

impl Annals {
    fn stream_id(&self, stream: usize) -> Result<StreamId> {
        let ids = if let Some(ids) = self.streams.get() {
            ids
        } else {
            let mut streams = self.workspace.own_log().streams()?;
            streams.sort_by(|one, other| one.1.cmp(&other.1));
            self.streams.get_or_init(|| streams.into_iter().map(|(id, _)| id).collect())
        };
        ids.get(stream).copied().context("there is no such stream")
    }
}

impl Engine for Annals {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        for payload in entries.iter() {
            self.workspace.append(payload)?;
        }
        self.workspace.commit()?;
        Ok(())
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        if let [payload] = payloads {
            self.workspace.append(payload)?.wait_durable()?;
        } else {
            let changes: Vec<_> = payloads.iter().map(|payload| Change::new(payload)).collect();
            self.workspace.append_all(&changes)?.wait_durable()?;
        }
        Ok(())
    }

    fn count(&self) -> Result<u64> {
        Ok(self.workspace.own_log().entry_count())
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        look(self.workspace.own_log().entry(index)?.payload()?);
        Ok(())
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        self.workspace.own_log().scan(..)?.visit(|entry| {
            if !entry.kind().is_control() {
                look(entry.payload()?);
            }
            Ok(())
        })
    }

    fn compact(&mut self) -> Result<bool> {
        self.workspace.compact(&CompactOptions::default(), |_, _| true)?;
        Ok(true)
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.workspace.close()?)
    }
}

impl Streams for Annals {
    fn fill(&self, entries: &Entries, count: usize) -> Result<()> {
        // Names that are ordered as their numbers are.
        let streams = (0..count).map(|n| self.workspace.stream(&format!("document/{n:08}")));
        let streams = streams.collect::<Result<Vec<_>, _>>()?;
        for (payload, stream) in entries.iter().zip(streams.iter().cycle()) {
            stream.append(payload)?;
        }
        self.workspace.commit()?;
        Ok(())
    }

    fn stream(&self, stream: usize, look: Look<'_>) -> Result<()> {
        let id = self.stream_id(stream)?;
        for entry in self.workspace.own_log().scan_stream(id, .., Direction::Forward)?.changes() {
            look(entry?.payload()?);
        }
        Ok(())
    }

    fn scan_streams(&self, _: Look<'_>) -> Result<()> {
        bail!("a log has one order; clients are merged by `Workspace::merged`")
    }
}

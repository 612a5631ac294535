//! raft-engine, the log of TiKV, in its defaults: the entries of a Raft group are numbered without gaps, so that each of
//! eight threads has a group of its own, and commits of several groups are joined by the engine. An entry is a protobuf
//! message of its number and the payload, `sync` is set for each commit. Measured for commits alone: it keeps what is
//! needed to find every entry in memory.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard},
};

use anyhow::{Context as _, Result};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine as RaftEngine, LogBatch, MessageExt};

use crate::{
    data::Entries,
    engine::{Engine, Look, Role, Subject},
};

const GROUP_COUNT: u64 = 8;
/// Entries of one write in bulk.
const BATCH_COUNT: usize = 1000;

pub(super) fn subjects() -> Vec<Subject> {
    vec![Subject {
        name: "raft-engine",
        role: Role::Commits,
        packages: &["raft-engine"],
        source: include_str!("raft_engine.rs"),
        open: |folder, _| Ok(Box::new(Raft::open(folder)?)),
    }]
}

/// How the engine sees entries: the number stands before the payload.
#[derive(Clone)]
struct Numbered;

impl MessageExt for Numbered {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        u64::from_le_bytes(entry.value[..8].try_into().expect("eight bytes"))
    }
}

struct Raft {
    engine: RaftEngine,
    /// The groups, and the next number of each.
    groups: Vec<(u64, Mutex<u64>)>,
}

impl Raft {
    fn open(folder: &Path) -> Result<Self> {
        let dir = folder.to_str().context("a folder whose name is no text")?.to_owned();
        let engine = RaftEngine::open(Config { dir, ..Config::default() })?;
        // Both groups and numbers begin with 1 there.
        let groups = (1..=GROUP_COUNT)
            .map(|group| (group, Mutex::new(engine.last_index(group).map_or(1, |last| last + 1))))
            .collect();
        Ok(Self { engine, groups })
    }

    /// A group that nobody else is using, or the first one.
    fn group(&self) -> (u64, MutexGuard<'_, u64>) {
        let free =
            self.groups.iter().find_map(|(group, next)| Some((*group, next.try_lock().ok()?)));
        free.unwrap_or_else(|| {
            let (group, next) = &self.groups[0];
            (*group, next.lock().expect("nobody panicked"))
        })
    }

    fn append(&self, payloads: &[&[u8]], sync: bool) -> Result<()> {
        let (group, mut next) = self.group();
        let message = |(n, payload): (u64, &&[u8])| {
            let mut message = BytesValue::new();
            message.set_value([&n.to_le_bytes(), *payload].concat());
            message
        };
        let messages: Vec<_> = (*next..).zip(payloads).map(message).collect();
        let mut batch = LogBatch::default();
        batch.add_entries::<Numbered>(group, &messages)?;
        self.engine.write(&mut batch, sync)?;
        *next += payloads.len() as u64;
        Ok(())
    }
}

impl Engine for Raft {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        let payloads: Vec<_> = entries.iter().collect();
        for batch in payloads.chunks(BATCH_COUNT) {
            self.append(batch, false)?;
        }
        Ok(self.engine.sync()?)
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        self.append(payloads, true)
    }

    fn count(&self) -> Result<u64> {
        Ok(self.groups.iter().map(|(_, next)| *next.lock().expect("nobody panicked") - 1).sum())
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        let entry = self.engine.get_entry::<Numbered>(1, index + 1)?;
        look(&entry.context("there is no such entry")?.value[8..]);
        Ok(())
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        for (group, next) in &self.groups {
            let end = *next.lock().expect("nobody panicked");
            let mut entries = Vec::new();
            self.engine.fetch_entries_to::<Numbered>(*group, 1, end, None, &mut entries)?;
            for entry in &entries {
                look(&entry.value[8..]);
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.engine.sync()?)
    }
}

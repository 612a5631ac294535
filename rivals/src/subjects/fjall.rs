//! fjall: keys are big-endian, lz4 as it comes (it has no zstd), `persist(SyncData)` for each durable commit; in bulk
//! write batches of 1,000, and the journal synced once at the end. Closing moves what is in memory to tables; it is
//! compacted by a major compaction. Streams are keys of stream and number.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::keys::{log_key, log_number, stream_key};
use crate::{
    data::Entries,
    engine::{Cache, Engine, Look, Role, Streams, Subject},
};

/// Entries of one batch in bulk.
const BATCH_COUNT: usize = 1000;

pub(super) fn subjects() -> Vec<Subject> {
    vec![Subject {
        name: "fjall",
        role: Role::Streams,
        packages: &["fjall", "lsm-tree"],
        source: include_str!("fjall.rs"),
        open: |folder, cache| Ok(Box::new(Fjall::open(folder, cache)?)),
    }]
}

struct Fjall {
    database: Database,
    log: Keyspace,
    streams: Keyspace,
    next: AtomicU64,
}

impl Fjall {
    fn open(folder: &Path, cache: Cache) -> Result<Self> {
        let mut builder = Database::builder(folder.join("log"));
        if cache != Cache::Default {
            builder = builder.cache_size(cache.bytes(0, 0) as u64);
        }
        let database = builder.open()?;
        let log = database.keyspace("log", KeyspaceCreateOptions::default)?;
        let streams = database.keyspace("streams", KeyspaceCreateOptions::default)?;
        let store = Self { database, log, streams, next: AtomicU64::new(0) };
        store.next.store(store.count()?, Ordering::Relaxed);
        Ok(store)
    }

    /// Writes everything in batches, and syncs once.
    fn write_all<'a, K: AsRef<[u8]>>(
        &self,
        keyspace: &Keyspace,
        pairs: impl Iterator<Item = (K, &'a [u8])>,
    ) -> Result<()> {
        let mut batch = self.database.batch();
        for (key, payload) in pairs {
            batch.insert(keyspace, key.as_ref(), payload);
            if batch.len() >= BATCH_COUNT {
                std::mem::replace(&mut batch, self.database.batch()).commit()?;
            }
        }
        batch.commit()?;
        Ok(self.database.persist(PersistMode::SyncData)?)
    }
}

impl Engine for Fjall {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        let first = self.next.fetch_add(entries.len() as u64, Ordering::Relaxed);
        self.write_all(&self.log, (first..).map(log_key).zip(entries.iter()))
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        let first = self.next.fetch_add(payloads.len() as u64, Ordering::Relaxed);
        if let [payload] = payloads {
            self.log.insert(log_key(first), *payload)?;
        } else {
            let mut batch = self.database.batch();
            for (n, payload) in (first..).zip(payloads) {
                batch.insert(&self.log, log_key(n), *payload);
            }
            batch.commit()?;
        }
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn count(&self) -> Result<u64> {
        let last = self.log.last_key_value().map(fjall::Guard::key).transpose()?;
        Ok(last.map_or(0, |key| log_number(&key) + 1))
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        look(&self.log.get(log_key(index))?.context("there is no such entry")?);
        Ok(())
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        for entry in self.log.iter() {
            look(&entry.value()?);
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<bool> {
        self.log.rotate_memtable_and_wait()?;
        self.log.major_compact()?;
        Ok(true)
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.log.rotate_memtable_and_wait()?;
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}

impl Streams for Fjall {
    fn fill(&self, entries: &Entries, count: usize) -> Result<()> {
        let keys = (0..entries.len()).map(|n| stream_key(n % count, n));
        self.write_all(&self.streams, keys.zip(entries.iter()))?;
        Ok(self.streams.rotate_memtable_and_wait()?)
    }

    fn stream(&self, stream: usize, look: Look<'_>) -> Result<()> {
        for entry in self.streams.prefix((stream as u64).to_be_bytes()) {
            look(&entry.value()?);
        }
        Ok(())
    }

    fn scan_streams(&self, look: Look<'_>) -> Result<()> {
        for entry in self.streams.iter() {
            look(&entry.value()?);
        }
        Ok(())
    }
}

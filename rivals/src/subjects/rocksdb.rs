//! RocksDB: keys are big-endian, zstd for all levels, the write-ahead log on, `sync` for each durable commit; in bulk
//! write batches of 1,000, and the log synced once at the end. Closing flushes what is in memory; it is compacted by a
//! manual compaction of everything. Its block cache is as large as the case says, 8 MiB by default; streams are keys of
//! stream and number.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use rocksdb::{
    BlockBasedOptions, Cache as BlockCache, DB, DBCompressionType, Direction, IteratorMode,
    Options, WriteBatch, WriteOptions,
};

use super::keys::{log_key, log_number, stream_key};
use crate::{
    data::Entries,
    engine::{Cache, Engine, Look, Role, Streams, Subject},
};

/// Entries of one batch in bulk.
const BATCH_COUNT: usize = 1000;

pub(super) fn subjects() -> Vec<Subject> {
    vec![Subject {
        name: "rocksdb",
        role: Role::Streams,
        packages: &["rocksdb", "librocksdb-sys"],
        source: include_str!("rocksdb.rs"),
        open: |folder, cache| Ok(Box::new(Rocks::open(folder, cache)?)),
    }]
}

struct Rocks {
    database: DB,
    next: AtomicU64,
}

impl Rocks {
    fn open(folder: &Path, cache: Cache) -> Result<Self> {
        let mut blocks = BlockBasedOptions::default();
        if cache == Cache::None {
            blocks.disable_cache();
        } else {
            blocks.set_block_cache(&BlockCache::new_lru_cache(cache.bytes(8 << 20, 0)));
        }
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::Zstd);
        options.set_block_based_table_factory(&blocks);
        let database = DB::open(&options, folder.join("log"))?;
        let store = Self { database, next: AtomicU64::new(0) };
        store.next.store(store.last()?.map_or(0, |last| last + 1), Ordering::Relaxed);
        Ok(store)
    }

    fn last(&self) -> Result<Option<u64>> {
        let last = self.database.iterator(IteratorMode::End).next().transpose()?;
        // A store of streams has longer keys, and no log.
        Ok(last.filter(|(key, _)| key.len() == 8).map(|(key, _)| log_number(&key)))
    }

    /// Writes everything in batches, and syncs once.
    fn write_all<K: AsRef<[u8]>>(
        &self,
        pairs: impl Iterator<Item = (K, impl AsRef<[u8]>)>,
    ) -> Result<()> {
        let mut batch = WriteBatch::default();
        for (key, payload) in pairs {
            batch.put(key, payload);
            if batch.len() >= BATCH_COUNT {
                self.database.write(std::mem::take(&mut batch))?;
            }
        }
        self.database.write(batch)?;
        Ok(self.database.flush_wal(true)?)
    }
}

impl Engine for Rocks {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        let first = self.next.fetch_add(entries.len() as u64, Ordering::Relaxed);
        self.write_all((first..).map(log_key).zip(entries.iter()))
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        let first = self.next.fetch_add(payloads.len() as u64, Ordering::Relaxed);
        let mut batch = WriteBatch::default();
        for (n, payload) in (first..).zip(payloads) {
            batch.put(log_key(n), payload);
        }
        let mut durable = WriteOptions::default();
        durable.set_sync(true);
        Ok(self.database.write_opt(batch, &durable)?)
    }

    fn count(&self) -> Result<u64> {
        Ok(self.last()?.map_or(0, |last| last + 1))
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        let payload = self.database.get_pinned(log_key(index))?;
        look(&payload.context("there is no such entry")?);
        Ok(())
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        let mut iterator = self.database.raw_iterator();
        iterator.seek_to_first();
        while let Some(payload) = iterator.value() {
            look(payload);
            iterator.next();
        }
        Ok(iterator.status()?)
    }

    fn compact(&mut self) -> Result<bool> {
        self.database.flush()?;
        self.database.compact_range::<&[u8], &[u8]>(None, None);
        Ok(true)
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.flush()?)
    }
}

impl Streams for Rocks {
    fn fill(&self, entries: &Entries, count: usize) -> Result<()> {
        let keys = (0..entries.len()).map(|n| stream_key(n % count, n));
        self.write_all(keys.zip(entries.iter()))?;
        Ok(self.database.flush()?)
    }

    fn stream(&self, stream: usize, look: Look<'_>) -> Result<()> {
        let start = stream_key(stream, 0);
        let mode = IteratorMode::From(&start, Direction::Forward);
        for entry in self.database.iterator(mode) {
            let (key, payload) = entry?;
            if key[..8] != start[..8] {
                break;
            }
            look(&payload);
        }
        Ok(())
    }

    fn scan_streams(&self, look: Look<'_>) -> Result<()> {
        self.scan(look)
    }
}

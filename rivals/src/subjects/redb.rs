//! redb: keys are `u64`, one write transaction for each commit (`Durability::Immediate`) and one for everything in bulk;
//! streams are a table by stream and number. No cache means one of 64 KiB.

use std::path::Path;

use anyhow::{Context as _, Result};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::{
    data::Entries,
    engine::{Cache, Engine, Look, Role, Streams, Subject},
};

const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const STREAMS: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("streams");

pub(super) fn subjects() -> Vec<Subject> {
    vec![Subject {
        name: "redb",
        role: Role::Streams,
        packages: &["redb"],
        source: include_str!("redb.rs"),
        open: |folder, cache| Ok(Box::new(Redb::open(folder, cache)?)),
    }]
}

struct Redb(Database);

impl Redb {
    fn open(folder: &Path, cache: Cache) -> Result<Self> {
        let mut builder = Database::builder();
        if cache != Cache::Default {
            builder.set_cache_size(cache.bytes(0, 64 << 10));
        }
        Ok(Self(builder.create(folder.join("log.redb"))?))
    }

    fn append<'a>(&self, payloads: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(LOG)?;
        let next = table.last()?.map_or(0, |(last, _)| last.value() + 1);
        for (n, payload) in (next..).zip(payloads) {
            table.insert(n, payload)?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }
}

impl Engine for Redb {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        self.append(entries.iter())
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        self.append(payloads.iter().copied())
    }

    fn count(&self) -> Result<u64> {
        let table = self.0.begin_read()?.open_table(LOG)?;
        Ok(table.last()?.map_or(0, |(last, _)| last.value() + 1))
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        let table = self.0.begin_read()?.open_table(LOG)?;
        look(table.get(index)?.context("there is no such entry")?.value());
        Ok(())
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        let table = self.0.begin_read()?.open_table(LOG)?;
        for entry in table.iter()? {
            look(entry?.1.value());
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<bool> {
        self.0.compact()?;
        Ok(true)
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.close()?)
    }
}

impl Streams for Redb {
    fn fill(&self, entries: &Entries, count: usize) -> Result<()> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(STREAMS)?;
        for (n, payload) in entries.iter().enumerate() {
            table.insert(((n % count) as u64, n as u64), payload)?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn stream(&self, stream: usize, look: Look<'_>) -> Result<()> {
        let table = self.0.begin_read()?.open_table(STREAMS)?;
        for entry in table.range((stream as u64, 0)..=(stream as u64, u64::MAX))? {
            look(entry?.1.value());
        }
        Ok(())
    }

    fn scan_streams(&self, look: Look<'_>) -> Result<()> {
        let table = self.0.begin_read()?.open_table(STREAMS)?;
        for entry in table.iter()? {
            look(entry?.1.value());
        }
        Ok(())
    }
}

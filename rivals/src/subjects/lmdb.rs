//! LMDB, by lmdb-rkv, the wrapper that can be opened without `unsafe`: keys are big-endian, put with `APPEND`, one write
//! transaction for each commit (synced, as it comes) and one for everything in bulk; a map of 16 GiB. It has no cache of
//! its own, and is not compacted. Streams are a database by stream and number.

use std::path::Path;

use anyhow::{Context as _, Result};
use lmdb::{Cursor as _, Database, DatabaseFlags, Environment, Transaction as _, WriteFlags};

use super::keys::{log_key, log_number, stream_key};
use crate::{
    data::Entries,
    engine::{Engine, Look, Role, Streams, Subject},
};

/// Address space that is taken; the file grows as it is needed.
const MAP_LEN: usize = 16 << 30;
/// The operation `MDB_LAST` of cursors.
const LAST: u32 = 6;

pub(super) fn subjects() -> Vec<Subject> {
    vec![Subject {
        name: "lmdb",
        role: Role::Streams,
        packages: &["lmdb-rkv", "lmdb-rkv-sys"],
        source: include_str!("lmdb.rs"),
        open: |folder, _| Ok(Box::new(Lmdb::open(folder)?)),
    }]
}

struct Lmdb {
    environment: Environment,
    log: Database,
    streams: Database,
}

impl Lmdb {
    fn open(folder: &Path) -> Result<Self> {
        let environment = Environment::new().set_map_size(MAP_LEN).set_max_dbs(2).open(folder)?;
        let log = environment.create_db(Some("log"), DatabaseFlags::empty())?;
        let streams = environment.create_db(Some("streams"), DatabaseFlags::empty())?;
        Ok(Self { environment, log, streams })
    }

    fn append<'a>(&self, payloads: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let mut transaction = self.environment.begin_rw_txn()?;
        let next = last(&transaction, self.log)?;
        for (n, payload) in (next..).zip(payloads) {
            transaction.put(self.log, &log_key(n), &payload, WriteFlags::APPEND)?;
        }
        Ok(transaction.commit()?)
    }

    fn scan_all(&self, database: Database, look: Look<'_>) -> Result<()> {
        let transaction = self.environment.begin_ro_txn()?;
        let mut cursor = transaction.open_ro_cursor(database)?;
        for entry in cursor.iter_start() {
            look(entry?.1);
        }
        Ok(())
    }
}

/// The number behind the last one.
fn last(transaction: &impl lmdb::Transaction, log: Database) -> Result<u64> {
    match transaction.open_ro_cursor(log)?.get(None, None, LAST) {
        Ok((key, _)) => Ok(log_number(key.context("an entry without a key")?) + 1),
        Err(lmdb::Error::NotFound) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

impl Engine for Lmdb {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        self.append(entries.iter())
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        self.append(payloads.iter().copied())
    }

    fn count(&self) -> Result<u64> {
        last(&self.environment.begin_ro_txn()?, self.log)
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        look(self.environment.begin_ro_txn()?.get(self.log, &log_key(index))?);
        Ok(())
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        self.scan_all(self.log, look)
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.environment.sync(true)?)
    }
}

impl Streams for Lmdb {
    fn fill(&self, entries: &Entries, count: usize) -> Result<()> {
        let mut transaction = self.environment.begin_rw_txn()?;
        for (n, payload) in entries.iter().enumerate() {
            let key = stream_key(n % count, n);
            transaction.put(self.streams, &key, &payload, WriteFlags::empty())?;
        }
        Ok(transaction.commit()?)
    }

    fn stream(&self, stream: usize, look: Look<'_>) -> Result<()> {
        let transaction = self.environment.begin_ro_txn()?;
        let mut cursor = transaction.open_ro_cursor(self.streams)?;
        let start = stream_key(stream, 0);
        for entry in cursor.iter_from(start) {
            let (key, payload) = entry?;
            if key[..8] != start[..8] {
                break;
            }
            look(payload);
        }
        Ok(())
    }

    fn scan_streams(&self, look: Look<'_>) -> Result<()> {
        self.scan_all(self.streams, look)
    }
}

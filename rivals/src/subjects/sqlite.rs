//! SQLite, bundled with rusqlite: a write-ahead log, `synchronous = FULL`, prepared statements, `INTEGER PRIMARY KEY`,
//! one connection behind a mutex, one transaction for each commit and one for everything in bulk; streams are a table
//! without rowids, by stream and number. It is compacted by `VACUUM`. `sqlite-unsynced` is `synchronous = NORMAL`: what
//! was committed since the last checkpoint is lost when power fails. No cache means the ten pages that SQLite needs.

use std::{path::Path, sync::Mutex};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, Params, params};

use crate::{
    data::Entries,
    engine::{Cache, Engine, Look, Role, Streams, Subject},
};

pub(super) fn subjects() -> Vec<Subject> {
    let subject = |name, role, open| Subject {
        name,
        role,
        packages: &["rusqlite", "libsqlite3-sys"],
        source: include_str!("sqlite.rs"),
        open,
    };
    vec![
        subject("sqlite", Role::Streams, |folder, cache| {
            Ok(Box::new(Sqlite::open(folder, cache, "FULL")?))
        }),
        subject("sqlite-unsynced", Role::Log, |folder, cache| {
            Ok(Box::new(Sqlite::open(folder, cache, "NORMAL")?))
        }),
    ]
}

/// A database that one connection writes.
struct Sqlite(Mutex<Connection>);

impl Sqlite {
    /// Opens the database in a folder, or makes one.
    fn open(folder: &Path, cache: Cache, synchronous: &str) -> Result<Self> {
        let connection = Connection::open(folder.join("log.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        // Negative values are KiB.
        let kibibytes = i64::try_from(cache.bytes(2000 << 10, 40 << 10) >> 10)?;
        connection.pragma_update(None, "cache_size", -kibibytes)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS log (n INTEGER PRIMARY KEY, payload BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS streams (stream INTEGER NOT NULL, n INTEGER NOT NULL, payload BLOB NOT NULL,
                 PRIMARY KEY (stream, n)) WITHOUT ROWID;",
        )?;
        Ok(Self(Mutex::new(connection)))
    }

    fn append<'a>(&self, payloads: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let mut connection = self.0.lock().expect("nobody panicked");
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare_cached("INSERT INTO log (payload) VALUES (?)")?;
        for payload in payloads {
            insert.execute([payload])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }

    /// Moves everything from the write-ahead log to the database, and syncs both.
    fn checkpoint(&self) -> Result<()> {
        let connection = self.0.lock().expect("nobody panicked");
        Ok(connection.query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))?)
    }

    /// Shows the first column of all rows.
    fn select(&self, query: &str, parameters: impl Params, look: Look<'_>) -> Result<()> {
        let connection = self.0.lock().expect("nobody panicked");
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            look(row.get_ref(0)?.as_blob()?);
        }
        Ok(())
    }
}

impl Engine for Sqlite {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        self.append(entries.iter())?;
        // With `NORMAL` only this syncs.
        self.checkpoint()
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        self.append(payloads.iter().copied())
    }

    fn count(&self) -> Result<u64> {
        let connection = self.0.lock().expect("nobody panicked");
        let mut statement = connection.prepare_cached("SELECT max(n) FROM log")?;
        let count: Option<i64> = statement.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(count.unwrap_or(0))?)
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        let connection = self.0.lock().expect("nobody panicked");
        let mut statement = connection.prepare_cached("SELECT payload FROM log WHERE n = ?")?;
        // The first row is 1.
        let mut rows = statement.query([i64::try_from(index + 1)?])?;
        look(rows.next()?.context("there is no such entry")?.get_ref(0)?.as_blob()?);
        Ok(())
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        self.select("SELECT payload FROM log ORDER BY n", [], look)
    }

    fn compact(&mut self) -> Result<bool> {
        let connection = self.0.get_mut().expect("nobody panicked");
        connection.execute_batch("VACUUM")?;
        Ok(true)
    }

    fn streams(&self) -> Option<&dyn Streams> {
        Some(self)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.0.into_inner().expect("nobody panicked").close().map_err(|(_, error)| error.into())
    }
}

impl Streams for Sqlite {
    fn fill(&self, entries: &Entries, count: usize) -> Result<()> {
        let mut connection = self.0.lock().expect("nobody panicked");
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare("INSERT INTO streams VALUES (?, ?, ?)")?;
        for (n, payload) in entries.iter().enumerate() {
            insert.execute(params![i64::try_from(n % count)?, i64::try_from(n)?, payload])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }

    fn stream(&self, stream: usize, look: Look<'_>) -> Result<()> {
        let query = "SELECT payload FROM streams WHERE stream = ? ORDER BY n";
        self.select(query, [i64::try_from(stream)?], look)
    }

    fn scan_streams(&self, look: Look<'_>) -> Result<()> {
        self.select("SELECT payload FROM streams ORDER BY stream, n", [], look)
    }
}

//! Annals with its defaults, but without times: batches of 32 KiB in zstd level 1, a Merkle tree, 16 MiB of cache. A
//! durable commit is `append` and `wait_durable`, a hundred at once are `append_all`.

use std::path::Path;

use annals::{Change, Clock, CompactOptions, Options, Workspace};
use anyhow::Result;

use crate::{
    data::Entries,
    engine::{Cache, Engine, Look, Subject},
};

pub(super) fn subjects() -> Vec<Subject> {
    vec![Subject {
        name: "annals",
        packages: &["annals"],
        source: include_str!("annals.rs"),
        open: |folder, cache| Ok(Box::new(Annals(open(folder, cache)?))),
    }]
}

/// A workspace in `folder`, new if there is none.
fn open(folder: &Path, cache: Cache) -> Result<Workspace> {
    let options = Options::default().clock(Clock::None).cache_len(cache.bytes(16 << 20, 0));
    let folder = folder.join("workspace");
    Ok(if folder.exists() {
        Workspace::open(folder, options)?
    } else {
        Workspace::create(folder, options)?
    })
}

struct Annals(Workspace);

impl Engine for Annals {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        for payload in entries.iter() {
            self.0.append(payload)?;
        }
        self.0.commit()?;
        Ok(())
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        if let [payload] = payloads {
            self.0.append(payload)?.wait_durable()?;
        } else {
            let changes: Vec<_> = payloads.iter().map(|payload| Change::new(payload)).collect();
            self.0.append_all(&changes)?.wait_durable()?;
        }
        Ok(())
    }

    fn count(&self) -> Result<u64> {
        Ok(self.0.own_log().entry_count())
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        look(self.0.own_log().entry(index)?.payload()?);
        Ok(())
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        for entry in self.0.own_log().scan(..)? {
            look(entry?.payload()?);
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<bool> {
        self.0.compact(&CompactOptions::default(), |_, _| true)?;
        Ok(true)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.close()?)
    }
}

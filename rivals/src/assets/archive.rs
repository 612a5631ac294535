//! What is asked of something that stores files.

use std::path::Path;

use anyhow::{Result, bail};

use super::{
    annals::Annals,
    programs::{B3sum, Borg, Cp, Restic},
};

/// Who stores files, the first one what the others are compared with.
pub(super) const NAMES: [&str; 7] =
    ["annals", "cp-sync", "b3sum-1-thread", "b3sum", "restic", "restic-uncompressed", "borg"];

/// Stores folders of files in a folder of its own, each call as a program that is started anew.
pub(super) trait Archive {
    /// Makes what has to be there before anything is stored.
    fn create(&self) -> Result<()> {
        Ok(())
    }

    /// Stores all files of a folder under the name `name`, and makes them durable.
    fn ingest(&self, source: &Path, name: &str) -> Result<()>;

    /// Reads and verifies all that was stored under the name.
    fn read(&self, source: &Path, name: &str) -> Result<()>;

    /// Makes sure that all files of a folder are in the store, whatever that takes.
    fn verify(&self, source: &Path, name: &str) -> Result<()>;

    /// Whether anything is stored: else it is a limit that others cannot do without.
    fn stores(&self) -> bool {
        true
    }
}

/// The archive of this name, with its files in `store` and what it needs besides in `aside`.
pub(super) fn archive(name: &str, store: &Path, aside: &Path) -> Result<Box<dyn Archive>> {
    let (store, aside) = (store.to_owned(), aside.to_owned());
    Ok(match name {
        "annals" => Box::new(Annals { store }),
        "cp-sync" => Box::new(Cp { store }),
        "b3sum-1-thread" => Box::new(B3sum { one_thread: true }),
        "b3sum" => Box::new(B3sum { one_thread: false }),
        "restic" => Box::new(Restic { store, aside, compression: "auto" }),
        "restic-uncompressed" => Box::new(Restic { store, aside, compression: "off" }),
        "borg" => Box::new(Borg { store, aside }),
        _ => bail!("{name} stores no files"),
    })
}

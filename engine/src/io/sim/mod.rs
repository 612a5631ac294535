//! A simulated machine: it loses power, its disk fails, and each run is the same.
//!
//! Behind the feature `sim` of the crate, for tests: the engine's own, and those of whoever embeds it.
//! A [`SimDisk`] stands where the operating system does ([`Disk`](super::Disk)). What it models:
//!
//! - A file's bytes and its length are durable once the file was synced, and its name once its folder was.
//!   All else is *pending*, and what a power loss leaves of that is up to a [`Loss`]: any subset, in units of
//!   sectors, in no order. Bytes that were not written to are never touched.
//! - A killed process loses nothing that it wrote ([`SimDisk::after_kill`]), and all of that stays pending.
//! - Calls fail, data is damaged on the way, syncs lie, the disk is full: see [`Fault`].
//! - The clock and the random numbers come from a seed. Two runs of one thread that do the same see the same.
//!
//! [`SimDisk::recording`] keeps all that was done, so that a test can look at each moment afterwards
//! ([`History`]); [`ProtocolDisk`] watches a program and names what it does that a power loss could punish.
//!
//! After the non-durable files of `FoundationDB`'s simulator, the storage of `TigerBeetle`'s, the crash tests
//! of `SQLite`, and the persistence model of ALICE (Pillai et al., OSDI 2014).
//!
//! # Example: a crash test
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use annals::{Options, Workspace, io::sim::{Loss, SimDisk}};
//!
//! let disk = SimDisk::recording(1);
//! let folder = Path::new("notes");
//! let workspace = Workspace::create_on(Arc::new(disk.clone()), folder, Options::default(), None)?;
//! let mut acknowledged = Vec::new();
//! for change in ["one", "two", "three"] {
//!     workspace.append(change.as_bytes())?;
//!     workspace.commit()?;
//!     acknowledged.push(disk.mutation_count());
//! }
//!
//! // At each moment after the first commit the power fails, and each time the disk loses something else.
//! let mut history = disk.history();
//! while history.step() {
//!     let sure = acknowledged.iter().filter(|&&at| at <= history.position()).count();
//!     if sure == 0 {
//!         continue;
//!     }
//!     let loss = Loss::Random { seed: history.position(), garbage: true };
//!     let found = history.machine().after_power_loss(&loss);
//!     let workspace = Workspace::open_on(Arc::new(found), folder, Options::default())?;
//!     let changes = workspace.own_log().scan(..)?.filter_map(Result::ok);
//!     let changes: Vec<_> = changes.filter(|entry| !entry.kind().is_control()).collect();
//!     assert!(changes.len() >= sure, "what was acknowledged is there");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod content;
mod disk;
mod fault;
mod history;
mod image;
mod inode;
mod loss;
mod machine;
mod protocol;
mod random;
mod ranges;
#[cfg(test)]
mod tests;
mod tracker;

pub use self::{
    fault::{AfterFailedSync, Call, Fault, FaultRates},
    history::History,
    loss::Loss,
    machine::{PowerOff, SimDisk},
    protocol::{Durability, ProtocolDisk},
};

/// What a disk writes whole or not at all, unless it tears it: 512 bytes.
pub const SECTOR_LEN: usize = 512;

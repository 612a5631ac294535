//! Annals: the storage and sync engine for local-first software.
//!
//! Every device ("client") of a workspace keeps one append-only, compressed, Merkle-linked log of its own changes in a
//! single file, and replicas of the logs of the others. Payloads are opaque bytes.
//!
//! # Vocabulary
//!
//! | term | meaning |
//! |---|---|
//! | workspace | the clients that share data; a folder on each device |
//! | client | one writer: a device or an installation |
//! | log | a client's sequence of entries; one *segment* file |
//! | entry | one element of a log, with an index from 0: a *change*, or a control entry of the engine's |
//! | stream | what an entry is about: a document, a collection; declared once by name |
//! | frontier | how far each log goes: a version vector with Merkle roots |
//! | bundle | entries and their frontier as one stream of bytes |
//! | pack | a file that holds the bytes of assets on one device |
//! | asset | bytes of any length apart from the logs, named by their hash; an entry *claims* it, a URL refers to it |
//!
//! # Where to start
//!
//! - [`Workspace`]: create, open, append, commit, export, import;
//! - [`LogView`]: read one log, roots and proofs; [`Workspace::merged`] and its neighbours: all logs in one order;
//! - [`Workspace::assets`]: images, films and other large binaries;
//! - [`check`]: what `annals-fsck` does; [`salvage`]: what is left of a workspace, into a new one.
//!
//! # Example: append, commit, read
//!
//! ```
//! use annals::{Options, Workspace};
//!
//! let folder = tempfile::tempdir()?;
//! let workspace = Workspace::create(folder.path().join("w"), Options::default())?;
//! workspace.append(b"first")?;
//! workspace.append(b"second")?;
//! workspace.commit()?;
//! for entry in workspace.own_log().scan(..)? {
//!     let entry = entry?;
//!     println!("{}: {} bytes", entry.index(), entry.payload()?.len());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Example: history
//!
//! ```
//! use annals::{Change, Frontier, Options, Timestamp, Workspace};
//!
//! let folder = tempfile::tempdir()?;
//! let workspace = Workspace::create(folder.path().join("w"), Options::default())?;
//! for (day, text) in [("2026-01-01", "draft"), ("2026-02-01", "final")] {
//!     workspace.append_change(Change::new(text.as_bytes()).at(Some(Timestamp::parse(day)?)))?;
//! }
//! let then = workspace.at(Timestamp::parse("2026-01-15")?)?;
//! let known: Vec<_> = workspace.merged_between(&Frontier::empty(), Some(&then))?.collect::<Result<_, _>>()?;
//! assert_eq!(known.len(), 1);
//! assert_eq!(known[0].payload()?, b"draft");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Threads, processes, blocking
//!
//! Handles can be cloned and used from any thread. One process writes a workspace at a time; any number read it
//! beside. Everything blocks; there is no network in here, and no threads but those that hash a large asset, which end
//! with the call, those that encode while much is appended, which end when there is nothing left to encode and hold no
//! file, and one for upkeep where there is any to do.

pub mod asset;
pub mod assets;
pub mod batch;
pub mod bundle;
pub mod bytes;
pub mod check;
pub mod compact;
pub mod entry;
pub mod error;
pub mod frame;
pub mod index;
pub mod io;
pub mod log;
pub mod merkle;
pub mod pack;
pub mod salvage;
mod sync;
pub mod workspace;

pub use asset::{
    AssetClaim, AssetEntryError, AssetId, AssetUrl, ClaimRef, ParseAssetIdError,
    ParseAssetUrlError, Release, WrongSize,
};
pub use assets::{Accepted, AssetCorruption, AssetFault, AssetReader, CollectReport};
pub use bytes::{
    ClientId, Hash, LogId, ParseHashError, ParseIdError, ParseTimestampError, StreamId, Timestamp,
    WorkspaceId,
};
pub use compact::CompactError;
pub use entry::{EntryHeader, FrontierRow, Kind};
pub use error::{Cause, Corruption, IoError, LostEntries};
pub use log::{
    Absent, AppendError, Change, Direction, Durability, Entry, EntryRef, Predecessor, Progress,
    ReadError, Scan, Verdict,
};
pub use merkle::{ConsistencyProof, InclusionProof, ProofError};
pub use workspace::{
    AddedAsset, Asset, AssetBatch, AssetError, AssetInfo, AssetLease, AssetMeta, AssetRange,
    AssetState, Assets, AutoCompact, BackupError, Clock, CollectOptions, CompactOptions,
    CompactReport, CompactedLog, ExportError, ExportReport, Frontier, HinderedLog, Hindrance,
    History, ImportError, ImportReport, ImportedLog, LogStats, LogView, Merged, OpenError, Options,
    OtherCopy, PartialAsset, PruneError, PruneOptions, RedactError, SnapshotError, SnapshotInfo,
    Stream, StreamError, Ticket, Workspace,
};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

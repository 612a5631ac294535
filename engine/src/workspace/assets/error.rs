//! Why something was not done with assets.

use std::{io, ops::Range, path::PathBuf, sync::Arc};

use crate::{
    asset::{AssetEntryError, AssetId, WrongSize},
    assets::{AssetCorruption, StoreError},
    bytes::{ClientId, LogId},
    error::IoError,
    log::{AppendError, ReadError},
    workspace::StreamError,
};

/// Why something was not done with assets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetError {
    /// The operating system refused something.
    #[error(transparent)]
    Io(Arc<IoError>),
    /// The disk is full. Nothing of the asset was kept, and nothing else was lost.
    #[error(
        "{0}; the asset was not stored: free some space, `annals gc` needs none for most of what it frees"
    )]
    DiskFull(Arc<IoError>),
    /// A write or a sync failed, so what the disk holds is unknown. Close the workspace and open it again.
    #[error("{0}; what the disk holds is unknown until the workspace is opened again")]
    Poisoned(Arc<IoError>),
    /// The workspace is not open for writing.
    #[error("the workspace is not open for writing")]
    ReadOnly,
    /// The content that was to be added could not be read.
    #[error("cannot read the content: {0}")]
    Source(Arc<io::Error>),
    /// The caller ended it.
    #[error("cancelled")]
    Cancelled,
    /// The content is longer than [`ASSET_SIZE_MAX`](crate::asset::ASSET_SIZE_MAX).
    #[error("an asset has at most {} bytes", crate::asset::ASSET_SIZE_MAX)]
    TooLarge,
    /// The content is that of another asset.
    #[error("the content is that of asset {found}, not of {wanted}")]
    OtherContent {
        /// The asset that it was to be.
        wanted: AssetId,
        /// The asset that it is.
        found: AssetId,
    },
    /// No log claims this asset, and there are no bytes of it.
    #[error("no asset {0} is known here")]
    Unknown(AssetId),
    /// The bytes of the asset are not on this device: fetch them from another one.
    #[error("the bytes of asset {0} are not on this device")]
    NotHere(AssetId),
    /// Only some chunks are here.
    #[error("asset {0} is not complete on this device")]
    Incomplete(AssetId),
    /// The asset ends before the range does.
    #[error("asset {id} has {size} bytes, no bytes {} to {}", .range.start, .range.end)]
    Range {
        /// The asset.
        id: AssetId,
        /// Its size.
        size: u64,
        /// The bytes that were asked for.
        range: Range<u64>,
    },
    /// Somebody else takes in pieces of this asset just now.
    #[error("pieces of asset {0} are taken in elsewhere just now")]
    Busy(AssetId),
    /// What came does not lead to the id. Nothing of it was kept.
    #[error("bytes {} to {} do not lead to asset {id}; nothing of them was kept", .range.start, .range.end)]
    NotProven {
        /// The asset.
        id: AssetId,
        /// The bytes.
        range: Range<u64>,
    },
    /// Bytes that are wrong. All other chunks, and all other assets, stay readable.
    #[error(transparent)]
    Corrupt(#[from] Box<AssetCorruption>),
    /// A pack that cannot be used, or is not one of this workspace.
    #[error("{}: {reason}; annals-fsck tells more", .path.display())]
    Pack {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What is pinned cannot be read, so nothing is removed.
    #[error("{}: damaged, so what is pinned is not known and nothing is removed; annals-fsck --repair puts the file aside", .0.display())]
    Pins(PathBuf),
    /// The asset is pinned on this device: unpin it first.
    #[error("asset {0} is pinned on this device: unpin it first")]
    Pinned(AssetId),
    /// Nothing shows that there is another copy. Nothing was removed.
    #[error("nothing shows that another copy of asset {0} exists: name one, or force it")]
    LastCopy(AssetId),
    /// Whoever collects garbage cannot know what is needed. Nothing was removed.
    #[error("nothing is removed, since it is not known what is needed: {0}")]
    Doubtful(String),
    /// A name, type or preview breaks a limit.
    #[error(transparent)]
    Meta(#[from] AssetEntryError),
    /// A URL says another size than the asset has.
    #[error(transparent)]
    WrongSize(#[from] WrongSize),
    /// A URL names an entry that is not the claim of its asset.
    #[error("entry {index} of client {client} does not claim asset {id}")]
    NotThere {
        /// The client.
        client: ClientId,
        /// Index of the entry.
        index: u64,
        /// The asset of the URL.
        id: AssetId,
    },
    /// A log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entry was not appended. The bytes of the asset are stored, and go with the next collection.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A stream was not declared.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// An entry that should claim an asset does not.
    #[error("log {log}: entry {index}: {what}")]
    Entry {
        /// The log.
        log: LogId,
        /// Index of the entry.
        index: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl From<IoError> for AssetError {
    fn from(error: IoError) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<StoreError> for AssetError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io(error) => Self::Io(error),
            StoreError::DiskFull(error) => Self::DiskFull(error),
            StoreError::Poisoned(error) => Self::Poisoned(error),
            StoreError::ReadOnly => Self::ReadOnly,
            StoreError::Source(error) => Self::Source(error),
            StoreError::Cancelled => Self::Cancelled,
            StoreError::TooLarge => Self::TooLarge,
            StoreError::OtherContent { wanted, found } => Self::OtherContent { wanted, found },
            StoreError::NotHere(id) => Self::NotHere(id),
            StoreError::Incomplete(id) => Self::Incomplete(id),
            StoreError::Busy(id) => Self::Busy(id),
            StoreError::NotProven { id, range } => Self::NotProven { id, range },
            StoreError::Corrupt(corruption) => Self::Corrupt(corruption),
            StoreError::Later { ref path, .. } => {
                Self::Pack { path: path.clone(), reason: error.to_string() }
            }
            StoreError::Head { path, source } => Self::Pack { path, reason: source.to_string() },
            StoreError::Mismatch { path, what } => {
                Self::Pack { path, reason: format!("the pack is of {what}") }
            }
            StoreError::NotRewritten(path) => Self::Pack {
                path,
                reason: "what was removed is still in the file: the disk is full, or it holds damaged assets that \
                         are needed"
                    .to_owned(),
            },
            StoreError::Pins(path) => Self::Pins(path),
        }
    }
}

//! What goes wrong with assets.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    asset::AssetId,
    error::IoError,
    pack::{ChunkError, PackHeadError, RecordError},
};

/// Bytes of an asset that are wrong or gone. Its other chunks, and all other assets, stay readable.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{}: damaged at byte {offset} (asset {id}, bytes {} to {}): {cause}; fetch it again from another device, or add the same file once more",
    .path.display(), .range.start, .range.end
)]
pub struct AssetCorruption {
    /// The pack.
    pub path: PathBuf,
    /// The asset.
    pub id: AssetId,
    /// Offset of the damage in the pack.
    pub offset: u64,
    /// The bytes of the content that cannot be read because of it.
    pub range: Range<u64>,
    /// What is wrong.
    pub cause: AssetFault,
}

/// What is wrong with the bytes of an asset.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AssetFault {
    /// The record does not stand where it should.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The file ends inside the record.
    #[error("the file ends inside the record")]
    Short,
    /// The record is another asset's.
    #[error("the record is of another asset")]
    OtherAsset,
    /// The table of hashes and lengths.
    #[error("the table of hashes does not lead to the id")]
    Table,
    /// A chunk cannot be decompressed.
    #[error("the chunk cannot be decoded: {0}")]
    Codec(#[from] ChunkError),
    /// A chunk is not the one that the id stands for.
    #[error("the chunk does not lead to the id")]
    Chunk,
}

/// Why something was not done with assets.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StoreError {
    /// The operating system refused something.
    #[error(transparent)]
    Io(Arc<IoError>),
    /// The disk is full. Nothing of the asset was kept.
    #[error("{0}; the asset was not stored: free some space")]
    DiskFull(Arc<IoError>),
    /// A write or a sync failed, so what the disk holds is unknown.
    #[error("{0}; what the disk holds is unknown until the workspace is opened again")]
    Poisoned(Arc<IoError>),
    /// The workspace is not open for writing.
    #[error("the workspace is not open for writing")]
    ReadOnly,
    /// The content could not be read.
    #[error("cannot read the content: {0}")]
    Source(Arc<io::Error>),
    /// The caller ended it.
    #[error("cancelled")]
    Cancelled,
    /// The content is longer than an asset may be.
    #[error("an asset has at most {} bytes", crate::asset::ASSET_SIZE_MAX)]
    TooLarge,
    /// The content is not that of the id that it was to have.
    #[error("the content is asset {found}, not {wanted}")]
    OtherContent { wanted: AssetId, found: AssetId },
    /// There are no bytes of this asset here.
    #[error("the bytes of asset {0} are not here")]
    NotHere(AssetId),
    /// Only some chunks are here.
    #[error("asset {0} is not complete here")]
    Incomplete(AssetId),
    /// Somebody else takes in pieces of this asset.
    #[error("pieces of asset {0} are taken in elsewhere just now")]
    Busy(AssetId),
    /// What came does not lead to the id.
    #[error("bytes {} to {} do not lead to asset {id}", .range.start, .range.end)]
    NotProven { id: AssetId, range: Range<u64> },
    /// Bytes that are wrong.
    #[error(transparent)]
    Corrupt(Box<AssetCorruption>),
    /// A pack whose head cannot be used.
    #[error("{}: {source}", .path.display())]
    Head { path: PathBuf, source: PackHeadError },
    /// A pack of another workspace, or under another name than its own.
    #[error("{}: the pack is of {what}", .path.display())]
    Mismatch { path: PathBuf, what: String },
    /// A record of a later version.
    #[error("{}: byte {offset}: a record that this version does not know", .path.display())]
    Later { path: PathBuf, offset: u64 },
    /// What was removed is still in the file.
    #[error(
        "{}: cannot be written anew now: the disk is full, or it holds damaged assets that are needed", .0.display()
    )]
    NotRewritten(PathBuf),
    /// The file of pins is damaged.
    #[error("{}: damaged; nothing is evicted or collected until annals-fsck --repair has put it aside", .0.display())]
    Pins(PathBuf),
}

impl From<IoError> for StoreError {
    fn from(error: IoError) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<AssetCorruption> for StoreError {
    fn from(corruption: AssetCorruption) -> Self {
        Self::Corrupt(Box::new(corruption))
    }
}

/// Tells a full disk from other failures of a write.
pub(super) fn write_error(path: &Path, doing: &'static str, source: io::Error) -> StoreError {
    let full = matches!(
        source.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    );
    let error = Arc::new(IoError::new(path, doing, source));
    if full { StoreError::DiskFull(error) } else { StoreError::Io(error) }
}

//! `index.json`: what a workspace is, for people and for opening (W-2).

use std::path::{Path, PathBuf};

use crate::{
    bytes::{ClientId, LogId, Timestamp, WorkspaceId},
    error::{IoContext as _, IoError},
    io::{Access, Disk, replace_file},
};

const FORMAT: &str = "annals";
const VERSION: u32 = 1;
const LEN_MAX: u64 = 1 << 20;

/// The metadata of a workspace.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Metadata {
    format: String,
    version: u32,
    pub(crate) workspace: WorkspaceId,
    pub(crate) client: ClientId,
    pub(crate) log: LogId,
    pub(crate) created: Timestamp,
    /// Members of later versions, kept as they are.
    #[serde(flatten)]
    other: serde_json::Map<String, serde_json::Value>,
}

/// Why a folder is not a workspace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// There is no `index.json`.
    #[error("{}: not an Annals workspace (it has no index.json); create one with `annals init`", .0.display())]
    Missing(PathBuf),
    /// `index.json` is something else, or damaged.
    #[error("{}: {reason}; the logs beside it are not touched", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// `index.json` was written by a later version.
    #[error("{}: version {version} is not supported, this program knows {VERSION}", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl Metadata {
    pub(crate) fn new(
        workspace: WorkspaceId,
        client: ClientId,
        log: LogId,
        created: Timestamp,
    ) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            workspace,
            client,
            log,
            created,
            other: serde_json::Map::new(),
        }
    }

    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("index.json")
    }

    pub(crate) fn load(disk: &dyn Disk, folder: &Path) -> Result<Self, MetadataError> {
        let path = Self::path(folder);
        let file = match disk.open(&path, Access::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(MetadataError::Missing(folder.to_owned()));
            }
            result => result.context(&path, "open")?,
        };
        let invalid = |reason: String| MetadataError::Invalid { path: path.clone(), reason };
        let len = file.len().context(&path, "read the length of")?;
        if len > LEN_MAX {
            return Err(invalid(format!(
                "{len} bytes are too many for the metadata of a workspace"
            )));
        }
        let bytes = file
            .read_vec_at(0, usize::try_from(len).unwrap_or(usize::MAX))
            .context(&path, "read")?;
        let metadata: Self = serde_json::from_slice(&bytes).map_err(|error| {
            invalid(format!("not the metadata of an Annals workspace ({error})"))
        })?;
        if metadata.format != FORMAT {
            return Err(invalid(format!("the format is {:?}, not {FORMAT:?}", metadata.format)));
        }
        if metadata.version != VERSION {
            return Err(MetadataError::Unsupported { path, version: metadata.version });
        }
        Ok(metadata)
    }

    pub(crate) fn store(&self, disk: &dyn Disk, folder: &Path) -> Result<(), IoError> {
        let path = Self::path(folder);
        let mut json = serde_json::to_vec_pretty(self).expect("strings and numbers are JSON");
        json.push(b'\n');
        replace_file(disk, &path, &json).context(&path, "write")
    }
}

//! The assets that are never evicted or collected on this device (K-14).

use std::{collections::BTreeSet, io::ErrorKind, path::Path};

use super::error::{StoreError, write_error};
use crate::{
    asset::{AssetId, PIN_COUNT_MAX},
    bytes::Hash,
    error::IoContext as _,
    io::{Access, Disk, replace_file},
    pack,
};

/// Longest file of pins.
const LEN_MAX: u64 = 20 + PIN_COUNT_MAX * Hash::LEN as u64;

/// The pins; none if there is no such file.
pub(super) fn load(disk: &dyn Disk, folder: &Path) -> Result<BTreeSet<AssetId>, StoreError> {
    let path = folder.join("pins");
    let file = match disk.open(&path, Access::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        result => result.context(&path, "open")?,
    };
    let len = file.len().context(&path, "read the length of")?;
    if len > LEN_MAX {
        return Err(StoreError::Pins(path));
    }
    let bytes =
        file.read_vec_at(0, usize::try_from(len).unwrap_or(usize::MAX)).context(&path, "read")?;
    let ids = pack::pins::decode(&bytes).map_err(|_| StoreError::Pins(path))?;
    Ok(ids.into_iter().map(AssetId::from).collect())
}

/// Replaces them, durably.
pub(super) fn store(
    disk: &dyn Disk,
    folder: &Path,
    pins: &BTreeSet<AssetId>,
) -> Result<(), StoreError> {
    let path = folder.join("pins");
    let ids: Vec<Hash> = pins.iter().map(|id| Hash::from(*id)).collect();
    replace_file(disk, &path, &pack::pins::encode(&ids)).map_err(|e| write_error(&path, "write", e))
}

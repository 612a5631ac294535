//! Names of files in `assets` (W-1).

use std::path::{Path, PathBuf};

use crate::{asset::AssetId, io::DirEntry};

const NUMBER_LEN: usize = 16;
const ID_LEN: usize = 64;

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A shared pack with this number.
    Shared(u64),
    /// A file that was never finished.
    Unfinished,
    /// The pins.
    Pins,
    /// A folder of single packs.
    Folder,
}

/// Name of the shared pack `number`.
pub(crate) fn shared(number: u64) -> String {
    format!("{number:016x}.pack")
}

/// Name of the single pack of `id`, with its folder.
pub(crate) fn single(id: &AssetId) -> PathBuf {
    of(id, "pack")
}

/// Name of a file that belongs to `id`, with its folder.
pub(crate) fn of(id: &AssetId, end: &str) -> PathBuf {
    let id = id.to_string();
    PathBuf::from(&id[..2]).join(format!("{id}.{end}"))
}

/// What stands in `assets`; `None` for what does not belong there.
pub(crate) fn kind(entry: &DirEntry) -> Option<Kind> {
    let name = entry.name.as_str();
    if entry.is_dir {
        return is_single_folder(entry).then_some(Kind::Folder);
    }
    if name == "pins" {
        return Some(Kind::Pins);
    }
    if is_unfinished(entry) {
        return Some(Kind::Unfinished);
    }
    let digits = name.strip_suffix(".pack").filter(|digits| digits.len() == NUMBER_LEN)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (shared(number) == name && number > 0).then_some(Kind::Shared(number))
}

/// Whether a file was never finished (W-3).
pub(crate) fn is_unfinished(entry: &DirEntry) -> bool {
    !entry.is_dir && Path::new(&entry.name).extension().is_some_and(|end| end == "tmp")
}

pub(crate) fn is_single_folder(entry: &DirEntry) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    entry.is_dir && entry.name.len() == 2 && entry.name.bytes().all(digit)
}

/// The asset whose single pack this is.
pub(crate) fn single_of(folder: &str, entry: &DirEntry) -> Option<AssetId> {
    of_end(folder, entry, ".pack")
}

/// The asset to which a file with this ending belongs.
pub(crate) fn of_end(folder: &str, entry: &DirEntry, end: &str) -> Option<AssetId> {
    let digits = entry.name.strip_suffix(end).filter(|_| !entry.is_dir)?;
    let id: AssetId = (digits.len() == ID_LEN).then(|| digits.parse().ok())??;
    let is_its_name = id.to_string() == digits && digits.starts_with(folder);
    is_its_name.then_some(id)
}

/// The asset to which a file in the folder `folder` belongs, if its name has this ending.
pub(crate) fn asset_file(folder: &Path, entry: &DirEntry, end: &str) -> Option<AssetId> {
    of_end(&folder.file_name()?.to_string_lossy(), entry, end)
}

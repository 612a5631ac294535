//! Assets that still verify, out of any packs.

use std::{io::ErrorKind, path::Path, sync::Arc};

use super::{Note, SalvageError};
use crate::{
    asset::AssetId,
    assets::{AssetReader, Pack, Step, Store, StoreError, StoreOptions, Walk, What},
    bytes::{ClientId, WorkspaceId},
    error::IoContext as _,
    io::{Access, DirEntry, Disk},
    pack::{PACK_HEAD_LEN, RecordKind, decode_head},
};

/// What was done with assets.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct SalvagedAssets {
    /// Assets whose content is whole, in the new workspace.
    pub whole: u64,
    /// Assets of which no whole copy was found.
    pub damaged: Vec<AssetId>,
    /// They are pinned in the new workspace, since the entries that claim them may be lost.
    pub pinned: bool,
}

/// Takes every asset that verifies in the packs below `from` into the packs of the new workspace `into`. With `pins` they
/// are pinned there.
pub(super) fn carry(
    disk: &Arc<dyn Disk>,
    from: &Path,
    into: &Path,
    ids: (WorkspaceId, ClientId),
    pins: bool,
    notes: &mut Vec<Note>,
) -> Result<SalvagedAssets, SalvageError> {
    let mut salvaged = SalvagedAssets::default();
    let mut packs = packs_in(&**disk, &from.join("assets"))?;
    packs.extend(packs_in(&**disk, from)?);
    if packs.is_empty() {
        return Ok(salvaged);
    }
    let options = StoreOptions { single_min: 4 << 20, level: 1, shared_len_max: 256 << 20 };
    let store = Store::open(Arc::clone(disk), into, ids, true, options).map_err(failed)?;
    let mut whole = std::collections::BTreeSet::new();
    let mut damaged = std::collections::BTreeSet::new();
    for path in packs {
        let file = disk.open(&path, Access::Read).context(&path, "open")?;
        let head_len = usize::try_from(PACK_HEAD_LEN).expect("8 KiB");
        let head = file.read_vec_at(0, head_len).context(&path, "read")?;
        let header = match decode_head(&head) {
            Ok(head) => head.header,
            Err(error) => {
                notes.push(Note { path, what: format!("{error}; nothing of it could be read") });
                continue;
            }
        };
        let len = file.len().context(&path, "read the length of")?;
        let pack = Pack { crc: header.crc(), path: path.clone(), header, file };
        let mut walk = Walk::new(Arc::clone(&pack.file), pack.crc, PACK_HEAD_LEN, len);
        while let Some(step) = walk.step().context(&path, "read")? {
            // A record whose table is damaged can still have a sound content; its header names it.
            let header = match step {
                Step::Record(header) | Step::Bad { header: Some(header), .. } => header,
                Step::Bad { header: None, .. } => continue,
            };
            if header.kind != RecordKind::Asset {
                continue;
            }
            let id = AssetId::from(header.id);
            let mut reader = AssetReader::of_record(&pack, &header);
            let sound = match reader.verify(&mut |_| true) {
                Ok(()) => true,
                // What the disk cannot read is as lost as what is wrong.
                Err(StoreError::Corrupt(_) | StoreError::Io(_)) => false,
                Err(error) => return Err(failed(error)),
            };
            if !sound {
                damaged.insert(id);
                continue;
            }
            let mut what = What {
                media_type: None,
                wanted: Some(id),
                verify: false,
                is_claimed: &|_| false,
                progress: &mut |_| true,
            };
            let added = store.add(&mut reader, &mut what).map_err(failed)?;
            store.settle(std::slice::from_ref(&added)).map_err(failed)?;
            whole.insert(id);
            if pins {
                store.set_pinned(id, true).map_err(failed)?;
            }
        }
    }
    store.close().map_err(failed)?;
    salvaged.whole = whole.len() as u64;
    salvaged.damaged = damaged.difference(&whole).copied().collect();
    salvaged.pinned = pins && !whole.is_empty();
    Ok(salvaged)
}

fn failed(error: StoreError) -> SalvageError {
    SalvageError::Asset(error.into())
}

/// The packs in a folder of assets, and in the folders in it.
fn packs_in(disk: &dyn Disk, folder: &Path) -> Result<Vec<std::path::PathBuf>, SalvageError> {
    let list = |folder: &Path| match disk.list(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => result.context(folder, "list"),
    };
    let is_pack = |entry: &DirEntry| {
        !entry.is_dir && Path::new(&entry.name).extension().is_some_and(|end| end == "pack")
    };
    let mut packs = Vec::new();
    for entry in list(folder)? {
        let path = folder.join(&entry.name);
        if is_pack(&entry) {
            packs.push(path);
        } else if entry.is_dir && entry.name.len() == 2 {
            let inner = list(&path)?.into_iter().filter(is_pack);
            packs.extend(inner.map(|entry| path.join(entry.name)));
        }
    }
    Ok(packs)
}

//! Assets on the disk: the packs of one workspace. Normative: `format-spec.md`, section 13.
//!
//! Knows bytes and ids. What assets are for, and which are still needed, is in the logs, and comes in as an argument.
//!
//! - `store`: what is where; `packs`: files of packs, and what all of them hold; `walk`: over the records of one;
//!   `places`: the map of the shared packs, and its cache; `names`: of files;
//! - `ingest`: content in; `single`: into a file of its own; `slab`, `pipeline`: over the cores; `shared`: adding to the shared packs, one sync for many;
//! - `read`: content out, verified; `partial`: content that comes in pieces;
//! - `backup`: a copy of all of it; `collect`: taking back room; `pins`: what is never taken.

mod backup;
mod collect;
mod error;
mod ingest;
mod names;
mod packs;
mod partial;
mod pins;
mod pipeline;
mod places;
mod read;
mod shared;
mod single;
mod slab;
mod store;
mod walk;

pub use self::{
    collect::CollectReport,
    error::{AssetCorruption, AssetFault},
    partial::Accepted,
    read::AssetReader,
};
pub(crate) use self::{
    collect::Thresholds,
    error::StoreError,
    ingest::{Added, What},
    names::{Kind as NameKind, asset_file, kind as kind_of_name, shared as shared_name},
    packs::Pack,
    partial::PartialAsset,
    places::{Places, Spot, decode_index},
    single::SINGLE_DATA_OFFSET,
    store::{Lease, Store, StoreOptions},
    walk::{Step, Walk},
};

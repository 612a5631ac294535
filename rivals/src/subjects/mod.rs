//! The stores that are measured.

pub(crate) mod annals;
mod blocks;
#[cfg(feature = "commonware")]
mod commonware;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(any(feature = "fjall", feature = "lmdb", feature = "rocksdb"))]
mod keys;
#[cfg(feature = "lmdb")]
mod lmdb;
mod plain;
#[cfg(feature = "raft-engine")]
mod raft_engine;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::LazyLock;

pub(crate) use crate::engine::Subject;

/// All of them, Annals first.
pub(crate) fn all() -> &'static [Subject] {
    static ALL: LazyLock<Vec<Subject>> = LazyLock::new(|| {
        let families = [
            annals::subjects(),
            #[cfg(feature = "sqlite")]
            sqlite::subjects(),
            #[cfg(feature = "redb")]
            redb::subjects(),
            #[cfg(feature = "fjall")]
            fjall::subjects(),
            #[cfg(feature = "lmdb")]
            lmdb::subjects(),
            #[cfg(feature = "rocksdb")]
            rocksdb::subjects(),
            #[cfg(feature = "commonware")]
            commonware::subjects(),
            #[cfg(feature = "raft-engine")]
            raft_engine::subjects(),
            plain::subjects(),
            blocks::subjects(),
        ];
        families.into_iter().flatten().collect()
    });
    &ALL
}

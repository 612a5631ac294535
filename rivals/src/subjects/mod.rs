//! The stores that are measured.

mod annals;
mod plain;

use std::sync::LazyLock;

pub(crate) use crate::engine::Subject;

/// All of them, Annals first.
pub(crate) fn all() -> &'static [Subject] {
    static ALL: LazyLock<Vec<Subject>> =
        LazyLock::new(|| [annals::subjects(), plain::subjects()].into_iter().flatten().collect());
    &ALL
}

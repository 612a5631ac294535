//! What the fuzzers in `fuzz/` do with the bytes that they make up. Here, so that tests do it again with the seeds and
//! with whatever was found once.
#![allow(
    clippy::missing_panics_doc,
    reason = "they panic where a promise is broken: that is what they are for"
)]

mod batch;
mod bundle;
mod control;
mod frame;
mod index;
mod memory;
mod operations;
mod pack;
mod proof;
mod segment;
mod table;
mod url;

pub use self::{
    batch::batch, bundle::bundle, control::control, frame::frame, index::index, memory::MemoryDisk,
    operations::operations, pack::pack, proof::proof, segment::segment, table::table, url::url,
};

/// What is done with some bytes.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 11] = [
    ("frame", frame),
    ("batch", batch),
    ("segment", segment),
    ("bundle", bundle),
    ("index", index),
    ("proof", proof),
    ("control", control),
    ("url", url),
    ("operations", operations),
    ("pack", pack),
    ("table", table),
];

//! The corruption matrix: every small damage, in every place, judged by one oracle ([`oracle`]).
//!
//! The rows are kinds of damage (bits, lengths, sectors, pages, whole frames, frames from elsewhere, runs of the
//! index, whole files), the columns what is done then: open to read, read every entry in every way, check at
//! both depths, open to write. What must hold in every cell:
//!
//! - no panic; what is served is what was appended;
//! - whatever was durable and is not served is named, exactly, by the reader and by the check;
//! - undamaged entries are all served;
//! - who only looks changes nothing, and who opens to write never cuts below what was durable.
//!
//! The files are in memory. Where a whole matrix takes long, the usual run goes through it with a stride;
//! `ANNALS_LONG=1` runs all of it.

mod bits;
mod frames;
mod memory;
mod missing;
mod oracle;
mod runs;
mod shrinking;
mod stale;

/// The stride of a usual run, or 1 if everything is to be tried.
fn stride(usual: usize) -> usize {
    if std::env::var_os("ANNALS_LONG").is_some() { 1 } else { usual }
}

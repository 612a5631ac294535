//! The engine under schedules that are chosen: every lock, condition variable, atomic and step of the disk is a place
//! where another thread may go on.
//!
//! Empty unless it is built with the model in the place of the locks (`engine/src/sync.rs`):
//!
//! ```sh
//! RUSTFLAGS="--cfg annals_shuttle" cargo test -p annals-tests --test schedules --target-dir target/shuttle
//! ```
//!
//! - `ANNALS_SCHEDULES=n`: n schedules of each kind for each test, drawn anew in each run. Without it some hundred
//!   that are the same in each run.
//! - `ANNALS_SCHEDULE=s`: the one schedule that a failure has printed; name the test with it.
#![cfg(annals_shuttle)]

mod appending;
mod disk;
mod failing;
mod model;
mod reading;
mod transfer;
mod witness;

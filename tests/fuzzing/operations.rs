//! Programs with crashes, faults, damage and lies: see [`seeded`](crate::simulation::seeded).

use crate::simulation::seeded::{Plan, run_here};

/// The target `operations`.
pub fn operations(data: &[u8]) {
    if let Err(why) = run_here(&Plan::of_bytes(data)) {
        panic!("{why}");
    }
}

//! What the tests in `it/` share with other programs: crash experiments, and what fuzzers do.

pub mod fuzzing;
pub mod simulation;

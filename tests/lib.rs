//! What the tests in `it/` share with other programs: the crash experiments.

pub mod simulation;

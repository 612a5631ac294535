//! Integration tests of the engine, and the reference decoder that judges it.

mod concurrency;
mod crash;
mod durability;
mod golden;
mod hazards;
mod programs;
mod reading;
mod reference;
mod reference_agrees;
mod spec;
mod support;
mod tidy;
mod transfer;

//! Integration tests of the engine, and the reference decoder that judges it.

mod concurrency;
mod durability;
mod reading;
mod reference;
mod reference_agrees;
mod support;
mod transfer;

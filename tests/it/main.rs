//! Integration tests of the engine, and the reference decoder that judges it.

mod durability;
mod reference;
mod reference_agrees;
mod support;

//! Integration tests of the engine, and the reference decoder that judges it.

mod asset_check;
mod asset_packs;
mod asset_programs;
mod concurrency;
mod corruption;
mod crash;
mod damaged_here;
mod durability;
mod fixtures;
mod golden;
mod hazards;
mod importing;
mod model;
mod processes;
mod programs;
mod reading;
mod reference;
mod reference_agrees;
mod reference_packs;
mod salvage;
mod seeded;
mod spec;
mod support;
mod tidy;
mod transfer;

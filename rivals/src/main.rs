//! Measures Annals against the stores that would be used instead of it.

mod args;
mod cases;
mod chart;
mod data;
mod engine;
mod machine;
mod measure;
mod report;
mod results;
mod run;
mod subjects;

use anyhow::Result;
use clap::Parser as _;

use crate::args::{Args, Command};

fn main() -> Result<()> {
    let args = Args::parse();
    match args.command {
        Some(Command::Case(child)) => run::child(&child),
        None => run::all(&args.selection),
    }
}

//! Measures Annals against the stores that would be used instead of it, in one run, and writes a report.
//!
//! ```sh
//! cargo run --release --manifest-path rivals/Cargo.toml                # everything: some 20 minutes
//! cargo run --release --manifest-path rivals/Cargo.toml -- --quick     # a tenth of it: some 3 minutes
//! cargo run --release --manifest-path rivals/Cargo.toml -- --only bulk,commit/1 --subjects annals,sqlite --rounds 5
//! cargo run --release --manifest-path rivals/Cargo.toml -- --list      # all cases and subjects
//! ```
//!
//! It needs a C++ compiler and libclang for RocksDB (Debian: `libclang-dev clang cmake`), which takes long to build; each
//! rival is a feature, and `--no-default-features` leaves Annals and plain files. The report is in `rivals/report`, or
//! where `--out` says: `report.md` for people, `report.svg` as a picture, `results.json` with every figure of every round.
//!
//! # How it measures
//!
//! - One process for each case, subject and round, in a folder of its own on a real disk (`--scratch`), removed
//!   afterwards. Rounds are the outer loop and subjects the inner one, beginning with another one each round: what else
//!   happens on the machine hits all alike. The report gives the median of the rounds, and the least and the largest.
//! - Entries are made before any clock starts, from one seed, and compress as those of real editors do (a test says so).
//! - Whatever was written is read back and compared, outside of the clock. A subject that fails is reported as failed,
//!   and all else goes on.
//! - A commit is durable: the store has synced what it wrote to the disk. Where it has not, the name says so.
//! - Each store has its fastest sane set-up for an append-only log, told at the top of its module in `subjects` and in the
//!   report; what a case measures is told at the top of its module in `cases`.
//!
//! # How to add something
//!
//! A store: a module in `subjects` that implements [`engine::Engine`] and lists its [`engine::Subject`]s; then it is in all
//! cases. Something that is measured: a module in `cases` that lists its [`cases::Case`]s; its subjects are names, and need
//! not be stores.

mod args;
mod assets;
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

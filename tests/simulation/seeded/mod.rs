//! Long random runs on one machine, each drawn from a seed.
//!
//! A [`Plan`] is some hundred to some thousand steps of a program: it appends, commits, reads, exchanges with a
//! peer, copies, mends; and of what goes wrong meanwhile. The power fails or the process is killed at any
//! change of the disk, also while a crash is recovered from, while a repair is at work, again and again. By
//! its [`Weather`] a run has only that; or calls that fail as well; or damage to what is at rest; or a disk that
//! lies.
//!
//! What is checked, step by step, so that a run costs what it does and not its square:
//!
//! - acknowledged is a prefix of what is found, and that a prefix of what was submitted, which ends at a group;
//!   what was imported likewise; what was exported or seen by a reader is acknowledged;
//! - each entry is compared when it is first found after a crash, and all of them now and then; roots go on from
//!   each other;
//! - opening again changes nothing, the index made anew is the same to the byte, the checker finds nothing:
//!   sampled;
//! - damage at rest is told exactly, all else is served, and the peer's copy heals it all; what lies have left
//!   holds nothing that never was.
//!
//! Everything happens in one thread and depends on the seed alone. Several appenders take turns.
//!
//! - `plan`: what is done; `world`: the machine, step by step; `recovery`: its crashes, and what is found then;
//! - `ledger`: what a log must hold; `acts`, `look`, `peer`, `damage`, `wound`: the steps;
//! - `run`: a run with its failure, made shorter.

mod acts;
mod damage;
mod ledger;
mod look;
mod peer;
mod plan;
mod recovery;
mod run;
mod world;
mod wound;

use std::{fmt, ops::AddAssign};

use annals::{AppendError, ReadError};

pub use self::{
    plan::{Act, Plan, Sizes, Step, Weather},
    run::{Failure, Numbers, run, run_here, shrink},
};

/// Why a step ended early.
enum Stop {
    /// It was refused.
    Refused(String),
    /// What was appended before could not be written on the way.
    Append(AppendError),
    /// A promise was broken.
    Broken(String),
    /// Nothing is left to go on with.
    Over,
}

impl Stop {
    fn refused(error: impl fmt::Display) -> Self {
        Self::Refused(error.to_string())
    }

    fn unreadable(error: ReadError) -> Self {
        match error {
            ReadError::Append(error) => Self::Append(error),
            error => Self::Refused(format!("it cannot be read: {error}")),
        }
    }

    fn broken(error: impl fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

/// What was done, to be quoted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tally {
    /// Runs.
    pub runs: u64,
    /// Operations.
    pub operations: u64,
    /// Power losses and kills.
    pub crashes: u64,
    /// Crashes that were recovered from: others were crashed into.
    pub recoveries: u64,
    /// Openings, to read or to write, that succeeded.
    pub openings: u64,
    /// Bundles imported.
    pub imports: u64,
    /// Bundles exported.
    pub exports: u64,
    /// Operations that were refused while calls went wrong.
    pub refused: u64,
    /// Times that something at rest was damaged.
    pub damages: u64,
    /// Times that lost entries came back from a replica.
    pub healed: u64,
    /// Times that an older copy of a segment was put back, and only the lock record knew.
    pub unnoticed: u64,
    /// Runs that ended as a disk that lied had left nothing that can be opened.
    pub over: u64,
    /// Entries that were there in the end.
    pub entries: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.operations += other.operations;
        self.crashes += other.crashes;
        self.recoveries += other.recoveries;
        self.openings += other.openings;
        self.imports += other.imports;
        self.exports += other.exports;
        self.refused += other.refused;
        self.damages += other.damages;
        self.healed += other.healed;
        self.unnoticed += other.unnoticed;
        self.over += other.over;
        self.entries += other.entries;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs, {} operations, {} crashes, {} recoveries, {} openings, {} imports, {} exports, {} refused, \
             {} damages, {} healed, {} unnoticed, {} over, {} entries",
            self.runs,
            self.operations,
            self.crashes,
            self.recoveries,
            self.openings,
            self.imports,
            self.exports,
            self.refused,
            self.damages,
            self.healed,
            self.unnoticed,
            self.over,
            self.entries
        )
    }
}

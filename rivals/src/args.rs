//! The arguments.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

/// Measures Annals against the stores that would be used instead of it, and writes a report.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What is measured, and where it goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Selection {
    /// Small sizes: some minutes, and figures that are only roughly right
    #[arg(long, conflicts_with = "long")]
    quick: bool,
    /// Also logs of ten million entries
    #[arg(long)]
    long: bool,
    /// Only these cases, or groups of cases: `bulk,commit/1`
    #[arg(long, value_delimiter = ',', value_name = "CASES")]
    pub(crate) only: Vec<String>,
    /// Only these subjects, or families of them: `annals,sqlite` is also `sqlite-normal`
    #[arg(long, value_delimiter = ',', value_name = "SUBJECTS")]
    pub(crate) subjects: Vec<String>,
    /// How often each subject is measured in each case
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Folder of the report [default: `report` beside the manifest]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Folder for the data, on the disk that is to be measured [default: beside the program]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) scratch: Option<PathBuf>,
    /// Editing traces (`*.json.gz`), a further kind of entry for the bulk case
    #[arg(long, value_name = "FOLDER")]
    pub(crate) traces: Option<PathBuf>,
    /// Print the names of all cases and subjects, and end
    #[arg(long)]
    pub(crate) list: bool,
}

impl Selection {
    /// How much is measured.
    pub(crate) fn scale(&self) -> Scale {
        match (self.quick, self.long) {
            (true, _) => Scale::Quick,
            (false, false) => Scale::Normal,
            (false, true) => Scale::Long,
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Scale {
    /// A tenth of everything.
    Quick,
    /// What the figures are reported for.
    Normal,
    /// And ten million entries.
    Long,
}

impl Scale {
    /// Entries to measure with where `normal` are meant.
    pub(crate) fn count(self, normal: usize) -> usize {
        if self == Self::Quick { normal / 10 } else { normal }
    }

    /// How long something is repeated that is meant to be repeated for so many seconds.
    pub(crate) fn seconds(self, normal: f64) -> Duration {
        Duration::from_secs_f64(if self == Self::Quick { normal / 10.0 } else { normal })
    }

    /// Lengths of logs that show how something grows.
    pub(crate) fn lengths(self) -> Vec<usize> {
        let longest = if self == Self::Long { 10_000_000 } else { self.count(1_000_000) };
        [1_000, 10_000, 100_000, 1_000_000, 10_000_000]
            .into_iter()
            .filter(|length| (self.count(10_000)..=longest).contains(length))
            .collect()
    }
}

/// What the program starts itself with.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One subject in one case, once: prints its figures as JSON
    #[command(hide = true)]
    Case(Child),
}

/// One subject in one case.
#[derive(Debug, clap::Args)]
pub(crate) struct Child {
    /// The case
    pub(crate) case: String,
    /// The subject
    pub(crate) subject: String,
    /// An empty folder, or the one that was prepared
    pub(crate) folder: PathBuf,
    /// The round, from 1
    #[arg(long)]
    pub(crate) round: u32,
    /// Only prepare the folder
    #[arg(long)]
    pub(crate) prepare: bool,
    /// How much is measured
    #[arg(long, value_enum)]
    pub(crate) scale: Scale,
    /// Editing traces
    #[arg(long)]
    pub(crate) traces: Option<PathBuf>,
}

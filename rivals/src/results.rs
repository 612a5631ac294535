//! What was measured: every figure of every round, and what the figures are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Figures of one subject in one case and round, by the names of their columns.
pub(crate) type Figures = BTreeMap<String, f64>;

/// A kind of figure.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Column {
    /// Its name in tables and in `results.json`.
    pub(crate) name: &'static str,
    /// What it is counted in.
    pub(crate) unit: Unit,
}

impl Column {
    /// A figure of this kind.
    pub(crate) fn of(self, value: f64) -> (String, f64) {
        (self.name.to_owned(), value)
    }
}

/// What figures are counted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    /// Things for each second.
    PerSecond,
    /// Bytes for each second.
    BytesPerSecond,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// Whether more of it is better.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::BytesPerSecond)
    }

    /// The figure with three digits, and its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond => scaled(value, &[(1e6, " M/s"), (1e3, " k/s"), (1.0, "/s")]),
            Self::BytesPerSecond => {
                scaled(value, &[(1e9, " GB/s"), (1e6, " MB/s"), (1e3, " kB/s")])
            }
            Self::Bytes => scaled(value, &[(1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1.0, " B")]),
            Self::Seconds => {
                scaled(value, &[(1.0, " s"), (1e-3, " ms"), (1e-6, " us"), (1e-9, " ns")])
            }
        }
    }
}

/// In the largest unit that leaves something before the point, or in the smallest.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let fits = units.iter().find(|(size, _)| value.abs() >= *size);
    let (size, unit) = fits.or(units.last()).expect("there are units");
    format!("{}{unit}", three_digits(value / size))
}

/// Three digits, and no more than two of them behind the point, or three of what is small.
pub(crate) fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 99.95 => 0,
        middle if middle >= 9.995 => 1,
        small if small < 0.0995 => 3,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// One subject in one case and round.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Measurement {
    /// The case.
    pub(crate) case: String,
    /// The subject.
    pub(crate) subject: String,
    /// The round, from 1.
    pub(crate) round: u32,
    /// What was measured, or why nothing was.
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// What came of a measurement.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It worked.
    Figures(Figures),
    /// It did not.
    Error(String),
}

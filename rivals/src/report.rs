//! What was measured, for people: Markdown tables.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    assets,
    cases::Case,
    chart,
    machine::Machine,
    measure::{float, median},
    results::{Column, Measurement, Outcome, Unit, three_digits},
    subjects::{self, Subject},
};

/// Everything that goes into a report.
pub(crate) struct Report<'a> {
    /// The machine.
    pub(crate) machine: Machine,
    /// The cases that were measured.
    pub(crate) cases: &'a [Case],
    /// What was measured, in this order.
    pub(crate) measurements: &'a [Measurement],
}

/// One figure over all rounds.
pub(crate) struct Summary {
    /// The least of them.
    pub(crate) min: f64,
    /// The one in the middle.
    pub(crate) median: f64,
    /// The largest.
    pub(crate) max: f64,
}

#[derive(Serialize)]
struct Raw<'a> {
    date: String,
    command: String,
    machine: &'a Machine,
    versions: BTreeMap<&'a str, Vec<String>>,
    columns: BTreeMap<&'a str, &'a [Column]>,
    measurements: &'a [Measurement],
}

impl Report<'_> {
    /// Writes `results.json`, `report.md` and `report.svg` into a folder.
    pub(crate) fn write(&self, out: &Path) -> Result<()> {
        fs::create_dir_all(out).with_context(|| out.display().to_string())?;
        let raw = Raw {
            date: date(),
            command: command(),
            machine: &self.machine,
            versions: self.stores().map(|store| (store.name, store.versions())).collect(),
            columns: self.cases.iter().map(|case| (&*case.name, &*case.columns)).collect(),
            measurements: self.measurements,
        };
        fs::write(out.join("results.json"), serde_json::to_string_pretty(&raw)?)?;
        fs::write(out.join("report.md"), self.markdown()?)?;
        fs::write(out.join("report.svg"), chart::svg(self)?)?;
        Ok(())
    }

    fn stores(&self) -> impl Iterator<Item = &'static Subject> {
        let is_measured = |name: &str| self.measurements.iter().any(|one| one.subject == name);
        subjects::all().iter().filter(move |store| is_measured(store.name))
    }

    fn markdown(&self) -> Result<String> {
        let mut text = String::from("# Annals and its rivals\n\n");
        let machine = &self.machine;
        writeln!(text, "| | |\n|---|---|")?;
        writeln!(text, "| date | {} |", date())?;
        writeln!(text, "| command | `{}` |", command())?;
        writeln!(text, "| processor | {}, {} cores |", machine.processor, machine.cores)?;
        writeln!(text, "| memory | {} |", Unit::Bytes.show(float(machine.memory)))?;
        writeln!(text, "| kernel | {} |", machine.kernel)?;
        writeln!(text, "| file system | {} |", machine.file_system)?;
        writeln!(text, "| load before | {} |", machine.load)?;
        let mut versions: Vec<_> = self.stores().flat_map(Subject::versions).collect();
        versions.sort();
        versions.dedup();
        writeln!(text, "| versions | {} |", versions.join(", "))?;
        writeln!(
            text,
            "\nThe median of the rounds (the least to the largest), and how many times better or worse than the first \
             row it is: above 1.00× is better. The same [as a picture](report.svg).\n"
        )?;
        let mut group = "";
        for case in self.cases {
            if case.group() != group {
                group = case.group();
                writeln!(text, "## {group}\n\n{}\n", case.about)?;
            }
            self.section(case, &mut text)?;
        }
        writeln!(text, "## Set-ups\n")?;
        let mut sources: Vec<&str> = Vec::new();
        for store in self.stores() {
            if sources.contains(&store.source) {
                continue;
            }
            sources.push(store.source);
            writeln!(text, "- **{}**: {}", store.name, store.about())?;
        }
        if self.cases.iter().any(|case| case.name.starts_with("assets/")) {
            assets::set_ups().iter().try_for_each(|line| writeln!(text, "- {line}"))?;
        }
        Ok(text)
    }

    fn section(&self, case: &Case, text: &mut String) -> Result<()> {
        writeln!(text, "### {}\n", case.name)?;
        let names: Vec<_> = case.columns.iter().map(|column| column.name).collect();
        writeln!(text, "| | {} |", names.join(" | "))?;
        writeln!(text, "|---|{}", "---:|".repeat(names.len()))?;
        let first = case.subjects.first().context("a case without subjects")?;
        for subject in &case.subjects {
            write!(text, "| {subject} |")?;
            if let Some(error) = self.error(case, subject) {
                writeln!(text, " failed: {} |", error.replace('|', "\\|").replace('\n', " "))?;
                continue;
            }
            for column in &case.columns {
                let cell = self.summary(case, subject, column).map(|summary| {
                    let base = self.summary(case, first, column).filter(|_| case.compares);
                    cell(column.unit, &summary, base.as_ref())
                });
                write!(text, " {} |", cell.unwrap_or_default())?;
            }
            writeln!(text)?;
        }
        writeln!(text)?;
        Ok(())
    }

    fn outcomes(&self, case: &Case, subject: &str) -> impl Iterator<Item = &Outcome> {
        let is_meant = move |one: &&Measurement| one.case == case.name && one.subject == subject;
        self.measurements.iter().filter(is_meant).map(|one| &one.outcome)
    }

    fn error(&self, case: &Case, subject: &str) -> Option<&str> {
        self.outcomes(case, subject).find_map(|outcome| match outcome {
            Outcome::Error(error) => Some(error.as_str()),
            Outcome::Figures(_) => None,
        })
    }

    /// A figure of a subject over all rounds, if there is one.
    pub(crate) fn summary(&self, case: &Case, subject: &str, column: &Column) -> Option<Summary> {
        let figures = self.outcomes(case, subject).filter_map(|outcome| match outcome {
            Outcome::Figures(figures) => figures.get(column.name).copied(),
            Outcome::Error(_) => None,
        });
        let mut values: Vec<f64> = figures.collect();
        if values.is_empty() {
            return None;
        }
        let median = median(&mut values);
        Some(Summary { min: values[0], median, max: values[values.len() - 1] })
    }
}

fn cell(unit: Unit, summary: &Summary, base: Option<&Summary>) -> String {
    let shown = [summary.median, summary.min, summary.max].map(|value| unit.show(value));
    let [median, min, max] = shown;
    let range = if min == max { String::new() } else { format!(" ({min} to {max})") };
    let ratio = base.map(|base| {
        let ratio = summary.median / base.median;
        format!(" {}×", three_digits(if unit.more_is_better() { ratio } else { 1.0 / ratio }))
    });
    format!("{median}{range}{}", ratio.unwrap_or_default())
}

fn date() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn command() -> String {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    format!("cargo run --release --manifest-path rivals/Cargo.toml -- {arguments}")
}

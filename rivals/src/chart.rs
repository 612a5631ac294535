//! What was measured, as a picture: a bar chart for each case, in plain SVG.

use std::fmt::{self, Write as _};

use crate::{
    cases::Case,
    report::{Report, Summary},
    results::{Column, Unit},
};

const PANEL_WIDTH: f64 = 580.0;
const PANEL_COUNT: usize = 2;
const MARGIN: f64 = 24.0;
/// Where bars begin, and how long the longest may be: names stand before them, figures behind them.
const BARS_X: f64 = 190.0;
const BARS_WIDTH: f64 = 270.0;
const TITLE_HEIGHT: f64 = 44.0;
const AXIS_HEIGHT: f64 = 22.0;
const ROW_HEIGHT: f64 = 19.0;
const BAR_HEIGHT: f64 = 13.0;
const PANEL_GAP: f64 = 26.0;
/// Beyond this ratio of the largest figure to the smallest, the scale is logarithmic.
const LINEAR_RATIO_MAX: f64 = 20.0;

const STYLE: &str = "
    text { font: 12px 'DejaVu Sans', Verdana, sans-serif; fill: #24292f }
    .title { font-size: 15px; font-weight: bold }
    .note, .tick { fill: #6e7781; font-size: 11px }
    .rival { fill: #b6bdc6 } .annals { fill: #d9480f }
    .range { stroke: #57606a; stroke-width: 1.2 }
    .grid { stroke: #e3e7eb; stroke-width: 1 }
";

/// All cases of a report.
pub(crate) fn svg(report: &Report) -> Result<String, fmt::Error> {
    let mut panels = String::new();
    // The lower ends of the columns; the next panel goes below the higher one.
    let mut ends = [MARGIN; PANEL_COUNT];
    for case in report.cases {
        let (column, y) = ends
            .iter()
            .copied()
            .enumerate()
            .min_by(|one, other| one.1.total_cmp(&other.1))
            .expect("there are columns");
        let x = MARGIN + number(column) * (PANEL_WIDTH + MARGIN);
        writeln!(panels, "<g transform=\"translate({x} {y})\">")?;
        panel(report, case, &mut panels)?;
        writeln!(panels, "</g>")?;
        ends[column] = y + height(case) + PANEL_GAP;
    }
    let width = MARGIN + number(PANEL_COUNT) * (PANEL_WIDTH + MARGIN);
    let height = ends.into_iter().fold(0.0, f64::max);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{panels}</svg>\n"
    ))
}

fn height(case: &Case) -> f64 {
    TITLE_HEIGHT + number(case.subjects.len()) * ROW_HEIGHT + AXIS_HEIGHT
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("no chart has so much"))
}

/// One case: title, grid, and a bar with its figure for each subject.
fn panel(report: &Report, case: &Case, out: &mut String) -> fmt::Result {
    let column = case.columns[0];
    let rows: Vec<_> = case
        .subjects
        .iter()
        .map(|subject| (subject, report.summary(case, subject, &column)))
        .collect();
    let scale = Scale::of(rows.iter().filter_map(|(_, summary)| summary.as_ref()));
    title(case, column, &scale, out)?;
    let bottom = TITLE_HEIGHT + number(rows.len()) * ROW_HEIGHT;
    for value in scale.ticks() {
        let x = scale.x(value);
        writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TITLE_HEIGHT}\" y2=\"{bottom}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 14.0,
            tick(column.unit, value),
        )?;
    }
    for (row, (subject, summary)) in rows.iter().enumerate() {
        let y = TITLE_HEIGHT + number(row) * ROW_HEIGHT;
        bar(subject, summary.as_ref(), column, &scale, y, out)?;
    }
    Ok(())
}

fn title(case: &Case, column: Column, scale: &Scale, out: &mut String) -> fmt::Result {
    let better = if column.unit.more_is_better() { "more is better" } else { "less is better" };
    let logarithmic = if scale.is_logarithmic { ", logarithmic" } else { "" };
    writeln!(
        out,
        "<text class=\"title\" y=\"14\">{}</text><text class=\"note\" y=\"32\">{}: {better}{logarithmic}</text>",
        escaped(&case.name),
        escaped(column.name),
    )
}

fn bar(
    subject: &str,
    summary: Option<&Summary>,
    column: Column,
    scale: &Scale,
    y: f64,
    out: &mut String,
) -> fmt::Result {
    let baseline = y + BAR_HEIGHT - 2.0;
    writeln!(
        out,
        "<text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\">{}</text>",
        BARS_X - 8.0,
        escaped(subject)
    )?;
    let Some(summary) = summary else {
        return writeln!(out, "<text class=\"note\" x=\"{BARS_X}\" y=\"{baseline}\">failed</text>");
    };
    let class = if subject.starts_with("annals") { "annals" } else { "rival" };
    let [min, median, max] = [summary.min, summary.median, summary.max].map(|value| scale.x(value));
    let middle = y + BAR_HEIGHT / 2.0;
    writeln!(
        out,
        "<rect class=\"{class}\" x=\"{BARS_X}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\"/>\
         <line class=\"range\" x1=\"{min:.1}\" x2=\"{max:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>\
         <text x=\"{:.1}\" y=\"{baseline}\">{}</text>",
        median - BARS_X,
        max.max(median) + 6.0,
        column.unit.show(summary.median),
    )
}

/// From figures to places.
struct Scale {
    is_logarithmic: bool,
    /// Where the bars begin.
    min: f64,
    /// The largest figure.
    max: f64,
}

impl Scale {
    fn of<'a>(summaries: impl Iterator<Item = &'a Summary>) -> Self {
        let (mut least, mut max) = (f64::INFINITY, f64::MIN_POSITIVE);
        for summary in summaries {
            least = least.min(summary.min);
            max = max.max(summary.max);
        }
        let is_logarithmic = least > 0.0 && max / least > LINEAR_RATIO_MAX;
        // A bar of the least figure is to be seen.
        let min = if is_logarithmic { 10_f64.powf((least / 1.5).log10().floor()) } else { 0.0 };
        Self { is_logarithmic, min, max }
    }

    fn x(&self, value: f64) -> f64 {
        let part = if self.is_logarithmic {
            (value / self.min).ln() / (self.max / self.min).ln()
        } else {
            value / self.max
        };
        BARS_X + BARS_WIDTH * part
    }

    /// Powers of ten, or the ends and the middle.
    fn ticks(&self) -> Vec<f64> {
        if !self.is_logarithmic {
            return vec![0.0, self.max / 2.0, self.max];
        }
        let powers = std::iter::successors(Some(self.min), |power| Some(power * 10.0));
        powers.take_while(|power| *power <= self.max).collect()
    }
}

fn tick(unit: Unit, value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else {
        unit.show(value).replace(".00 ", " ").replace(".0 ", " ")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

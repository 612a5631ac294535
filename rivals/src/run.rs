//! All rounds, cases and subjects, each in a process of its own.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    args::{Child, Selection},
    cases::{self, Case, Task},
    machine::Machine,
    report::Report,
    results::{Figures, Measurement, Outcome},
};

/// The signal that a process ends itself with.
const SIGABRT: i32 = 6;
/// Characters that are kept of what a process says when it fails.
const ERROR_LEN_MAX: usize = 240;
/// A process that takes longer is ended: something hangs.
const TIME_MAX: Duration = Duration::from_mins(10);

/// Measures what was selected, and writes the report.
pub(crate) fn all(selection: &Selection) -> Result<()> {
    let mut cases = cases::all(selection.scale(), selection.traces.as_deref());
    cases.retain(|case| is_selected(&case.name, &selection.only, '/'));
    for case in &mut cases {
        case.subjects.retain(|subject| is_selected(subject, &selection.subjects, '-'));
    }
    cases.retain(|case| !case.subjects.is_empty());
    ensure!(!cases.is_empty(), "nothing is selected: --list prints what there is");
    if selection.list {
        list(&cases);
        return Ok(());
    }

    let scratch = scratch(selection)?;
    let machine = Machine::here(scratch.path())?;
    let measurements = measure(&cases, selection, scratch.path())?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = selection.out.clone().unwrap_or_else(|| manifest.join("report"));
    Report { machine, cases: &cases, measurements: &measurements }.write(&out)?;
    eprintln!("{}", out.join("report.md").display());
    Ok(())
}

#[allow(clippy::print_stdout, reason = "it was asked for")]
fn list(cases: &[Case]) {
    for case in cases {
        println!("{}: {}", case.name, case.subjects.join(", "));
    }
}

/// Whether a name, or the front of it up to a separator, was named; all are if none was.
fn is_selected(name: &str, selected: &[String], separator: char) -> bool {
    let is_front = |front: &String| {
        name.strip_prefix(front.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(separator))
    };
    selected.is_empty() || selected.iter().any(is_front)
}

/// A folder on the disk that is measured, removed in the end.
fn scratch(selection: &Selection) -> Result<tempfile::TempDir> {
    let program = std::env::current_exe()?;
    let beside = program.parent().context("the program lies in no folder")?;
    let parent = selection.scratch.as_deref().unwrap_or(beside);
    fs::create_dir_all(parent)?;
    let scratch = tempfile::Builder::new().prefix("rivals-").tempdir_in(parent)?;
    let kind = rustix::fs::statfs(scratch.path())?.f_type;
    ensure!(kind != 0x0102_1994, "{}: a tmpfs is no disk", parent.display());
    Ok(scratch)
}

/// Rounds are the outer loop, and the first subject of each is another one, so that what else happens on the machine
/// hits all alike.
fn measure(cases: &[Case], selection: &Selection, scratch: &Path) -> Result<Vec<Measurement>> {
    let each: usize = cases.iter().map(|case| case.subjects.len()).sum();
    let bar = ProgressBar::new(each as u64 * u64::from(selection.rounds)).with_style(
        ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {eta} {msg:30}")?,
    );
    let mut measurements = Vec::new();
    for round in 1..=selection.rounds {
        for case in cases {
            let mut subjects: Vec<_> = case.subjects.iter().collect();
            subjects.rotate_left(round as usize % case.subjects.len());
            for subject in subjects {
                bar.set_message(format!("{} {subject}", case.name));
                let outcome = match one(case, subject, round, selection, scratch) {
                    Ok(figures) => Outcome::Figures(figures),
                    Err(error) => {
                        bar.println(format!("{} {subject}: {error:#}", case.name));
                        Outcome::Error(format!("{error:#}"))
                    }
                };
                measurements.push(Measurement {
                    case: case.name.clone(),
                    subject: subject.clone(),
                    round,
                    outcome,
                });
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(measurements)
}

/// One subject in one case, in a fresh folder.
fn one(
    case: &Case,
    subject: &str,
    round: u32,
    selection: &Selection,
    scratch: &Path,
) -> Result<Figures> {
    let folder = tempfile::tempdir_in(scratch)?;
    let start = |prepare: bool| {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["case", &case.name, subject]).arg(folder.path());
        command.args(["--scale", &format!("{:?}", selection.scale()).to_lowercase()]);
        command.args(["--round", &round.to_string()]);
        command.args(prepare.then_some("--prepare"));
        if let Some(traces) = &selection.traces {
            command.arg("--traces").arg(traces);
        }
        command.output().context("cannot start itself")
    };
    if case.prepare.is_some() {
        let output = start(true)?;
        let aborted = output.status.signal() == Some(SIGABRT);
        figures(&output, aborted && !output.stdout.is_empty()).context("while it was prepared")?;
    }
    figures(&start(false)?, false)
}

/// What a child printed, if it ended well.
fn figures(output: &Output, may_fail: bool) -> Result<Figures> {
    if !output.status.success() && !may_fail {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(ERROR_LEN_MAX).collect();
        bail!("{}: {said}", output.status);
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = printed.lines().last().context("it printed nothing")?;
    serde_json::from_str(line).with_context(|| format!("it printed {line:?}"))
}

/// What a child does: one subject in one case.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn child(child: &Child) -> Result<()> {
    std::thread::spawn(|| {
        std::thread::sleep(TIME_MAX);
        eprintln!("it took longer than {TIME_MAX:?}");
        std::process::exit(1);
    });
    let cases = cases::all(child.scale, child.traces.as_deref());
    let case = cases.into_iter().find(|case| case.name == child.case);
    let case = case.with_context(|| format!("there is no case {}", child.case))?;
    let task =
        Task { subject: child.subject.clone(), folder: child.folder.clone(), round: child.round };
    if child.prepare {
        let prepare = case.prepare.as_ref().context("the case needs no preparation")?;
        println!("{{}}");
        return prepare(&task);
    }
    let figures = (case.run)(&task)?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

//! Opening workspaces, and saying what opening found.

use std::path::Path;

use annals::{HinderedLog, OpenError, Options, Verdict, Workspace};

use crate::{
    exit::{Outcome, say},
    human,
};

/// Opens a workspace without changing anything in it; also beside a writer.
pub(crate) fn to_read(dir: &Path) -> Result<Workspace, OpenError> {
    Workspace::open_read_only(dir, Options::default())
}

/// Opens a workspace for writing. Says so if a crash left something that was cut.
pub(crate) fn to_write(dir: &Path, options: Options) -> Result<Workspace, OpenError> {
    let workspace = Workspace::open(dir, options)?;
    let path = workspace.own_log().path().display().to_string();
    match workspace.recovered() {
        Verdict::TornTail => say(
            "annals",
            format_args!(
                "note: {path}: cut a torn tail that a crash left; it was not acknowledged"
            ),
        ),
        Verdict::UnsyncedHole { frame_count } => say(
            "annals",
            format_args!(
                "note: {path}: cut {frame_count} frames behind a hole that a crash left; they are kept beside the log"
            ),
        ),
        _ => {}
    }
    Ok(workspace)
}

/// Opens a workspace whose content is to leave the device: for writing if that is possible, so that what leaves is
/// recorded as durable first; beside a writer, or where nothing can be written, to read.
pub(crate) fn to_publish(dir: &Path) -> Result<Workspace, OpenError> {
    match to_write(dir, Options::default()) {
        Err(OpenError::Locked(_) | OpenError::Io(_) | OpenError::Damaged(_)) => to_read(dir),
        result => result,
    }
}

/// Names the logs that are there and cannot be used.
pub(crate) fn name_unreadable(command: &str, workspace: &Workspace) -> Outcome {
    workspace.with_unreadable_logs(|logs| {
        for log in logs {
            let error = log.error.to_string();
            let path = log.path.display().to_string();
            if error.contains(&path) {
                say("annals", format_args!("{command}: {error}"));
            } else {
                say("annals", format_args!("{command}: {path}: {error}"));
            }
        }
        if logs.is_empty() { Outcome::Done } else { Outcome::Incomplete }
    })
}

/// Names the logs that take part in an exchange only as far as they are sound here. `what` becomes of the rest.
pub(crate) fn name_hindered(command: &str, logs: &[HinderedLog], what: &str) -> Outcome {
    for log in logs {
        if log.client.is_none() {
            // It cannot be opened at all, and was named when the workspace was.
            continue;
        }
        let HinderedLog { log, size, reason, .. } = log;
        let sound = human::counted(*size, "entry");
        say("annals", format_args!("{command}: log {log}: what follows {sound} {what}: {reason}"));
    }
    if logs.is_empty() { Outcome::Done } else { Outcome::Incomplete }
}

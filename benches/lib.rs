//! Data and set-ups that the benchmarks share.
#![allow(clippy::missing_panics_doc, reason = "a benchmark that cannot run should panic")]

mod chance;
mod data;
mod text;

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use annals::{Clock, LogView, Options, Workspace};
use criterion::Criterion;
use tempfile::TempDir;

pub use self::{
    chance::Chance,
    data::{Entries, Kind},
};

/// How everything is measured: ten samples in about a second.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
}

/// The defaults, without times: they would make the data differ from run to run.
pub fn options() -> Options {
    Options::default().clock(Clock::None)
}

/// An empty workspace in a folder that is removed with it.
pub fn empty() -> (TempDir, Workspace) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let workspace = Workspace::create(folder.path().join("w"), options()).expect("a new workspace");
    (folder, workspace)
}

/// A workspace with all these entries, open.
pub fn filled(entries: &Entries) -> (TempDir, Workspace) {
    let (folder, workspace) = empty();
    append(&workspace, entries);
    (folder, workspace)
}

/// Appends all entries, with one commit at the end.
pub fn append(workspace: &Workspace, entries: &Entries) {
    for payload in entries.iter() {
        workspace.append(payload).expect("appending works");
    }
    workspace.commit().expect("committing works");
}

/// Bytes of payload in all entries of a log, each of them read.
pub fn scanned(log: &LogView) -> usize {
    let payload_len = |entry: annals::Entry| entry.payload().expect("a payload").len();
    log.scan(..).expect("a scan").map(|entry| payload_len(entry.expect("an entry"))).sum()
}

/// Copies the files of a folder, as they are now, into another one, durably: what a crash leaves.
pub fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    for file in fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        let copy = to.join(file.file_name());
        if file.path().is_dir() {
            copy_files(&file.path(), &copy);
        } else {
            fs::copy(file.path(), &copy).expect("copied");
            File::open(&copy).and_then(|file| file.sync_all()).expect("synced");
        }
    }
}

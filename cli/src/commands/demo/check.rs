//! The end: everything is read back, by a reader that knows nothing, and compared with the input.

use std::{
    collections::HashMap,
    io::Write,
    path::{Path, PathBuf},
};

use annals::{
    Frontier, Options, StreamId, Workspace,
    check::{Depth, check},
};
use anyhow::{bail, ensure};

use super::{
    Screen,
    input::{Input, as_u64, lines},
    steps::{Clients, HISTORY},
    timed,
};
use crate::human;

/// Closes both workspaces, opens them again, and reads everything that is in them.
pub(super) fn everything(
    screen: &mut Screen<impl Write>,
    clients: Clients,
    input: &Input,
    durable_count: u64,
) -> anyhow::Result<()> {
    let Clients { laptop, phone } = clients;
    let frontier = laptop.frontier()?;
    let (files, history) = (laptop.own_log().id(), phone.own_log().id());
    let folders = [laptop.path().to_owned(), phone.path().to_owned()];
    laptop.close()?;
    phone.close()?;
    let ((result, entries), time) = timed(|| {
        let mut entries = 0;
        let result = folders.iter().try_for_each(|folder| {
            let workspace = Workspace::open_read_only(folder, Options::default())?;
            entries += sound(&workspace, folder, &frontier)?;
            same_files(&workspace, files, input, durable_count)?;
            same_history(&workspace, history, input)
        });
        (result, entries)
    });
    result?;
    let text = format!(
        "{} entries, both sides, read back in {}: all equal",
        human::count(entries),
        human::duration(time)
    );
    screen.line("check", &text)?;
    fsck(screen, &folders)
}

/// What `annals-fsck --deep` does: every byte against its checksum, every entry against the roots.
fn fsck(screen: &mut Screen<impl Write>, folders: &[PathBuf]) -> anyhow::Result<()> {
    let (frames, time) = timed(|| {
        folders.iter().try_fold(0, |frames, folder| {
            let report = check(folder, Depth::Payloads, |_, _| {})?;
            if let Some(finding) = report.errors().next() {
                bail!("{finding}");
            }
            Ok(frames + report.logs.iter().map(|log| log.frames).sum::<u64>())
        })
    });
    let text = format!(
        "--deep: {} frames, every entry hashed in {}: clean",
        human::count(frames?),
        human::duration(time)
    );
    screen.line("fsck", &text)
}

/// Reads every entry of every log, and compares roots; says how many entries there are.
fn sound(workspace: &Workspace, folder: &Path, frontier: &Frontier) -> anyhow::Result<u64> {
    ensure!(workspace.frontier()? == *frontier, "{}: the frontier differs", folder.display());
    ensure!(
        workspace.with_unreadable_logs(<[_]>::is_empty),
        "{}: a log cannot be read",
        folder.display()
    );
    let mut entries = 0;
    for log in workspace.logs() {
        let mut expected = 0;
        for entry in log.scan(..)? {
            let entry = entry?;
            ensure!(entry.index() == expected, "log {}: entry {expected} is missing", log.id());
            expected = entry.end_index();
        }
        ensure!(expected == frontier.size(log.id()), "log {}: {expected} entries", log.id());
        entries += expected;
    }
    Ok(entries)
}

/// The streams of the laptop's log give the files, and the default stream the changes that were committed one by one.
fn same_files(
    workspace: &Workspace,
    log: annals::LogId,
    input: &Input,
    durable_count: u64,
) -> anyhow::Result<()> {
    let log = workspace.log(log)?;
    let names: HashMap<StreamId, String> = log.streams()?.into_iter().collect();
    let mut files: HashMap<&str, _> =
        input.files.iter().map(|(name, content)| (name.as_str(), lines(content))).collect();
    let mut committed_one_by_one = 0;
    for entry in log.scan(..)? {
        let entry = entry?;
        if entry.kind().is_control() {
            continue;
        }
        let Some(name) = names.get(&entry.stream()) else {
            committed_one_by_one += 1;
            continue;
        };
        let expected = files.get_mut(name.as_str()).and_then(Iterator::next);
        ensure!(expected == Some(entry.payload()?), "{name}: differs at entry {}", entry.index());
    }
    for (name, rest) in &mut files {
        ensure!(rest.next().is_none(), "{name}: lines are missing");
    }
    ensure!(
        committed_one_by_one == durable_count,
        "{committed_one_by_one} changes, not {durable_count}"
    );
    Ok(())
}

fn same_history(workspace: &Workspace, log: annals::LogId, input: &Input) -> anyhow::Result<()> {
    let log = workspace.log(log)?;
    let Some(stream) = log.find_stream(HISTORY)? else {
        bail!("the history is missing");
    };
    let mut events = input.events.iter();
    for entry in log.scan_stream(stream, .., annals::Direction::Forward)? {
        let entry = entry?;
        if entry.kind().is_control() {
            continue;
        }
        let expected = events.next().map(|(time, text)| (Some(*time), text.as_slice()));
        let given = (entry.timestamp(), entry.payload()?);
        ensure!(expected == Some(given), "the history differs at entry {}", entry.index());
    }
    ensure!(as_u64(events.len()) == 0, "{} events are missing", events.len());
    Ok(())
}

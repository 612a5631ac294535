//! The changes of 100 clients in the order of their Lamport clocks. `annals` has the log of each client and merges them
//! (`Workspace::merged`), `annals-scan` is the scan of one log of the same entries. The others keep them in this order,
//! by clock and client, and scan that; what it costs to bring them into it is not measured.

use annals::{Frontier, Workspace};
use anyhow::{Context as _, Result, ensure};

use super::{
    Case, Task,
    bulk::{ENTRIES, PAYLOAD},
    named,
    scan::rates,
    verify,
};
use crate::{
    args::Scale,
    data::{Entries, Kind},
    engine::Cache,
    results::Figures,
    subjects::annals::{open, options},
};

const CLIENTS: usize = 100;

/// The one case.
pub(super) fn cases(scale: Scale) -> Vec<Case> {
    let mut subjects = named(&["annals", "sqlite"]);
    subjects.insert(1, "annals-scan".to_owned());
    vec![Case::new(
        format!("merge/{CLIENTS}"),
        include_str!("merge.rs"),
        &[ENTRIES, PAYLOAD],
        subjects,
        move |task| {
            let entries = Kind::Change.entries(CLIENTS * scale.count(2_600));
            match task.subject.as_str() {
                "annals" => merged(task, &entries),
                "annals-scan" => single(task, &entries),
                _ => ordered(task, &entries),
            }
        },
    )]
}

/// Entry `n` is the change of client `n % CLIENTS`, with clock `n / CLIENTS`.
fn merged(task: &Task, entries: &Entries) -> Result<Figures> {
    let collected = open(&task.folder.join("collected"), Cache::Default)?;
    for client in 0..CLIENTS {
        let folder = task.folder.join(client.to_string());
        let workspace = Workspace::join(&folder, collected.id(), options(Cache::Default))?;
        for payload in entries.iter().skip(client).step_by(CLIENTS) {
            workspace.append(payload)?;
        }
        workspace.commit()?;
        let mut bundle = Vec::new();
        workspace.export(&Frontier::empty(), &mut bundle)?;
        workspace.close()?;
        std::fs::remove_dir_all(&folder)?;
        collected.import(&bundle[..])?;
    }
    collected.close()?;

    let collected = open(&task.folder.join("collected"), Cache::Default)?;
    let mut clock = 0;
    for change in collected.merged()?.changes() {
        let change = change?;
        ensure!(change.lamport() >= clock, "the clocks are out of order");
        clock = change.lamport();
    }
    rates(entries, |look| {
        collected.merged()?.visit(|entry| {
            if !entry.kind().is_control() {
                look(entry.payload()?);
            }
            Ok(())
        })
    })
}

fn single(task: &Task, entries: &Entries) -> Result<Figures> {
    let engine = task.open_as("annals", Cache::Default)?;
    engine.bulk(entries)?;
    verify(&*engine, entries.iter())?;
    rates(entries, |look| engine.scan(look))
}

fn ordered(task: &Task, entries: &Entries) -> Result<Figures> {
    let engine = task.open(Cache::Default)?;
    let streams = engine.streams().context("it has one order only")?;
    // As many streams as there are clocks: stream and number are clock and client.
    streams.fill(entries, entries.len() / CLIENTS)?;
    let mut count = 0;
    streams.scan_streams(&mut |_| count += 1)?;
    ensure!(count == entries.len(), "{count} of {} entries are there", entries.len());
    rates(entries, |look| streams.scan_streams(look))
}

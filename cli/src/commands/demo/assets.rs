//! Large binaries: in, out by range, once however often they come, and on to the other client.

use std::{collections::BTreeSet, io::Write};

use annals::{AssetId, AssetMeta, AssetState, Workspace};
use anyhow::{Context as _, ensure};

use super::{
    Screen,
    input::{Input, as_u64},
    steps::Clients,
    timed,
};
use crate::human;

/// Length of the content that is made of the files, one after another: more than fits into a shared pack.
const LARGE_LEN: usize = 16 << 20;
const RANGE_LEN: u64 = 64 << 10;

/// The files become assets of the laptop, twice; a large one is read by range, and goes to the phone.
pub(super) fn store(
    screen: &mut Screen<impl Write>,
    clients: &Clients,
    input: &Input,
) -> anyhow::Result<()> {
    let laptop = &clients.laptop;
    let (first, time) = timed(|| add_all(laptop, input));
    first?;
    let (again, time_again) = timed(|| add_all(laptop, input));
    ensure!(again? == input.files.len(), "what is here already is not stored again");
    let distinct: BTreeSet<AssetId> =
        input.files.iter().map(|(_, content)| AssetId::of(content)).collect();
    let bytes: u64 = input.files.iter().map(|(_, content)| as_u64(content.len())).sum();
    let text = format!(
        "{}, {}: {}/s; again: none stored, {}/s",
        human::counted(as_u64(distinct.len()), "asset"),
        human::bytes(bytes),
        human::bytes(human::per_second(bytes, time)),
        human::bytes(human::per_second(bytes, time_again)),
    );
    screen.line("assets", &text)?;

    let large = joined(input);
    let (film, time) = timed(|| laptop.assets().put(&large[..], AssetMeta::named("everything")));
    let film = film?;
    laptop.commit()?;
    ensure!(film.id == AssetId::of(&large), "the id is the hash of the content");
    let middle = film.size / 2;
    let range = middle..film.size.min(middle + RANGE_LEN);
    let (part, part_time) = timed(|| laptop.assets().read(&film.id, range.clone()));
    let (start, end) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
    ensure!(part? == large[start..end], "a range is what stands there");
    let text = format!(
        "{} in at {}/s; {} of its middle, verified: {}",
        human::bytes(film.size),
        human::bytes(human::per_second(film.size, time)),
        human::bytes(range.end - range.start),
        human::duration(part_time),
    );
    screen.line("range", &text)?;
    fetch(screen, clients, film.id)
}

fn add_all(laptop: &Workspace, input: &Input) -> anyhow::Result<usize> {
    let mut batch = laptop.assets().batch();
    for (name, content) in &input.files {
        batch.put(&content[..], AssetMeta::named(name).media_type("text/plain"))?;
    }
    let added = batch.commit()?;
    laptop.commit()?;
    Ok(added.iter().filter(|added| added.was_here).count())
}

/// All files, one after another, again and again.
fn joined(input: &Input) -> Vec<u8> {
    let mut joined = Vec::with_capacity(LARGE_LEN);
    while joined.len() < LARGE_LEN {
        for (name, content) in &input.files {
            joined.extend_from_slice(name.as_bytes());
            joined.extend_from_slice(content);
        }
    }
    joined.truncate(LARGE_LEN);
    joined
}

/// The entry travels with the log; the bytes come piece by piece, each proven.
fn fetch(screen: &mut Screen<impl Write>, clients: &Clients, id: AssetId) -> anyhow::Result<()> {
    let Clients { laptop, phone } = clients;
    let mut bundle = Vec::new();
    laptop.export(&phone.frontier()?, &mut bundle)?;
    phone.import(&bundle[..])?;
    ensure!(phone.assets().state(&id)? == Some(AssetState::Known), "the phone has heard of it");
    let (fetched, time) = timed(|| phone.assets().fetch(&id, &laptop.assets(), |_| true));
    let fetched = fetched.context("fetching")?;
    ensure!(phone.assets().state(&id)? == Some(AssetState::Present), "the phone has it");
    let text = format!(
        "{} on to the phone, piece by piece, each proven: {}/s",
        human::bytes(fetched),
        human::bytes(human::per_second(fetched, time)),
    );
    screen.line("fetch", &text)
}

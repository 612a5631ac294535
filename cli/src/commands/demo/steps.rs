//! The steps that both clients take.

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use annals::{Change, Clock, CompactOptions, Frontier, InclusionProof, Options, Workspace};
use anyhow::{Context as _, ensure};

use super::{
    Screen,
    input::{Input, as_u64, lines},
    timed,
};
use crate::human;

/// At most so many commits of one change each, and at most for so long.
const DURABLE_COUNT_MAX: u64 = 300;
const DURABLE_TIME_MAX: Duration = Duration::from_secs(3);
/// Entries that are read in random order.
const RANDOM_READ_COUNT: u64 = 5_000;
/// Name of the stream that holds the history.
pub(super) const HISTORY: &str = "history";

/// Two clients of one workspace.
#[derive(Debug)]
pub(super) struct Clients {
    /// Appends the files.
    pub(super) laptop: Workspace,
    /// Appends the history.
    pub(super) phone: Workspace,
}

impl Clients {
    pub(super) fn create(folder: &Path) -> anyhow::Result<Self> {
        let laptop = Workspace::create(folder.join("laptop"), Options::default())?;
        // The events bring the times of the past. The entry that declares their stream must not come after them in time:
        // what was there at a time ends before the first entry that is later.
        let timeless = Options::default().clock(Clock::None);
        let phone = Workspace::join(folder.join("phone"), laptop.id(), timeless)?;
        Ok(Self { laptop, phone })
    }

    fn both(&self) -> [&Workspace; 2] {
        [&self.laptop, &self.phone]
    }
}

/// Files become changes of the laptop, one a line, in a stream each; events of the history changes of the phone.
pub(super) fn append_in_bulk(
    screen: &mut Screen<impl Write>,
    clients: &Clients,
    input: &Input,
) -> anyhow::Result<()> {
    let (result, time) = timed(|| -> anyhow::Result<()> {
        for (name, content) in &input.files {
            let stream = clients.laptop.stream(name)?;
            for line in lines(content) {
                let _ = stream.append(line)?;
            }
        }
        let stream = clients.phone.stream(HISTORY)?.id();
        for (time, text) in &input.events {
            let change = Change::new(text).in_stream(stream).at(Some(*time));
            let _ = clients.phone.append_change(change)?;
        }
        clients.laptop.commit()?;
        clients.phone.commit()?;
        Ok(())
    });
    result?;
    let changes = input.line_count() + as_u64(input.events.len());
    let mut bytes = 0;
    for client in clients.both() {
        bytes += client.own_log().stats()?.payload_bytes;
    }
    let text = format!(
        "{} changes in {}, durable: {}/s, {}/s",
        human::count(changes),
        human::duration(time),
        human::count(human::per_second(changes, time)),
        human::bytes(human::per_second(bytes, time)),
    );
    screen.line("bulk", &text)
}

/// Changes of the laptop with a durable commit each; says how many.
pub(super) fn append_durably(
    screen: &mut Screen<impl Write>,
    clients: &Clients,
    input: &Input,
) -> anyhow::Result<u64> {
    let before = clients.laptop.durable().changes;
    let began = Instant::now();
    let mut times = Vec::new();
    let texts: Vec<&[u8]> = input.lines().take(1000).collect();
    for text in texts.iter().cycle() {
        let commit_began = Instant::now();
        let durable = clients.laptop.append(text)?.wait_durable()?;
        times.push(commit_began.elapsed());
        let count = as_u64(times.len());
        ensure!(durable.changes == before + count, "a commit acknowledged the wrong number");
        if count == DURABLE_COUNT_MAX || began.elapsed() > DURABLE_TIME_MAX {
            break;
        }
    }
    let (count, time) = (as_u64(times.len()), began.elapsed());
    times.sort();
    let at = |percent: usize| human::duration(times[(times.len() - 1) * percent / 100]);
    let text = format!(
        "{count} commits: {}/s; median {}, 99 % below {}",
        human::count(human::per_second(count, time)),
        at(50),
        at(99),
    );
    screen.line("durable", &text)?;
    Ok(count)
}

pub(super) fn measure_size(
    screen: &mut Screen<impl Write>,
    clients: &Clients,
) -> anyhow::Result<()> {
    for (client, name) in clients.both().into_iter().zip(["laptop", "phone"]) {
        client.checkpoint()?;
        let stats = client.own_log().stats()?;
        let text = format!(
            "{name}: {} of changes in a file of {} ({:.0} %), {}",
            human::bytes(stats.payload_bytes),
            human::bytes(stats.file_bytes),
            human::percent(stats.file_bytes, stats.payload_bytes),
            human::counted(stats.frames, "frame"),
        );
        screen.line("size", &text)?;
    }
    Ok(())
}

pub(super) fn read(
    screen: &mut Screen<impl Write>,
    clients: &Clients,
    input: &Input,
) -> anyhow::Result<()> {
    let log = clients.laptop.own_log();
    let entry_count = log.entry_count();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let indices: Vec<u64> = (0..RANDOM_READ_COUNT).map(|_| random.below(entry_count)).collect();
    let (result, random_time) = timed(|| {
        indices.iter().try_for_each(|&index| {
            let entry = log.entry(index)?;
            ensure!(entry.index() == index, "entry {index} came as {}", entry.index());
            Ok(())
        })
    });
    result?;
    let (scanned, scan_time) = timed(|| log.scan(..)?.try_fold(0, |n, entry| entry.map(|_| n + 1)));
    ensure!(scanned? == entry_count, "a scan gave another number of entries than the log has");
    let text = format!(
        "{} random entries: {} each; scan: {} entries/s",
        human::count(RANDOM_READ_COUNT),
        human::duration(random_time / u32::try_from(RANDOM_READ_COUNT).unwrap_or(u32::MAX)),
        human::count(human::per_second(entry_count, scan_time)),
    );
    screen.line("read", &text)?;

    let (name, content) = &input.files[input.files.len() / 2];
    let stream = clients.laptop.stream(name)?;
    let (read, time) = timed(|| -> anyhow::Result<Vec<Vec<u8>>> {
        let entries = stream.scan()?.filter(|e| !e.as_ref().is_ok_and(|e| e.kind().is_control()));
        entries.map(|entry| Ok(entry?.payload()?.to_vec())).collect()
    });
    ensure!(lines(content).eq(read?.iter().map(Vec::as_slice)), "stream {name:?} is not the file");
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let text = format!(
        "{name:.20}: {}, 1 of {}, in {}, equal",
        human::counted(as_u64(lines(content).count()), "line"),
        human::counted(as_u64(input.files.len()), "stream"),
        human::duration(time)
    );
    screen.line("stream", &text)
}

pub(super) fn exchange(screen: &mut Screen<impl Write>, clients: &Clients) -> anyhow::Result<()> {
    let Clients { laptop, phone } = clients;
    for (from, to, what) in [(laptop, phone, "laptop to phone"), (phone, laptop, "phone to laptop")]
    {
        let since = to.frontier()?;
        let mut bundle = Vec::new();
        let (report, export_time) = timed(|| from.export(&since, &mut bundle));
        let report = report?;
        let (imported, import_time) = timed(|| to.import(&bundle[..]));
        ensure!(imported?.entries == report.entries, "{what}: entries were lost on the way");
        ensure!(to.import(&bundle[..])?.entries == 0, "{what}: importing again changed something");
        let text = format!(
            "{what}: {}, {}; out {}, in {}",
            human::counted(report.entries, "entry"),
            human::bytes(report.bytes),
            human::duration(export_time),
            human::duration(import_time),
        );
        screen.line("exchange", &text)?;
    }
    ensure!(laptop.frontier()? == phone.frontier()?, "the frontiers differ after the exchange");
    screen.line("", "both frontiers are equal: sizes and Merkle roots of both logs")
}

pub(super) fn prove(screen: &mut Screen<impl Write>, clients: &Clients) -> anyhow::Result<()> {
    // The laptop's owner keeps a root; the phone, which has a replica, proves against it.
    let ours = clients.laptop.own_log();
    let (size, root) = (ours.entry_count(), ours.root()?);
    let replica = clients.phone.log(ours.id())?;
    let index = size / 3;
    let json = serde_json::to_string(&replica.prove_inclusion(index, Some(size))?)?;
    let proof: InclusionProof = serde_json::from_str(&json)?;
    let (verified, time) = timed(|| proof.verify(&root));
    verified?;
    let forged = InclusionProof { payload_hash: annals::Hash::ZERO, ..proof.clone() };
    ensure!(forged.verify(&root).is_err(), "a forged proof was verified");
    let old_root = ours.root_at(index)?;
    replica.prove_consistency(index, Some(size))?.verify(&old_root, &root)?;
    let text = format!(
        "entry {} of {}: {}, {}, verified in {}",
        human::count(index),
        human::count(size),
        human::counted(as_u64(proof.path.len()), "hash").replace("hashs", "hashes"),
        human::bytes(as_u64(json.len())),
        human::duration(time),
    );
    screen.line("proof", &text)
}

/// Writes the laptop's log anew, and shows that nothing that was proven has changed.
pub(super) fn compact(screen: &mut Screen<impl Write>, clients: &Clients) -> anyhow::Result<()> {
    let log = clients.laptop.own_log();
    let (size, root) = (log.entry_count(), log.root()?);
    let proof = log.prove_inclusion(size / 2, Some(size))?;
    let options = CompactOptions::default().client(clients.laptop.client());
    let (report, time) = timed(|| clients.laptop.compact(&options, |_, _| true));
    let report = report?;
    ensure!(log.root_at(size)? == root, "a compaction has changed the root");
    proof.verify(&root)?;
    let done = report.logs.first().context("no log was compacted")?;
    let text = format!(
        "{} became {} in {}, same root, same proofs",
        human::bytes(done.before_bytes),
        human::bytes(done.after_bytes),
        human::duration(time)
    );
    screen.line("compact", &text)
}

/// The state halfway through the history.
pub(super) fn look_back(
    screen: &mut Screen<impl Write>,
    clients: &Clients,
    input: &Input,
) -> anyhow::Result<()> {
    let (time, _) = input.events[input.events.len() / 2];
    let (then, took) = timed(|| clients.laptop.at(time));
    let changes = clients.laptop.merged_between(&Frontier::empty(), Some(&then?))?;
    let mut were_there = 0;
    for entry in changes {
        let entry = entry?;
        if entry.kind().is_control() {
            continue;
        }
        ensure!(entry.timestamp() <= Some(time), "entry {} is later", entry.index());
        were_there += 1;
    }
    let expected = input.events.iter().filter(|event| event.0 <= time).count();
    ensure!(as_u64(expected) == were_there, "{were_there} changes were there, not {expected}");
    let text = format!(
        "at {time}: {} of {}; found in {}",
        human::count(were_there),
        human::counted(as_u64(input.events.len()), input.event),
        human::duration(took),
    );
    screen.line("time", &text)
}

/// A generator of numbers that are random enough to read in no order (`SplitMix64`).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

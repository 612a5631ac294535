//! Two clients do whatever comes to mind, one of them crashes meanwhile, and all that is asked for is what two plain
//! lists of entries say: which entries there are, in which streams, with which clocks, in which order.

use std::{cmp::Reverse, path::Path, sync::Arc};

use annals::{
    Change, Clock, Direction, Entry, EntryRef, Frontier, FrontierRow, Kind, LogView, Merged,
    Options, ReadError, Scan, StreamId, Timestamp, Workspace,
    io::sim::{Loss, SimDisk},
};
use proptest::prelude::*;

use crate::support::Random;

const PART_LEN: usize = 1 << 20;
const NAMES: [&str; 3] = ["a", "bb", "a longer name of a stream"];

/// An entry that is expected, or the parts of a change.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    first: u64,
    end: u64,
    group_end: u64,
    lamport: u64,
    kind: Kind,
    stream: u32,
    time: Option<i64>,
    /// That of a *seen* entry is looked at where it is written.
    payload: Vec<u8>,
}

/// A log that is a list.
#[derive(Clone, Debug, Default)]
struct List {
    items: Vec<Item>,
    /// The names of the streams from 1 on.
    names: Vec<&'static str>,
}

/// A client with its list.
struct Client {
    disk: SimDisk,
    path: &'static Path,
    options: Options,
    workspace: Option<Workspace>,
    list: List,
    acknowledged: u64,
    /// Entries of the other's log that are here.
    copied: u64,
}

#[derive(Clone, Debug)]
struct Draft {
    stream: usize,
    time: Option<i64>,
    len: usize,
}

#[derive(Clone, Debug)]
enum Op {
    Append(Draft),
    Group(Vec<Draft>),
    Commit,
    Checkpoint,
    Reopen,
    /// Appends and commits, and the power fails after so many changes of the disk.
    Crash(Draft, u64, Loss),
    /// The other client appends.
    Other(Draft),
    /// To the other client, from it.
    Export,
    Import,
    Compare(u64),
}

fn draft() -> impl Strategy<Value = Draft> {
    let len = prop_oneof![60 => 0..60_usize, 20 => 0..3_000_usize, 1 => (1 << 20)..(1 << 20) + 5_000_usize];
    let time = prop_oneof![1 => Just(None), 3 => (0..100_i64).prop_map(Some)];
    (0..=NAMES.len(), time, len).prop_map(|(stream, time, len)| Draft { stream, time, len })
}

fn op() -> impl Strategy<Value = Op> {
    let loss = prop_oneof![
        Just(Loss::Everything),
        Just(Loss::Nothing),
        (0..6_usize).prop_map(Loss::Only),
        (0..6_usize).prop_map(Loss::From),
        any::<u64>().prop_map(|seed| Loss::Random { seed, garbage: seed % 2 == 0 }),
    ];
    prop_oneof![
        8 => draft().prop_map(Op::Append),
        3 => prop::collection::vec(draft(), 1..5).prop_map(Op::Group),
        3 => Just(Op::Commit),
        1 => Just(Op::Checkpoint),
        2 => Just(Op::Reopen),
        2 => (draft(), 0..10_u64, loss).prop_map(|(draft, after, loss)| Op::Crash(draft, after, loss)),
        3 => draft().prop_map(Op::Other),
        2 => Just(Op::Export),
        2 => Just(Op::Import),
        2 => any::<u64>().prop_map(Op::Compare),
    ]
}

impl List {
    fn end(&self) -> u64 {
        self.items.last().map_or(0, |item| item.end)
    }

    fn lamport_at(&self, size: u64) -> u64 {
        let last = self.items.iter().rev().find(|item| item.end <= size);
        last.map_or(0, |item| item.lamport + item.end - item.first - 1)
    }

    fn push(&mut self, kind: Kind, stream: u32, time: Option<i64>, payload: Vec<u8>, lamport: u64) {
        let first = self.end();
        let end = first + payload.len().div_ceil(PART_LEN).max(1) as u64;
        self.items.push(Item { first, end, group_end: end, lamport, kind, stream, time, payload });
    }

    fn is_boundary(&self, size: u64) -> bool {
        size == 0 || self.items.iter().any(|item| item.end == size && item.group_end == size)
    }

    fn truncate(&mut self, size: u64) {
        self.items.retain(|item| item.end <= size);
        let declared = self.items.iter().filter(|item| item.kind == Kind::STREAM).count();
        self.names.truncate(declared);
    }

    fn size_at(&self, time: i64, size: u64) -> u64 {
        let later = self.items.iter().find(|item| item.time > Some(time));
        later.map_or(size, |item| item.first.min(size))
    }
}

fn assert_is(item: &Item, entry: &Entry) {
    assert_eq!((item.first, item.end), (entry.index(), entry.end_index()));
    assert_eq!(item.kind, entry.kind(), "entry {}", item.first);
    assert_eq!(item.stream, entry.stream().0, "entry {}", item.first);
    assert_eq!(item.lamport, entry.lamport(), "entry {}", item.first);
    assert_eq!(item.time, entry.timestamp().map(Timestamp::as_micros), "entry {}", item.first);
    if item.kind != Kind::SEEN {
        assert!(item.payload == entry.payload().unwrap(), "entry {}", item.first);
    }
}

/// Whether these are all of `expected`, in that order.
fn assert_are<'a>(
    expected: impl IntoIterator<Item = &'a Item>,
    found: impl Iterator<Item = Result<Entry, ReadError>>,
) {
    let found: Vec<Entry> = found.collect::<Result<_, _>>().unwrap();
    let expected: Vec<&Item> = expected.into_iter().collect();
    assert_eq!(expected.len(), found.len(), "entries in the range");
    expected.iter().zip(&found).for_each(|(item, entry)| assert_is(item, entry));
}

/// Something that gives entries away, or lends them.
trait Entries: Iterator<Item = Result<Entry, ReadError>> + Sized {
    fn lend(self, look: impl FnMut(EntryRef<'_>) -> Result<(), ReadError>);
}

impl Entries for Scan {
    fn lend(self, look: impl FnMut(EntryRef<'_>) -> Result<(), ReadError>) {
        self.visit(look).unwrap();
    }
}

impl Entries for Merged {
    fn lend(self, look: impl FnMut(EntryRef<'_>) -> Result<(), ReadError>) {
        self.visit(look).unwrap();
    }
}

/// Whether `found` has all of `expected` in that order, and lends the same as it gives.
fn assert_are_and_lent<'a, E: Entries>(
    expected: impl IntoIterator<Item = &'a Item>,
    found: impl Fn() -> E,
) {
    assert_are(expected, found());
    let given: Vec<Entry> = found().map(Result::unwrap).collect();
    let mut given = given.iter();
    found().lend(|lent| {
        let entry = given.next().expect("no more is lent than is given");
        assert_eq!((lent.log(), lent.client()), (entry.log(), entry.client()));
        assert_eq!((lent.index(), lent.header()), (entry.index(), *entry.header()));
        assert_eq!((lent.lamport(), lent.kind()), (entry.lamport(), entry.kind()));
        assert_eq!((lent.stream(), lent.timestamp()), (entry.stream(), entry.timestamp()));
        assert!(lent.payload().unwrap() == entry.payload().unwrap());
        Ok(())
    });
    assert!(given.next().is_none(), "all that is given is lent");
}

impl Client {
    fn new(path: &'static str, of: Option<&Self>, seed: u64) -> Self {
        let (disk, path) = (SimDisk::new(seed), Path::new(path));
        let cache_len = if seed.is_multiple_of(2) { 0 } else { 1 << 20 };
        let options = Options::default().clock(Clock::None).batch_len(1 << 10).cache_len(cache_len);
        let id = of.map(|of| of.open().id());
        let through = Arc::new(disk.clone());
        let workspace = Workspace::create_on(through, path, options.clone(), id).unwrap();
        let workspace = Some(workspace);
        let list = List::default();
        Self { disk, path, options, workspace, list, acknowledged: 0, copied: 0 }
    }

    fn open(&self) -> &Workspace {
        self.workspace.as_ref().expect("it is open between operations")
    }

    /// The clocks of the other have to be jumped over.
    fn sees(&mut self, other: &List) {
        let (own, foreign) = (self.list.lamport_at(u64::MAX), other.lamport_at(self.copied));
        if foreign > own {
            self.list.push(Kind::SEEN, 0, None, Vec::new(), foreign + 1);
        }
    }

    /// Appends as a program does, and to the list. What fails is in the list all the same.
    fn append(&mut self, other: &List, drafts: &[Draft], seed: u64) -> Result<(), String> {
        let workspace = self.open().clone();
        let mut streams = Vec::new();
        let mut failed = None;
        for draft in drafts {
            let Some(&name) = draft.stream.checked_sub(1).and_then(|at| NAMES.get(at)) else {
                streams.push(0);
                continue;
            };
            self.sees(other);
            if !self.list.names.contains(&name) {
                self.list.names.push(name);
                let stream = u32::try_from(self.list.names.len()).unwrap();
                let payload = [&[0], name.as_bytes()].concat();
                let lamport = self.list.lamport_at(u64::MAX) + 1;
                self.list.push(Kind::STREAM, stream, None, payload, lamport);
            }
            let at = self.list.names.iter().position(|known| *known == name).unwrap();
            let stream = u32::try_from(at + 1).unwrap();
            streams.push(stream);
            match workspace.stream(name) {
                Ok(found) => assert_eq!(found.id(), StreamId(stream), "{name}"),
                Err(error) => failed = Some(error.to_string()),
            }
        }
        self.sees(other);
        let payload = |(at, draft): (usize, &Draft)| {
            let mut payload = Random::new(seed + at as u64).bytes(draft.len.min(40));
            payload.resize(draft.len, b'.');
            payload
        };
        let payloads: Vec<Vec<u8>> = drafts.iter().enumerate().map(payload).collect();
        let start = self.list.items.len();
        for ((draft, payload), &stream) in drafts.iter().zip(&payloads).zip(&streams) {
            let lamport = self.list.lamport_at(u64::MAX) + 1;
            self.list.push(Kind::CHANGE, stream, draft.time, payload.clone(), lamport);
        }
        let end = self.list.end();
        self.list.items[start..].iter_mut().for_each(|item| item.group_end = end);
        if let Some(error) = failed {
            return Err(error);
        }
        let changes = drafts.iter().zip(&payloads).zip(&streams);
        let changes = changes.map(|((draft, payload), stream)| {
            let time = draft.time.map(Timestamp::from_micros);
            Change::new(payload).in_stream(StreamId(*stream)).at(time)
        });
        let changes: Vec<Change<'_>> = changes.collect();
        let ticket = workspace.append_all(&changes).map_err(|error| error.to_string())?;
        assert_eq!(ticket.indices(), self.list.items[start].first..end);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        let progress = self.open().commit().map_err(|error| error.to_string())?;
        assert_eq!(progress.entries, self.list.end());
        let changes = self.list.items.iter().filter(|item| item.kind == Kind::CHANGE).count();
        assert_eq!(progress.changes, changes as u64);
        self.acknowledged = progress.entries;
        Ok(())
    }

    fn reopen(&mut self) {
        let through = Arc::new(self.disk.clone());
        let opened = Workspace::open_on(through, self.path, self.options.clone()).unwrap();
        let size = opened.own_log().entry_count();
        assert!(size >= self.acknowledged, "{size} of {} acknowledged", self.acknowledged);
        assert!(size <= self.list.end(), "{size} of {}", self.list.end());
        assert!(self.list.is_boundary(size), "it ends inside a group, at {size}");
        self.list.truncate(size);
        self.acknowledged = size;
        self.workspace = Some(opened);
    }

    fn crash(&mut self, other: &List, draft: &Draft, after: u64, loss: &Loss, seed: u64) {
        self.disk.power_off_after(after);
        let done = self.append(other, std::slice::from_ref(draft), seed);
        if let Err(error) = done.and_then(|()| self.commit()) {
            assert!(self.disk.is_off(), "{error}");
        }
        self.disk.power_off();
        let found = self.disk.after_power_loss(loss);
        self.workspace = None;
        self.disk = found;
        self.reopen();
    }

    /// Hands over what `to` lacks.
    fn export(&mut self, to: &mut Self) {
        let mut bundle = Vec::new();
        self.open().export(&to.open().frontier().unwrap(), &mut bundle).unwrap();
        self.acknowledged = self.list.end();
        to.open().import(&bundle[..]).unwrap();
        to.copied = self.list.end();
        let own = self.open().own_log();
        if own.is_empty() {
            return;
        }
        let copy = to.open().log(own.id()).unwrap();
        assert_eq!(copy.root().unwrap(), own.root().unwrap());
        assert_eq!(copy.entry_count(), self.list.end());
    }
}

/// All ways to read one log.
fn compare_log(view: &LogView, list: &List, size: u64, random: &mut Random) {
    assert_eq!(view.entry_count(), size);
    let items: Vec<&Item> = list.items.iter().filter(|item| item.end <= size).collect();
    for round in 0..4 {
        let mut range = random.below(size + 2)..random.below(size + 2);
        if round == 0 {
            range = 0..u64::MAX;
        }
        let within = |item: &&&Item| range.contains(&item.first);
        let expected = || items.iter().filter(within).copied();
        assert_are_and_lent(expected(), || view.scan(range.clone()).unwrap());
        let reversed = expected().collect::<Vec<_>>().into_iter().rev();
        assert_are_and_lent(reversed, || view.scan_backward(range.clone()).unwrap());
        for stream in 0..=4 {
            let of_stream = || expected().filter(|item| item.stream == stream);
            let scan = |to| view.scan_stream(StreamId(stream), range.clone(), to).unwrap();
            assert_are_and_lent(of_stream(), || scan(Direction::Forward));
            let reversed = of_stream().collect::<Vec<_>>().into_iter().rev();
            assert_are_and_lent(reversed, || scan(Direction::Backward));
        }
        let time = i64::try_from(random.below(102)).unwrap() - 1;
        let size_at = view.size_at(Timestamp::from_micros(time)).unwrap();
        assert_eq!(size_at, list.size_at(time, size), "at {time}");
    }
    for (at, name) in (1..).zip(NAMES) {
        let declared =
            |item: &&&Item| item.kind == Kind::STREAM && item.payload[1..] == *name.as_bytes();
        let stream = items.iter().find(declared).map(|item| StreamId(item.stream));
        assert_eq!(view.find_stream(name).unwrap(), stream, "stream {at}");
    }
    for index in [random.below(size + 1), 0, size.saturating_sub(1), size] {
        let Some(item) = items.iter().find(|item| index < item.end) else {
            assert!(view.entry(index).is_err());
            continue;
        };
        let start = usize::try_from(index - item.first).unwrap() * PART_LEN;
        let part = &item.payload[start..item.payload.len().min(start + PART_LEN)];
        let entry = view.entry(index).unwrap();
        assert!(item.kind == Kind::SEEN || entry.payload().unwrap() == part, "entry {index}");
    }
    compare_proofs(view, size, random);
}

fn compare_proofs(view: &LogView, size: u64, random: &mut Random) {
    let root = view.root().unwrap();
    assert_eq!(view.root_at(size).unwrap(), root);
    assert!(view.root_at(size + 1).is_err());
    for _ in 0..3 {
        let (from, to) = (random.below(size + 1), random.below(size + 1));
        let (from, to) = (from.min(to), from.max(to));
        let (old, new) = (view.root_at(from).unwrap(), view.root_at(to).unwrap());
        assert_eq!(old == new, from == to, "roots of {from} and {to}");
        let proof = view.prove_consistency(from, Some(to)).unwrap();
        proof.verify(&old, &new).unwrap();
        assert!(from == to || proof.verify(&new, &old).is_err());
        if from < to {
            let proof = view.prove_inclusion(from, Some(to)).unwrap();
            proof.verify(&new).unwrap();
            assert!(proof.verify(&old).is_err(), "entry {from} is not among the first {from}");
        }
    }
}

/// All ways to read both logs together.
fn compare_all(client: &Client, other: &Client, random: &mut Random) {
    let workspace = client.open();
    let lists = [(workspace.own_log(), &client.list, client.list.end())];
    let copy = workspace.log(other.open().own_log().id()).ok();
    assert_eq!(copy.as_ref().map_or(0, LogView::entry_count), client.copied);
    let lists: Vec<_> =
        lists.into_iter().chain(copy.map(|view| (view, &other.list, client.copied))).collect();
    for (view, list, size) in &lists {
        compare_log(view, list, *size, random);
    }
    // Each with the place in the canonical order.
    let key = |view: &LogView, item: &Item| (item.lamport, view.client(), view.id(), item.first);
    let merged = |from: &dyn Fn(&LogView) -> u64, to: &dyn Fn(&LogView) -> u64| {
        let all = lists.iter().flat_map(|(view, list, size)| {
            let (from, to) = (from(view), to(view).min(*size));
            let items = list.items.iter().filter(move |item| (from..to).contains(&item.first));
            items.map(move |item| (key(view, item), item))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(key, _)| *key);
        all.into_iter().map(|(_, item)| item).collect::<Vec<_>>()
    };
    let (nothing, everything) = (|_: &LogView| 0, |_: &LogView| u64::MAX);
    assert_are_and_lent(merged(&nothing, &everything), || workspace.merged().unwrap());
    let time = i64::try_from(random.below(100)).unwrap();
    let then = workspace.at(Timestamp::from_micros(time)).unwrap();
    let sizes = |view: &LogView| {
        let (_, list, size) = lists.iter().find(|(known, _, _)| known.id() == view.id()).unwrap();
        list.size_at(time, *size)
    };
    for (view, _, _) in &lists {
        assert_eq!(then.size(view.id()), sizes(view), "at {time}");
    }
    assert_are_and_lent(merged(&sizes, &everything), || workspace.since(&then).unwrap());
    let until = || workspace.merged_between(&Frontier::empty(), Some(&then)).unwrap();
    assert_are_and_lent(merged(&nothing, &sizes), until);
    let name = NAMES[random.place(NAMES.len())];
    let declared = |view: &LogView| view.find_stream(name).unwrap();
    let of_stream = lists.iter().flat_map(|(view, list, size)| {
        let stream = declared(view).map(|stream| stream.0);
        let items = list.items.iter().filter(move |item| item.end <= *size);
        items
            .filter(move |item| Some(item.stream) == stream)
            .map(move |item| (key(view, item), item))
    });
    let mut of_stream: Vec<_> = of_stream.collect();
    of_stream.sort_by_key(|(key, _)| *key);
    let of_stream = of_stream.iter().map(|(_, item)| *item);
    assert_are_and_lent(of_stream, || workspace.merged_stream(name).unwrap());
    let rows: Vec<FrontierRow> = workspace.frontier().unwrap().rows().to_vec();
    let mut expected: Vec<_> = lists.iter().filter(|(_, _, size)| *size > 0).collect();
    expected.sort_by_key(|(view, _, _)| Reverse(view.id()));
    assert_eq!(rows.len(), expected.len());
    for row in rows {
        let (view, list, size) = expected.pop().unwrap();
        let lamport = list.lamport_at(*size);
        let root = view.root().unwrap();
        let (client, log) = (view.client(), view.id());
        assert_eq!(row, FrontierRow { client, log, size: *size, lamport, root });
    }
    assert_seen(&lists[0].0, client, other);
}

/// What *seen* entries say is true.
fn assert_seen(view: &LogView, client: &Client, other: &Client) {
    for item in client.list.items.iter().filter(|item| item.kind == Kind::SEEN) {
        let entry = view.entry(item.first).unwrap();
        let seen = Frontier::decode(entry.payload().unwrap()).unwrap();
        let rows = seen.rows();
        let theirs = other.open().own_log();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].log, rows[0].lamport), (theirs.id(), item.lamport - 1));
        assert_eq!(rows[0].root, theirs.root_at(rows[0].size).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn two_clients_agree_with_two_lists(
        ops in prop::collection::vec(op(), 0..40),
        seed in 0..1_000_u64,
    ) {
        let mut client = Client::new("client", None, seed);
        let mut other = Client::new("other", Some(&client), seed + 1);
        for (number, op) in (seed * 1_000..).step_by(10).zip(ops) {
            match op {
                Op::Append(draft) => client.append(&other.list, &[draft], number).unwrap(),
                Op::Group(drafts) => client.append(&other.list, &drafts, number).unwrap(),
                Op::Commit => client.commit().unwrap(),
                Op::Checkpoint => {
                    client.open().checkpoint().unwrap();
                    client.acknowledged = client.list.end();
                }
                Op::Reopen => {
                    client.workspace.take().unwrap().close().unwrap();
                    client.acknowledged = client.list.end();
                    client.reopen();
                }
                Op::Crash(draft, after, loss) => {
                    client.crash(&other.list, &draft, after, &loss, number);
                }
                Op::Other(draft) => {
                    other.append(&client.list, &[draft], number).unwrap();
                    other.commit().unwrap();
                }
                Op::Export => client.export(&mut other),
                Op::Import => other.export(&mut client),
                Op::Compare(seed) => compare_all(&client, &other, &mut Random::new(seed)),
            }
        }
        let mut random = Random::new(seed);
        compare_all(&client, &other, &mut random);
        client.workspace = None;
        client.acknowledged = client.list.end();
        client.reopen();
        compare_all(&client, &other, &mut random);
        client.export(&mut other);
        compare_all(&other, &client, &mut random);
    }
}

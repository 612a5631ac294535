//! The third pass: what stands behind gaps goes into the new client's log, in the canonical order of all logs (E-9).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, btree_map::Entry},
};

use super::{
    SalvageError, Salvaged, Source,
    carry::changed,
    changes::{Changes, WholeChange},
    frames::Frames,
    report::RenamedStream,
    survey::made_up_name,
};
use crate::{
    bytes::{ClientId, LogId, StreamId},
    entry::{FrontierRow, Kind},
    log::{AppendError, Change, Core, DeclareError, Log, Segment},
    workspace::Frontier,
};

/// Read-ahead of each of the files that are merged.
const READ_AHEAD: usize = 64 << 10;

/// Where a change stands in the canonical order.
type Key = (u64, ClientId, LogId, u64);

/// The changes of one file, or of the replica that was made of its log.
struct Input<'a> {
    /// Position of its log among all.
    log: usize,
    /// Position of the file among those of its log; `None` for the replica.
    file: Option<usize>,
    source: Option<&'a Source>,
    changes: Changes<'a>,
    head: Option<WholeChange>,
}

impl Input<'_> {
    fn advance(&mut self) -> Result<(), SalvageError> {
        self.head = self.changes.next().map_err(|stop| match (self.source, stop) {
            (Some(source), stop) => changed(source, stop).into(),
            (None, super::frames::Stop::Io(error)) => SalvageError::Io(error),
            (None, super::frames::Stop::Unsupported(what)) => SalvageError::Replica(what),
        })?;
        Ok(())
    }
}

/// The new log, and what has been declared in it.
pub(super) struct NewLog<'a> {
    pub(super) log: &'a Log,
    /// What is carried over, of which the first change is to come after all.
    pub(super) frontier: Frontier,
    /// The streams of the files: by log, file and number.
    streams: HashMap<(usize, usize, StreamId), StreamId>,
    has_seen: bool,
}

impl<'a> NewLog<'a> {
    pub(super) fn new(log: &'a Log, rows: Vec<FrontierRow>) -> Self {
        let frontier = Frontier::from(rows);
        Self { log, frontier, streams: HashMap::new(), has_seen: false }
    }

    fn core(&self) -> Result<&'a Core, AppendError> {
        self.log.core.get().map(|core| &**core).ok_or(AppendError::ReadOnly)
    }

    /// Records what was carried over, so that all that follows comes after it (E-8).
    fn see(&mut self) -> Result<(), AppendError> {
        if !self.has_seen && self.frontier.lamport() > 0 {
            let payload = self.frontier.encode();
            let change = Change::new(&payload).of_kind(Kind::SEEN);
            self.core()?.append(&[change], None, Some(self.frontier.lamport()), None)?;
        }
        self.has_seen = true;
        Ok(())
    }

    /// The stream of this name, declared now if it is new.
    fn stream(&self, name: &str) -> Result<StreamId, SalvageError> {
        match self.log.declare_stream(self.core()?, name) {
            Ok((stream, _)) => Ok(stream),
            Err(DeclareError::Append(error)) => Err(error.into()),
            Err(DeclareError::Read(error)) => Err(error.into()),
            Err(error @ (DeclareError::Name { .. } | DeclareError::TooMany)) => {
                Err(SalvageError::Stream { name: name.to_owned(), reason: error.to_string() })
            }
        }
    }
}

/// Appends what of `logs` is not in their replicas. `replicas` are the segments of those that were carried
/// over and that have more than one file.
pub(super) fn append_rest(
    logs: &mut [Salvaged],
    replicas: &BTreeMap<usize, Segment>,
    new: &mut NewLog<'_>,
) -> Result<(), SalvageError> {
    let mut found: Vec<Findings> = logs.iter().map(|_| Findings::default()).collect();
    let mut inputs = inputs(logs, replicas)?;
    let mut heap = BinaryHeap::with_capacity(inputs.len());
    let key = |input: &Input<'_>| -> Option<Key> {
        let head = input.head.as_ref()?;
        let log = &logs[input.log];
        Some((head.lamport, log.client, log.log, head.first))
    };
    for (number, input) in inputs.iter_mut().enumerate() {
        input.advance()?;
        heap.extend(key(input).map(|key| Reverse((key, number))));
    }
    while let Some(Reverse((at, number))) = heap.pop() {
        // All that the files of a log have of one place.
        let mut same = vec![number];
        while let Some(Reverse((_, other))) = heap.peek().filter(|next| next.0.0 == at) {
            same.push(*other);
            heap.pop();
        }
        let mut changes: Vec<(usize, WholeChange)> = Vec::with_capacity(same.len());
        for number in same {
            changes.extend(inputs[number].head.take().map(|change| (number, change)));
            inputs[number].advance()?;
            heap.extend(key(&inputs[number]).map(|key| Reverse((key, number))));
        }
        // What is in the replica comes first, so that it is what the others are compared with; then whoever has forgotten
        // the payload, so that no other brings it back.
        changes.sort_by_key(|(number, change)| {
            let file = inputs[*number].file;
            (file.is_some(), change.payload.is_some(), file)
        });
        for (position, (number, change)) in changes.iter().enumerate() {
            let input = &inputs[*number];
            let log = &logs[input.log];
            let findings = &mut found[input.log];
            if log.sources.len() > 1 && change.end > change.first + 1 {
                findings.whole.push((change.first, change.end, change.lamport));
            }
            let Some(file) = input.file else { continue };
            if changes[..position].iter().any(|(_, known)| known.is(change)) {
                continue;
            }
            if change.first < log.carried.count {
                findings.contradictions.entry(file).or_insert(change.first);
            }
            match &change.payload {
                Some(payload) => append(log, input.log, file, change, payload, new, findings)?,
                None => findings.appended.absent += 1,
            }
        }
    }
    for input in &inputs {
        found[input.log].orphans.extend(&input.changes.orphans);
    }
    drop(inputs);
    for (log, findings) in logs.iter_mut().zip(found) {
        findings.conclude(log);
    }
    Ok(())
}

/// What the third pass finds out about one log.
#[derive(Default)]
struct Findings {
    appended: super::report::Appended,
    renamed: BTreeMap<StreamId, RenamedStream>,
    /// The first change in which a file contradicts the replica.
    contradictions: BTreeMap<usize, u64>,
    orphans: Vec<super::changes::Orphans>,
    /// Changes of several parts that are there: first and last index, Lamport clock of the first part.
    whole: Vec<(u64, u64, u64)>,
}

impl Findings {
    fn conclude(mut self, log: &mut Salvaged) {
        log.appended = self.appended;
        log.renamed = self.renamed.into_values().collect();
        for (file, first) in self.contradictions {
            log.sources[file].contradicts_at = Some(first);
        }
        // One file may have whole what another one has in parts.
        let whole = std::mem::take(&mut self.whole);
        self.orphans.retain(|orphans| {
            !whole.iter().any(|&(first, end, lamport)| {
                (first..end).contains(&orphans.parts.first)
                    && orphans.lamport.checked_sub(orphans.parts.first - first) == Some(lamport)
            })
        });
        log.incomplete = self.orphans.into_iter().map(|orphans| orphans.parts).collect();
        log.incomplete.sort_by_key(|parts| (parts.first, parts.end));
        log.incomplete.dedup();
    }
}

/// One input for each file that has something that was not carried over; of a log with several files all of them,
/// and the replica, so that each change is appended once.
fn inputs<'a>(
    logs: &'a [Salvaged],
    replicas: &'a BTreeMap<usize, Segment>,
) -> Result<Vec<Input<'a>>, SalvageError> {
    let mut inputs = Vec::new();
    for (number, log) in logs.iter().enumerate() {
        let replica = replicas.get(&number);
        // What it has pruned is not brought back by another file.
        let first = replica.map_or(0, |replica| replica.header.first_index);
        let alone = log.sources.len() == 1;
        let mut add = |source: Option<(usize, &'a Source)>, frames, from| {
            inputs.push(Input {
                log: number,
                file: source.map(|(file, _)| file),
                source: source.map(|(_, source)| source),
                changes: Changes::new(log.log, frames, from),
                head: None,
            });
        };
        for (file, source) in log.sources.iter().enumerate() {
            if !alone {
                add(Some((file, source)), source.frames(READ_AHEAD)?, first);
            } else if source.survey.reached() > log.carried.count {
                let frames = source.frames(READ_AHEAD)?;
                let frames = frames.starting_at(source.survey.rest.clone());
                add(Some((file, source)), frames, log.carried.count);
            }
        }
        if let Some(replica) = replica {
            add(None, Frames::new(replica, None, READ_AHEAD)?, first);
        }
    }
    Ok(inputs)
}

fn append(
    log: &Salvaged,
    number: usize,
    file: usize,
    change: &WholeChange,
    payload: &[u8],
    new: &mut NewLog<'_>,
    findings: &mut Findings,
) -> Result<(), SalvageError> {
    new.see()?;
    let stream = if change.stream == StreamId::DEFAULT {
        StreamId::DEFAULT
    } else if let Some(&known) = new.streams.get(&(number, file, change.stream)) {
        known
    } else {
        // The file's own declaration, or that of another one.
        let own = log.sources.get(file).into_iter();
        let mut all = own.chain(&log.sources).map(|source| &source.survey.names);
        let name = all.find_map(|names| names.get(&change.stream.0)).cloned();
        let name = name.unwrap_or_else(|| {
            let name = made_up_name(log.log, change.stream);
            if let Entry::Vacant(entry) = findings.renamed.entry(change.stream) {
                entry.insert(RenamedStream { stream: change.stream.0, name: name.clone() });
            }
            name
        });
        let stream = new.stream(&name)?;
        new.streams.insert((number, file, change.stream), stream);
        stream
    };
    let appended = Change::new(payload).in_stream(stream).at(change.timestamp);
    let assigned = new.core()?.append(&[appended], None, None, None)?;
    let of_log = &mut findings.appended;
    of_log.changes += 1;
    of_log.first.get_or_insert(assigned.first);
    of_log.end = Some(assigned.end);
    Ok(())
}

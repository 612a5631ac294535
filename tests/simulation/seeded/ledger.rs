//! What one log must hold, entry by entry.

use std::{collections::HashMap, ops::Range, sync::Arc};

use annals::{Entry, Hash, Kind, LogView, ReadError, StreamId};

use super::Stop;

/// How many roots are remembered: the latest ones.
const ROOT_COUNT_MAX: usize = 64;
/// Longest payload of one entry (L-1): longer changes are several entries.
const PART_LEN: usize = 1 << 20;

/// A change that is to be appended.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) payload: Arc<[u8]>,
    pub(super) stream: StreamId,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Change(Draft),
    Declaration {
        name: String,
        stream: StreamId,
    },
    Seen,
    /// A control entry that could not be read when it was met.
    Unknown,
}

/// An entry, or the parts of a change.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) first: u64,
    pub(super) end: u64,
    /// Where the atomic group ends that it belongs to.
    pub(super) group_end: u64,
    pub(super) what: What,
}

/// One log as it must be.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    items: Vec<Item>,
    /// Entries that are promised.
    pub(super) acknowledged: u64,
    /// Entries that were compared with what the log gives, since they were last appended.
    compared: u64,
    /// Roots that the log had, by size.
    roots: Vec<(u64, Hash)>,
    declared: Vec<(u64, String, StreamId)>,
    /// What was handed over in calls that failed without saying what became of it.
    open: Vec<Vec<Draft>>,
    /// What was there once: kept if the disk lies, as it may come back.
    history: Option<HashMap<u64, Vec<Item>>>,
}

impl Item {
    /// Why `entry` is not this.
    fn differs(&self, entry: &Entry) -> Option<String> {
        let at = entry.index();
        if at != self.first || entry.end_index() != self.end {
            return Some(format!(
                "entries {at} to {} come where {} to {} should",
                entry.end_index(),
                self.first,
                self.end
            ));
        }
        let is_as_it_should = match &self.what {
            What::Change(draft) => {
                !entry.kind().is_control()
                    && entry.stream() == draft.stream
                    && entry.payload().unwrap() == &draft.payload[..]
            }
            What::Declaration { name, stream } => {
                entry.kind() == Kind::STREAM
                    && entry.stream() == *stream
                    && entry.payload().unwrap().strip_prefix(&[0]) == Some(name.as_bytes())
            }
            What::Seen => entry.kind() == Kind::SEEN,
            What::Unknown => entry.kind().is_control(),
        };
        (!is_as_it_should).then(|| format!("entry {at} is not what was appended"))
    }

    /// A control entry that the engine wrote by itself.
    fn of_control(entry: &Entry) -> Result<Self, String> {
        let what = match entry.kind() {
            Kind::SEEN => What::Seen,
            Kind::STREAM => What::Declaration {
                name: String::from_utf8_lossy(
                    entry.payload().unwrap().get(1..).unwrap_or_default(),
                )
                .into(),
                stream: entry.stream(),
            },
            _ => return Err(format!("entry {} was never appended", entry.index())),
        };
        let (first, end) = (entry.index(), entry.end_index());
        Ok(Self { first, end, group_end: end, what })
    }
}

impl Ledger {
    /// Of a log on a disk that lies.
    pub(super) fn with_history() -> Self {
        Self { history: Some(HashMap::new()), ..Self::default() }
    }

    /// Entries that were appended.
    pub(super) fn end(&self) -> u64 {
        self.items.last().map_or(0, |item| item.end)
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The item that holds this entry.
    pub(super) fn item(&self, index: u64) -> Option<&Item> {
        let at = self.items.partition_point(|item| item.end <= index);
        self.items.get(at)
    }

    /// The id of a stream.
    pub(super) fn declared(&self, name: &str) -> Option<StreamId> {
        let found = self.declared.iter().find(|(_, declared, _)| declared == name);
        found.map(|(_, _, stream)| *stream)
    }

    /// All streams that have a name.
    pub(super) fn streams(&self) -> impl Iterator<Item = (&str, StreamId)> {
        self.declared.iter().map(|(_, name, stream)| (&name[..], *stream))
    }

    pub(super) fn roots(&self) -> &[(u64, Hash)] {
        &self.roots
    }

    fn push(&mut self, item: Item) {
        if let What::Declaration { name, stream } = &item.what {
            self.declared.push((item.first, name.clone(), *stream));
        }
        self.items.push(item);
    }

    fn push_group(&mut self, first: u64, drafts: Vec<Draft>) {
        let parts = |draft: &Draft| draft.payload.len().div_ceil(PART_LEN).max(1) as u64;
        let group_end = first + drafts.iter().map(parts).sum::<u64>();
        let mut first = first;
        for draft in drafts {
            let end = first + parts(&draft);
            self.push(Item { first, end, group_end, what: What::Change(draft) });
            first = end;
        }
    }

    /// Takes in the control entries that the engine wrote by itself before entry `upto`.
    pub(super) fn catch_up(&mut self, view: &LogView, upto: u64) -> Result<(), Stop> {
        for index in self.end()..upto {
            let item = match view.entry(index) {
                Ok(entry) => Item::of_control(&entry).map_err(Stop::Broken)?,
                Err(_) => {
                    Item { first: index, end: index + 1, group_end: index + 1, what: What::Unknown }
                }
            };
            self.push(item);
        }
        Ok(())
    }

    /// Takes in changes that were given these indices.
    pub(super) fn appended(
        &mut self,
        view: &LogView,
        indices: Range<u64>,
        drafts: Vec<Draft>,
    ) -> Result<(), Stop> {
        if indices.start < self.end() {
            let end = self.end();
            return Err(Stop::Broken(format!("index {} is given again, of {end}", indices.start)));
        }
        self.catch_up(view, indices.start)?;
        self.push_group(indices.start, drafts);
        if self.end() == indices.end {
            return Ok(());
        }
        Err(Stop::Broken(format!("{indices:?} were given to entries up to {}", self.end())))
    }

    /// Takes in changes of which nobody knows whether they are there.
    pub(super) fn unknown(&mut self, drafts: Vec<Draft>) {
        self.open.push(drafts);
    }

    /// Notes that so many entries are promised.
    pub(super) fn acknowledge(&mut self, entries: u64) {
        self.acknowledged = self.acknowledged.max(entries);
    }

    /// Notes a root.
    pub(super) fn remember(&mut self, size: u64, root: Hash) {
        if self.roots.last().is_some_and(|(last, _)| *last >= size) {
            return;
        }
        if self.roots.len() == ROOT_COUNT_MAX {
            self.roots.remove(ROOT_COUNT_MAX / 2);
        }
        self.roots.push((size, root));
    }

    pub(super) fn is_boundary(&self, size: u64) -> bool {
        let Some(last) = size.checked_sub(1) else { return true };
        self.item(last).is_some_and(|item| item.end == size && item.group_end == size)
    }

    /// Forgets what comes after `size` entries.
    pub(super) fn truncate(&mut self, size: u64) {
        let kept = self.items.partition_point(|item| item.end <= size);
        let gone = self.items.split_off(kept);
        if let Some(history) = &mut self.history {
            for item in gone {
                history.entry(item.first).or_default().push(item);
            }
        }
        self.declared.retain(|(index, _, _)| *index < size);
        self.roots.retain(|(at, _)| *at <= size);
        self.compared = self.compared.min(size);
        self.acknowledged = self.acknowledged.min(size);
    }

    /// What is void is gone.
    pub(super) fn void_from(&mut self, index: u64) -> Result<(), Stop> {
        if index < self.acknowledged {
            let had = self.acknowledged;
            return Err(Stop::Broken(format!("entry {index} is void, of {had} acknowledged")));
        }
        if index < self.end() {
            if !self.is_boundary(index) {
                return Err(Stop::Broken(format!("a group is void from its entry {index} on")));
            }
            self.truncate(index);
        }
        Ok(())
    }

    /// What a log with `size` entries holds beyond what is known: the groups that were left open.
    fn beyond(&self, view: &LogView, size: u64) -> Result<Self, Stop> {
        let mut rest = Self::default();
        let mut next = self.end();
        let mut open = self.open.iter();
        while next < size {
            let entry = view.entry(next).map_err(Stop::unreadable)?;
            if entry.kind().is_control() {
                rest.push(Item::of_control(&entry).map_err(Stop::Broken)?);
            } else {
                // Which of the groups it is shows when its payloads are compared.
                let found = open.find(|drafts| {
                    drafts.first().is_some_and(|draft| {
                        let part = &draft.payload[..draft.payload.len().min(PART_LEN)];
                        entry.payload().unwrap() == part && entry.stream() == draft.stream
                    })
                });
                let drafts = found
                    .ok_or_else(|| Stop::Broken(format!("entry {next} was never appended")))?;
                rest.push_group(next, drafts.clone());
            }
            next = rest.end();
        }
        Ok(rest)
    }

    /// Whether `size` entries are as many as were promised.
    pub(super) fn check_acknowledged(&self, size: u64) -> Result<(), Stop> {
        let had = self.acknowledged;
        if size >= had {
            return Ok(());
        }
        Err(Stop::Broken(format!("{size} of {had} acknowledged entries are there")))
    }

    /// Whether a log with `size` entries can be this one, short of its contents; what it has beyond what is known.
    pub(super) fn check_size(&self, view: &LogView, size: u64) -> Result<Vec<Item>, Stop> {
        if size <= self.end() {
            if self.is_boundary(size) {
                return Ok(Vec::new());
            }
            return Err(Stop::Broken(format!("it ends inside a group, at {size}")));
        }
        let rest = self.beyond(view, size)?;
        if rest.end() == size {
            return Ok(rest.items);
        }
        Err(Stop::Broken(format!("it ends inside the last group, at {size}")))
    }

    /// Takes over what a log turned out to hold when it was opened for writing.
    pub(super) fn settle(&mut self, view: &LogView, size: u64) -> Result<(), Stop> {
        if self.history.is_some() {
            return self.settle_lied(view, size);
        }
        self.check_acknowledged(size)?;
        let rest = self.check_size(view, size)?;
        self.truncate(size);
        for item in rest {
            self.push(item);
        }
        self.open.clear();
        self.acknowledge(size);
        let from = self.compared.min(size.saturating_sub(8));
        self.compare(view, from..size)?;
        self.compared = size;
        Ok(())
    }

    /// As [`Ledger::settle`] where anything may be missing, and anything that was there may be there again.
    fn settle_lied(&mut self, view: &LogView, size: u64) -> Result<(), Stop> {
        let beyond = if size > self.end() { self.beyond(view, size).ok() } else { None };
        self.truncate(0);
        let history = self.history.get_or_insert_default();
        for item in beyond.into_iter().flat_map(|beyond| beyond.items) {
            history.entry(item.first).or_default().push(item);
        }
        let mut found: Vec<Item> = Vec::new();
        for entry in view.scan(..).map_err(Stop::unreadable)? {
            let entry = entry.map_err(Stop::unreadable)?;
            let known = history.get(&entry.index()).into_iter().flatten();
            let same = known.into_iter().find(|item| item.differs(&entry).is_none());
            let Some(item) = same else {
                return Err(Stop::Broken(format!(
                    "after a lie entry {} is none that ever was",
                    entry.index()
                )));
            };
            found.push(item.clone());
        }
        for item in found {
            self.push(item);
        }
        self.open.clear();
        match self.items.last() {
            Some(last) if last.group_end != size => {
                Err(Stop::Broken(format!("after a lie it ends inside a group, at {size}")))
            }
            _ if self.end() != size => Err(Stop::Refused("entries are missing".to_owned())),
            _ => Ok(()),
        }
    }

    /// Compares a range of entries with what the log gives.
    pub(super) fn compare(&self, view: &LogView, range: Range<u64>) -> Result<(), Stop> {
        let scan = view.scan(range.clone()).map_err(Stop::unreadable)?;
        let from = self.items.partition_point(|item| item.first < range.start);
        let upto = self.items.partition_point(|item| item.first < range.end);
        compare_all(&self.items[from..upto.max(from)], scan)
    }

    /// As [`Ledger::compare`], from the last to the first.
    pub(super) fn compare_backward(&self, view: &LogView, range: Range<u64>) -> Result<(), Stop> {
        let scan = view.scan_backward(range.clone()).map_err(Stop::unreadable)?;
        let from = self.items.partition_point(|item| item.first < range.start);
        let upto = self.items.partition_point(|item| item.first < range.end);
        compare_all(self.items[from..upto.max(from)].iter().rev(), scan)
    }

    /// Whether all of the first `upto` entries that is not lost is served, and nothing else is.
    pub(super) fn compare_damaged(
        &self,
        view: &LogView,
        lost: &[Range<u64>],
        upto: u64,
    ) -> Result<(), Stop> {
        let is_there = |item: &&Item| item.end <= upto && !self.is_of_lost_change(item.first, lost);
        let mut expected = self.items.iter().filter(is_there);
        for entry in view.scan(..upto).map_err(Stop::unreadable)? {
            let entry = match entry {
                Ok(entry) => entry,
                Err(ReadError::Corrupt(damage)) => {
                    let (first, end) = (damage.lost.first, damage.lost.end);
                    let within = |lost: &Range<u64>| {
                        lost.start <= first && end.is_none_or(|end| end <= lost.end)
                    };
                    if lost.iter().any(within) || self.is_of_lost_change(first, lost) {
                        continue;
                    }
                    return Err(Stop::Broken(format!("entries {} should be sound", damage.lost)));
                }
                Err(error) => return Err(Stop::unreadable(error)),
            };
            let Some(item) = expected.next() else {
                return Err(Stop::Broken(format!("entry {} should be lost", entry.index())));
            };
            if let Some(why) = item.differs(&entry) {
                return Err(Stop::Broken(format!("{why}, beside {lost:?} that are lost")));
            }
        }
        match expected.next() {
            Some(item) => Err(Stop::Broken(format!(
                "entry {} is not served, though only {lost:?} are lost",
                item.first
            ))),
            None => Ok(()),
        }
    }

    /// Whether this is a part of a change of which another part is lost.
    fn is_of_lost_change(&self, index: u64, lost: &[Range<u64>]) -> bool {
        self.item(index).is_some_and(|item| {
            lost.iter().any(|lost| lost.start < item.end && item.first < lost.end)
        })
    }
}

fn compare_all<'a>(
    items: impl IntoIterator<Item = &'a Item>,
    scan: impl Iterator<Item = Result<Entry, ReadError>>,
) -> Result<(), Stop> {
    let mut items = items.into_iter();
    for entry in scan {
        let entry = entry.map_err(Stop::unreadable)?;
        let Some(item) = items.next() else {
            return Err(Stop::Broken(format!("entry {} is one too many", entry.index())));
        };
        if let Some(why) = item.differs(&entry) {
            return Err(Stop::Broken(why));
        }
    }
    match items.next() {
        Some(item) => Err(Stop::Broken(format!("entry {} is not given", item.first))),
        None => Ok(()),
    }
}

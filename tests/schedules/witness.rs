//! What each thread was told, and whether it is true of what is on the disk.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use annals::{AppendError, Change, Clock, Options, Ticket, Verdict, Workspace};

use crate::disk::{Image, MemoryDisk};

/// What became of a change, as far as somebody was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// It may be there or not.
    Open,
    /// It is durable as this entry.
    Kept(u64),
    /// It was not stored.
    Void,
}

#[derive(Default)]
struct Notes {
    /// Changes of one thread and number: their group, in order.
    fates: BTreeMap<(u8, u8), (Fate, u8)>,
    /// What would have been left if power had failed when so many entries were acknowledged.
    acknowledged: Vec<(u64, Image)>,
}

/// One workspace in the course of one schedule.
pub(crate) struct Witness {
    pub(crate) disk: MemoryDisk,
    notes: Mutex<Notes>,
}

pub(crate) fn path() -> PathBuf {
    PathBuf::from("/w")
}

pub(crate) fn options() -> Options {
    // The least that there is: 1 KiB in a batch, 64 KiB staged.
    Options::default().clock(Clock::None).batch_len(0).staged_len(0)
}

/// A disk with an empty workspace that was closed.
pub(crate) fn empty_workspace() -> Image {
    crate::model::prepared(|| {
        let disk = MemoryDisk::new(&Image::default());
        disk.arc().create_dir(Path::new("/")).unwrap();
        let workspace = Workspace::create_on(disk.arc(), &path(), options(), None).unwrap();
        workspace.close().unwrap();
        disk.synced()
    })
}

/// The change `position` of a group of `count`, which is number `number` of a thread.
pub(crate) fn payload(thread: u8, number: u8, position: u8, count: u8, len: usize) -> Vec<u8> {
    let mut payload = vec![thread, number, position, count];
    payload.resize(len.max(4), 0);
    payload
}

impl Witness {
    pub(crate) fn new(image: &Image) -> (Self, Workspace) {
        let disk = MemoryDisk::new(image);
        let workspace = Workspace::open_on(disk.arc(), &path(), options()).unwrap();
        (Self { disk, notes: Mutex::default() }, workspace)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, thread: u8, number: u8, fate: Fate, count: u8) {
        self.notes().fates.insert((thread, number), (fate, count));
    }

    /// Somebody was told that so many entries are durable.
    pub(crate) fn acknowledged(&self, entries: u64) {
        let image = self.disk.synced();
        let mut notes = self.notes();
        if notes
            .acknowledged
            .last()
            .is_none_or(|(before, known)| *before < entries || *known != image)
        {
            notes.acknowledged.push((entries, image));
        }
    }

    /// Appends a group of `count` changes, each of `len` bytes.
    pub(crate) fn append<'w>(
        &self,
        workspace: &'w Workspace,
        (thread, number): (u8, u8),
        (count, len): (u8, usize),
    ) -> Result<Ticket<'w>, AppendError> {
        let payloads: Vec<Vec<u8>> =
            (0..count).map(|position| payload(thread, number, position, count, len)).collect();
        let changes: Vec<Change<'_>> =
            payloads.iter().map(|payload| Change::new(payload)).collect();
        self.note(thread, number, Fate::Open, count);
        let ticket = workspace.append_all(&changes);
        match &ticket {
            Ok(ticket) => assert_eq!(ticket.indices().count(), usize::from(count)),
            Err(AppendError::Poisoned(_)) => {}
            Err(_) => self.note(thread, number, Fate::Void, count),
        }
        ticket
    }

    /// The same, and waits until they are durable; says whether they are.
    pub(crate) fn store(
        &self,
        workspace: &Workspace,
        (thread, number): (u8, u8),
        (count, len): (u8, usize),
    ) -> Result<(), AppendError> {
        let ticket = self.append(workspace, (thread, number), (count, len))?;
        match ticket.wait_durable() {
            Ok(progress) => {
                assert!(progress.entries >= ticket.indices().end);
                self.acknowledged(progress.entries);
                self.note(thread, number, Fate::Kept(ticket.index()), count);
                Ok(())
            }
            Err(error) => {
                let is_void = match &error {
                    AppendError::Void => true,
                    AppendError::DiskFull { void_from, .. } => ticket.index() >= *void_from,
                    _ => false,
                };
                if is_void {
                    self.note(thread, number, Fate::Void, count);
                }
                Err(error)
            }
        }
    }

    pub(crate) fn commit(&self, workspace: &Workspace) -> Result<(), AppendError> {
        let entries = workspace.commit()?.entries;
        self.acknowledged(entries);
        Ok(())
    }

    /// Everybody is through: everything that anybody was told must be true, if power fails now as well as if the
    /// process is killed.
    pub(crate) fn judge(&self) {
        let (synced, written) = (self.disk.synced(), self.disk.written());
        let notes = self.notes();
        for (entries, image) in &notes.acknowledged {
            self.look(image, *entries, &BTreeMap::new());
        }
        let entries = notes.acknowledged.iter().map(|(entries, _)| *entries).max().unwrap_or(0);
        self.look(&synced, entries, &notes.fates);
        if written != synced {
            self.look(&written, entries, &notes.fates);
        }
    }

    fn look(&self, image: &Image, entries: u64, fates: &BTreeMap<(u8, u8), (Fate, u8)>) {
        let disk = MemoryDisk::new(image);
        let workspace = Workspace::open_on(disk.arc(), &path(), options()).unwrap();
        assert!(!matches!(workspace.recovered(), Verdict::Damaged), "{:?}", workspace.recovered());
        let log = workspace.own_log();
        let count = log.entry_count();
        assert!(count >= entries, "{entries} entries were acknowledged, {count} are there");
        let mut found = BTreeMap::new();
        let mut before: Option<(Vec<u8>, u64)> = None;
        for (entry, index) in log.scan(..).unwrap().zip(0..) {
            let entry = entry.unwrap();
            assert_eq!(entry.index(), index, "entries are contiguous");
            if entry.kind().is_control() {
                continue;
            }
            let head: [u8; 4] = *entry.payload().unwrap().first_chunk().unwrap();
            let [thread, number, position, count] = head;
            match before.take() {
                Some((last, at)) if last[2] + 1 < last[3] => {
                    let next = [last[0], last[1], last[2] + 1, last[3]];
                    assert_eq!((head, at + 1), (next, index), "a group is in one piece");
                }
                _ => {
                    assert_eq!(position, 0, "a group has a beginning");
                    let twice = found.insert((thread, number), index);
                    assert_eq!(twice, None, "nothing is stored twice");
                    let later = found.range((thread, number + 1)..(thread + 1, 0)).next();
                    assert_eq!(later, None, "a thread's changes stand in its order");
                }
            }
            before = Some((head.to_vec(), index));
            assert!(position < count);
        }
        let is_whole = before.is_none_or(|(last, _)| last[2] + 1 == last[3]);
        assert!(is_whole, "a group has an end");
        for (&(thread, number), &(fate, _)) in fates {
            let at = found.get(&(thread, number)).copied();
            match fate {
                Fate::Open => {}
                Fate::Kept(index) => {
                    assert_eq!(
                        at,
                        Some(index),
                        "change {number} of thread {thread} was acknowledged"
                    );
                }
                Fate::Void => {
                    assert_eq!(at, None, "change {number} of thread {thread} was not stored");
                }
            }
        }
        workspace.close().unwrap();
    }
}

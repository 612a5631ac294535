//! Scans that lend their entries instead of giving them away.
//!
//! An [`Entry`] can be kept, so that it holds on to its batch: for each of them a reference is counted up and
//! down, and some 150 bytes are moved. Where entries are short, that takes longer than to decompress them.

use std::{ops::Range, sync::Arc};

use crate::{
    batch::Batch,
    bytes::{ClientId, LogId, StreamId, Timestamp},
    entry::{EntryHeader, Kind},
    log::{
        entry::Entry,
        read::{ReadError, position_in},
        redactions::Absent,
        scan::{Direction, Filter, Scan},
    },
};

/// An entry that a scan lends: see [`Scan::visit`].
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    client: ClientId,
    lent: Lent<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Lent<'a> {
    /// A whole entry whose payload is there, at this position.
    InBatch(&'a Batch, usize),
    Entry(&'a Entry),
}

impl<'a> EntryRef<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self { client: entry.client(), lent: Lent::Entry(entry) }
    }

    /// Its index; that of its first part if it is a change in several parts.
    #[inline]
    pub fn index(&self) -> u64 {
        match self.lent {
            Lent::InBatch(batch, position) => batch.first_index() + position as u64,
            Lent::Entry(entry) => entry.index(),
        }
    }

    /// The client that wrote it.
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// The log that the entry stands in.
    pub fn log(&self) -> LogId {
        match self.lent {
            Lent::InBatch(batch, _) => batch.header().log(),
            Lent::Entry(entry) => entry.log(),
        }
    }

    /// The application's bytes, or those of a control entry.
    ///
    /// # Errors
    ///
    /// [`Absent`], if the payload was redacted or withheld.
    #[inline]
    pub fn payload(&self) -> Result<&'a [u8], Absent> {
        match self.lent {
            Lent::InBatch(batch, position) => batch.payload(position).ok_or(Absent::Withheld),
            Lent::Entry(entry) => entry.payload(),
        }
    }

    /// The canonical header; that of the first part if there are several.
    #[inline]
    pub fn header(&self) -> EntryHeader {
        match self.lent {
            Lent::InBatch(batch, position) => batch.entry_header(position),
            Lent::Entry(entry) => *entry.header(),
        }
    }

    /// Its Lamport clock.
    #[inline]
    pub fn lamport(&self) -> u64 {
        match self.lent {
            Lent::InBatch(batch, position) => batch.meta().lamport(position),
            Lent::Entry(entry) => entry.lamport(),
        }
    }

    /// Its wall time, if it has one.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.header().timestamp
    }

    /// What it is about.
    pub fn stream(&self) -> StreamId {
        self.header().stream
    }

    /// What it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.lent {
            Lent::InBatch(batch, position) => batch.meta().kind(position),
            Lent::Entry(entry) => entry.kind(),
        }
    }
}

impl Scan {
    /// Shows each entry to `look`, without giving it away: where entries are short, some times as fast as the
    /// iterator. The order and the entries are the same.
    ///
    /// Ends at the first error, of the scan or of `look`.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]; and what `look` returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::{Options, ReadError, Workspace};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let workspace = Workspace::create(folder.path().join("w"), Options::default())?;
    /// for word in ["one", "two", "three"] {
    ///     workspace.append(word.as_bytes())?;
    /// }
    /// let mut len = 0;
    /// workspace.own_log().scan(..)?.visit(|entry| {
    ///     len += entry.payload().map_or(0, <[u8]>::len);
    ///     Ok::<(), ReadError>(())
    /// })?;
    /// assert_eq!(len, 11);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn visit<E: From<ReadError>>(
        mut self,
        mut look: impl FnMut(EntryRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let filter = self.filter;
        while let Some(head) = self.next_head_unfiltered() {
            let mut head = head?;
            loop {
                let entry = head.lend();
                if filter == Filter::Everything || filter.wants(&entry.header()) {
                    look(entry)?;
                }
                if !head.step() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What comes next, to be lent: an entry that the filter wants, or a run of which it may want none.
    fn next_head_unfiltered(&mut self) -> Option<Result<Head, ReadError>> {
        // In most batches all entries are whole and there. Everything else is the iterator's business.
        match self.take_run() {
            Some(run) => Some(Ok(Head::Run(run))),
            None => self.next().map(|item| item.map(Head::Entry)),
        }
    }

    /// Takes what is left of the batch that the scan stands in, if it goes forward and all of that is simple.
    fn take_run(&mut self) -> Option<Run> {
        let batch = self.batch.as_ref().filter(|batch| batch.meta().is_plain())?;
        let end = batch.end_index().min(self.rest.end).min(self.file_end);
        let is_here = batch.indices().contains(&self.rest.start) && self.rest.start < end;
        if self.direction != Direction::Forward || !is_here {
            return None;
        }
        let first_index = batch.first_index();
        let positions = position_in(batch, self.rest.start)..position_in(batch, end);
        let run = Run { client: self.log.client(), batch: Arc::clone(batch), positions };
        self.rest.start = first_index + run.positions.end as u64;
        Some(run)
    }

    /// What comes next, to be lent.
    pub(crate) fn next_head(&mut self) -> Option<Result<Head, ReadError>> {
        match self.filter {
            Filter::Everything => self.next_head_unfiltered(),
            _ => self.next().map(|item| item.map(Head::Entry)),
        }
    }
}

/// Entries of one batch that are whole and there.
#[derive(Debug)]
pub(crate) struct Run {
    client: ClientId,
    batch: Arc<Batch>,
    positions: Range<usize>,
}

impl Run {
    #[inline]
    fn lend(&self) -> Option<EntryRef<'_>> {
        let lent = Lent::InBatch(&self.batch, self.positions.start);
        (!self.positions.is_empty()).then_some(EntryRef { client: self.client, lent })
    }

    #[inline]
    fn step(&mut self) {
        self.positions.start += 1;
    }
}

/// What a scan that is merged with others stands at.
#[derive(Debug)]
pub(crate) enum Head {
    /// At least one entry.
    Run(Run),
    Entry(Entry),
}

impl Head {
    /// The entry that is next.
    #[inline]
    pub(crate) fn lend(&self) -> EntryRef<'_> {
        match self {
            Self::Run(run) => run.lend().expect("a run that is kept has entries"),
            Self::Entry(entry) => EntryRef::of(entry),
        }
    }

    /// Goes on behind it; says whether there is more.
    #[inline]
    pub(crate) fn step(&mut self) -> bool {
        match self {
            Self::Run(run) => {
                run.step();
                !run.positions.is_empty()
            }
            Self::Entry(_) => false,
        }
    }
}

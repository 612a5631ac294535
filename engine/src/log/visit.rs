//! Scans that lend their entries instead of giving them away.
//!
//! An [`Entry`] can be kept, so that it holds on to its batch: for each of them a reference is counted up and
//! down, and some 150 bytes are moved. Where entries are short, that takes longer than to decompress them.

use std::{ops::Range, sync::Arc};

use crate::{
    batch::Batch,
    bytes::{StreamId, Timestamp},
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
pub struct EntryRef<'a>(Lent<'a>);

#[derive(Clone, Copy, Debug)]
enum Lent<'a> {
    /// A whole entry whose payload is there, at this position.
    InBatch(&'a Batch, usize),
    Entry(&'a Entry),
}

impl<'a> EntryRef<'a> {
    /// Its index; that of its first part if it is a change in several parts.
    #[inline]
    pub fn index(&self) -> u64 {
        match self.0 {
            Lent::InBatch(batch, position) => batch.first_index() + position as u64,
            Lent::Entry(entry) => entry.index(),
        }
    }

    /// The application's bytes, or those of a control entry.
    ///
    /// # Errors
    ///
    /// [`Absent`], if the payload was redacted or withheld.
    #[inline]
    pub fn payload(&self) -> Result<&'a [u8], Absent> {
        match self.0 {
            Lent::InBatch(batch, position) => batch.payload(position).ok_or(Absent::Withheld),
            Lent::Entry(entry) => entry.payload(),
        }
    }

    /// The canonical header; that of the first part if there are several.
    #[inline]
    pub fn header(&self) -> EntryHeader {
        match self.0 {
            Lent::InBatch(batch, position) => batch.entry_header(position),
            Lent::Entry(entry) => *entry.header(),
        }
    }

    /// Its Lamport clock.
    pub fn lamport(&self) -> u64 {
        self.header().lamport
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
        match self.0 {
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
        loop {
            // In most batches all entries are whole and there. Everything else is the iterator's business.
            if let Some((batch, indices)) = self.plain_run() {
                for index in indices {
                    let position = position_in(&batch, index);
                    if self.filter == Filter::Everything
                        || self.filter.wants(&batch.entry_header(position))
                    {
                        look(EntryRef(Lent::InBatch(&batch, position)))?;
                    }
                }
            }
            match self.next() {
                Some(Ok(entry)) => look(EntryRef(Lent::Entry(&entry)))?,
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            }
        }
    }

    /// Takes what is left of the batch that the scan stands in, if it goes forward and all of that is simple.
    fn plain_run(&mut self) -> Option<(Arc<Batch>, Range<u64>)> {
        let batch = self.batch.as_ref().filter(|batch| batch.meta().is_plain())?;
        let end = batch.end_index().min(self.rest.end).min(self.file_end);
        if self.direction != Direction::Forward || !batch.indices().contains(&self.rest.start) {
            return None;
        }
        let indices = self.rest.start..end.max(self.rest.start);
        self.rest.start = indices.end;
        Some((Arc::clone(batch), indices))
    }
}

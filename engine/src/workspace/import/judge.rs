//! Reading a bundle: each log is verified while its batches are withheld.

use std::{collections::VecDeque, io::Read, sync::Arc};

use super::{ImportError, ImportReport, ImportedLog, withheld::Withheld};
use crate::{
    batch::{Batch, Decoder},
    bundle::{BundleError, BundleReader, BundleRow, BundledLog, Record},
    bytes::{Hash, LogId},
    entry::FrontierRow,
    log::{
        AppendError, BatchRefused, INDEX_PART_LEN_MAX, Log, LogState, OpenAs, ReadError,
        ReplayError,
    },
    merkle::SaltTree,
    workspace::{HinderedLog, Hindrance, Inner, LogSlot, open, segment_path},
};

/// Why the batches of a log are not taken.
pub(super) enum Obstacle {
    /// Nothing of the bundle is.
    Bundle(ImportError),
    /// The log is damaged here; the others are nobody's concern.
    Here(Hindrance),
}

impl<E: Into<ImportError>> From<E> for Obstacle {
    fn from(error: E) -> Self {
        match error.into() {
            ImportError::Read(error) => match Hindrance::of(error) {
                Ok(hindrance) => Self::Here(hindrance),
                Err(error) => Self::Bundle(error.into()),
            },
            error => Self::Bundle(error),
        }
    }
}

/// A log of the bundle that was read to its end.
struct Through<'a> {
    report: ImportedLog,
    /// What is new of it.
    withheld: Option<Withheld<'a>>,
}

/// An import that is under way. What it still withholds when it is dropped is taken back.
pub(super) struct Judge<'a> {
    inner: &'a Inner,
    /// How much more may be kept for the indexes, in bytes.
    room: usize,
    logs: VecDeque<Through<'a>>,
    refused: Vec<HinderedLog>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(inner: &'a Inner) -> Self {
        Self { inner, room: INDEX_PART_LEN_MAX, logs: VecDeque::new(), refused: Vec::new() }
    }

    /// Reads the bundle to its end.
    pub(super) fn read<R: Read>(
        &mut self,
        reader: &mut BundleReader<R>,
    ) -> Result<(), ImportError> {
        let rows = reader.rows().to_vec();
        let in_folder = open::list_logs(&*self.inner.disk, &self.inner.path)?;
        for row in &rows {
            let has_file = in_folder.contains(&row.row.log);
            match self.check_row(row, has_file) {
                Err(Obstacle::Here(_)) if row.from == row.row.size => {}
                Err(Obstacle::Here(reason)) => self.refuse(&row.row, reason),
                Err(Obstacle::Bundle(error)) => return Err(error),
                Ok(()) => {}
            }
        }
        let mut record = reader.next_record()?;
        loop {
            record = match record {
                Record::End => return Ok(()),
                Record::Batch(_) => {
                    let (offset, what) = (reader.offset(), "a batch before its log");
                    return Err(BundleError::Damaged { offset, what }.into());
                }
                Record::Log(bundled) => {
                    let row = rows.iter().find(|row| row.row.log == bundled.log);
                    let row = row.ok_or(ImportError::Malformed {
                        log: bundled.log,
                        what: "not in the frontier",
                    })?;
                    self.read_log(reader, &bundled, row)?
                }
            };
        }
    }

    /// Refuses a row that contradicts what is here, or starts behind it.
    fn check_row(&self, row: &BundleRow, has_file: bool) -> Result<(), Obstacle> {
        let BundleRow { row, from } = *row;
        let carries = from < row.size;
        let log = match self.known(row.log) {
            // Nothing is created in the place of a file.
            None if has_file => self.open_unknown(row.log).map_err(Obstacle::Here)?,
            None if from > 0 && !carries => {
                return Err(ImportError::Gap { log: row.log, from, size: 0 }.into());
            }
            // Entries before may have been pruned: the log's record tells.
            None => return Ok(()),
            Some(log) => log,
        };
        if log.client() != row.client {
            let what = "the bundle says that it is of another client";
            return Err(ImportError::Malformed { log: row.log, what }.into());
        }
        let damage = log.blocking_damage();
        let size = match &damage {
            Some(_) => log.view.read().state.entry_count(),
            None => log.root_at(None)?.0,
        };
        if row.size <= size {
            let ours = match log.root_at(Some(row.size)) {
                // Nobody here can tell any more.
                Err(ReadError::Pruned { .. }) => row.root,
                ours => ours?.1,
            };
            if ours != row.root {
                return Err(self.contradiction(&log, row.size, ours, row.root).into());
            }
            return Ok(());
        }
        match damage {
            Some(damage) if carries => Err(Obstacle::Here(damage.into())),
            None if from > size => Err(ImportError::Gap { log: row.log, from, size }.into()),
            _ => Ok(()),
        }
    }

    fn known(&self, log: LogId) -> Option<Arc<Log>> {
        self.inner.logs.read().get(&log).map(|slot| slot.now())
    }

    /// Opens a log whose segment is in the folder and was not usable when the workspace was opened, or was not there:
    /// as after an import that could do all but that.
    fn open_unknown(&self, log: LogId) -> Result<Arc<Log>, Hindrance> {
        let Inner { disk, path, metadata, cache, .. } = self.inner;
        let opened = open::open_log(disk, path, metadata, log, cache, OpenAs::Writer);
        let opened = opened.map_err(|error| {
            let (path, reason) = (segment_path(path, log), error.to_string());
            Hindrance::Unreadable { path, reason }
        })?;
        let slot = LogSlot::new(Arc::clone(&opened.log));
        self.inner.logs.write().insert(log, slot);
        Ok(opened.log)
    }

    fn is_own(&self, log: LogId) -> bool {
        log == self.inner.metadata.log
    }

    fn refuse(&mut self, row: &FrontierRow, reason: Hindrance) {
        let sound = self.known(row.log).map_or(0, |log| log.view.read().state.entry_count());
        let client = Some(row.client);
        self.refused.push(HinderedLog { log: row.log, client, size: sound, reason });
    }

    fn contradiction(&self, log: &Log, size: u64, ours: Hash, theirs: Hash) -> ImportError {
        ImportError::Contradiction { log: log.id(), own: self.is_own(log.id()), size, ours, theirs }
    }

    /// Takes one log to its end; returns the record behind its batches.
    fn read_log<R: Read>(
        &mut self,
        reader: &mut BundleReader<R>,
        bundled: &BundledLog,
        row: &BundleRow,
    ) -> Result<Record, ImportError> {
        if self.refused.iter().any(|refused| refused.log == bundled.log) {
            return pass_over(reader, &row.row, row.from);
        }
        let mut batches = Batches { reader, row: row.row, reached: row.from };
        let mut withheld = None;
        match self.read_batches(&mut batches, bundled, &mut withheld) {
            Ok((report, record)) => {
                if let Some(withheld) = &mut withheld {
                    self.room = withheld.rest(self.room);
                }
                self.logs.push_back(Through { report, withheld });
                record
            }
            Err(Obstacle::Here(reason)) => {
                // Damage shows before the first new batch, or where the log is opened for it.
                let reached = batches.reached;
                self.refuse(&row.row, reason);
                pass_over(reader, &row.row, reached)
            }
            Err(Obstacle::Bundle(error)) => {
                withheld.map_or(Ok(()), Withheld::take_back)?;
                Err(error)
            }
        }
    }

    /// The inner result is the record behind the batches, or the bundle's end where it came too early.
    #[allow(clippy::type_complexity, reason = "used here only")]
    fn read_batches<R: Read>(
        &self,
        batches: &mut Batches<'_, R>,
        bundled: &BundledLog,
        withheld: &mut Option<Withheld<'a>>,
    ) -> Result<(ImportedLog, Result<Record, ImportError>), Obstacle> {
        let (id, row) = (bundled.log, batches.row);
        let known = self.known(id);
        let base = match &known {
            Some(log) => Some(base_of(log)?),
            None => None,
        };
        if let Some(log) = &known {
            let (from, theirs) = (bundled.peaks.size(), bundled.peaks.root(&log.keys));
            self.compare(log, from, log.root_at(Some(from)).map(|(_, ours)| ours), theirs)?;
        }
        let from = bundled.peaks.size();
        if known.is_none() && from > 0 && bundled.prune_record.is_none() {
            return Err(ImportError::Gap { log: id, from, size: 0 }.into());
        }
        let lender = SaltTree::decode(&bundled.salt_record)
            .map_err(|_| ImportError::Malformed { log: id, what: "malformed salt record" })?;
        let before = base.as_ref().map_or(bundled.peaks.size(), LogState::entry_count);
        let through = |after: u64| {
            let restored = if self.is_own(id) { after - before } else { 0 };
            ImportedLog { client: bundled.client, log: id, before, after, restored }
        };
        let mut published = before;
        let mut decoder = Decoder::new();
        loop {
            let count = withheld.as_ref().map_or(before, Withheld::entry_count);
            let bytes = match batches.reader.next_record() {
                Ok(Record::Batch(bytes)) => bytes,
                Ok(record) => {
                    let in_group = withheld.as_ref().is_some_and(Withheld::in_group);
                    if count < row.size || in_group {
                        let what = "batches are missing";
                        return Err(ImportError::Malformed { log: id, what }.into());
                    }
                    if let Some(withheld) = withheld
                        && withheld.root() != row.root
                    {
                        let (own, size) = (self.is_own(id), row.size);
                        let (ours, theirs) = (withheld.root(), row.root);
                        return Err(ImportError::Contradiction {
                            log: id,
                            own,
                            size,
                            ours,
                            theirs,
                        }
                        .into());
                    }
                    return Ok((through(count), Ok(record)));
                }
                Err(truncated @ BundleError::Truncated { .. }) => {
                    if let Some(withheld) = withheld {
                        withheld.drop_incomplete_group()?;
                    }
                    let count = withheld.as_ref().map_or(before, Withheld::entry_count);
                    return Ok((through(count), Err(truncated.into())));
                }
                Err(error) => return Err(error.into()),
            };
            let batch =
                decoder.decode(&bytes).map_err(|error| ImportError::Batch { log: id, error })?;
            if batch.header().log() != id
                || batch.end_index() > row.size
                || batch.first_index() > count
            {
                let what = "a batch out of order";
                return Err(ImportError::Malformed { log: id, what }.into());
            }
            batches.reached = batch.end_index();
            if batch.end_index() > count && withheld.is_none() {
                let room = self.room;
                let new = match (&known, &base) {
                    (Some(log), Some(base)) if self.is_own(id) => {
                        Withheld::of_own(self.inner, log, base.clone(), &lender)?
                    }
                    (Some(log), _) => Withheld::of_replica(self.inner, log, room, &lender)?,
                    (None, _) => Withheld::of_new(self.inner, bundled, room, &lender)?,
                };
                published = new.entry_count();
                *withheld = Some(new);
            }
            match (&known, withheld.as_mut()) {
                (_, Some(withheld)) if batch.end_index() > withheld.entry_count() => {
                    let appended = withheld.append(&batch, &bytes);
                    appended.map_err(|error| {
                        self.refused(id, known.as_deref(), base.as_ref(), &batch, error)
                    })?;
                }
                (Some(log), _) if batch.end_index() <= published => {
                    let ours = log.peaks_at(batch.end_index()).map(|peaks| peaks.root(&log.keys));
                    self.compare(log, batch.end_index(), ours, batch.header().root())?;
                }
                _ => {
                    let what = "a batch comes twice";
                    return Err(ImportError::Malformed { log: id, what }.into());
                }
            }
        }
    }

    /// What is here already must be the same. If that cannot be seen because of damage here, the end tells: the root
    /// of the first new batch, or that of the row, covers it.
    fn compare(
        &self,
        log: &Log,
        size: u64,
        ours: Result<Hash, ReadError>,
        theirs: Hash,
    ) -> Result<(), ImportError> {
        match ours {
            Ok(ours) if ours == theirs => Ok(()),
            Ok(ours) => Err(self.contradiction(log, size, ours, theirs)),
            Err(ReadError::Corrupt(_) | ReadError::Pruned { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn refused(
        &self,
        log: LogId,
        known: Option<&Log>,
        base: Option<&LogState>,
        batch: &Batch,
        error: BatchRefused,
    ) -> Obstacle {
        let error = match (error, known.zip(base)) {
            (BatchRefused::Io(error), _) => ImportError::Io(error),
            // The checksums of the bundle were right: this is another history.
            (BatchRefused::Replay(ReplayError::Root { expected, .. }), Some((known, base))) => {
                ImportError::Diverged {
                    log,
                    own: self.is_own(log),
                    size: base.entry_count(),
                    ours: base.peaks.root(&known.keys),
                    their_size: batch.end_index(),
                    theirs: expected,
                }
            }
            (BatchRefused::Replay(error), _) => ImportError::Refused { log, error },
        };
        Obstacle::Bundle(error)
    }

    /// Leaves the own log as it is.
    pub(super) fn drop_own(&mut self) -> Result<(), ImportError> {
        let own = self.inner.metadata.log;
        let Some(at) = self.logs.iter().position(|through| through.report.log == own) else {
            return Ok(());
        };
        let withheld = self.logs.remove(at).and_then(|through| through.withheld);
        withheld.map_or(Ok(()), Withheld::take_back)
    }

    /// Makes what was withheld durable, shows it, and says what it is.
    pub(super) fn take_in(mut self) -> Result<ImportReport, ImportError> {
        // Whoever closes the workspace waits for this, and nothing is taken in afterwards.
        let _closing = self.inner.closing.lock();
        if self.inner.is_closed() {
            self.take_back()?;
            return Err(AppendError::ReadOnly.into());
        }
        // Only the own log can have gone on meanwhile: then nothing is taken in.
        let own = self.inner.metadata.log;
        if let Some(through) = self.logs.iter_mut().find(|through| through.report.log == own)
            && let Some(withheld) = through.withheld.take()
        {
            withheld.take_in()?;
        }
        let mut report = ImportReport::default();
        while let Some(Through { report: log, withheld }) = self.logs.pop_front() {
            if let Some(withheld) = withheld {
                withheld.take_in()?;
            } else if self.known(log.log).is_none() {
                // The bundle ended before its first batch: what it says of the log proves nothing.
                continue;
            }
            report.entries += log.after - log.before;
            report.logs.push(log);
        }
        report.refused = std::mem::take(&mut self.refused);
        Ok(report)
    }

    /// Takes back what was withheld: of each log, even if another one fails.
    pub(super) fn take_back(&mut self) -> Result<(), ImportError> {
        let withheld = self.logs.drain(..).filter_map(|through| through.withheld);
        withheld.map(Withheld::take_back).fold(Ok(()), Result::and)
    }
}

/// The batches of one log.
struct Batches<'a, R> {
    reader: &'a mut BundleReader<R>,
    row: FrontierRow,
    /// The index behind the last batch.
    reached: u64,
}

/// What is known here of a log, all of it in the file.
fn base_of(log: &Log) -> Result<LogState, Obstacle> {
    if let Some(core) = log.core.get() {
        core.flush()?;
    }
    // What was just written may stand in a generation that came meanwhile.
    Ok(log.latest().view.read().state.clone())
}

/// Reads the batches of a log of which nothing is taken in; returns the record behind them.
///
/// What they say of the log cannot be compared with anything; that they are whole and follow each other can be seen.
fn pass_over<R: Read>(
    reader: &mut BundleReader<R>,
    row: &FrontierRow,
    mut reached: u64,
) -> Result<Record, ImportError> {
    let log = row.log;
    let mut decoder = Decoder::new();
    loop {
        let bytes = match reader.next_record()? {
            Record::Batch(bytes) => bytes,
            _ if reached < row.size => {
                return Err(ImportError::Malformed { log, what: "batches are missing" });
            }
            record => return Ok(record),
        };
        let batch = decoder.decode(&bytes).map_err(|error| ImportError::Batch { log, error })?;
        let follows = batch.first_index() <= reached && batch.end_index() <= row.size;
        if batch.header().log() != log || !follows {
            return Err(ImportError::Malformed { log, what: "a batch out of order" });
        }
        reached = reached.max(batch.end_index());
    }
}

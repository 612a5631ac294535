//! Healing a damaged log from replicas: what is sound here stays, what is lost is fetched, and all of
//! it is proven against every root that is still here before the next generation takes the place of the
//! damaged one.

use std::{ops::Range, path::Path, sync::Arc};

use super::{
    CheckError,
    replica::{Replica, Supply},
    sound::{Sound, SoundError},
};
use crate::{
    batch::{Batch, BatchError, Decoder},
    bytes::{Hash, LogId},
    error::{IoContext as _, IoError},
    io::{Access, Disk},
    log::{BatchRefused, Beginning, NextGeneration, ReplayError, Segment, SegmentHeader, save_cut},
};

/// What came of an attempt to heal a log.
pub(super) enum Outcome {
    /// The log is whole again.
    Healed {
        /// Ranges of entries that came from replicas.
        fetched: Vec<Range<u64>>,
        /// Entries of the log now.
        entry_count: u64,
    },
    /// Nothing was changed, for this reason.
    Left(String),
}

/// Why healing stops, with nothing changed.
enum Stop {
    Io(IoError),
    Reason(String),
}

impl From<IoError> for Stop {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

impl From<SoundError> for Stop {
    fn from(error: SoundError) -> Self {
        match error {
            SoundError::Io(error) => Self::Io(error),
            SoundError::Unsupported(what) => Self::Reason(what),
        }
    }
}

impl From<BatchError> for Stop {
    fn from(error: BatchError) -> Self {
        Self::Reason(format!("a replica hands out a malformed batch: {error}"))
    }
}

impl From<ReplayError> for Stop {
    fn from(error: ReplayError) -> Self {
        Self::Reason(format!("what a replica hands out does not continue the log: {error}"))
    }
}

/// A log to heal.
pub(super) struct Patient<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) path: &'a Path,
    pub(super) log: LogId,
    /// `None` if its head cannot be used, or the file is missing.
    pub(super) segment: Option<Segment>,
    /// Entries that there were, says whatever is left.
    pub(super) known_count: u64,
    /// The highest generation that readers may have seen.
    pub(super) generation: u64,
}

impl Patient<'_> {
    /// Writes the next generation from what is sound here and from the replicas. Cost: reads, hashes and writes the
    /// whole log.
    ///
    /// `progress` is told how much of the damaged file was read, and how long it is.
    pub(super) fn heal(
        &self,
        replicas: &[Replica],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Outcome, CheckError> {
        match self.try_heal(replicas, progress) {
            Ok(outcome) => Ok(outcome),
            Err(Stop::Reason(reason)) => Ok(Outcome::Left(reason)),
            Err(Stop::Io(error)) => Err(error.into()),
        }
    }

    fn try_heal(
        &self,
        replicas: &[Replica],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Outcome, Stop> {
        let mut supplies = Vec::new();
        for replica in replicas {
            let unreadable = |reason| Stop::Reason(format!("{}: {reason}", replica.path.display()));
            supplies.extend(replica.supply(self.log).map_err(unreadable)?);
        }
        let Some(header) = self.header(&supplies)? else {
            return Err(Stop::Reason("none of the replicas given has this log".to_owned()));
        };
        let salts = match &self.segment {
            Some(segment) => segment.salts.clone(),
            None => supplies[0].salts.clone(),
        };
        let mut own = self.segment.as_ref().map(Sound::new).transpose()?;
        let opening = own.as_ref().map_or(1, |own| own.opening().saturating_add(1));
        let pruned = match &self.segment {
            Some(segment) => segment.pruned.clone(),
            None => supplies[0].pruned.clone(),
        };
        let own_salts = salts.clone();
        let beginning = Beginning { pruned, ..Beginning::new(header, salts, opening) };
        let mut next = NextGeneration::create(self.disk, self.path, beginning)?;
        let mut fetched: Vec<Range<u64>> = Vec::new();
        let mut decoder = Decoder::new();
        loop {
            let index = next.entry_count();
            let mut bytes = None;
            if let Some(own) = &mut own {
                while let Some((frame, payload)) = own.pass_to(index)? {
                    next.copy_frame(&frame, &payload)?;
                }
                bytes = own.batch_with(index)?;
                progress(own.offset(), own.len());
            }
            let is_own = bytes.is_some();
            let Some((bytes, number)) =
                bytes.map_or_else(|| fetch(&mut supplies, index), |own| Ok(Some((own, None))))?
            else {
                break;
            };
            let batch = decoder.decode(&bytes)?;
            if batch.header().log() != self.log || !batch.header().indices().contains(&index) {
                return Err(Stop::Reason("a replica hands out batches of another log".to_owned()));
            }
            if let Some(own) = &mut own {
                prove(&mut next, &batch, own)?;
            }
            let end = batch.end_index();
            let lender = number.map_or(&own_salts, |number| &supplies[number].salts);
            next.append(&batch, &bytes, lender).map_err(|error| match error {
                BatchRefused::Io(error) => Stop::Io(error),
                BatchRefused::Replay(ReplayError::Root { expected, found }) => {
                    contradiction(end, expected, found)
                }
                BatchRefused::Replay(error) => error.into(),
            })?;
            if !is_own {
                match fetched.last_mut().filter(|last| last.end == index) {
                    Some(last) => last.end = end,
                    None => fetched.push(index..end),
                }
            }
        }
        let (reached, entry_count) = (next.entry_count(), next.boundary_count());
        if entry_count < self.known_count {
            return Err(Stop::Reason(format!(
                "entry {reached} is in none of the replicas given, and there were {} entries",
                self.known_count
            )));
        }
        self.save_what_goes(own, entry_count)?;
        next.install().map_err(IoError::from)?;
        Ok(Outcome::Healed { fetched, entry_count })
    }

    /// The header of the next generation; `None` if neither the segment nor a replica has one.
    fn header(&self, supplies: &[Supply]) -> Result<Option<SegmentHeader>, Stop> {
        let Some(supply) = supplies.first() else { return Ok(None) };
        let here = self.segment.as_ref().map_or(0, |segment| segment.header.generation);
        let generation = here.max(self.generation).checked_add(1);
        let generation = generation
            .ok_or_else(|| Stop::Reason("its generation is the highest there is".to_owned()))?;
        if let Some(segment) = &self.segment {
            let header = SegmentHeader { generation, carried_upto: 0, ..segment.header.clone() };
            return Ok(Some(header));
        }
        let log = &supply.log;
        let mut salt = [0; 16];
        self.disk.fill_random(&mut salt).context(self.path, "draw random numbers for")?;
        let header = SegmentHeader {
            generation,
            created: log.created,
            predecessor: log.predecessor,
            ..SegmentHeader::new(supply.workspace, log.client, log.log, salt)
        };
        Ok(Some(header))
    }

    /// Saves the bytes that are in no sound frame of the first `entry_count` entries.
    fn save_what_goes(&self, own: Option<Sound<'_>>, entry_count: u64) -> Result<(), Stop> {
        let (file, stretches) = match (&self.segment, own) {
            (Some(segment), Some(own)) => {
                (Arc::clone(&segment.file), own.into_left_out(entry_count)?)
            }
            _ => match self.disk.open(self.path, Access::Read) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                file => {
                    let file = file.context(self.path, "open")?;
                    let len = file.len().context(self.path, "read the length of")?;
                    (file, std::iter::once(0..len).collect())
                }
            },
        };
        for stretch in stretches.into_iter().filter(|stretch| !stretch.is_empty()) {
            let mut random = [0; 8];
            self.disk.fill_random(&mut random).context(self.path, "draw random numbers for")?;
            save_cut(&**self.disk, self.path, &*file, stretch, u64::from_le_bytes(random))?;
        }
        Ok(())
    }
}

/// The batch that holds the entry `index`, from whichever replica has it, and the number of that one.
#[allow(clippy::type_complexity, reason = "used here only")]
fn fetch(supplies: &mut [Supply], index: u64) -> Result<Option<(Vec<u8>, Option<usize>)>, IoError> {
    for (number, supply) in supplies.iter_mut().enumerate() {
        if let Some(bytes) = supply.batch_with(index)? {
            return Ok(Some((bytes, Some(number))));
        }
    }
    Ok(None)
}

/// Compares `batch`, the next one, with what the damaged file says of the sizes in it.
fn prove(next: &mut NextGeneration, batch: &Batch, own: &mut Sound<'_>) -> Result<(), Stop> {
    let (from, end) = (next.entry_count(), batch.end_index());
    for (size, root) in own.roots_within(from, end)? {
        // Whether the batch leads to the root that it names is seen when it is appended.
        let found =
            if size == end { batch.header().root() } else { next.root_within(batch, size)? };
        if found != root {
            return Err(contradiction(size, root, found));
        }
    }
    Ok(())
}

fn contradiction(size: u64, expected: Hash, found: Hash) -> Stop {
    Stop::Reason(format!(
        "the replica contradicts this log: the root of {size} entries is {expected} here, and {found} with what the \
         replica has"
    ))
}

//! The second pass: the sound prefix of a log, from all files that have something of it, becomes a replica.

use std::{path::Path, sync::Arc};

use super::{
    SalvageError, Source,
    frames::{Frames, Step, Stop},
};
use crate::{
    batch::Decoder,
    bytes::Hash,
    error::{IoContext as _, IoError},
    frame::{FrameHeader, FrameKind},
    io::Disk,
    log::{BatchRefused, Beginning, NextGeneration, READ_AHEAD_LONG, SegmentHeader},
    merkle::SaltTree,
    workspace::{Options, segment_path},
};

/// What of a log was carried over.
pub(super) struct Carried {
    pub(super) count: u64,
    pub(super) root: Option<Hash>,
}

/// The batches of one file in the order of their entries.
struct Batches<'a> {
    frames: Frames<'a>,
    current: Option<FrameHeader>,
}

impl Batches<'_> {
    /// The encoded batch that holds the entry `index`, if it is sound. Asked for in ascending order.
    fn with(&mut self, index: u64) -> Result<Option<&[u8]>, Stop> {
        loop {
            if let Some(header) = &self.current {
                if header.kind == FrameKind::BATCH && header.end_index() > index {
                    if header.first_index > index {
                        return Ok(None);
                    }
                    let header = *header;
                    return Ok(Some(self.frames.payload(&header)?));
                }
                self.frames.pass(header);
                self.current = None;
            }
            match self.frames.next()? {
                Step::Frame(header) => self.current = Some(header),
                Step::Break(_) => {}
                Step::End => return Ok(None),
            }
        }
    }
}

/// Writes the replica of the log that `sources` have, the best one first. Each entry is hashed, and each batch has to
/// give the root that it names.
pub(super) fn carry(
    disk: &Arc<dyn Disk>,
    into: &Path,
    sources: &[Source],
    progress: &mut dyn FnMut(u64),
) -> Result<Carried, SalvageError> {
    let nothing = Carried { count: 0, root: None };
    let Some(best) = sources.first().filter(|best| best.survey.prefix > 0) else {
        return Ok(nothing);
    };
    let old = &best.found.segment.header;
    let path = segment_path(into, old.log);
    let mut salt = [0; 16];
    disk.fill_random(&mut salt).context(&path, "draw random numbers for")?;
    // Another segment of the same log, as an import would make it (G-6).
    let header = SegmentHeader {
        align_log2: Options::default().align_log2(),
        created: old.created,
        predecessor: old.predecessor,
        ..SegmentHeader::new(old.workspace, old.client, old.log, salt)
    };
    let salts: SaltTree = best.found.segment.salts.clone();
    let pruned = best.found.segment.pruned.clone();
    let beginning = Beginning { pruned, ..Beginning::new(header, salts, 1) };
    let mut next = NextGeneration::create(disk, &path, beginning)?;
    let mut batches = Vec::with_capacity(sources.len());
    for source in sources {
        batches.push(Batches { frames: source.frames(READ_AHEAD_LONG)?, current: None });
    }
    let mut decoder = Decoder::new();
    'entries: loop {
        let index = next.entry_count();
        for (number, batches) in batches.iter_mut().enumerate() {
            // What can be read of it was read before: that it stopped since is an error of the disk.
            let found = batches.with(index).map_err(|stop| changed(&sources[number], stop))?;
            let Some(bytes) = found else { continue };
            let Ok(batch) = decoder.decode(bytes) else { continue };
            if batch.header().log() != old.log || !batch.header().indices().contains(&index) {
                continue;
            }
            match next.append(&batch, bytes, &sources[number].found.segment.salts) {
                Ok(()) => {
                    if number == 0 {
                        progress(batches.frames.place().offset);
                    }
                    continue 'entries;
                }
                Err(BatchRefused::Io(error)) => return Err(error.into()),
                // The batch is unsound, or of another history than what comes before it.
                Err(BatchRefused::Replay(_)) => {}
            }
        }
        break;
    }
    let count = next.boundary_count();
    if count == 0 {
        return Ok(nothing);
    }
    next.install().map_err(IoError::from)?;
    Ok(Carried { count, root: None })
}

pub(super) fn changed(source: &Source, stop: Stop) -> IoError {
    match stop {
        Stop::Io(error) => error,
        Stop::Unsupported(what) => {
            IoError::new(source.found.path(), "read again", std::io::Error::other(what))
        }
    }
}

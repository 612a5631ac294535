//! Bundles out: what another workspace lacks (section 11).
//!
//! A bundle says at its start how far each log goes. So what it is to carry is read and checked before the first byte
//! of it is written: a log that turns out to be damaged goes as far as it is sound, and keeps no other from being
//! sent.

use std::{io::Write, path::Path};

use super::{
    Frontier, HinderedLog, Hindrance, Workspace,
    frontier::{row_at, sound_row},
    open::log_of,
};
use crate::{
    batch::{Batch, BatchDraft, Decoder, Encoder, set_continues},
    bundle::{BundleRow, BundleWriter, BundledLog},
    bytes::{Hash, LogId},
    entry::FrontierRow,
    error::IoContext as _,
    frame::FrameKind,
    log::{AppendError, Log, Place, READ_AHEAD_LONG, ReadError, Step, WRITER},
};

/// Why a bundle was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// What is here cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was appended could not be made durable; nothing leaves the device before it is.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The bundle could not be written.
    #[error("cannot write the bundle: {0}")]
    Io(#[from] std::io::Error),
    /// The receiver's frontier contradicts this workspace: one of the two has a fork.
    #[error("log {log}: the given root of its first {size} entries is {theirs}, here it is {ours}")]
    Contradiction {
        /// The log.
        log: LogId,
        /// The size at which they differ.
        size: u64,
        /// The root here.
        ours: Hash,
        /// The root in the frontier.
        theirs: Hash,
    },
}

/// What was exported.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct ExportReport {
    /// Logs with entries in the bundle.
    pub logs: u64,
    /// Entries in the bundle.
    pub entries: u64,
    /// Length of the bundle in bytes.
    pub bytes: u64,
    /// Logs that are damaged here: the bundle holds of them what comes before the damage, or nothing. To somebody who
    /// has what is damaged, and more, it brings what comes behind, if its place in the tree can be proven from the
    /// index.
    pub cut: Vec<HinderedLog>,
}

impl Workspace {
    /// Writes a bundle with what somebody lacks who has `since`; with everything for the empty frontier.
    ///
    /// What it carries is durable here before it is written. Streams: memory does not grow with its length. What it
    /// carries is read twice: at first to see that it is sound, as the bundle begins with how far each log goes. Logs
    /// that are damaged go as far as that, and are named in the report ([`ExportReport::cut`]).
    ///
    /// # Errors
    ///
    /// See [`ExportError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::{Frontier, Options, Workspace};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let laptop = Workspace::create(folder.path().join("laptop"), Options::default())?;
    /// let phone = Workspace::join(folder.path().join("phone"), laptop.id(), Options::default())?;
    /// laptop.append(b"written on the laptop")?;
    ///
    /// let mut bundle = Vec::new();
    /// laptop.export(&phone.frontier()?, &mut bundle)?;
    /// phone.import(&bundle[..])?;
    /// assert_eq!(phone.logs_of(laptop.client())?[0].entry(0)?.payload()?, b"written on the laptop");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn export(&self, since: &Frontier, out: impl Write) -> Result<ExportReport, ExportError> {
        let slots: Vec<_> = self.inner.logs.read().values().cloned().collect();
        let sizes: Vec<u64> = slots.iter().map(|slot| slot.now().readable_size()).collect();
        if self.inner.lock.is_some() {
            // Nothing leaves the device before it is durable, and recorded as such.
            self.checkpoint()?;
        }
        // Only now: a generation that came meanwhile has in its file what was staged before.
        let logs = slots.iter().map(|slot| slot.now()).zip(sizes);
        let mut report = ExportReport { cut: self.unreadable(), ..ExportReport::default() };
        let mut planned = Vec::new();
        for (log, size) in logs {
            let known = since.row(log.id()).filter(|known| known.size > 0);
            let (row, hindrance) = plan(&log, size, known)?;
            if let Some(reason) = hindrance {
                let size = row.map_or(0, |row| row.row.size);
                let (log, client) = (log.id(), Some(log.client()));
                report.cut.push(HinderedLog { client, log, size, reason });
            }
            planned.extend(row.map(|row| (log, row)));
        }
        let rows: Vec<BundleRow> = planned.iter().map(|(_, row)| *row).collect();
        let mut bundle = [0; 16];
        self.inner.disk.fill_random(&mut bundle)?;
        let mut writer = BundleWriter::new(out, self.id(), bundle, WRITER)?;
        writer.frontier(&rows)?;
        for (log, row) in planned.iter().filter(|(_, row)| row.from < row.row.size) {
            export_log(log, row, &mut writer)?;
            report.logs += 1;
            report.entries += row.row.size - row.from;
        }
        report.bytes = writer.finish()?;
        Ok(report)
    }
    /// The logs that are in the folder and cannot be used.
    fn unreadable(&self) -> Vec<HinderedLog> {
        let unreadable = self.inner.unreadable.lock();
        let logs = unreadable.iter().filter_map(|unreadable| {
            let name = unreadable.path.file_name().map(Path::new)?.to_str()?;
            let (path, reason) = (unreadable.path.clone(), unreadable.error.to_string());
            let reason = Hindrance::Unreadable { path, reason };
            Some(HinderedLog { client: None, log: log_of(name)?, size: 0, reason })
        });
        logs.collect()
    }
}

/// What a bundle is to hold of the first `size` entries of a log, for somebody who has `known` of it, and why it is
/// less than there should be.
fn plan(
    log: &Log,
    size: u64,
    known: Option<&FrontierRow>,
) -> Result<(Option<BundleRow>, Option<Hindrance>), ExportError> {
    if let Some(known) = known.filter(|known| known.size <= size) {
        let ours = match log.root_at(Some(known.size)) {
            Ok((_, ours)) => ours,
            // Who has less than what is left here is told so below.
            Err(ReadError::Pruned { .. }) => known.root,
            Err(error) => return Ok((None, Some(Hindrance::of(error)?))),
        };
        if ours != known.root {
            return Err(ExportError::Contradiction {
                log: log.id(),
                size: known.size,
                ours,
                theirs: known.root,
            });
        }
    }
    let from = known.map_or_else(|| log.first_index(), |known| known.size).min(size);
    if from > 0
        && let Err(error) = log.check_pruned(from)
    {
        return Ok((None, Some(Hindrance::of(error)?)));
    }
    let (end, damage) = sound_end(log, from, size)?;
    let damage = damage.or_else(|| log.blocking_damage().map(Hindrance::from));
    if end == from {
        if known.is_none() && from > 0 {
            // All that there was is pruned: somebody who has nothing of it can be given nothing.
            return Ok((None, damage));
        }
        let row = sound_row(log, end)?;
        return Ok((row.map(|row| BundleRow { row, from: from.min(row.size) }), damage));
    }
    match row_at(log, end) {
        Ok(row) => Ok((Some(BundleRow { row, from }), damage)),
        Err(error) => Ok((None, Some(Hindrance::of(error)?))),
    }
}

/// How far the entries from `from` to `size` are sound, up to the end of a group; and what is behind that. Decodes
/// them: what leaves the device was checked.
fn sound_end(log: &Log, from: u64, size: u64) -> Result<(u64, Option<Hindrance>), ReadError> {
    let mut end = from;
    let mut walk = || {
        if from == size {
            return Ok(());
        }
        let (mut frames, first) = log.frame_with(from)?;
        frames.set_read_ahead(READ_AHEAD_LONG);
        let mut decoder = Decoder::new();
        let mut at = Place { offset: first.offset, index: first.first_index };
        while at.index < size {
            let frame = match log.next_frame(&mut frames, at)? {
                Step::Frame(frame) => frame,
                Step::Damage(error, _) => return Err(error),
                Step::End => return Err(log.out_of_range(at.index)),
            };
            if frame.kind == FrameKind::BATCH {
                log.decode(&mut frames, &frame, &mut decoder)?;
                if !frame.continues {
                    end = frame.end_index();
                }
            }
            at = log.behind(&frame);
        }
        Ok(())
    };
    match walk() {
        Ok(()) => Ok((end, None)),
        Err(error) => Ok((end, Some(Hindrance::of(error)?))),
    }
}

/// Writes the batches of one log from `row.from` to `row.row.size`.
fn export_log<W: Write>(
    log: &Log,
    row: &BundleRow,
    writer: &mut BundleWriter<W>,
) -> Result<(), ExportError> {
    let header = &log.header;
    writer.log(&BundledLog {
        client: header.client,
        log: header.log,
        created: header.created,
        predecessor: header.predecessor,
        peaks: log.peaks_at(row.from)?,
        salt_record: log.salts.encode(),
        prune_record: log
            .pruned
            .as_ref()
            .filter(|record| record.size() == row.from)
            .map(|record| record.encode(&log.keys)),
    })?;
    let (mut frames, first) = log.frame_with(row.from)?;
    frames.set_read_ahead(READ_AHEAD_LONG);
    let mut at = Place { offset: first.offset, index: first.first_index };
    while at.index < row.row.size {
        let frame = match log.next_frame(&mut frames, at)? {
            Step::Frame(frame) => frame,
            Step::Damage(error, _) => return Err(error.into()),
            Step::End => return Err(log.out_of_range(at.index).into()),
        };
        at = log.behind(&frame);
        if frame.kind != FrameKind::BATCH {
            continue;
        }
        if frame.first_index < row.from {
            let batch = log.decode(&mut frames, &frame, &mut Decoder::new())?;
            writer.batch(&rest_of(log, &batch, row.from))?;
            continue;
        }
        // Sent as it is. It was decoded a moment ago; its checksum says that it is the same.
        let payload = frames.payload(&frame).context(&log.path, "read").map_err(ReadError::Io)?;
        let payload = payload.map_err(|fault| {
            log.corruption(frame.offset, (frame.first_index..frame.end_index()).into(), fault)
        })?;
        writer.batch(payload)?;
    }
    Ok(())
}

/// The entries of a batch from `from` on, as a batch of their own.
fn rest_of(log: &Log, batch: &Batch, from: u64) -> Vec<u8> {
    let known =
        usize::try_from(from - batch.first_index()).expect("a batch is smaller than memory");
    let mut draft = BatchDraft::default();
    draft.extend_from(batch, known);
    let mut out = Vec::new();
    Encoder::new(1).encode_draft(log.id(), from, &draft, batch.header().root(), &mut out);
    if batch.header().continues() {
        set_continues(&mut out);
    }
    out
}

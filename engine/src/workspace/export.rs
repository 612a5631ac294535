//! Bundles out: what another workspace lacks (section 11).

use std::io::Write;

use super::{Frontier, Workspace};
use crate::{
    batch::{Decoder, Encoder, set_continues},
    bundle::{BundleRow, BundleWriter, BundledLog},
    bytes::{Hash, LogId},
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
}

impl Workspace {
    /// Writes a bundle with what somebody lacks who has `since`; with everything for the empty frontier.
    ///
    /// What it carries is durable here before it is written. Streams: memory does not grow with its length.
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
    /// assert_eq!(phone.logs_of(laptop.client())?[0].entry(0)?.payload(), b"written on the laptop");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn export(&self, since: &Frontier, out: impl Write) -> Result<ExportReport, ExportError> {
        let mut rows = Vec::new();
        // Of a replica what an import has appended is not durable, nor decided upon, before it is through.
        let own = self.inner.own.id();
        let frontier = self.frontier_of(|log| {
            let size = log.readable_size();
            let core = log.core.get().filter(|_| log.id() != own);
            Ok(core.map_or(size, |core| size.min(core.durable().entries)))
        })?;
        if self.inner.lock.is_some() {
            // Nothing leaves the device before it is durable, and recorded as such.
            self.checkpoint()?;
        }
        for row in frontier.rows() {
            let known = since.row(row.log).copied().filter(|known| known.size > 0);
            let from = known.map_or(0, |known| known.size).min(row.size);
            if let Some(known) = known.filter(|known| known.size <= row.size) {
                let ours = self.log(row.log)?.root_at(known.size)?;
                if ours != known.root {
                    return Err(ExportError::Contradiction {
                        log: row.log,
                        size: known.size,
                        ours,
                        theirs: known.root,
                    });
                }
            }
            rows.push(BundleRow { row: *row, from });
        }
        let mut bundle = [0; 16];
        self.inner.disk.fill_random(&mut bundle)?;
        let mut writer = BundleWriter::new(out, self.id(), bundle, WRITER)?;
        writer.frontier(&rows)?;
        let mut report = ExportReport::default();
        for row in rows.iter().filter(|row| row.from < row.row.size) {
            let log = self.log(row.row.log)?.log;
            export_log(&log, row, &mut writer)?;
            report.logs += 1;
            report.entries += row.row.size - row.from;
        }
        report.bytes = writer.finish()?;
        Ok(report)
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
        salt_record: header.salt_record.clone(),
    })?;
    let (mut frames, first) = log.frame_with(row.from)?;
    frames.set_read_ahead(READ_AHEAD_LONG);
    let mut decoder = Decoder::new();
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
        // Decoded although it is sent as it is: what leaves the device was checked.
        let batch = log.decode(&mut frames, &frame, &mut decoder)?;
        let payload = frames.payload(&frame).context(&log.path, "read").map_err(ReadError::Io)?;
        let payload = payload.map_err(|fault| {
            log.corruption(frame.offset, (frame.first_index..frame.end_index()).into(), fault)
        })?;
        if frame.first_index >= row.from {
            writer.batch(payload)?;
        } else {
            let known = usize::try_from(row.from - frame.first_index)
                .expect("a batch is smaller than memory");
            let headers: Vec<_> = batch.entries().skip(known).map(|(header, _)| header).collect();
            let payloads: Vec<u8> =
                batch.entries().skip(known).flat_map(|(_, payload)| payload).copied().collect();
            let mut out = Vec::new();
            Encoder::new(1).encode(
                header.log,
                row.from,
                &headers,
                &payloads,
                batch.header().root(),
                &mut out,
            );
            if batch.header().continues() {
                set_continues(&mut out);
            }
            writer.batch(&out)?;
        }
    }
    Ok(())
}

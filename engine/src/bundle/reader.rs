//! Reading bundles: every byte is checked before it is believed.

use std::io::{self, Read};

use super::{
    BundleRow, BundledLog, END_LEN, FLAG_CRITICAL, HEADER_LEN, HEADER_MAGIC, KIND_BATCH, KIND_END,
    KIND_FRONTIER, KIND_LOG, KIND_PRUNED, RECORD_HEADER_LEN, RECORD_MAGIC, VERSION_MAJOR,
};
use crate::{
    bytes::{DecodeError, Hash, Reader, SaltedCrc, WorkspaceId, crc},
    frame::FRAME_PAYLOAD_LEN_MAX,
};

/// Why bytes are not a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Reading failed.
    #[error("cannot read the bundle: {0}")]
    Io(#[from] io::Error),
    /// Not a bundle at all.
    #[error("not an Annals bundle (wrong magic)")]
    Foreign,
    /// Written by a later version.
    #[error("the bundle was written by {writer:?} in a format that this version cannot read")]
    Unsupported {
        /// The program that wrote it.
        writer: String,
    },
    /// A record of a later version that must not be skipped.
    #[error("the bundle holds a record of unknown kind {kind} at byte {offset}")]
    UnknownKind {
        /// Its kind.
        kind: u8,
        /// Its offset in the bundle.
        offset: u64,
    },
    /// The bundle ends before its end record. What came before is sound.
    #[error("the bundle ends too early, at byte {offset}: get the rest and import it again")]
    Truncated {
        /// Its length.
        offset: u64,
    },
    /// Bytes are wrong.
    #[error("the bundle is damaged at byte {offset}: {what}")]
    Damaged {
        /// Offset of the record.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
}

/// A record of a bundle.
#[derive(Debug)]
pub enum Record {
    /// A log follows, with its batches.
    Log(Box<BundledLog>),
    /// An encoded batch of the last log.
    Batch(Vec<u8>),
    /// The bundle is complete, and all of it was sound.
    End,
}

/// Reads one bundle, record by record.
#[derive(Debug)]
pub struct BundleReader<R> {
    input: R,
    workspace: WorkspaceId,
    crc: SaltedCrc,
    hasher: blake3::Hasher,
    offset: u64,
    sequence: u64,
    rows: Vec<BundleRow>,
    /// Rows with entries, in the order in which their logs must come.
    pending: std::vec::IntoIter<BundleRow>,
    /// What comes next, if it was read to see whether it belongs to the log before.
    ahead: Option<Result<RawRecord, BundleError>>,
}

/// A record whose checksums are right.
#[derive(Debug)]
struct RawRecord {
    offset: u64,
    kind: u8,
    payload: Vec<u8>,
    /// Of all that comes before it.
    hash_before: blake3::Hasher,
}

impl<R: Read> BundleReader<R> {
    /// Reads the header and the frontier.
    ///
    /// # Errors
    ///
    /// See [`BundleError`].
    pub fn new(mut input: R) -> Result<Self, BundleError> {
        let mut header = [0; HEADER_LEN];
        let filled = fill(&mut input, &mut header)?;
        if !HEADER_MAGIC.starts_with(&header[..filled.min(HEADER_MAGIC.len())]) {
            return Err(BundleError::Foreign);
        }
        if filled < HEADER_LEN {
            return Err(BundleError::Truncated { offset: filled as u64 });
        }
        let (workspace, bundle) = decode_header(&header)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header);
        let mut this = Self {
            input,
            workspace,
            crc: SaltedCrc::new(&bundle),
            hasher,
            offset: HEADER_LEN as u64,
            sequence: 0,
            rows: Vec::new(),
            pending: Vec::new().into_iter(),
            ahead: None,
        };
        let (offset, kind, payload) = this.record()?;
        if kind != KIND_FRONTIER {
            return Err(BundleError::Damaged {
                offset,
                what: "the first record is not the frontier",
            });
        }
        this.rows = BundleRow::decode_all(&payload).map_err(malformed(offset))?;
        let with_entries = this.rows.iter().filter(|row| row.from < row.row.size);
        this.pending = with_entries.copied().collect::<Vec<_>>().into_iter();
        Ok(this)
    }

    /// The workspace of the bundle.
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// What the bundle says that it holds.
    pub fn rows(&self) -> &[BundleRow] {
        &self.rows
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record, checked as far as it can be without the log.
    ///
    /// # Errors
    ///
    /// See [`BundleError`].
    pub fn next_record(&mut self) -> Result<Record, BundleError> {
        let ahead = self.ahead.take();
        let RawRecord { offset, kind, payload, hash_before } =
            ahead.unwrap_or_else(|| self.raw_record())?;
        match kind {
            KIND_LOG => {
                let row = self.pending.next().ok_or(BundleError::Damaged {
                    offset,
                    what: "a log that the frontier does not name",
                })?;
                let mut log = BundledLog::decode(&payload, row.from).map_err(malformed(offset))?;
                if log.log != row.row.log || log.client != row.row.client {
                    return Err(BundleError::Damaged { offset, what: "a log out of order" });
                }
                match self.raw_record() {
                    Ok(RawRecord { kind: KIND_PRUNED, payload, .. }) => {
                        log.prune_record = Some(payload);
                    }
                    ahead => self.ahead = Some(ahead),
                }
                Ok(Record::Log(Box::new(log)))
            }
            KIND_BATCH => Ok(Record::Batch(payload)),
            KIND_END => {
                self.check_end(offset, &payload, &hash_before)?;
                Ok(Record::End)
            }
            _ => Err(BundleError::Damaged { offset, what: "a record in a wrong place" }),
        }
    }

    fn raw_record(&mut self) -> Result<RawRecord, BundleError> {
        let hash_before = self.hasher.clone();
        let (offset, kind, payload) = self.record()?;
        Ok(RawRecord { offset, kind, payload, hash_before })
    }

    fn check_end(
        &mut self,
        offset: u64,
        payload: &[u8],
        hasher: &blake3::Hasher,
    ) -> Result<(), BundleError> {
        let damaged = |what| BundleError::Damaged { offset, what };
        if payload.len() != END_LEN || payload[..8] != (self.sequence - 1).to_le_bytes() {
            return Err(damaged("the number of records is wrong"));
        }
        let hash = Hash::from_bytes(hasher.finalize().into());
        if payload[8..] != hash.as_bytes()[..] {
            return Err(damaged("the hash of the bundle is wrong"));
        }
        if self.pending.next().is_some() {
            return Err(damaged("a log of the frontier is missing"));
        }
        if fill(&mut self.input, &mut [0])? != 0 {
            return Err(BundleError::Damaged { offset: self.offset, what: "bytes follow the end" });
        }
        Ok(())
    }

    /// The next record whose kind this version knows: its offset, kind and payload.
    fn record(&mut self) -> Result<(u64, u8, Vec<u8>), BundleError> {
        loop {
            let offset = self.offset;
            let mut header = [0; RECORD_HEADER_LEN];
            self.fill_or_truncated(&mut header)?;
            let (kind, critical, payload_len, payload_crc) = self.decode_record(&header, offset)?;
            let mut payload = vec![0; payload_len];
            self.fill_or_truncated(&mut payload)?;
            if self.crc.crc(&payload) != payload_crc {
                return Err(BundleError::Damaged { offset, what: "bad payload checksum" });
            }
            self.sequence += 1;
            match kind {
                KIND_FRONTIER..=KIND_PRUNED => return Ok((offset, kind, payload)),
                kind if critical => return Err(BundleError::UnknownKind { kind, offset }),
                _ => {}
            }
        }
    }

    fn decode_record(
        &self,
        header: &[u8; RECORD_HEADER_LEN],
        offset: u64,
    ) -> Result<(u8, bool, usize, u32), BundleError> {
        let damaged = |what| BundleError::Damaged { offset, what };
        let mut reader = Reader::new(header);
        let mut decode = || {
            let magic: [u8; 4] = reader.array()?;
            let kind = reader.u8()?;
            let flags = reader.u8()?;
            reader.zeros(2)?;
            let sequence = reader.u64()?;
            let payload_len = reader.u32()?;
            let payload_crc = reader.u32()?;
            reader.zeros(4)?;
            Ok::<_, DecodeError>((
                magic,
                kind,
                flags,
                sequence,
                payload_len,
                payload_crc,
                reader.u32()?,
            ))
        };
        let fields = decode().map_err(malformed(offset))?;
        let (magic, kind, flags, sequence, payload_len, payload_crc, header_crc) = fields;
        if magic != RECORD_MAGIC || header_crc != self.crc.crc(&header[..RECORD_HEADER_LEN - 4]) {
            return Err(damaged("bad record header"));
        }
        if sequence != self.sequence {
            return Err(damaged("a record out of sequence"));
        }
        if payload_len > FRAME_PAYLOAD_LEN_MAX || flags > FLAG_CRITICAL {
            return Err(damaged("malformed record header"));
        }
        Ok((kind, flags & FLAG_CRITICAL != 0, payload_len as usize, payload_crc))
    }

    fn fill_or_truncated(&mut self, bytes: &mut [u8]) -> Result<(), BundleError> {
        let filled = fill(&mut self.input, bytes)?;
        self.offset += filled as u64;
        if filled < bytes.len() {
            return Err(BundleError::Truncated { offset: self.offset });
        }
        self.hasher.update(bytes);
        Ok(())
    }
}

fn decode_header(header: &[u8; HEADER_LEN]) -> Result<(WorkspaceId, [u8; 16]), BundleError> {
    let damaged = BundleError::Damaged { offset: 0, what: "bad bundle header" };
    if header[HEADER_LEN - 4..] != crc(&header[..HEADER_LEN - 4]).to_le_bytes() {
        return Err(damaged);
    }
    let mut reader = Reader::new(header);
    let mut decode = || {
        reader.take(HEADER_MAGIC.len())?;
        let major = reader.u16()?;
        reader.u16()?;
        let reserved = reader.u32()?;
        reader.u64()?;
        let incompatible = reader.u64()?;
        let workspace = WorkspaceId::from_bytes(reader.array()?);
        let bundle = reader.array()?;
        let writer = String::from_utf8_lossy(reader.take(24)?).trim_end_matches('\0').to_owned();
        Ok::<_, DecodeError>((major, incompatible, reserved, workspace, bundle, writer))
    };
    let (major, incompatible, reserved, workspace, bundle, writer) =
        decode().map_err(malformed(0))?;
    if major != VERSION_MAJOR || incompatible != 0 {
        return Err(BundleError::Unsupported { writer });
    }
    if reserved != 0 {
        return Err(damaged);
    }
    Ok((workspace, bundle))
}

fn malformed(offset: u64) -> impl Fn(DecodeError) -> BundleError {
    move |_| BundleError::Damaged { offset, what: "malformed record" }
}

/// Reads until `bytes` are full or the input ends.
fn fill(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

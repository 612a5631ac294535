//! The sound frames of one file, over all gaps: what each of the three passes walks on.

use std::{collections::BTreeMap, io};

use crate::{
    error::{IoContext as _, IoError},
    frame::{FrameHeader, FrameKind},
    log::{FrameFault, FrameReader, HEAD_LEN, Segment, Slot, follows},
};

/// What comes next in a file.
pub(super) enum Step {
    /// A frame whose checksums are right and that counts. It is passed with [`Frames::pass`], or refused.
    Frame(FrameHeader),
    /// Bytes that are in no sound frame. They were passed.
    Break(Break),
    End,
}

/// A stretch of a file without a sound frame.
#[derive(Clone, Debug)]
pub(super) struct Break {
    pub(super) offset: u64,
    /// Index of the first entry that is lost.
    pub(super) first: u64,
    /// Index behind the last one; `None` if nothing behind it tells.
    pub(super) end: Option<u64>,
    pub(super) cause: String,
}

/// Why a file cannot be walked on.
pub(super) enum Stop {
    Io(IoError),
    /// Only a later version can.
    Unsupported(String),
}

impl From<IoError> for Stop {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

/// Where a walk is. A walk can be taken up again from a copy.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// Entries before, lost ones included.
    pub(super) entries: u64,
    link: u32,
    opening: u32,
    /// Opening of the last frame before the first break, once there was one.
    break_opening: Option<u32>,
    /// The frame here was found by R-2: it need not follow what was before.
    found: Option<u64>,
}

impl Place {
    fn start(segment: &Segment) -> Self {
        Self {
            offset: HEAD_LEN,
            entries: segment.header.first_index,
            link: segment.header.link_seed(),
            opening: 0,
            break_opening: None,
            found: None,
        }
    }
}

/// A place without a sound frame in sequence.
struct Bad {
    cause: String,
    /// The header, if that is sound and in sequence.
    frame: Option<FrameHeader>,
    /// Where the search for the next frame begins.
    from: u64,
}

/// Walks the sound frames of one file, once.
pub(super) struct Frames<'a> {
    segment: &'a Segment,
    reader: FrameReader,
    limit: u64,
    at: Place,
    /// Frames whose checksums hold and whose batches do not, by their offsets.
    refused: BTreeMap<u64, String>,
    /// Highest `synced_upto` that counts.
    synced_upto: u64,
    /// What the last search found, and from where it began.
    ahead: Option<(u64, Option<FrameHeader>)>,
}

impl<'a> Frames<'a> {
    /// From the first frame on, up to the end of the file or to `limit`.
    pub(super) fn new(
        segment: &'a Segment,
        limit: Option<u64>,
        read_ahead: usize,
    ) -> Result<Self, IoError> {
        let len = segment.file.len().context(&segment.path, "read the length of")?;
        let limit = limit.unwrap_or(len).min(len);
        let file = segment.file.clone();
        Ok(Self {
            segment,
            reader: FrameReader::new(file, segment.header.frames(), limit, read_ahead),
            limit,
            at: Place::start(segment),
            refused: BTreeMap::new(),
            synced_upto: HEAD_LEN,
            ahead: None,
        })
    }

    /// From another place on.
    pub(super) fn starting_at(mut self, place: Place) -> Self {
        self.at = place;
        self
    }

    /// With frames that are known not to count.
    pub(super) fn refusing(mut self, refused: BTreeMap<u64, String>) -> Self {
        self.refused = refused;
        self
    }

    pub(super) fn place(&self) -> &Place {
        &self.at
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn synced_upto(&self) -> u64 {
        self.synced_upto
    }

    pub(super) fn into_refused(self) -> BTreeMap<u64, String> {
        self.refused
    }

    /// Whether there are only zeros from `offset` on.
    pub(super) fn is_zero_from(&mut self, mut offset: u64) -> Result<bool, IoError> {
        while offset < self.limit {
            let len = self.reader.read_ahead();
            let bytes = self.reader.bytes(offset, len).context(&self.segment.path, "read")?;
            if bytes.is_empty() || bytes.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            offset += bytes.len() as u64;
        }
        Ok(true)
    }

    /// The next sound frame, which stays the next one until it is passed or refused.
    pub(super) fn next(&mut self) -> Result<Step, Stop> {
        if self.at.offset >= self.limit {
            return Ok(Step::End);
        }
        let judged = self.judge().context(&self.segment.path, "read")?;
        let header = match judged {
            Ok(header) => header,
            Err(bad) => return Ok(Step::Break(self.pass_over(bad)?)),
        };
        if header.is_refused() {
            return Err(Stop::Unsupported(format!(
                "the frame at byte {} is of a kind that this version does not know",
                header.offset
            )));
        }
        Ok(Step::Frame(header))
    }

    /// The payload of the frame that [`Frames::next`] gave.
    pub(super) fn payload(&mut self, header: &FrameHeader) -> Result<&[u8], IoError> {
        let path = &self.segment.path;
        let payload = self.reader.payload(header).context(path, "read")?;
        // It was sound a moment ago: a file that reads differently each time is none to rely on.
        payload.map_err(|fault| IoError::new(path, "read again", io::Error::other(fault)))
    }

    /// Goes behind the frame that [`Frames::next`] gave.
    pub(super) fn pass(&mut self, header: &FrameHeader) {
        self.synced_upto = self.synced_upto.max(header.synced_upto);
        self.at = Place {
            offset: self.end_of(header),
            entries: header.end_index(),
            link: header.header_crc,
            opening: header.opening,
            break_opening: self.at.break_opening,
            found: None,
        };
    }

    /// Declares that the frame that [`Frames::next`] gave is none (F-7).
    pub(super) fn refuse(&mut self, header: &FrameHeader, cause: impl Into<String>) {
        self.refused.insert(header.offset, cause.into());
        self.ahead = None;
    }

    fn end_of(&self, header: &FrameHeader) -> u64 {
        header.offset + header.len(self.segment.header.align_log2)
    }

    fn judge(&mut self) -> io::Result<Result<FrameHeader, Bad>> {
        let offset = self.at.offset;
        let header = match self.reader.header(offset)? {
            Ok(header) => header,
            Err(fault) => {
                return Ok(Err(Bad {
                    cause: self.cause(offset, fault)?,
                    frame: None,
                    from: offset + 1,
                }));
            }
        };
        let opening = self.at.opening.max(self.checkpoint_opening(offset));
        if self.at.found != Some(offset)
            && let Err(fault) = follows(&header, self.at.link, self.at.entries, opening)
        {
            // The frame itself may still count.
            return Ok(Err(Bad { cause: fault.to_string(), frame: None, from: offset }));
        }
        let bad = |cause| Bad { cause, frame: Some(header), from: offset + 1 };
        if let Err(fault) = self.reader.payload(&header)? {
            return Ok(Err(bad(fault.to_string())));
        }
        if let Some(cause) = self.refused.get(&offset) {
            return Ok(Err(bad(cause.clone())));
        }
        if header.kind != FrameKind::BATCH && header.entry_count != 0 {
            return Ok(Err(bad("a frame without a batch that claims entries".to_owned())));
        }
        Ok(Ok(header))
    }

    fn cause(&mut self, offset: u64, fault: FrameFault) -> io::Result<String> {
        let bytes = self.reader.bytes(offset, crate::frame::FRAME_HEADER_LEN)?;
        let zeros = !bytes.is_empty() && bytes.iter().all(|&byte| byte == 0);
        Ok(if zeros { "zeros where a frame should start".to_owned() } else { fault.to_string() })
    }

    /// Goes over what is no sound frame in sequence, to the next one that counts.
    fn pass_over(&mut self, bad: Bad) -> Result<Break, IoError> {
        if self.at.break_opening.is_none() {
            // Its header is sound and in sequence, so what it says of others counts.
            let said = bad.frame.map_or(0, |frame| frame.synced_upto);
            self.synced_upto = self.synced_upto.max(said);
            self.at.break_opening = Some(self.at.opening);
        }
        let next = self.find(bad.from)?;
        // Where the header is sound, exactly that frame is lost.
        let only = bad.frame.filter(|frame| {
            let end = self.end_of(frame);
            end <= self.limit && next.is_none_or(|next| next.offset >= end)
        });
        let (offset, first) = (self.at.offset, self.at.entries);
        let mut end = None;
        match (only, next) {
            (Some(frame), _) => {
                self.ahead = Some((self.end_of(&frame), next));
                end = Some(frame.end_index());
                self.at.offset = self.end_of(&frame);
                self.at.entries = frame.end_index();
                self.at.link = frame.header_crc;
                self.at.opening = frame.opening;
            }
            (None, Some(next)) => {
                end = Some(next.first_index);
                self.at.found = Some(next.offset);
                self.at.offset = next.offset;
                self.at.entries = next.first_index;
            }
            (None, None) => self.at.offset = self.limit,
        }
        Ok(Break { offset, first, end, cause: bad.cause })
    }

    /// The next frame at or behind `from` that counts.
    fn find(&mut self, from: u64) -> Result<Option<FrameHeader>, IoError> {
        let mut offset = from;
        if let Some((searched_from, found)) = self.ahead.take()
            && searched_from <= from
        {
            match found {
                None => return Ok(None),
                Some(frame) if frame.offset >= from && self.counts(&frame) => {
                    return Ok(Some(frame));
                }
                Some(frame) => offset = offset.max(frame.offset + 1),
            }
        }
        while let Some(frame) = self.reader.find(offset).context(&self.segment.path, "read")? {
            if self.counts(&frame) {
                return Ok(Some(frame));
            }
            offset = frame.offset + 1;
        }
        Ok(None)
    }

    fn counts(&self, frame: &FrameHeader) -> bool {
        let before = self.at.break_opening.unwrap_or(0);
        frame.opening >= before.max(self.checkpoint_opening(frame.offset))
            && frame.first_index >= self.at.entries
            && !self.refused.contains_key(&frame.offset)
    }

    /// The lowest opening that a frame at `offset` may have, by the checkpoints (F-5).
    fn checkpoint_opening(&self, offset: u64) -> u32 {
        let checkpoints = self.segment.slots.iter().filter_map(Slot::checkpoint);
        let before = checkpoints.filter(|checkpoint| checkpoint.state.end_offset <= offset);
        before.map(|checkpoint| checkpoint.opening).max().unwrap_or(0)
    }
}

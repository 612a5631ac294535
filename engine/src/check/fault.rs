//! What stands where a sound frame in sequence should start, in words.

use std::io;

use super::Code;
use crate::{
    batch::{BatchError, BatchHeader},
    frame::{FRAME_HEADER_LEN, FrameError, FrameHeader},
    log::{FrameFault, FrameReader, ReplayError, Segment},
};

/// Why there is no frame.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) what: String,
}

/// A place without a sound frame in sequence.
pub(super) struct Bad {
    pub(super) fault: Fault,
    /// The header, if it is sound and in sequence.
    pub(super) frame: Option<FrameHeader>,
    /// Where the search for the next frame begins.
    pub(super) from: u64,
}

impl Fault {
    pub(super) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into() }
    }

    /// No valid header: looks at the bytes for what they are instead.
    pub(super) fn of_bytes(
        reader: &mut FrameReader,
        segment: &Segment,
        offset: u64,
        fault: FrameFault,
    ) -> io::Result<Self> {
        let bytes = reader.bytes(offset, FRAME_HEADER_LEN + BatchHeader::LEN)?;
        let header = bytes.get(..FRAME_HEADER_LEN).unwrap_or(bytes);
        if !header.is_empty() && header.iter().all(|&byte| byte == 0) {
            return Ok(Self::new(Code::BadFrameHeader, "zeros where a frame should start"));
        }
        if fault == FrameFault::Invalid(FrameError::HeaderCrc)
            && let Some(Ok(batch)) = bytes.get(FRAME_HEADER_LEN..).map(BatchHeader::decode)
            && batch.log() != segment.header.log
        {
            let what = format!("a frame of another log ({})", batch.log());
            return Ok(Self::new(Code::ForeignFrame, what));
        }
        Ok(Self::of_frame(&fault))
    }

    /// The rule of F-2 or F-3 that is broken.
    pub(super) fn of_frame(fault: &FrameFault) -> Self {
        let code = match fault {
            FrameFault::Short => Code::MissingEnd,
            FrameFault::Invalid(FrameError::Misplaced(_)) => Code::WrongOffset,
            FrameFault::Invalid(FrameError::Generation(_)) => Code::ForeignFrame,
            FrameFault::Invalid(FrameError::SyncedUpto(_)) => Code::WrongWatermark,
            FrameFault::Invalid(FrameError::PayloadCrc) => Code::BadPayload,
            FrameFault::Invalid(FrameError::Trailer) => Code::BadTrailer,
            FrameFault::Invalid(_) | FrameFault::OutOfSequence(_) => Code::BadFrameHeader,
        };
        Self::new(code, fault.to_string())
    }

    /// A valid frame that is not the one that follows (F-5).
    pub(super) fn of_sequence(
        frame: &FrameHeader,
        entries: u64,
        link: u32,
        fault: &FrameFault,
    ) -> Self {
        if frame.first_index != entries {
            let what = format!(
                "a frame with entries from {} on, where {entries} should follow",
                frame.first_index
            );
            Self::new(Code::IndexGap, what)
        } else if frame.link != link {
            Self::new(Code::BrokenLink, fault.to_string())
        } else {
            Self::new(Code::WrongOpening, fault.to_string())
        }
    }

    /// A frame without a batch that claims entries (F-7).
    pub(super) fn no_batch(frame: &FrameHeader) -> Self {
        let what = format!("a frame of kind {} that claims entries", frame.kind.0);
        Self::new(Code::BadFrameHeader, what)
    }

    /// A batch that does not continue its log; `None` if only a later version can tell.
    pub(super) fn of_replay(error: &ReplayError) -> Option<Self> {
        let code = match error {
            ReplayError::Batch(BatchError::Unsupported(_)) => return None,
            ReplayError::Root { .. } => Code::WrongRoot,
            ReplayError::OtherLog(_) => Code::ForeignFrame,
            _ => Code::BadBatch,
        };
        Some(Self::new(code, error.to_string()))
    }
}

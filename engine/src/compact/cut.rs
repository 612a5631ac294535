//! The state of a log at a place where it is cut: behind what is carried over, or behind what is pruned.

use std::sync::Arc;

use crate::{
    batch::Decoder,
    error::IoContext as _,
    frame::{FrameHeader, FrameKind},
    log::{Log, LogState, Place, READ_AHEAD_LONG, ReadError, Step},
};

/// The state behind the first `size` entries as far as hashing needs it; offset, link and counts are those of an empty
/// log. Cost: lookups in the index.
pub(super) fn tree_at(log: &Arc<Log>, size: u64) -> Result<LogState, ReadError> {
    let mut state = LogState::empty(log.header.link_seed());
    if size == 0 {
        return Ok(state);
    }
    state.peaks = log.peaks_at(size)?;
    state.lamport = log.lamport_at(size)?;
    let declared = log.declared_streams()?;
    let count = declared.partition_point(|declaration| declaration.index < size);
    state.stream_count = u32::try_from(count).unwrap_or(u32::MAX);
    Ok(state)
}

/// The same with the counts of these entries. `end` is the state at the end of the log.
///
/// Cost: the columns of all entries behind `size` are decoded, and those of one span before.
pub(super) fn state_at(log: &Arc<Log>, size: u64, end: &LogState) -> Result<LogState, ReadError> {
    let mut state = tree_at(log, size)?;
    let (from, change_count, time_max) = counted_before(log, size)?;
    state.change_count = change_count;
    state.time_max = time_max;
    state.payload_bytes = end.payload_bytes;
    let mut decoder = Decoder::new();
    frames_from(log, from, end, |frame, payload| {
        let lost = (frame.first_index..frame.end_index()).into();
        let meta = decoder.decode_meta(payload);
        let meta = meta.map_err(|error| {
            log.corruption(frame.offset, lost, crate::log::ReplayError::Batch(error))
        })?;
        for (index, header) in (frame.first_index..).zip(meta.entry_headers()) {
            if index >= size {
                state.payload_bytes -= u64::from(header.payload_len);
            } else if index >= from {
                state.change_count += u64::from(header.begins_change());
                state.time_max = state.time_max.max(header.timestamp);
            }
        }
        Ok(())
    })?;
    Ok(state)
}

/// A place at or before `size` up to which changes and times are counted already, and what they are.
fn counted_before(
    log: &Arc<Log>,
    size: u64,
) -> Result<(u64, u64, Option<crate::bytes::Timestamp>), ReadError> {
    let (first, base) = match &log.pruned {
        Some(record) => (record.size(), (record.state.change_count, record.state.time_max)),
        None => (0, (0, None)),
    };
    if size <= first {
        return Ok((first, base.0, base.1));
    }
    if let Some(span) = log.with_index(|index| index.locate(size - 1))? {
        let before = span.first_index.checked_sub(1).filter(|&before| before >= first);
        let before = before.map(|before| log.with_index(|index| index.locate(before)));
        let time_max = match before.transpose()?.flatten() {
            Some(before) => before.time_max,
            None => base.1,
        };
        return Ok((span.first_index, span.change_count, time_max));
    }
    let end = log.index.position();
    if end.end_index <= size {
        return Ok((end.end_index, end.change_count, end.time_max));
    }
    Ok((first, base.0, base.1))
}

/// Shows the batch frames from the one that holds entry `from` on, up to the state `end`.
fn frames_from(
    log: &Arc<Log>,
    from: u64,
    end: &LogState,
    mut show: impl FnMut(&FrameHeader, &[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    if from >= end.entry_count() {
        return Ok(());
    }
    let (_, first) = log.frame_with(from)?;
    let mut reader = log.frame_reader(end.end_offset, READ_AHEAD_LONG);
    let mut at = Place { offset: first.offset, index: first.first_index };
    loop {
        match log.next_frame(&mut reader, at)? {
            Step::Frame(frame) => {
                at = log.behind(&frame);
                if frame.kind == FrameKind::BATCH {
                    let payload = reader.payload(&frame).context(&log.path, "read")?;
                    let lost = (frame.first_index..frame.end_index()).into();
                    let payload =
                        payload.map_err(|fault| log.corruption(frame.offset, lost, fault))?;
                    show(&frame, payload)?;
                }
            }
            Step::Damage(error, _) => return Err(error),
            Step::End => return Ok(()),
        }
    }
}

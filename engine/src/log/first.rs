//! The first bytes of a segment that begins with more than a head: records that do not fit it (P-5, H-10).

use std::{path::Path, sync::Arc};

use crate::{
    bytes::LogKeys,
    error::{IoContext as _, IoError},
    frame::{FRAME_HEADER_LEN, FrameHeader, FrameKind, encode_frame},
    io::{Disk, DiskFile, write_temporary},
    log::{
        checkpoint::LogState,
        head::{HEAD_LEN, SegmentHeader},
        pruned::PruneRecord,
    },
    merkle::SaltTree,
};

/// A segment that was begun under a temporary name, and not synced.
pub(crate) struct Begun {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: SegmentHeader,
    /// Behind its records.
    pub(crate) state: LogState,
}

/// Writes head and records of a new segment of opening 1 to `temporary`.
pub(crate) fn begin_segment(
    disk: &dyn Disk,
    temporary: &Path,
    header: SegmentHeader,
    salts: &SaltTree,
    pruned: Option<&PruneRecord>,
    incarnation: u64,
) -> Result<Begun, IoError> {
    let keys = LogKeys::new(header.log);
    let empty = LogState::empty(header.link_seed());
    let mut header = SegmentHeader {
        first_index: pruned.map_or(0, PruneRecord::size),
        salt_record: salts.encode(),
        ..header
    };
    let mut state = pruned.map_or(empty, |record| record.state.clone());
    let mut frames = Vec::new();
    let mut put = |kind, record: &[u8], header: &SegmentHeader, state: &mut LogState| {
        for _ in 0..2 {
            let start = frames.len();
            frames.resize(start + FRAME_HEADER_LEN, 0);
            frames.extend_from_slice(record);
            let frame = FrameHeader {
                kind,
                critical: true,
                copy: false,
                continues: false,
                payload_len: 0,
                payload_crc: 0,
                offset: state.end_offset,
                generation: header.generation,
                incarnation,
                synced_upto: HEAD_LEN,
                first_index: state.entry_count(),
                entry_count: 0,
                link: state.link,
                opening: 1,
                header_crc: 0,
            };
            let frame = encode_frame(frame, &header.frames(), &mut frames, start);
            state.end_offset += frame.len(header.align_log2);
            state.link = frame.header_crc;
            state.frame_count += 1;
        }
    };
    if let Some(record) = pruned {
        put(FrameKind::PRUNED, &record.encode(&keys), &header, &mut state);
    }
    if !header.fits() {
        let record = std::mem::take(&mut header.salt_record);
        header.salts_offset = state.end_offset;
        put(FrameKind::SALTS, &record, &header, &mut state);
    }
    let mut bytes = header.encode();
    bytes.resize(usize::try_from(HEAD_LEN).expect("16 KiB"), 0);
    bytes.extend_from_slice(&frames);
    let file = write_temporary(disk, temporary, &bytes).context(temporary, "create")?;
    Ok(Begun { file, header, state })
}

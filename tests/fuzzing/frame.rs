//! Frames: whatever the bytes are, decoding ends with a frame or a reason.

use annals::{
    bytes::SaltedCrc,
    frame::{FRAME_HEADER_LEN, FrameContext, FrameHeader, FrameKind, encode_frame},
};

/// The target `frame`.
pub fn frame(data: &[u8]) {
    let context = FrameContext {
        crc: SaltedCrc::new(&[7; 16]),
        align_log2: 3,
        generation: 0,
        carried_upto: 0,
    };
    if let Some(head) = data.first_chunk::<FRAME_HEADER_LEN>()
        && let Ok(header) = FrameHeader::decode(head, 16384, &context)
    {
        let _ = header.payload(data, &context);
    }
    // The same bytes as a payload come back as they are.
    let header = FrameHeader {
        kind: FrameKind::BATCH,
        critical: true,
        copy: true,
        continues: false,
        payload_len: 0,
        payload_crc: 0,
        offset: 16384,
        generation: 0,
        incarnation: 1,
        synced_upto: 16384,
        first_index: 0,
        entry_count: 1,
        link: 0,
        opening: 1,
        header_crc: 0,
    };
    let mut frame = vec![0; FRAME_HEADER_LEN];
    frame.extend_from_slice(data);
    let header = encode_frame(header, &context, &mut frame, 0);
    assert_eq!(FrameHeader::decode(frame.first_chunk().unwrap(), 16384, &context), Ok(header));
    assert_eq!(header.payload(&frame, &context), Ok(data));
}

use super::*;
use crate::bytes::SaltedCrc;

fn context() -> FrameContext {
    FrameContext { crc: SaltedCrc::new(&[7; 16]), align_log2: 3, generation: 4, carried_upto: 0 }
}

fn header(offset: u64) -> FrameHeader {
    FrameHeader {
        kind: FrameKind::BATCH,
        critical: true,
        copy: true,
        continues: false,
        payload_len: 0,
        payload_crc: 0,
        offset,
        generation: 4,
        incarnation: 99,
        synced_upto: offset,
        first_index: 5,
        entry_count: 2,
        link: 1,
        opening: 3,
        header_crc: 0,
    }
}

fn encode(payload: &[u8], offset: u64, context: &FrameContext) -> (FrameHeader, Vec<u8>) {
    let mut out = vec![0; FRAME_HEADER_LEN];
    out.extend_from_slice(payload);
    let header = encode_frame(header(offset), context, &mut out, 0);
    (header, out)
}

fn decode(
    frame: &[u8],
    offset: u64,
    context: &FrameContext,
) -> Result<(FrameHeader, Vec<u8>), FrameError> {
    let head = frame.first_chunk().ok_or(FrameError::Magic)?;
    let header = FrameHeader::decode(head, offset, context)?;
    let payload = header.payload(frame, context)?.to_vec();
    Ok((header, payload))
}

#[test]
fn frames_of_every_length_and_alignment_round_trip() {
    for align_log2 in [FRAME_ALIGN_LOG2_MIN, FRAME_ALIGN_LOG2_MAX] {
        let context = FrameContext { align_log2, ..context() };
        for len in 0..40 {
            let payload = vec![0xA5; len];
            let (header, frame) = encode(&payload, 16384, &context);
            assert_eq!(frame.len() as u64 % (1 << align_log2), 0);
            assert_eq!(decode(&frame, 16384, &context), Ok((header, payload)));
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let (_, frame) = encode(b"payload", 16384, &context());
    for bit in 0..frame.len() * 8 {
        let mut damaged = frame.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&damaged, 16384, &context()).is_err(), "bit {bit}");
    }
    for len in 0..frame.len() {
        assert!(decode(&frame[..len], 16384, &context()).is_err(), "length {len}");
    }
}

#[test]
fn a_frame_is_bound_to_its_place_its_log_and_its_generation() {
    let (_, frame) = encode(b"payload", 16384, &context());
    assert_eq!(decode(&frame, 16392, &context()), Err(FrameError::Misplaced(16384)));
    let other_salt = FrameContext { crc: SaltedCrc::new(&[8; 16]), ..context() };
    assert_eq!(decode(&frame, 16384, &other_salt), Err(FrameError::HeaderCrc));
    let newer = FrameContext { generation: 5, ..context() };
    assert_eq!(decode(&frame, 16384, &newer), Err(FrameError::Generation(4)));
    let carried = FrameContext { generation: 5, carried_upto: 20000, ..context() };
    assert!(decode(&frame, 16384, &carried).is_ok());
}

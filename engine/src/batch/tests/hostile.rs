use proptest::prelude::*;

use super::{
    super::{
        BATCH_EXTENSION_LEN_MAX, BATCH_PAYLOAD_LEN_MAX, BatchError, ColumnError, Content, Field,
        Section, Unsupported, decode::decompress,
    },
    *,
};
use crate::bytes::{DecodeError, Put as _};

fn decode(bytes: &[u8]) -> Result<Batch, BatchError> {
    Decoder::new().decode(bytes)
}

/// The error of a sample batch after `change` was made to its parts.
fn error(change: impl FnOnce(&mut Parts)) -> BatchError {
    let mut parts = Parts::sample();
    change(&mut parts);
    decode(&parts.bytes()).unwrap_err()
}

/// The error of a sample batch whose header got `bytes` at `offset`.
fn header_error(offset: usize, bytes: &[u8]) -> BatchError {
    let mut batch = Parts::sample().bytes();
    batch[offset..offset + bytes.len()].copy_from_slice(bytes);
    decode(&batch).unwrap_err()
}

/// A sample batch whose payload section, `hithere`, is this zstd frame.
fn with_payload(raw_len: u32, frame: &[u8]) -> Vec<u8> {
    let mut parts = Parts::sample();
    parts.payload = frame.to_vec();
    parts.header.payload = SectionHeader { codec: Codec::Zstd, raw_len, len: 0 };
    parts.bytes()
}

/// `hithere` as a zstd frame written by hand (RFC 8878, section 3.1.1): `descriptor`, what it
/// announces, and one raw block.
fn frame(header: &[u8]) -> Vec<u8> {
    [&[0x28, 0xB5, 0x2F, 0xFD], header, &[7 << 3 | 1, 0, 0], b"hithere"].concat()
}

/// A frame that decompresses to `len` zeros, without a content size if `header` has none.
fn bomb(header: &[u8], len: usize) -> Vec<u8> {
    const BLOCK_LEN: usize = 128 << 10;
    let mut bytes = vec![0x28, 0xB5, 0x2F, 0xFD];
    bytes.put(header);
    for i in 0..len / BLOCK_LEN {
        let last = u32::from((i + 1) * BLOCK_LEN == len);
        let block = u32::try_from(BLOCK_LEN).unwrap() << 3 | 1 << 1 | last;
        bytes.put(&block.to_le_bytes()[..3]);
        bytes.put_u8(0);
    }
    bytes
}

/// Single segment, content size in one byte.
const SIZED: [u8; 2] = [0x20, 7];
/// Neither, but a window of 128 KiB.
const UNSIZED: [u8; 2] = [0, 7 << 3];

#[test]
fn later_versions_are_told_from_broken_batches() {
    let unsupported = BatchError::Unsupported;
    let codec = |section, codec| unsupported(Unsupported::Codec { section, codec });
    assert_eq!(header_error(4, &[2]), codec(Section::Meta, 2));
    assert_eq!(header_error(5, &[255]), codec(Section::Payload, 255));
    assert_eq!(header_error(6, &[1]), unsupported(Unsupported::CipherSuite(1)));
    assert_eq!(header_error(12, &[0, 1, 0, 0]), unsupported(Unsupported::Flags(256)));
    let critical = error(|parts| parts.extensions = vec![9, 1, 1, 0, 2, 0, 0, 0, 8, 8]);
    assert_eq!(critical, unsupported(Unsupported::Extension(0x109)));
}

#[test]
fn each_rule_of_the_header_is_kept() {
    assert_eq!(header_error(0, b"ANF1"), BatchError::Magic);
    for offset in [7, 8, 11] {
        assert_eq!(header_error(offset, &[1]), BatchError::Decode(DecodeError::Reserved));
    }
    let first_index = (LOG_ENTRY_COUNT_MAX - 1).to_le_bytes();
    assert_eq!(header_error(32, &first_index), BatchError::FirstIndex(LOG_ENTRY_COUNT_MAX - 1));
    for count in [0, BATCH_ENTRY_COUNT_MAX + 1, u32::MAX] {
        assert_eq!(header_error(40, &count.to_le_bytes()), BatchError::EntryCount(count));
    }
    for (offset, max, section) in [
        (44, BATCH_EXTENSION_LEN_MAX, Section::Extensions),
        (48, BATCH_META_LEN_MAX, Section::Meta),
        (56, BATCH_PAYLOAD_LEN_MAX, Section::Payload),
    ] {
        let raw_len = max + 1;
        let error = BatchError::SectionLen { section, raw_len };
        assert_eq!(header_error(offset, &raw_len.to_le_bytes()), error);
    }
    assert_eq!(header_error(48, &[15]), BatchError::StoredLen(Section::Meta));
    assert_eq!(header_error(60, &[8]), BatchError::StoredLen(Section::Payload));
}

#[test]
fn sections_fill_the_batch_exactly() {
    let bytes = Parts::sample().bytes();
    for len in 0..bytes.len() {
        let error = BatchError::Decode(DecodeError::Truncated);
        assert_eq!(decode(&bytes[..len]).unwrap_err(), error, "{len}");
    }
    let error = decode(&[&bytes[..], &[0]].concat()).unwrap_err();
    assert_eq!(error, BatchError::Decode(DecodeError::Trailing));
}

#[test]
fn extensions_that_are_not_critical_are_ignored_if_well_formed() {
    let mut parts = Parts::sample();
    parts.extensions = [&[3, 0, 0, 0, 0, 0, 0, 0][..], &[2, 0, 0, 0, 1, 0, 0, 0, 9]].concat();
    assert!(decode(&parts.bytes()).is_ok());

    for (extensions, expected) in [
        (&[3, 0, 0, 0, 0, 0, 0][..], DecodeError::Truncated),
        (&[3, 0, 0, 0, 2, 0, 0, 0, 9], DecodeError::Truncated),
        (&[3, 0, 0, 0, 0, 0, 0, 0, 0], DecodeError::Truncated),
        (&[3, 0, 2, 0, 0, 0, 0, 0], DecodeError::Reserved),
    ] {
        let error = error(|parts| parts.extensions = extensions.to_vec());
        assert_eq!(error, BatchError::Extension(expected), "{extensions:?}");
    }
}

#[test]
fn columns_are_checked_against_their_fields() {
    let range = |field| BatchError::Column { field, error: ColumnError::Range };
    let replaced = |at: std::ops::Range<usize>, column: &[u8]| {
        error(|parts| drop(parts.meta.splice(at, column.iter().copied())))
    };
    assert_eq!(replaced(0..2, &[0, 0x80, 2]), range(Field::Kind));
    assert_eq!(replaced(2..4, &[0, 4]), range(Field::Flags));
    assert_eq!(replaced(4..6, &[0, 0x80, 0x80, 0x80, 0x80, 0x10]), range(Field::Stream));
    assert_eq!(replaced(6..9, &[0, 0x81, 0x80, 0x40]), range(Field::PayloadLen));
    assert_eq!(replaced(9..12, &[1, 0, 2]), range(Field::Lamport));
    assert_eq!(replaced(9..12, &[0, 9]), BatchError::LamportOrder);
    assert_eq!(replaced(9..12, &[1, 9, 1]), BatchError::LamportOrder);
    assert_eq!(replaced(9..12, &[2, 9, 9]), BatchError::LamportOrder);
    assert_eq!(replaced(16..16, &[0]), BatchError::MetaTrailing);
    let truncated = ColumnError::Decode(DecodeError::Truncated);
    let truncated = BatchError::Column { field: Field::Timestamp, error: truncated };
    assert_eq!(replaced(15..16, &[]), truncated);
}

#[test]
fn payload_lengths_must_add_up() {
    for lens in [&[2, 2, 4][..], &[2, 2, 6], &[0, 3], &[0, 4], &[1, 2, 4]] {
        let error = error(|parts| drop(parts.meta.splice(6..9, lens.iter().copied())));
        assert_eq!(error, BatchError::PayloadSum, "{lens:?}");
    }
    // 2^13 payloads of 2^20 bytes make 2^33, which is 0 in 32 bits, whatever the encoding.
    for lens in
        [&[0, 0x80, 0x80, 0x40][..], &[4, 2, 0x80, 0x80, 0x40, 1, 0x80, 0x80, 0x40, 0xFF, 0x3F]]
    {
        let mut parts = Parts::sample();
        parts.header.entry_count = 1 << 13;
        parts.meta = [&[0, 0, 0, 0, 0, 0], lens, &[1, 1, 2, 0, 0]].concat();
        parts.payload = Vec::new();
        assert_eq!(decode(&parts.bytes()).unwrap_err(), BatchError::PayloadSum);
    }
}

#[test]
fn a_zstd_frame_may_leave_out_its_size() {
    for header in [SIZED, UNSIZED] {
        let batch = decode(&with_payload(7, &frame(&header))).unwrap();
        assert_eq!(batch.payload(1), Some(&b"there"[..]));
    }
}

#[test]
fn only_one_zstd_frame_is_accepted() {
    let good = frame(&SIZED);
    let empty = [0x28, 0xB5, 0x2F, 0xFD, 0x20, 0, 1, 0, 0];
    let skippable = [0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 9];
    for bytes in [
        &[&good[..], &empty].concat(),
        &[&empty[..], &good].concat(),
        &[&good[..], &skippable].concat(),
        &[&skippable[..], &good].concat(),
        &[&good[..], &[0]].concat(),
        &skippable[..],
        &good[..good.len() - 1],
        &good[..5],
        &[],
        b"hithere",
    ] {
        let error = decode(&with_payload(7, bytes)).unwrap_err();
        assert_eq!(error, BatchError::ZstdFrame(Section::Payload), "{bytes:x?}");
        // The columns are not affected.
        assert!(Decoder::new().decode_meta(&with_payload(7, bytes)).is_ok());
    }
}

#[test]
fn a_dictionary_is_refused() {
    // A dictionary id of one byte; 0 means that there is none.
    let error = decode(&with_payload(7, &frame(&[0x21, 5, 7]))).unwrap_err();
    assert_eq!(error, BatchError::Dictionary(Section::Payload));
    assert!(decode(&with_payload(7, &frame(&[0x21, 0, 7]))).is_ok());
}

#[test]
fn a_frame_of_another_size_is_refused() {
    let mut out = Vec::new();
    let mut decompressor = zstd::bulk::Decompressor::default();
    for (header, raw_len, error) in [
        (SIZED, 6, BatchError::RawLen(Section::Meta)),
        (SIZED, 8, BatchError::RawLen(Section::Meta)),
        (UNSIZED, 6, BatchError::Zstd(Section::Meta)),
        (UNSIZED, 8, BatchError::RawLen(Section::Meta)),
    ] {
        let frame = frame(&header);
        let mut out = Vec::new();
        let result = decompress(&mut decompressor, Section::Meta, &frame, raw_len, &mut out);
        assert_eq!(result, Err(error));
    }
    // Room from an earlier batch does not make it any longer.
    out.reserve(100);
    let result = decompress(&mut decompressor, Section::Meta, &frame(&UNSIZED), 6, &mut out);
    assert_eq!(result, Err(BatchError::RawLen(Section::Meta)));
}

#[test]
fn a_decompression_bomb_takes_no_more_memory_than_its_raw_length() {
    let len = 64 << 20;
    let sized = [&[0xA0][..], &u32::try_from(len).unwrap().to_le_bytes()].concat();
    let mut decompressor = zstd::bulk::Decompressor::default();
    for header in [&UNSIZED[..], &sized] {
        for raw_len in [7, 1 << 20] {
            let mut out = Vec::new();
            let bomb = bomb(header, len);
            let result = decompress(&mut decompressor, Section::Meta, &bomb, raw_len, &mut out);
            assert!(result.is_err());
            assert!(out.capacity() <= raw_len);
        }
    }
    // Such frames are sound otherwise.
    let len = 1 << 20;
    let mut out = Vec::new();
    let bomb = bomb(&UNSIZED, len);
    assert_eq!(decompress(&mut decompressor, Section::Meta, &bomb, len, &mut out), Ok(()));
    assert_eq!(out, vec![0; len]);
}

/// Reads all that a batch offers, and checks that it is within the limits of what it came from.
fn read_all(batch: &Batch) {
    let mut lamport = 0;
    let mut len = 0;
    for (header, payload) in batch.entries() {
        assert!(header.lamport > lamport);
        let Some(payload) = payload.payload() else { continue };
        assert_eq!(header.payload_len as usize, payload.len());
        lamport = header.lamport;
        len += payload.len();
    }
    assert_eq!(len, batch.payloads().len());
    assert!(batch.len() <= BATCH_ENTRY_COUNT_MAX as usize);
    assert!(batch.memory_len() <= size_of::<Batch>() + len + 26 * batch.len());
}

/// Batches of all codecs and encodings.
fn samples() -> Vec<Vec<u8>> {
    let header = |(i, value): (u64, u64)| EntryHeader {
        lamport: 3 * i + 1 + (value & 1),
        timestamp: (value & 0xF00 != 0)
            .then(|| Timestamp::from_micros(1_780_000_000_000_000 + (value >> 32).cast_signed())),
        payload_len: u32::try_from(value >> 62).unwrap(),
        stream: StreamId(u32::try_from(i / 20).unwrap()),
        kind: Kind(u8::from(value & 0x3000 == 0)),
        part: Part::WHOLE,
    };
    let headers = (0..90).zip(noise(5)).map(header).collect::<Vec<_>>();
    let len = headers.iter().map(|header| header.payload_len as usize).sum();
    let mixed = encode(&headers, &vec![b'x'; len]);
    let even = (1..80).map(|lamport| change(lamport, 2)).collect::<Vec<_>>();
    let samples = vec![mixed, encode(&even, &[b'y'; 158]), Parts::sample().bytes()];
    let codecs = samples.iter().map(|bytes| {
        let header = BatchHeader::decode(bytes).unwrap();
        (header.meta_codec(), header.payload_codec())
    });
    assert!(codecs.eq([
        (Codec::Zstd, Codec::Zstd),
        (Codec::Stored, Codec::Zstd),
        (Codec::Stored, Codec::Stored)
    ]));
    samples
}

#[test]
fn no_truncation_is_a_batch() {
    let mut decoder = Decoder::new();
    for bytes in samples() {
        for len in 0..bytes.len() {
            let error = BatchError::Decode(DecodeError::Truncated);
            assert_eq!(decoder.decode(&bytes[..len]).unwrap_err(), error);
        }
    }
}

#[test]
fn no_flipped_bit_breaks_the_reader() {
    let mut decoder = Decoder::new();
    for bytes in samples() {
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // What a flipped bit of a payload does not show is found by the frame's checksum.
            if let Ok(batch) = decoder.decode(&bytes) {
                read_all(&batch);
            }
        }
        read_all(&decoder.decode(&bytes).unwrap());
    }
}

proptest! {
    #[test]
    fn arbitrary_columns_are_refused_or_sound(
        meta in proptest::collection::vec(prop_oneof![4 => 0..6_u8, 1 => any::<u8>()], 12..40),
        entry_count in prop_oneof![1..6_u32, Just(BATCH_ENTRY_COUNT_MAX)],
        payload_len in 0..8_usize,
    ) {
        let mut parts = Parts::sample();
        parts.header.entry_count = entry_count;
        parts.meta = meta;
        parts.payload = vec![0; payload_len];
        if let Ok(batch) = decode(&parts.bytes()) {
            read_all(&batch);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Some(magic) = bytes.first_chunk_mut() {
            *magic = *b"ANB1";
        }
        prop_assert!(decode(&bytes).is_err());
    }
}

#[test]
fn lists_of_absent_payloads_are_checked() {
    let stored = |len: usize| {
        let len = u32::try_from(len).unwrap();
        SectionHeader { codec: Codec::Stored, raw_len: len, len }
    };
    let list = |rows: &[(u32, u8)], flags: u8| {
        let mut section = vec![1, 0, flags, 0];
        section.extend(u32::try_from(rows.len() * 36).unwrap().to_le_bytes());
        for (position, hash) in rows {
            section.extend(position.to_le_bytes());
            section.extend([*hash; 32]);
        }
        section
    };
    let decoded = |extensions: Vec<u8>, payload: &[u8]| {
        let mut parts = Parts::sample();
        parts.extensions = extensions;
        parts.payload = payload.to_vec();
        parts.header.payload = stored(payload.len());
        decode(&parts.bytes())
    };
    let whole = Parts::sample().payload;
    // Two entries of 2 and 5 bytes.
    let batch = decoded(list(&[(1, 9)], 1), &whole[..2]).unwrap();
    assert_eq!(batch.content(1), Content::Absent(crate::Hash::from_bytes([9; 32])));
    assert_eq!((batch.payload(0), batch.entry_header(1).payload_len), (Some(&whole[..2]), 5));
    assert_eq!(batch.absent_indices().collect::<Vec<_>>(), [batch.first_index() + 1]);

    for (extensions, payload) in [
        (list(&[], 1), &whole[..]),
        (list(&[(1, 9)], 0), &whole[..2]),
        (list(&[(2, 9)], 1), &whole[..]),
        (list(&[(1, 9), (1, 9)], 1), &whole[..2]),
        (list(&[(1, 9), (0, 9)], 1), &[]),
        ([list(&[(0, 9)], 1), list(&[(1, 9)], 1)].concat(), &[]),
    ] {
        assert_eq!(decoded(extensions, payload).unwrap_err(), BatchError::Absent);
    }
    assert_eq!(decoded(list(&[(1, 9)], 1), &whole).unwrap_err(), BatchError::PayloadSum);
}

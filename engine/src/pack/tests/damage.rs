//! Whatever bit of a record is damaged, it is noticed.

use std::convert::Infallible;

use super::{crc, encode, noise};
use crate::{
    bytes::Hash,
    pack::{
        CHUNK_LEN, ChunkDecoder, Codec, RecordError, RecordHeader, Verifier, decode_record,
        encode_record,
    },
};

const OFFSET: u64 = 8320;

fn record(content: &[u8], codec: Codec) -> Vec<u8> {
    let (data, table, id) = encode(content, codec);
    let header = RecordHeader::asset(id, content.len() as u64, codec, data.len() as u64, 12);
    encode_record(header.at(OFFSET, 8192), &data, &table, crc())
}

/// Reads chunk `chunk` of a record as a store would, and verifies it.
fn read(bytes: &[u8], chunk: u64) -> Option<Vec<u8>> {
    let record = decode_record(bytes, OFFSET, crc()).ok()?;
    let header = record.header;
    let shape = header.shape();
    let table_at = |at: u64, len| &record.table[usize::try_from(at).unwrap()..][..len];
    let end = |chunk: u64| {
        let at = shape.ends_offset() + 8 * chunk;
        u64::from_le_bytes(table_at(at, 8).try_into().unwrap())
    };
    let ends = match header.codec {
        Codec::Stored => (0, 0),
        Codec::Zstd => (if chunk == 0 { 0 } else { end(chunk - 1) }, end(chunk)),
    };
    let place = header.chunk_place(chunk, ends).ok()?;
    let in_record = |at: u64| usize::try_from(at - header.offset).unwrap();
    let stored = &bytes[in_record(place.start)..in_record(place.end)];
    let mut content = Vec::new();
    match header.codec {
        Codec::Stored => content.extend_from_slice(stored),
        Codec::Zstd => {
            let raw_len = header.chunk_len(chunk);
            ChunkDecoder::new().decode(stored, raw_len, &mut content).ok()?;
        }
    }
    let nodes = |level, range: std::ops::Range<u64>| {
        let hash = |j| {
            let bytes = table_at(shape.node_offset(level, j), 32);
            Hash::from_bytes(bytes.try_into().unwrap())
        };
        Ok::<_, Infallible>(range.map(hash).collect::<Vec<_>>())
    };
    Verifier::new(header.id, header.size).verify_chunk(chunk, &content, nodes).ok()?;
    Some(content)
}

/// Flips the bits in `bits` one by one; whoever then reads the chunks gets nothing, or what was there.
/// Returns how often all was read as it had been.
fn flip(content: &[u8], codec: Codec, bits: impl Iterator<Item = usize>) -> usize {
    let sound = record(content, codec);
    let count = content.len().div_ceil(CHUNK_LEN) as u64;
    let header = decode_record(&sound, OFFSET, crc()).unwrap().header;
    for (index, chunk) in (0..count).zip(content.chunks(CHUNK_LEN)) {
        assert_eq!(read(&sound, index).as_deref(), Some(chunk));
    }
    let mut unnoticed = 0;
    for bit in bits {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let at = OFFSET + (bit / 8) as u64;
        let in_data = header.data_offset() <= at && at < header.table_offset();
        // What is not data is found to be damaged without reading any.
        assert_eq!(decode_record(&damaged, OFFSET, crc()).is_ok(), in_data, "bit {bit}");
        if !in_data {
            continue;
        }
        let mut noticed = false;
        for (index, chunk) in (0..count).zip(content.chunks(CHUNK_LEN)) {
            match read(&damaged, index) {
                Some(read) => assert_eq!(read, chunk, "bit {bit}: other bytes are never served"),
                None => noticed = true,
            }
        }
        unnoticed += usize::from(!noticed);
    }
    unnoticed
}

fn text(len: usize) -> Vec<u8> {
    b"a line of text, and again ".iter().copied().cycle().take(len).collect()
}

#[test]
fn every_flipped_bit_of_compressed_records_is_noticed() {
    let content = text(2 * CHUNK_LEN + 100);
    let len = record(&content, Codec::Zstd).len();
    let unnoticed = flip(&content, Codec::Zstd, 0..len * 8);
    // A zstd frame has bits that mean nothing: the bytes are then the same (RFC 8878, 3.1.1.1.1).
    assert!(unnoticed <= 3 * 4, "{unnoticed}");
}

#[test]
fn every_flipped_bit_of_stored_records_is_noticed() {
    let content = noise(2 * CHUNK_LEN + 40);
    let len = record(&content, Codec::Stored).len();
    // Of the full chunks only some: all are hashed each time.
    let around = (0..200 * 8).chain((len - 200) * 8..len * 8);
    let bits = around.chain((200 * 8..len * 8).step_by(4999));
    assert_eq!(flip(&content, Codec::Stored, bits), 0);

    let content = noise(90);
    let len = record(&content, Codec::Stored).len();
    assert_eq!(flip(&content, Codec::Stored, 0..len * 8), 0);
}

#[test]
fn chunks_that_change_places_are_noticed() {
    let content = noise(3 * CHUNK_LEN);
    let mut bytes = record(&content, Codec::Stored);
    let data = 96 + 12;
    let (first, rest) = bytes[data..].split_at_mut(CHUNK_LEN);
    first.swap_with_slice(&mut rest[..CHUNK_LEN]);
    assert_eq!(read(&bytes, 0), None);
    assert_eq!(read(&bytes, 1), None);
    assert_eq!(read(&bytes, 2).as_deref(), Some(&content[2 * CHUNK_LEN..]));
}

/// Every length of a record that was cut, none of which panics or passes.
#[test]
fn cut_records_are_noticed() {
    let bytes = record(&text(CHUNK_LEN + 100), Codec::Zstd);
    for len in 0..bytes.len() {
        let error = decode_record(&bytes[..len], OFFSET, crc()).unwrap_err();
        let expected = if len < 96 { RecordError::Magic } else { RecordError::Padding };
        assert_eq!(error, expected, "{len}");
    }
    assert!(decode_record(&bytes, OFFSET, crc()).is_ok());
}

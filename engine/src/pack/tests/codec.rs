//! Chunks with zstd: K-4, as strict as B-2.

use proptest::prelude::*;

use super::noise;
use crate::pack::{CHUNK_LEN, ChunkDecoder, ChunkEncoder, ChunkError};

fn decode(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, ChunkError> {
    let mut out = b"what was there before".to_vec();
    ChunkDecoder::new().decode(stored, raw_len, &mut out).map(|()| out)
}

proptest! {
    #[test]
    fn chunks_come_back_and_never_grow(
        len in 1..=CHUNK_LEN,
        noisy in 0..=CHUNK_LEN,
        level in -5..20_i32,
    ) {
        let mut chunk = noise(noisy.min(len));
        chunk.resize(len, b' ');
        let mut encoder = ChunkEncoder::new(level);
        let mut decoder = ChunkDecoder::new();
        let mut out = Vec::new();
        // A second time with the contexts of the first.
        for chunk in [&chunk[..], &chunk[chunk.len() / 2..]] {
            let stored = encoder.encode(chunk);
            prop_assert!(stored.len() <= chunk.len());
            prop_assert!(stored.len() < chunk.len() || stored == chunk);
            decoder.decode(stored, chunk.len(), &mut out).unwrap();
            prop_assert_eq!(&out, chunk);
        }
    }

    #[test]
    fn arbitrary_bytes_are_an_error_or_a_chunk(
        mut stored in prop::collection::vec(any::<u8>(), 0..200),
        is_frame: bool,
        raw_len in 0..=CHUNK_LEN,
    ) {
        if is_frame && stored.len() >= 4 {
            stored[..4].copy_from_slice(&0xFD2F_B528_u32.to_le_bytes());
        }
        let mut out = Vec::new();
        if ChunkDecoder::new().decode(&stored, raw_len, &mut out).is_ok() {
            prop_assert_eq!(out.len(), raw_len);
        }
        prop_assert!(out.capacity() <= CHUNK_LEN);
    }
}

fn frame(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, 3).unwrap()
}

#[test]
fn exactly_one_frame_of_exactly_the_length() {
    let content = vec![7; 1000];
    let sound = frame(&content);
    assert_eq!(decode(&sound, 1000).unwrap(), content);

    assert_eq!(decode(b"", 1000), Err(ChunkError::StoredLen));
    assert_eq!(decode(&[1; 1001], 1000), Err(ChunkError::StoredLen));
    assert_eq!(decode(&[1; 999], 1000), Err(ChunkError::ZstdFrame));
    assert_eq!(decode(&[&sound[..], b"x"].concat(), 1000), Err(ChunkError::ZstdFrame));
    assert_eq!(decode(&[&sound[..], &sound].concat(), 2000), Err(ChunkError::ZstdFrame));
    let half = frame(&content[..500]);
    assert_eq!(decode(&[&half[..], &half].concat(), 1000), Err(ChunkError::ZstdFrame));
    let skippable = [&[0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 9][..], &sound].concat();
    assert_eq!(decode(&skippable, 1000), Err(ChunkError::ZstdFrame));
    assert_eq!(decode(&sound, 999), Err(ChunkError::RawLen));
    assert_eq!(decode(&sound, 1001), Err(ChunkError::RawLen));
    for len in 1..sound.len() {
        assert!(decode(&sound[..len], 1000).is_err(), "{len}");
    }
}

#[test]
fn dictionaries_are_refused() {
    // Magic, a descriptor with one byte of dictionary id, window, id, a last raw block of one byte.
    let stored = [0x28, 0xB5, 0x2F, 0xFD, 0x01, 0x00, 0x05, 0x09, 0x00, 0x00, b'x'];
    assert_eq!(decode(&stored, 1000), Err(ChunkError::Dictionary));
}

/// A frame that says nothing of its size, and one that lies, take no more than the chunk has.
#[test]
fn what_a_frame_claims_is_not_believed() {
    let bomb = frame(&vec![0; 16 << 20]);
    assert_eq!(decode(&bomb, CHUNK_LEN), Err(ChunkError::RawLen));
    let mut encoder = zstd::bulk::Compressor::new(3).unwrap();
    encoder.include_contentsize(false).unwrap();
    let unsized_bomb = encoder.compress(&vec![0; 16 << 20]).unwrap();
    let mut out = Vec::new();
    let decoded = ChunkDecoder::new().decode(&unsized_bomb, CHUNK_LEN, &mut out);
    assert_eq!(decoded, Err(ChunkError::Zstd));
    assert!(out.capacity() <= CHUNK_LEN);
    let unsized_chunk = encoder.compress(&[0; 5000]).unwrap();
    assert_eq!(decode(&unsized_chunk, 5000).unwrap(), [0; 5000]);
    assert_eq!(decode(&unsized_chunk, 5001), Err(ChunkError::RawLen));
}

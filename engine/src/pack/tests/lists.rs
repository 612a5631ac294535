//! The journal of a partial asset and the list of pins: K-13, K-14.

use proptest::prelude::*;

use crate::{
    bytes::{Hash, crc},
    pack::{
        ASSET_SIZE_MAX, CHUNK_LEN, HaveError, HaveHeader, HaveRow, PIN_COUNT_MAX, PinsError,
        have::{HAVE_HEADER_LEN, HAVE_ROW_LEN_MAX},
        pins,
    },
};

fn header(chunks: u64) -> HaveHeader {
    HaveHeader { size: chunks * CHUNK_LEN as u64, id: Hash::from_bytes([9; 32]), salt: [4; 16] }
}

fn cvs(count: usize) -> Vec<Hash> {
    let count = u16::try_from(count).unwrap();
    (0..count).map(|i| Hash::from_bytes(blake3::hash(&i.to_le_bytes()).into())).collect()
}

proptest! {
    #[test]
    fn headers_of_journals_come_back(size in 0..=ASSET_SIZE_MAX, id: [u8; 32], salt: [u8; 16]) {
        let header = HaveHeader { size, id: Hash::from_bytes(id), salt };
        let bytes = header.encode();
        prop_assert_eq!(HaveHeader::decode(&bytes), Ok(header));
        for bit in 0..HAVE_HEADER_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let expected = match bit / 8 {
                0..8 => HaveError::Foreign,
                8..68 => HaveError::Crc,
                _ => HaveError::Malformed,
            };
            prop_assert_eq!(HaveHeader::decode(&damaged), Err(expected));
        }
    }

    #[test]
    fn rows_come_back(first_chunk in 0..1000_u64, count in 1..=256_usize, more in 0..9_usize) {
        let header = header(first_chunk + count as u64);
        let row = HaveRow { first_chunk, cvs: cvs(count) };
        let mut bytes = row.encode(header.crc());
        let len = bytes.len();
        prop_assert!(len <= HAVE_ROW_LEN_MAX);
        bytes.extend(vec![0xEE; more]);
        prop_assert_eq!(header.decode_row(&bytes), Some((row, len)));
    }

    #[test]
    fn pins_come_back(mut ids in prop::collection::vec(any::<[u8; 32]>(), 0..20)) {
        ids.sort_unstable();
        ids.dedup();
        let ids: Vec<Hash> = ids.into_iter().map(Hash::from_bytes).collect();
        let bytes = pins::encode(&ids);
        prop_assert_eq!(pins::decode(&bytes), Ok(ids));
        for len in 0..bytes.len() {
            prop_assert!(pins::decode(&bytes[..len]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 64 { PinsError::Foreign } else { PinsError::Crc };
            prop_assert_eq!(pins::decode(&damaged), Err(expected));
        }
    }
}

#[test]
fn rows_end_where_one_is_short_or_wrong() {
    let header = header(12);
    let row = HaveRow { first_chunk: 3, cvs: cvs(5) };
    let bytes = row.encode(header.crc());
    for len in 0..bytes.len() {
        assert_eq!(header.decode_row(&bytes[..len]), None, "{len}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(header.decode_row(&damaged), None, "bit {bit}");
    }
    // Of another journal, or of chunks that there are not.
    let other = HaveHeader { salt: [5; 16], ..header };
    assert_eq!(other.decode_row(&bytes), None);
    let shorter = HaveHeader { size: 7 * CHUNK_LEN as u64, ..header };
    assert_eq!(shorter.decode_row(&bytes), None);
    let beyond = HaveRow { first_chunk: u64::MAX, cvs: cvs(5) };
    assert_eq!(header.decode_row(&beyond.encode(header.crc())), None);
    for count in [0_u32, 257, u32::MAX] {
        let mut bytes = vec![0; 16 + 300 * 32];
        bytes[8..12].copy_from_slice(&count.to_le_bytes());
        let hashes = 32 * usize::try_from(count).unwrap().min(300);
        let checksum = header.crc().bound_to(&bytes[..12]).crc(&bytes[16..16 + hashes]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(HaveHeader { size: 1 << 40, ..header }.decode_row(&bytes), None, "{count}");
    }
}

#[test]
fn journals_of_what_no_asset_is_are_refused() {
    let mut bytes = header(1).encode();
    bytes[8..16].copy_from_slice(&(ASSET_SIZE_MAX + 1).to_le_bytes());
    let checksum = crc(&bytes[..64]);
    bytes[64..68].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(HaveHeader::decode(&bytes), Err(HaveError::Malformed));
}

#[test]
fn malformed_pins_are_refused() {
    let sealed = |count: u64, ids: &[Hash], more: &[u8]| {
        let mut bytes = pins::encode(&[]);
        bytes.truncate(8);
        bytes.extend(count.to_le_bytes());
        for id in ids {
            bytes.extend(id.as_bytes());
        }
        bytes.extend(more);
        let checksum = crc(&bytes);
        bytes.extend(checksum.to_le_bytes());
        pins::decode(&bytes)
    };
    let (a, b) = (Hash::from_bytes([1; 32]), Hash::from_bytes([2; 32]));
    assert_eq!(sealed(2, &[a, b], b""), Ok(vec![a, b]));
    assert_eq!(sealed(2, &[b, a], b""), Err(PinsError::Malformed));
    assert_eq!(sealed(2, &[a, a], b""), Err(PinsError::Malformed));
    assert_eq!(sealed(1, &[a, b], b""), Err(PinsError::Malformed));
    assert_eq!(sealed(3, &[a, b], b""), Err(PinsError::Malformed));
    assert_eq!(sealed(2, &[a, b], b"x"), Err(PinsError::Malformed));
    assert_eq!(sealed(PIN_COUNT_MAX + 1, &[], b""), Err(PinsError::Count(PIN_COUNT_MAX + 1)));
    assert_eq!(sealed(u64::MAX, &[], b""), Err(PinsError::Count(u64::MAX)));
}

use proptest::prelude::*;

use super::{
    super::{
        ColumnError,
        column::{Column, Value},
    },
    column, values,
};
use crate::bytes::{DecodeError, Put as _, Reader, unzigzag};

fn decode<T: Value>(bytes: &[u8], count: usize, max: u64) -> Result<Vec<u64>, ColumnError> {
    let mut reader = Reader::new(bytes);
    let column = Column::<T>::decode(&mut reader, count, max)?;
    reader.finish()?;
    Ok((0..count).map(|i| column.get(i).into()).collect())
}

fn decode_u64(bytes: &[u8], count: usize) -> Result<Vec<u64>, ColumnError> {
    decode::<u64>(bytes, count, u64::MAX)
}

/// Encodes and returns the encoding that was chosen.
fn encoding(values: &[u64]) -> u8 {
    let mut bytes = Vec::new();
    column::encode(values.iter().copied(), &mut bytes);
    assert_eq!(decode_u64(&bytes, values.len()), Ok(values.to_vec()));
    bytes[0]
}

#[test]
fn each_encoding_decodes_as_the_format_says() {
    assert_eq!(decode_u64(&[0, 7], 3), Ok(vec![7; 3]));
    assert_eq!(decode_u64(&[1, 10, 3], 4), Ok(vec![10, 8, 6, 4]));
    assert_eq!(decode_u64(&[1, 1, 3], 3), Ok(vec![1, u64::MAX, u64::MAX - 2]));
    assert_eq!(decode_u64(&[2, 5, 0x80, 1, 0], 3), Ok(vec![5, 128, 0]));
    assert_eq!(decode_u64(&[3, 100, 10, 2, 1, 0], 4), Ok(vec![100, 110, 100, 100]));
    assert_eq!(decode_u64(&[3, 0, 1, 1], 2), Ok(vec![0, u64::MAX]));
    assert_eq!(decode_u64(&[4, 2, 9, 1, 8, 2], 3), Ok(vec![9, 8, 8]));
    assert_eq!(decode_u64(&[3, 6, 1], 1), Ok(vec![6]));
}

#[test]
fn malformed_columns_are_refused() {
    let truncated = Err(ColumnError::Decode(DecodeError::Truncated));
    let varint = Err(ColumnError::Decode(DecodeError::Varint));
    let overflow = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2];
    for (bytes, error) in [
        (&[][..], &truncated),
        (&[0], &truncated),
        (&[0, 0x80], &truncated),
        (&[1, 0], &truncated),
        (&[2, 1, 1], &truncated),
        (&[2, 0x80, 1, 1], &truncated),
        (&[3, 1], &truncated),
        (&[3, 1, 1, 1], &truncated),
        (&[4, 2, 1, 1, 1], &truncated),
        (&[0, 0x80, 0], &varint),
        (&[2, 1, 0x81, 0, 1], &varint),
        (&[&[0][..], &overflow].concat(), &varint),
        (&[&[2, 1, 1][..], &overflow].concat(), &varint),
        (&[0, 1, 1], &Err(ColumnError::Decode(DecodeError::Trailing))),
        (&[5, 0], &Err(ColumnError::Encoding(5))),
        (&[3, 1, 0, 1, 1], &Err(ColumnError::Scale)),
        // No runs, an empty one, too many, too long, too short, and too long for a number.
        (&[4, 0], &Err(ColumnError::Runs)),
        (&[4, 2, 1, 3, 1, 0], &Err(ColumnError::Runs)),
        (&[4, 2, 1, 0, 1, 3], &Err(ColumnError::Runs)),
        (&[4, 4, 1, 1, 1, 1, 1, 1, 1, 1], &Err(ColumnError::Runs)),
        (&[4, 1, 1, 4], &Err(ColumnError::Runs)),
        (&[4, 1, 1, 2], &Err(ColumnError::Runs)),
        (&[4, 2, 1, 1, 2, 1], &Err(ColumnError::Runs)),
        (&[4, 2, 1, 3, 2, 1], &Err(ColumnError::Runs)),
        (&[&[4, 1, 1, 0xFF][..], &overflow[..8], &[1]].concat(), &Err(ColumnError::Runs)),
    ] {
        assert_eq!(&decode_u64(bytes, 3), error, "{bytes:?}");
    }
}

#[test]
fn values_out_of_range_are_refused_in_each_encoding() {
    let fine: [&[u8]; 5] =
        [&[0, 3], &[1, 3, 1], &[2, 3, 1, 0], &[3, 3, 1, 1, 1], &[4, 2, 3, 1, 2, 2]];
    for bytes in fine {
        assert!(decode::<u8>(bytes, 3, 3).is_ok(), "{bytes:?}");
        assert_eq!(decode::<u8>(bytes, 3, 2), Err(ColumnError::Range), "{bytes:?}");
    }
    // The last value of a line may be the one, and a difference may wrap.
    assert_eq!(decode::<u8>(&[1, 2, 2], 3, 3), Err(ColumnError::Range));
    assert_eq!(decode::<u8>(&[1, 1, 1], 3, 3), Err(ColumnError::Range));
    assert_eq!(decode::<u8>(&[3, 0, 1, 1, 2], 3, 3), Err(ColumnError::Range));
}

#[test]
fn few_bytes_do_not_make_a_reader_allocate_for_many_values() {
    for bytes in [&[2, 0, 0][..], &[3, 0, 1, 0, 0]] {
        let error = decode_u64(bytes, 1 << 18).unwrap_err();
        assert_eq!(error, ColumnError::Decode(DecodeError::Truncated));
    }
}

#[test]
fn the_encoding_suits_the_values() {
    assert_eq!(encoding(&[5]), 0);
    assert_eq!(encoding(&[5; 100]), 0);
    assert_eq!(encoding(&[5, 6, 7]), 1);
    assert_eq!(encoding(&[0, u64::MAX, u64::MAX - 1]), 1);
    assert_eq!(encoding(&[1, 0, 2, 1, 0, 1]), 2);
    assert_eq!(encoding(&[1_000_000, 1_000_010, 1_000_015, 1_000_001]), 3);
    assert_eq!(encoding(&[&[1; 50][..], &[9; 50]].concat()), 4);
}

#[test]
fn a_common_factor_of_the_differences_is_taken_out() {
    let values = [70_000_000, 70_100_000, 70_083_000, 70_084_000];
    let mut bytes = Vec::new();
    column::encode(values.into_iter(), &mut bytes);
    // Encoding, first, scale 1000, and 100, -17 and 1 as zigzag: 200, 33, 2.
    let mut expected = vec![3];
    for value in [70_000_000, 1000, 200, 33, 2] {
        expected.put_varint(value);
    }
    assert_eq!(bytes, expected);
}

#[test]
fn differences_of_half_of_all_numbers_round_trip() {
    let half = 1 << 63;
    encoding(&[0, half, 0, 0, half]);
    encoding(&[half, 1_700_000_000_000_000, half, 1_700_000_001_000_000]);
}

proptest! {
    #[test]
    fn no_other_encoding_would_be_shorter_than_the_chosen(values in (1..200_usize).prop_flat_map(values)) {
        let mut bytes = Vec::new();
        column::encode(values.iter().copied(), &mut bytes);
        prop_assert_eq!(decode_u64(&bytes, values.len()), Ok(values.clone()));

        let mut plain = vec![2];
        for &value in &values {
            plain.put_varint(value);
        }
        let mut runs = Vec::new();
        let chunks = values.chunk_by(|a, b| a == b);
        runs.put_u8(4);
        runs.put_varint(chunks.clone().count() as u64);
        chunks.for_each(|run| { runs.put_varint(run[0]); runs.put_varint(run.len() as u64); });
        // A line of two values may be longer than they are.
        prop_assert!(bytes.len() <= plain.len().min(runs.len()) || bytes[0] == 1);
    }

    /// The short ways of checking a line against its spread out values.
    #[test]
    fn a_line_is_judged_as_its_values_are(
        first in prop_oneof![0..20_u64, any::<u64>()],
        zigzag in prop_oneof![0..6_u64, any::<u64>(), (0..64_u32).prop_map(|bit| 1 << bit)],
        count in 1..12_usize,
        max in prop_oneof![Just(3_u64), Just(255), Just(1 << 20), Just(u64::from(u32::MAX))],
    ) {
        let step = unzigzag(zigzag);
        let values: Vec<u64> =
            (0..count as u64).map(|i| first.wrapping_add(i.wrapping_mul(step))).collect();
        let mut bytes = vec![1];
        bytes.put_varint(first);
        bytes.put_varint(zigzag);

        let decoded = decode::<u32>(&bytes, count, max);
        if values.iter().all(|&value| value <= max) {
            prop_assert_eq!(decoded, Ok(values.clone()));
        } else {
            prop_assert_eq!(decoded, Err(ColumnError::Range));
        }
        let column = Column::<u64>::decode(&mut Reader::new(&bytes), count, u64::MAX)?;
        prop_assert_eq!(column.rises(count), values.is_sorted_by(|a, b| a < b));
    }
}

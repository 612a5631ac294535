use proptest::prelude::*;

use super::{DecodeError, Hash, Put as _, Reader, SaltedCrc, Timestamp, crc, unzigzag, zigzag};

#[test]
fn crc_has_the_check_value_of_iso_hdlc() {
    assert_eq!(crc(b"123456789"), 0xCBF4_3926);
}

#[test]
fn salted_crc_is_the_crc_of_salt_and_bytes() {
    assert_eq!(SaltedCrc::new(b"1234").crc(b"56789"), 0xCBF4_3926);
    assert_eq!(SaltedCrc::new(b"12").bound_to(b"34").crc(b"56789"), 0xCBF4_3926);
}

#[test]
fn overlong_and_oversized_varints_are_errors() {
    for bytes in [&[0x80, 0x00][..], &[0xFF; 10], &[0x80; 11]] {
        assert_eq!(Reader::new(bytes).varint(), Err(DecodeError::Varint), "{bytes:x?}");
    }
    assert_eq!(Reader::new(&[0x80]).varint(), Err(DecodeError::Truncated));
}

#[test]
fn hash_text_round_trips_and_rejects_other_text() {
    let hash = Hash::from_bytes([0xA7; 32]);
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert!("a7".parse::<Hash>().is_err());
    assert!("é".repeat(32).parse::<Hash>().is_err());
}

#[test]
fn a_date_alone_is_its_first_moment_in_utc() {
    assert_eq!(Timestamp::parse("1970-01-02").map(Timestamp::as_micros), Ok(86_400_000_000));
    assert!(Timestamp::parse("yesterday").is_err());
}

proptest! {
    #[test]
    fn varint_and_zigzag_round_trip(value: u64) {
        let mut bytes = Vec::new();
        bytes.put_varint(value);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.varint(), Ok(value));
        prop_assert!(reader.finish().is_ok());
        prop_assert_eq!(unzigzag(zigzag(value)), value);
    }
}

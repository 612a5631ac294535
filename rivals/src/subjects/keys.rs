//! Keys for stores that order them by their bytes.

/// The key of an entry of the log.
pub(super) fn log_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in the key of an entry of the log.
pub(super) fn log_number(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.try_into().expect("keys of the log have eight bytes"))
}

/// The key of an entry of a stream.
pub(super) fn stream_key(stream: usize, number: usize) -> [u8; 16] {
    (((stream as u128) << 64) | number as u128).to_be_bytes()
}

//! Varints and zigzag (G-8).

use super::DecodeError;

/// Most bytes of a varint.
const LEN_MAX: usize = 10;

/// Decodes the varint at the start of `input`; also returns its length in bytes.
pub(super) fn decode(input: &[u8]) -> Result<(u64, usize), DecodeError> {
    let mut value = 0_u64;
    for (i, &byte) in input.iter().take(LEN_MAX).enumerate() {
        let bits = u64::from(byte & 0x7F);
        // The tenth byte has room for one bit only.
        if i == LEN_MAX - 1 && bits > 1 {
            return Err(DecodeError::Varint);
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            let overlong = byte == 0 && i > 0;
            return if overlong { Err(DecodeError::Varint) } else { Ok((value, i + 1)) };
        }
    }
    Err(if input.len() < LEN_MAX { DecodeError::Truncated } else { DecodeError::Varint })
}

/// Appends `value`.
pub(super) fn encode(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Maps small magnitudes of either sign to small numbers. The `u64` carries an `i64`'s bits.
pub(crate) const fn zigzag(value: u64) -> u64 {
    (value << 1) ^ (value.cast_signed() >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

//! Single bits and lengths.

use super::{
    oracle::{End, HEAD_LEN, sample},
    stride,
};

const ENDS: [End; 3] = [End::Closed, End::Killed, End::PowerLoss];

#[test]
fn every_bit_of_a_frame() {
    for end in ENDS {
        let sample = sample(end, 5);
        let mut bytes = sample.bytes().to_vec();
        for bit in HEAD_LEN * 8..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            sample.assert_judged(&bytes, &format!("{end:?}, bit {bit}"));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// Either copy of the header serves, and either checkpoint can be missed. The stride is odd, so that all bits of a
/// byte have their turn.
#[test]
fn every_bit_of_the_head() {
    for end in ENDS {
        let sample = sample(end, 5);
        let mut bytes = sample.bytes().to_vec();
        for bit in (0..HEAD_LEN * 8).step_by(stride(29)) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            sample.assert_judged(&bytes, &format!("{end:?}, bit {bit}"));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_length() {
    for end in ENDS {
        let sample = sample(end, 5);
        let bytes = sample.bytes();
        for len in (0..HEAD_LEN).step_by(stride(31)).chain(HEAD_LEN..bytes.len()) {
            sample.assert_judged(&bytes[..len], &format!("{end:?}, cut at {len}"));
        }
        for more in [1, 7, 8, 72, 511] {
            for byte in [0, 0xFF] {
                let longer = [bytes, &vec![byte; more]].concat();
                sample.assert_judged(&longer, &format!("{end:?}, {more} more of {byte}"));
            }
        }
    }
}

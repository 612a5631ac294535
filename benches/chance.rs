//! Numbers that look random and are the same in each run.

/// A sequence of them (xorshift64*).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// One of the numbers below `end`, each as likely as the others. `end` is below 2^32.
    pub const fn below(&mut self, end: u64) -> u64 {
        ((self.number() >> 32) * end) >> 32
    }

    /// One of the numbers below `end`, about as Zipf has it: number n with a weight of 1 / (n + 1).
    pub const fn skewed(&mut self, end: u64) -> u64 {
        loop {
            let octave = self.below(end.ilog2() as u64 + 1);
            let number = (1 << octave) - 1 + self.below(1 << octave);
            if number < end {
                return number;
            }
        }
    }

    /// As [`Chance::below`].
    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("below a usize")
    }

    /// As [`Chance::skewed`].
    pub fn skewed_index(&mut self, end: usize) -> usize {
        usize::try_from(self.skewed(end as u64)).expect("below a usize")
    }

    /// `len` bytes that do not compress.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

//! Writing little-endian values.

/// Appends values in the format's byte order.
pub(crate) trait Put {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);

    /// Appends one byte.
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Appends two bytes.
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    /// Appends four bytes.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// Appends eight bytes.
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// Appends eight bytes in two's complement.
    fn put_i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }

    /// Appends a varint (G-8).
    fn put_varint(&mut self, value: u64);

    /// Appends zeros until the length is `len`; does nothing if it already is or exceeds it.
    fn pad_to(&mut self, len: usize);
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_varint(&mut self, value: u64) {
        super::varint::encode(value, self);
    }

    fn pad_to(&mut self, len: usize) {
        if self.len() < len {
            self.resize(len, 0);
        }
    }
}

/// What `fill` appends, which is `N` bytes.
pub(crate) fn fixed<const N: usize>(fill: impl FnOnce(&mut Vec<u8>)) -> [u8; N] {
    let mut out = Vec::with_capacity(N);
    fill(&mut out);
    *out.as_array().expect("the fields add up to the length of the whole")
}

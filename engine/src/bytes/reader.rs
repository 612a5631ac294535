//! Reading from untrusted bytes.

/// Why bytes cannot be decoded, apart from what the layer above knows about their meaning.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends before the value does.
    #[error("ends too early")]
    Truncated,
    /// A varint of more than ten bytes, above 2^64 - 1, or longer than it needs to be (G-8).
    #[error("malformed varint")]
    Varint,
    /// Bytes follow where the value should have ended.
    #[error("bytes follow the end")]
    Trailing,
    /// A field that must be zero is not (G-3).
    #[error("reserved bytes are not zero")]
    Reserved,
}

/// Reads little-endian values from a slice; never past its end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `input`.
    pub const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`], as for all fixed-size reads here.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next byte.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// The next two bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// The next four bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next eight bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The next eight bytes in two's complement.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`].
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// The next varint (G-8).
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] or [`DecodeError::Varint`].
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let (value, len) = super::varint::decode(self.rest)?;
        self.rest = &self.rest[len..];
        Ok(value)
    }

    /// Skips `len` bytes that must be zero (G-3).
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] or [`DecodeError::Reserved`].
    pub fn zeros(&mut self, len: usize) -> Result<(), DecodeError> {
        if self.take(len)?.iter().any(|&byte| byte != 0) {
            return Err(DecodeError::Reserved);
        }
        Ok(())
    }

    /// Checks that everything has been read.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Trailing`].
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

//! CRC-32/ISO-HDLC, plain and seeded with a log's salt (G-6).

/// The CRC of `bytes` without a salt.
pub fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Computes CRCs that are seeded with a salt, so that bytes of another log never check out.
///
/// The state after the salt is kept: seeding costs nothing per checksum.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SaltedCrc {
    after_salt: u32,
    salt_len: u64,
}

impl SaltedCrc {
    /// Seeds with `salt`.
    pub fn new(salt: &[u8]) -> Self {
        Self { after_salt: crc32fast::hash(salt), salt_len: salt.len() as u64 }
    }

    /// `CRC(salt || bytes)`.
    pub fn crc(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial_len(self.after_salt, self.salt_len);
        hasher.update(bytes);
        hasher.finalize()
    }

    /// Extends the salt by `bytes`: what is checked afterwards is bound to them as well.
    #[must_use]
    pub fn bound_to(self, bytes: &[u8]) -> Self {
        Self { after_salt: self.crc(bytes), salt_len: self.salt_len + bytes.len() as u64 }
    }
}

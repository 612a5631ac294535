//! Section 1: fixed fields at an offset, varints, checksums, and how ids are printed.

/// A UUID as its 16 bytes (G-4).
pub(crate) type Uuid = [u8; 16];

/// The `len` bytes at `offset`.
pub(crate) fn part(bytes: &[u8], offset: usize, len: usize) -> Result<&[u8], String> {
    offset
        .checked_add(len)
        .and_then(|end| bytes.get(offset..end))
        .ok_or_else(|| format!("G-2: {len} bytes at {offset} are not in {} bytes", bytes.len()))
}

/// The `N` bytes at `offset`.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], String> {
    part(bytes, offset, N)?.try_into().map_err(|_| format!("G-2: not {N} bytes at {offset}"))
}

pub(crate) fn u8_at(bytes: &[u8], offset: usize) -> Result<u8, String> {
    array_at(bytes, offset).map(u8::from_le_bytes)
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, String> {
    array_at(bytes, offset).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, String> {
    array_at(bytes, offset).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Result<u64, String> {
    array_at(bytes, offset).map(u64::from_le_bytes)
}

/// A time field (G-9): `None` for the reserved value.
pub(crate) fn time_at(bytes: &[u8], offset: usize) -> Result<Option<i64>, String> {
    array_at(bytes, offset).map(i64::from_le_bytes).map(time)
}

/// G-9: the value -2^63 means "none".
pub(crate) fn time(value: i64) -> Option<i64> {
    (value != i64::MIN).then_some(value)
}

/// G-3: the `len` bytes at `offset` must be zero; `rule` is the rule whose table says so.
pub(crate) fn zero_at(
    bytes: &[u8],
    offset: usize,
    len: usize,
    rule: &'static str,
) -> Result<(), String> {
    match part(bytes, offset, len)?.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(at) => Err(format!("{rule}, G-3: byte {} is not zero", offset.saturating_add(at))),
    }
}

/// Fails with `message`, which starts with a rule, unless `holds`.
pub(crate) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

/// CRC (G-6).
pub(crate) fn crc(x: &[u8]) -> u32 {
    crc32fast::hash(x)
}

/// Salted CRC (G-6).
pub(crate) fn salted_crc(salt: &[u8; 16], x: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(salt);
    hasher.update(x);
    hasher.finalize()
}

/// The varint (G-8) at `*at`, which moves behind it.
pub(crate) fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, String> {
    let mut value = 0_u64;
    for i in 0..10_u32 {
        let byte = u8_at(bytes, *at).map_err(|_| "G-8: the varint has no end".to_owned())?;
        *at += 1;
        // The tenth byte holds bit 63 alone.
        ensure(i < 9 || byte & 0x7F <= 1, || "G-8: the varint exceeds 2^64 - 1".to_owned())?;
        value |= u64::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            ensure(i == 0 || byte != 0, || "G-8: the varint is overlong".to_owned())?;
            return Ok(value);
        }
    }
    Err("G-8: the varint is longer than 10 bytes".to_owned())
}

/// The inverse of `zigzag` (G-8), as the u64 of the same bits: arithmetic is modulo 2^64 (B-5).
pub(crate) fn unzigzag(z: u64) -> u64 {
    (z >> 1) ^ (z & 1).wrapping_neg()
}

/// `roundup` (G-7) for an alignment above zero.
pub(crate) fn roundup(x: u64, align: u64) -> u64 {
    x.div_ceil(align).saturating_mul(align)
}

/// A length in a file that is in memory fits both types; these say so without a cast.
pub(crate) fn to_usize(x: u64) -> Result<usize, String> {
    usize::try_from(x).map_err(|_| format!("G-2: {x} bytes do not fit in memory"))
}

pub(crate) fn to_u64(x: usize) -> u64 {
    u64::try_from(x).unwrap_or(u64::MAX)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A UUID as RFC 9562 prints it.
pub(crate) fn uuid(id: &Uuid) -> String {
    let digits = hex(id);
    let groups = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    groups.map(|(from, to)| digits.get(from..to).unwrap_or_default()).join("-")
}

/// Text padded with zeros (S-2, U-1); what is not UTF-8 is shown as replacement characters.
pub(crate) fn padded_text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

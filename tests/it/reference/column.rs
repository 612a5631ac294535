//! Columns of a batch (B-5).

use super::bytes::{ensure, u8_at, unzigzag, varint};

/// The column of `n` values at `*at`, which moves behind it. The caller has checked `n` against
/// `BATCH_ENTRY_COUNT_MAX` (L-1).
pub(crate) fn decode(bytes: &[u8], at: &mut usize, n: usize) -> Result<Vec<u64>, String> {
    let encoding = u8_at(bytes, *at).map_err(|_| "B-5: a column is missing".to_owned())?;
    *at += 1;
    match encoding {
        0 => constant(bytes, at, n),
        1 => linear(bytes, at, n),
        2 => (0..n).map(|_| varint(bytes, at)).collect(),
        3 => delta(bytes, at, n),
        4 => runs(bytes, at, n),
        other => Err(format!("B-5: column encoding {other}")),
    }
}

fn constant(bytes: &[u8], at: &mut usize, n: usize) -> Result<Vec<u64>, String> {
    let v = varint(bytes, at)?;
    Ok(vec![v; n])
}

fn linear(bytes: &[u8], at: &mut usize, n: usize) -> Result<Vec<u64>, String> {
    let first = varint(bytes, at)?;
    let step = unzigzag(varint(bytes, at)?);
    let mut values = Vec::new();
    let mut value = first;
    for _ in 0..n {
        values.push(value);
        value = value.wrapping_add(step);
    }
    Ok(values)
}

fn delta(bytes: &[u8], at: &mut usize, n: usize) -> Result<Vec<u64>, String> {
    let mut value = varint(bytes, at)?;
    let scale = varint(bytes, at)?;
    ensure(scale >= 1, || "B-5: a scale of 0".to_owned())?;
    let mut values = vec![value];
    for _ in 1..n {
        let d = unzigzag(varint(bytes, at)?);
        value = value.wrapping_add(d.wrapping_mul(scale));
        values.push(value);
    }
    Ok(values)
}

fn runs(bytes: &[u8], at: &mut usize, n: usize) -> Result<Vec<u64>, String> {
    let r = varint(bytes, at)?;
    let mut values = Vec::new();
    for _ in 0..r {
        let v = varint(bytes, at)?;
        let len = varint(bytes, at)?;
        ensure(len >= 1, || "B-5: an empty run".to_owned())?;
        let room = n.saturating_sub(values.len());
        let len = usize::try_from(len).ok().filter(|&len| len <= room);
        let len = len.ok_or_else(|| "B-5: the runs are longer than the column".to_owned())?;
        values.extend(std::iter::repeat_n(v, len));
    }
    ensure(values.len() == n, || "B-5: the runs are shorter than the column".to_owned())?;
    Ok(values)
}

//! Columns: one value for each entry, in the encoding that suits them best (B-5).
//!
//! ```text
//! encoding     bytes                                         values
//! 0 constant   varint v                                      all v
//! 1 linear     varint first, varint zigzag(step)             first + i * step
//! 2 plain      n varints                                     as they stand
//! 3 delta      varint first, varint scale, n - 1 zigzag(d)   the one before + d * scale
//! 4 runs       varint r, r times (varint v, varint len)      v, len times
//! ```
//!
//! Arithmetic is modulo 2^64. Most columns of most batches are constant or linear: these are
//! never spread out in memory, neither here nor there.

use super::ColumnError;
use crate::bytes::{DecodeError, Put as _, Reader, unzigzag, zigzag};

const CONSTANT: u8 = 0;
const LINEAR: u8 = 1;
const PLAIN: u8 = 2;
const DELTA: u8 = 3;
const RUNS: u8 = 4;

/// The integer that a field is kept as; its range may be smaller.
pub(super) trait Value: Copy + Eq + Into<u64> {
    /// The low bits of `value`.
    fn truncate(value: u64) -> Self;
}

impl Value for u8 {
    fn truncate(value: u64) -> Self {
        let [low, ..] = value.to_le_bytes();
        low
    }
}

impl Value for u32 {
    fn truncate(value: u64) -> Self {
        let [a, b, c, d, ..] = value.to_le_bytes();
        Self::from_le_bytes([a, b, c, d])
    }
}

impl Value for u64 {
    fn truncate(value: u64) -> Self {
        value
    }
}

/// A decoded column. All its values were in range when it was decoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Column<T> {
    /// All values are the same.
    Constant(T),
    /// The values are `first + i * step`, modulo 2^64.
    Linear { first: u64, step: u64 },
    /// The values one by one; at least two.
    Values(Vec<T>),
}

impl<T: Value> Column<T> {
    /// Decodes `count` values of at most `max`, which must fit `T`.
    ///
    /// Allocates at most `count` times the size of a `T`.
    pub(super) fn decode(
        reader: &mut Reader<'_>,
        count: usize,
        max: u64,
    ) -> Result<Self, ColumnError> {
        debug_assert!(count > 0, "a batch has entries");
        let values = match reader.u8()? {
            CONSTANT => return Self::constant(reader.varint()?, max),
            LINEAR => return Self::linear(reader, count, max),
            PLAIN => plain(reader, count, max)?,
            DELTA => delta(reader, count, max)?,
            RUNS => return Self::runs(reader, count, max),
            encoding => return Err(ColumnError::Encoding(encoding)),
        };
        Ok(match values[..] {
            [value] => Self::Constant(value),
            _ => Self::Values(values),
        })
    }

    fn constant(value: u64, max: u64) -> Result<Self, ColumnError> {
        Ok(Self::Constant(in_range(value, max)?))
    }

    fn linear(reader: &mut Reader<'_>, count: usize, max: u64) -> Result<Self, ColumnError> {
        let first = reader.varint()?;
        let step = unzigzag(reader.varint()?);
        if step == 0 || count == 1 {
            return Self::constant(first, max);
        }
        // With less than half of the numbers in range, a step from one value in range to another
        // is their true difference: nothing wraps, the values rise or fall, and the first and the
        // last of them bound all others.
        if max != u64::MAX {
            debug_assert!(max < 1 << 63, "the range of a field has 63 bits, or all");
            let steps = i128::from(step.cast_signed()) * (count as i128 - 1);
            let last = i128::from(first) + steps;
            if first > max || !(0..=i128::from(max)).contains(&last) {
                return Err(ColumnError::Range);
            }
        }
        Ok(Self::Linear { first, step })
    }

    fn runs(reader: &mut Reader<'_>, count: usize, max: u64) -> Result<Self, ColumnError> {
        let run_count = reader.varint()?;
        // Each run has at least one value, so that this also limits the loop.
        if run_count == 0 || run_count > count as u64 {
            return Err(ColumnError::Runs);
        }
        let mut run = |room: usize| -> Result<(T, usize), ColumnError> {
            let value = in_range(varint(reader)?, max)?;
            let len = usize::try_from(varint(reader)?).map_err(|_| ColumnError::Runs)?;
            if len == 0 || len > room { Err(ColumnError::Runs) } else { Ok((value, len)) }
        };
        let (value, len) = run(count)?;
        if len == count && run_count == 1 {
            return Ok(Self::Constant(value));
        }
        let mut values = Vec::with_capacity(count);
        values.resize(len, value);
        for _ in 1..run_count {
            let (value, len) = run(count - values.len())?;
            values.resize(values.len() + len, value);
        }
        if values.len() == count { Ok(Self::Values(values)) } else { Err(ColumnError::Runs) }
    }

    /// The value of entry `i` of the batch. Meaningless if there is no such entry.
    #[inline]
    pub(super) fn get(&self, i: usize) -> T {
        match self {
            Self::Constant(value) => *value,
            Self::Linear { first, step } => {
                T::truncate(first.wrapping_add(step.wrapping_mul(i as u64)))
            }
            Self::Values(values) => values[i],
        }
    }

    /// The value of all entries, if they have the same.
    pub(super) fn single(&self) -> Option<T> {
        match self {
            Self::Constant(value) => Some(*value),
            // A linear column has a step and at least two values.
            Self::Linear { .. } => None,
            Self::Values(values) => {
                let first = *values.first()?;
                values.iter().all(|&value| value == first).then_some(first)
            }
        }
    }

    /// Bytes held beside the column itself.
    pub(super) fn heap_len(&self) -> usize {
        match self {
            Self::Constant(_) | Self::Linear { .. } => 0,
            Self::Values(values) => values.capacity() * size_of::<T>(),
        }
    }
}

impl Column<u64> {
    /// Whether each of the `count` values is greater than the one before.
    pub(super) fn rises(&self, count: usize) -> bool {
        match self {
            Self::Constant(_) => count == 1,
            // As an unsigned number, because a rise of 2^63 or more looks like a fall.
            Self::Linear { first, step } => {
                let last = u128::from(*first) + u128::from(*step) * (count as u128 - 1);
                last <= u128::from(u64::MAX)
            }
            Self::Values(values) => values.is_sorted_by(|a, b| a < b),
        }
    }
}

fn plain<T: Value>(reader: &mut Reader<'_>, count: usize, max: u64) -> Result<Vec<T>, ColumnError> {
    let mut values = with_capacity(count, reader.rest().len())?;
    for _ in 0..count {
        values.push(in_range(varint(reader)?, max)?);
    }
    Ok(values)
}

fn delta<T: Value>(reader: &mut Reader<'_>, count: usize, max: u64) -> Result<Vec<T>, ColumnError> {
    let mut value = reader.varint()?;
    let scale = reader.varint()?;
    if scale == 0 {
        return Err(ColumnError::Scale);
    }
    // The first value has been read already; its varint stands for it in the check.
    let mut values = with_capacity(count, reader.rest().len() + 1)?;
    values.push(in_range(value, max)?);
    for _ in 1..count {
        value = value.wrapping_add(unzigzag(varint(reader)?).wrapping_mul(scale));
        values.push(in_range(value, max)?);
    }
    Ok(values)
}

/// Room for `count` values of which each takes at least one of the `left` bytes.
fn with_capacity<T>(count: usize, left: usize) -> Result<Vec<T>, DecodeError> {
    if left < count { Err(DecodeError::Truncated) } else { Ok(Vec::with_capacity(count)) }
}

fn in_range<T: Value>(value: u64, max: u64) -> Result<T, ColumnError> {
    if value > max { Err(ColumnError::Range) } else { Ok(T::truncate(value)) }
}

/// [`Reader::varint`], with a short way for the one byte that is most of them.
#[inline]
fn varint(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    match reader.rest().first() {
        Some(0..0x80) => reader.u8().map(u64::from),
        _ => reader.varint(),
    }
}

/// Appends the column of `values`, of which there is at least one.
///
/// Takes the shortest encoding before compression, but constant and linear wherever they fit,
/// because a reader has no work with them. Two passes over the values, one of which ends at the
/// first that is not on the line.
pub(super) fn encode(values: impl Iterator<Item = u64> + Clone, out: &mut Vec<u8>) {
    let mut rest = values.clone();
    let Some(first) = rest.next() else { return };
    match line(first, rest.clone()) {
        Some(0) => {
            out.put_u8(CONSTANT);
            out.put_varint(first);
        }
        Some(step) => {
            out.put_u8(LINEAR);
            out.put_varint(first);
            out.put_varint(zigzag(step));
        }
        None => encode_uneven(first, rest, values, out),
    }
}

/// The step from each value to the next if it is always the same; 0 if there is only one.
fn line(first: u64, mut rest: impl Iterator<Item = u64>) -> Option<u64> {
    let Some(mut last) = rest.next() else { return Some(0) };
    let step = last.wrapping_sub(first);
    rest.all(|value| {
        let on_line = value.wrapping_sub(last) == step;
        last = value;
        on_line
    })
    .then_some(step)
}

/// Appends a column that is neither constant nor linear; `rest` is `values` without the first.
fn encode_uneven(
    first: u64,
    rest: impl Iterator<Item = u64> + Clone,
    values: impl Iterator<Item = u64> + Clone,
    out: &mut Vec<u8>,
) {
    let survey = Survey::new(first, rest.clone());
    let start = out.len();
    let other_len = survey.plain_len.min(survey.runs_len);
    // With a scale the length is only known once the column is written.
    if survey.scale > 1 || survey.delta_len < other_len {
        put_delta(first, rest.clone(), survey.scale, out);
        if out.len() - start <= other_len {
            return;
        }
        out.truncate(start);
    }
    if survey.plain_len <= survey.runs_len {
        out.put_u8(PLAIN);
        values.for_each(|value| out.put_varint(value));
    } else {
        put_runs(first, rest, survey.run_count, out);
    }
}

fn put_delta(first: u64, rest: impl Iterator<Item = u64>, scale: u64, out: &mut Vec<u8>) {
    out.put_u8(DELTA);
    out.put_varint(first);
    out.put_varint(scale);
    let mut last = first;
    for value in rest {
        let difference = value.wrapping_sub(last);
        last = value;
        // The scale divides the magnitude, and the sign goes on top.
        let scaled = if scale == 1 { difference } else { divide(difference, scale) };
        out.put_varint(zigzag(scaled));
    }
}

/// `difference`, the bits of an `i64`, divided by a `scale` that divides it.
fn divide(difference: u64, scale: u64) -> u64 {
    let difference = difference.cast_signed();
    let quotient = difference.unsigned_abs() / scale;
    if difference < 0 { quotient.wrapping_neg() } else { quotient }
}

fn put_runs(first: u64, rest: impl Iterator<Item = u64>, run_count: u64, out: &mut Vec<u8>) {
    out.put_u8(RUNS);
    out.put_varint(run_count);
    let (mut value, mut len) = (first, 1);
    for next in rest {
        if next == value {
            len += 1;
        } else {
            out.put_varint(value);
            out.put_varint(len);
            (value, len) = (next, 1);
        }
    }
    out.put_varint(value);
    out.put_varint(len);
}

/// How long a column would be in each encoding, the encoding byte included.
struct Survey {
    plain_len: usize,
    runs_len: usize,
    run_count: u64,
    /// With scale 1.
    delta_len: usize,
    /// The greatest common divisor of all differences; 0 if there are none.
    scale: u64,
}

impl Survey {
    fn new(first: u64, rest: impl Iterator<Item = u64>) -> Self {
        let first_len = varint_len(first);
        let mut survey = Self {
            plain_len: 1 + first_len,
            runs_len: 1 + first_len,
            run_count: 1,
            delta_len: 1 + first_len + 1,
            scale: 0,
        };
        let (mut last, mut last_len, mut run_len) = (first, first_len, 1);
        for value in rest {
            let difference = value.wrapping_sub(last);
            if difference == 0 {
                run_len += 1;
            } else {
                last = value;
                last_len = varint_len(value);
                survey.runs_len += varint_len(run_len) + last_len;
                survey.run_count += 1;
                run_len = 1;
                if survey.scale != 1 {
                    let magnitude = difference.cast_signed().unsigned_abs();
                    survey.scale = greatest_common_divisor(survey.scale, magnitude);
                }
            }
            survey.plain_len += last_len;
            survey.delta_len += varint_len(zigzag(difference));
        }
        survey.runs_len += varint_len(run_len) + varint_len(survey.run_count);
        survey
    }
}

/// Encoded size of a varint, in bytes.
fn varint_len(value: u64) -> usize {
    // 7 bits a byte; zero takes one as well.
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// By Euclid; takes one step where `a` divides `b`, as it mostly does here.
fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while a != 0 {
        (a, b) = (b % a, a);
    }
    b
}

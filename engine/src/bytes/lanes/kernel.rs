//! The compression function of BLAKE3 in all lanes of a vector at once.
//!
//! From the paper on BLAKE3, section 2.2: word i of the state of each message lies in vector i, so that the seven rounds
//! are written as for one message. `fearless_simd` finds out what the processor has, and makes this code for each
//! kind of vector.
#![allow(
    clippy::inline_always,
    reason = "only what is inlined is made for the vectors that were found"
)]

use fearless_simd::{Level, Simd, dispatch, prelude::*};

use super::{BLOCK_LEN, Chunk};

/// Lanes of the widest vectors.
const LANE_COUNT_MAX: usize = 16;
/// Words of a block.
const WORD_COUNT: usize = BLOCK_LEN / 4;

const IV: [u32; 4] = [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A];

/// Which word of the message goes where, for each round.
const SCHEDULE: [[usize; WORD_COUNT]; 7] = {
    const PERMUTATION: [usize; WORD_COUNT] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
    let mut schedule = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]; 7];
    let mut round = 1;
    while round < 7 {
        let mut word = 0;
        while word < WORD_COUNT {
            schedule[round][word] = schedule[round - 1][PERMUTATION[word]];
            word += 1;
        }
        round += 1;
    }
    schedule
};

/// The chaining value, or hash, of each chunk.
pub(super) fn compress(
    level: Level,
    key: &[u8; 32],
    blocks: &[[u8; BLOCK_LEN]],
    chunks: &[Chunk],
    values: &mut [[u8; 32]],
) {
    let (key, _) = key.as_chunks::<4>();
    let key = std::array::from_fn(|i| u32::from_le_bytes(key[i]));
    dispatch!(level, simd => all(simd, &key, blocks, chunks, values));
}

#[inline(always)]
fn all<S: Simd>(
    simd: S,
    key: &[u32; 8],
    blocks: &[[u8; BLOCK_LEN]],
    chunks: &[Chunk],
    values: &mut [[u8; 32]],
) {
    let width = S::u32s::LEN;
    for (chunks, values) in chunks.chunks(width).zip(values.chunks_mut(width)) {
        side_by_side(simd, key, blocks, chunks, values);
    }
}

/// At most as many chunks as there are lanes. Those that have fewer blocks than others wait.
#[inline(always)]
fn side_by_side<S: Simd>(
    simd: S,
    key: &[u32; 8],
    blocks: &[[u8; BLOCK_LEN]],
    chunks: &[Chunk],
    values: &mut [[u8; 32]],
) {
    let load = |lanes: &[u32; LANE_COUNT_MAX]| S::u32s::from_slice(simd, &lanes[..S::u32s::LEN]);
    let mut counters = [0; LANE_COUNT_MAX];
    for (counter, chunk) in counters.iter_mut().zip(chunks) {
        *counter = chunk.counter;
    }
    let counters = load(&counters);
    let steps = chunks.iter().map(|chunk| chunk.block_count).max().unwrap_or(0);
    let mut state: [S::u32s; 8] = std::array::from_fn(|i| S::u32s::splat(simd, key[i]));
    for step in 0..steps {
        let mut rows = [&[0; BLOCK_LEN]; LANE_COUNT_MAX];
        let mut lens = [0; LANE_COUNT_MAX];
        let mut flags = [0; LANE_COUNT_MAX];
        let mut live = [0; LANE_COUNT_MAX];
        for (lane, chunk) in chunks.iter().enumerate() {
            if step < chunk.block_count {
                let is_last = step + 1 == chunk.block_count;
                rows[lane] = &blocks[chunk.first_block + step];
                lens[lane] = if is_last { chunk.last_len } else { 64 };
                flags[lane] = super::flags::KEYED
                    | if step == 0 { chunk.first_flags } else { 0 }
                    | if is_last { chunk.last_flags } else { 0 };
                live[lane] = 1;
            }
        }
        let message = words(simd, &rows);
        let next = step_of(simd, &state, &message, [counters, load(&lens), load(&flags)]);
        let live = load(&live).simd_gt(S::u32s::splat(simd, 0));
        for (word, next) in state.iter_mut().zip(next) {
            *word = live.select(next, *word);
        }
    }
    let mut lanes = [[0; LANE_COUNT_MAX]; 8];
    for (lanes, word) in lanes.iter_mut().zip(state) {
        word.store_slice(&mut lanes[..S::u32s::LEN]);
    }
    for (lane, value) in values.iter_mut().enumerate() {
        for (bytes, word) in value.as_chunks_mut::<4>().0.iter_mut().zip(&lanes) {
            *bytes = word[lane].to_le_bytes();
        }
    }
}

/// Word i of all blocks in vector i: the transposed matrix, by perfect shuffles.
#[inline(always)]
fn words<S: Simd>(simd: S, rows: &[&[u8; BLOCK_LEN]; LANE_COUNT_MAX]) -> [S::u32s; WORD_COUNT] {
    let width = S::u32s::LEN;
    let mut words = [S::u32s::splat(simd, 0); WORD_COUNT];
    for first in (0..WORD_COUNT).step_by(width) {
        let part = &mut words[first..first + width];
        for (vector, row) in part.iter_mut().zip(rows) {
            let (row, _) = row.as_chunks::<4>();
            let row: [u32; WORD_COUNT] = std::array::from_fn(|i| u32::from_le_bytes(row[i]));
            *vector = S::u32s::from_slice(simd, &row[first..first + width]);
        }
        // One for each bit of the number of a lane.
        shuffle::<S>(part);
        shuffle::<S>(part);
        if width > 4 {
            shuffle::<S>(part);
        }
        if width > 8 {
            shuffle::<S>(part);
        }
    }
    words
}

/// Interleaves the first half of the vectors with the second half.
#[inline(always)]
fn shuffle<S: Simd>(vectors: &mut [S::u32s]) {
    let half = S::u32s::LEN / 2;
    let mut old = [vectors[0]; LANE_COUNT_MAX];
    old[..2 * half].copy_from_slice(vectors);
    for i in 0..half {
        (vectors[2 * i], vectors[2 * i + 1]) = old[i].interleave(old[i + half]);
    }
}

/// One call of the compression function in each lane, with its counter (the low half), length and flags.
#[inline(always)]
fn step_of<S: Simd>(
    simd: S,
    state: &[S::u32s; 8],
    message: &[S::u32s; WORD_COUNT],
    [counters, lens, flags]: [S::u32s; 3],
) -> [S::u32s; 8] {
    let zero = S::u32s::splat(simd, 0);
    let mut v = [zero; 16];
    v[..8].copy_from_slice(state);
    for (v, word) in v[8..12].iter_mut().zip(IV) {
        *v = S::u32s::splat(simd, word);
    }
    (v[12], v[13], v[14], v[15]) = (counters, zero, lens, flags);
    round::<S, 0>(&mut v, message);
    round::<S, 1>(&mut v, message);
    round::<S, 2>(&mut v, message);
    round::<S, 3>(&mut v, message);
    round::<S, 4>(&mut v, message);
    round::<S, 5>(&mut v, message);
    round::<S, 6>(&mut v, message);
    std::array::from_fn(|i| v[i] ^ v[i + 8])
}

#[inline(always)]
fn round<S: Simd, const ROUND: usize>(v: &mut [S::u32s; 16], message: &[S::u32s; WORD_COUNT]) {
    let word = |i: usize| message[const { SCHEDULE[ROUND] }[i]];
    // The columns, then the diagonals.
    mix::<S>(v, [0, 4, 8, 12], word(0), word(1));
    mix::<S>(v, [1, 5, 9, 13], word(2), word(3));
    mix::<S>(v, [2, 6, 10, 14], word(4), word(5));
    mix::<S>(v, [3, 7, 11, 15], word(6), word(7));
    mix::<S>(v, [0, 5, 10, 15], word(8), word(9));
    mix::<S>(v, [1, 6, 11, 12], word(10), word(11));
    mix::<S>(v, [2, 7, 8, 13], word(12), word(13));
    mix::<S>(v, [3, 4, 9, 14], word(14), word(15));
}

/// The function G.
#[inline(always)]
#[allow(clippy::many_single_char_names, reason = "those of the paper")]
fn mix<S: Simd>(v: &mut [S::u32s; 16], [a, b, c, d]: [usize; 4], x: S::u32s, y: S::u32s) {
    v[a] = v[a] + v[b] + x;
    v[d] = rotate::<S, 16>(v[d] ^ v[a]);
    v[c] += v[d];
    v[b] = rotate::<S, 12>(v[b] ^ v[c]);
    v[a] = v[a] + v[b] + y;
    v[d] = rotate::<S, 8>(v[d] ^ v[a]);
    v[c] += v[d];
    v[b] = rotate::<S, 7>(v[b] ^ v[c]);
}

/// Rotates to the right.
#[inline(always)]
fn rotate<S: Simd, const BITS: u32>(word: S::u32s) -> S::u32s {
    (word >> BITS) | (word << (32 - BITS))
}

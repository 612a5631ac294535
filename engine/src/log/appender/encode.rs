//! From what is staged to frames: batch by batch, or several batches at once.
//!
//! A batch is encoded, and its entries hashed to leaves, without knowing the batches before it. So where much is staged
//! this is done by as many threads as can run, which end with the call; only what links the batches is done in
//! order: the tree above the leaves, roots, checksums, places. The bytes do not depend on the number of threads.

use std::ops::Range;

use super::{Appender, WRITE_LEN_MAX};
use crate::{
    batch::{BATCH_ENTRY_COUNT_MAX, BatchDraft, Encoder, set_continues, set_root},
    bytes::{Hash, LogId},
    error::IoError,
    frame::FRAME_HEADER_LEN,
    log::{
        replay::{Effect, Hasher, LeafHasher, ReplayError},
        stage::Staged,
    },
    sync::{self, AtomicU64, Ordering},
};

/// Fewer batches are encoded by the caller's thread alone: beginning a thread takes as long as encoding one.
const SHARED_COUNT_MIN: usize = 4;
/// More batches are not encoded before they are written.
const SHARED_COUNT_MAX: usize = 64;
/// More threads would each hold an encoder's memory, while what has to be done in order stays what it is.
const THREAD_COUNT_MAX: usize = 4;

/// What encodes batches, by itself or as one of several.
#[derive(Debug)]
struct Press {
    encoder: Encoder,
    hasher: LeafHasher,
}

/// All of an appender's.
#[derive(Debug)]
pub(super) struct Presses {
    level: i32,
    /// The first one is there from the beginning, the others when they are first needed.
    idle: Vec<Press>,
    /// How many there may be; found out when it matters.
    count_max: Option<usize>,
}

/// A batch that only lacks its place in the log.
#[derive(Debug, Default)]
struct Pressed {
    positions: Range<usize>,
    bytes: Vec<u8>,
    leaves: Vec<Hash>,
}

impl Press {
    fn new(level: i32) -> Self {
        Self { encoder: Encoder::new(level), hasher: LeafHasher::new() }
    }

    /// Appends the batch to `bytes`, without its root, and the leaves of its entries to `leaves`.
    fn press(
        &mut self,
        log: LogId,
        hasher: &Hasher,
        staged: &Staged,
        positions: Range<usize>,
        (bytes, leaves): (&mut Vec<u8>, &mut Vec<Hash>),
    ) -> Result<(), ReplayError> {
        let first_index = staged.first_index + positions.start as u64;
        let headers = &staged.headers[positions.clone()];
        let payloads = staged.payloads_of(&positions);
        self.encoder.encode(log, first_index, headers, payloads, Hash::ZERO, bytes);
        let entries = staged.entries(positions).map(Ok);
        self.hasher.hash(hasher.keys(), hasher.salts(), first_index, entries, leaves)
    }
}

impl Presses {
    pub(super) fn new(level: i32) -> Self {
        Self { level, idle: vec![Press::new(level)], count_max: None }
    }

    fn first(&mut self) -> &mut Press {
        &mut self.idle[0]
    }

    /// As many as are good for `batch_count` batches.
    fn several(&mut self, batch_count: usize) -> &mut [Press] {
        let count_max =
            *self.count_max.get_or_insert_with(|| sync::parallelism().min(THREAD_COUNT_MAX));
        let count = count_max.min(batch_count / (SHARED_COUNT_MIN / 2)).max(1);
        while self.idle.len() < count {
            self.idle.push(Press::new(self.level));
        }
        &mut self.idle[..count]
    }

    /// Gives back memory.
    pub(super) fn rest(&mut self) {
        *self = Self::new(1);
    }
}

impl Appender {
    /// Encodes and writes all that is staged; `is_synced`: a sync follows.
    pub(super) fn try_write(&mut self, staged: &Staged, is_synced: bool) -> Result<(), IoError> {
        self.check_len()?;
        let mut offset = self.state.end_offset;
        self.out.clear();
        let batches = self.batches_of(staged);
        if batches.len() < SHARED_COUNT_MIN {
            for positions in batches {
                self.encode(staged, positions);
                self.write_much(&mut offset)?;
            }
        } else {
            for batches in batches.chunks(SHARED_COUNT_MAX) {
                for pressed in self.press_all(staged, batches) {
                    self.place(staged, &pressed);
                    self.write_much(&mut offset)?;
                }
            }
        }
        // Where commits are large, their syncs have more to do than to lengthen the file.
        self.write_out(&mut offset, is_synced && staged.weight() < self.batch_len)
    }

    /// The positions of each batch.
    fn batches_of(&self, staged: &Staged) -> Vec<Range<usize>> {
        let mut batches = Vec::new();
        let mut start = 0;
        while start < staged.len() {
            let positions =
                staged.batch_from(start, self.batch_len, BATCH_ENTRY_COUNT_MAX as usize);
            start = positions.end;
            batches.push(positions);
        }
        batches
    }

    /// Writes what was encoded so far, if that is much.
    fn write_much(&mut self, offset: &mut u64) -> Result<(), IoError> {
        if self.out.len() >= WRITE_LEN_MAX { self.write_out(offset, false) } else { Ok(()) }
    }

    /// Encodes batches in as many threads as can run; gives them in order.
    fn press_all(&mut self, staged: &Staged, batches: &[Range<usize>]) -> Vec<Pressed> {
        let (log, hasher) = (self.header.log, &self.hasher);
        let presses = self.presses.several(batches.len());
        // Each takes the next one when it is done with one: others may want the processors as well.
        let next = AtomicU64::new(0);
        let work = |press: &mut Press| {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let positions = usize::try_from(number).ok().and_then(|at| batches.get(at));
                let Some(positions) = positions.cloned() else { return done };
                let mut pressed = Pressed { positions, ..Pressed::default() };
                let made = (&mut pressed.bytes, &mut pressed.leaves);
                let positions = pressed.positions.clone();
                press.press(log, hasher, staged, positions, made).expect(OWN_LOG);
                done.push(pressed);
            }
        };
        let mut pressed = sync::scope(|scope| {
            let mut presses = presses.iter_mut();
            let own = presses.next();
            // What a thread that cannot be had would have done is done by the others.
            let others: Vec<_> =
                presses.filter_map(|press| sync::spawn_in(scope, || work(press)).ok()).collect();
            let mut all = own.map(work).unwrap_or_default();
            for other in others {
                // A panic of theirs is one of the leader.
                all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            all
        });
        pressed.sort_unstable_by_key(|pressed| pressed.positions.start);
        pressed
    }

    /// Appends the frame of one batch to `out` and moves the state behind it.
    fn encode(&mut self, staged: &Staged, positions: Range<usize>) {
        let start = self.begin_frame();
        let mut leaves = Vec::new();
        let made = (&mut self.out, &mut leaves);
        let press = self.presses.first();
        press.press(self.header.log, &self.hasher, staged, positions.clone(), made).expect(OWN_LOG);
        self.link(staged, positions, &leaves, start);
    }

    /// The same, of one that is encoded already.
    fn place(&mut self, staged: &Staged, pressed: &Pressed) {
        let start = self.begin_frame();
        self.out.extend_from_slice(&pressed.bytes);
        self.link(staged, pressed.positions.clone(), &pressed.leaves, start);
    }

    fn link(&mut self, staged: &Staged, positions: Range<usize>, leaves: &[Hash], start: usize) {
        let continues = staged.splits_group(positions.end);
        if continues && self.boundary.is_none() {
            self.boundary = Some(self.state.clone());
        }
        let first_index = self.state.entry_count();
        let mut effect = self.spare_effects.pop().unwrap_or_default();
        self.hasher
            .append_hashed(&mut self.state, staged.entries(positions), leaves, &mut effect)
            .expect(OWN_LOG);
        self.finish_frame(start, first_index, continues, effect);
    }

    /// Appends the frame of entries that were put together.
    pub(super) fn encode_draft(
        &mut self,
        draft: &BatchDraft,
        continues: bool,
    ) -> Result<(), ReplayError> {
        let first_index = self.state.entry_count();
        let start = self.begin_frame();
        let encoder = &mut self.presses.first().encoder;
        encoder.encode_draft(self.header.log, first_index, draft, Hash::ZERO, &mut self.out);
        let mut effect = self.spare_effects.pop().unwrap_or_default();
        self.hasher.append(&mut self.state, draft.entries(), &mut effect)?;
        self.finish_frame(start, first_index, continues, effect);
        Ok(())
    }

    /// Leaves room for a frame's header; says where.
    fn begin_frame(&mut self) -> usize {
        let start = self.out.len();
        self.out.resize(start + FRAME_HEADER_LEN, 0);
        start
    }

    /// Puts the root into the batch that was encoded at the end of `out`, and makes it a frame.
    fn finish_frame(&mut self, start: usize, first_index: u64, continues: bool, effect: Effect) {
        let root = self.state.peaks.root(self.hasher.keys());
        let batch = &mut self.out[start + FRAME_HEADER_LEN..];
        set_root(batch, &root);
        if continues {
            set_continues(batch);
        }
        self.close_frame(start, first_index, continues, effect, root);
    }
}

/// What a failure to hash the own entries would mean.
const OWN_LOG: &str = "what this process stages continues its own log";

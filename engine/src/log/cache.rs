//! Decoded batches, kept within a budget of bytes and shared by all logs of a workspace.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    batch::{Batch, Decoder},
    bytes::LogId,
    sync::Mutex,
};

/// Decoders that are kept, of some 100 KB each.
const DECODER_COUNT_MAX: usize = 4;

/// Log, generation, first index. What a generation has forgotten must not be found by its readers.
type Key = (LogId, u64, u64);

/// A cache of batches by log and first index, with second-chance eviction.
#[derive(Debug)]
pub(crate) struct BatchCache {
    budget: usize,
    state: Mutex<State>,
    /// Of readers that are done: making one takes as long as decoding a small batch.
    decoders: Mutex<Vec<Decoder>>,
}

#[derive(Debug, Default)]
struct State {
    batches: BTreeMap<Key, Slot>,
    /// Keys in the order in which they are looked at for eviction.
    clock: VecDeque<Key>,
    used: usize,
}

#[derive(Debug)]
struct Slot {
    batch: Arc<Batch>,
    recently_used: bool,
}

impl BatchCache {
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, state: Mutex::default(), decoders: Mutex::default() }
    }

    /// Lends a decoder.
    pub(crate) fn with_decoder<R>(&self, work: impl FnOnce(&mut Decoder) -> R) -> R {
        let mut decoder = self.decoders.lock().pop().unwrap_or_default();
        let result = work(&mut decoder);
        let mut decoders = self.decoders.lock();
        if decoders.len() < DECODER_COUNT_MAX {
            decoders.push(decoder);
        }
        result
    }

    /// The batch that holds entry `index` of `log`, if it is here.
    pub(crate) fn find(&self, log: LogId, generation: u64, index: u64) -> Option<Arc<Batch>> {
        let mut state = self.state.lock();
        let key = (log, generation, index);
        let (found, slot) = state.batches.range_mut(..=key).next_back()?;
        if (found.0, found.1) != (log, generation) || slot.batch.end_index() <= index {
            return None;
        }
        slot.recently_used = true;
        Some(Arc::clone(&slot.batch))
    }

    /// Forgets what is here of generations of `log` before `generation`.
    pub(crate) fn forget(&self, log: LogId, generation: u64) {
        let mut state = self.state.lock();
        let State { batches, used, .. } = &mut *state;
        batches.retain(|&(of, found, _), slot| {
            let stays = of != log || found >= generation;
            *used -= if stays { 0 } else { slot.batch.memory_len() };
            stays
        });
    }

    /// Keeps `batch`, unless it alone is over budget.
    pub(crate) fn insert(&self, log: LogId, generation: u64, batch: &Arc<Batch>) {
        let len = batch.memory_len();
        if len > self.budget {
            return;
        }
        let mut state = self.state.lock();
        let key = (log, generation, batch.first_index());
        let slot = Slot { batch: Arc::clone(batch), recently_used: false };
        match state.batches.insert(key, slot) {
            Some(old) => state.used -= old.batch.memory_len(),
            None => state.clock.push_back(key),
        }
        state.used += len;
        while state.used > self.budget {
            state.evict_one();
        }
    }
}

impl State {
    fn evict_one(&mut self) {
        while let Some(key) = self.clock.pop_front() {
            match self.batches.get_mut(&key) {
                Some(slot) if slot.recently_used => {
                    slot.recently_used = false;
                    self.clock.push_back(key);
                }
                Some(slot) => {
                    self.used -= slot.batch.memory_len();
                    self.batches.remove(&key);
                    return;
                }
                None => {}
            }
        }
        // Nothing is left to look at, so nothing is used.
        self.used = 0;
    }
}

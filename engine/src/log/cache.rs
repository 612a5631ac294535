//! Decoded batches, kept within a budget of bytes and shared by all logs of a workspace.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{batch::Batch, bytes::LogId, sync::Mutex};

type Key = (LogId, u64);

/// A cache of batches by log and first index, with second-chance eviction.
#[derive(Debug)]
pub(crate) struct BatchCache {
    budget: usize,
    state: Mutex<State>,
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
        Self { budget, state: Mutex::default() }
    }

    /// The batch that holds entry `index` of `log`, if it is here.
    pub(crate) fn find(&self, log: LogId, index: u64) -> Option<Arc<Batch>> {
        let mut state = self.state.lock();
        let (&(found, _), slot) = state.batches.range_mut(..=(log, index)).next_back()?;
        if found != log || slot.batch.end_index() <= index {
            return None;
        }
        slot.recently_used = true;
        Some(Arc::clone(&slot.batch))
    }

    /// Keeps `batch`, unless it alone is over budget.
    pub(crate) fn insert(&self, log: LogId, batch: &Arc<Batch>) {
        let len = batch.memory_len();
        if len > self.budget {
            return;
        }
        let mut state = self.state.lock();
        let key = (log, batch.first_index());
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

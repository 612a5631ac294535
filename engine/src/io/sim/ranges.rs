//! Stretches of a file.

use std::ops::Range;

/// A set of offsets, as ranges in order that neither overlap nor touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    pub(super) fn insert(&mut self, mut new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        let first = self.0.partition_point(|range| range.end < new.start);
        let last = self.0.partition_point(|range| range.start <= new.end);
        if let Some(touched) = self.0.get(first..last)
            && let (Some(low), Some(high)) = (touched.first(), touched.last())
        {
            new = new.start.min(low.start)..new.end.max(high.end);
        }
        self.0.splice(first..last, [new]);
    }

    pub(super) fn extend(&mut self, other: &Self) {
        for range in &other.0 {
            self.insert(range.clone());
        }
    }

    pub(super) fn remove(&mut self, gone: &Range<u64>) {
        let parts = self.0.iter().flat_map(|range| {
            let below = range.start..range.end.min(gone.start);
            let above = range.start.max(gone.end)..range.end;
            [below, above]
        });
        self.0 = parts.filter(|range| !range.is_empty()).collect();
    }

    /// The lowest offset in it that is not below `start`.
    pub(super) fn first_from(&self, start: u64) -> Option<u64> {
        let range = self.0.iter().find(|range| range.end > start)?;
        Some(range.start.max(start))
    }
}

//! How much of a segment is carried over to its next generation as it is (H-2).

use crate::log::HEAD_LEN;

/// A frame at the end of the part that is compact already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct LastFrame {
    pub(super) offset: u64,
    /// About the length of its batch, uncompressed; `None` if it is no batch.
    pub(super) weight: Option<usize>,
}

/// What is known of a segment before it is compacted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Where its frames end.
    pub(super) end: u64,
    /// Below, frames were written by a compaction.
    pub(super) compacted_upto: u64,
    /// The last one of these.
    pub(super) last: Option<LastFrame>,
    /// Where its salt record stands, if that is in a frame.
    pub(super) salts_offset: Option<u64>,
    /// The first frame with a payload that is to be forgotten.
    pub(super) forgets_from: Option<u64>,
    /// A longer prefix is to be pruned.
    pub(super) prunes: bool,
    /// Everything is to be encoded anew.
    pub(super) everything: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Plan {
    /// The segment is compact, and has nothing to forget.
    Nothing,
    /// A new generation, of which the frames below this offset are carried over.
    Rewrite { carried_upto: u64 },
}

/// Decides for batches of about `batch_len` bytes.
///
/// The last batch of the compact part is written again if it is less than half full: so each compaction goes on where
/// the one before has ended, and there is never more than one such batch.
pub(super) fn plan(facts: &Facts, batch_len: usize) -> Plan {
    let forgets = facts.forgets_from.is_some() || facts.prunes;
    let is_empty = facts.end <= HEAD_LEN;
    let is_compact = facts.end <= facts.compacted_upto && !facts.everything;
    if (is_empty || is_compact) && !forgets {
        return Plan::Nothing;
    }
    if facts.everything || facts.prunes {
        return Plan::Rewrite { carried_upto: HEAD_LEN };
    }
    let mut carried_upto = facts.compacted_upto.max(HEAD_LEN);
    if let Some(LastFrame { offset, weight: Some(weight) }) = facts.last
        && weight < batch_len / 2
    {
        carried_upto = offset;
    }
    if let Some(offset) = facts.forgets_from {
        // The salts of what is forgotten must not be carried over either.
        let salts = facts.salts_offset.unwrap_or(u64::MAX);
        carried_upto = carried_upto.min(offset).min(salts);
    }
    Plan::Rewrite { carried_upto }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts {
        end: 9000 << 10,
        compacted_upto: 8000 << 10,
        last: Some(LastFrame { offset: 7990 << 10, weight: Some(60 << 10) }),
        salts_offset: None,
        forgets_from: None,
        prunes: false,
        everything: false,
    };

    fn carried(facts: Facts) -> u64 {
        match plan(&facts, 64 << 10) {
            Plan::Rewrite { carried_upto } => carried_upto,
            Plan::Nothing => panic!("there is something to do"),
        }
    }

    #[test]
    fn what_is_compact_is_carried_over() {
        assert_eq!(carried(FACTS), 8000 << 10);
        let small = LastFrame { offset: 7990 << 10, weight: Some(31 << 10) };
        assert_eq!(carried(Facts { last: Some(small), ..FACTS }), 7990 << 10);
        let record = LastFrame { weight: None, ..small };
        assert_eq!(carried(Facts { last: Some(record), ..FACTS }), 8000 << 10);
        assert_eq!(carried(Facts { compacted_upto: 0, last: None, ..FACTS }), HEAD_LEN);
    }

    #[test]
    fn nothing_is_carried_over_behind_what_is_forgotten_or_its_salts() {
        let forgets = Facts { forgets_from: Some(500 << 10), ..FACTS };
        assert_eq!(carried(forgets), 500 << 10);
        assert_eq!(carried(Facts { salts_offset: Some(300 << 10), ..forgets }), 300 << 10);
        assert_eq!(carried(Facts { salts_offset: Some(700 << 10), ..forgets }), 500 << 10);
        assert_eq!(carried(Facts { salts_offset: Some(300 << 10), ..FACTS }), 8000 << 10);
        assert_eq!(carried(Facts { prunes: true, ..FACTS }), HEAD_LEN);
        assert_eq!(carried(Facts { everything: true, ..FACTS }), HEAD_LEN);
    }

    #[test]
    fn a_segment_that_is_compact_and_has_nothing_to_forget_stays() {
        let compact = Facts { end: 8000 << 10, ..FACTS };
        assert_eq!(plan(&compact, 64 << 10), Plan::Nothing);
        let empty = Facts { end: HEAD_LEN, compacted_upto: 0, last: None, ..FACTS };
        assert_eq!(plan(&empty, 64 << 10), Plan::Nothing);
        assert_eq!(carried(Facts { forgets_from: Some(HEAD_LEN), ..compact }), HEAD_LEN);
        assert_eq!(carried(Facts { everything: true, ..compact }), HEAD_LEN);
    }
}

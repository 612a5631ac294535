use proptest::prelude::*;

use super::*;
use crate::{
    bytes::StreamId,
    entry::{Kind, Part},
};

const BATCH_LEN: usize = 100;

pub(crate) fn header(lamport: u64, payload: &[u8]) -> EntryHeader {
    EntryHeader {
        lamport,
        timestamp: None,
        payload_len: u32::try_from(payload.len()).expect("short"),
        stream: StreamId::DEFAULT,
        kind: Kind::CHANGE,
        part: Part::WHOLE,
    }
}

/// Where batches end: each is filled up to its length, and a small rest is taken along.
fn ends(weights: &[usize]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut start = 0;
    while start < weights.len() {
        let mut end = weights.len();
        if weights[start..].iter().sum::<usize>() > BATCH_LEN * 3 / 2 {
            end = start + 1;
            while end < weights.len() && weights[start..end].iter().sum::<usize>() < BATCH_LEN {
                end += 1;
            }
        }
        ends.push(end);
        start = end;
    }
    ends
}

/// Most are short; some are longer than several batches.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![9 => 0_usize..80, 1 => 80_usize..600]
}

#[test]
fn memory_is_kept_for_the_next_buffer_and_does_not_grow() {
    let mut staged = Staged::new(0, BATCH_LEN);
    for round in 0..100 {
        for len in [30, 250, 30, 30, 1000, 350, 60, 60, 60] {
            staged.push(header(1, &vec![0; len]), &vec![0; len]);
        }
        staged.finish();
        assert_eq!(staged.batches().len(), 5, "round {round}");
        staged.reset(0);
        assert!((1..=5).contains(&staged.spare.len()), "round {round}: {}", staged.spare.len());
        let kept = staged.spare.iter().map(|batch| batch.payloads.capacity());
        assert!(kept.max() <= Some(4 * BATCH_LEN));
    }
}

#[test]
fn no_batch_has_more_entries_than_a_batch_can_have() {
    let mut staged = Staged::new(0, 1 << 20);
    let count = u64::from(BATCH_ENTRY_COUNT_MAX);
    for _ in 0..2 * count + 5 {
        staged.push(header(1, &[]), &[]);
    }
    staged.finish();
    let ends: Vec<_> = staged.batches().iter().map(|batch| batch.end_index()).collect();
    assert_eq!(ends, [count, 2 * count, 2 * count + 5]);
}

proptest! {
    #[test]
    fn batches_hold_what_was_staged_and_end_where_its_length_says(
        buffers in prop::collection::vec(prop::collection::vec(length(), 0..60), 1..4),
        shares in any::<bool>(),
    ) {
        let mut first_index = 7;
        let mut staged = Staged::new(first_index, BATCH_LEN);
        for lengths in buffers {
            staged.reset(first_index);
            let payloads: Vec<Vec<u8>> =
                (0..).zip(&lengths).map(|(number, &len)| vec![number; len]).collect();
            let mut settled = Vec::new();
            for (payload, index) in payloads.iter().zip(first_index..) {
                staged.push(header(index + 1, payload), payload);
                prop_assert_eq!(staged.end_index(), index + 1);
                prop_assert_eq!(staged.entry(index), Some((header(index + 1, payload), &payload[..])));
                while let Some(batch) = staged.next_settled().filter(|_| shares) {
                    settled.push((Arc::clone(batch), batch.end_index()));
                }
            }
            let end_index = first_index + payloads.len() as u64;
            staged.finish();
            prop_assert_eq!((staged.len(), staged.end_index()), (payloads.len(), end_index));
            for (index, payload) in (first_index..).zip(&payloads) {
                prop_assert_eq!(staged.entry(index), Some((header(index + 1, payload), &payload[..])));
            }
            prop_assert_eq!((staged.entry(first_index.wrapping_sub(1)), staged.entry(end_index)), (None, None));

            let weights: Vec<usize> = lengths.iter().map(|len| len + ENTRY_WEIGHT).collect();
            let found = staged.batches().iter().map(|batch| batch.end_index() - first_index);
            prop_assert_eq!(found.collect::<Vec<_>>(), ends(&weights).iter().map(|&end| end as u64).collect::<Vec<_>>());
            prop_assert_eq!(staged.weight(), weights.iter().sum::<usize>());
            let entries = staged.batches().iter().flat_map(|batch| batch.entries());
            let found: Vec<_> = entries.map(|(header, content)| (header, content.payload().map(<[u8]>::to_vec))).collect();
            let expected = payloads.iter().zip(first_index..).map(|(payload, index)| (header(index + 1, payload), Some(payload.clone())));
            prop_assert_eq!(found, expected.collect::<Vec<_>>());
            // What others were told of stays as it was.
            for ((told, end), batch) in settled.iter().zip(staged.batches()) {
                prop_assert!(Arc::ptr_eq(told, batch));
                prop_assert_eq!(told.end_index(), *end);
            }
            first_index = end_index;
        }
    }

    #[test]
    fn a_group_is_split_where_a_batch_ends_inside_it(
        groups in prop::collection::vec(1_usize..12, 1..12),
        open in any::<bool>(),
    ) {
        let mut staged = Staged::new(3, BATCH_LEN);
        let mut whole_at = vec![0];
        for len in groups {
            let start = staged.len();
            for _ in 0..len {
                staged.push(header(1, &[0; 30]), &[0; 30]);
            }
            staged.join_from(start);
            whole_at.push(staged.len());
        }
        staged.open_group = open;
        staged.finish();
        for batch in staged.batches() {
            let at = usize::try_from(batch.end_index() - 3).expect("small");
            let expected = if at == staged.len() { open } else { !whole_at.contains(&at) };
            prop_assert_eq!(staged.splits_group(batch), expected);
        }
    }
}

use super::*;
use crate::bytes::LogId;

const LOG: LogId = LogId::from_bytes([3; 16]);

fn context(salt: u8, generation: u64, keys: &LogKeys) -> CheckpointContext<'_> {
    CheckpointContext { crc: SaltedCrc::new(&[salt; 16]), generation, align_log2: 3, keys }
}

fn checkpoint(sequence: u64) -> Checkpoint {
    let mut state = LogState::empty(7);
    state.end_offset = HEAD_LEN + 208;
    state.frame_count = 1;
    Checkpoint { sequence, incarnation: 9, opening: 2, clean: true, state }
}

fn slot(bytes: &[u8]) -> &[u8; UNIT_LEN] {
    bytes.try_into().expect("a slot is a unit")
}

#[test]
fn a_checkpoint_counts_in_its_slot_of_its_log_and_generation_alone() {
    let keys = LogKeys::new(LOG);
    let bytes = checkpoint(5).encode(&context(1, 4, &keys));
    let bytes = slot(&bytes);
    let decoded = Checkpoint::decode(bytes, 1, &context(1, 4, &keys));
    assert_eq!(decoded, Slot::Valid(Box::new(checkpoint(5))));
    for (number, salt, generation) in [(0, 1, 4), (1, 2, 4), (1, 1, 3), (1, 1, 5)] {
        let decoded = Checkpoint::decode(bytes, number, &context(salt, generation, &keys));
        assert_eq!(decoded, Slot::Damaged, "slot {number}, salt {salt}, generation {generation}");
    }
}

#[test]
fn every_flipped_bit_of_a_checkpoint_is_noticed() {
    let keys = LogKeys::new(LOG);
    let context = context(1, 0, &keys);
    let bytes = checkpoint(2).encode(&context);
    for bit in (0..200 * 8).chain((UNIT_LEN - 8) * 8..UNIT_LEN * 8) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Checkpoint::decode(slot(&flipped), 0, &context), Slot::Damaged, "bit {bit}");
    }
    assert_eq!(Checkpoint::decode(&[0; UNIT_LEN], 0, &context), Slot::Empty);
}

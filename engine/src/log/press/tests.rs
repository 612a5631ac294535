use super::*;
use crate::{
    bytes::LogKeys,
    log::stage::{Staged, tests::header},
};

const LOG: LogId = LogId::from_bytes([5; 16]);

fn staged(first_index: u64, count: u64) -> Staged {
    let mut staged = Staged::new(first_index, 1000);
    for index in first_index..first_index + count {
        let payload = index.to_le_bytes().repeat(1 + usize::try_from(index % 7).expect("small"));
        staged.push(header(index + 1, &payload), &payload);
    }
    staged.finish();
    staged
}

/// What is made of a batch by somebody alone.
fn alone(batch: &StagedBatch, salts: &SaltTree) -> (Vec<u8>, Vec<Hash>) {
    let (mut bytes, mut leaves) = (Vec::new(), Vec::new());
    let keyed = (&LogKeys::new(LOG), salts);
    Press::new(1).press(LOG, keyed, batch, (&mut bytes, &mut leaves));
    (bytes, leaves)
}

/// A room with up to `thread_count` threads, also where the machine has one processor.
fn room(thread_count: usize, salts: SaltTree) -> Arc<PressRoom> {
    let room = PressRoom::new(LOG, 1, salts);
    room.queue.lock().thread_count_max = Some(thread_count);
    Arc::new(room)
}

fn share_all(room: &Arc<PressRoom>, staged: &mut Staged) {
    while let Some(batch) = staged.next_settled() {
        room.share(batch);
    }
}

/// Nothing of the threads is left, nor of what they held.
fn wait_for_the_end(room: &Arc<PressRoom>) {
    while Arc::strong_count(room) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(room.queue.lock().thread_count, 0);
}

#[test]
fn whoever_makes_a_batch_it_is_the_same() {
    let salts = SaltTree::from_seed([1; 32]);
    let room = room(2, salts.clone());
    let mut press = Press::new(1);
    let mut made_by_others = 0;
    for round in 0..50 {
        let mut staged = staged(round * 1000, 1000);
        share_all(&room, &mut staged);
        for batch in staged.batches() {
            let pressed = room.claim(batch, &mut press);
            if pressed.step == PressStep::Made {
                made_by_others += 1;
                assert_eq!((pressed.bytes.clone(), pressed.leaves.clone()), alone(batch, &salts));
            } else {
                // This thread has it now, and nobody else begins with it.
                let keyed = Arc::clone(&room.queue.lock().keyed);
                room.make(batch, &mut press, &keyed);
                assert_eq!(pressed.step, PressStep::Open);
            }
            drop(pressed);
            room.make(batch, &mut press, &(LogKeys::new(LOG), salts.clone()));
        }
        room.drop_made();
        assert!(room.queue.lock().waiting.is_empty());
    }
    assert!(made_by_others > 0);
    assert!(room.queue.lock().thread_count <= 2);
}

#[test]
fn nobody_waits_for_a_thread_that_has_panicked() {
    // Without salts nothing can be hashed, which for the own log cannot be.
    let room = room(2, SaltTree::erased());
    let mut staged = staged(0, 2000);
    share_all(&room, &mut staged);
    // The threads take one each and are gone.
    wait_for_the_end(&room);
    room.clear();
    let mut press = Press::new(1);
    for batch in staged.batches() {
        assert_eq!(room.claim(batch, &mut press).step, PressStep::Open);
    }
}

#[test]
fn threads_end_when_they_have_nothing_to_do() {
    let room = room(1, SaltTree::from_seed([1; 32]));
    let mut staged = staged(0, 1000);
    share_all(&room, &mut staged);
    wait_for_the_end(&room);
    assert!(staged.batches().iter().all(|batch| batch.pressed.lock().step == PressStep::Made));
}

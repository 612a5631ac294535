//! What was recorded can be done again, and looked at everywhere.

use std::collections::BTreeSet;

use super::{super::History, *};

/// Some of everything, as far as the power lasts.
fn work(disk: &SimDisk) -> io::Result<()> {
    let create = |path: &str| disk.open(Path::new(path), Access::CreateNew);
    disk.create_dir(Path::new("d"))?;
    disk.sync_dir(Path::new(""))?;
    let old = create("d/a")?;
    old.write_all_at(b"old", 0)?;
    old.sync()?;
    disk.sync_dir(Path::new("d"))?;
    let new = create("d/a.tmp")?;
    new.write_all_at(&[7; 6000], 0)?;
    new.sync()?;
    disk.rename(Path::new("d/a.tmp"), Path::new("d/a"))?;
    old.write_all_at(b"unseen", 0)?;
    disk.sync_dir(Path::new("d"))?;
    old.write_all_at(b"unseen", 0)?;
    old.sync()?;
    let mut bytes = [0; 8];
    disk.fill_random(&mut bytes)?;
    new.write_all_at(&bytes, 0)?;
    new.set_len(10)?;
    create("d/b")?;
    disk.remove(Path::new("d/b"))?;
    // This works without power.
    disk.set_content("d/b", b"edited");
    Ok(())
}

#[test]
fn a_replay_passes_through_the_same_states() {
    let disk = SimDisk::recording(3);
    let watched = SimDisk::new(3);
    work(&disk).unwrap();
    work(&watched).unwrap();
    assert_eq!(disk.mutation_count(), watched.mutation_count());
    let mut history = disk.history();
    assert_eq!(history.len(), disk.mutation_count());
    let mut states = BTreeSet::new();
    for position in 0.. {
        assert_eq!(history.position(), position);
        // The same work that stops there.
        let stopped = SimDisk::new(3);
        stopped.power_off_after(position);
        let worked = work(&stopped);
        let machine = history.machine();
        if worked.is_err() {
            assert_eq!(machine.fingerprint(), stopped.fingerprint(), "position {position}");
            assert_eq!(machine.pending_len(), stopped.pending_len(), "position {position}");
            let loss = Loss::Random { seed: position, garbage: true };
            assert_eq!(
                machine.after_power_loss(&loss).fingerprint(),
                stopped.after_power_loss(&loss).fingerprint()
            );
        }
        states.insert(machine.fingerprint());
        if !history.step() {
            break;
        }
    }
    assert_eq!(files(history.machine()), files(&disk));
    assert!(states.len() > 8 && states.len() < usize::try_from(history.len()).unwrap());
}

#[test]
fn random_numbers_of_a_replay_do_not_come_again() {
    let disk = SimDisk::recording(3);
    work(&disk).unwrap();
    let mut drawn = [0; 8];
    drawn.copy_from_slice(&disk.after_power_loss(&Loss::Nothing).content("d/a").unwrap()[..8]);
    let mut history = disk.history();
    while history.step() {}
    let mut again = [0; 8];
    history.machine().fill_random(&mut again).unwrap();
    let mut next = [0; 8];
    disk.fill_random(&mut next).unwrap();
    assert_eq!(again, next);
}

#[test]
fn recording_can_begin_with_what_is_there() {
    let disk = SimDisk::new(1);
    durable(&disk, "a", b"before");
    open(&disk, "a").write_all_at(b"B", 0).unwrap();
    disk.record();
    assert_eq!(disk.mutation_count(), 0);
    open(&disk, "a").sync().unwrap();
    let mut history = disk.history();
    let content = |history: &History| {
        history.machine().after_power_loss(&Loss::Everything).content("a").unwrap()
    };
    assert_eq!(content(&history), b"before");
    assert!(history.step());
    assert_eq!(content(&history), b"Before");
    assert!(!history.step());
}

//! A power loss takes any part of what is pending, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{super::SECTOR_LEN, *};

fn random(seed: u64, garbage: bool) -> Loss {
    Loss::Random { seed, garbage }
}

#[test]
fn a_file_needs_its_sync_and_its_name_the_folder() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "a");
    file.write_all_at(b"words", 0).unwrap();
    // The name, the length, the bytes.
    assert_eq!(disk.pending_len(), 3);
    assert_eq!(files(&disk.after_power_loss(&Loss::Everything)), []);
    assert_eq!(files(&disk.after_power_loss(&Loss::Nothing)), [("a".into(), b"words".to_vec())]);
    let zeros = ("a".into(), vec![0; 5]);
    assert_eq!(files(&disk.after_power_loss(&Loss::Only(2))), [zeros], "the length without bytes");
    let empty = ("a".into(), vec![]);
    assert_eq!(
        files(&disk.after_power_loss(&Loss::Only(1))),
        std::slice::from_ref(&empty),
        "bytes, no length"
    );
    assert_eq!(files(&disk.after_power_loss(&Loss::AllBut(0))), std::slice::from_ref(&empty));
    assert_eq!(files(&disk.after_power_loss(&Loss::From(1))), [empty]);
    let these = Loss::These(BTreeSet::from([0, 2]));
    assert_eq!(files(&disk.after_power_loss(&these)), []);

    file.sync().unwrap();
    assert_eq!(disk.pending_len(), 1);
    assert_eq!(files(&disk.after_power_loss(&Loss::Everything)), [], "the name is missing");
    disk.sync_dir(Path::new("")).unwrap();
    assert_eq!(disk.pending_len(), 0);
    assert_eq!(files(&disk.after_power_loss(&Loss::Everything)), files(&disk));
}

#[test]
fn a_rename_is_one_in_a_folder_and_two_across() {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new("d")).unwrap();
    durable(&disk, "a", b"a");
    durable(&disk, "b", b"b");
    disk.rename(Path::new("b"), Path::new("a")).unwrap();
    assert_eq!(disk.pending_len(), 1);
    let old = [("a".into(), b"a".to_vec()), ("b".into(), b"b".to_vec())];
    assert_eq!(files(&disk.after_power_loss(&Loss::Everything)), old);
    assert_eq!(files(&disk.after_power_loss(&Loss::Nothing)), [("a".into(), b"b".to_vec())]);
    disk.sync_dir(Path::new("")).unwrap();

    disk.rename(Path::new("a"), Path::new("d/a")).unwrap();
    assert_eq!(disk.pending_len(), 2);
    disk.sync_dir(Path::new("d")).unwrap();
    let both = [("a".into(), b"b".to_vec()), ("d/a".into(), b"b".to_vec())];
    assert_eq!(files(&disk.after_power_loss(&Loss::Everything)), both);
    disk.sync_dir(Path::new("")).unwrap();
    assert_eq!(files(&disk.after_power_loss(&Loss::Everything)), [("d/a".into(), b"b".to_vec())]);
}

#[test]
fn a_lost_folder_takes_its_files() {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new("d")).unwrap();
    durable(&disk, "d/a", b"a");
    assert_eq!(disk.pending_len(), 1, "the folder");
    let found = disk.after_power_loss(&Loss::Everything);
    assert_eq!(files(&found), []);
    assert_eq!(kind_of(found.list(Path::new("d"))), io::ErrorKind::NotFound);
}

#[test]
fn what_was_cut_off_can_come_back() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"0123456789");
    file.set_len(4).unwrap();
    file.write_all_at(b"abc", 4).unwrap();
    // The cut, the length, the bytes.
    assert_eq!(disk.pending_len(), 3);
    let content = |loss: &Loss| disk.after_power_loss(loss).content("a").unwrap();
    assert_eq!(content(&Loss::Nothing), b"0123abc");
    assert_eq!(content(&Loss::Everything), b"0123456789");
    assert_eq!(content(&Loss::AllBut(0)), b"0123");
    assert_eq!(content(&Loss::Only(2)), b"0123\0\0\0", "an extension without its bytes is zeros");
    assert_eq!(content(&Loss::AllBut(1)), b"0123456", "but not where the cut was lost");
    assert_eq!(content(&Loss::AllBut(2)), b"0123abc789");
}

/// A file of ones, over which twos are written and not synced.
fn rewritten(len: usize) -> SimDisk {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &vec![1; len]);
    for start in (0..len).step_by(3000) {
        let part = 3000.min(len - start);
        file.write_all_at(&vec![2; part], start as u64).unwrap();
    }
    disk
}

#[test]
fn survivors_are_no_prefixes() {
    let disk = rewritten(12_000);
    let (mut later_only, mut within, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let found = disk.after_power_loss(&random(seed, false)).content("a").unwrap();
        assert!(found.iter().all(|byte| [1, 2].contains(byte)));
        let kept = |range: std::ops::Range<usize>| count_of(&found[range], 2);
        later_only += u32::from(kept(0..3000) == 0 && kept(3000..6000) == 3000);
        let sectors: Vec<_> = found.chunks(SECTOR_LEN).collect();
        // The first 5 sectors belong to the first write alone.
        within += u32::from((0..5).any(|at| sectors[at][0] == 1 && sectors[at + 1][0] == 2));
        torn += u32::from(
            sectors[..5].iter().any(|sector| sector.windows(2).any(|two| two[0] != two[1])),
        );
    }
    assert!(later_only > 0, "a later write without an earlier one");
    assert!(within > 0, "a later sector of a write without an earlier one");
    assert!(torn > 0, "a part of a sector");
}

#[test]
fn losses_reach_from_nearly_nothing_to_nearly_everything() {
    let disk = rewritten(90_000);
    let shares: Vec<usize> = (0..100)
        .map(|seed| {
            let found = disk.after_power_loss(&random(seed, false)).content("a").unwrap();
            count_of(&found, 2) * 100 / found.len()
        })
        .collect();
    for range in [0..10, 10..40, 40..60, 60..90, 90..101] {
        assert!(shares.iter().any(|share| range.contains(share)), "{range:?} percent: {shares:?}");
    }
}

#[test]
fn names_lengths_and_bytes_are_lost_apart() {
    let disk = SimDisk::new(1);
    for name in ["a", "b"] {
        create(&disk, name).write_all_at(b"x", 0).unwrap();
    }
    let seen: BTreeSet<_> =
        (0..400).map(|seed| files(&disk.after_power_loss(&random(seed, false)))).collect();
    // Each file is missing, empty, zero or whole.
    assert_eq!(seen.len(), 16);
}

/// A call that changes something, on one of two files.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, u16, u16),
    SetLen(usize, u16),
    Sync(usize),
    Rename(usize),
    SyncDir,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..2, 0_u16..4000, 1_u16..2000)
            .prop_map(|(file, at, len)| Step::Write(file, at, len)),
        1 => (0_usize..2, 0_u16..5000).prop_map(|(file, len)| Step::SetLen(file, len)),
        1 => (0_usize..2).prop_map(Step::Sync),
        1 => (0_usize..2).prop_map(Step::Rename),
        1 => Just(Step::SyncDir),
    ]
}

proptest! {
    /// What was synced survives every loss; where nothing was written since, it is as it was; and each byte
    /// is one that was there at some time since, or zero where the file had not reached before.
    #[test]
    fn what_is_synced_survives(steps in proptest::collection::vec(step(), 1..25), seed: u64) {
        let disk = SimDisk::new(seed);
        let handles = ["f0", "f1"].map(|name| durable(&disk, name, &[9; 100]));
        // For each file what each byte may be; the lengths that it may have; its names.
        let mut bytes = [(); 2].map(|()| vec![BTreeSet::from([9_u8]); 100]);
        let mut lens = [(); 2].map(|()| BTreeSet::from([100_usize]));
        let mut names = [0, 1].map(|file| BTreeSet::from([format!("f{file}")]));
        let mut live_name = [0, 1].map(|file| format!("f{file}"));
        for (number, step) in steps.iter().enumerate() {
            let byte = u8::try_from(number + 10).unwrap();
            match step {
                Step::Write(file, at, len) => {
                    let (at, len) = (usize::from(*at), usize::from(*len));
                    handles[*file].write_all_at(&vec![byte; len], at as u64).unwrap();
                    let end = at + len;
                    let old_len = bytes[*file].len();
                    bytes[*file].resize(old_len.max(end), BTreeSet::from([0]));
                    for possible in &mut bytes[*file][at..end] {
                        possible.insert(byte);
                    }
                    lens[*file].insert(usize::try_from(handles[*file].len().unwrap()).unwrap());
                }
                Step::SetLen(file, len) => {
                    let len = usize::from(*len);
                    handles[*file].set_len(len as u64).unwrap();
                    let old_len = bytes[*file].len();
                    bytes[*file].resize(old_len.max(len), BTreeSet::from([0]));
                    for possible in &mut bytes[*file][len..] {
                        possible.insert(0);
                    }
                    lens[*file].insert(len);
                }
                Step::Sync(file) => {
                    handles[*file].sync().unwrap();
                    let found = disk.content(&live_name[*file]).unwrap();
                    lens[*file] = BTreeSet::from([found.len()]);
                    bytes[*file] = found.iter().map(|byte| BTreeSet::from([*byte])).collect();
                }
                Step::Rename(file) => {
                    let new = format!("f{file}.{number}");
                    disk.rename(Path::new(&live_name[*file]), Path::new(&new)).unwrap();
                    names[*file].insert(new.clone());
                    live_name[*file] = new;
                }
                Step::SyncDir => {
                    disk.sync_dir(Path::new("")).unwrap();
                    for file in [0, 1] {
                        names[file] = BTreeSet::from([live_name[file].clone()]);
                    }
                }
            }
        }
        let single = 0..disk.pending_len();
        let losses = [Loss::Everything, Loss::Nothing].into_iter()
            .chain((0..16).map(|more| random(seed.wrapping_add(more), false)))
            .chain(single.clone().map(Loss::Only))
            .chain(single.clone().map(Loss::AllBut))
            .chain(single.map(Loss::From));
        for loss in losses {
            let found = disk.after_power_loss(&loss);
            prop_assert_eq!(files(&found), files(&disk.after_power_loss(&loss)), "the same again");
            prop_assert_eq!(found.pending_len(), 0);
            let mut seen = [0, 0];
            for (name, content) in files(&found) {
                let file = usize::from(name.starts_with("f1"));
                seen[file] += 1;
                prop_assert!(names[file].contains(&name), "{name} was gone for good");
                prop_assert!(lens[file].contains(&content.len()), "{loss:?}: {}", content.len());
                for (at, byte) in content.iter().enumerate() {
                    prop_assert!(bytes[file][at].contains(byte), "{loss:?}: {name} has {byte} at {at}");
                }
            }
            for file in [0, 1] {
                // Only where a chain of renames was lost in part can it have several names, or none.
                if names[file].len() <= 2 {
                    prop_assert_eq!(seen[file], 1, "{:?}: file {} has names {:?}", loss, file, names);
                }
            }
        }
        prop_assert_eq!(files(&disk.after_power_loss(&Loss::Nothing)), files(&disk));
    }

    /// Garbage comes only where something was written.
    #[test]
    fn nothing_else_is_touched(at in 0_u64..3000, len in 1_usize..2000, seed: u64) {
        let disk = SimDisk::new(1);
        let file = durable(&disk, "a", &[1; 5000]);
        file.write_all_at(&vec![2; len], at).unwrap();
        let found = disk.after_power_loss(&random(seed, true)).content("a").unwrap();
        let start = usize::try_from(at).unwrap();
        prop_assert_eq!(found.len(), 5000);
        prop_assert!(found[..start].iter().all(|byte| *byte == 1));
        prop_assert!(found[start + len..].iter().all(|byte| *byte == 1));
    }
}

#[test]
fn garbage_occurs_only_where_it_is_asked_for() {
    let disk = rewritten(9_000);
    let mut count = BTreeMap::from([(false, 0), (true, 0)]);
    for seed in 0..100 {
        for garbage in [false, true] {
            let found = disk.after_power_loss(&random(seed, garbage)).content("a").unwrap();
            let other = found.iter().any(|byte| ![1, 2].contains(byte));
            *count.get_mut(&garbage).unwrap() += u32::from(other);
        }
    }
    assert_eq!(count[&false], 0);
    assert!(count[&true] > 10);
}

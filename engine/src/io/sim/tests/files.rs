//! Without faults it is a disk like any other.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    super::{Fault, content::Content},
    *,
};
use crate::io::OsDisk;

/// A call with paths and places out of a few.
#[derive(Clone, Debug)]
enum Step {
    Open(u8, bool),
    Write(u8, u16, Vec<u8>),
    SetLen(u8, u16),
    Sync(u8),
    Rename(u8, u8),
    Remove(u8),
    CreateDir(u8),
    List(u8),
    SyncDir(u8),
}

const PATHS: [&str; 6] = ["a", "b", "c", "d/a", "d/b", "d"];

fn step() -> impl Strategy<Value = Step> {
    let path = 0..u8::try_from(PATHS.len()).unwrap();
    let place = prop_oneof![0_u16..20, 4090_u16..4100, 0_u16..9000];
    prop_oneof![
        (path.clone(), any::<bool>()).prop_map(|(path, new)| Step::Open(path, new)),
        (path.clone(), place.clone(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(path, at, bytes)| Step::Write(path, at, bytes)),
        (path.clone(), place).prop_map(|(path, len)| Step::SetLen(path, len)),
        path.clone().prop_map(Step::Sync),
        (path.clone(), path.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        path.clone().prop_map(Step::Remove),
        path.clone().prop_map(Step::CreateDir),
        path.clone().prop_map(Step::List),
        path.prop_map(Step::SyncDir),
    ]
}

/// What a caller sees of a step.
fn run(disk: &dyn Disk, root: &Path, step: &Step) -> Result<Vec<u8>, ()> {
    let path = |number: u8| root.join(PATHS[usize::from(number)]);
    // To open a folder is an error here, and none on some systems.
    let file = |number: u8| {
        let path = path(number);
        let folder = disk.list(&path).is_ok();
        if folder {
            Err(io::ErrorKind::IsADirectory.into())
        } else {
            disk.open(&path, Access::Write)
        }
    };
    let result = match step {
        Step::Open(number, true) => disk.open(&path(*number), Access::CreateNew).map(|_| vec![]),
        Step::Open(number, false) => file(*number).and_then(|file| {
            let len = usize::try_from(file.len()?).unwrap();
            file.read_vec_at(0, len + 10)
        }),
        Step::Write(number, at, bytes) => {
            file(*number).and_then(|file| file.write_all_at(bytes, u64::from(*at))).map(|()| vec![])
        }
        Step::SetLen(number, len) => {
            file(*number).and_then(|file| file.set_len(u64::from(*len))).map(|()| vec![])
        }
        Step::Sync(number) => file(*number).and_then(|file| file.sync()).map(|()| vec![]),
        // Folders cannot be renamed here.
        Step::Rename(from, _) if disk.list(&path(*from)).is_ok() => Ok(vec![]),
        Step::Rename(from, to) => disk.rename(&path(*from), &path(*to)).map(|()| vec![]),
        Step::Remove(number) => disk.remove(&path(*number)).map(|()| vec![]),
        Step::CreateDir(number) => disk.create_dir(&path(*number)).map(|()| vec![]),
        Step::List(number) => {
            disk.list(&path(*number)).map(|entries| format!("{entries:?}").into_bytes())
        }
        Step::SyncDir(number) => {
            disk.list(&path(*number)).and_then(|_| disk.sync_dir(&path(*number))).map(|()| vec![])
        }
    };
    result.map_err(drop)
}

proptest! {
    /// What programs see is what the operating system would show them.
    #[test]
    fn it_behaves_as_the_operating_system(steps in proptest::collection::vec(step(), 0..40)) {
        let folder = tempfile::tempdir().unwrap();
        let sim = SimDisk::new(1);
        for (number, step) in steps.iter().enumerate() {
            let real = run(&OsDisk, folder.path(), step);
            let simulated = run(&sim, Path::new(""), step);
            prop_assert_eq!(real, simulated, "step {}: {:?}", number, step);
        }
    }

    /// Pages are shared and copied without anything leaking from one file into another.
    #[test]
    fn copies_are_apart(
        writes in proptest::collection::vec((0_u64..20_000, 1_usize..6_000, any::<u8>()), 1..12),
        cut in 0_u64..20_000,
    ) {
        let mut model = Vec::new();
        let mut content = Content::default();
        let mut copies = Vec::new();
        for (offset, len, byte) in writes {
            copies.push((content.clone(), model.clone()));
            let start = usize::try_from(offset).unwrap();
            model.resize(model.len().max(start + len), 0);
            model[start..start + len].fill(byte);
            content.write(&vec![byte; len], offset).unwrap();
        }
        copies.push((content.clone(), model.clone()));
        content.set_len(cut);
        model.resize(usize::try_from(cut).unwrap(), 0);
        content.set_len(30_000);
        model.resize(30_000, 0);
        copies.push((content, model));
        for (content, model) in copies {
            prop_assert!(content.to_vec() == model);
            let digest = |content: &Content| {
                let mut hasher = blake3::Hasher::new();
                content.hash_into(&mut hasher);
                hasher.finalize()
            };
            // However it came about: holes and written zeros are the same.
            prop_assert_eq!(digest(&content), digest(&Content::from_bytes(&model).unwrap()));
        }
    }
}

#[test]
fn open_handles_outlive_their_names() {
    let disk = SimDisk::new(1);
    let old = durable(&disk, "a", b"old");
    durable(&disk, "b", b"new");
    disk.rename(Path::new("b"), Path::new("a")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    old.write_all_at(b"still", 0).unwrap();
    assert_eq!(old.read_vec_at(0, 9).unwrap(), b"still");
    assert_eq!(disk.content("a").unwrap(), b"new");
    let pending = disk.pending_len();
    assert_eq!(pending, 0, "nobody can come to the old file any more");
    assert_eq!(disk.used_space(), 8);
    drop(old);
    assert_eq!(disk.used_space(), 3);
}

#[test]
fn locks_exclude_until_they_are_dropped() {
    let disk = SimDisk::new(1);
    let path = Path::new("LOCK");
    assert_eq!(kind_of(disk.lock(path, LockKind::Shared)), io::ErrorKind::NotFound);
    let writer = disk.lock(path, LockKind::Exclusive).unwrap();
    assert!(writer.is_some());
    assert!(disk.lock(path, LockKind::Exclusive).unwrap().is_none());
    assert!(disk.lock(path, LockKind::Shared).unwrap().is_none());
    drop(writer);
    let readers = [0, 1].map(|_| disk.lock(path, LockKind::Shared).unwrap().unwrap());
    assert!(disk.lock(path, LockKind::Exclusive).unwrap().is_none());
    assert_eq!(kind_of(readers[0].write_at(b"x", 0)), io::ErrorKind::PermissionDenied);
    drop(readers);
    let held = disk.lock(path, LockKind::Exclusive).unwrap().unwrap();
    let found = disk.after_power_loss(&Loss::Nothing);
    assert!(found.lock(path, LockKind::Exclusive).unwrap().is_some(), "free after a power loss");
    let next = disk.after_kill();
    assert!(next.lock(path, LockKind::Exclusive).unwrap().is_some(), "free after a kill");
    assert!(PowerOff::is(&held.sync().unwrap_err()), "the killed process does nothing more");
}

#[test]
fn a_killed_process_loses_nothing_and_makes_nothing_durable() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"old");
    file.write_all_at(b"new", 0).unwrap();
    create(&disk, "b");
    let next = disk.after_kill();
    assert_eq!(next.content("a").unwrap(), b"new");
    assert_eq!(next.content("b").unwrap(), b"");
    assert_eq!(files(&next.after_power_loss(&Loss::Everything)), [("a".into(), b"old".to_vec())]);
    assert!(PowerOff::is(&disk.open(Path::new("a"), Access::Read).unwrap_err()));
    assert!(PowerOff::is(&file.len().unwrap_err()));
}

#[test]
fn the_power_goes_off_before_a_change() {
    for changes in 0..4 {
        let disk = SimDisk::new(1);
        disk.power_off_after(changes);
        let error = (|| {
            let file = disk.open(Path::new("a"), Access::CreateNew)?;
            file.read_vec_at(0, 1)?;
            file.write_at(b"1", 0)?;
            file.write_at(b"2", 1)?;
            file.sync()?;
            disk.sync_dir(Path::new(""))
        })();
        assert!(PowerOff::is(&error.unwrap_err()));
        assert_eq!(disk.mutation_count(), changes);
        assert!(disk.is_off());
        assert!(PowerOff::is(&disk.list(Path::new("")).unwrap_err()));
        // What is at rest can be looked at and changed all the same.
        disk.set_content("a", b"damage");
        assert_eq!(disk.after_power_loss(&Loss::Everything).content("a").unwrap(), b"damage");
    }
}

#[test]
fn chance_and_time_are_the_same_in_each_run_and_never_come_again() {
    let draw = |disk: &SimDisk| {
        let mut bytes = [0; 16];
        disk.fill_random(&mut bytes).unwrap();
        bytes
    };
    let (one, same, other) = (SimDisk::new(1), SimDisk::new(1), SimDisk::new(2));
    let first = draw(&one);
    assert_eq!(first, draw(&same));
    assert_ne!(first, draw(&other));
    assert_ne!(first, draw(&one));
    assert_ne!(draw(&one.after_power_loss(&Loss::Everything)), first);
    let before = one.now();
    assert!(one.now() > before);
    one.sleep(Duration::from_mins(1));
    assert!(one.now().as_micros() - before.as_micros() >= 60_000_000);
    assert!(one.after_power_loss(&Loss::Everything).now() > one.now());
}

#[test]
fn damage_at_rest_is_durable_at_once() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"sound");
    file.write_all_at(b"later", 5).unwrap();
    disk.set_content("a", b"wrong");
    disk.copy_file("a", "x/y/b");
    assert_eq!(file.read_vec_at(0, 9).unwrap(), b"wrong");
    assert_eq!(disk.pending_len(), 0);
    let found = disk.after_power_loss(&Loss::Everything);
    assert_eq!(found.content("x/y/b").unwrap(), b"wrong");
    assert_eq!(found.fingerprint(), disk.fingerprint());
    // A name that was to go stays, too.
    disk.remove(Path::new("a")).unwrap();
    disk.set_content("a", b"again");
    assert_eq!(disk.after_power_loss(&Loss::Nothing).content("a").unwrap(), b"again");
}

#[test]
fn huge_offsets_are_refused_and_huge_lengths_are_not() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "a");
    assert_eq!(kind_of(file.write_at(b"x", u64::MAX)), io::ErrorKind::FileTooLarge);
    assert_eq!(kind_of(file.write_at(b"x", 1 << 50)), io::ErrorKind::FileTooLarge);
    assert_eq!(file.write_at(b"", u64::MAX).map_err(|error| error.kind()).ok(), None);
    file.set_len(1 << 50).unwrap();
    assert_eq!(file.read_vec_at(1 << 49, 2).unwrap(), [0, 0]);
    disk.inject(Fault::bit_flip());
    assert_ne!(file.read_vec_at(1 << 49, 2).unwrap(), [0, 0]);
}

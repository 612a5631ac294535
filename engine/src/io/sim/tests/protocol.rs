//! The rules are known, and what keeps them is left in peace.

use super::{
    super::{Call, Fault, ProtocolDisk},
    *,
};
use crate::io::{OsDisk, replace_file};

fn watched() -> (SimDisk, ProtocolDisk) {
    let sim = SimDisk::new(1);
    (sim.clone(), ProtocolDisk::new(Arc::new(sim)))
}

/// The rule of the only violation.
fn rule(disk: &ProtocolDisk) -> String {
    let violations = disk.violations();
    assert_eq!(violations.len(), 1, "{violations:?}");
    violations[0].split(": ").nth(2).unwrap().to_owned()
}

#[test]
fn what_keeps_the_rules_is_left_in_peace() {
    let folder = tempfile::tempdir().unwrap();
    let sim: (Arc<dyn Disk>, &Path) = (Arc::new(SimDisk::new(1)), Path::new(""));
    let real: (Arc<dyn Disk>, &Path) = (Arc::new(OsDisk), folder.path());
    for (inner, root) in [sim, real] {
        let disk = ProtocolDisk::new(inner);
        let path = root.join("a");
        drop(disk.lock(&root.join("LOCK"), LockKind::Exclusive).unwrap());
        for bytes in [b"one", b"two"] {
            replace_file(&disk, &path, bytes).unwrap();
        }
        let file = disk.open(&path, Access::Write).unwrap();
        file.write_all_at(b"more", 3).unwrap();
        file.set_len(2).unwrap();
        file.sync().unwrap();
        file.write_all_at(b"again", 2).unwrap();
        file.sync().unwrap();
        disk.remove(&path).unwrap();
        assert_eq!(disk.violations(), [""; 0]);
    }
}

#[test]
fn a_rename_needs_a_sync() {
    let (_, disk) = watched();
    let file = create(&disk, "a.tmp");
    file.set_len(5).unwrap();
    disk.rename(Path::new("a.tmp"), Path::new("a")).unwrap();
    assert_eq!(rule(&disk), "rename before sync");
    assert_eq!(disk.durability().synced_upto("a"), 0, "known by its new name");
}

#[test]
fn a_file_that_is_renamed_while_it_is_open_goes_on_under_its_new_name() {
    let (_, disk) = watched();
    let names = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&names);
    let disk = disk.observe(move |path: &Path, _, _, _| {
        seen.lock().unwrap().push(path.to_owned());
        Ok(())
    });
    let file = create(&disk, "a.tmp");
    file.write_all_at(b"one", 0).unwrap();
    file.sync().unwrap();
    disk.rename(Path::new("a.tmp"), Path::new("a")).unwrap();
    file.write_all_at(b"two", 3).unwrap();
    assert_eq!(*names.lock().unwrap(), [Path::new("a.tmp"), Path::new("a")]);
}

#[test]
fn a_cut_needs_a_sync_before_it_is_written_over() {
    let (_, disk) = watched();
    let file = durable(&disk, "a", b"0123456789");
    file.set_len(4).unwrap();
    file.write_all_at(b"xx", 2).unwrap();
    assert_eq!(disk.violations(), [""; 0], "below the cut");
    file.write_all_at(b"x", 4).unwrap();
    assert_eq!(rule(&disk), "write above an unsynced cut");
}

#[test]
fn nothing_is_removed_before_its_successor_is_durable() {
    let (_, disk) = watched();
    durable(&disk, "run-1", b"old");
    create(&disk, "run-2.tmp").sync().unwrap();
    disk.remove(Path::new("run-2.tmp")).unwrap();
    create(&disk, "run-2.tmp").sync().unwrap();
    disk.rename(Path::new("run-2.tmp"), Path::new("run-2")).unwrap();
    assert!(!disk.durability().name_is_durable("run-2"));
    assert_eq!(disk.violations(), [""; 0]);
    disk.remove(Path::new("run-1")).unwrap();
    assert_eq!(rule(&disk), "removed before its successor is durable");
}

#[test]
fn nothing_is_replaced_before_what_it_may_refer_to_is_durable() {
    let (_, disk) = watched();
    durable(&disk, "manifest", b"old");
    create(&disk, "run").sync().unwrap();
    create(&disk, "manifest.tmp").sync().unwrap();
    disk.rename(Path::new("manifest.tmp"), Path::new("manifest")).unwrap();
    assert_eq!(rule(&disk), "replaced before what it may refer to is durable");
}

#[test]
fn a_failed_sync_is_not_tried_again() {
    let (sim, disk) = watched();
    let file = durable(&disk, "a", b"old");
    file.write_all_at(b"new!", 0).unwrap();
    sim.inject(Fault::error(Call::Sync, io::ErrorKind::Other));
    file.sync().unwrap_err();
    let again = open(&disk, "a");
    again.sync().unwrap();
    assert_eq!(disk.violations(), [""; 0], "it was opened again");
    assert_eq!(disk.durability().synced_upto("a"), 0, "which proves nothing all the same");
    again.write_all_at(b"new!", 0).unwrap();
    again.sync().unwrap();
    assert_eq!(disk.durability().synced_upto("a"), 4);
    file.sync().unwrap();
    assert_eq!(rule(&disk), "sync after a failed sync");
}

#[test]
fn what_is_durable_is_known_by_ranges() {
    let (_, disk) = watched();
    let file = durable(&disk, "a", &[0; 100]);
    let durability = disk.durability();
    assert_eq!(durability.synced_upto("a"), 100);
    assert_eq!(durability.synced_upto("never opened"), u64::MAX);
    file.write_all_at(b"head", 10).unwrap();
    file.write_all_at(b"tail", 110).unwrap();
    assert_eq!(durability.synced_upto("a"), 10);
    assert_eq!(durability.synced_upto_from("a", 12), 12);
    assert_eq!(durability.synced_upto_from("a", 14), 100, "the length before the hole");
    file.sync().unwrap();
    assert_eq!(durability.synced_upto("a"), 114);
    file.set_len(50).unwrap();
    assert_eq!(durability.synced_upto("a"), 50);
}

#[test]
fn what_stood_there_before_is_taken_for_durable() {
    let (sim, disk) = watched();
    sim.set_content("a", [0; 64]);
    let file = open(&disk, "a");
    assert_eq!(disk.durability().synced_upto("a"), 64);
    file.write_all_at(b"x", 64).unwrap();
    assert_eq!(disk.durability().synced_upto("a"), 64);
    assert!(disk.durability().name_is_durable("a"));
}

#[test]
fn an_observer_sees_each_write_before_it_is_done() {
    let (sim, disk) = watched();
    // Each byte says how much of the file is durable.
    let disk = disk.observe(move |path, offset, bytes, durability| {
        let before = sim.content(path).map_or(0, |content| content.len() as u64);
        assert!(offset >= before, "the write is not done");
        let most = bytes.iter().copied().map(u64::from).max().unwrap_or(0);
        let durable = durability.synced_upto(path);
        if most <= durable {
            Ok(())
        } else {
            Err(format!("says {most}, but {durable} are durable"))
        }
    });
    let file = create(&disk, "a");
    file.write_all_at(&[0, 0], 0).unwrap();
    file.sync().unwrap();
    file.write_all_at(&[2], 2).unwrap();
    assert_eq!(disk.violations(), [""; 0]);
    file.write_all_at(&[3], 3).unwrap();
    assert_eq!(disk.violations(), ["a: write of 1 bytes at 3: says 3, but 2 are durable"]);
}

#[test]
fn a_write_during_a_sync_is_not_made_durable_by_it() {
    use super::super::tracker::Tracker;

    let tracker = Tracker::default();
    let path = Path::new("a");
    let file = tracker.created(path);
    tracker.before_write(&file, path, 0, 4);
    file.after_write(0, 4);
    tracker.before_write(&file, path, 4, 4);
    let sync = tracker.begin_sync(&file, path);
    assert_eq!(tracker.synced_upto(path, 0), 0, "not yet");
    file.after_write(4, 4);
    file.end_sync(sync, true);
    assert_eq!(tracker.synced_upto(path, 0), 4);
}

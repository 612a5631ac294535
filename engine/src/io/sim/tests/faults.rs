//! Each fault does what it says.

use super::{
    super::{AfterFailedSync, Call, Fault, FaultRates, SECTOR_LEN},
    *,
};

fn settled(disk: &SimDisk) -> Vec<u8> {
    disk.after_power_loss(&Loss::Everything).content("a").unwrap()
}

/// A call on a disk, or on the file `a` of it.
type Run<'a> = &'a dyn Fn(&SimDisk, &dyn DiskFile) -> io::Result<()>;

#[test]
fn every_call_fails_on_demand() {
    let root = Path::new("");
    let a = Path::new("a");
    let calls: [(Call, Run<'_>); 14] = [
        (Call::Open, &|disk, _| disk.open(a, Access::Read).map(drop)),
        (Call::Create, &|disk, _| disk.open(Path::new("new"), Access::CreateNew).map(drop)),
        (Call::Lock, &|disk, _| disk.lock(Path::new("LOCK"), LockKind::Exclusive).map(drop)),
        (Call::Rename, &|disk, _| disk.rename(a, Path::new("b"))),
        (Call::Remove, &|disk, _| disk.remove(a)),
        (Call::CreateDir, &|disk, _| disk.create_dir(Path::new("d"))),
        (Call::List, &|disk, _| disk.list(root).map(drop)),
        (Call::SyncDir, &|disk, _| disk.sync_dir(root)),
        (Call::Random, &|disk, _| disk.fill_random(&mut [0; 4])),
        (Call::Read, &|_, file| file.read_at(&mut [0; 4], 0).map(drop)),
        (Call::Write, &|_, file| file.write_at(b"new", 0).map(drop)),
        (Call::Len, &|_, file| file.len().map(drop)),
        (Call::SetLen, &|_, file| file.set_len(1)),
        (Call::Sync, &|_, file| file.sync()),
    ];
    for (call, run) in calls {
        let disk = SimDisk::new(1);
        let file = durable(&disk, "a", b"old");
        let (before, changes) = (files(&disk), disk.mutation_count());
        disk.inject(Fault::error(call, io::ErrorKind::TimedOut));
        assert_eq!(kind_of(run(&disk, &*file)), io::ErrorKind::TimedOut, "{call:?}");
        assert_eq!(files(&disk), before, "{call:?} did something");
        assert_eq!(disk.mutation_count(), changes);
        run(&disk, &*file).unwrap();
    }
}

#[test]
fn faults_are_chosen_by_path_and_number() {
    let disk = SimDisk::new(1);
    let (a, b) = (create(&disk, "a.log"), create(&disk, "b.idx"));
    disk.inject(Fault::error(Call::Write, io::ErrorKind::StorageFull).on(".log").after(2));
    disk.inject(
        Fault::error(Call::Write, io::ErrorKind::Other)
            .where_path(|path| path.starts_with("b.idx"))
            .after(1)
            .for_good(),
    );
    let kinds = |file: &dyn DiskFile| {
        [0; 4].map(|at| file.write_at(b"x", at).err().map(|error| error.kind()))
    };
    assert_eq!(kinds(&*a), [None, None, Some(io::ErrorKind::StorageFull), None]);
    let other = Some(io::ErrorKind::Other);
    assert_eq!(kinds(&*b), [None, other, other, other]);
    disk.heal();
    assert_eq!(kinds(&*b), [None; 4]);
}

#[test]
fn any_call_can_be_the_one_that_fails() {
    let run = |disk: &SimDisk| {
        let file = disk.open(Path::new("a"), Access::CreateNew)?;
        file.write_at(b"x", 0)?;
        file.sync()?;
        disk.sync_dir(Path::new(""))
    };
    let disk = SimDisk::new(1);
    run(&disk).unwrap();
    assert_eq!(disk.call_count(), 4);
    for call in 0..4 {
        let disk = SimDisk::new(1);
        disk.fail_nth_call(call, true, io::ErrorKind::TimedOut);
        assert_eq!(kind_of(run(&disk)), io::ErrorKind::TimedOut);
        assert_eq!(disk.call_count(), call + 1);
        disk.list(Path::new("")).unwrap();
    }
    disk.fail_nth_call(1, false, io::ErrorKind::Other);
    let lists = [0; 4].map(|_| disk.list(Path::new("")).is_ok());
    assert_eq!(lists, [true, false, false, false]);
}

#[test]
fn reads_and_writes_are_cut_short() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"0123456789");
    disk.inject(Fault::short_read());
    let mut bytes = [0; 8];
    assert_eq!(file.read_at(&mut bytes, 1).unwrap(), 4);
    assert_eq!(&bytes, b"1234\0\0\0\0");
    disk.inject(Fault::short_write());
    assert_eq!(file.write_at(b"abcde", 0).unwrap(), 3);
    assert_eq!(disk.content("a").unwrap(), b"abc3456789");
    disk.inject(Fault::short_write().for_good());
    file.write_all_at(b"abcdefghij", 0).unwrap();
    assert_eq!(disk.content("a").unwrap(), b"abcdefghij");
}

#[test]
fn a_failed_sync_forgets_what_was_pending() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"0000");
    file.write_all_at(b"11112222", 0).unwrap();
    disk.inject(Fault::failed_sync(AfterFailedSync::Clean));
    file.sync().unwrap_err();
    assert_eq!(disk.content("a").unwrap(), b"11112222", "it looks as if it were there");
    assert_eq!(disk.pending_len(), 0);
    file.sync().unwrap();
    assert_eq!(settled(&disk), b"0000", "and the next sync proves nothing");
    assert_eq!(disk.after_kill().content("a").unwrap(), b"11112222");

    // Opened again by another process: what is written again becomes durable, and nothing else.
    let disk = disk.after_kill();
    let file = open(&disk, "a");
    file.write_all_at(b"2222", 4).unwrap();
    file.sync().unwrap();
    assert_eq!(settled(&disk), b"00002222");
    file.write_all_at(b"1111", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(settled(&disk), b"11112222");
}

#[test]
fn a_failed_sync_reverts_what_was_pending() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"0000");
    file.write_all_at(b"11112222", 0).unwrap();
    disk.inject(Fault::failed_sync(AfterFailedSync::Reverted));
    file.sync().unwrap_err();
    assert_eq!(disk.content("a").unwrap(), b"0000");
    assert_eq!((disk.pending_len(), settled(&disk)), (0, b"0000".to_vec()));
}

#[test]
fn an_injected_error_leaves_all_pending() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"0000");
    file.write_all_at(b"1111", 0).unwrap();
    disk.inject(Fault::error(Call::Sync, io::ErrorKind::Other));
    file.sync().unwrap_err();
    assert_eq!(disk.pending_len(), 1);
    file.sync().unwrap();
    assert_eq!(settled(&disk), b"1111");
}

#[test]
fn syncs_lie() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"0000");
    file.write_all_at(b"1111", 0).unwrap();
    disk.inject(Fault::lying_sync());
    file.sync().unwrap();
    assert_eq!(settled(&disk), b"0000");
    file.sync().unwrap();
    assert_eq!(settled(&disk), b"1111");
    disk.rename(Path::new("a"), Path::new("b")).unwrap();
    disk.inject(Fault::lying_sync_dir());
    disk.sync_dir(Path::new("")).unwrap();
    assert_eq!(settled(&disk), b"1111");
}

#[test]
fn reads_are_damaged_and_the_file_is_not() {
    let disk = SimDisk::new(1);
    let sound = [5; 3 * SECTOR_LEN];
    let file = durable(&disk, "a", &sound);
    let read = || file.read_vec_at(100, 2 * SECTOR_LEN).unwrap();
    let differing = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte != 5).count();
    disk.inject(Fault::bit_flip());
    let flipped = read();
    let bits: u32 = flipped.iter().map(|byte| (byte ^ 5).count_ones()).sum();
    assert_eq!(bits, 1);
    disk.inject(Fault::zeroed_read());
    let zeroed = read();
    let count = differing(&zeroed);
    assert!([100, SECTOR_LEN - 100, SECTOR_LEN].contains(&count), "a sector: {count}");
    assert!(zeroed.iter().all(|byte| [0, 5].contains(byte)));
    assert_eq!(differing(&read()), 0);
    assert_eq!(disk.content("a").unwrap(), sound);
}

#[test]
fn reads_are_stale() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[5; 2 * SECTOR_LEN]);
    file.write_all_at(&[6], 700).unwrap();
    let read = || {
        disk.inject(Fault::stale_read());
        file.read_vec_at(600, 200).unwrap()
    };
    assert_eq!(read(), [5; 200], "what is durable");
    file.sync().unwrap();
    assert_eq!(read(), [5; 200], "what was durable before");
    file.write_all_at(&[7], 700).unwrap();
    file.sync().unwrap();
    assert_eq!(read()[100], 6);
    disk.heal();
    assert_eq!(file.read_vec_at(700, 1).unwrap(), [7]);
}

#[test]
fn writes_are_misdirected() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "a", &[5; 4 * SECTOR_LEN]);
        disk.inject(Fault::misdirected_write());
        assert_eq!(file.write_at(&[6; 10], 1030).unwrap(), 10);
        let content = disk.content("a").unwrap();
        assert_eq!(content.len(), 4 * SECTOR_LEN);
        let places: Vec<_> =
            (0..4).filter(|sector| content[sector * SECTOR_LEN + 6] == 6).collect();
        assert_eq!(count_of(&content, 6), 10);
        assert!(places.len() == 1 && places[0] != 2, "{places:?}");
    }
}

#[test]
fn the_disk_is_full() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"0123");
    disk.limit_space(6);
    assert_eq!(file.write_at(b"abcdef", 2).unwrap(), 4, "what fits");
    assert_eq!(kind_of(file.write_at(b"x", 6)), io::ErrorKind::StorageFull);
    assert_eq!(kind_of(file.set_len(7)), io::ErrorKind::StorageFull);
    assert_eq!(kind_of(create(&disk, "b").write_all_at(b"x", 0)), io::ErrorKind::StorageFull);
    assert_eq!(file.write_at(b"over", 0).unwrap(), 4, "no more is needed");
    file.set_len(2).unwrap();
    create(&disk, "c").write_all_at(b"cccc", 0).unwrap();
    assert_eq!(disk.used_space(), 6);
    disk.limit_space(u64::MAX);
    file.write_all_at(b"abcdef", 2).unwrap();
}

#[test]
fn faults_by_seed_come_as_often_as_was_asked_and_in_the_same_places() {
    let rates = FaultRates { write_error: 200_000, bit_flip: 100_000, ..FaultRates::default() };
    let run = |seed| {
        let disk = SimDisk::new(1);
        let file = durable(&disk, "a", &[0; 64]);
        disk.faults_by_seed(seed, rates);
        let failed: Vec<_> = (0..500).map(|_| file.write_at(&[0], 3).is_err()).collect();
        let flipped: Vec<_> = (0..500).map(|_| file.read_vec_at(0, 64).unwrap()).collect();
        (failed, flipped)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let (failed, flipped) = run(9);
    assert!((60..140).contains(&failed.iter().filter(|failed| **failed).count()));
    assert!((25..75).contains(&flipped.iter().filter(|bytes| **bytes != [0; 64]).count()));
}

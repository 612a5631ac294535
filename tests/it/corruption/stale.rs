//! What was cut off a log does not come back, wherever it was cut and whatever is written then.

use std::path::Path;

use annals::{Verdict, Workspace};

use super::{
    memory::MemoryDisk,
    oracle::{End, FOLDER, HEAD_LEN, Sample, finish, options},
    stride,
};
use crate::support::{Random, changes_of, put};

/// Frames of equal lengths, so that what is written anew ends where something old began.
fn sample() -> Sample {
    let disk = MemoryDisk::new(5);
    // Zeros written ahead would lie over what stood behind.
    let options = options().preallocate(0);
    let workspace = Workspace::create_on(disk.arc(), Path::new(FOLDER), options, None).unwrap();
    for number in 0..7_u8 {
        put(&workspace, &[number; 40]);
        workspace.commit().unwrap();
    }
    finish(End::PowerLoss, &disk, workspace)
}

/// Writes `count` entries over what is cut, and shows what stood behind again.
fn assert_stays_gone(sample: &Sample, torn: &[u8], count: usize, what: &str) {
    let disk = MemoryDisk::of(&sample.files);
    disk.put(&sample.segment, torn);
    let workspace = Workspace::open_on(disk.arc(), Path::new(FOLDER), options()).unwrap();
    let mut expected = changes_of(&workspace.own_log());
    for number in 0..count {
        let payload = vec![0x80 | u8::try_from(number).unwrap(); sample.payloads[0].len()];
        put(&workspace, &payload);
        workspace.commit().unwrap();
        expected.push(payload);
    }
    // As it is now, without closing; and the disk shows what it had behind.
    let mut files = disk.files();
    let now = files[&sample.segment].clone();
    let behind = sample.bytes().get(now.len()..).unwrap_or_default();
    for lock in [true, false] {
        if !lock {
            files.remove(&Path::new(FOLDER).join("LOCK"));
        }
        let disk = MemoryDisk::of(&files);
        disk.put(&sample.segment, &[&now, behind].concat());
        let read = Workspace::open_read_only_on(disk.arc(), Path::new(FOLDER), options()).unwrap();
        assert_eq!(changes_of(&read.own_log()), expected, "{what}");
        drop(read);
        let again = Workspace::open_on(disk.arc(), Path::new(FOLDER), options()).unwrap();
        let verdict = if behind.is_empty() { Verdict::Clean } else { Verdict::TornTail };
        assert_eq!((again.recovered(), again.own_log().damage()), (&verdict, None), "{what}");
        assert_eq!(changes_of(&again.own_log()), expected, "{what}");
        assert_eq!(disk.files()[&sample.segment].len(), now.len(), "{what}");
    }
}

#[test]
fn after_every_torn_tail() {
    let sample = sample();
    // Where less than the first header of all is left, nothing tells that there ever was an opening.
    for len in HEAD_LEN + 72..sample.end_offset() {
        for count in 1..3 {
            assert_stays_gone(&sample, &sample.bytes()[..len], count, &format!("cut at {len}"));
        }
    }
}

#[test]
fn after_every_unsynced_hole() {
    // One commit of many frames, whose checkpoint was never written: none vouches for another.
    let disk = MemoryDisk::new(6);
    let options = options().preallocate(0).batch_len(1 << 10);
    let workspace = Workspace::create_on(disk.arc(), Path::new(FOLDER), options, None).unwrap();
    for number in 0..7_u8 {
        put(&workspace, &Random::new(number.into()).bytes(1000));
    }
    workspace.commit().unwrap();
    let mut sample = finish(End::PowerLoss, &disk, workspace);
    assert!(sample.frames.len() >= 4, "{} frames", sample.frames.len());
    let bytes = sample.files.get_mut(&sample.segment).unwrap();
    bytes[8192..HEAD_LEN].fill(0);
    for at in (HEAD_LEN..sample.end_offset()).step_by(stride(17)) {
        let mut torn = sample.bytes().to_vec();
        torn[at] ^= 1;
        for count in 1..3 {
            assert_stays_gone(&sample, &torn, count, &format!("a hole at {at}"));
        }
    }
}

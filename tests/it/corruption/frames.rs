//! Sectors, pages and whole frames: swapped, twice, zeroed, gone; and frames from elsewhere.

use std::ops::Range;
use std::path::Path;

use annals::{Frontier, Workspace};

use super::{
    memory::MemoryDisk,
    oracle::{End, FOLDER, HEAD_LEN, Sample, fill, finish, join, options, sample},
};

const ENDS: [End; 2] = [End::Closed, End::PowerLoss];

/// Everything that can be done to two stretches of a file.
fn mixed(bytes: &[u8], a: &Range<usize>, b: &Range<usize>) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    let with = |at: &Range<usize>, new: &[u8]| [&bytes[..at.start], new, &bytes[at.end..]].concat();
    if a == b {
        all.push(("zeroed", with(a, &vec![0; a.len()])));
        all.push(("deleted", with(a, &[])));
        all.push(("twice", with(a, &bytes[a.clone()].repeat(2))));
        return all;
    }
    if a.start < b.start {
        let swapped = [
            &bytes[..a.start],
            &bytes[b.clone()],
            &bytes[a.end..b.start],
            &bytes[a.clone()],
            &bytes[b.end..],
        ];
        all.push(("swapped", swapped.concat()));
        let zeroed = with(a, &vec![0; a.len()]);
        let both = [&zeroed[..b.start], &vec![0; b.len()], &zeroed[b.end..]];
        all.push(("both zeroed", both.concat()));
    }
    let len = a.len().min(b.len());
    all.push(("over", with(&(b.start..b.start + len), &bytes[a.start..a.start + len])));
    all.push(("moved", with(b, &bytes[a.clone()])));
    all
}

fn assert_mixed(sample: &Sample, a: &Range<usize>, b: &Range<usize>) {
    for (how, damaged) in mixed(sample.bytes(), a, b) {
        if damaged != sample.bytes() {
            sample.assert_judged(&damaged, &format!("{:?}: {a:?} and {b:?} {how}", sample.end));
        }
    }
}

#[test]
fn every_pair_of_frames() {
    for end in ENDS {
        let sample = sample(end, 20);
        assert!(sample.frames.len() >= 20);
        for a in &sample.frames {
            for b in &sample.frames {
                assert_mixed(&sample, &a.bytes, &b.bytes);
            }
        }
    }
}

#[test]
fn every_sector_and_page_and_its_neighbour() {
    for end in ENDS {
        let sample = sample(end, 20);
        for unit in [512, 4096] {
            let units = |start: usize| start..sample.end_offset().min(start + unit);
            for start in (HEAD_LEN..sample.end_offset()).step_by(unit) {
                let (here, next) = (units(start), units(start + unit));
                assert_mixed(&sample, &here, &here);
                if start + unit < sample.end_offset() {
                    assert_mixed(&sample, &here, &next);
                    assert_mixed(&sample, &next, &here);
                }
            }
        }
    }
}

/// Frames of another segment in the places of ours, where they are of the same length too.
fn assert_refused(sample: &Sample, other: &Sample) {
    for ours in &sample.frames {
        for theirs in &other.frames {
            let frame = &other.bytes()[theirs.bytes.clone()];
            let mut bytes = sample.bytes().to_vec();
            let len = ours.bytes.len().min(frame.len());
            if bytes[ours.bytes.clone()] == frame[..len] {
                continue;
            }
            bytes[ours.bytes.start..ours.bytes.start + len].copy_from_slice(&frame[..len]);
            sample.assert_judged(&bytes, &format!("{:?} on {:?}", theirs.bytes, ours.bytes));
        }
        // From here on all of theirs, which follow each other.
        let from = ours.bytes.start.min(other.end_offset());
        let bytes = [&sample.bytes()[..from], &other.bytes()[from..]].concat();
        if bytes[HEAD_LEN..] != sample.bytes()[HEAD_LEN..] {
            sample.assert_judged(&bytes, &format!("theirs from {from}"));
        }
    }
}

#[test]
fn frames_of_another_log_of_the_workspace() {
    let sample = sample(End::Closed, 6);
    let here =
        Workspace::open_on(MemoryDisk::of(&sample.files).arc(), Path::new(FOLDER), options());
    let disk = MemoryDisk::new(2);
    let other = join(&disk, here.unwrap().id());
    fill(&other, 6);
    assert_refused(&sample, &finish(End::Closed, &disk, other));
}

#[test]
fn frames_of_a_replica_of_the_log() {
    let sample = sample(End::Closed, 6);
    let here = MemoryDisk::of(&sample.files);
    let here = Workspace::open_on(here.arc(), Path::new(FOLDER), options()).unwrap();
    let disk = MemoryDisk::new(3);
    let other = join(&disk, here.id());
    let mut bundle = Vec::new();
    here.export(&Frontier::empty(), &mut bundle).unwrap();
    other.import(&bundle[..]).unwrap();
    other.close().unwrap();
    let files = disk.files();
    let mut replica = sample.clone();
    replica.files.insert(sample.segment.clone(), files[&sample.segment].clone());
    let decoded = crate::reference::segment::decode(replica.bytes()).unwrap();
    assert_eq!(decoded.end_index, sample.payloads.len() as u64);
    for (frame, found) in replica.frames.iter_mut().zip(&decoded.frames) {
        let place = |offset: u64| usize::try_from(offset).unwrap();
        frame.bytes = place(found.frame_offset)..place(found.end());
    }
    replica.frames.truncate(decoded.frames.len());
    assert_refused(&sample, &replica);
    // All of it in the place of ours is no damage.
    let disk = MemoryDisk::of(&replica.files);
    let log = Workspace::open_on(disk.arc(), Path::new(FOLDER), options()).unwrap().own_log();
    assert_eq!(log.entry_count(), sample.payloads.len() as u64);
}

/// The same file at an earlier time, after which its tail was cut and written anew, in frames of the same
/// lengths with the same entries: only links and openings tell the two apart.
#[test]
fn frames_of_an_older_copy_of_the_segment() {
    let lens = [5, 40, 40, 11, 90, 40];
    let write = |workspace: &Workspace, from: usize, byte: u8| {
        for len in &lens[from..] {
            crate::support::put(workspace, &vec![byte; *len]);
            workspace.commit().unwrap();
        }
    };
    let disk = MemoryDisk::new(4);
    let workspace = Workspace::create_on(disk.arc(), Path::new(FOLDER), options(), None).unwrap();
    write(&workspace, 0, b'o');
    let older = finish(End::PowerLoss, &disk, workspace);
    for keep in 1..older.frames.len() {
        let disk = MemoryDisk::of(&older.files);
        disk.put(&older.segment, &older.bytes()[..older.frames[keep].bytes.start]);
        let workspace = Workspace::open_on(disk.arc(), Path::new(FOLDER), options()).unwrap();
        write(&workspace, keep, b'n');
        let newer = finish(End::Closed, &disk, workspace);
        assert_eq!(newer.end_offset(), older.end_offset(), "the frames line up");
        for (number, frame) in newer.frames.iter().enumerate().skip(keep) {
            let mut bytes = newer.bytes().to_vec();
            bytes[frame.bytes.clone()].copy_from_slice(&older.bytes()[frame.bytes.clone()]);
            newer.assert_nothing_old(&bytes, &format!("frame {number} of an older copy"));
            let from = frame.bytes.start;
            let bytes = [&newer.bytes()[..from], &older.bytes()[from..]].concat();
            newer.assert_old_end_is_told(&bytes, &format!("from frame {number} on an older copy"));
        }
    }
}

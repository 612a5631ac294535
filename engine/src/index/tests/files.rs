//! The files themselves: which there are, what they hold, and what is made of wrong ones.

use std::sync::Arc;

use super::{
    super::{Direction, IgnoredReason, layout::RunId, remove_all},
    Frame, HEAD_LEN, Identity, Index, IndexError, LogId, Model, OsDisk, STRETCH_LEN, cache_folder,
    collect, feed, files, identity, names, open, persisted_log, read, write,
};
use crate::{
    bytes::{Hash, crc},
    io::{Access, Disk as _},
};

fn ignored(index: &Index, reason: IgnoredReason) -> Vec<&str> {
    let matching = index.ignored().iter().filter(|ignored| ignored.reason == reason);
    matching.map(|ignored| ignored.name.as_str()).collect()
}

#[test]
fn grown_and_rebuilt_runs_are_equal_to_the_byte() {
    let (grown, rebuilt) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (grown, rebuilt) = (cache_folder(&grown), cache_folder(&rebuilt));
    let mut index = open(&grown);
    let mut model = Model::new(4, index.position());
    model.grow(150);
    for (number, frame) in model.frames.iter().enumerate() {
        index.push(&frame.summary());
        index.persist(frame.end_offset).unwrap();
        if number % 97 == 0 {
            index = open(&grown);
            let end = index.position().end_offset;
            let lost = model.frames[..=number].iter().filter(|frame| frame.offset >= end);
            lost.for_each(|frame| index.push(&frame.summary()));
        }
    }
    let other = open(&rebuilt);
    feed(&other, &model);
    other.persist(model.end.end_offset).unwrap();
    assert!(files(&grown) == files(&rebuilt), "{:?} {:?}", names(&grown), names(&rebuilt));
    assert_eq!(other.persisted(), index.persisted());

    remove_all(&OsDisk, &rebuilt).unwrap();
    assert!(names(&rebuilt).is_empty());
}

#[test]
fn runs_are_the_digits_of_the_number_of_stretches() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let index = open(&folder);
    let mut model = Model::new(5, index.position());
    for count in 1..=75_u64 {
        model.fill(count);
        feed(&index, &model);
        index.persist(model.end.end_offset).unwrap();
        let mut expected = Vec::new();
        for level in 0..3 {
            let full = count >> (3 * level);
            expected.extend((full & !7..full).map(|number| RunId { level, number }.file_name()));
        }
        expected.sort_unstable();
        assert_eq!(names(&folder), expected, "{count} stretches");
    }
}

/// The bytes of a run file, checked by hand against.
#[test]
fn a_run_file_has_the_specified_layout() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let index = open(&folder);
    let mut model = Model::new(6, index.position());
    model.append(STRETCH_LEN + 8);
    model.append(104);
    feed(&index, &model);
    index.persist(model.end.end_offset).unwrap();
    let file = read(&folder.join("0-0.run"));
    assert_eq!(file.len() % 4096, 0);
    let mut content = Vec::new();
    for (number, page) in (0_u64..).zip(file.chunks(4096)) {
        let mut bound = identity().salt.to_vec();
        bound.extend(identity().log.as_bytes());
        bound.extend(identity().generation.to_le_bytes());
        bound.extend(0_u32.to_le_bytes());
        bound.extend(0_u64.to_le_bytes());
        bound.extend(number.to_le_bytes());
        bound.extend(&page[..4092]);
        assert_eq!(page[4092..], crc(&bound).to_le_bytes());
        content.extend(&page[..4092]);
    }
    let Frame { entry_count, streams, declarations, nodes, .. } = &model.frames[0];
    let u32_at = |at: usize| u32::from_le_bytes(content[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(content[at..at + 8].try_into().unwrap());
    assert_eq!(content[..8], [0x89, 0x41, 0x4E, 0x4C, 0x49, 0x0D, 0x0A, 0x1A]);
    assert_eq!((u32_at(8), u32_at(12), u64_at(16), u64_at(24)), (3, 0, 0, 3));
    assert_eq!(content[32..48], [7; 16]);
    assert_eq!((u64_at(48), u64_at(56)), (HEAD_LEN, HEAD_LEN + STRETCH_LEN + 8));
    assert_eq!((u64_at(64), u64_at(72)), (0, u64::from(*entry_count)));
    assert_eq!((u32_at(96), u32_at(100)), (1, u32::try_from(streams.len()).unwrap()));
    assert_eq!(u32_at(104), u32_at(100));
    assert_eq!(u32_at(108), u32::try_from(declarations.len()).unwrap());
    assert_eq!(content[120..152], *model.frames[0].root.as_bytes());
    assert_eq!(content[152..192], [0; 40]);
    assert_eq!((u64_at(192), u64_at(200), u64_at(208)), (HEAD_LEN, 0, 0));
    let mut by_level = nodes.clone();
    by_level.sort_unstable_by_key(|&(level, position, _)| (level, position));
    let mut at = 224;
    for (_, _, hash) in by_level {
        assert_eq!(content[at..at + Hash::LEN], *hash.as_bytes());
        at += Hash::LEN;
    }
    for (number, stream) in (0..).zip(streams) {
        assert_eq!((u32_at(at), u32_at(at + 4), u32_at(at + 8)), (stream.0, number, 1));
        at += 12;
    }
    at += 4 * streams.len();
    for declaration in declarations {
        assert_eq!(u32_at(at), declaration.stream.0);
        assert_eq!(usize::from(content[at + 5]), declaration.name.len());
        assert_eq!(u64_at(at + 8), declaration.index);
        at += 16 + declaration.name.len();
    }
    assert!(content[at..].iter().all(|&byte| byte == 0));
    assert!(content.len() - at < 4092);
}

#[test]
fn every_flipped_bit_is_found() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let (_, index) = persisted_log(&folder, 7, 1);
    index.check().unwrap();
    let path = folder.join("0-0.run");
    let sound = read(&path);
    assert!(sound.len() > 4096, "more than the header's page");
    let file = OsDisk.open(&path, Access::Write).unwrap();
    for (offset, &byte) in sound.iter().enumerate() {
        for bit in 0..8 {
            file.write_all_at(&[byte ^ 1 << bit], offset as u64).unwrap();
            let index = open(&folder);
            if offset < 4096 {
                assert_eq!(ignored(&index, IgnoredReason::Invalid), ["0-0.run"], "{offset}");
                assert_eq!((index.persisted().end_offset, index.evidence()), (HEAD_LEN, 0));
                continue;
            }
            match index.check() {
                Err(IndexError::Damaged { path: at, page }) => {
                    assert_eq!((&at, page), (&path, offset as u64 / 4096));
                }
                found => panic!("bit {bit} of byte {offset}: {found:?}"),
            }
        }
        file.write_all_at(&[byte], offset as u64).unwrap();
    }
    open(&folder).check().unwrap();
}

#[test]
fn a_run_cut_anywhere_is_ignored() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let (model, index) = persisted_log(&folder, 8, 3);
    let sound = files(&folder);
    let path = folder.join("0-1.run");
    let whole = read(&path);
    for len in [0, 1, 100, 4095, whole.len() - 4096, whole.len() - 1] {
        write(&path, &whole[..len]);
        let cut = open(&folder);
        assert_eq!(ignored(&cut, IgnoredReason::Invalid), ["0-1.run"], "{len}");
        assert_eq!(ignored(&cut, IgnoredReason::Superfluous), ["0-2.run"]);
        assert_eq!(cut.evidence(), index.persisted().end_offset);
        feed(&cut, &model);
        cut.persist(model.end.end_offset).unwrap();
        assert!(files(&folder) == sound, "rebuilt as it was");
    }
}

#[test]
fn a_cut_that_comes_after_opening_is_damage() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    persisted_log(&folder, 8, 8);
    let index = open(&folder);
    let path = folder.join("1-0.run");
    let whole = read(&path);
    write(&path, &whole[..whole.len() - 4096]);
    let last = u64::try_from(whole.len() / 4096 - 1).unwrap();
    let found = index.check();
    assert!(matches!(found, Err(IndexError::Damaged { page, .. }) if page == last), "{found:?}");
}

#[test]
fn runs_of_another_log_salt_or_generation_are_not_used() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    persisted_log(&folder, 9, 9);
    for other in [
        Identity { log: LogId::from_bytes([8; 16]), ..identity() },
        Identity { salt: [8; 16], ..identity() },
        Identity { generation: 4, ..identity() },
    ] {
        let index = Index::open(Arc::new(OsDisk), folder.clone(), other).unwrap();
        assert_eq!((index.position().end_offset, index.evidence()), (HEAD_LEN, 0));
        assert_eq!(ignored(&index, IgnoredReason::Invalid), ["0-8.run", "1-0.run"]);
    }
    // A run under the name of another.
    write(&folder.join("0-9.run"), &read(&folder.join("0-8.run")));
    assert_eq!(ignored(&open(&folder), IgnoredReason::Invalid), ["0-9.run"]);
}

#[test]
fn what_a_crash_within_a_fold_leaves_is_cleared_away() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let index = open(&folder);
    let mut model = Model::new(10, index.position());
    (1..=7).for_each(|count| model.fill(count));
    feed(&index, &model);
    index.persist(model.end.end_offset).unwrap();
    let children = files(&folder);
    model.fill(8);
    feed(&index, &model);
    index.persist(model.end.end_offset).unwrap();
    let folded = files(&folder);
    assert!(folded.contains_key("1-0.run"));

    for name in ["0-3.run", "0-6.run"] {
        write(&folder.join(name), &children[name]);
    }
    write(&folder.join("1-0.run.tmp"), b"half");
    for foreign in ["notes.txt", "0-07.run", "run", "00-1.run", "0-1.RUN"] {
        write(&folder.join(foreign), b"mine");
    }
    let index = open(&folder);
    assert_eq!(ignored(&index, IgnoredReason::Superfluous), ["0-3.run", "0-6.run"]);
    assert_eq!(ignored(&index, IgnoredReason::Unfinished), ["1-0.run.tmp"]);
    assert_eq!(ignored(&index, IgnoredReason::Foreign).len(), 5);
    assert_eq!(index.persisted().end_offset, model.end.end_offset);
    index.check().unwrap();
    index.persist(model.end.end_offset).unwrap();
    let mut left = files(&folder);
    left.retain(|_, bytes| bytes.as_slice() != b"mine");
    assert!(left == folded, "{:?}", names(&folder));
    assert_eq!(names(&folder).len(), folded.len() + 5, "foreign files stay");
}

#[test]
fn a_fold_that_a_crash_prevented_is_made_up_for() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let (model, _) = persisted_log(&folder, 11, 16);
    let folded = files(&folder);
    // Eight runs of level 0, and behind them one of level 1 that outlived its sibling.
    OsDisk.remove(&folder.join("1-0.run")).unwrap();
    let index = open(&folder);
    feed(&index, &model);
    index.runs()[..8].iter().for_each(|run| drop(index.write(run).unwrap()));
    assert_eq!(names(&folder).len(), 9);
    let index = open(&folder);
    assert_eq!(index.persisted().end_offset, model.end.end_offset);
    index.check().unwrap();
    index.persist(model.end.end_offset).unwrap();
    assert!(files(&folder) == folded, "{:?}", names(&folder));
}

#[test]
fn evidence_survives_until_the_log_is_as_long_again() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let (model, index) = persisted_log(&folder, 12, 11);
    let end = index.persisted().end_offset;
    OsDisk.remove(&folder.join("0-8.run")).unwrap();
    let index = open(&folder);
    assert_eq!(index.evidence(), end);
    assert!(index.persisted().end_offset < end);
    index.persist(index.persisted().end_offset).unwrap();
    assert_eq!(open(&folder).evidence(), end, "a shorter log does not remove it");
    feed(&index, &model);
    index.persist(model.end.end_offset).unwrap();
    assert!(open(&folder).ignored().is_empty());
}

#[test]
fn a_frame_that_jumps_over_stretches_leaves_empty_runs() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let index = open(&folder);
    let mut model = Model::new(13, index.position());
    model.append(104);
    model.append(20 * STRETCH_LEN);
    model.append(104);
    feed(&index, &model);
    index.persist(model.end.end_offset).unwrap();
    let expected = ["0-16.run", "0-17.run", "0-18.run", "0-19.run", "1-0.run", "1-1.run"];
    assert_eq!(names(&folder), expected);
    let index = open(&folder);
    let boundary = model.frames[1].end_offset;
    assert_eq!(index.persisted().end_offset, boundary);
    let runs = index.runs();
    let header = runs[1].header();
    assert_eq!(
        (header.start_offset, header.end.end_offset, header.span_count),
        (boundary, boundary, 0)
    );
    feed(&index, &model);
    index.check().unwrap();
    let spans = model.spans().into_iter().map(|(span, _)| span);
    assert_eq!(collect(index.spans(0, Direction::Forward)), spans.collect::<Vec<_>>());
    for at in 0..model.end.end_index {
        assert!(index.locate(at).unwrap().is_some());
    }
}

/// A crash may come when only some of the empty runs of one large frame were written.
#[test]
fn empty_runs_that_were_not_written_come_again() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let index = open(&folder);
    let mut model = Model::new(18, index.position());
    model.append(5 * STRETCH_LEN + 8);
    model.fill(6);
    feed(&index, &model);
    index.persist(model.end.end_offset).unwrap();
    let sound = files(&folder);
    for name in ["0-2.run", "0-3.run", "0-4.run", "0-5.run"] {
        OsDisk.remove(&folder.join(name)).unwrap();
    }
    let index = open(&folder);
    index.truncate_tail();
    feed(&index, &model);
    index.persist(model.end.end_offset).unwrap();
    assert!(files(&folder) == sound, "{:?}", names(&folder));
}

#[test]
fn a_walk_goes_on_in_runs_that_were_folded_meanwhile() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let (mut model, _) = persisted_log(&folder, 14, 7);
    let index = open(&folder);
    feed(&index, &model);
    let before = model.spans();
    let mut walk = index.spans(0, Direction::Forward);
    walk.next().unwrap().unwrap();
    model.grow(8);
    feed(&index, &model);
    index.persist(model.end.end_offset).unwrap();
    assert!(!names(&folder).contains(&"0-5.run".to_owned()));
    assert_eq!(collect(walk).len(), before.len() - 1);
}

#[test]
fn a_run_that_another_process_removed_is_gone() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    persisted_log(&folder, 15, 2);
    let index = open(&folder);
    remove_all(&OsDisk, &folder).unwrap();
    assert!(matches!(index.locate(0), Err(IndexError::Gone { .. })));
    let mut walk = index.spans(0, Direction::Forward);
    assert!(matches!(walk.next(), Some(Err(IndexError::Gone { .. }))));
    assert!(walk.next().is_none(), "it ends after an error");
}

#[test]
fn nothing_is_written_before_a_stretch_is_durable() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = cache_folder(&temporary);
    let index = open(&folder);
    let mut model = Model::new(16, index.position());
    model.append(STRETCH_LEN);
    feed(&index, &model);
    index.persist(model.end.end_offset - 1).unwrap();
    assert_eq!(index.persisted().end_offset, HEAD_LEN);
    assert!(OsDisk.list(&folder).is_err(), "not even the folder is there");
    index.persist(model.end.end_offset).unwrap();
    assert_eq!(index.persisted(), model.end);
    assert_eq!(index.unpersisted_len(), 0);
}

//! Repairs.

use super::*;

/// Repairs, checks that a second time changes nothing, and returns the report and the files.
fn mended(files: &Files) -> (Report, Files) {
    let folder = folder_of(files);
    let report = repair(folder.path(), Depth::Payloads, |_, _| ()).unwrap();
    let after = files_of(folder.path());
    let again = repair(folder.path(), Depth::Payloads, |_, _| ()).unwrap();
    assert_eq!(again.corrected, [], "{again:#?}");
    assert_eq!(files_of(folder.path()), after);
    let checked = check(folder.path(), Depth::Payloads, |_, _| ()).unwrap();
    assert_eq!(checked.findings, report.findings);
    (report, after)
}

fn cuts(files: &Files) -> Vec<&Vec<u8>> {
    let is_cut = |path: &Path| path.to_string_lossy().contains(".seg.cut-");
    files.iter().filter(|(path, _)| is_cut(path)).map(|(_, bytes)| bytes).collect()
}

#[test]
fn a_sound_workspace_is_left_as_it_is() {
    for end in [End::Closed, End::Crashed] {
        let sample = sample(end);
        let (report, after) = mended(&sample.files);
        assert_eq!((report.exit_code(), &after), (0, &sample.files));
    }
}

#[test]
fn a_header_unit_is_written_again_from_the_other() {
    let sample = sample(End::Closed);
    for at in [3, 100, 4095, 4096, 4300, 8191] {
        let mut bytes = sample.bytes().to_vec();
        bytes[at] ^= 4;
        let (report, after) = mended(&sample.with_segment(bytes));
        assert_eq!((report.exit_code(), report.corrected.len()), (1, 1), "{report:#?}");
        assert_eq!(after, sample.files);
    }
}

#[test]
fn damaged_checkpoints_are_replaced() {
    let sample = sample(End::Closed);
    for slots in [vec![0], vec![1], vec![0, 1]] {
        let mut bytes = sample.bytes().to_vec();
        for slot in &slots {
            bytes[8192 + slot * 4096 + 50] ^= 4;
        }
        let (report, after) = mended(&sample.with_segment(bytes));
        assert_eq!(report.exit_code(), 1, "{report:#?}");
        assert_eq!(after[&sample.segment][16_384..], sample.bytes()[16_384..]);
        let memory = Memory::new(&after, &sample.segment);
        assert_eq!(memory.read(), sample.payloads_without(&(0..0)));
    }
}

#[test]
fn a_torn_tail_is_saved_before_it_is_cut() {
    let sample = sample(End::PowerLoss);
    let last = sample.frames.last().unwrap().bytes.clone();
    for len in last.clone().skip(1).step_by(17) {
        let (report, after) = mended(&sample.with_segment(sample.bytes()[..len].to_vec()));
        assert_eq!(report.exit_code(), 1, "{report:#?}");
        assert_eq!(codes(&report), [Code::SavedCut]);
        assert_eq!(cuts(&after), [&sample.bytes()[last.start..len].to_vec()]);
        assert_eq!(after[&sample.segment][16_384..], sample.bytes()[16_384..last.start]);
    }
}

#[test]
fn an_unsynced_hole_is_saved_before_it_is_cut() {
    let options = Options::default().batch_len(1 << 10);
    let sample = sample_with(End::PowerLoss, options, |workspace| {
        for _ in 0..8 {
            append(workspace, &[1; 900]);
        }
        workspace.commit().unwrap();
    });
    let mut bytes = sample.bytes().to_vec();
    bytes[8192..16_384].fill(0);
    let start = sample.frames[1].bytes.start;
    bytes[start + 100] ^= 1;
    let (report, after) = mended(&sample.with_segment(bytes.clone()));
    assert_eq!(report.exit_code(), 1, "{report:#?}");
    assert_eq!(cuts(&after), [&bytes[start..].to_vec()]);
    assert_eq!(after[&sample.segment].len(), start);
}

#[test]
fn damaged_entries_are_never_touched() {
    let sample = sample(End::Closed);
    for frame in &sample.frames {
        for at in frame.bytes.clone().step_by(23) {
            let mut bytes = sample.bytes().to_vec();
            bytes[at] ^= 1;
            // With a tail beside it.
            bytes.extend([9; 33]);
            let files = sample.with_segment(bytes);
            let (report, after) = mended(&files);
            assert_eq!((report.exit_code(), &after), (4, &files));
        }
    }
}

#[test]
fn unfinished_files_are_removed_and_foreign_ones_kept() {
    let sample = sample(End::Closed);
    let mut files = sample.files.clone();
    files.insert("notes.txt".into(), b"mine".to_vec());
    let kept = files.clone();
    files.insert("index.json.tmp".into(), b"half".to_vec());
    files.insert(format!("logs/{}.seg.tmp", sample.log).into(), b"half".to_vec());
    let (report, after) = mended(&files);
    assert_eq!((report.exit_code(), &after), (1, &kept));
}

#[test]
fn a_repaired_log_can_be_written_on() {
    let sample = sample(End::Crashed);
    let mut bytes = sample.bytes().to_vec();
    bytes.extend([9; 33]);
    bytes[100] ^= 1;
    let folder = folder_of(&sample.with_segment(bytes));
    assert_eq!(repair(folder.path(), Depth::Payloads, |_, _| ()).unwrap().exit_code(), 1);
    let workspace = Workspace::open(folder.path(), Options::default()).unwrap();
    append(&workspace, b"more");
    workspace.close().unwrap();
    let report = check(folder.path(), Depth::Payloads, |_, _| ()).unwrap();
    assert_eq!(codes(&report), [Code::SavedCut]);
    assert_eq!(report.logs[0].entries, sample.frames.last().unwrap().entries.end + 1);
}

//! What is beside the frames: other files, the index, a writer.

use super::*;
use crate::check::CheckError;

#[test]
fn a_check_changes_nothing() {
    for end in [End::Closed, End::Crashed] {
        let sample = sample(end);
        let mut torn = sample.bytes().to_vec();
        torn.extend([1; 100]);
        let mut flipped = sample.bytes().to_vec();
        flipped[16_500] ^= 1;
        for bytes in [sample.bytes().to_vec(), torn, flipped] {
            let mut files = sample.with_segment(bytes);
            files.remove(Path::new("LOCK"));
            let folder = folder_of(&files);
            for depth in DEPTHS {
                check(folder.path(), depth, |_, _| ()).unwrap();
                assert_eq!(files_of(folder.path()), files);
            }
        }
    }
}

#[test]
fn what_is_no_part_of_a_workspace_is_noted_and_left() {
    let sample = sample(End::Closed);
    let mut files = sample.files.clone();
    let cut = format!("logs/{}.seg.cut-0123456789abcdef", sample.log);
    for path in ["notes.txt", "logs/readme", "index.json.tmp", "cache/x/y", &cut, "logs/x.seg"] {
        files.insert(path.into(), b"mine".to_vec());
    }
    let folder = folder_of(&files);
    let report = check(folder.path(), Depth::Structure, |_, _| ()).unwrap();
    let mut found = codes(&report);
    found.sort_unstable();
    let mut expected = vec![Code::ForeignFile; 4];
    expected.extend([Code::UnfinishedFile, Code::SavedCut]);
    expected.sort_unstable();
    assert_eq!((found, report.exit_code()), (expected, 0));
}

#[test]
fn a_folder_that_is_no_workspace_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = check(folder.path(), Depth::Structure, |_, _| ()).unwrap_err();
    assert!(matches!(error, CheckError::NotAWorkspace(_)), "{error}");
    let error = repair(folder.path(), Depth::Structure, |_, _| ()).unwrap_err();
    assert!(matches!(error, CheckError::NotAWorkspace(_)), "{error}");
    assert_eq!(files_of(folder.path()), Files::new());
}

#[test]
fn logs_are_checked_without_metadata() {
    let sample = sample(End::Closed);
    for bytes in [None, Some(b"{}".to_vec()), Some(b"\0\0\0".to_vec())] {
        let mut files = sample.files.clone();
        files.remove(Path::new("index.json"));
        files.extend(bytes.map(|bytes| ("index.json".into(), bytes)));
        let report = check(folder_of(&files).path(), Depth::Payloads, |_, _| ()).unwrap();
        assert_eq!(codes(&report), [Code::BadMetadata]);
        assert_eq!((report.logs.len(), report.exit_code()), (1, 4));
    }
}

#[test]
fn a_segment_in_a_wrong_place_is_found() {
    let (here, other) = (sample(End::Closed), sample(End::Closed));
    let report = |files: &Files| {
        let folder = folder_of(files);
        let report = check(folder.path(), Depth::Payloads, |_, _| ()).unwrap();
        assert_eq!(report.exit_code(), 4);
        codes(&report)
    };
    // In the place of the own log, beside it, and without the own one.
    assert_eq!(report(&here.with_segment(other.bytes().to_vec())), [Code::SegmentMismatch]);
    let mut files = here.files.clone();
    files.insert(other.segment.clone(), other.bytes().to_vec());
    assert_eq!(report(&files), [Code::SegmentMismatch]);
    files.remove(&here.segment);
    assert_eq!(report(&files), [Code::MissingSegment, Code::SegmentMismatch]);
}

#[test]
fn frames_of_another_log_are_found() {
    let (here, other) = (sample(End::Closed), sample(End::Closed));
    let mut bytes = here.bytes().to_vec();
    let frames = 16_384..here.end().min(other.end());
    bytes[frames.clone()].copy_from_slice(&other.bytes()[frames]);
    let report =
        check(folder_of(&here.with_segment(bytes)).path(), Depth::Structure, |_, _| ()).unwrap();
    assert_eq!(report.findings[0].code, Code::ForeignFrame, "{report:#?}");
    assert!(damaged(&report));
}

/// A log that is long enough for several index runs.
fn indexed_sample() -> Sample {
    sample_of(End::Closed, |workspace| {
        let mut noise = 1_u64;
        for change in 0..400_u32 {
            let payload: Vec<u8> = std::iter::repeat_with(|| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                noise.to_le_bytes()[7]
            })
            .take(4000)
            .collect();
            append(workspace, &payload);
            if change % 20 == 0 {
                workspace.commit().unwrap();
            }
        }
        workspace.commit().unwrap();
    })
}

#[test]
fn a_damaged_or_stale_index_is_found_and_a_missing_one_is_not() {
    let sample = indexed_sample();
    let runs: Vec<PathBuf> =
        sample.files.keys().filter(|path| path.starts_with("cache")).cloned().collect();
    assert!(runs.len() > 2, "{runs:?}");
    let report = |files: &Files, depth| check(folder_of(files).path(), depth, |_, _| ()).unwrap();
    for depth in DEPTHS {
        assert_eq!(report(&sample.files, depth).findings, []);
        let mut files = sample.files.clone();
        files.retain(|path, _| !path.starts_with("cache"));
        assert_eq!(report(&files, depth).findings, []);
    }
    for run in &runs {
        for at in (0..sample.files[run].len()).step_by(509) {
            let mut files = sample.files.clone();
            files.get_mut(run).unwrap()[at] ^= 1;
            let report = report(&files, Depth::Structure);
            let errors: Vec<Code> = report.errors().map(|error| error.code).collect();
            assert_eq!(errors, [Code::DamagedIndex], "{} byte {at}", run.display());
        }
        // Torn, as a power loss may leave it.
        let mut files = sample.files.clone();
        files.get_mut(run).unwrap().truncate(4096 - 7);
        assert_eq!(report(&files, Depth::Payloads).exit_code(), 4);
    }
}

#[test]
fn a_sound_index_of_another_content_is_stale() {
    use crate::index::{FrameSummary, Index};
    let sample = indexed_sample();
    let folder = folder_of(&sample.files);
    let path = folder.path().join(&sample.segment);
    let segment = Segment::load(&OsDisk, &path, Access::Read).unwrap();
    let cache = folder.path().join("cache").join(sample.log.to_string());
    crate::index::remove_all(&OsDisk, &cache).unwrap();
    let index = Index::open(Arc::new(OsDisk), cache, segment.header.identity()).unwrap();
    let mut replay = crate::log::Replay::new(
        sample.log,
        segment.salts.clone(),
        segment.header.align_log2,
        crate::log::LogState::empty(segment.header.link_seed()),
    );
    let mut reader = FrameReader::new(
        segment.file.clone(),
        segment.header.frames(),
        sample.end() as u64,
        READ_AHEAD_LONG,
    );
    // Another time, which only the deep check can tell.
    let late = crate::Timestamp::from_micros(i64::MAX);
    for frame in &sample.frames {
        let header = reader.header(frame.bytes.start as u64).unwrap().unwrap();
        let payload = reader.payload(&header).unwrap().unwrap();
        let summary = replay.apply(&header, payload).unwrap();
        index.push(&FrameSummary { time_max: Some(late), ..summary });
    }
    index.persist(sample.end() as u64).unwrap();
    let report = check(folder.path(), Depth::Structure, |_, _| ()).unwrap();
    assert_eq!(report.findings, []);
    let report = check(folder.path(), Depth::Payloads, |_, _| ()).unwrap();
    assert!(report.errors().all(|error| error.code == Code::StaleIndex));
    assert_eq!(report.exit_code(), 4);
    let report = repair(folder.path(), Depth::Payloads, |_, _| ()).unwrap();
    assert_eq!(report.exit_code(), 1, "{report:#?}");
}

#[test]
fn an_index_that_covers_more_than_the_segment_is_damage_of_the_segment() {
    let sample = indexed_sample();
    // Without its checkpoints, and cut at a frame that nothing behind it vouches for.
    let cut = &sample.frames[3].bytes;
    let mut bytes = sample.bytes()[..cut.end].to_vec();
    bytes[8192..16_384].fill(0);
    let folder = folder_of(&sample.with_segment(bytes));
    let before = files_of(folder.path());
    let report = check(folder.path(), Depth::Structure, |_, _| ()).unwrap();
    assert!(codes(&report).contains(&Code::MissingEnd), "{report:#?}");
    // The evidence is not removed.
    let report = repair(folder.path(), Depth::Structure, |_, _| ()).unwrap();
    assert_eq!((report.exit_code(), &report.corrected[..]), (4, &[][..]));
    assert_eq!(files_of(folder.path()), before);
}

#[test]
fn beside_a_writer_what_is_durable_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let workspace = Workspace::create(&path, Options::default()).unwrap();
    for _ in 0..3 {
        append(&workspace, b"a change");
        workspace.commit().unwrap();
    }
    // What the writer has not synced is none of the check's business.
    let segment = segment_path(&path, workspace.own_log().id());
    let file = OsDisk.open(&segment, Access::Write).unwrap();
    let len = file.len().unwrap();
    file.write_all_at(&[0xEE; 77], len).unwrap();
    for depth in DEPTHS {
        let report = check(&path, depth, |_, _| ()).unwrap();
        assert_eq!((codes(&report), report.exit_code()), (vec![Code::LiveWriter], 0));
        assert_eq!(report.logs[0].entries, 3);
    }
    let error = repair(&path, Depth::Structure, |_, _| ()).unwrap_err();
    assert!(matches!(error, CheckError::Locked(_)), "{error}");
    // Damage below is.
    let byte = file.read_vec_at(16_384 + 90, 1).unwrap()[0];
    file.write_all_at(&[!byte], 16_384 + 90).unwrap();
    let report = check(&path, Depth::Structure, |_, _| ()).unwrap();
    assert!(damaged(&report), "{report:#?}");
}

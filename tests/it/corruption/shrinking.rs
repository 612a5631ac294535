//! A file that somebody cuts while it is open: everybody is told, nobody waits or dies, nothing is served short.

use std::path::Path;

use annals::{
    Frontier, ReadError, Workspace,
    check::{self, Depth},
};

use super::oracle::{fill, options};
use crate::support::{decode_file, put, segment_path, within};

fn cut(path: &Path, len: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Frame boundaries, and places in the middle of heads, headers and payloads.
fn places(segment: &Path) -> Vec<u64> {
    let frames = decode_file(segment).frames;
    let within_frames = frames.iter().flat_map(|frame| {
        let start = frame.frame_offset;
        [start, start + 1, start + 71, start + 72, frame.end() - 8, frame.end() - 1]
    });
    [0, 5000, 16_383].into_iter().chain(within_frames).collect()
}

/// Reads everything in every way; each entry is right, or an error.
fn assert_no_short_result(workspace: &Workspace, payloads: &[Vec<u8>], len: u64) {
    let log = workspace.own_log();
    let frames_lost = (0..payloads.len() as u64).filter(|&index| match log.entry(index) {
        Ok(entry) => {
            assert_eq!(entry.payload().unwrap(), payloads[usize::try_from(index).unwrap()]);
            false
        }
        Err(ReadError::Corrupt(_) | ReadError::Io(_)) => true,
        Err(error) => panic!("cut to {len}: entry {index}: {error}"),
    });
    assert!(frames_lost.count() > 0, "cut to {len}: nothing is missed");
    for scan in [log.scan(..), log.scan_backward(..)].into_iter().flatten() {
        let items: Vec<_> = scan.collect();
        assert!(items.iter().any(Result::is_err), "cut to {len}: a scan ends early in silence");
    }
    let last = payloads.len() as u64 - 1;
    assert!(log.prove_inclusion(last, None).is_err(), "cut to {len}: a proof of what is gone");
    let consistent = log.prove_consistency(last, None);
    assert!(consistent.is_err(), "cut to {len}: a consistency proof of what is gone");
}

fn payloads_of(workspace: &Workspace) -> Vec<Vec<u8>> {
    let log = workspace.own_log();
    (0..log.entry_count())
        .map(|index| log.entry(index).unwrap().payload().unwrap().to_vec())
        .collect()
}

/// A workspace in a folder, and the places where its segment is cut.
fn sample() -> (tempfile::TempDir, Vec<Vec<u8>>, Vec<u64>, annals::LogId) {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::create(folder.path().join("w"), options()).unwrap();
    fill(&workspace, 7);
    let payloads = payloads_of(&workspace);
    let log = workspace.own_log().id();
    workspace.close().unwrap();
    let places = places(&segment_path(&folder.path().join("w"), log));
    (folder, payloads, places, log)
}

fn copy(from: &Path, name: &str) -> std::path::PathBuf {
    let to = from.join(name);
    crate::support::copy_folder(&from.join("w"), &to);
    to
}

#[test]
fn under_readers() {
    within(|| {
        let (folder, payloads, places, log) = sample();
        for len in places {
            let path = copy(folder.path(), &format!("copy {len}"));
            // Without a cache of batches, which would hide it.
            let options = options().cache_len(0);
            let reader = Workspace::open_read_only(&path, options).unwrap();
            cut(&segment_path(&path, log), len);
            assert_no_short_result(&reader, &payloads, len);
            let _ = reader.refresh();
            assert_no_short_result(&reader, &payloads, len);
            for depth in [Depth::Structure, Depth::Payloads] {
                let report = check::check(&path, depth, |_, _| ()).unwrap();
                assert_eq!(report.exit_code(), 4, "cut to {len}: {report:#?}");
            }
        }
    });
}

#[test]
fn under_a_writer() {
    within(|| {
        let (folder, payloads, places, log) = sample();
        for len in places {
            for staged in [false, true] {
                let path = copy(folder.path(), &format!("copy {len} {staged}"));
                let options = options().cache_len(0);
                let writer = Workspace::open(&path, options).unwrap();
                let segment = segment_path(&path, log);
                if staged {
                    put(&writer, b"staged");
                    // Written, and not synced.
                    let _ = writer.own_log().root().unwrap();
                }
                cut(&segment, len);
                assert_no_short_result(&writer, &payloads, len);
                let _ = writer.append(b"more");
                assert!(writer.commit().is_err(), "cut to {len}: acknowledged behind a hole");
                assert!(writer.is_poisoned());
                assert!(writer.append(b"again").is_err());
                assert!(writer.checkpoint().is_err());
                assert!(writer.export(&Frontier::empty(), Vec::new()).is_err());
                assert!(writer.backup(path.join("backup"), |_, _| ()).is_err());
                assert!(writer.close().is_err());
                assert_eq!(std::fs::metadata(&segment).unwrap().len(), len, "it is not filled up");
                assert!(Workspace::open(&path, self::options()).is_err());
            }
        }
    });
}

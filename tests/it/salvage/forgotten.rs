//! What was redacted or pruned: it stays away, whichever files there are beside, and in whatever state their heads are.

use std::path::PathBuf;

use annals::{CompactOptions, Hash, LogId, PruneOptions, Workspace};

use super::{options, rescue, roots, seen_in};
use crate::support::{decode_file, segment_path};

const SECRET: &[u8] = b"the secret that is to be forgotten";
const CHANGES: u64 = 300;

/// The same log before and after something of it was forgotten.
struct Sample {
    folder: tempfile::TempDir,
    path: PathBuf,
    log: LogId,
    segment: PathBuf,
    before: Vec<u8>,
    after: Vec<u8>,
    roots: Vec<(LogId, Hash)>,
}

impl Sample {
    fn new(redactions: &[u64], prune: Option<u64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        let workspace = Workspace::create(&path, options()).unwrap();
        let log = workspace.own_log().id();
        let notes = workspace.stream("notes").unwrap();
        for number in 0..CHANGES {
            let plain = format!("change {number}");
            let secret = redactions.contains(&(number + 1)) || number == 10;
            notes.append(if secret { SECRET } else { plain.as_bytes() }).unwrap();
            workspace.commit().unwrap();
        }
        let segment = segment_path(&path, log);
        let before = std::fs::read(&segment).unwrap();
        for &index in redactions {
            workspace.redact(workspace.client(), index, "private").unwrap();
        }
        let frontier = workspace.frontier().unwrap();
        workspace.snapshot(&frontier, b"state").unwrap().wait_durable().unwrap();
        workspace.compact(&CompactOptions::default(), |_, _| true).unwrap();
        if let Some(up_to) = prune {
            let client = workspace.client();
            workspace.prune(client, up_to, &PruneOptions::default(), |_, _| true).unwrap();
        }
        notes.append(b"the last change").unwrap();
        workspace.commit().unwrap();
        drop(notes);
        workspace.close().unwrap();
        std::fs::remove_dir_all(path.join("cache")).ok();
        let after = std::fs::read(&segment).unwrap();
        let roots = roots(&path);
        Self { folder, path, log, segment, before, after, roots }
    }

    /// Salvages `in_place` and a copy beside it; what was forgotten stays away, and all the rest is there.
    fn salvage(&self, name: &str, in_place: &[u8], copy: &[u8]) -> annals::salvage::SalvageReport {
        std::fs::write(&self.segment, in_place).unwrap();
        let beside = self.path.join("old.seg");
        std::fs::write(&beside, copy).unwrap();
        let into = self.folder.path().join(name);
        let report = rescue(&self.path, &into);
        std::fs::remove_file(&beside).unwrap();
        assert!(report.is_complete(), "{name}: {report:?}");
        assert!(report.logs[0].files.iter().all(|file| file.contradicts_at.is_none()), "{name}");
        assert_eq!((report.totals().appended, report.logs[0].appended.absent), (0, 0), "{name}");
        assert_eq!(roots(&into), self.roots, "{name}");
        std::fs::write(&self.segment, &self.after).unwrap();
        assert_eq!(seen_in(&into), seen_in(&self.path), "{name}");
        // Not in a compressed batch either.
        let forgotten = |entry: &&crate::reference::entry::Entry| entry.payload == SECRET;
        let read = decode_file(&segment_path(&into, self.log));
        let here = decode_file(&self.segment);
        assert_eq!(
            read.entries().filter(forgotten).count(),
            here.entries().filter(forgotten).count()
        );
        report
    }
}

fn without_head(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[50] ^= 1;
    bytes[4096 + 50] ^= 1;
    bytes
}

#[test]
fn an_earlier_generation_brings_nothing_back() {
    // The salts of one redaction stand in the header, those of three in frames (P-5).
    for (redactions, prune) in
        [(&[11][..], None), (&[11, 100, 200], None), (&[], Some(150)), (&[11, 100, 200], Some(150))]
    {
        let sample = Sample::new(redactions, prune);
        let Sample { before, after, .. } = &sample;
        sample.salvage("both", after, before);
        sample.salvage("swapped", before, after);
        sample.salvage("earlier one without its head", after, &without_head(before));
        let report = sample.salvage("later one without its head", &without_head(after), before);
        assert_eq!(report.notes.len(), 1);
        sample.salvage("two of a kind", after, &without_head(after));
        // The earlier one has lent its salts; compacting forgets them.
        let path = sample.folder.path().join("later one without its head");
        let workspace = Workspace::open(&path, options()).unwrap();
        workspace.compact(&CompactOptions::default(), |_, _| true).unwrap();
        workspace.close().unwrap();
        let read = decode_file(&segment_path(&path, sample.log));
        for &index in redactions {
            assert_eq!(read.header.salts.of(index), Ok(None), "{index}");
        }
    }
}

/// What stands behind damage is appended without what was forgotten; a log whose records of salts or pruned entries are
/// lost can be checked and no longer proven, so that all of it is.
#[test]
fn what_is_left_of_a_log_that_has_forgotten_comes_back() {
    let sample = Sample::new(&[160, 200, 280], Some(150));
    let sound = decode_file(&sample.segment);
    let frame = |kind: u8, number: usize| {
        let mut frames = sound.frames.iter().filter(|frame| frame.kind == kind);
        usize::try_from(frames.nth(number).unwrap().frame_offset).unwrap()
    };
    let all: Vec<_> =
        seen_in(&sample.path).into_iter().filter(|seen| seen.2 != b"(absent)").collect();
    assert_eq!(all.len(), 149);
    for (name, damaged, carried) in [
        ("batch", vec![frame(1, 0)], 150),
        ("salts", vec![frame(2, 0), frame(2, 1)], 0),
        ("pruned", vec![frame(3, 0), frame(3, 1)], 0),
        ("salts, and a copy without its head", vec![frame(2, 0), frame(2, 1)], 0),
        ("pruned, and a copy without its head", vec![frame(3, 0), frame(3, 1)], 0),
        ("one of each", vec![frame(2, 0), frame(3, 1)], sound.end_index),
    ] {
        let mut bytes = sample.after.clone();
        for at in damaged {
            bytes[at + 70] ^= 1;
        }
        let copy = sample.path.join("a copy.seg");
        if name.contains("copy") {
            std::fs::write(&copy, without_head(&bytes)).unwrap();
        }
        std::fs::write(&sample.segment, bytes).unwrap();
        let into = sample.folder.path().join(name);
        let report = rescue(&sample.path, &into);
        std::fs::remove_file(&copy).ok();
        assert_eq!(report.left_out, [], "{name}");
        let log = &report.logs[0];
        assert_eq!(log.carried, carried, "{name}: {report:?}");
        let here = seen_in(&into);
        assert!(here.iter().all(|seen| seen.2 != SECRET), "{name}");
        match name {
            "batch" => {
                let lost = log.gaps.iter().map(|gap| gap.end.unwrap() - gap.first).sum::<u64>();
                assert!(lost > 0, "{report:?}");
                assert!(!here.is_empty(), "{name}");
            }
            "one of each" => assert!(report.is_complete(), "{report:?}"),
            _ => {
                assert_eq!(log.gaps, [], "{name}");
                let payloads =
                    |all: &[super::Seen]| all.iter().map(|seen| seen.2.clone()).collect();
                let (here, all): (Vec<_>, Vec<_>) = (payloads(&here), payloads(&all));
                assert!(here == all, "{name}: {} of {}", here.len(), all.len());
                assert_eq!(log.appended.absent, 3, "{name}");
                // The declaration is in the prune record.
                assert_eq!(log.renamed.is_empty(), !name.starts_with("pruned"), "{name}");
            }
        }
    }
}

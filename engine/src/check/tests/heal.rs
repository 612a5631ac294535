//! Healing from replicas, successors, and metadata that is written again.

use super::*;
use crate::{
    Frontier, ImportError, LogView,
    batch::{Encoder, set_continues},
    bundle::{BundleRow, BundleWriter, BundledLog},
    check::RepairOptions,
    entry::FrontierRow,
    merkle::Peaks,
};

/// A sample with a replica of it: another workspace, and the same as a bundle.
struct Family {
    sample: Sample,
    root: crate::Hash,
    folder: TempDir,
}

impl Family {
    fn new(end: End) -> Self {
        let sample = sample_of(end, |workspace| {
            for round in 0..6_u8 {
                append(workspace, &[round; 30]);
                workspace.commit().unwrap();
                let group = [[round, 0], [round, 1], [round, 2]];
                let group: Vec<_> = group.iter().map(|change| Change::new(change)).collect();
                workspace.append_all(&group).unwrap();
                workspace.commit().unwrap();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let source = folder_of(&sample.files);
        let own = Workspace::open(source.path(), Options::default()).unwrap();
        let replica =
            Workspace::join(folder.path().join("replica"), own.id(), Options::default()).unwrap();
        let mut bundle = Vec::new();
        own.export(&Frontier::empty(), &mut bundle).unwrap();
        replica.import(&bundle[..]).unwrap();
        replica.close().unwrap();
        put(&folder.path().join("bundle"), &bundle);
        let root = own.own_log().root().unwrap();
        Self { sample, root, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn options(&self, names: &[&str]) -> RepairOptions {
        let replicas = names.iter().map(|name| self.path(name)).collect();
        RepairOptions { depth: Depth::Payloads, replicas, successor: false }
    }

    /// Heals `files` from the replicas called `names`, and checks that nothing is left to do.
    fn heals(&self, files: &Files, names: &[&str]) -> TempDir {
        let folder = folder_of(files);
        let report = repair(folder.path(), self.options(names), |_, _| ()).unwrap();
        assert_eq!(report.exit_code(), 1, "{report:#?}");
        let after = files_of(folder.path());
        let again = repair(folder.path(), self.options(names), |_, _| ()).unwrap();
        assert_eq!((again.exit_code(), again.corrected.len()), (0, 0), "{again:#?}");
        assert_eq!(files_of(folder.path()), after);
        let workspace = Workspace::open(folder.path(), Options::default()).unwrap();
        let log = workspace.own_log();
        assert_eq!(log.root_at(self.count()).unwrap(), self.root);
        let scan = log
            .scan(..self.count())
            .unwrap()
            .map(|entry| entry.unwrap().payload().unwrap().to_vec());
        assert_eq!(scan.collect::<Vec<_>>(), self.sample.payloads_without(&(0..0)));
        append(&workspace, b"afterwards");
        drop(log);
        workspace.close().unwrap();
        let checked = check(folder.path(), Depth::Payloads, |_, _| ()).unwrap();
        assert!(checked.is_clean(), "{checked:#?}");
        folder
    }

    fn count(&self) -> u64 {
        self.sample.frames.last().unwrap().entries.end
    }

    /// Tries to heal `files`; nothing may change.
    fn stays(&self, files: &Files, names: &[&str]) -> Report {
        let folder = folder_of(files);
        let report = repair(folder.path(), self.options(names), |_, _| ()).unwrap();
        assert_eq!(report.exit_code(), 4, "{report:#?}");
        assert!(codes(&report).contains(&Code::NotHealed), "{report:#?}");
        let mut after = files_of(folder.path());
        after.remove(Path::new("LOCK"));
        let mut before = files.clone();
        before.remove(Path::new("LOCK"));
        assert_eq!(after, before);
        report
    }
}

#[test]
fn each_damaged_frame_is_fetched_from_a_replica() {
    let family = Family::new(End::Closed);
    let sample = &family.sample;
    for (number, frame) in sample.frames.iter().enumerate() {
        let name = ["replica", "bundle"][number % 2];
        for at in [frame.bytes.start + 20, frame.bytes.start + 90, frame.bytes.end - 3] {
            let mut bytes = sample.bytes().to_vec();
            bytes[at] ^= 0x10;
            let folder = family.heals(&sample.with_segment(bytes.clone()), &[name]);
            // What was given up is kept.
            let cuts = files_of(folder.path());
            let cuts = cuts.iter().filter(|(path, _)| path.to_string_lossy().contains(".cut-"));
            let saved: Vec<_> = cuts.map(|(_, bytes)| bytes.clone()).collect();
            assert_eq!(saved, [bytes[frame.bytes.clone()].to_vec()]);
        }
    }
}

#[test]
fn a_log_that_lost_its_end_several_frames_or_everything_is_healed() {
    for end in [End::Closed, End::Crashed] {
        let family = Family::new(end);
        let sample = &family.sample;
        let mut several = sample.bytes().to_vec();
        for number in [1, 2, 5, 9] {
            several[sample.frames[number].bytes.start + 100] ^= 1;
        }
        let mut no_head = sample.bytes().to_vec();
        for at in [100, 4200] {
            no_head[at] ^= 1;
        }
        let cut = sample.bytes()[..sample.frames[4].bytes.end].to_vec();
        let empty = Vec::new();
        let mut zeroed = sample.bytes().to_vec();
        zeroed[sample.frames[3].bytes.start..sample.frames[6].bytes.end].fill(0);
        let mut missing = sample.files.clone();
        missing.remove(&sample.segment);
        for (what, files) in [
            ("several", sample.with_segment(several)),
            ("no head", sample.with_segment(no_head)),
            ("cut", sample.with_segment(cut)),
            ("empty", sample.with_segment(empty)),
            ("zeroed", sample.with_segment(zeroed)),
            ("missing", missing),
        ] {
            // Without a checkpoint a cut log is a shorter log: nothing says that there was more.
            if (what, end == End::Crashed) != ("cut", true) {
                family.heals(&files, &["bundle"]);
                family.heals(&files, &["replica"]);
            }
        }
    }
}

#[test]
fn batches_of_other_boundaries_fit_together() {
    let family = Family::new(End::Closed);
    let sample = &family.sample;
    let source = folder_of(&sample.files);
    let own = Workspace::open(source.path(), Options::default()).unwrap();
    for len in [1, 2, 5, 7] {
        put(&family.path("rebatched"), &rebatched(&own, len));
        for frame in &sample.frames {
            let mut bytes = sample.bytes().to_vec();
            bytes[frame.bytes.start + 80] ^= 2;
            family.heals(&sample.with_segment(bytes), &["rebatched"]);
        }
    }
}

/// A bundle with the own log in batches of `len` entries each.
fn rebatched(own: &Workspace, len: u64) -> Vec<u8> {
    let log = own.own_log().log();
    let mut out = Vec::new();
    let mut writer = BundleWriter::new(&mut out, own.id(), [5; 16], "test").unwrap();
    let (size, root) = log.root_at(None).unwrap();
    let lamport = log.view.read().state.lamport;
    let row = FrontierRow { client: log.client(), log: log.id(), size, root, lamport };
    writer.frontier(&[BundleRow { row, from: 0 }]).unwrap();
    let header = &log.header;
    writer
        .log(&BundledLog {
            client: header.client,
            log: header.log,
            created: header.created,
            predecessor: None,
            peaks: Peaks::new(),
            salt_record: header.salt_record.clone(),
            prune_record: None,
        })
        .unwrap();
    let mut first = 0;
    while first < size {
        let end = size.min(first + len);
        let entries: Vec<_> = (first..end).map(|index| log.entry(index).unwrap()).collect();
        let headers: Vec<_> = entries.iter().map(|entry| *entry.header()).collect();
        let payloads =
            entries.iter().flat_map(|entry| entry.payload().unwrap().to_vec()).collect::<Vec<_>>();
        let mut batch = Vec::new();
        let (_, root) = log.root_at(Some(end)).unwrap();
        Encoder::new(1).encode(log.id(), first, &headers, &payloads, root, &mut batch);
        // Each round is one change and a group of three (Family::new).
        if end < size && end % 4 > 1 {
            set_continues(&mut batch);
        }
        writer.batch(&batch).unwrap();
        first = end;
    }
    writer.finish().unwrap();
    out
}

#[test]
fn what_no_replica_has_stays_lost_and_nothing_is_changed() {
    let family = Family::new(End::Closed);
    let sample = &family.sample;
    let source = folder_of(&sample.files);
    let own = Workspace::open_read_only(source.path(), Options::default()).unwrap();
    let log = own.own_log();
    let known = |size: u64| {
        let lamport = log.entry(size - 1).unwrap().header().lamport;
        let root = log.root_at(size).unwrap();
        Frontier::from(vec![FrontierRow {
            client: own.client(),
            log: log.id(),
            size,
            root,
            lamport,
        }])
    };
    // A bundle that starts behind what is lost.
    let lost = &sample.frames[3];
    let mut late = Vec::new();
    own.export(&known(lost.entries.end), &mut late).unwrap();
    put(&family.path("late"), &late);
    let mut bytes = sample.bytes().to_vec();
    bytes[lost.bytes.start + 80] ^= 1;
    let files = sample.with_segment(bytes);
    let report = family.stays(&files, &["late"]);
    let left = report.findings.iter().find(|finding| finding.code == Code::NotHealed).unwrap();
    assert!(left.what.contains(&format!("entry {}", lost.entries.start)), "{left}");
    // Together with one that has it, it is enough; and each of two may have a part.
    family.heals(&files, &["late", "bundle"]);
    let mut cut = Vec::new();
    own.export(&Frontier::empty(), &mut cut).unwrap();
    cut.truncate(cut.len() * 2 / 3);
    put(&family.path("cut"), &cut);
    family.heals(&files, &["cut"]);
}

#[test]
fn a_replica_with_another_history_heals_nothing() {
    let family = Family::new(End::Closed);
    let sample = &family.sample;
    // Two copies of one log went on in two ways.
    let twin = folder_of(&sample.files);
    let mut bundle = Vec::new();
    {
        let workspace = Workspace::open(twin.path(), Options::default()).unwrap();
        append(&workspace, b"the twin's way");
        workspace.export(&Frontier::empty(), &mut bundle).unwrap();
    }
    put(&family.path("twin"), &bundle);
    let folder = folder_of(&sample.files);
    {
        let workspace = Workspace::open(folder.path(), Options::default()).unwrap();
        append(&workspace, b"our own way");
        workspace.commit().unwrap();
        append(&workspace, b"and on");
        workspace.close().unwrap();
    }
    let mut files = files_of(folder.path());
    let end = sample.end();
    let bytes = files.get_mut(&sample.segment).unwrap();
    bytes[end + 80] ^= 1;
    let report = family.stays(&files, &["twin"]);
    let left = report.findings.iter().find(|finding| finding.code == Code::NotHealed).unwrap();
    assert!(left.what.contains("contradicts"), "{left}");
    // A frame that both have is healed even so: up to the damage nothing differs.
    let mut files = files_of(folder.path());
    files.get_mut(&sample.segment).unwrap()[sample.frames[2].bytes.start + 80] ^= 1;
    let healed = folder_of(&files);
    let report = repair(healed.path(), family.options(&["twin"]), |_, _| ()).unwrap();
    assert_eq!(report.exit_code(), 1, "{report:#?}");
}

#[test]
fn other_workspaces_and_other_files_are_no_replicas() {
    let family = Family::new(End::Closed);
    let mut bytes = family.sample.bytes().to_vec();
    bytes[family.sample.frames[1].bytes.start + 80] ^= 1;
    let files = family.sample.with_segment(bytes);
    let folder = folder_of(&files);
    let other = family.path("other");
    Workspace::create(&other, Options::default()).unwrap().close().unwrap();
    put(&family.path("text"), b"not a bundle");
    for name in ["other", "text", "nothing"] {
        let error = repair(folder.path(), family.options(&[name]), |_, _| ()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        let mut after = files_of(folder.path());
        after.remove(Path::new("LOCK"));
        let mut before = files.clone();
        before.remove(Path::new("LOCK"));
        assert_eq!(after, before);
    }
}

#[test]
fn a_client_goes_on_in_a_successor() {
    let family = Family::new(End::Crashed);
    let sample = &family.sample;
    let frame = &sample.frames[3];
    let mut bytes = sample.bytes().to_vec();
    bytes[frame.bytes.start + 80] ^= 1;
    let folder = folder_of(&sample.with_segment(bytes));
    Workspace::open(folder.path(), Options::default()).unwrap_err();
    let options = RepairOptions { successor: true, ..RepairOptions::default() };
    let report = repair(folder.path(), options.clone(), |_, _| ()).unwrap();
    // The damage stays, and stays an error.
    assert_eq!((report.exit_code(), report.corrected.len()), (4, 1), "{report:#?}");
    let again = repair(folder.path(), options, |_, _| ()).unwrap();
    assert_eq!(again.corrected, []);

    let workspace = Workspace::open(folder.path(), Options::default()).unwrap();
    let log = workspace.own_log();
    assert_ne!(log.id(), sample.log);
    let predecessor = log.predecessor().unwrap();
    assert_eq!((predecessor.log, predecessor.size), (sample.log, family.count()));
    assert_eq!(predecessor.root, family.root);
    let both =
        workspace.logs_of(workspace.client()).unwrap().iter().map(LogView::id).collect::<Vec<_>>();
    assert_eq!(both, [sample.log, log.id()]);
    let old = workspace.log(sample.log).unwrap();
    old.entry(frame.entries.start).unwrap_err();
    assert_eq!(
        old.entry(frame.entries.end).unwrap().payload().unwrap(),
        sample.frames[4].payloads[0]
    );
    append(&workspace, b"on we go");
    workspace.commit().unwrap();
    // Its clock goes on behind all that is left of the old one.
    let first = log.entry(0).unwrap();
    assert_eq!(first.kind(), crate::Kind::SEEN);
    let before = old.entry(family.count() - 1).unwrap().header().lamport;
    assert!(first.header().lamport > before, "{} is not behind {before}", first.header().lamport);

    // The others get the new log, and this one gets back what it has lost.
    let mut bundle = Vec::new();
    workspace.export(&Frontier::empty(), &mut bundle).unwrap();
    let peer = Workspace::open(family.path("replica"), Options::default()).unwrap();
    peer.import(&bundle[..]).unwrap();
    let theirs = peer.log(log.id()).unwrap();
    let last = theirs.entry_count() - 1;
    assert_eq!(theirs.entry(last).unwrap().payload().unwrap(), b"on we go");
    drop((theirs, peer));
    drop((old, log));
    workspace.close().unwrap();
    let report = repair(folder.path(), family.options(&["replica"]), |_, _| ()).unwrap();
    assert_eq!(report.exit_code(), 1, "{report:#?}");
    let workspace = Workspace::open(folder.path(), Options::default()).unwrap();
    let healed = workspace.log(sample.log).unwrap();
    assert_eq!(healed.root().unwrap(), family.root);
}

#[test]
fn a_client_whose_log_has_forked_goes_on_in_a_successor() {
    let family = Family::new(End::Closed);
    let sample = &family.sample;
    let (here, there) = (folder_of(&sample.files), folder_of(&sample.files));
    let grow = |folder: &TempDir, change: &[u8]| {
        let workspace = Workspace::open(folder.path(), Options::default()).unwrap();
        append(&workspace, change);
        let mut bundle = Vec::new();
        workspace.export(&Frontier::empty(), &mut bundle).unwrap();
        bundle
    };
    grow(&here, b"here");
    let bundle = grow(&there, b"there");
    put(&family.path("there"), &bundle);
    let workspace = Workspace::open(here.path(), Options::default()).unwrap();
    let refused = workspace.import(&bundle[..]).unwrap_err();
    assert!(
        matches!(refused, ImportError::Contradiction { .. } | ImportError::Diverged { .. }),
        "{refused}"
    );
    workspace.close().unwrap();
    for replica in [family.path("there"), there.path().to_owned()] {
        let copy = folder_of(&files_of(here.path()));
        let options =
            RepairOptions { replicas: vec![replica], successor: true, ..RepairOptions::default() };
        let report = repair(copy.path(), options, |_, _| ()).unwrap();
        assert_eq!((report.exit_code(), report.corrected.len()), (1, 1), "{report:#?}");
        let workspace = Workspace::open(copy.path(), Options::default()).unwrap();
        assert_ne!(workspace.own_log().id(), sample.log);
        // What agrees is no reason.
        let agreeing = RepairOptions { successor: true, ..family.options(&["replica", "bundle"]) };
        drop(workspace);
        let report = repair(here.path(), agreeing, |_, _| ()).unwrap();
        assert_eq!(report.corrected, []);
    }
}

#[test]
fn metadata_is_written_again_if_it_is_clear_what_it_was() {
    let family = Family::new(End::Closed);
    let name = PathBuf::from("index.json");
    for content in [None, Some(&b"{"[..]), Some(b"{\"format\": 3}"), Some(b"")] {
        let mut files = family.sample.files.clone();
        match content {
            Some(content) => files.insert(name.clone(), content.to_vec()),
            None => files.remove(&name),
        };
        let folder = folder_of(&files);
        let report = repair(folder.path(), Depth::Structure, |_, _| ()).unwrap();
        assert_eq!(report.exit_code(), 1, "{report:#?}");
        let workspace = Workspace::open(folder.path(), Options::default()).unwrap();
        assert_eq!(workspace.own_log().root().unwrap(), family.root);
        let saved = files_of(folder.path());
        let saved = saved.iter().find(|(path, _)| path.to_string_lossy().contains("json.cut-"));
        assert_eq!(saved.map(|(_, bytes)| &bytes[..]), content);
    }
    // A later version's is not ours to write.
    let mut files = family.sample.files.clone();
    let later = String::from_utf8(files[&name].clone()).unwrap();
    let later = later.replace("\"version\": 1", "\"version\": 2");
    files.insert(name.clone(), later.into_bytes());
    let folder = folder_of(&files);
    let report = repair(folder.path(), Depth::Structure, |_, _| ()).unwrap();
    assert_eq!(report.exit_code(), 4);
    assert_eq!(files_of(folder.path())[&name], files[&name]);
}

#[test]
fn what_stands_behind_a_hole_that_no_replica_fills_is_saved() {
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
    // The replica has what comes before the hole.
    let replica = folder_of(&sample.with_segment(bytes[..start].to_vec()));
    for holes in [&[1][..], &[1, 3][..]] {
        let mut bytes = bytes.clone();
        for &number in holes {
            bytes[sample.frames[number].bytes.start + 100] ^= 1;
        }
        let folder = folder_of(&sample.with_segment(bytes.clone()));
        let options =
            RepairOptions { replicas: vec![replica.path().to_owned()], ..RepairOptions::default() };
        repair(folder.path(), options, |_, _| ()).unwrap();
        let after = files_of(folder.path());
        let cuts = after.iter().filter(|(path, _)| path.to_string_lossy().contains(".cut-"));
        let cuts: Vec<_> = cuts.map(|(_, bytes)| bytes.clone()).collect();
        assert_eq!(cuts, [bytes[start..].to_vec()]);
        let workspace = Workspace::open(folder.path(), Options::default()).unwrap();
        assert_eq!(workspace.own_log().entry_count(), sample.frames[0].entries.end);
    }
}

#[test]
fn a_frame_from_before_the_checkpoint_in_its_back_does_not_count() {
    let family = Family::new(End::Closed);
    let sample = &family.sample;
    let grown = folder_of(&sample.files);
    let workspace = Workspace::open(grown.path(), Options::default()).unwrap();
    append(&workspace, b"given up");
    workspace.commit().unwrap();
    let stale = files_of(grown.path())[&sample.segment][sample.end()..].to_vec();
    // Two openings write checkpoints over damaged ones: the second is younger than that frame.
    let mut files = sample.files.clone();
    for round in [1, 2] {
        for slot in [8192, 12_288] {
            let bytes = files.get_mut(&sample.segment).unwrap();
            if bytes[slot] != 0 && round == 1 {
                bytes[slot + 200] ^= 1;
            }
        }
        let bytes = files.get_mut(&sample.segment).unwrap();
        bytes.extend([9; 24]);
        let folder = folder_of(&files);
        Workspace::open(folder.path(), Options::default()).unwrap().close().unwrap();
        files = files_of(folder.path());
    }
    let bytes = files.get_mut(&sample.segment).unwrap();
    assert_eq!(bytes.len(), sample.end());
    bytes.extend(&stale);
    bytes[sample.frames[3].bytes.start + 80] ^= 1;
    let folder = folder_of(&files);
    let report = repair(folder.path(), family.options(&["bundle"]), |_, _| ()).unwrap();
    assert_eq!(report.exit_code(), 1, "{report:#?}");
    let workspace = Workspace::open(folder.path(), Options::default()).unwrap();
    assert_eq!(workspace.own_log().root().unwrap(), family.root);
    let after = files_of(folder.path());
    assert!(
        after
            .iter()
            .any(|(path, bytes)| path.to_string_lossy().contains(".cut-") && bytes[..] == stale)
    );
}

#[test]
fn a_bundle_that_ends_before_others_do_is_done_with() {
    let family = Family::new(End::Closed);
    let sample = &family.sample;
    let mut early = sample.bytes()[..sample.frames[2].bytes.end].to_vec();
    early[8192..16_384].fill(0);
    let mut files = sample.with_segment(early);
    files.remove(Path::new("LOCK"));
    let early = folder_of(&files);
    let early = Workspace::open(early.path(), Options::default()).unwrap();
    let mut bundle = Vec::new();
    early.export(&Frontier::empty(), &mut bundle).unwrap();
    // Another log stands behind it in the bundle.
    let peer = (0..).map(|number| {
        let path = family.path(&format!("peer {number}"));
        Workspace::join(path, early.id(), Options::default()).unwrap()
    });
    let peer = peer.into_iter().find(|peer| peer.own_log().id() > sample.log).unwrap();
    peer.import(&bundle[..]).unwrap();
    (0..40).for_each(|_| append(&peer, b"of the peer"));
    let mut bundle = Vec::new();
    peer.export(&Frontier::empty(), &mut bundle).unwrap();
    put(&family.path("early"), &bundle);
    let mut bytes = sample.bytes().to_vec();
    for number in [4, 6, 8] {
        bytes[sample.frames[number].bytes.start + 80] ^= 1;
    }
    family.heals(&sample.with_segment(bytes), &["early", "bundle"]);
}

#[test]
fn the_highest_generation_has_no_next_one() {
    let family = Family::new(End::Closed);
    let mut files = family.sample.files.clone();
    files.remove(&family.sample.segment);
    let record = files.get_mut(Path::new("LOCK")).unwrap();
    record[32..40].fill(0xff);
    let crc = crate::bytes::crc(&record[..60]);
    record[60..64].copy_from_slice(&crc.to_le_bytes());
    family.stays(&files, &["bundle"]);
}

#[test]
fn a_reader_of_the_damaged_generation_follows_into_the_healed_one() {
    let family = Family::new(End::Closed);
    let sample = &family.sample;
    let mut bytes = sample.bytes().to_vec();
    bytes[sample.frames[3].bytes.start + 80] ^= 1;
    let folder = folder_of(&sample.with_segment(bytes));
    // The damage is below the checkpoint: nobody has seen it yet.
    let reader = Workspace::open_read_only(folder.path(), Options::default()).unwrap();
    let report = repair(folder.path(), family.options(&["bundle"]), |_, _| ()).unwrap();
    assert_eq!(report.exit_code(), 1, "{report:#?}");
    let writer = Workspace::open(folder.path(), Options::default()).unwrap();
    append(&writer, &[5; 3000]);
    writer.commit().unwrap();
    reader.refresh().unwrap();
    let log = reader.own_log();
    assert_eq!(log.entry(0).unwrap().payload().unwrap(), sample.frames[0].payloads[0]);
    assert_eq!(log.entry_count(), family.count() + 1);
    writer.close().unwrap();
    reader.refresh().unwrap();
    assert_eq!(log.entry_count(), family.count() + 1);
    assert_eq!(log.entry(family.count()).unwrap().payload().unwrap(), [5; 3000]);
}

#[test]
fn a_record_of_the_generation_before_tells_a_reader_nothing() {
    let family = Family::new(End::Closed);
    let sample = &family.sample;
    let source = folder_of(&sample.files);
    let own = Workspace::open(source.path(), Options::default()).unwrap();
    put(&family.path("rebatched"), &rebatched(&own, 1000));
    let mut bytes = sample.bytes().to_vec();
    for frame in &sample.frames {
        bytes[frame.bytes.start + 80] ^= 2;
    }
    let folder = folder_of(&sample.with_segment(bytes));
    repair(folder.path(), family.options(&["rebatched"]), |_, _| ()).unwrap();
    let after = files_of(folder.path());
    assert!(after[&sample.segment].len() < sample.bytes().len());
    // A writer has the lock and has not said anything yet.
    let lock = crate::log::lock_for_writing(&OsDisk, &folder.path().join("LOCK")).unwrap();
    let reader = Workspace::open_read_only(folder.path(), Options::default()).unwrap();
    let log = reader.own_log();
    assert!(log.log().blocking_damage().is_none(), "{:?}", log.log().blocking_damage());
    assert_eq!(log.root().unwrap(), family.root);
    drop(lock);
}

//! What is redacted cannot be found again, on no disk that has forgotten it (H-4 to H-7).

use std::path::Path;

use annals::{Absent, AssetMeta, CompactOptions, Options, PruneOptions, ReadError, Workspace};

use crate::{
    reference::{entry::Why, merkle},
    support::{decode_file, entries_of, files_of},
};

/// A phone number, of which there are ten thousand.
const NUMBER: &str = "555-4711";

fn candidates() -> impl Iterator<Item = String> {
    (0..10_000).map(|number| format!("555-{number:04}"))
}

fn compact(workspace: &Workspace) -> annals::CompactReport {
    workspace.compact(&CompactOptions::default(), |_, _| true).unwrap()
}

/// Files in which the text stands.
fn found_in(path: &Path, text: &str) -> Vec<String> {
    let contains = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let files = files_of(path).into_iter().filter(|(_, bytes)| contains(bytes));
    files.map(|(name, _)| name.display().to_string()).collect()
}

/// Tries every number with every salt that the segment still has against the hash of entry `index`: what somebody does
/// who has taken the disk. Gives the number if it is found.
fn attack(segment: &Path, index: u64) -> Option<String> {
    let segment = decode_file(segment);
    let entry = segment.entries().find(|entry| entry.index == index).unwrap().clone();
    let log = segment.header.log;
    let hash = if let Some(absent) = &entry.absent {
        absent.payload_hash
    } else {
        let salt = segment.header.salts.of(index).unwrap().unwrap();
        merkle::payload_hash(&log, &salt, &entry.payload)
    };
    let salts: Vec<_> =
        (0..segment.end_index + 64).filter_map(|at| segment.header.salts.of(at).unwrap()).collect();
    candidates().find(|candidate| {
        salts.iter().any(|salt| merkle::payload_hash(&log, salt, candidate.as_bytes()) == hash)
    })
}

#[test]
fn a_phone_number_cannot_be_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let workspace = Workspace::create(&path, Options::default()).unwrap();
    for text in ["before", NUMBER, "after"] {
        workspace.append(text.as_bytes()).unwrap();
        workspace.commit().unwrap();
    }
    workspace.checkpoint().unwrap();
    let segment = workspace.own_log().path().to_owned();
    // What a repair has saved, and what a crash has left of an earlier compaction.
    let copy = std::fs::read(&segment).unwrap();
    let beside = |end: &str| format!("{}{end}", segment.display());
    std::fs::write(beside(".cut-0123456789abcdef"), &copy).unwrap();
    std::fs::write(beside(".tmp"), &copy).unwrap();
    std::fs::write(path.join("import.tmp"), &copy).unwrap();
    assert_eq!(found_in(&path, NUMBER).len(), 4, "the test can find it");
    assert_eq!(attack(&segment, 1).as_deref(), Some(NUMBER), "and try it out");

    workspace.redact(workspace.client(), 1, "private").unwrap().wait_durable().unwrap();
    let report = compact(&workspace);
    assert_eq!(report.logs[0].redacted_bytes, 8);
    assert_eq!(found_in(&path, NUMBER), [""; 0]);
    assert_eq!(attack(&segment, 1), None);
    workspace.close().unwrap();
    assert_eq!(found_in(&path, NUMBER), [""; 0]);

    // It stays away when others are redacted, and when the log goes on.
    let workspace = Workspace::open(&path, Options::default()).unwrap();
    for number in 0..200_u32 {
        workspace.append(&number.to_le_bytes()).unwrap();
    }
    for index in [2, 100, 180] {
        workspace.redact(workspace.client(), index, "as well").unwrap();
    }
    workspace.commit().unwrap();
    compact(&workspace);
    assert_eq!(attack(&segment, 1), None);
    let read = decode_file(&segment);
    assert!(read.entries().cloned().eq(entries_of(&workspace.own_log())));
    let whys: Vec<_> =
        read.entries().filter_map(|entry| Some((entry.index, entry.absent.clone()?.why))).collect();
    assert_eq!(whys.len(), 4);
    assert!(whys.iter().all(|(_, why)| matches!(why, Why::Redacted { .. })));
}

#[test]
fn replicas_forget_what_they_are_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let here = Workspace::create(folder.path().join("here"), Options::default()).unwrap();
    let there_path = folder.path().join("there");
    let there = Workspace::join(&there_path, here.id(), Options::default()).unwrap();
    let carry = |from: &Workspace, to: &Workspace| {
        let mut bundle = Vec::new();
        from.export(&to.frontier().unwrap(), &mut bundle).unwrap();
        to.import(&bundle[..]).unwrap();
        bundle
    };
    here.append(NUMBER.as_bytes()).unwrap();
    here.append(b"harmless").unwrap();
    carry(&here, &there);
    here.redact(here.client(), 0, "private").unwrap().wait_durable().unwrap();
    compact(&here);
    let bundle = carry(&here, &there);
    assert!(!bundle.windows(8).any(|window| window == NUMBER.as_bytes()));
    let log = there.log(here.own_log().id()).unwrap();
    assert_eq!(log.entry(0).unwrap().payload().unwrap(), NUMBER.as_bytes(), "until it forgets");
    compact(&there);
    assert!(matches!(log.entry(0).unwrap().payload(), Err(Absent::Redacted { by: 2, .. })));
    assert_eq!(log.root().unwrap(), here.own_log().root().unwrap());
    assert_eq!(found_in(&there_path, NUMBER), [""; 0]);

    // Who begins with it now gets it without.
    let new = Workspace::join(folder.path().join("new"), here.id(), Options::default()).unwrap();
    carry(&there, &new);
    let log = new.log(here.own_log().id()).unwrap();
    assert!(matches!(log.entry(0).unwrap().payload(), Err(Absent::Redacted { by: 2, .. })));
    assert_eq!(log.entry(1).unwrap().payload().unwrap(), b"harmless");
    log.prove_inclusion(0, None).unwrap().verify(&log.root().unwrap()).unwrap();
}

#[test]
fn a_payload_that_somebody_left_out_is_withheld() {
    use annals::batch::{BatchDraft, Content, Decoder, Encoder, set_root};

    let folder = tempfile::tempdir().unwrap();
    let here = Workspace::create(folder.path().join("here"), Options::default()).unwrap();
    here.append(NUMBER.as_bytes()).unwrap();
    here.append(b"harmless").unwrap();
    let proof = here.own_log().prove_inclusion(0, None).unwrap();
    let mut bundle = Vec::new();
    here.export(&annals::Frontier::empty(), &mut bundle).unwrap();

    // Somebody passes it on without the first payload.
    let mut reader = annals::bundle::BundleReader::new(&bundle[..]).unwrap();
    let mut changed = Vec::new();
    let mut writer =
        annals::bundle::BundleWriter::new(&mut changed, here.id(), [5; 16], "test").unwrap();
    writer.frontier(reader.rows()).unwrap();
    loop {
        match reader.next_record().unwrap() {
            annals::bundle::Record::Log(log) => writer.log(&log).unwrap(),
            annals::bundle::Record::Batch(bytes) => {
                let batch = Decoder::new().decode(&bytes).unwrap();
                let mut draft = BatchDraft::default();
                for (at, (header, content)) in batch.entries().enumerate() {
                    let absent = Content::Absent(proof.payload_hash);
                    draft.push(header, if at == 0 { absent } else { content });
                }
                let (mut out, log) = (Vec::new(), batch.header().log());
                let root = batch.header().root();
                Encoder::new(1).encode_draft(log, batch.first_index(), &draft, root, &mut out);
                set_root(&mut out, &root);
                writer.batch(&out).unwrap();
            }
            annals::bundle::Record::End => break,
        }
    }
    writer.finish().unwrap();
    let there =
        Workspace::join(folder.path().join("there"), here.id(), Options::default()).unwrap();
    there.import(&changed[..]).unwrap();
    let log = there.log(here.own_log().id()).unwrap();
    assert_eq!(log.entry(0).unwrap().payload(), Err(Absent::Withheld));
    assert_eq!(log.entry(1).unwrap().payload().unwrap(), b"harmless");
    assert_eq!(log.root().unwrap(), here.own_log().root().unwrap());
    compact(&there);
    assert_eq!(log.entry(0).unwrap().payload(), Err(Absent::Withheld));
}

#[test]
fn what_still_counts_of_pruned_entries_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let workspace = Workspace::create(&path, Options::default()).unwrap();
    let assets = workspace.assets();
    let kept = assets.put(&b"kept"[..], AssetMeta::named("kept.txt")).unwrap();
    let gone = assets.put(&b"gone"[..], AssetMeta::named("gone.txt")).unwrap();
    assets.release(&gone.id).unwrap();
    let stream = workspace.stream("notes").unwrap();
    stream.append(b"a note").unwrap();
    let frontier = workspace.frontier().unwrap();
    let covered = frontier.size(workspace.own_log().id());
    workspace.snapshot(&frontier, b"state").unwrap().wait_durable().unwrap();
    workspace.prune(workspace.client(), covered, &PruneOptions::default(), |_, _| true).unwrap();
    drop((assets, stream));
    workspace.close().unwrap();

    let workspace = Workspace::open(&path, Options::default()).unwrap();
    let report =
        workspace.assets().collect(&annals::CollectOptions::default(), |_, _| true).unwrap();
    assert_eq!((report.kept_assets, report.removed_assets), (1, 1));
    assert_eq!(workspace.assets().read(&kept.id, 0..4).unwrap(), b"kept");
    let list = workspace.assets().list().unwrap();
    assert_eq!(list.count(), 1);
    // The stream goes on under its number.
    workspace.stream("notes").unwrap().append(b"another").unwrap();
    workspace.commit().unwrap();
    let log = workspace.own_log();
    assert_eq!(log.streams().unwrap().len(), 1);
    assert!(
        matches!(log.entry(0), Err(ReadError::Pruned { first_index, .. }) if first_index == covered)
    );
    let texts: Vec<_> = workspace
        .stream("notes")
        .unwrap()
        .scan()
        .unwrap()
        .map(|e| e.unwrap().payload().unwrap().to_vec())
        .collect();
    assert_eq!(texts, [b"another"]);
    let first = log.scan(0..).unwrap().next().unwrap();
    assert!(matches!(first, Err(ReadError::Pruned { index: 0, .. })));
    assert!(log.scan(..).unwrap().all(|entry| entry.is_ok()));

    // And another device can begin with what is left.
    let there =
        Workspace::join(folder.path().join("there"), workspace.id(), Options::default()).unwrap();
    let mut bundle = Vec::new();
    let report = workspace.export(&annals::Frontier::empty(), &mut bundle).unwrap();
    assert!(report.cut.is_empty());
    there.import(&bundle[..]).unwrap();
    let replica = there.log(log.id()).unwrap();
    assert_eq!(replica.first_index(), covered);
    assert_eq!(replica.root().unwrap(), log.root().unwrap());
    let report = annals::check::check(
        folder.path().join("there"),
        annals::check::Depth::Payloads,
        |_, _| {},
    );
    assert!(
        report.unwrap().findings.iter().all(|finding| finding.code != annals::check::Code::BadHead)
    );
}

#[test]
fn a_budget_prunes_at_snapshots_that_all_others_have_seen() {
    use annals::{Clock, History, PruneError, Timestamp};
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    const DAY: i64 = 86_400_000_000;
    let folder = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&now);
    let time = move || Some(Timestamp::from_micros(clock.load(Ordering::Acquire)));
    let options = Options::default().clock(Clock::Custom(Arc::new(time)));
    let here = Workspace::create(folder.path().join("here"), options.clone()).unwrap();
    let there = Workspace::join(folder.path().join("there"), here.id(), options).unwrap();
    let today = here.created().as_micros();
    let carry = |from: &Workspace, to: &Workspace| {
        let mut bundle = Vec::new();
        from.export(&to.frontier().unwrap(), &mut bundle).unwrap();
        to.import(&bundle[..]).unwrap();
    };
    // A snapshot each day, the last one ten days ago, of a log that grows by some kilobytes.
    let mut covered = Vec::new();
    for day in (10..20).rev() {
        now.store(today - day * DAY, Ordering::Release);
        for number in 0..20_u32 {
            let noise: Vec<u8> =
                (0..30_u32).flat_map(|at| (at * number * 7919).to_le_bytes()).collect();
            here.append(&noise).unwrap();
        }
        let frontier = here.frontier().unwrap();
        covered.push(frontier.size(here.own_log().id()));
        here.snapshot(&frontier, b"").unwrap();
    }
    here.commit().unwrap();
    let prune = |history| {
        let options = CompactOptions::default().level(1).history(history);
        here.compact(&options, |_, _| true).unwrap();
        here.own_log().first_index()
    };
    assert_eq!(prune(History::Everything), 0);
    // Somebody else has begun a log, and has not seen any of it.
    there.append(b"hello").unwrap();
    there.commit().unwrap();
    carry(&there, &here);
    assert_eq!(prune(History::Days(0)), 0);
    let refused = here.prune(here.client(), covered[0], &PruneOptions::default(), |_, _| true);
    assert!(
        matches!(refused, Err(PruneError::NotSeen { ref clients, .. }) if *clients == [there.client()])
    );
    carry(&here, &there);
    there.append(b"I have seen it").unwrap();
    there.commit().unwrap();
    carry(&there, &here);

    let third = usize::try_from(19 - 17).unwrap();
    assert_eq!(prune(History::Days(17)), covered[third]);
    let len = std::fs::metadata(here.own_log().path()).unwrap().len();
    assert_eq!(prune(History::Bytes(len)), covered[third], "it keeps to it already");
    let shorter = prune(History::Bytes(len / 2));
    assert!(shorter > covered[third] && covered.contains(&shorter));
    assert_eq!(prune(History::Bytes(0)), covered[9], "the latest, if none leaves so little");
    assert_eq!(here.own_log().scan(..).unwrap().filter(Result::is_err).count(), 0);
}

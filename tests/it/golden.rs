//! Files of released versions stay readable, and the engine still writes the same bytes.
//!
//! The golden files come from fixed random numbers and a fixed clock. Those without compressed sections
//! are compared byte for byte with what the engine writes now; zstd may choose other bytes in each of its
//! versions, so the others are only read. `ANNALS_BLESS=1` with one test thread writes all of them anew,
//! which is for versions that are not released yet.

use std::path::{Path, PathBuf};

use annals::{
    AssetMeta, Change, Clock, CompactOptions, Frontier, LogId, Options, PruneOptions, Timestamp,
    Verdict, Workspace, WorkspaceId,
};

use crate::{
    reference::{
        self, bundle,
        bytes::{hex, uuid},
        entry::Entry,
    },
    support::{Random, TestDisk, entries_of, put, segment_path},
};

/// A golden file: its name, whether its bytes are those that the engine writes now, and how it is made.
type Golden = (&'static str, bool, fn(&Path) -> Vec<u8>);

const SEGMENTS: [Golden; 9] = [
    ("three-changes.seg", true, three_changes),
    ("shapes.seg", true, shapes),
    ("aligned.seg", true, aligned),
    ("preallocated.seg", true, preallocated),
    ("compressed.seg", false, compressed),
    ("seen.seg", false, seen),
    ("compacted.seg", true, compacted),
    ("redacted.seg", false, redacted),
    ("pruned.seg", true, pruned),
];

const BUNDLES: [Golden; 4] = [
    ("whole.bundle", true, whole_bundle),
    ("partial.bundle", true, partial_bundle),
    ("compressed.bundle", false, compressed_bundle),
    ("pruned.bundle", true, pruned_bundle),
];

pub(crate) fn is_blessing() -> bool {
    std::env::var_os("ANNALS_BLESS").is_some()
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1")
}

fn none() -> Options {
    Options::default().clock(Clock::None)
}

fn create(disk: &TestDisk, folder: &Path, name: &str, options: Options) -> Workspace {
    Workspace::create_on(disk.arc(), &folder.join(name), options.preallocate(0), None).unwrap()
}

/// Closes a workspace and gives the bytes of its own segment.
fn closed(workspace: Workspace) -> Vec<u8> {
    let path = workspace.own_log().path().to_owned();
    workspace.close().unwrap();
    std::fs::read(path).unwrap()
}

/// The sample of section 16: one commit of three changes.
pub(crate) fn three_changes(folder: &Path) -> Vec<u8> {
    let workspace = create(&TestDisk::fixed(), folder, "w", none());
    for payload in [b"a", b"b", b"c"] {
        put(&workspace, payload);
    }
    workspace.commit().unwrap();
    closed(workspace)
}

/// What a process leaves that is killed: behind its two commits the space for the next ones.
fn preallocated(folder: &Path) -> Vec<u8> {
    let (disk, path) = (TestDisk::fixed(), folder.join("w"));
    let workspace = Workspace::create_on(disk.arc(), &path, none(), None).unwrap();
    for payload in [b"a", b"b"] {
        put(&workspace, payload);
        workspace.commit().unwrap();
    }
    std::fs::read(workspace.own_log().path()).unwrap()
}

/// Two openings, streams, times, an empty change, a group over several frames.
fn shapes(folder: &Path) -> Vec<u8> {
    let disk = TestDisk::fixed();
    let workspace = create(&disk, folder, "w", Options::default());
    let path = workspace.path().to_owned();
    put(&workspace, b"");
    workspace.commit().unwrap();
    workspace.stream("note/1").unwrap().append(b"in a stream").unwrap().index();
    workspace.commit().unwrap();
    workspace.close().unwrap();
    let workspace = Workspace::open_on(disk.arc(), &path, Options::default()).unwrap();
    let timed = Change::new(b"early").at(Some(Timestamp::from_micros(-1)));
    workspace.append_all(&[timed, Change::new(b"none").at(None)]).unwrap().index();
    workspace.commit().unwrap();
    for number in 0..4_u8 {
        put(&workspace, &[number]);
    }
    closed(workspace)
}

fn aligned(folder: &Path) -> Vec<u8> {
    let workspace = create(&TestDisk::fixed(), folder, "w", none().aligned_frames());
    for payload in [b"a", b"b"] {
        put(&workspace, payload);
        workspace.commit().unwrap();
    }
    closed(workspace)
}

fn compressed(folder: &Path) -> Vec<u8> {
    let workspace = create(&TestDisk::fixed(), folder, "w", Options::default().batch_len(4 << 10));
    for number in 0..120_u32 {
        put(&workspace, format!("change number {number} of many").as_bytes());
    }
    let payload = [b'g'; 200];
    workspace.append_all(&[Change::new(&payload); 40]).unwrap().index();
    workspace.commit().unwrap();
    put(&workspace, &Random::new(1).bytes(100));
    closed(workspace)
}

/// A client that has seen another one.
fn seen(folder: &Path) -> Vec<u8> {
    let disk = TestDisk::fixed();
    let other = create(&disk, folder, "other", none());
    (0..5_u8).for_each(|number| {
        put(&other, &[number]);
    });
    let path = folder.join("w");
    let workspace = Workspace::create_on(disk.arc(), &path, none(), Some(other.id())).unwrap();
    let mut bundle = Vec::new();
    other.export(&Frontier::empty(), &mut bundle).unwrap();
    workspace.import(&bundle[..]).unwrap();
    put(&workspace, b"after five");
    closed(workspace)
}

fn compact(workspace: &Workspace) {
    workspace.compact(&CompactOptions::default(), |_, _| true).unwrap();
}

/// Compacted twice: the second generation carries over the first batch, which is half full.
fn compacted(folder: &Path) -> Vec<u8> {
    let workspace = create(&TestDisk::fixed(), folder, "w", none());
    let options = CompactOptions::default().batch_len(1 << 10);
    let mut random = Random::new(3);
    for _ in 0..2 {
        for _ in 0..6 {
            put(&workspace, &random.bytes(100));
            workspace.commit().unwrap();
        }
        workspace.compact(&options, |_, _| true).unwrap();
    }
    put(&workspace, b"goes on");
    closed(workspace)
}

/// Two payloads are gone whose salts are of different groups: the salt record stands in frames.
fn redacted(folder: &Path) -> Vec<u8> {
    let workspace = create(&TestDisk::fixed(), folder, "w", none());
    let mut random = Random::new(4);
    for _ in 0..70 {
        put(&workspace, &random.bytes(3));
    }
    for index in [1, 66] {
        workspace.redact(workspace.client(), index, "private").unwrap();
    }
    compact(&workspace);
    closed(workspace)
}

fn pruned_workspace(folder: &Path) -> Workspace {
    let workspace = create(&TestDisk::fixed(), folder, "w", none());
    workspace.stream("note").unwrap().append(b"one").unwrap();
    workspace.assets().put(&b"content"[..], AssetMeta::named("a.txt")).unwrap();
    put(&workspace, b"two");
    let frontier = workspace.frontier().unwrap();
    workspace.snapshot(&frontier, b"both").unwrap();
    let (client, options) = (workspace.client(), PruneOptions::default());
    let covered = frontier.size(workspace.own_log().id());
    workspace.prune(client, covered, &options, |_, _| true).unwrap();
    workspace
}

/// A stream and a claim of an asset are kept of what is gone.
fn pruned(folder: &Path) -> Vec<u8> {
    closed(pruned_workspace(folder))
}

fn pruned_bundle(folder: &Path) -> Vec<u8> {
    bundle_of(&pruned_workspace(folder), &Frontier::empty())
}

fn bundle_of(workspace: &Workspace, since: &Frontier) -> Vec<u8> {
    let mut bundle = Vec::new();
    workspace.export(since, &mut bundle).unwrap();
    bundle
}

fn whole_bundle(folder: &Path) -> Vec<u8> {
    let workspace = create(&TestDisk::fixed(), folder, "w", none());
    for payload in [b"a", b"b", b"c"] {
        put(&workspace, payload);
        workspace.commit().unwrap();
    }
    bundle_of(&workspace, &Frontier::empty())
}

fn partial_bundle(folder: &Path) -> Vec<u8> {
    let workspace = create(&TestDisk::fixed(), folder, "w", none());
    for payload in [b"a", b"b", b"c"] {
        put(&workspace, payload);
    }
    let since = workspace.frontier().unwrap();
    put(&workspace, b"d");
    bundle_of(&workspace, &since)
}

fn compressed_bundle(folder: &Path) -> Vec<u8> {
    let workspace = create(&TestDisk::fixed(), folder, "w", Options::default());
    for number in 0..40_u32 {
        put(&workspace, format!("change number {number} of many").as_bytes());
    }
    bundle_of(&workspace, &Frontier::empty())
}

/// The bytes of a segment but for the name of the program that wrote it.
fn without_writer(mut bytes: Vec<u8>) -> Vec<u8> {
    for unit in [0, 4096] {
        bytes[unit + 184..unit + 216].fill(0);
        bytes[unit + 4092..unit + 4096].fill(0);
    }
    bytes
}

/// The same of a bundle, whose end record hashes the name.
fn bundle_without_writer(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[64..88].fill(0);
    bytes[92..96].fill(0);
    let end = bytes.len() - 72;
    bytes[end + 20..end + 24].fill(0);
    bytes[end + 28..end + 32].fill(0);
    bytes[end + 40..].fill(0);
    bytes
}

fn dump_bundle(bundle: &bundle::Bundle) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let (workspace, id) = (uuid(&bundle.workspace), hex(&bundle.bundle));
    writeln!(out, "bundle {id} of workspace {workspace}, {} records", bundle.record_count).unwrap();
    for (row, from) in &bundle.frontier {
        write!(out, "log {} of client {}: ", uuid(&row.log), uuid(&row.client)).unwrap();
        writeln!(out, "{from}..{} lamport {} root {}", row.size, row.lamport, hex(&row.root))
            .unwrap();
    }
    for log in &bundle.logs {
        let salts = log.salts.root().map_or_else(|| "none".to_owned(), |root| hex(&root));
        writeln!(out, "log {} salt_root {salts}", uuid(&log.row.log)).unwrap();
        for peak in &log.peaks {
            writeln!(out, "  peak {}", hex(peak)).unwrap();
        }
        for batch in &log.batches {
            for entry in &batch.entries {
                let Entry { index, lamport, kind, flags, stream, .. } = entry;
                write!(
                    out,
                    "  entry {index} lamport {lamport} time {:?} kind {kind} ",
                    entry.timestamp
                )
                .unwrap();
                writeln!(out, "flags {flags} stream {stream} payload {}", hex(&entry.payload))
                    .unwrap();
            }
            writeln!(out, "  root of {} {}", batch.end_index(), hex(&batch.root)).unwrap();
        }
    }
    out
}

/// Reads a golden file, or writes it first if that is wanted.
fn golden(name: &str, make: fn(&Path) -> Vec<u8>, dump: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let path = golden_folder().join(name);
    let text_path = path.with_file_name(format!("{name}.txt"));
    if is_blessing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(golden_folder()).unwrap();
        let bytes = make(folder.path());
        std::fs::write(&text_path, dump(&bytes)).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    let expected = std::fs::read_to_string(text_path).unwrap();
    let dumped = dump(&bytes);
    assert!(dumped == expected, "{name} is now read as\n{dumped}");
    bytes
}

fn dump_segment(bytes: &[u8]) -> String {
    reference::segment::dump(&reference::segment::decode(bytes).unwrap())
}

/// A workspace around a segment.
fn workspace_around(folder: &Path, bytes: &[u8]) -> Workspace {
    let header = reference::segment::decode(bytes).unwrap().header;
    let log = LogId::from_bytes(header.log);
    std::fs::create_dir_all(folder.join("logs")).unwrap();
    std::fs::write(segment_path(folder, log), bytes).unwrap();
    let metadata = serde_json::json!({
        "format": "annals",
        "version": 1,
        "workspace": uuid(&header.workspace),
        "client": uuid(&header.client),
        "log": uuid(&header.log),
        "created": "2026-01-01T00:00:00Z",
        "of a later version": true,
    });
    std::fs::write(folder.join("index.json"), metadata.to_string()).unwrap();
    Workspace::open_read_only(folder, Options::default()).unwrap()
}

#[test]
fn golden_segments_are_read_by_both() {
    for (name, is_exact, make) in SEGMENTS {
        let bytes = golden(name, make, dump_segment);
        let segment = reference::segment::decode(&bytes).unwrap();
        let is_stored = segment
            .batches
            .iter()
            .all(|served| (served.batch.meta_codec, served.batch.payload_codec) == (0, 0));
        assert!(is_stored || !is_exact, "{name} has compressed sections");

        let folder = tempfile::tempdir().unwrap();
        let read = workspace_around(folder.path(), &bytes);
        let is_whole = matches!(*read.recovered(), Verdict::Clean | Verdict::Preallocated);
        assert!(is_whole, "{name}: {:?}", read.recovered());
        assert!(segment.entries().cloned().eq(entries_of(&read.own_log())), "{name}");
        assert_eq!(segment.root, Some(*read.own_log().root().unwrap().as_bytes()), "{name}");
        drop(read);
        let writer = Workspace::open(folder.path(), Options::default()).unwrap();
        assert_eq!(put(&writer, b"on"), segment.end_index);
        writer.close().unwrap();
        let metadata = std::fs::read_to_string(folder.path().join("index.json")).unwrap();
        assert!(metadata.contains("of a later version"));
    }
}

#[test]
fn golden_segments_are_still_written_byte_for_byte() {
    for (name, _, make) in SEGMENTS.iter().filter(|(_, is_exact, _)| *is_exact) {
        let frozen = golden(name, *make, dump_segment);
        let folder = tempfile::tempdir().unwrap();
        let made = make(folder.path());
        assert!(without_writer(made) == without_writer(frozen), "{name} is written otherwise");
    }
}

#[test]
fn golden_bundles_are_read_by_both() {
    let dump = |bytes: &[u8]| dump_bundle(&bundle::decode(bytes).unwrap());
    for (name, _, make) in BUNDLES {
        let bytes = golden(name, make, dump);
        let decoded = bundle::decode(&bytes).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let id = WorkspaceId::from_bytes(decoded.workspace);
        let workspace = Workspace::join(folder.path().join("w"), id, none()).unwrap();
        let imported = workspace.import(&bytes[..]);
        let [log] = decoded.logs.as_slice() else { panic!("{name}") };
        if log.from > 0 && log.pruned.is_none() {
            assert!(matches!(imported, Err(annals::ImportError::Gap { .. })), "{name}");
            continue;
        }
        assert_eq!(imported.unwrap().entries, log.row.size - log.from, "{name}");
        let view = workspace.log(LogId::from_bytes(log.row.log)).unwrap();
        let carried = log.batches.iter().flat_map(|batch| batch.entries.iter().cloned());
        assert!(carried.eq(entries_of(&view)), "{name}");
    }
}

#[test]
fn golden_bundles_are_still_written_byte_for_byte() {
    let dump = |bytes: &[u8]| dump_bundle(&bundle::decode(bytes).unwrap());
    for (name, _, make) in BUNDLES.iter().filter(|(_, is_exact, _)| *is_exact) {
        let frozen = golden(name, *make, dump);
        let folder = tempfile::tempdir().unwrap();
        let made = make(folder.path());
        let (made, frozen) = (bundle_without_writer(made), bundle_without_writer(frozen));
        assert!(made == frozen, "{name} is written otherwise");
    }
}

/// A torn tail of a golden file is one, whatever version wrote it.
#[test]
fn golden_segments_are_recovered() {
    for (name, _, make) in SEGMENTS {
        let mut bytes = golden(name, make, dump_segment);
        let folder = tempfile::tempdir().unwrap();
        drop(workspace_around(folder.path(), &bytes));
        bytes.extend(b"ANF1 and no more");
        let read = workspace_around(folder.path(), &bytes);
        assert_eq!(*read.recovered(), annals::Verdict::TornTail, "{name}");
    }
}

//! Every way to damage a small log is found; what is found is mended or left as it is.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::{Code, Depth, Report, check, check_on, repair, scratch::ScratchDisk};
use crate::{
    Change, LogId, Options, Verdict, Workspace,
    io::{Access, Disk, DiskFile, OsDisk},
    log::{FrameReader, HEAD_LEN, READ_AHEAD_LONG, Segment},
    workspace::segment_path,
};

mod damage;
mod folder;
mod heal;
mod kinds;
mod mend;
mod seen;

const DEPTHS: [Depth; 2] = [Depth::Structure, Depth::Payloads];

/// The files of a folder by their paths below it.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files_of(folder: &Path) -> Files {
    fn visit(root: &Path, folder: &Path, files: &mut Files) {
        for entry in OsDisk.list(folder).unwrap() {
            let path = folder.join(&entry.name);
            if entry.is_dir {
                visit(root, &path, files);
            } else {
                let len = usize::try_from(entry.len).unwrap();
                let file = OsDisk.open(&path, Access::Read).unwrap();
                let bytes = file.read_vec_at(0, len).unwrap();
                files.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
            }
        }
    }
    let mut files = Files::new();
    visit(folder, folder, &mut files);
    files
}

/// Writes `files` into a new folder.
fn folder_of(files: &Files) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let mut at = folder.path().to_owned();
        for part in path.parent().unwrap() {
            at.push(part);
            OsDisk.create_dir(&at).unwrap();
        }
        put(&folder.path().join(path), bytes);
    }
    folder
}

fn put(path: &Path, bytes: &[u8]) {
    let _ = OsDisk.remove(path);
    OsDisk.open(path, Access::CreateNew).unwrap().write_all_at(bytes, 0).unwrap();
}

/// A workspace in memory, whose segment can be damaged and mended quickly.
struct Memory {
    disk: Arc<dyn Disk>,
    segment: Arc<dyn DiskFile>,
    bytes: Vec<u8>,
}

impl Memory {
    fn new(files: &Files, segment: &Path) -> Self {
        let disk = ScratchDisk::default();
        for (path, bytes) in files {
            let file = disk.open(&Path::new("w").join(path), Access::CreateNew).unwrap();
            file.write_all_at(bytes, 0).unwrap();
        }
        let bytes = files[segment].clone();
        let segment = disk.open(&Path::new("w").join(segment), Access::Write).unwrap();
        Self { disk: Arc::new(disk), segment, bytes }
    }

    fn set(&self, bytes: &[u8]) {
        self.segment.set_len(bytes.len() as u64).unwrap();
        self.segment.write_all_at(bytes, 0).unwrap();
    }

    fn flip(&self, at: usize, bit: u8) {
        let flipped = self.bytes[at] ^ (1 << bit);
        self.segment.write_all_at(&[flipped], at as u64).unwrap();
    }

    fn restore(&self, at: usize) {
        self.segment.write_all_at(&self.bytes[at..=at], at as u64).unwrap();
    }

    fn check(&self, depth: Depth) -> Report {
        check_on(&self.disk, Path::new("w"), depth, |_, _| ()).unwrap()
    }

    /// The payloads that a reader gets.
    fn read(&self) -> Vec<Vec<u8>> {
        let options = Options::default();
        let workspace =
            Workspace::open_read_only_on(Arc::clone(&self.disk), Path::new("w"), options).unwrap();
        let scan = workspace.own_log().scan(..).unwrap();
        scan.filter_map(Result::ok).map(|entry| entry.payload().unwrap().to_vec()).collect()
    }
}

/// What a sample workspace holds.
struct Sample {
    files: Files,
    log: LogId,
    segment: PathBuf,
    frames: Vec<SampleFrame>,
}

struct SampleFrame {
    bytes: Range<usize>,
    entries: Range<u64>,
    payloads: Vec<Vec<u8>>,
    synced_upto: u64,
}

impl Sample {
    fn bytes(&self) -> &[u8] {
        &self.files[&self.segment]
    }

    fn end(&self) -> usize {
        self.frames.last().unwrap().bytes.end
    }

    fn with_segment(&self, bytes: Vec<u8>) -> Files {
        let mut files = self.files.clone();
        files.insert(self.segment.clone(), bytes);
        files
    }

    fn memory(&self) -> Memory {
        Memory::new(&self.files, &self.segment)
    }

    /// The payloads of all frames but those that `range` meets.
    fn payloads_without(&self, range: &Range<usize>) -> Vec<Vec<u8>> {
        let sound = self
            .frames
            .iter()
            .filter(|frame| frame.bytes.end <= range.start || range.end <= frame.bytes.start);
        sound.flat_map(|frame| frame.payloads.clone()).collect()
    }
}

/// How a sample ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// Closed: a checkpoint covers all of it.
    Closed,
    /// The process died; the lock file tells what it had published.
    Crashed,
    /// The machine died, and the lock file, which is never synced, with it.
    PowerLoss,
}

/// Four commits of one batch each, the third with several entries; one of two streams.
fn sample(end: End) -> Sample {
    sample_of(end, |workspace| {
        append(workspace, b"the first change");
        workspace.commit().unwrap();
        let notes = workspace.stream("notes").unwrap();
        assert_eq!(notes.append(&[7; 300]).unwrap().index(), 2);
        workspace.commit().unwrap();
        for change in 0..5_u8 {
            append(workspace, &[change; 40]);
        }
        workspace.commit().unwrap();
        append(workspace, b"the last change");
        workspace.commit().unwrap();
    })
}

fn append(workspace: &Workspace, payload: &[u8]) {
    workspace.append(payload).unwrap().index();
}

fn sample_of(end: End, fill: impl FnOnce(&Workspace)) -> Sample {
    sample_with(end, Options::default(), fill)
}

fn sample_with(end: End, options: Options, fill: impl FnOnce(&Workspace)) -> Sample {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let workspace = Workspace::create(&path, options).unwrap();
    fill(&workspace);
    let log = workspace.own_log().id();
    let crashed = files_of(&path);
    workspace.close().unwrap();
    let mut files = if end == End::Closed { files_of(&path) } else { crashed };
    if end == End::PowerLoss {
        files.remove(Path::new("LOCK"));
    }
    let segment = segment_path(Path::new(""), log);
    let frames = frames_of(&path, log, files[&segment].len());
    Sample { files, log, segment, frames }
}

fn frames_of(folder: &Path, log: LogId, len: usize) -> Vec<SampleFrame> {
    let segment = Segment::load(&OsDisk, &segment_path(folder, log), Access::Read).unwrap();
    let mut reader = FrameReader::new(
        segment.file.clone(),
        segment.header.frames(),
        len as u64,
        READ_AHEAD_LONG,
    );
    let mut decoder = crate::batch::Decoder::new();
    let mut frames: Vec<SampleFrame> = Vec::new();
    let mut offset = HEAD_LEN;
    while let Ok(header) = reader.header(offset).unwrap() {
        let payload = reader.payload(&header).unwrap().unwrap();
        let batch = crate::log::decode_for(log, &header, &mut decoder, payload).unwrap();
        let end = offset + header.len(segment.header.align_log2);
        frames.push(SampleFrame {
            bytes: usize::try_from(offset).unwrap()..usize::try_from(end).unwrap(),
            entries: header.first_index..header.end_index(),
            payloads: batch
                .entries()
                .map(|(_, content)| content.payload().unwrap().to_vec())
                .collect(),
            synced_upto: header.synced_upto,
        });
        offset = end;
    }
    frames
}

fn codes(report: &Report) -> Vec<Code> {
    report.findings.iter().map(|finding| finding.code).collect()
}

fn damaged(report: &Report) -> bool {
    report.exit_code() == 4 && report.logs.iter().any(|log| log.verdict == Some(Verdict::Damaged))
}

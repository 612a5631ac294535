//! Disks that fail, power that fails, and files damaged in all kinds of ways.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use annals::{
    Timestamp, Workspace,
    io::{
        Access, DirEntry, Disk, DiskFile, LockKind, OsDisk,
        sim::{Loss, SimDisk},
    },
    salvage::{SalvageError, salvage_on},
};

use super::{exchange, frames::Sample, options, seen};
use crate::support::{Random, segment_path};

/// The operating system, on a disk with blocks that cannot be read.
#[derive(Debug)]
struct BadBlocks {
    path: PathBuf,
    offset: u64,
}

#[derive(Debug)]
struct BadFile(Arc<dyn DiskFile>, u64);

impl Disk for BadBlocks {
    fn open(&self, path: &Path, access: Access) -> std::io::Result<Arc<dyn DiskFile>> {
        let file = OsDisk.open(path, access)?;
        Ok(if path == self.path { Arc::new(BadFile(file, self.offset)) } else { file })
    }
    fn lock(&self, path: &Path, kind: LockKind) -> std::io::Result<Option<Arc<dyn DiskFile>>> {
        OsDisk.lock(path, kind)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        OsDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        OsDisk.remove(path)
    }
    fn create_dir(&self, path: &Path) -> std::io::Result<()> {
        OsDisk.create_dir(path)
    }
    fn list(&self, path: &Path) -> std::io::Result<Vec<DirEntry>> {
        OsDisk.list(path)
    }
    fn sync_dir(&self, path: &Path) -> std::io::Result<()> {
        OsDisk.sync_dir(path)
    }
    fn now(&self) -> Timestamp {
        OsDisk.now()
    }
    fn fill_random(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        OsDisk.fill_random(bytes)
    }
    fn sleep(&self, duration: std::time::Duration) {
        OsDisk.sleep(duration);
    }
}

impl DiskFile for BadFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let end = offset + bytes.len() as u64;
        if offset < self.1 + 4096 && end > self.1 {
            return Err(std::io::Error::other("a bad block"));
        }
        self.0.read_at(bytes, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<usize> {
        self.0.write_at(bytes, offset)
    }
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn blocks_that_cannot_be_read_are_lost_and_nothing_else_is() {
    let sample = Sample::new();
    let bad = 16_384 + 4096;
    let path = segment_path(&sample.path, sample.log);
    let disk: Arc<dyn Disk> = Arc::new(BadBlocks { path, offset: bad });
    let into = sample.folder.path().join("new");
    let report = salvage_on(&disk, &sample.path, &into, |_, _| ()).unwrap();
    assert_eq!(report.logs[0].files[0].unreadable_bytes, 4096);
    let bad = usize::try_from(bad).unwrap();
    let mut ends: Vec<usize> = sample.frames().iter().skip(1).map(|frame| frame.0).collect();
    ends.push(sample.bytes.len());
    let lost: Vec<u64> = sample
        .frames()
        .into_iter()
        .zip(ends)
        .filter(|((offset, _), end)| *offset < bad + 4096 && *end > bad)
        .flat_map(|((_, entries), _)| entries)
        .collect();
    let gaps = &report.logs[0].gaps;
    let found: Vec<u64> = gaps.iter().flat_map(|gap| gap.first..gap.end.unwrap()).collect();
    assert_eq!(found, lost);
}

#[test]
fn a_killed_salvage_says_that_it_is_not_finished() {
    let folder = Path::new("old");
    let disk = SimDisk::recording(5);
    let as_disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let workspace = Workspace::create_on(Arc::clone(&as_disk), folder, options(), None).unwrap();
    for number in 0..10_u8 {
        workspace.append(&[number]).unwrap();
        workspace.commit().unwrap();
    }
    let root = workspace.own_log().root().unwrap();
    let log = workspace.own_log().id();
    workspace.close().unwrap();
    let begin = disk.mutation_count();
    let report = salvage_on(&as_disk, folder, Path::new("new"), |_, _| ()).unwrap();
    assert!(report.is_complete());
    let mut history = disk.history();
    let (mut unfinished, mut whole) = (0, 0);
    while history.step() {
        if history.position() < begin {
            continue;
        }
        let loss = Loss::Random { seed: history.position(), garbage: true };
        let found: Arc<dyn Disk> = Arc::new(history.machine().after_power_loss(&loss));
        let opened = Workspace::open_on(Arc::clone(&found), Path::new("new"), options());
        if let Ok(salvaged) = opened {
            whole += 1;
            assert_eq!(salvaged.log(log).unwrap().root().unwrap(), root);
            continue;
        }
        match salvage_on(&found, folder, Path::new("new"), |_, _| ()) {
            Ok(report) => assert!(report.is_complete()),
            Err(SalvageError::Unfinished(_)) => unfinished += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(unfinished > 0 && whole > 0, "{unfinished} {whole}");
}

/// A small workspace is damaged in all kinds of ways: what comes out is sound, and was there before.
#[test]
fn whatever_happens_to_the_files_nothing_is_made_up() {
    let disk = SimDisk::new(9);
    let as_disk: Arc<dyn Disk> = Arc::new(disk);
    let workspace =
        Workspace::create_on(Arc::clone(&as_disk), Path::new("w"), options(), None).unwrap();
    let other =
        Workspace::create_on(Arc::clone(&as_disk), Path::new("o"), options(), Some(workspace.id()))
            .unwrap();
    for number in 0..8_u8 {
        for of in [&workspace, &other] {
            let stream = of.stream(&format!("s{}", number / 3)).unwrap();
            stream.append(&[number, of.own_log().id().as_bytes()[0]]).unwrap();
            of.append(&vec![number; usize::from(number) * 50]).unwrap();
            of.commit().unwrap();
        }
    }
    exchange(&other, &workspace);
    let originals: Vec<Vec<u8>> = seen(&workspace).into_iter().map(|seen| seen.2).collect();
    other.close().unwrap();
    workspace.close().unwrap();
    let files: Vec<(PathBuf, Vec<u8>)> = ["w/index.json".into()]
        .into_iter()
        .chain(logs_on(&*as_disk))
        .map(|path: PathBuf| {
            let file = as_disk.open(&path, Access::Read).unwrap();
            let len = usize::try_from(file.len().unwrap()).unwrap();
            (path, file.read_vec_at(0, len).unwrap())
        })
        .collect();
    let rounds = std::env::var("ANNALS_ROUNDS").map_or(2000, |rounds| rounds.parse().unwrap());
    let mut random = Random::new(10);
    let (mut salvaged_count, mut anew_count) = (0, 0);
    for round in 0..rounds {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(round));
        let mut head_is_sound = true;
        disk.create_dir(Path::new("w")).unwrap();
        disk.create_dir(Path::new("w/logs")).unwrap();
        for (path, bytes) in &files {
            let mut bytes = bytes.clone();
            head_is_sound &= corrupt(&mut bytes, &mut random);
            let path =
                if random.below(20) == 0 { path.with_extension("seg.old") } else { path.clone() };
            let file = disk.open(&path, Access::CreateNew).unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            if random.below(10) == 0 {
                corrupt(&mut bytes, &mut random);
                let copy = Path::new("w").join(format!("copy-{round}.seg"));
                if let Ok(file) = disk.open(&copy, Access::CreateNew) {
                    file.write_all_at(&bytes, 0).unwrap();
                }
            }
        }
        let report = match salvage_on(&disk, Path::new("w"), Path::new("n"), |_, _| ()) {
            Ok(report) => report,
            Err(SalvageError::Nothing { .. }) => continue,
            Err(error) => panic!("round {round}: {error}"),
        };
        salvaged_count += 1;
        anew_count += u64::from(report.totals().appended > 0);
        assert!(report.check.is_clean(), "round {round}: {report:?}");
        let workspace = Workspace::open_on(disk, Path::new("n"), options()).unwrap();
        let mut left = originals.clone();
        for (_, _, payload) in seen(&workspace) {
            let at = left.iter().position(|original| *original == payload);
            let at = at.unwrap_or_else(|| panic!("round {round}: made up or twice: {payload:?}"));
            left.swap_remove(at);
        }
        // Without its checkpoints the last frame of a log that is gone looks like a torn tail.
        if report.is_complete() && head_is_sound {
            assert!(left.is_empty(), "round {round}: {} are missing: {report:?}", left.len());
        }
    }
    assert!(
        salvaged_count > rounds / 2 && anew_count > rounds / 4,
        "{salvaged_count} {anew_count}"
    );
}

fn logs_on(disk: &dyn Disk) -> Vec<PathBuf> {
    let logs = Path::new("w/logs");
    disk.list(logs).unwrap().into_iter().map(|entry| logs.join(entry.name)).collect()
}

/// Damages a file in up to three places; whether all of them are behind the head of a segment.
fn corrupt(bytes: &mut Vec<u8>, random: &mut Random) -> bool {
    let mut head_is_sound = true;
    for _ in 0..random.below(4) {
        let len = bytes.len();
        if len == 0 {
            return false;
        }
        // Mostly behind the head, where there is something to save.
        let low = if random.below(8) == 0 { 0 } else { len.min(16_384) };
        let at = (low + random.place(len - low)).min(len - 1);
        head_is_sound &= at >= 16_384;
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let count = random.place(300).min(len - at);
                let noise = random.bytes(count);
                bytes[at..at + count].copy_from_slice(&noise);
            }
            2 => {
                let count = random.place(600).min(len - at);
                bytes[at..at + count].fill(0);
            }
            3 => {
                // Two blocks change places.
                let other = low + random.place(len - low);
                for offset in 0..512 {
                    if at + offset < len && other + offset < len {
                        bytes.swap(at + offset, other + offset);
                    }
                }
            }
            4 => {
                // A stretch is left out, or there twice.
                let count = (8 * random.place(64)).min(len - at);
                if random.below(2) == 0 {
                    bytes.drain(at..at + count);
                } else {
                    let twice = bytes[at..at + count].to_vec();
                    bytes.splice(at..at, twice);
                }
            }
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }
    head_is_sound
}

//! A whole workspace with a segment of arbitrary bytes, or with a sound one that was changed here and there: it
//! opens or says why not, and everything in it can be read to the end.

use std::{path::Path, sync::Arc};

use annals::{Options, Workspace, io::Disk};

use super::MemoryDisk;

fn sound() -> (MemoryDisk, std::path::PathBuf) {
    let disk = MemoryDisk::default();
    let folder = Path::new("w");
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let workspace =
        Workspace::create_on(shared, folder, Options::default(), None).expect("created");
    for round in 0..6_u8 {
        workspace.append(&[round; 40]).expect("appended");
        if round % 2 == 0 {
            workspace.commit().expect("committed");
        }
    }
    workspace.stream("s").expect("declared").append(b"x").expect("appended");
    workspace.close().expect("closed");
    let segment = disk
        .paths()
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "seg"))
        .expect("a segment");
    (disk, segment)
}

/// The target `segment`.
pub fn segment(data: &[u8]) {
    let (disk, path) = sound();
    let mut segment = disk.content(&path).expect("it is there");
    match data.split_first() {
        // Arbitrary bytes.
        Some((0, rest)) => segment = rest.to_vec(),
        // Cut.
        Some((1, rest)) => {
            let at = rest.iter().take(3).fold(0, |at, &byte| at << 8 | usize::from(byte));
            segment.truncate(at % (segment.len() + 1));
        }
        // Changed: triples of place and value.
        Some((_, rest)) => {
            for change in rest.chunks_exact(3) {
                let at = (usize::from(change[0]) << 8 | usize::from(change[1])) % segment.len();
                segment[at] ^= change[2];
            }
        }
        None => {}
    }
    disk.put(&path, &segment);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    if let Ok(workspace) =
        Workspace::open_read_only_on(Arc::clone(&shared), Path::new("w"), Options::default())
    {
        let log = workspace.own_log();
        for scan in [log.scan(..), log.scan_backward(..)].into_iter().flatten() {
            assert!(scan.count() < 10_000);
        }
        let _ = log.root();
        let _ = log.prove_inclusion(3, None);
        let _ = workspace.merged().map(Iterator::count);
    }
    assert_eq!(disk.content(&path).as_ref(), Some(&segment), "reading changes nothing");
    if let Ok(workspace) = Workspace::open_on(shared, Path::new("w"), Options::default()) {
        workspace.append(b"goes on").expect("appended");
        workspace.close().expect("closed");
    }
}

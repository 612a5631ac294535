//! Index runs: whatever a run file holds, it is used only if it is right, and the log reads the same.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use annals::{Options, Workspace, io::Disk};

use super::MemoryDisk;

/// A log that is long enough to have a run, as the files of its workspace.
fn files() -> &'static [(PathBuf, Vec<u8>)] {
    static FILES: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = MemoryDisk::default();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let workspace = Workspace::create_on(shared, Path::new("w"), Options::default(), None)
            .expect("created");
        let mut state = 1_u64;
        for _ in 0..800 {
            let noise: Vec<u8> = (0..64)
                .flat_map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    state.to_le_bytes()
                })
                .collect();
            workspace.append(&noise).expect("appended");
        }
        workspace.close().expect("closed");
        disk.paths()
            .into_iter()
            .map(|path| (path.clone(), disk.content(&path).expect("it is there")))
            .collect()
    })
}

/// The target `index`.
pub fn index(data: &[u8]) {
    let disk = MemoryDisk::default();
    let mut runs = 0;
    for (path, content) in files() {
        let mut content = content.clone();
        if path.extension().is_some_and(|end| end == "run") {
            runs += 1;
            for change in data.chunks_exact(4) {
                let at = change[..3].iter().fold(0, |at, &byte| at << 8 | usize::from(byte))
                    % content.len();
                content[at] ^= change[3];
            }
        }
        disk.put(path, &content);
    }
    assert!(runs > 0, "the log has a run");
    let shared: Arc<dyn Disk> = Arc::new(disk);
    let workspace = Workspace::open_read_only_on(shared, Path::new("w"), Options::default())
        .expect("the segment is sound");
    let log = workspace.own_log();
    for index in [0, 399, 799] {
        log.entry(index).expect("it is there");
    }
    let root = log.root().expect("a root");
    log.prove_inclusion(123, None).expect("a proof").verify(&root).expect("it holds");
    assert_eq!(log.scan_backward(..).expect("a scan").flatten().count(), 800);
}

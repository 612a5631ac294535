//! Bundles: arbitrary bytes, or a sound one that was changed, are imported or refused; never half of it.

use std::{path::Path, sync::Arc};

use annals::{Frontier, Options, Workspace, io::Disk};

use super::MemoryDisk;

/// The target `bundle`.
pub fn bundle(data: &[u8]) {
    let from: Arc<dyn Disk> = Arc::new(MemoryDisk::default());
    let to: Arc<dyn Disk> = Arc::new(MemoryDisk::default());
    let from =
        Workspace::create_on(from, Path::new("a"), Options::default(), None).expect("created");
    let to = Workspace::create_on(to, Path::new("b"), Options::default(), Some(from.id()))
        .expect("created");
    for round in 0..4_u8 {
        from.append(&[round; 100]).expect("appended");
        from.commit().expect("committed");
    }
    let mut bundle = Vec::new();
    from.export(&Frontier::empty(), &mut bundle).expect("exported");
    let sound = bundle.clone();
    match data.split_first() {
        Some((0, rest)) => {
            // May be sound by itself, as the seeds are: then there is nothing to compare it with.
            let _ = to.import(rest);
            return;
        }
        Some((1, rest)) => {
            let at = rest.iter().take(3).fold(0, |at, &byte| at << 8 | usize::from(byte));
            bundle.truncate(at % (bundle.len() + 1));
        }
        Some((_, rest)) => {
            for change in rest.chunks_exact(3) {
                let at = (usize::from(change[0]) << 8 | usize::from(change[1])) % bundle.len();
                bundle[at] ^= change[2];
            }
        }
        None => {}
    }
    let imported = to.import(&bundle[..]);
    assert_eq!(imported.is_ok(), bundle == sound, "only the sound bundle is taken");
    to.import(&sound[..]).expect("the sound bundle is taken after any other");
    assert_eq!(to.frontier().expect("read").size(from.own_log().id()), 4);
}

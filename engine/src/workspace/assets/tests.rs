use crate::{
    AssetMeta, CollectOptions, Options, OtherCopy, Workspace,
    io::{Disk as _, OsDisk},
};

fn index_of(workspace: &Workspace) -> Vec<u8> {
    workspace.assets().store().unwrap().encoded_index()
}

/// K-15: what was kept and gone on with says what is found in the packs alone.
#[test]
fn an_index_of_packs_made_anew_equals_the_one_that_grew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let index = path.join("cache/assets/packs.index");
    let mut workspace = Workspace::create(&path, Options::default()).unwrap();
    for round in 0..6_u8 {
        for number in 0..20_u8 {
            let content = [round, number].repeat(100 + usize::from(number));
            let id = workspace.assets().put(&content[..], AssetMeta::default()).unwrap().id;
            match number % 5 {
                0 => {
                    workspace.assets().evict(&id, OtherCopy::Forced).unwrap();
                }
                1 => {
                    workspace.assets().release(&id).unwrap();
                }
                _ => {}
            }
        }
        if round % 2 == 0 {
            let options = CollectOptions::default().waste_percent_min(10);
            workspace.assets().collect(&options, |_, _| true).unwrap();
            assert!(OsDisk.open(&index, crate::io::Access::Read).is_ok(), "a collection keeps it");
        }
        workspace.close().unwrap();
        workspace = Workspace::open(&path, Options::default()).unwrap();
        let grown = index_of(&workspace);
        drop(workspace);
        let _ = OsDisk.remove(&index);
        workspace = Workspace::open(&path, Options::default()).unwrap();
        assert!(index_of(&workspace) == grown, "round {round}");
        workspace.reindex_assets().unwrap();
    }
}

//! Annals with its defaults, as a library. One file is `put_file`, many are a batch with one sync; then `commit`, which
//! makes the claims durable, and `close`.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use annals::{AssetId, AssetMeta, Clock, Options, Workspace};
use anyhow::{Result, ensure};

use super::{archive::Archive, content::files};

pub(super) struct Annals {
    pub(super) store: PathBuf,
}

impl Annals {
    fn folder(&self) -> PathBuf {
        self.store.join("workspace")
    }

    /// The workspace to read.
    pub(super) fn open(&self) -> Result<Workspace> {
        Ok(Workspace::open_read_only(self.folder(), options())?)
    }
}

fn options() -> Options {
    Options::default().clock(Clock::None)
}

fn meta(path: &Path) -> AssetMeta {
    AssetMeta::named(path.file_name().unwrap_or_default().to_string_lossy())
}

impl Archive for Annals {
    fn create(&self) -> Result<()> {
        Ok(Workspace::create(self.folder(), options())?.close()?)
    }

    fn ingest(&self, source: &Path, _name: &str) -> Result<()> {
        let workspace = Workspace::open(self.folder(), options())?;
        let assets = workspace.assets();
        let (paths, _) = files(source)?;
        let mut batch = assets.batch();
        for path in &paths {
            batch.put_file(path, meta(path))?;
        }
        batch.commit()?;
        drop(batch);
        workspace.commit()?;
        Ok(workspace.close()?)
    }

    fn read(&self, source: &Path, _name: &str) -> Result<()> {
        let workspace = self.open()?;
        let assets = workspace.assets();
        let mut part = vec![0; 1 << 20];
        let mut read = 0;
        for id in assets.ids()? {
            let mut reader = assets.open(&id)?;
            loop {
                let len = reader.read(&mut part)?;
                if len == 0 {
                    break;
                }
                read += len as u64;
            }
        }
        let (_, len) = files(source)?;
        ensure!(read == len, "{read} bytes were read of {len}");
        Ok(())
    }

    fn verify(&self, source: &Path, _name: &str) -> Result<()> {
        let (paths, _) = files(source)?;
        let expected = paths.iter().map(|path| Ok(AssetId::of(&fs::read(path)?)));
        let expected: BTreeSet<_> = expected.collect::<Result<_>>()?;
        let workspace = self.open()?;
        ensure!(workspace.assets().ids()? == expected, "other assets than the files are there");
        for id in &expected {
            ensure!(workspace.assets().verify(id, drop, |_| true)?, "{id} is damaged");
        }
        Ok(())
    }
}

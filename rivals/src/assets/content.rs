//! What is stored.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{
    args::Scale,
    data::{Kind, Random},
};

/// A folder of files that are the same in every run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// One file that does not compress, of so many MiB.
    Noise(u64),
    /// One file of documents in JSON, of so many MiB.
    Text(u64),
    /// So many files of 1 to 8 kB that do not compress.
    Files(usize),
}

impl Content {
    /// What is stored, and read.
    pub(super) fn all(scale: Scale) -> [Self; 4] {
        let large = Self::large(scale);
        [Self::Noise(64), large, Self::Text(64), Self::Files(scale.count(5_000))]
    }

    /// The largest file.
    pub(super) fn large(scale: Scale) -> Self {
        Self::Noise(if scale == Scale::Quick { 128 } else { 512 })
    }

    /// Its name in cases.
    pub(super) fn name(self) -> String {
        match self {
            Self::Noise(mib) => format!("noise-{mib}-MiB"),
            Self::Text(mib) => format!("text-{mib}-MiB"),
            Self::Files(count) => format!("files-{count}"),
        }
    }

    /// Writes it into a new folder, durably. It is in the page cache then.
    pub(super) fn write(self, folder: &Path) -> Result<()> {
        fs::create_dir(folder)?;
        let mut random = Random(u64::from(b'a'));
        match self {
            Self::Noise(mib) => write(folder, 0, |out| noise(&mut random, mib << 20, out)),
            Self::Text(mib) => write(folder, 0, |out| text(mib << 20, out)),
            Self::Files(count) => (0..count).try_for_each(|number| {
                let len = 1_000 + random.below(7_001);
                write(folder, number, |out| noise(&mut random, len, out))
            }),
        }?;
        // One after the other would take a second for each hundred.
        rustix::fs::syncfs(File::open(folder)?)?;
        Ok(())
    }
}

/// The files of a folder that was written, and the bytes in all of them.
pub(super) fn files(folder: &Path) -> Result<(Vec<PathBuf>, u64)> {
    let entries = fs::read_dir(folder)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let lens = paths.iter().map(|path| Ok(fs::metadata(path)?.len()));
    let len = lens.sum::<std::io::Result<u64>>()?;
    Ok((paths, len))
}

type Out = BufWriter<File>;

fn write(folder: &Path, number: usize, fill: impl FnOnce(&mut Out) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(folder.join(number.to_string()))?);
    fill(&mut out)?;
    out.flush()?;
    Ok(())
}

fn noise(random: &mut Random, len: u64, out: &mut Out) -> Result<()> {
    for _ in 0..len / 8 {
        out.write_all(&random.next().to_le_bytes())?;
    }
    let rest = usize::try_from(len % 8).expect("below 8");
    out.write_all(&random.next().to_le_bytes()[..rest])?;
    Ok(())
}

fn text(len: u64, out: &mut Out) -> Result<()> {
    let documents = Kind::Document.entries(usize::try_from(len >> 10)?);
    documents.iter().try_for_each(|document| out.write_all(document))?;
    Ok(())
}

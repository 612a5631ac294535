//! The machine that is measured.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// What the figures depend on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Model of the processor.
    pub(crate) processor: String,
    /// Cores that this process may use.
    pub(crate) cores: usize,
    /// Memory in bytes.
    pub(crate) memory: u64,
    /// Name and version of the kernel.
    pub(crate) kernel: String,
    /// How many processes wanted to run in the last minutes before.
    pub(crate) load: String,
    /// Device and type of the file system that holds the data.
    pub(crate) file_system: String,
}

impl Machine {
    /// This machine, with its file system at `scratch`.
    pub(crate) fn here(scratch: &Path) -> Result<Self> {
        let kernel = rustix::system::uname();
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name")?,
            cores: std::thread::available_parallelism()?.get(),
            memory: field("/proc/meminfo", "MemTotal")?
                .trim_end_matches(" kB")
                .parse::<u64>()
                .context("a MemTotal that is no number")?
                << 10,
            kernel: format!(
                "{} {}",
                kernel.sysname().to_string_lossy(),
                kernel.release().to_string_lossy()
            ),
            load: fs::read_to_string("/proc/loadavg")?
                .split(' ')
                .take(3)
                .collect::<Vec<_>>()
                .join(", "),
            file_system: file_system(scratch)?,
        })
    }
}

fn field(file: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(file)?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let value = fields.find(|(key, _)| key.trim() == name);
    Ok(value.with_context(|| format!("no {name} in {file}"))?.1.trim().to_owned())
}

/// Type and device of the mount that is nearest to a folder.
fn file_system(folder: &Path) -> Result<String> {
    let folder = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder.starts_with(point).then(|| (point.len(), format!("{kind} on {device}")))
    });
    Ok(mounts.max_by_key(|(depth, _)| *depth).context("no file system is mounted")?.1)
}

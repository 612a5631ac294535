//! Time, memory and disk, as the system accounts for them.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    fs::Advice,
    time::{ClockId, clock_gettime},
};

/// CPU time of this process in seconds, of all of its threads, user and system.
pub(crate) fn cpu() -> f64 {
    let time: Duration = clock_gettime(ClockId::ProcessCPUTime).try_into().expect("not negative");
    time.as_secs_f64()
}

/// Highest amount of memory that was resident since [`forget_peak`], in bytes.
pub(crate) fn peak_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes.context("no VmHWM in /proc/self/status")?.parse()?;
    Ok(kibibytes << 10)
}

/// Lets [`peak_memory`] begin anew with what is resident now.
pub(crate) fn forget_peak() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("cannot reset VmHWM")
}

/// What files take on disk, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DiskUse {
    /// Sum of the lengths.
    pub(crate) apparent: u64,
    /// Sum of the blocks.
    pub(crate) allocated: u64,
}

/// What all files below a folder take.
pub(crate) fn disk_use(folder: &Path) -> Result<DiskUse> {
    let mut sum = DiskUse::default();
    for file in files(folder)? {
        let metadata = fs::metadata(file)?;
        sum.apparent += metadata.len();
        sum.allocated += metadata.blocks() * 512;
    }
    Ok(sum)
}

/// Makes the system forget what it holds of all files below a folder, so that they are read from the disk again; and
/// names and everything else, where it lets us.
pub(crate) fn evict(folder: &Path) -> Result<()> {
    for path in files(folder)? {
        let file = File::open(path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    // Only root may.
    if fs::write("/proc/sys/vm/drop_caches", "3").is_ok() {
        read_program()?;
    }
    Ok(())
}

/// Brings this program back into the page cache: what loading its code costs is not measured.
fn read_program() -> Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mut paths: Vec<_> =
        maps.lines().filter_map(|line| Some(&line[line.find('/')?..])).collect();
    paths.dedup();
    for path in paths {
        std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    ensure!(!files.is_empty(), "{}: the store has written no file", folder.display());
    Ok(files)
}

/// A number for reports.
pub(crate) fn float(number: impl TryInto<u64>) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "nobody counts beyond 2^53 here")]
    number.try_into().map_or(f64::NAN, |number: u64| number as f64)
}

/// The value below which `percent` of all lie; sorts them.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1).expect("something was measured");
    values[(values.len() * percent / 100).min(last)]
}

/// The value in the middle, or the mean of the two there; sorts them.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    if values.len() % 2 == 1 {
        values[upper]
    } else {
        f64::midpoint(values[upper - 1], values[upper])
    }
}

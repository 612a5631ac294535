//! The simulated machine keeps and loses what it says.

mod faults;
mod files;
mod history;
mod loss;
mod protocol;

use std::{io, path::Path, sync::Arc};

use super::{Loss, PowerOff, SimDisk};
use crate::io::{Access, Disk, DiskFile, LockKind};

fn create(disk: &dyn Disk, path: &str) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), Access::CreateNew).unwrap()
}

fn open(disk: &dyn Disk, path: &str) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), Access::Write).unwrap()
}

/// A file that is durable, name and all.
fn durable(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = create(disk, path);
    file.write_all_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new(path).parent().unwrap()).unwrap();
    file
}

fn kind_of<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("it fails").kind()
}

/// All files with their contents.
fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let files = disk.paths().into_iter();
    files.map(|path| (path.to_string_lossy().into_owned(), disk.content(&path).unwrap())).collect()
}

fn count_of(bytes: &[u8], wanted: u8) -> usize {
    bytes.iter().map(|&byte| usize::from(byte == wanted)).sum()
}

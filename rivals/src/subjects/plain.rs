//! A plain file, as it is written in an afternoon: length, CRC-32 and payload of each entry, one write and one
//! `fdatasync` for each commit, 64 KiB for each write in bulk. Opening reads all of it, to find where the sound part
//! ends and where the entries begin; the places of all entries are held in memory. `plain-ahead` writes a MiB of zeros
//! ahead of the entries whenever it comes to their end, so that `fdatasync` has no new length to record. `plain-again` is `plain` once more: what the two differ by is noise.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Mutex, RwLock},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    data::Entries,
    engine::{Engine, Look, Role, Subject, place},
};

/// Bytes before a payload: its length and its checksum.
const HEADER_LEN: usize = 8;
/// Bytes of one write in bulk.
const WRITE_LEN: usize = 64 << 10;
/// Bytes of one read.
const READ_LEN: usize = 256 << 10;
/// Bytes that are written ahead.
const AHEAD_LEN: u64 = 1 << 20;

pub(super) fn subjects() -> Vec<Subject> {
    let subject = |name, role, open| Subject {
        name,
        role,
        packages: &["crc32fast"],
        source: include_str!("plain.rs"),
        open,
    };
    vec![
        subject("plain", Role::Log, |folder, _| Ok(Box::new(Plain::open(folder, false)?))),
        subject("plain-again", Role::Commits, |folder, _| {
            Ok(Box::new(Plain::open(folder, false)?))
        }),
        subject("plain-ahead", Role::Commits, |folder, _| Ok(Box::new(Plain::open(folder, true)?))),
    ]
}

struct Plain {
    file: File,
    /// Places of the payloads.
    starts: RwLock<Vec<u64>>,
    end: Mutex<End>,
    writes_ahead: bool,
}

/// The end of the file, and what is written there.
#[derive(Default)]
struct End {
    /// Where the entries end.
    len: u64,
    /// Where the file ends.
    allocated: u64,
    buffer: Vec<u8>,
}

impl Plain {
    fn open(folder: &Path, writes_ahead: bool) -> Result<Self> {
        let path = folder.join("log");
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        File::open(folder)?.sync_all()?;
        let mut starts = Vec::new();
        let len = walk(&file, |start, _| starts.push(start))?;
        let allocated = file.metadata()?.len();
        if !writes_ahead {
            file.set_len(len)?;
        }
        let end = Mutex::new(End { len, allocated, buffer: Vec::new() });
        Ok(Self { file, starts: RwLock::new(starts), end, writes_ahead })
    }

    /// Writes what is in the buffer to the end of the file.
    fn flush(&self, end: &mut End) -> Result<()> {
        let next = end.len + end.buffer.len() as u64;
        if self.writes_ahead && next > end.allocated {
            let zeros = vec![0; place(AHEAD_LEN.max(next - end.allocated))?];
            self.file.write_all_at(&zeros, end.allocated)?;
            end.allocated += zeros.len() as u64;
        }
        self.file.write_all_at(&end.buffer, end.len)?;
        end.len = next;
        end.buffer.clear();
        Ok(())
    }

    fn append<'a>(&self, payloads: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let mut end = self.end.lock().expect("nobody panicked");
        let mut starts = self.starts.write().expect("nobody panicked");
        for payload in payloads {
            end.buffer.extend_from_slice(&u32::try_from(payload.len())?.to_le_bytes());
            end.buffer.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
            starts.push(end.len + end.buffer.len() as u64);
            end.buffer.extend_from_slice(payload);
            if end.buffer.len() >= WRITE_LEN {
                self.flush(&mut end)?;
            }
        }
        drop(starts);
        self.flush(&mut end)?;
        Ok(self.file.sync_data()?)
    }
}

impl Engine for Plain {
    fn bulk(&self, entries: &Entries) -> Result<()> {
        self.append(entries.iter())
    }

    fn commit(&self, payloads: &[&[u8]]) -> Result<()> {
        self.append(payloads.iter().copied())
    }

    fn count(&self) -> Result<u64> {
        Ok(self.starts.read().expect("nobody panicked").len() as u64)
    }

    fn get(&self, index: u64, look: Look<'_>) -> Result<()> {
        let starts = self.starts.read().expect("nobody panicked");
        let start = *starts.get(place(index)?).context("there is no such entry")?;
        let header = start - HEADER_LEN as u64;
        let end = starts.get(place(index)? + 1).map(|next| next - HEADER_LEN as u64);
        let end = end.unwrap_or_else(|| self.end.lock().expect("nobody panicked").len);
        drop(starts);
        let mut bytes = vec![0; place(end - header)?];
        self.file.read_exact_at(&mut bytes, header)?;
        look(sound(&bytes).context("a damaged entry")?);
        Ok(())
    }

    fn scan(&self, look: Look<'_>) -> Result<()> {
        let len = walk(&self.file, |_, payload| look(payload))?;
        ensure!(len == self.end.lock().expect("nobody panicked").len, "a damaged entry at {len}");
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.file.sync_all()?)
    }
}

/// The payload of the entry that begins here, if it is whole and sound.
fn sound(bytes: &[u8]) -> Option<&[u8]> {
    let (header, rest) = bytes.split_at_checked(HEADER_LEN)?;
    let len = u32::from_le_bytes(header[..4].try_into().expect("four bytes"));
    let crc = u32::from_le_bytes(header[4..].try_into().expect("four bytes"));
    let payload = rest.get(..usize::try_from(len).ok()?)?;
    // Zeros are no entry: they are what was written ahead.
    (crc32fast::hash(payload) == crc && (len, crc) != (0, 0)).then_some(payload)
}

/// Shows place and payload of every sound entry from the start on; the place where they end.
fn walk(file: &File, mut look: impl FnMut(u64, &[u8])) -> Result<u64> {
    let mut window = Vec::new();
    let mut start = 0;
    loop {
        let held = window.len();
        window.resize(held + READ_LEN, 0);
        let read = file.read_at(&mut window[held..], start + held as u64)?;
        window.truncate(held + read);
        let mut at = 0;
        while let Some(payload) = sound(&window[at..]) {
            look(start + (at + HEADER_LEN) as u64, payload);
            at += HEADER_LEN + payload.len();
        }
        start += at as u64;
        window.drain(..at);
        if read == 0 || (at == 0 && window.len() > (64 << 20)) {
            return Ok(start);
        }
    }
}

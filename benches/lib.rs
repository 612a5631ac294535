//! Data and set-ups that the benchmarks share.
#![allow(clippy::missing_panics_doc, reason = "a benchmark that cannot run should panic")]

use annals::{Clock, Options, Workspace};
use tempfile::TempDir;

/// A kind of entry that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name in the reports.
    pub name: &'static str,
    /// Length of a payload in bytes.
    pub len: usize,
    /// How many entries make up a log.
    pub count: usize,
}

/// Keystrokes of an editor, and documents of 1 KiB.
pub const WORKLOADS: [Workload; 2] = [
    Workload { name: "keystroke", len: 13, count: 200_000 },
    Workload { name: "1KiB", len: 1024, count: 20_000 },
];

impl Workload {
    /// Payloads that compress like text: words drawn from a small vocabulary by a fixed sequence.
    pub fn payloads(&self) -> Vec<Vec<u8>> {
        const WORDS: [&str; 16] = [
            "insert", "delete", "at", "the", "position", "of", "a", "cursor", "12", "407", "line",
            "{", "}", "value", "name", "\n",
        ];
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut payload = || {
            let mut text = Vec::with_capacity(self.len + 8);
            while text.len() < self.len {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let word = usize::try_from(state % 16).expect("below 16");
                text.extend_from_slice(WORDS[word].as_bytes());
                text.push(b' ');
            }
            text.truncate(self.len);
            text
        };
        (0..self.count).map(|_| payload()).collect()
    }

    /// Bytes of payload in all.
    pub fn bytes(&self) -> u64 {
        (self.len * self.count) as u64
    }
}

/// An empty workspace in a folder that is removed with it.
pub fn empty() -> (TempDir, Workspace) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let workspace = Workspace::create(folder.path().join("w"), options()).expect("a new workspace");
    (folder, workspace)
}

/// A workspace with all entries of the workload, open.
pub fn filled(workload: &Workload) -> (TempDir, Workspace) {
    let (folder, workspace) = empty();
    for payload in workload.payloads() {
        workspace.append(&payload).expect("appending works");
    }
    workspace.commit().expect("committing works");
    (folder, workspace)
}

/// The defaults, without times: they would make the data differ from run to run.
pub fn options() -> Options {
    Options::default().clock(Clock::None)
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

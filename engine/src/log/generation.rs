//! The next generation of a segment, written beside the one in use (S-7).
//!
//! Healing writes one; whoever rewrites a log for other reasons does it in the same way. Every entry is hashed
//! on its way in, so a batch is accepted only if it gives its own root; what was written is read back from
//! the file before it takes the old one's place.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    batch::{Batch, BatchDraft, Encoder, set_continues},
    bytes::Hash,
    error::{IoContext as _, IoError},
    frame::{FRAME_HEADER_LEN, FrameHeader, FrameKind, encode_frame},
    io::{Access, Disk, DiskFile, temporary_name},
    log::{
        appender::BatchRefused,
        checkpoint::{Checkpoint, LogState},
        frames::{FrameReader, READ_AHEAD_LONG, follows},
        head::{HEAD_LEN, SegmentHeader},
        replay::{Effect, Hasher, Replay, ReplayError},
        segment::{checkpoint_context, slot_offset},
    },
    merkle::SaltTree,
};

/// Frames are handed to the operating system after this many bytes.
const WRITE_LEN: usize = 1 << 20;
/// Level of zstd for batches of which only the end is taken.
const LEVEL: i32 = 1;

/// A segment that is being written. Dropped before it is installed, it leaves nothing behind.
pub(crate) struct NextGeneration {
    disk: Arc<dyn Disk>,
    target: PathBuf,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header: SegmentHeader,
    salts: SaltTree,
    hasher: Hasher,
    encoder: Encoder,
    effect: Effect,
    opening: u32,
    incarnation: u64,
    state: LogState,
    /// The state before the atomic group that is not complete yet.
    boundary: Option<LogState>,
    /// Frames that were not handed over yet.
    out: Vec<u8>,
    installed: bool,
}

impl NextGeneration {
    /// Begins the file that is to replace `target`, whose salts are `salts`.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        target: &Path,
        header: SegmentHeader,
        salts: SaltTree,
        opening: u32,
    ) -> Result<Self, IoError> {
        let path = temporary_name(target);
        match disk.remove(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // Left behind by a crash.
            result => result.context(&path, "remove")?,
        }
        let mut random = [0; 8];
        disk.fill_random(&mut random).context(&path, "draw random numbers for")?;
        let file = disk.open(&path, Access::CreateNew).context(&path, "create")?;
        let mut head = header.encode();
        head.resize(usize::try_from(HEAD_LEN).expect("16 KiB"), 0);
        file.write_all_at(&head, 0).context(&path, "write")?;
        Ok(Self {
            disk: Arc::clone(disk),
            target: target.to_owned(),
            path,
            file,
            hasher: Hasher::new(header.log, salts.clone()),
            salts,
            encoder: Encoder::new(LEVEL),
            effect: Effect::default(),
            opening,
            incarnation: u64::from_le_bytes(random),
            state: LogState::empty(header.link_seed()),
            header,
            boundary: None,
            out: Vec::new(),
            installed: false,
        })
    }

    /// Entries so far.
    pub(crate) fn entry_count(&self) -> u64 {
        self.state.entry_count()
    }

    /// Entries up to the last complete atomic group.
    pub(crate) fn boundary_count(&self) -> u64 {
        self.boundary.as_ref().unwrap_or(&self.state).entry_count()
    }

    pub(crate) fn root(&self) -> Hash {
        self.state.peaks.root(self.hasher.keys())
    }

    /// The root of the first `size` entries, which end inside or at the end of `batch`, the one that is to be
    /// appended next.
    pub(crate) fn root_within(&mut self, batch: &Batch, size: u64) -> Result<Hash, ReplayError> {
        let mut state = self.state.clone();
        let known = self.known_of(batch);
        let len = usize::try_from(size - batch.first_index()).unwrap_or(usize::MAX);
        let entries = batch.entries().take(len).skip(known);
        self.hasher.append(&mut state, entries, &mut self.effect)?;
        Ok(state.peaks.root(self.hasher.keys()))
    }

    /// How many entries of the batch are here already.
    fn known_of(&self, batch: &Batch) -> usize {
        let count = self.entry_count();
        assert!(
            batch.first_index() <= count && count < batch.end_index(),
            "the batch continues the log"
        );
        usize::try_from(count - batch.first_index()).expect("a batch is smaller than memory")
    }

    /// Appends the entries of a batch that are not here yet: as it is if it starts here, else encoded anew.
    /// After an error the log is as before.
    pub(crate) fn append(&mut self, batch: &Batch, bytes: &[u8]) -> Result<(), BatchRefused> {
        let known = self.known_of(batch);
        let before = self.state.clone();
        let entries = batch.entries().skip(known);
        let appended = self.hasher.append(&mut self.state, entries, &mut self.effect);
        let (expected, found) = (batch.header().root(), self.root());
        let root =
            if found == expected { Ok(()) } else { Err(ReplayError::Root { expected, found }) };
        if let Err(error) = appended.and(root) {
            self.state = before;
            return Err(error.into());
        }
        let continues = batch.header().continues();
        let start = self.out.len();
        self.out.resize(start + FRAME_HEADER_LEN, 0);
        if known == 0 {
            self.out.extend_from_slice(bytes);
        } else {
            let first_index = before.entry_count();
            let mut draft = BatchDraft::default();
            draft.extend_from(batch, known);
            let out = &mut self.out;
            self.encoder.encode_draft(self.header.log, first_index, &draft, expected, out);
            if continues {
                set_continues(&mut self.out[start + FRAME_HEADER_LEN..]);
            }
        }
        if continues && self.boundary.is_none() {
            self.boundary = Some(before.clone());
        }
        let frame = FrameHeader {
            kind: FrameKind::BATCH,
            critical: true,
            copy: true,
            continues,
            first_index: before.entry_count(),
            entry_count: u32::try_from(self.entry_count() - before.entry_count())
                .expect("a batch is within its limit"),
            ..self.frame()
        };
        self.close_frame(frame, start)?;
        if !continues {
            self.boundary = None;
        }
        Ok(())
    }

    /// Takes over a frame of another kind, whose bytes the format says to keep (F-1, F-4).
    pub(crate) fn copy_frame(
        &mut self,
        frame: &FrameHeader,
        payload: &[u8],
    ) -> Result<(), IoError> {
        let start = self.out.len();
        self.out.resize(start + FRAME_HEADER_LEN, 0);
        self.out.extend_from_slice(payload);
        let frame = FrameHeader {
            kind: frame.kind,
            critical: frame.critical,
            copy: frame.copy,
            ..self.frame()
        };
        self.close_frame(frame, start)
    }

    /// What all frames of this file have in common.
    fn frame(&self) -> FrameHeader {
        FrameHeader {
            kind: FrameKind::BATCH,
            critical: false,
            copy: false,
            continues: false,
            payload_len: 0,
            payload_crc: 0,
            offset: self.state.end_offset,
            generation: self.header.generation,
            incarnation: self.incarnation,
            // Nothing of it is durable before all of it is.
            synced_upto: HEAD_LEN,
            first_index: self.entry_count(),
            entry_count: 0,
            link: self.state.link,
            opening: self.opening,
            header_crc: 0,
        }
    }

    fn close_frame(&mut self, frame: FrameHeader, start: usize) -> Result<(), IoError> {
        let frame = encode_frame(frame, &self.header.frames(), &mut self.out, start);
        self.state.end_offset += (self.out.len() - start) as u64;
        self.state.link = frame.header_crc;
        self.state.frame_count += 1;
        if self.out.len() >= WRITE_LEN { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), IoError> {
        let offset = self.state.end_offset - self.out.len() as u64;
        self.file.write_all_at(&self.out, offset).context(&self.path, "write")?;
        self.out.clear();
        Ok(())
    }

    /// Makes the file durable, reads it back, and puts it in the place of the old one. The log ends at its last
    /// complete group.
    pub(crate) fn install(mut self) -> Result<(), IoError> {
        self.flush()?;
        if let Some(boundary) = self.boundary.take() {
            self.state = boundary;
            self.file.set_len(self.state.end_offset).context(&self.path, "cut")?;
        }
        self.file.sync().context(&self.path, "sync")?;
        let checkpoint = Checkpoint {
            sequence: 1,
            incarnation: self.incarnation,
            opening: self.opening,
            clean: true,
            state: self.state.clone(),
        };
        let slot = checkpoint.encode(&checkpoint_context(&self.header, self.hasher.keys()));
        self.file
            .write_all_at(&slot, slot_offset(checkpoint.slot()))
            .context(&self.path, "write a checkpoint")?;
        self.file.sync().context(&self.path, "sync")?;
        self.read_back()?;
        self.disk.rename(&self.path, &self.target).context(&self.target, "rename")?;
        self.installed = true;
        let folder = self.target.parent().unwrap_or(Path::new("."));
        self.disk.sync_dir(folder).context(folder, "sync")
    }

    /// Hashes everything once more, from the file.
    fn read_back(&self) -> Result<(), IoError> {
        let wrong = |what: String| {
            IoError::new(&self.path, "read back what was written to", std::io::Error::other(what))
        };
        let limit = self.file.len().context(&self.path, "read the length of")?;
        let frames = self.header.frames();
        let mut reader = FrameReader::new(Arc::clone(&self.file), frames, limit, READ_AHEAD_LONG);
        let empty = LogState::empty(self.header.link_seed());
        let align_log2 = self.header.align_log2;
        let mut replay = Replay::new(self.header.log, self.salts.clone(), align_log2, empty);
        while replay.state().end_offset < limit {
            let state = replay.state();
            let header = reader.header(state.end_offset).context(&self.path, "read")?;
            let header = header.map_err(|fault| wrong(fault.to_string()))?;
            follows(&header, state.link, state.entry_count(), self.opening)
                .map_err(|fault| wrong(fault.to_string()))?;
            let payload = reader.payload(&header).context(&self.path, "read")?;
            let payload = payload.map_err(|fault| wrong(fault.to_string()))?;
            if header.kind == FrameKind::BATCH {
                replay.apply(&header, payload).map_err(|error| wrong(error.to_string()))?;
            } else {
                replay.skip(&header);
            }
        }
        if *replay.state() == self.state {
            Ok(())
        } else {
            Err(wrong("it ends in another state".to_owned()))
        }
    }
}

impl Drop for NextGeneration {
    fn drop(&mut self) {
        if !self.installed {
            // Whatever is left of it has a name that says that it is no part of the workspace (W-3).
            let _ = self.disk.remove(&self.path);
        }
    }
}

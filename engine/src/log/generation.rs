//! The next generation of a segment, written beside the one in use (S-7).
//!
//! Healing writes one, and so does compaction. Every entry is hashed on its way in, so a batch is accepted only if it
//! gives its own root; what was written is read back from the file before it takes the old one's place. A part at the
//! beginning may be carried over as it is (H-2): its frames are read back, not its entries.

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
        forget::without_erased,
        frames::{FrameReader, READ_AHEAD_LONG, follows},
        head::{HEAD_LEN, SegmentHeader},
        pruned::PruneRecord,
        replay::{Effect, Hasher, Replay, ReplayError},
        segment::{checkpoint_context, slot_offset},
    },
    merkle::SaltTree,
};

/// Frames are handed to the operating system after this many bytes.
const WRITE_LEN: usize = 1 << 20;
/// Copied at once from the generation before.
const COPY_LEN: u64 = 8 << 20;
/// Level of zstd where nobody asks for another one.
const LEVEL: i32 = 1;

/// What a generation begins with.
pub(crate) struct Beginning {
    /// Its header; where the salts stand is filled in here.
    pub(crate) header: SegmentHeader,
    pub(crate) salts: SaltTree,
    /// What it keeps of entries that are pruned.
    pub(crate) pruned: Option<Arc<PruneRecord>>,
    pub(crate) opening: u32,
    /// `None`: one is drawn.
    pub(crate) incarnation: Option<u64>,
    /// Level of zstd for batches that are encoded anew.
    pub(crate) level: i32,
    pub(crate) carried: Option<Carried>,
}

impl Beginning {
    /// Nothing before, nothing carried.
    pub(crate) fn new(header: SegmentHeader, salts: SaltTree, opening: u32) -> Self {
        Self {
            header: SegmentHeader {
                carried_upto: 0,
                compacted_upto: 0,
                compacted_frames: 0,
                ..header
            },
            salts,
            pruned: None,
            opening,
            incarnation: None,
            level: LEVEL,
            carried: None,
        }
    }
}

/// The part of the generation before that is carried over (H-2).
pub(crate) struct Carried {
    /// The state behind it, without counts; see [`NextGeneration::adopt_counts`].
    pub(crate) state: LogState,
    /// The salt record is in this part and stays as it is.
    pub(crate) keeps_salts: bool,
}

/// Why a generation did not take the place of the one before.
pub(crate) enum InstallError {
    /// The one before is still there, and nothing was changed.
    Kept(IoError),
    /// The new one stands in its place, and perhaps not durably.
    Unsure(IoError),
}

impl From<InstallError> for IoError {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Kept(error) | InstallError::Unsure(error) => error,
        }
    }
}

/// A generation that stands in its place.
pub(crate) struct Installed {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: SegmentHeader,
    pub(crate) salts: SaltTree,
    pub(crate) pruned: Option<Arc<PruneRecord>>,
    /// What its one checkpoint records, whose number is 1.
    pub(crate) state: LogState,
}

/// A segment that is being written. Dropped before it is installed, it leaves nothing behind.
pub(crate) struct NextGeneration {
    disk: Arc<dyn Disk>,
    target: PathBuf,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header: SegmentHeader,
    salts: SaltTree,
    has_salts: bool,
    pruned: Option<Arc<PruneRecord>>,
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
    /// Reads back what was written: its state is behind what was read.
    read_back: Replay,
    installed: bool,
}

impl NextGeneration {
    /// Begins the file that is to replace `target`. What is carried over is copied by [`NextGeneration::copy_carried`].
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        target: &Path,
        beginning: Beginning,
    ) -> Result<Self, IoError> {
        let Beginning { mut header, salts, pruned, opening, incarnation, level, carried } =
            beginning;
        let path = temporary_name(target);
        match disk.remove(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // Left behind by a crash.
            result => result.context(&path, "remove")?,
        }
        let incarnation = if let Some(incarnation) = incarnation {
            incarnation
        } else {
            let mut random = [0; 8];
            disk.fill_random(&mut random).context(&path, "draw random numbers for")?;
            u64::from_le_bytes(random)
        };
        let pruned = pruned.map(|record| record.linked_to(header.link_seed()));
        header.first_index = pruned.as_ref().map_or(0, |record| record.size());
        let empty = LogState::empty(header.link_seed());
        let base = pruned.as_ref().map_or(empty, |record| record.state.clone());
        let (state, keeps_salts) = match &carried {
            Some(carried) => (carried.state.clone(), carried.keeps_salts),
            None => (base, false),
        };
        header.carried_upto = if carried.is_some() { state.end_offset } else { 0 };
        header.compacted_upto = header.compacted_upto.max(header.carried_upto);
        let file = disk.open(&path, Access::CreateNew).context(&path, "create")?;
        let (log, align_log2) = (header.log, header.align_log2);
        let mut next = Self {
            disk: Arc::clone(disk),
            target: target.to_owned(),
            path,
            file,
            hasher: Hasher::new(log, salts.clone()),
            read_back: Replay::new(log, salts.clone(), align_log2, state.clone()),
            salts,
            has_salts: keeps_salts,
            pruned,
            encoder: Encoder::new(level),
            effect: Effect::default(),
            opening,
            incarnation,
            state,
            header,
            boundary: None,
            out: Vec::new(),
            installed: false,
        };
        if let Some(record) = next.pruned.clone().filter(|_| carried.is_none()) {
            next.put_record(FrameKind::PRUNED, &record.encode(next.hasher.keys()))?;
        }
        Ok(next)
    }

    /// Copies the carried part from `from`, and reads its frames back. `go_on` is told how many bytes are done, and stops
    /// the copying by `false`; says whether all was copied.
    ///
    /// Cost: where the file system shares blocks nothing is written; everything is read once.
    pub(crate) fn copy_carried(
        &mut self,
        from: &dyn DiskFile,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, IoError> {
        let end = self.header.carried_upto;
        if end == 0 {
            return Ok(true);
        }
        let mut offset = HEAD_LEN;
        while offset < end {
            let len = (end - offset).min(COPY_LEN);
            let copied = from.copy_range(offset, &*self.file, offset, len);
            let copied = copied.context(&self.path, "copy to")?;
            if copied == 0 {
                return Err(self.wrong("the file before is shorter than it was".to_owned()));
            }
            offset += copied;
            if !go_on(offset) {
                return Ok(false);
            }
        }
        let mut reader =
            FrameReader::new(Arc::clone(&self.file), self.header.frames(), end, READ_AHEAD_LONG);
        let (mut offset, mut link) = (HEAD_LEN, self.header.link_seed());
        let mut index = self.header.first_index;
        while offset < end {
            let frame = reader.header(offset).context(&self.path, "read")?;
            let frame = frame.map_err(|fault| self.wrong(fault.to_string()))?;
            follows(&frame, link, index, 0).map_err(|fault| self.wrong(fault.to_string()))?;
            let payload = reader.payload(&frame).context(&self.path, "read")?;
            payload.map_err(|fault| self.wrong(fault.to_string()))?;
            (link, index) = (frame.header_crc, frame.end_index());
            offset += frame.len(self.header.align_log2);
            if !go_on(end) {
                return Ok(false);
            }
        }
        let is_whole = (offset, link, index) == (end, self.state.link, self.state.entry_count());
        if is_whole {
            Ok(true)
        } else {
            Err(self.wrong("the carried part ends elsewhere".to_owned()))
        }
    }

    fn wrong(&self, what: String) -> IoError {
        IoError::new(&self.path, "read back what was written to", std::io::Error::other(what))
    }

    /// Entries so far.
    pub(crate) fn entry_count(&self) -> u64 {
        self.state.entry_count()
    }

    /// Entries up to the last complete atomic group.
    pub(crate) fn boundary_count(&self) -> u64 {
        self.boundary.as_ref().unwrap_or(&self.state).entry_count()
    }

    /// Bytes and frames so far.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.state.end_offset, self.state.frame_count)
    }

    /// Where the carried part ends, or 0.
    pub(crate) fn carried_upto(&self) -> u64 {
        self.header.carried_upto
    }

    /// Whether the log is the one that ends like this.
    pub(crate) fn ends_like(&self, end: &LogState) -> bool {
        let LogState { end_offset, frame_count, link, .. } = self.state;
        self.state == LogState { end_offset, frame_count, link, ..end.clone() }
    }

    /// The root behind entries that are to be appended next.
    pub(crate) fn root_with(&mut self, draft: &BatchDraft) -> Result<Hash, ReplayError> {
        let mut state = self.state.clone();
        self.hasher.append(&mut state, draft.entries(), &mut self.effect)?;
        Ok(state.peaks.root(self.hasher.keys()))
    }

    /// Hands over everything; says what an index of the file is bound to.
    #[allow(clippy::type_complexity, reason = "used in one place")]
    pub(crate) fn prepare(
        &mut self,
    ) -> Result<(&SegmentHeader, Option<&PruneRecord>, &Arc<dyn DiskFile>), IoError> {
        self.flush()?;
        Ok((&self.header, self.pruned.as_deref(), &self.file))
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

    /// Appends the entries of a batch that are not here yet: as it is if it starts here and keeps all of its payloads, else
    /// encoded anew. `lender` has the salts with which its payloads can be hashed. After an error the log is as before.
    pub(crate) fn append(
        &mut self,
        batch: &Batch,
        bytes: &[u8],
        lender: &SaltTree,
    ) -> Result<(), BatchRefused> {
        let known = self.known_of(batch);
        let (root, continues) = (batch.header().root(), batch.header().continues());
        let keys = self.hasher.keys();
        let mut draft = without_erased(batch, known, &self.salts, lender, keys);
        if known > 0 && draft.is_none() {
            draft.get_or_insert_default().extend_from(batch, known);
        }
        if let Some(draft) = draft {
            return self.append_draft(&draft, root, continues);
        }
        let before = self.state.clone();
        let appended = self.hasher.append(&mut self.state, batch.entries(), &mut self.effect);
        self.accept(appended, before, root, continues, |_, _, out| out.extend_from_slice(bytes))
    }

    /// Appends entries that were put together, whose root is `root`.
    pub(crate) fn append_draft(
        &mut self,
        draft: &BatchDraft,
        root: Hash,
        continues: bool,
    ) -> Result<(), BatchRefused> {
        let before = self.state.clone();
        let first_index = before.entry_count();
        let log = self.header.log;
        let appended = self.hasher.append(&mut self.state, draft.entries(), &mut self.effect);
        self.accept(appended, before, root, continues, |encoder, start, out| {
            encoder.encode_draft(log, first_index, draft, root, out);
            if continues {
                set_continues(&mut out[start..]);
            }
        })
    }

    /// Puts a batch whose entries were hashed into a frame, if they lead to its root.
    fn accept(
        &mut self,
        appended: Result<(), ReplayError>,
        before: LogState,
        expected: Hash,
        continues: bool,
        put: impl FnOnce(&mut Encoder, usize, &mut Vec<u8>),
    ) -> Result<(), BatchRefused> {
        let found = self.root();
        let root =
            if found == expected { Ok(()) } else { Err(ReplayError::Root { expected, found }) };
        if let Err(error) = appended.and(root) {
            self.state = before;
            return Err(error.into());
        }
        let start = self.out.len();
        self.out.resize(start + FRAME_HEADER_LEN, 0);
        put(&mut self.encoder, start + FRAME_HEADER_LEN, &mut self.out);
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
        if !continues {
            self.boundary = None;
        } else if self.boundary.is_none() {
            self.boundary = Some(before);
        }
        Ok(self.close_frame(frame, start)?)
    }

    /// Takes over a frame of another kind, whose bytes the format says to keep (F-1, F-4).
    pub(crate) fn copy_frame(
        &mut self,
        frame: &FrameHeader,
        payload: &[u8],
    ) -> Result<(), IoError> {
        let FrameHeader { kind, critical, copy, .. } = *frame;
        self.put_frame(FrameHeader { kind, critical, copy, ..self.frame() }, payload)
    }

    fn put_frame(&mut self, frame: FrameHeader, payload: &[u8]) -> Result<(), IoError> {
        let start = self.out.len();
        self.out.resize(start + FRAME_HEADER_LEN, 0);
        self.out.extend_from_slice(payload);
        self.close_frame(frame, start)
    }

    /// Puts a record without which the log cannot be read: twice (P-5, H-10).
    fn put_record(&mut self, kind: FrameKind, record: &[u8]) -> Result<(), IoError> {
        for _ in 0..2 {
            self.put_frame(FrameHeader { kind, critical: true, ..self.frame() }, record)?;
        }
        Ok(())
    }

    /// Puts the salts where they belong: into the header if they fit, else here (P-5).
    pub(crate) fn put_salts(&mut self) -> Result<(), IoError> {
        assert!(self.boundary.is_none(), "records stand between atomic groups");
        if self.has_salts {
            return Ok(());
        }
        self.has_salts = true;
        self.header.salt_record = self.salts.encode();
        self.header.salts_offset = 0;
        if self.header.fits() {
            return Ok(());
        }
        let record = std::mem::take(&mut self.header.salt_record);
        if record.len() > crate::frame::FRAME_PAYLOAD_LEN_MAX as usize {
            let what = "the salts of so many redactions do not fit a record; prune the log";
            return Err(IoError::new(&self.path, "write", std::io::Error::other(what)));
        }
        self.header.salts_offset = self.state.end_offset;
        self.put_record(FrameKind::SALTS, &record)
    }

    /// What was written so far was compacted (H-2).
    pub(crate) fn mark_compacted(&mut self) {
        self.header.compacted_upto = self.state.end_offset;
        self.header.compacted_frames = self.state.frame_count;
    }

    /// Takes over the counts of the log before, which has the same entries: of what was carried they are not known here.
    /// `gone` of its frames were not carried.
    pub(crate) fn adopt_counts(&mut self, old: &LogState, gone: u64) -> Result<(), IoError> {
        let LogState { end_offset, frame_count, link, .. } = self.state;
        let carried = old.frame_count.saturating_sub(gone);
        let frame_count = frame_count + carried;
        let adopted = LogState { end_offset, frame_count, link, ..old.clone() };
        let same = adopted.peaks == self.state.peaks
            && adopted.lamport == self.state.lamport
            && adopted.stream_count == self.state.stream_count;
        if !same {
            return Err(self.wrong("it ends in another state".to_owned()));
        }
        self.check()?;
        if self.header.compacted_upto > 0 {
            self.header.compacted_frames += carried;
        }
        self.state = adopted.clone();
        self.read_back.set_state(adopted);
        Ok(())
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
        let len = frame.len(self.header.align_log2);
        self.state.end_offset += len;
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

    /// Makes durable what was written, so that less is left to do when commits wait.
    pub(crate) fn sync(&mut self) -> Result<(), IoError> {
        self.flush()?;
        self.file.sync().context(&self.path, "sync")?;
        self.check()
    }

    /// Makes the file durable, reads back what was not read yet, and puts it in the place of the old one. The log ends at
    /// its last complete group.
    pub(crate) fn install(&mut self) -> Result<Installed, InstallError> {
        self.finish().map_err(InstallError::Kept)?;
        let renamed = self.disk.rename(&self.path, &self.target).context(&self.target, "rename");
        // A rename that reports an error may have happened all the same.
        renamed.map_err(InstallError::Unsure)?;
        self.installed = true;
        let folder = self.target.parent().unwrap_or(Path::new("."));
        self.disk.sync_dir(folder).context(folder, "sync").map_err(InstallError::Unsure)?;
        Ok(Installed {
            file: Arc::clone(&self.file),
            header: self.header.clone(),
            salts: self.salts.clone(),
            pruned: self.pruned.clone(),
            state: self.state.clone(),
        })
    }

    fn finish(&mut self) -> Result<(), IoError> {
        if let Some(boundary) = self.boundary.take() {
            self.flush()?;
            self.state = boundary;
            self.file.set_len(self.state.end_offset).context(&self.path, "cut")?;
        }
        self.put_salts()?;
        self.flush()?;
        let checkpoint = Checkpoint {
            sequence: 1,
            incarnation: self.incarnation,
            opening: self.opening,
            clean: true,
            state: self.state.clone(),
        };
        let mut head = self.header.encode();
        head.resize(usize::try_from(HEAD_LEN).expect("16 KiB"), 0);
        let slot = checkpoint.encode(&checkpoint_context(&self.header, self.hasher.keys()));
        let at = usize::try_from(slot_offset(checkpoint.slot())).expect("within the head");
        head[at..at + slot.len()].copy_from_slice(&slot);
        self.file.write_all_at(&head, 0).context(&self.path, "write")?;
        self.file.sync().context(&self.path, "sync")?;
        self.check()
    }

    /// Hashes from the file what was written since the last time.
    fn check(&mut self) -> Result<(), IoError> {
        self.flush()?;
        let limit = self.state.end_offset;
        let frames = self.header.frames();
        let mut reader = FrameReader::new(Arc::clone(&self.file), frames, limit, READ_AHEAD_LONG);
        while self.read_back.state().end_offset < limit {
            let state = self.read_back.state();
            let header = reader.header(state.end_offset).context(&self.path, "read")?;
            let header = header.map_err(|fault| self.wrong(fault.to_string()))?;
            follows(&header, state.link, state.entry_count(), self.opening)
                .map_err(|fault| self.wrong(fault.to_string()))?;
            let payload = reader.payload(&header).context(&self.path, "read")?;
            let payload = payload.map_err(|fault| self.wrong(fault.to_string()))?;
            if header.kind == FrameKind::BATCH {
                let applied = self.read_back.apply(&header, payload).map(drop);
                applied.map_err(|error| self.wrong(error.to_string()))?;
            } else {
                self.read_back.skip(&header);
            }
        }
        if *self.read_back.state() == self.state {
            Ok(())
        } else {
            Err(self.wrong("it ends in another state".to_owned()))
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

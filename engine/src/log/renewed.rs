//! A log in its next generation, beside the one that readers still hold.

use std::sync::Arc;

use crate::{
    bytes::LogKeys,
    error::{IoContext as _, IoError},
    frame::FRAME_TRAILER_LEN,
    index::{Identity, Index, Position},
    io::{Disk, DiskFile},
    log::{
        frames::{FrameReader, READ_AHEAD_SHORT},
        generation::Installed,
        head::SegmentHeader,
        pruned::PruneRecord,
        read::{Log, View},
    },
    sync::{AtomicU64, OnceLock, ReentrantMutex, RwLock},
};

/// Opens the index of a segment. Runs that were carried over from an older generation are believed where the frame that
/// they end with is there; otherwise all are made anew.
pub(crate) fn open_index(
    disk: &Arc<dyn Disk>,
    folder: &std::path::Path,
    identity: Identity,
    origin: Position,
    file: &Arc<dyn DiskFile>,
    header: &SegmentHeader,
) -> Result<Index, IoError> {
    let failed = |error| IoError::new(folder, "read the index in", std::io::Error::other(error));
    let index = Index::open_from(Arc::clone(disk), folder.to_owned(), identity, origin);
    let index = index.map_err(failed)?;
    for end in index.carried_ends() {
        if !ends_with(file, header, &end).context(folder, "compare with its segment")? {
            index.clear(false).map_err(failed)?;
            break;
        }
    }
    Ok(index)
}

/// Whether the frame that ends at `end` is the one that a run was made of.
fn ends_with(
    file: &Arc<dyn DiskFile>,
    header: &SegmentHeader,
    end: &Position,
) -> std::io::Result<bool> {
    let trailer = end.end_offset.saturating_sub(FRAME_TRAILER_LEN as u64);
    let trailer = file.read_vec_at(trailer, FRAME_TRAILER_LEN)?;
    let len = trailer.first_chunk().map(|len| u64::from(u32::from_le_bytes(*len)));
    let Some(offset) = len.and_then(|len| end.end_offset.checked_sub(len)) else {
        return Ok(false);
    };
    let (file, frames) = (Arc::clone(file), header.frames());
    let mut reader = FrameReader::new(file, frames, end.end_offset, READ_AHEAD_SHORT);
    let frame = reader.header(offset)?;
    Ok(frame.is_ok_and(|frame| {
        frame.generation == end.generation
            && frame.end_index() == end.end_index
            && frame.len(header.align_log2) == end.end_offset - offset
    }))
}

/// What is before the first frame of a segment, for its index.
pub(crate) fn index_origin(
    header: &SegmentHeader,
    pruned: Option<&PruneRecord>,
    keys: &LogKeys,
) -> Position {
    let mut origin = Position::start(&header.identity());
    if let Some(record) = pruned {
        origin.end_index = record.size();
        origin.change_count = record.state.change_count;
        origin.time_max = record.state.time_max;
        origin.root = record.state.peaks.root(keys);
    }
    origin
}

impl Log {
    /// The index of a generation that is about to be installed, whose file is `file`.
    pub(crate) fn index_of_next(
        &self,
        header: &SegmentHeader,
        pruned: Option<&PruneRecord>,
        file: &Arc<dyn DiskFile>,
    ) -> Result<Index, IoError> {
        let origin = index_origin(header, pruned, &self.keys);
        open_index(&self.disk, self.index.folder(), header.identity(), origin, file, header)
    }

    /// This log in the generation that was installed. Streams, redactions and decoded batches of entries are those of the
    /// log and stay; what is about the file is new.
    pub(crate) fn renewed(&self, installed: &Installed, index: Index) -> Arc<Self> {
        let Installed { file, header, salts, pruned, state } = installed;
        let view = View {
            end_offset: state.end_offset,
            entry_count: state.entry_count(),
            state: state.clone(),
            damage: None,
        };
        let renewed = Arc::new(Self {
            disk: Arc::clone(&self.disk),
            path: self.path.clone(),
            file: Arc::clone(file),
            header: header.clone(),
            keys: self.keys.clone(),
            salts: salts.clone(),
            pruned: pruned.clone(),
            index: Arc::new(index),
            feed: Arc::new(ReentrantMutex::new(())),
            durable_len: Arc::new(AtomicU64::new(state.end_offset)),
            view: Arc::new(RwLock::new(view)),
            cache: Arc::clone(&self.cache),
            core: OnceLock::new(),
            next: OnceLock::new(),
            streams: Arc::clone(&self.streams),
            redactions: Arc::clone(&self.redactions),
            keeps_index: self.keeps_index,
            seeks: AtomicU64::new(0),
            watcher: Arc::clone(&self.watcher),
        });
        if let Some(core) = self.core.get() {
            let _ = renewed.core.set(Arc::clone(core));
        }
        renewed
    }

    /// From now on `next` stands in the place of this generation: what it lacks is looked for there.
    pub(crate) fn superseded_by(&self, next: &Arc<Self>) {
        let _ = self.next.set(Arc::clone(next));
        self.cache.forget(self.id(), next.header.generation);
    }
}

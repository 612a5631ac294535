//! Frames are made up here: the index sees only summaries, so a log of a GiB costs nothing.

mod faults;
mod files;
mod model;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Declaration, DeclarationForm, FrameSummary, HEAD_LEN, Identity, Index, IndexError,
    NODE_LEVEL_MAX, NODE_LEVEL_MIN, Position, SPAN_LEN, STRETCH_LEN, SpanRef,
};
use crate::{
    bytes::{Hash, LogId, StreamId, Timestamp},
    io::{Access, Disk as _, OsDisk},
};

/// Splitmix64: enough for tests, and the same everywhere.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[derive(Clone, Debug)]
struct Frame {
    offset: u64,
    end_offset: u64,
    first_index: u64,
    entry_count: u32,
    change_count: u32,
    time_max: Option<Timestamp>,
    streams: Vec<StreamId>,
    declarations: Vec<Declaration>,
    nodes: Vec<(u32, u64, Hash)>,
    root: Hash,
}

impl Frame {
    fn summary(&self) -> FrameSummary<'_> {
        FrameSummary {
            generation: 3,
            offset: self.offset,
            end_offset: self.end_offset,
            first_index: self.first_index,
            entry_count: self.entry_count,
            change_count: self.change_count,
            time_max: self.time_max,
            streams: &self.streams,
            declarations: &self.declarations,
            nodes: &self.nodes,
            root: self.root,
        }
    }
}

/// A log, and what the index should say about it, straight from the rules.
#[derive(Clone, Debug)]
struct Model {
    random: Random,
    frames: Vec<Frame>,
    end: Position,
    stream_count: u32,
}

impl Model {
    fn new(seed: u64, start: Position) -> Self {
        Self { random: Random(seed), frames: Vec::new(), end: start, stream_count: 0 }
    }

    /// Appends frames until the log has `stretch_count` complete stretches.
    fn grow(&mut self, stretch_count: u64) {
        while self.end.end_offset < HEAD_LEN + STRETCH_LEN * stretch_count {
            let len = match self.random.below(20) {
                0..12 => 104 + self.random.below(2_000),
                12..18 => self.random.below(64 << 10) + 104,
                _ => self.random.below(600 << 10) + 104,
            };
            self.append(len.next_multiple_of(8));
        }
    }

    /// Appends a frame that ends where `stretch_count` stretches do.
    fn fill(&mut self, stretch_count: u64) {
        self.append(HEAD_LEN + STRETCH_LEN * stretch_count - self.end.end_offset);
    }

    /// Appends a frame of `len` bytes.
    fn append(&mut self, len: u64) -> &Frame {
        let random = &mut self.random;
        let is_batch = random.below(16) != 0;
        let entry_count = match (is_batch, random.below(8)) {
            (false, _) => 0,
            (true, 0) => 1 + random.below(3_000),
            (true, _) => 1 + random.below(40),
        };
        let first_index = self.end.end_index;
        let end_index = first_index + entry_count;
        let mut declarations = Vec::new();
        let mut streams = Vec::new();
        if is_batch {
            for _ in 0..random.below(3) {
                self.stream_count += 1;
                let (form, name_len) = match random.below(2) {
                    0 => (DeclarationForm::Name, usize::try_from(1 + random.below(255)).unwrap()),
                    _ => (DeclarationForm::Uuid, 16),
                };
                let index = first_index + random.below(entry_count);
                let stream = StreamId(self.stream_count);
                let name = vec![b'a'; name_len].into();
                declarations.push(Declaration { stream, form, name, index });
            }
            // Few streams are busy, most are rare.
            for _ in 0..=random.below(3) {
                let busy = self.stream_count.min(3);
                let among = if random.below(4) == 0 { self.stream_count } else { busy };
                streams.push(StreamId(u32::try_from(random.below(u64::from(among) + 1)).unwrap()));
            }
            streams.sort_unstable();
            streams.dedup();
        }
        let time_max = (is_batch && random.below(3) > 0)
            .then(|| Timestamp::from_micros(i64::try_from(random.below(1 << 40)).unwrap()));
        let offset = self.end.end_offset;
        let root = fake_hash(0, end_index);
        let change_count = u32::try_from(random.below(entry_count + 1)).unwrap();
        self.end = Position {
            generation: 3,
            end_offset: offset + len,
            end_index,
            change_count: self.end.change_count + u64::from(change_count),
            time_max: self.end.time_max.max(time_max),
            root,
        };
        self.frames.push(Frame {
            offset,
            end_offset: offset + len,
            first_index,
            entry_count: u32::try_from(entry_count).unwrap(),
            change_count,
            time_max,
            streams,
            declarations,
            nodes: completed_nodes(first_index, end_index),
            root,
        });
        self.frames.last().unwrap()
    }

    /// X-5, with the streams of each span.
    fn spans(&self) -> Vec<(SpanRef, Vec<StreamId>)> {
        let stretch = |offset: u64| (offset - HEAD_LEN) / STRETCH_LEN;
        let mut spans: Vec<(SpanRef, Vec<StreamId>)> = Vec::new();
        let (mut change_count, mut time_max) = (0, None);
        for frame in &self.frames {
            let continues = spans.last().is_some_and(|(span, _)| {
                stretch(span.offset) == stretch(frame.offset)
                    && (frame.entry_count == 0 || frame.offset - span.offset < SPAN_LEN)
            });
            if !continues {
                let span = SpanRef {
                    offset: frame.offset,
                    end_offset: 0,
                    first_index: frame.first_index,
                    end_index: 0,
                    change_count,
                    time_max: None,
                };
                spans.push((span, Vec::new()));
            }
            change_count += u64::from(frame.change_count);
            time_max = time_max.max(frame.time_max);
            let (span, streams) = spans.last_mut().unwrap();
            span.end_offset = frame.end_offset;
            span.end_index = frame.first_index + u64::from(frame.entry_count);
            span.time_max = time_max;
            streams.extend(&frame.streams);
        }
        spans
    }
}

/// The nodes that the entries from `first` to `end` complete, in the order in which they do.
fn completed_nodes(first: u64, end: u64) -> Vec<(u32, u64, Hash)> {
    let mut nodes = Vec::new();
    for size in (first + 1..=end).filter(|size| size % 64 == 0) {
        for level in NODE_LEVEL_MIN..=size.trailing_zeros().min(NODE_LEVEL_MAX) {
            let position = (size >> level) - 1;
            nodes.push((level, position, fake_hash(level, position)));
        }
    }
    nodes
}

fn fake_hash(level: u32, position: u64) -> Hash {
    let mut bytes = [0xA5; 32];
    bytes[..4].copy_from_slice(&level.to_le_bytes());
    bytes[4..12].copy_from_slice(&position.to_le_bytes());
    Hash::from_bytes(bytes)
}

fn identity() -> Identity {
    Identity { log: LogId::from_bytes([7; 16]), salt: [9; 16], generation: 3, carried_upto: 0 }
}

fn open(folder: &Path) -> Index {
    Index::open(Arc::new(OsDisk), folder.to_owned(), identity()).unwrap()
}

/// A folder below one that does not exist either.
fn cache_folder(temporary: &tempfile::TempDir) -> PathBuf {
    temporary.path().join("cache").join("log")
}

/// A log of `stretch_count` complete stretches and its index, all in files.
fn persisted_log(folder: &Path, seed: u64, stretch_count: u64) -> (Model, Index) {
    let index = open(folder);
    let mut model = Model::new(seed, index.position());
    model.grow(stretch_count);
    feed(&index, &model);
    index.persist(model.end.end_offset).unwrap();
    (model, index)
}

/// Pushes what the index has not seen yet.
fn feed(index: &Index, model: &Model) {
    let from = index.position().end_offset;
    for frame in model.frames.iter().filter(|frame| frame.offset >= from) {
        index.push(&frame.summary());
    }
}

/// All files of a folder with their bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = OsDisk.list(folder).unwrap();
    entries.into_iter().map(|entry| (entry.name.clone(), read(&folder.join(entry.name)))).collect()
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).into_keys().collect()
}

fn read(path: &Path) -> Vec<u8> {
    let file = OsDisk.open(path, Access::Read).unwrap();
    file.read_vec_at(0, usize::try_from(file.len().unwrap()).unwrap()).unwrap()
}

fn write(path: &Path, bytes: &[u8]) {
    crate::io::replace_file(&OsDisk, path, bytes).unwrap();
}

fn collect<T>(items: impl Iterator<Item = Result<T, IndexError>>) -> Vec<T> {
    items.map(Result::unwrap).collect()
}

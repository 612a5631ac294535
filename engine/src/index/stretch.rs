//! The stretch that frames are pushed into, before it becomes a run.

use std::collections::BTreeMap;

use super::{
    FRAME_LEN_MAX, FrameSummary, Identity, NODE_LEVEL_MAX, NODE_LEVEL_MIN, Position, SPAN_LEN,
    STRETCH_LEN, SpanRef,
    layout::{RunHeader, RunId, Span, StreamRow, stretch_start},
    types::Declaration,
};
use crate::bytes::{Hash, Put as _, StreamId};

/// The spans of a stretch that hold a stream: bit i is span i.
type SpanSet = u16;

const _: () = assert!(STRETCH_LEN / SPAN_LEN == SpanSet::BITS as u64, "one bit for each span");

/// The last stretch, which is not complete.
#[derive(Debug)]
pub(super) struct Stretch {
    number: u64,
    start: Position,
    end: Position,
    spans: Vec<Span>,
    /// By level from [`NODE_LEVEL_MIN`].
    nodes: Vec<Vec<Hash>>,
    node_count: usize,
    streams: BTreeMap<StreamId, SpanSet>,
    declarations: Vec<Declaration>,
    /// Encoded size of the declarations.
    declarations_len: usize,
}

impl Stretch {
    /// The stretch `number`, whose first frame will start at `start`.
    pub(super) fn new(number: u64, start: Position) -> Self {
        Self {
            number,
            start,
            end: start,
            spans: Vec::new(),
            nodes: (NODE_LEVEL_MIN..=NODE_LEVEL_MAX).map(|_| Vec::new()).collect(),
            node_count: 0,
            streams: BTreeMap::new(),
            declarations: Vec::new(),
            declarations_len: 0,
        }
    }

    /// Adds a frame that starts in this stretch.
    ///
    /// # Panics
    ///
    /// If the frame does not continue at the end, or its nodes are not those that it completes.
    pub(super) fn push(&mut self, frame: &FrameSummary<'_>) {
        assert_eq!(frame.offset, self.end.end_offset, "frames are pushed without gaps");
        assert_eq!(frame.first_index, self.end.end_index, "entries are pushed without gaps");
        assert!(frame.end_offset > frame.offset, "a frame has a length");
        assert!(frame.end_offset - frame.offset <= FRAME_LEN_MAX, "a frame has a limit");
        //
        let starts_span = self
            .spans
            .last()
            .is_none_or(|span| frame.entry_count > 0 && frame.offset - span.offset >= SPAN_LEN);
        if starts_span {
            self.spans.push(Span {
                offset: frame.offset,
                first_index: frame.first_index,
                change_count: self.end.change_count,
                time_max: None,
            });
        }
        self.end = Position {
            end_offset: frame.end_offset,
            generation: frame.generation,
            end_index: frame.first_index + u64::from(frame.entry_count),
            change_count: self.end.change_count + u64::from(frame.change_count),
            time_max: self.end.time_max.max(frame.time_max),
            root: frame.root,
        };
        if let Some(span) = self.spans.last_mut() {
            span.time_max = self.end.time_max;
        }
        let bit = 1 << (self.spans.len() - 1);
        for &stream in frame.streams {
            *self.streams.entry(stream).or_default() |= bit;
        }
        for declaration in frame.declarations {
            assert!(declaration.is_sound(), "a declared name keeps E-3");
            self.declarations_len += declaration.encoded_len();
            self.declarations.push(declaration.clone());
        }
        self.push_nodes(frame.nodes);
    }

    fn push_nodes(&mut self, nodes: &[(u32, u64, Hash)]) {
        for &(level, position, hash) in nodes {
            let Some(of_level) = level_slot(level).and_then(|slot| self.nodes.get_mut(slot)) else {
                panic!("a node of level {level} does not belong into the index");
            };
            let next = (self.start.end_index >> level) + of_level.len() as u64;
            assert_eq!(position, next, "nodes of level {level} come in order");
            of_level.push(hash);
        }
        self.node_count += nodes.len();
        for (level, of_level) in (NODE_LEVEL_MIN..).zip(&self.nodes) {
            let (first, end) = (self.start.end_index >> level, self.end.end_index >> level);
            assert_eq!(of_level.len() as u64, end - first, "all nodes of level {level} come");
            if first == end {
                // So it is on all levels above.
                break;
            }
        }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn start(&self) -> &Position {
        &self.start
    }

    pub(super) const fn end(&self) -> &Position {
        &self.end
    }

    /// Whether no frame can start in it any more.
    pub(super) const fn is_complete(&self) -> bool {
        self.end.end_offset >= stretch_start(self.number + 1)
    }

    /// About how many bytes it takes.
    pub(super) fn len(&self) -> usize {
        self.spans.len() * Span::LEN
            + self.node_count * Hash::LEN
            + self.streams.len() * size_of::<(StreamId, SpanSet)>()
            + self.declarations_len
    }

    pub(super) fn declarations(&self) -> &[Declaration] {
        &self.declarations
    }

    /// Its spans.
    pub(super) fn spans(&self) -> impl DoubleEndedIterator<Item = SpanRef> {
        (0..self.spans.len()).map(|number| self.span(number))
    }

    /// Its spans that hold an entry of `stream`.
    pub(super) fn spans_of(&self, stream: StreamId) -> impl DoubleEndedIterator<Item = SpanRef> {
        let set = self.streams.get(&stream).copied().unwrap_or(0);
        (0..self.spans.len()).filter(move |number| set >> number & 1 == 1).map(|n| self.span(n))
    }

    /// The hash of a perfect subtree whose last leaf lies here.
    pub(super) fn node(&self, level: u32, position: u64) -> Option<Hash> {
        let at = position.checked_sub(self.start.end_index >> level)?;
        self.nodes.get(level_slot(level)?)?.get(usize::try_from(at).ok()?).copied()
    }

    /// As a run of level 0: the header, and the content that starts with it.
    ///
    /// # Panics
    ///
    /// If the frames contradict the limits of L-1.
    pub(super) fn encode(&self, identity: &Identity) -> (RunHeader, Vec<u8>) {
        let count =
            |len: usize| u32::try_from(len).expect("L-1 keeps the counts of a stretch small");
        let posting_count = self.streams.values().map(|set| set.count_ones()).sum();
        let header = RunHeader {
            id: RunId::of_stretch(self.number),
            start_offset: self.start.end_offset,
            first_index: self.start.end_index,
            end: self.end,
            span_count: count(self.spans.len()),
            stream_count: count(self.streams.len()),
            posting_count,
            declaration_count: count(self.declarations.len()),
            declarations_len: count(self.declarations_len),
        };
        let mut content = header.encode(identity);
        for span in &self.spans {
            span.encode(&mut content);
        }
        for hash in self.nodes.iter().flatten() {
            content.put(hash.as_bytes());
        }
        let mut first_posting = 0;
        for (&stream, set) in &self.streams {
            let row = StreamRow { stream, first_posting, posting_count: set.count_ones() };
            content.put(&row.encode());
            first_posting += row.posting_count;
        }
        for set in self.streams.values() {
            (0..SpanSet::BITS).filter(|span| set >> span & 1 == 1).for_each(|s| content.put_u32(s));
        }
        for declaration in &self.declarations {
            declaration.encode(&mut content);
        }
        (header, content)
    }

    fn span(&self, number: usize) -> SpanRef {
        let span = &self.spans[number];
        let (end_offset, end_index) = match self.spans.get(number + 1) {
            Some(next) => (next.offset, next.first_index),
            None => (self.end.end_offset, self.end.end_index),
        };
        span.to_ref(end_offset, end_index)
    }
}

fn level_slot(level: u32) -> Option<usize> {
    usize::try_from(level.checked_sub(NODE_LEVEL_MIN)?).ok()
}

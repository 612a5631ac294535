//! One log: its segment file, written by one appender, read by many.
//!
//! - `head`, `checkpoint`: the fixed part of the file, pure;
//! - `frames`, `replay`: walking frames, and what their batches do to the log's state;
//! - `recover`: what is behind the last checkpoint, torn or rotten;
//! - `change`, `stage`, `press`, `commit`, `appender`: from many threads to one file, durably;
//! - `pruned`: what is kept of entries that are gone;
//! - `generation`: a segment written anew beside the old one;
//! - `seek`: a place in the file without an index;
//! - `read`, `scan`, `tree`, `redactions`: entries, ranges of them, proofs, and what was taken back;
//! - `lock`: one writer, and what it tells other processes.

mod appender;
mod cache;
mod change;
mod checkpoint;
mod commit;
mod declare;
mod entry;
mod first;
mod forget;
mod frames;
mod generation;
mod head;
mod lock;
mod open;
mod press;
mod pruned;
mod read;
mod recover;
mod redactions;
mod reindex;
mod renewed;
mod replay;
mod scan;
mod seek;
mod segment;
mod stage;
mod tree;
mod visit;
mod waste;

pub use self::{
    appender::Durability,
    change::Change,
    commit::{AppendError, Progress},
    entry::Entry,
    frames::FrameFault,
    head::{HEAD_LEN, HeadError, Predecessor, SegmentHeader, UNIT_LEN, UnitState},
    read::ReadError,
    recover::Verdict,
    redactions::Absent,
    replay::ReplayError,
    scan::{Direction, Scan},
    segment::SegmentError,
    visit::EntryRef,
};
pub(crate) use self::{
    appender::{Appender, AppenderStart, BatchRefused, INDEX_PART_LEN_MAX, Learner},
    cache::BatchCache,
    change::Stamp,
    checkpoint::{Checkpoint, LogState, Slot},
    commit::{Assigned, Core, Hooks, SwitchError},
    declare::DeclareError,
    first::{Begun, begin_segment},
    forget::without_erased,
    frames::{FrameReader, READ_AHEAD_LONG, READ_AHEAD_SHORT, follows},
    generation::{Beginning, Carried, InstallError, NextGeneration},
    head::WRITER,
    lock::{Published, Publisher, Writer, last_published, lock_for_writing, look_for_writer},
    open::{OpenAs, OpenLog, OpenLogError, WriterOptions, hooks, save_cut},
    pruned::{KeptEntry, PruneRecord},
    read::{Log, Place, Step, UNINDEXED_LEN_MAX, position_in},
    recover::judge,
    replay::{Hasher, Replay, decode_for},
    scan::{Filter, is_change},
    segment::{Segment, checkpoint_context, slot_offset},
    visit::Head,
};

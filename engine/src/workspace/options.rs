//! How a workspace is opened.

use std::{fmt, sync::Arc};

use super::AutoCompact;
use crate::{
    Timestamp,
    assets::StoreOptions,
    frame::{FRAME_ALIGN_LOG2_MAX, FRAME_ALIGN_LOG2_MIN},
    log::{Durability, WriterOptions},
};

/// A shared pack of this length is left for the next one (K-9).
const SHARED_LEN_MAX: u64 = 256 << 20;

/// Where the time of a change comes from that brings none.
#[derive(Clone, Default)]
pub enum Clock {
    /// The wall clock of the machine.
    #[default]
    System,
    /// Nowhere: such changes have no time.
    None,
    /// The host application.
    Custom(Arc<dyn Fn() -> Option<Timestamp> + Send + Sync>),
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::None => "None",
            Self::Custom(_) => "Custom",
        })
    }
}

/// How a [`Workspace`](crate::Workspace) is created or opened. The defaults are safe to ship.
///
/// # Examples
///
/// ```
/// use annals::{Clock, Options};
///
/// let options = Options::default().cache_len(1 << 20).clock(Clock::None);
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a workspace is opened with them"]
pub struct Options {
    durability: Durability,
    batch_len: usize,
    compression_level: i32,
    cache_len: usize,
    staged_len: usize,
    preallocate: usize,
    pub(crate) clock: Clock,
    align_log2: u8,
    asset_single_min: usize,
    pub(super) auto_compact: Option<AutoCompact>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            batch_len: 28 << 10,
            compression_level: 1,
            cache_len: 16 << 20,
            staged_len: 2 << 20,
            preallocate: 256 << 10,
            clock: Clock::System,
            align_log2: FRAME_ALIGN_LOG2_MIN,
            asset_single_min: 4 << 20,
            auto_compact: None,
        }
    }
}

impl Options {
    /// What a commit waits for (default: [`Durability::Full`]).
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Target of the uncompressed length of a batch in bytes (default: 28 KiB; 1 KiB to 8 MiB).
    ///
    /// A larger one compresses better; a smaller one makes reading a single entry cheaper.
    pub fn batch_len(mut self, bytes: usize) -> Self {
        self.batch_len = bytes.clamp(1 << 10, 8 << 20);
        self
    }

    /// Level of zstd (default: 1).
    pub fn compression_level(mut self, level: i32) -> Self {
        self.compression_level = level;
        self
    }

    /// Bytes of decoded batches that are kept for reading (default: 16 MiB).
    pub fn cache_len(mut self, bytes: usize) -> Self {
        self.cache_len = bytes;
        self
    }

    /// Bytes of changes that may wait to be written; then appending waits as well (default: 2 MiB).
    pub fn staged_len(mut self, bytes: usize) -> Self {
        self.staged_len = bytes.clamp(64 << 10, 1 << 30);
        self
    }

    /// Most bytes of zeros that are written ahead of the log, into which later commits go (default: 256 KiB; at most
    /// 16 MiB; 0: none). Asked for when the log is made: one that was made with 0 stays without.
    ///
    /// A sync need not lengthen the file then, which saves a third of its time on ext4. The zeros double what was
    /// appended since opening until there are so many; they come with a write that is made anyway, and go when
    /// the workspace is closed.
    pub fn preallocate(mut self, bytes: usize) -> Self {
        self.preallocate = bytes.min(16 << 20);
        self
    }

    /// Where the time of changes comes from that bring none (default: [`Clock::System`]).
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Starts every frame of new logs at a multiple of 4096 bytes, for devices that may destroy
    /// neighbouring bytes of a sector when power fails. Costs about 2 KiB per commit.
    pub fn aligned_frames(mut self) -> Self {
        self.align_log2 = FRAME_ALIGN_LOG2_MAX;
        self
    }

    /// Assets longer than this get a file of their own (default: 4 MiB; 64 KiB to 64 MiB). Shorter ones are held in
    /// memory while they are added.
    pub fn asset_single_min(mut self, bytes: usize) -> Self {
        self.asset_single_min = bytes.clamp(64 << 10, 64 << 20);
        self
    }

    /// Compacts this client's log by itself, in the background; off by default. See [`AutoCompact`].
    pub fn auto_compact(mut self, when: AutoCompact) -> Self {
        self.auto_compact = Some(when);
        self
    }

    pub(crate) fn store(&self) -> StoreOptions {
        StoreOptions {
            single_min: self.asset_single_min,
            level: self.compression_level,
            shared_len_max: SHARED_LEN_MAX,
        }
    }

    pub(crate) fn align_log2(&self) -> u8 {
        self.align_log2
    }

    pub(crate) fn preallocates(&self) -> bool {
        self.preallocate > 0
    }

    pub(crate) fn cache_budget(&self) -> usize {
        self.cache_len
    }

    pub(crate) fn writer(&self) -> WriterOptions {
        WriterOptions {
            durability: self.durability,
            batch_len: self.batch_len,
            level: self.compression_level,
            preallocate: self.preallocate as u64,
            staged_len_max: self.staged_len.max(2 * self.batch_len),
        }
    }
}

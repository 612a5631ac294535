//! BLAKE3 of many short messages side by side.
//!
//! A batch is hashed as some hundred messages of one or two blocks: payloads, leaves, nodes. One such message is a
//! chain of steps that wait for each other, which leaves most of a processor idle. Here each step is done for as
//! many messages as a vector has lanes: 4, 8 or 16. The crate `blake3` does that inside of one long message, but not
//! across messages.
//!
//! ```text
//! message      blocks of 64 bytes     chunks (16 blocks)     lanes of one step
//! 30 bytes     #                      #                      | # |
//! 124 bytes    # #                    ##                     | # |  then | # |
//! 1040 bytes   # # .. #               ################ and # | # |  .. 16 steps, then their parent
//! longer                              left to `blake3`, which has lanes of its own for them
//! ```
//!
//! The hashes are those of [`blake3::keyed_hash`], bit for bit: a test compares them on each kind of processor that
//! the machine can act as.

mod kernel;

use fearless_simd::Level;

use super::Hash;

/// Length of a block.
const BLOCK_LEN: usize = 64;
/// Length of a chunk.
const CHUNK_LEN: usize = 1024;
/// Longer messages are left to `blake3`.
const MESSAGE_LEN_MAX: usize = 2 * CHUNK_LEN;
/// Fewer messages are faster one by one.
const MESSAGE_COUNT_MIN: usize = 4;

/// Flags of the compression function, as the paper on BLAKE3 has them (section 2.2).
mod flags {
    pub(super) const CHUNK_START: u32 = 1;
    pub(super) const CHUNK_END: u32 = 1 << 1;
    pub(super) const PARENT: u32 = 1 << 2;
    pub(super) const ROOT: u32 = 1 << 3;
    pub(super) const KEYED: u32 = 1 << 4;
}

/// Messages that wait to be hashed with one key. Keeps its memory from one use to the next.
#[derive(Debug)]
pub(crate) struct Lanes {
    level: Level,
    key: [u8; 32],
    /// The messages, each from the start of a block on; what is behind its end is zero.
    blocks: Vec<[u8; BLOCK_LEN]>,
    messages: Vec<Message>,
    /// One for each message that was pushed.
    hashes: Vec<Hash>,
    chunks: Vec<Chunk>,
    /// One for each chunk.
    values: Vec<[u8; 32]>,
    /// The values of both chunks, for each message that has two.
    parents: Vec<[u8; BLOCK_LEN]>,
}

/// A message that is not hashed yet.
#[derive(Clone, Copy, Debug)]
struct Message {
    first_block: usize,
    len: usize,
    /// Its number among all that were pushed.
    number: usize,
}

/// Blocks that are compressed one after the other.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    first_block: usize,
    block_count: usize,
    /// Length of the last block.
    last_len: u32,
    /// Number of the chunk in its message.
    counter: u32,
    /// Flags of the first block.
    first_flags: u32,
    /// Flags of the last block; both if there is one only.
    last_flags: u32,
    target: Target,
}

/// What the value of a chunk is.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// The hash of the message with this number.
    Hash(usize),
    /// The left half of this parent.
    Left(usize),
    /// Its right half.
    Right(usize),
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self::at(Level::new())
    }

    fn at(level: Level) -> Self {
        Self {
            level,
            key: [0; 32],
            blocks: Vec::new(),
            messages: Vec::new(),
            hashes: Vec::new(),
            chunks: Vec::new(),
            values: Vec::new(),
            parents: Vec::new(),
        }
    }

    /// Begins anew: what is pushed from here on is hashed with `key`.
    pub(crate) fn start(&mut self, key: &[u8; 32]) {
        self.key = *key;
        self.blocks.clear();
        self.messages.clear();
        self.hashes.clear();
    }

    /// Adds the message that consists of `head` and `tail`.
    #[inline]
    pub(crate) fn push(&mut self, head: &[u8], tail: &[u8]) {
        let (number, len) = (self.hashes.len(), head.len() + tail.len());
        if len > MESSAGE_LEN_MAX {
            let mut hasher = blake3::Hasher::new_keyed(&self.key);
            hasher.update(head).update(tail);
            self.hashes.push(Hash::from_bytes(hasher.finalize().into()));
            return;
        }
        let first_block = self.blocks.len();
        // The empty message has a block as well.
        self.blocks.resize(first_block + len.div_ceil(BLOCK_LEN).max(1), [0; BLOCK_LEN]);
        let bytes = self.blocks[first_block..].as_flattened_mut();
        bytes[..head.len()].copy_from_slice(head);
        bytes[head.len()..len].copy_from_slice(tail);
        self.messages.push(Message { first_block, len, number });
        self.hashes.push(Hash::ZERO);
    }

    /// Adds a message of which only the hash is known.
    pub(crate) fn push_hash(&mut self, hash: Hash) {
        self.hashes.push(hash);
    }

    /// Hashes what was pushed. The hashes are in the order of pushing.
    pub(crate) fn finish(&mut self) -> &[Hash] {
        if self.messages.len() < MESSAGE_COUNT_MIN {
            for message in &self.messages {
                let bytes = &self.blocks[message.first_block..].as_flattened()[..message.len];
                let hash = blake3::keyed_hash(&self.key, bytes);
                self.hashes[message.number] = Hash::from_bytes(hash.into());
            }
            return &self.hashes;
        }
        self.chunks.clear();
        self.parents.clear();
        let mut pairs = Vec::new();
        for message in &self.messages {
            if message.len <= CHUNK_LEN {
                self.chunks.push(Chunk::whole(message));
            } else {
                self.chunks.extend(Chunk::halves(message, pairs.len()));
                self.parents.push([0; BLOCK_LEN]);
                pairs.push(message.number);
            }
        }
        self.compress();
        if !pairs.is_empty() {
            std::mem::swap(&mut self.blocks, &mut self.parents);
            self.chunks.clear();
            self.chunks.extend(pairs.into_iter().enumerate().map(|(n, of)| Chunk::parent(n, of)));
            self.compress();
        }
        &self.hashes
    }

    /// Compresses all chunks and puts their values where they belong.
    fn compress(&mut self) {
        // Chunks that lie side by side take as many steps as the longest of them.
        if !self.chunks.is_sorted_by_key(|chunk| chunk.block_count) {
            self.chunks.sort_unstable_by_key(|chunk| chunk.block_count);
        }
        self.values.resize(self.chunks.len(), [0; 32]);
        kernel::compress(self.level, &self.key, &self.blocks, &self.chunks, &mut self.values);
        for (chunk, value) in self.chunks.iter().zip(&self.values) {
            match chunk.target {
                Target::Hash(number) => self.hashes[number] = Hash::from_bytes(*value),
                Target::Left(parent) => self.parents[parent][..32].copy_from_slice(value),
                Target::Right(parent) => self.parents[parent][32..].copy_from_slice(value),
            }
        }
    }
}

impl Chunk {
    /// The only chunk of a message.
    fn whole(message: &Message) -> Self {
        Self::new(message.first_block, message.len, 0, Target::Hash(message.number))
    }

    /// The two chunks of a message, below the parent with this number.
    fn halves(message: &Message, parent: usize) -> [Self; 2] {
        let second_block = message.first_block + CHUNK_LEN / BLOCK_LEN;
        [
            Self::new(message.first_block, CHUNK_LEN, 0, Target::Left(parent)),
            Self::new(second_block, message.len - CHUNK_LEN, 1, Target::Right(parent)),
        ]
    }

    fn new(first_block: usize, len: usize, counter: u32, target: Target) -> Self {
        let block_count = len.div_ceil(BLOCK_LEN).max(1);
        let last_len = len - (block_count - 1) * BLOCK_LEN;
        let root = if matches!(target, Target::Hash(_)) { flags::ROOT } else { 0 };
        Self {
            first_block,
            block_count,
            last_len: u32::try_from(last_len).expect("at most the length of a block"),
            counter,
            first_flags: flags::KEYED | flags::CHUNK_START,
            last_flags: flags::KEYED | flags::CHUNK_END | root,
            target,
        }
    }

    /// The parent of both chunks of the message `number`.
    fn parent(block: usize, number: usize) -> Self {
        let flags = flags::KEYED | flags::PARENT | flags::ROOT;
        Self {
            first_flags: flags,
            last_flags: flags,
            ..Self::new(block, BLOCK_LEN, 0, Target::Hash(number))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What this processor can do, and less.
    fn levels() -> Vec<Level> {
        let level = Level::new();
        let mut levels = vec![level];
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        {
            levels.extend(level.as_avx2().map(Level::Avx2));
            levels.extend(level.as_sse4_2().map(Level::Sse4_2));
            levels.extend(level.as_sse2().map(Level::Sse2));
        }
        levels
    }

    fn check(key: [u8; 32], messages: &[Vec<u8>], split: usize) {
        for level in levels() {
            let mut lanes = Lanes::at(level);
            // What was there before must not matter.
            lanes.start(&[1; 32]);
            lanes.push(b"something", b" else");
            lanes.start(&key);
            for message in messages {
                let (head, tail) = message.split_at(split.min(message.len()));
                lanes.push(head, tail);
            }
            let expected: Vec<Hash> = messages
                .iter()
                .map(|message| Hash::from_bytes(blake3::keyed_hash(&key, message).into()))
                .collect();
            assert_eq!(lanes.finish(), expected, "{level:?}");
        }
    }

    /// All lengths up to those that are left to `blake3`, by themselves and side by side.
    #[test]
    fn each_length_gives_the_hash_of_blake3() {
        let message = |len: usize| -> Vec<u8> { (0..=250).cycle().take(len).collect() };
        let messages: Vec<_> = (0..=MESSAGE_LEN_MAX + 1).map(message).collect();
        check([7; 32], &messages, 16);
        for count in 0..40 {
            check([9; 32], &messages[60..60 + count], 16);
            check([9; 32], &vec![message(1040); count], 16);
        }
    }

    #[test]
    fn a_known_hash_keeps_its_place() {
        let mut lanes = Lanes::new();
        lanes.start(&[3; 32]);
        lanes.push(b"a", b"");
        lanes.push_hash(Hash::from_bytes([5; 32]));
        for _ in 0..5 {
            lanes.push(b"", b"b");
        }
        let hash = |message: &[u8]| Hash::from_bytes(blake3::keyed_hash(&[3; 32], message).into());
        let hashes = lanes.finish();
        assert_eq!(hashes[..3], [hash(b"a"), Hash::from_bytes([5; 32]), hash(b"b")]);
        assert_eq!(hashes.len(), 7);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_messages_give_the_hashes_of_blake3(
            key: [u8; 32],
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2100), 0..40),
            split in 0..80_usize,
        ) {
            check(key, &messages, split);
        }
    }
}

//! Losing power: which of the pending operations the disk turns out to hold.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    SECTOR_LEN,
    content::Content,
    image::{Image, InodeId, Pending},
    inode::FileOp,
    random::Random,
};

/// What a power loss takes of what is pending.
///
/// Pending operations are numbered from 0 in the order in which they were issued, over all files and names;
/// [`SimDisk::pending_len`](super::SimDisk::pending_len) says how many there are. A write that extends a file
/// is two of them, its length and its data; a rename between two folders is two, one in each.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// All that is pending is lost: only what was synced is there.
    Everything,
    /// Nothing is lost: what programs saw is there.
    Nothing,
    /// Only this operation is lost.
    Only(usize),
    /// All but this operation is lost.
    AllBut(usize),
    /// This operation and all that were issued after it are lost.
    From(usize),
    /// These operations are lost.
    These(BTreeSet<usize>),
    /// Each operation is lost or kept by itself, and so is each sector of 512 bytes of a write; a sector can
    /// also be torn, so that the first or the last of its new bytes are kept. How much is lost and torn is
    /// drawn once for each loss, from nearly nothing to nearly everything.
    Random {
        /// The same seed on the same machine loses the same.
        seed: u64,
        /// Sectors can also come to hold random bytes where they were written to.
        garbage: bool,
    },
}

/// What becomes of one operation after the other.
enum Judge<'a> {
    Chosen(&'a Loss),
    Random(Box<Dice>),
}

/// How a random loss goes; shares are of 64.
struct Dice {
    random: Random,
    data_kept: u64,
    lens_kept: u64,
    names_kept: u64,
    /// Writes of which the sectors have fates of their own.
    split: u64,
    /// Sectors that are torn.
    torn: u64,
    /// Sectors that come to hold garbage.
    garbage: u64,
}

impl Dice {
    fn new(seed: u64, garbage: bool) -> Self {
        let mut random = Random::new(seed);
        let share = |random: &mut Random| [1, 8, 16, 32, 48, 56, 63][random.place(7)];
        let data_kept = share(&mut random);
        // Half of the losses treat all alike, so that some lose or keep nearly everything.
        let apart = random.chance(1, 2);
        let lens_kept = if apart { share(&mut random) } else { data_kept };
        let names_kept = if apart { share(&mut random) } else { data_kept };
        let split = [0, 16, 32, 64][random.place(4)];
        let torn = [0, 4, 16][random.place(3)];
        let garbage = if garbage { [0, 4, 16][random.place(3)] } else { 0 };
        Self { random, data_kept, lens_kept, names_kept, split, torn, garbage }
    }

    fn keeps(&mut self, share: u64) -> bool {
        self.random.chance(share, 64)
    }

    /// Applies what is kept of a write, sector by sector.
    fn tear(&mut self, content: &mut Content, bytes: &[u8], offset: u64) {
        let in_order = self.random.chance(1, 4);
        let sectors = sectors_of(offset, bytes.len());
        let count = sectors.clone().count();
        let kept_first = self.random.place(count + 1);
        for (number, (start, end)) in sectors.enumerate() {
            let new = &bytes[start..end];
            let at = offset + start as u64;
            let put = |content: &mut Content, bytes: &[u8], at: u64| {
                content.put(bytes, at).expect("it was stored there before");
            };
            if self.keeps(self.garbage) {
                let mut garbage = vec![0; new.len()];
                self.random.fill(&mut garbage);
                put(content, &garbage, at);
            } else if self.keeps(self.torn) {
                let len = self.random.place(new.len() + 1);
                if self.random.chance(1, 2) {
                    put(content, &new[..len], at);
                } else {
                    let skipped = new.len() - len;
                    put(content, &new[skipped..], at + skipped as u64);
                }
            } else {
                // A write that was cut off in the middle is the most common of all.
                let kept = if in_order { number < kept_first } else { self.keeps(self.data_kept) };
                if kept {
                    put(content, new, at);
                }
            }
        }
    }
}

impl Judge<'_> {
    fn keeps_chosen(loss: &Loss, number: usize) -> bool {
        match loss {
            Loss::Everything => false,
            Loss::Nothing | Loss::Random { .. } => true,
            Loss::Only(lost) => number != *lost,
            Loss::AllBut(kept) => number == *kept,
            Loss::From(lost) => number < *lost,
            Loss::These(lost) => !lost.contains(&number),
        }
    }

    fn keeps_name(&mut self, number: usize) -> bool {
        match self {
            Self::Chosen(loss) => Self::keeps_chosen(loss, number),
            Self::Random(dice) => dice.keeps(dice.names_kept),
        }
    }

    fn apply(&mut self, number: usize, op: &FileOp, content: &mut Content) {
        let dice = match self {
            Self::Chosen(loss) => {
                if Self::keeps_chosen(loss, number) {
                    op.apply(content);
                }
                return;
            }
            Self::Random(dice) => dice,
        };
        match op {
            FileOp::Len { .. } => {
                if dice.keeps(dice.lens_kept) {
                    op.apply(content);
                }
            }
            FileOp::Data { offset, bytes } => {
                if dice.keeps(dice.split) {
                    dice.tear(content, bytes, *offset);
                } else if dice.keeps(dice.data_kept) {
                    op.apply(content);
                }
            }
        }
    }
}

/// What is found when power is back.
pub(super) fn lose(image: &Image, loss: &Loss) -> Image {
    let mut judge = match loss {
        Loss::Random { seed, garbage } => Judge::Random(Box::new(Dice::new(*seed, *garbage))),
        chosen => Judge::Chosen(chosen),
    };
    let mut names = (*image.durable).clone();
    let mut contents: BTreeMap<InodeId, Content> = BTreeMap::new();
    for (number, pending) in image.pending().into_iter().enumerate() {
        match pending {
            Pending::Name(at) => {
                if judge.keeps_name(number) {
                    image.name_ops[at].apply(&mut names);
                }
            }
            Pending::File(id, at) => {
                let inode = &image.inodes[&id];
                let content = contents.entry(id).or_insert_with(|| inode.durable.clone());
                judge.apply(number, &inode.ops[at].op, content);
            }
        }
    }
    image.rebuilt(&names, |id, inode| {
        let mut content = contents.remove(&id).unwrap_or_else(|| inode.durable.clone());
        content.discard_from(content.len());
        content
    })
}

/// The parts of a write of `len` bytes at `offset` that lie in one sector each: start and end in the write.
pub(super) fn sectors_of(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let within =
        usize::try_from(offset % SECTOR_LEN as u64).expect("it is below the sector length");
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = ((within + start) / SECTOR_LEN + 1) * SECTOR_LEN - within;
        let part = (start < len).then_some((start, end.min(len)));
        start = end;
        part
    })
}

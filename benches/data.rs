//! Entries that look like what applications append: the same in each run, and compressing as real data does.

use criterion::Throughput;

use crate::text::Source;

/// A kind of entry that is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Operations of an editor, 10 to 40 bytes: where, how much is deleted, what is typed.
    Keystroke,
    /// Changes of a CRDT, about 100 bytes: small numbers, ids that repeat, some text.
    Change,
    /// Documents of 1 KiB: JSON whose keys repeat, with text.
    Document,
}

/// Payloads, one behind the other in memory.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Kind {
    /// All kinds, short entries first.
    pub const ALL: [Self; 3] = [Self::Keystroke, Self::Change, Self::Document];

    /// Its name in the reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keystroke => "keystroke",
            Self::Change => "change",
            Self::Document => "document",
        }
    }

    /// As many entries as make up a log where nothing else is said: some MB.
    pub fn entries(self) -> Entries {
        self.first(match self {
            Self::Keystroke => 200_000,
            Self::Change => 100_000,
            Self::Document => 10_000,
        })
    }

    /// The first `count` entries of an endless sequence.
    pub fn first(self, count: usize) -> Entries {
        let mut source = Source::new();
        let mut entries = Entries::default();
        for _ in 0..count {
            let text = &mut entries.bytes;
            match self {
                Self::Keystroke => source.keystroke(text),
                Self::Change => source.change(text),
                Self::Document => source.document(text),
            }
            entries.ends.push(text.len());
        }
        entries
    }
}

impl Entries {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All payloads without anything in between.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The payload of entry `index`.
    pub fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    /// The payloads in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Length of the first `count` payloads together.
    pub fn first_len(&self, count: usize) -> usize {
        count.checked_sub(1).map_or(0, |last| self.ends[last])
    }

    /// What an iteration over all of them does.
    pub fn throughput(&self) -> Throughput {
        Throughput::ElementsAndBytes { elements: self.len() as u64, bytes: self.bytes.len() as u64 }
    }

    /// What an iteration over `count` of them does, by their mean length.
    pub fn throughput_of(&self, count: u64) -> Throughput {
        let bytes = self.bytes.len() as u64 * count / self.len() as u64;
        Throughput::ElementsAndBytes { elements: count, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    /// Real editing traces and CRDT changes were measured to compress about so.
    #[test]
    fn entries_compress_as_real_ones() {
        let expected = [
            (Kind::Keystroke, 10..=40, 42),
            (Kind::Change, 60..=160, 43),
            (Kind::Document, 1024..=1024, 21),
        ];
        for (kind, lens, percent) in expected {
            let entries = kind.first(2_000_000 / lens.end());
            assert!(entries.iter().all(|entry| lens.contains(&entry.len())), "{kind:?}");
            let blocks = entries.bytes().chunks(64 << 10);
            let compressed: usize =
                blocks.map(|block| zstd::bulk::compress(block, 1).expect("zstd works").len()).sum();
            let ratio = 100 * compressed / entries.bytes().len();
            assert!(ratio.abs_diff(percent) <= 1, "{kind:?}: {ratio} %");
        }
    }

    #[test]
    fn entries_are_the_same_each_time() {
        for kind in Kind::ALL {
            let (some, more) = (kind.first(10), kind.first(20));
            assert!(some.iter().eq(more.iter().take(10)), "{kind:?}");
        }
    }
}

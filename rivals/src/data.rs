//! Entries to measure with: the same in every run, made before any clock starts.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// A kind of entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// 10 to 40 bytes: what an editor tells of one key.
    Keystroke,
    /// About 100 bytes: a change of a CRDT with ids that repeat, small numbers and some text.
    Change,
    /// 1 KiB: a record in JSON.
    Document,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Keystroke, Self::Change, Self::Document];

    /// Its name in cases.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keystroke => "keystroke",
            Self::Change => "change",
            Self::Document => "document",
        }
    }

    /// So many of them.
    pub(crate) fn entries(self, count: usize) -> Entries {
        let mut random = Random(0x2545_F491_4F6C_DD1D);
        let mut entries = Entries::with_capacity(count, count * self.mean_len());
        let mut writer = Writer { cursor: 2000, clock: 0, words: WORDS.split(' ').collect() };
        for _ in 0..count {
            match self {
                Self::Keystroke => writer.keystroke(&mut random, &mut entries.bytes),
                Self::Change => writer.change(&mut random, &mut entries.bytes),
                Self::Document => writer.document(&mut random, &mut entries.bytes),
            }
            entries.ends.push(entries.bytes.len());
        }
        entries
    }

    /// A bit more than the mean length, in bytes.
    fn mean_len(self) -> usize {
        match self {
            Self::Keystroke => 25,
            Self::Change => 110,
            Self::Document => 1024,
        }
    }
}

/// Payloads one after the other.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Entries {
    fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(count) }
    }

    /// The changes of all editing traces (`*.json.gz`) in a folder, in the order of their names.
    ///
    /// A trace is `{"txns": [{"patches": ..}, ..]}`; a payload is the JSON of the patches of one of them.
    pub(crate) fn of_traces(folder: &Path) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Trace {
            txns: Vec<Transaction>,
        }
        #[derive(serde::Deserialize)]
        struct Transaction {
            patches: serde_json::Value,
        }
        let paths = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let mut paths =
            paths.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        paths.retain(|path| path.to_string_lossy().ends_with(".json.gz"));
        paths.sort();
        ensure!(!paths.is_empty(), "{}: no *.json.gz in it", folder.display());
        let mut entries = Self::default();
        for path in paths {
            let file = flate2::read::GzDecoder::new(std::fs::File::open(&path)?);
            let trace: Trace = serde_json::from_reader(std::io::BufReader::new(file))
                .with_context(|| path.display().to_string())?;
            for transaction in trace.txns {
                serde_json::to_writer(&mut entries.bytes, &transaction.patches)?;
                entries.ends.push(entries.bytes.len());
            }
        }
        Ok(entries)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes in all.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// One of them.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    /// All in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// So many of them, from the first one again after the last one.
    pub(crate) fn cycle(&self, count: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..count).map(|index| self.get(index % self.len()))
    }

    /// All bytes without bounds between them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What the writer of the entries is at.
struct Writer {
    cursor: u64,
    clock: u64,
    words: Vec<&'static str>,
}

/// Short ones first.
const WORDS: &str = "the of and to in that is was for with change entry note line cursor device client sync merge \
    value field table index key document version history project meeting agenda budget review \
    draft report summary question answer because however between without another through against \
    several possible different following important necessary information development experience \
    performance architecture environment collaboration replication compression durability \
    consistency availability transaction checkpoint";
const LETTERS: &[u8; 32] = b"etaoinshrdlcumwfgypbvk eenttaio ";

impl Writer {
    /// One letter or a few where the cursor is, or some deleted; now and then somewhere else.
    fn keystroke(&mut self, random: &mut Random, out: &mut Vec<u8>) {
        if random.below(12) == 0 {
            self.cursor = random.below(60_000);
        }
        let deleted = if random.below(6) == 0 { 1 + random.below(3) } else { 0 };
        out.extend_from_slice(b"[[");
        number(out, self.cursor);
        out.push(b',');
        number(out, deleted);
        out.extend_from_slice(b",\"");
        let typed = if deleted > 0 { 0 } else { [1, 1, 2, 7, 26][random.index(5)] };
        letters(random, out, typed);
        out.extend_from_slice(b"\"]]");
        self.cursor = (self.cursor + typed as u64).saturating_sub(deleted);
    }

    /// An operation on a list, as CRDTs write it.
    fn change(&mut self, random: &mut Random, out: &mut Vec<u8>) {
        self.clock += 1 + random.below(3);
        out.extend_from_slice(b"op\x01");
        out.extend_from_slice(&Random(random.below(12) + 1).next().to_le_bytes());
        out.extend_from_slice(&self.clock.to_le_bytes());
        out.extend_from_slice(&Random(random.below(12) + 1).next().to_le_bytes());
        out.extend_from_slice(&(self.clock - random.below(300).min(self.clock)).to_le_bytes());
        out.extend_from_slice(&random.next().to_le_bytes());
        out.extend_from_slice(b"text");
        letters(random, out, 28);
        let end = out.len() + 12 + random.index(24);
        while out.len() < end {
            self.word(random, out);
        }
    }

    /// A record with fields of text and numbers.
    fn document(&mut self, random: &mut Random, out: &mut Vec<u8>) {
        self.clock += 1;
        let start = out.len();
        out.extend_from_slice(b"{\"id\":");
        number(out, self.clock);
        out.extend_from_slice(b",\"modified\":\"2026-03-");
        number(out, 10 + random.below(20));
        out.extend_from_slice(b"T12:00:00Z\",\"author\":\"user-");
        number(out, random.below(20));
        out.extend_from_slice(b"\",\"size\":");
        number(out, random.below(1_000_000));
        for field in ["title", "summary", "body"] {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(field.as_bytes());
            out.extend_from_slice(b"\":\"");
            let len = if field == "body" { 1022 - (out.len() - start) } else { 40 };
            let end = out.len() + len;
            while out.len() < end {
                self.word(random, out);
            }
            out.truncate(end);
            out.push(b'"');
        }
        out.push(b'}');
    }

    /// A word and a space; long words are more frequent than short ones, which compresses as text does.
    fn word(&self, random: &mut Random, out: &mut Vec<u8>) {
        let count = self.words.len();
        out.extend_from_slice(self.words[random.index(count).max(random.index(count))].as_bytes());
        out.push(b' ');
    }
}

fn number(out: &mut Vec<u8>, number: u64) {
    use std::io::Write as _;
    write!(out, "{number}").expect("a vector takes everything");
}

fn letters(random: &mut Random, out: &mut Vec<u8>, count: usize) {
    out.extend((0..count).map(|_| LETTERS[random.index(LETTERS.len())]));
}

/// Numbers that look random, and are the same for the same start.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next one, from all of 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next one below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// The next place in something that has so many.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::float;

    #[test]
    fn entries_compress_as_real_ones_do() {
        let mut off = false;
        for (kind, expected) in Kind::ALL.into_iter().zip([0.42, 0.43, 0.21]) {
            let entries = kind.entries(20_000);
            let blocks = entries.bytes().chunks(64 << 10);
            let compressed: usize =
                blocks.map(|block| zstd::bulk::compress(block, 1).expect("it fits").len()).sum();
            let ratio = float(compressed) / float(entries.byte_len());
            let mean = entries.byte_len() / entries.len();
            let shortest = entries.iter().map(<[u8]>::len).min();
            let longest = entries.iter().map(<[u8]>::len).max();
            eprintln!("{}: {ratio:.3}, {shortest:?} {mean} {longest:?}", kind.name());
            off |= (ratio - expected).abs() > 0.015;
        }
        assert!(!off, "the ratios are others");
    }
}

//! What the entries of each kind look like.

use std::{fmt::Arguments, io::Write as _};

use crate::chance::Chance;

const DOCUMENT_LEN: usize = 1024;
/// More than a block of a document takes before its text, and a little text.
const BLOCK_LEN_MAX: usize = 130;
const WORD_COUNT: usize = 1000;
const AUTHOR_COUNT: usize = 8;
const OBJECT_COUNT: usize = 100;
/// How many of 100 words of a short text are new: names, typing errors, halves of words.
const NEW_OF_SHORT: u64 = 76;
/// The same of a document.
const NEW_OF_DOCUMENT: u64 = 6;

/// An endless sequence of entries.
#[derive(Debug)]
pub(crate) struct Source {
    chance: Chance,
    /// The frequent ones first.
    words: Vec<String>,
    /// Ids that repeat, the frequent ones first.
    ids: Vec<String>,
    cursor: u64,
    counter: u64,
}

impl Source {
    pub(crate) fn new() -> Self {
        let mut chance = Chance::new(1);
        let words = (0..WORD_COUNT).map(|_| word(&mut chance)).collect();
        let ids = (0..OBJECT_COUNT).map(|_| format!("{:08x}", chance.number() >> 32)).collect();
        Self { chance, words, ids, cursor: 1000, counter: 0 }
    }

    /// Where, how many characters go, what is typed: `[[19594,0,"some text "]]`, mostly where the last one ended.
    pub(crate) fn keystroke(&mut self, out: &mut Vec<u8>) {
        if self.chance.below(4) == 0 {
            self.cursor = self.chance.below(40_000);
        }
        let deleted = if self.chance.below(8) == 0 { 1 + self.chance.skewed(8) } else { 0 };
        put(out, format_args!("[[{},{deleted},\"", self.cursor));
        let start = out.len();
        if deleted == 0 {
            let count = 1 + self.chance.below(2);
            self.text(out, count, NEW_OF_SHORT);
        }
        self.cursor += (out.len() - start) as u64;
        put(out, format_args!("\"]]"));
    }

    /// Who, how many before, of which object, where, what: `["273beb7e",9873,"dd72cfda",2150,"ins","some text "]`.
    pub(crate) fn change(&mut self, out: &mut Vec<u8>) {
        self.counter += 1 + self.chance.skewed(4);
        let (author, object) = (self.id(AUTHOR_COUNT), self.id(OBJECT_COUNT));
        let (number, place) = (self.counter, self.chance.below(1 << 16));
        let [author, object] = [author, object].map(|id| &self.ids[id]);
        put(out, format_args!("[\"{author}\",{number},\"{object}\",{place},\"ins\",\""));
        let count = 6 + self.chance.below(6);
        self.text(out, count, NEW_OF_SHORT);
        put(out, format_args!("\"]"));
    }

    /// Blocks with an author, a style and a text each; that of the last one fills up the length.
    pub(crate) fn document(&mut self, out: &mut Vec<u8>) {
        const END: &str = "\"}}";
        let end = out.len() + DOCUMENT_LEN - END.len();
        self.counter += 1;
        put(
            out,
            format_args!("{{\"id\":\"{:016x}\",\"rev\":{}", self.chance.number(), self.counter),
        );
        let mut block = 0;
        while out.len() + BLOCK_LEN_MAX < end {
            if block > 0 {
                put(out, format_args!("\"}}"));
            }
            let author = self.id(OBJECT_COUNT);
            let author = &self.ids[author];
            put(out, format_args!(",\"block-{block}\":{{\"author\":\"{author}\","));
            put(out, format_args!("\"style\":{{\"bold\":false,\"indent\":0}},\"text\":\""));
            let count = 4 + self.chance.below(6);
            self.text(out, count, NEW_OF_DOCUMENT);
            block += 1;
        }
        while out.len() < end {
            self.text(out, 1, NEW_OF_DOCUMENT);
        }
        out.truncate(end);
        put(out, format_args!("{END}"));
    }

    fn id(&mut self, count: usize) -> usize {
        self.chance.skewed_index(count)
    }

    /// `count` words, few of which are frequent.
    fn text(&mut self, out: &mut Vec<u8>, count: u64, new_percent: u64) {
        for _ in 0..count {
            if self.chance.below(100) < new_percent {
                out.extend_from_slice(word(&mut self.chance).as_bytes());
            } else {
                let word = self.chance.skewed_index(WORD_COUNT);
                out.extend_from_slice(self.words[word].as_bytes());
            }
            out.push(b' ');
        }
    }
}

/// One to three syllables.
fn word(chance: &mut Chance) -> String {
    const LETTERS: [&[u8; 16]; 3] = [b"tnsrhldcmfpgwbvk", b"eaoieaiueaoyeaoi", b"tnsrhldcmnstrsnt"];
    let mut word = String::new();
    for _ in 0..=chance.below(3) {
        for letters in LETTERS {
            word.push(char::from(letters[chance.index(letters.len())]));
        }
    }
    word
}

fn put(out: &mut Vec<u8>, text: Arguments<'_>) {
    out.write_fmt(text).expect("memory takes all");
}

//! Payloads that are absent, and redactions.

use super::assert_cites;
use super::encoder::{self, FrameOptions, Writer, extension, put};
use crate::reference::entry::{Entry, KIND_REDACTION, Why};
use crate::reference::forgotten::decode as decode_redaction;
use crate::reference::segment::{Segment, decode, dump};
use crate::reference::{batch, recovery::Verdict};

/// Frames of the next generation.
pub(super) const NEXT: FrameOptions = FrameOptions {
    kind: 1,
    flags: 3,
    generation: 1,
    synced_upto: 16_384,
    opening: 1,
    incarnation: encoder::INCARNATION,
};

/// H-3.
pub(super) fn redaction(first_index: u64, count: u32, reason: &[u8]) -> Vec<u8> {
    let reason_len = u16::try_from(reason.len()).unwrap().to_le_bytes();
    let head = [&[0, 0], reason_len.as_slice(), &count.to_le_bytes()].concat();
    [&head, first_index.to_le_bytes().as_slice(), reason].concat()
}

fn redact(writer: &mut Writer, first_index: u64, count: u32, reason: &[u8]) {
    let mut entry = writer.change(&redaction(first_index, count, reason));
    entry.kind = KIND_REDACTION;
    writer.commit(&[entry], FrameOptions::default());
}

/// Six changes, the second empty and the fourth and fifth parts of one; then a redaction of the
/// entries `first_index` to `first_index + count - 1`.
fn redacted(first_index: u64, count: u32) -> Writer {
    let mut writer = Writer::new();
    for (payload, part) in [("a", 0), ("", 0), ("c", 0), ("d", 2), ("e", 1), ("f", 0)] {
        let mut entry = writer.change(payload.as_bytes());
        entry.flags = part;
        let flags = if part == 2 { 7 } else { 3 };
        writer.commit(&[entry], FrameOptions { flags, ..FrameOptions::default() });
    }
    redact(&mut writer, first_index, count, b"by mistake");
    writer
}

/// The next generation in one batch, without the payloads and the salts of these entries.
fn compacted(old: &Writer, positions: &[usize]) -> Writer {
    let mut writer = old.rewritten();
    let entries = writer.take_entries();
    let erased: Vec<_> = positions
        .iter()
        .map(|&position| u64::try_from(position).unwrap())
        .map(|index| (index, index + 1))
        .collect();
    writer.put_salts(&encoder::salt_record_without(&erased));
    writer.commit_without(&entries, positions, NEXT);
    writer.put_compacted();
    writer.checkpoint(1, 1);
    writer
}

fn absent(segment: &Segment) -> Vec<(u64, Why)> {
    let absent = segment.entries().filter_map(|e| Some((e.index, e.absent.clone()?.why)));
    absent.collect()
}

#[test]
fn a_compaction_leaves_hashes_and_why_payloads_are_gone() {
    let old = redacted(0, 4);
    assert_eq!(absent(&decode(&old.file).unwrap()), []);
    let writer = compacted(&old, &[0, 2, 3, 4]);
    let segment = decode(&writer.file).unwrap();
    assert_eq!((segment.verdict, segment.end_index), (Verdict::Clean, 7));
    assert_eq!(segment.notes, [""; 0]);
    assert_eq!(segment.root, Some(encoder::root_of(&old.leaves)));
    assert!(segment.batches[0].root_is_checked);
    let why = Why::Redacted { by: 6, reason: "by mistake".into() };
    assert_eq!(absent(&segment), [0, 2, 3, 4].map(|index| (index, why.clone())));
    for (now, before) in segment.entries().zip(&old.entries) {
        assert_eq!(now.payload_len(), before.payload_len());
        match &now.absent {
            None => assert_eq!(now, before),
            Some(gone) => {
                assert_eq!(gone.payload_hash, encoder::payload_hash_of(before));
                assert_eq!(now.payload, b"");
            }
        }
    }
    let dump = dump(&segment);
    assert!(dump.contains("payload of 1 bytes absent, hash "), "{dump}");
    assert!(dump.contains(", redacted by 6: \"by mistake\"\n"), "{dump}");
    assert!(dump.contains("    redacts 0..4: \"by mistake\"\n"), "{dump}");
    assert!(dump.contains("  salt_group 0 kept ffffffffffffffe2 "), "{dump}");
}

#[test]
fn what_no_redaction_is_about_is_withheld() {
    let writer = compacted(&redacted(2, 1), &[0, 2]);
    let segment = decode(&writer.file).unwrap();
    let why = Why::Redacted { by: 6, reason: "by mistake".into() };
    assert_eq!(absent(&segment), [(0, Why::Withheld), (2, why)]);
    assert!(dump(&segment).contains(", withheld\n"));
}

#[test]
fn the_first_redaction_is_the_reason() {
    let mut old = redacted(2, 1);
    redact(&mut old, 0, 3, b"once more");
    let segment = decode(&compacted(&old, &[0, 2]).file).unwrap();
    let by = |by: u64, reason: &str| Why::Redacted { by, reason: reason.into() };
    assert_eq!(absent(&segment), [(0, by(7, "once more")), (2, by(6, "by mistake"))]);
}

#[test]
fn the_next_generation_has_nothing_that_is_redacted() {
    let old = redacted(0, 4);
    // A part that the redaction does not name is redacted with the other.
    assert_cites(decode(&compacted(&old, &[0, 2, 3]).file), "H-4: entry 4 has the payload");
    let mut salted = compacted(&old, &[0, 2, 3, 4]);
    salted.put_salts(&encoder::salt_record_without(&[(0, 1), (2, 3), (4, 5)]));
    assert_cites(decode(&salted.file), "H-4: the salt of entry 3");

    // A redaction that is younger than the compaction waits for the next one.
    let mut young = compacted(&redacted(0, 1), &[0]);
    redact_next(&mut young, 5);
    let segment = decode(&young.file).unwrap();
    assert_eq!(absent(&segment).len(), 1);
}

fn redact_next(writer: &mut Writer, first_index: u64) {
    let mut entry = writer.change(&redaction(first_index, 1, b""));
    entry.kind = KIND_REDACTION;
    writer.commit(&[entry], NEXT);
}

#[test]
fn a_payload_without_its_salt_is_an_error() {
    let mut writer = redacted(5, 1);
    writer.put_salts(&encoder::salt_record_without(&[(5, 6)]));
    assert_cites(decode(&writer.file), "H-4: entry 5 has a payload, but its salt is erased");
}

#[test]
fn a_wrong_payload_hash_gives_another_root() {
    let mut writer = Writer::new();
    let entries = [writer.change(b"a")];
    writer.batch(&entries);
    let mut batch = encoder::batch_without(&entries, &[0], &encoder::root_of(&writer.leaves));
    batch[96 + 8 + 4] ^= 1;
    writer.frame(&batch, 0, 1, FrameOptions::default());
    assert_cites(decode(&writer.file), "B-1: root");
}

#[test]
fn redactions_are_about_changes_before_them() {
    let about = |first_index, count| {
        let mut writer = redacted(first_index, count);
        writer.commit_change(b"later", FrameOptions::default());
        let segment = decode(&writer.file).unwrap();
        let indices = crate::reference::forgotten::redacted(segment.entries()).into_keys();
        indices.collect::<Vec<_>>()
    };
    assert_eq!(about(1, 2), [1, 2]);
    assert_eq!(about(4, 1), [3, 4]);
    assert_eq!(about(5, u32::MAX), [5]);
    assert_eq!(about(6, 2), [0; 0]);
    assert_eq!(about(u64::MAX, 2), [0; 0]);
}

#[test]
fn malformed_redactions_redact_nothing() {
    let sound = redaction(3, 2, "für immer".as_bytes());
    let decoded = decode_redaction(&sound).unwrap();
    assert_eq!((decoded.first_index, decoded.entry_count), (3, 2));
    assert_eq!(decoded.reason, "für immer");
    for (offset, value, rule) in [
        (0, 1, "H-3: redaction form 1"),
        (1, 1, "H-3, G-3"),
        (2, 9, "H-3: 10 bytes for a reason of 9"),
        (3, 5, "L-1: a reason of"),
        (4, 0, "H-3: a redaction of no entries"),
        (17, 0xFF, "H-3: reason"),
    ] {
        let mut changed = sound.clone();
        changed[offset] = value;
        assert_cites(decode_redaction(&changed), rule);
    }
    assert_cites(decode_redaction(&sound[..15]), "H-3: a redaction of 15 bytes");
    assert!(decode_redaction(&redaction(0, 1, &[b'x'; 1024])).is_ok());
    assert_cites(decode_redaction(&redaction(0, 1, &[b'x'; 1025])), "L-1");

    let mut old = redacted(5, 1);
    old.entries[6].payload[0] = 1;
    old.leaves[6] = encoder::leaf_of(&old.entries[6]);
    let segment = decode(&compacted(&old, &[5]).file).unwrap();
    assert_eq!(absent(&segment), [(5, Why::Withheld)]);
}

/// Three changes `a`, `b` and none, and a seen entry.
fn four() -> Vec<Entry> {
    let mut writer = Writer::new();
    for (payload, kind) in [(b"a".as_slice(), 0), (b"b", 0), (b"", 0), (b"", 2)] {
        let mut entry = writer.change(payload);
        entry.kind = kind;
        writer.entries.push(entry);
    }
    writer.entries
}

/// The four entries in a batch with these extension sections, and a payload section.
fn with_extensions(sections: &[Vec<u8>], payloads: &[u8]) -> Result<batch::Batch, String> {
    let (meta, _) = encoder::sections(&four());
    let sections = sections.concat();
    let mut header = encoder::batch(&four(), &[0; 32])[..96].to_vec();
    put(&mut header, 44, &u32::try_from(sections.len()).unwrap().to_le_bytes());
    let payload_len = u32::try_from(payloads.len()).unwrap().to_le_bytes();
    put(&mut header, 56, &[payload_len, payload_len].concat());
    batch::decode(&[header, sections, meta, payloads.to_vec()].concat())
}

fn row(position: u32) -> Vec<u8> {
    [position.to_le_bytes().as_slice(), &[7; 32]].concat()
}

#[test]
fn absent_payloads_stand_in_an_extension() {
    let batch = with_extensions(&[extension(1, 1, &row(0))], b"b").unwrap();
    assert_eq!(batch.extensions, []);
    let gone = batch.entries[0].absent.clone().unwrap();
    assert_eq!((gone.payload_len, gone.payload_hash, gone.why), (1, [7; 32], Why::Withheld));
    assert_eq!(
        (batch.entries[1].payload.as_slice(), &batch.entries[1].absent),
        (b"b".as_slice(), &None)
    );
    let both = with_extensions(&[extension(1, 1, &[row(0), row(1)].concat())], b"").unwrap();
    assert!(both.entries[..2].iter().all(|entry| entry.absent.is_some()));

    let with = |content: &[u8]| with_extensions(&[extension(1, 1, content)], b"b");
    assert_cites(with(&[]), "B-8: 0 bytes are no rows");
    assert_cites(with(&row(0)[1..]), "B-8: 35 bytes are no rows");
    assert_cites(with(&[row(1), row(0)].concat()), "B-8: position 0 does not ascend");
    assert_cites(with(&[row(0), row(0)].concat()), "B-8: position 0 does not ascend");
    assert_cites(with(&row(4)), "B-8: position 4 of 4 entries");
    let with = |content: &[u8]| with_extensions(&[extension(1, 1, content)], b"ab");
    assert_cites(with(&row(2)), "B-8: an empty payload is absent");
    assert_cites(with(&row(3)), "B-8: the payload of a kind 2 is absent");
    assert_cites(with_extensions(&[extension(1, 0, &row(0))], b"b"), "B-8: the extension is not");
    let twice = [extension(1, 1, &row(0)), extension(1, 1, &row(1))];
    assert_cites(with_extensions(&twice, b""), "B-8: the extension comes twice");
    assert_cites(with_extensions(&[extension(1, 1, &row(0))], b"ab"), "B-7");
    assert_cites(with_extensions(&[extension(1, 1, &row(0))], b""), "B-7");
}

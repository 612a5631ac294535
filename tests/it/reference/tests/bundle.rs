//! Bundles that are put together by hand.

use super::assert_cites;
use super::encoder::{self, CLIENT, LOG, WORKSPACE, Writer, put, salted_crc};
use super::forgotten::redaction;
use super::pruned::before;
use crate::reference::bundle::decode;
use crate::reference::entry::{KIND_REDACTION, Why};

const BUNDLE: [u8; 16] = [0x66; 16];

/// Kind, flags and payload of a record.
type Record = (u8, u8, Vec<u8>);

fn encode(records: &[Record]) -> Vec<u8> {
    let mut bytes = vec![0; 96];
    put(&mut bytes, 0, b"\x89ANLB\x0D\x0A\x1A");
    put(&mut bytes, 8, &[1]);
    put(&mut bytes, 32, &[WORKSPACE, BUNDLE].concat());
    put(&mut bytes, 64, b"hand 1.0");
    seal(&mut bytes);
    for (sequence, (kind, flags, payload)) in (0_u64..).zip(records) {
        append(&mut bytes, sequence, *kind, *flags, payload);
    }
    bytes
}

fn seal(bytes: &mut [u8]) {
    let crc = crc32fast::hash(&bytes[..92]);
    put(bytes, 92, &crc.to_le_bytes());
}

fn append(bytes: &mut Vec<u8>, sequence: u64, kind: u8, flags: u8, payload: &[u8]) {
    let mut header = vec![0; 32];
    put(&mut header, 0, b"ANR1");
    put(&mut header, 4, &[kind, flags]);
    put(&mut header, 8, &sequence.to_le_bytes());
    put(&mut header, 16, &u32::try_from(payload.len()).unwrap().to_le_bytes());
    put(&mut header, 20, &salted_crc(&BUNDLE, payload).to_le_bytes());
    let crc = salted_crc(&BUNDLE, &header[..28]);
    put(&mut header, 28, &crc.to_le_bytes());
    bytes.extend(header);
    bytes.extend(payload);
}

/// The bundle of these records with an end record that fits them.
fn complete(records: &[Record]) -> Vec<u8> {
    let mut bytes = encode(records);
    let count = u64::try_from(records.len()).unwrap();
    let end = [count.to_le_bytes().as_slice(), blake3::hash(&bytes).as_bytes()].concat();
    append(&mut bytes, count, 4, 1, &end);
    bytes
}

fn row(log: [u8; 16], size: u64, lamport: u64, root: &[u8; 32], from: u64) -> Vec<u8> {
    let numbers = [size.to_le_bytes(), lamport.to_le_bytes()].concat();
    [CLIENT.as_slice(), &log, &numbers, root, &from.to_le_bytes()].concat()
}

fn log_record(peaks: &[[u8; 32]]) -> Vec<u8> {
    let mut record = vec![0; 100];
    put(&mut record, 0, &[CLIENT, LOG].concat());
    put(&mut record, 32, &7_i64.to_le_bytes());
    put(&mut record, 96, &u32::try_from(peaks.len()).unwrap().to_le_bytes());
    [record, peaks.concat(), encoder::salt_record()].concat()
}

/// A bundle of a log of three changes in two batches, from entry `from` on (0 or 2).
fn sample(from: u64) -> Vec<Record> {
    let mut writer = Writer::new();
    let mut two = vec![writer.change(b"a"), writer.change(b"b")];
    (two[1].index, two[1].lamport) = (1, 2);
    let first = writer.batch(&two);
    let second = writer.batch(&[writer.change(b"c")]);
    let root = encoder::root_of(&writer.leaves);
    // The peak of two leaves, or of none.
    let peaks = if from == 0 { Vec::new() } else { vec![encoder::mth_of(&writer.leaves[..2])] };
    let idle = row([0x10; 16], 4, 9, &[8; 32], 4);
    let frontier = [idle, row(LOG, 3, 3, &root, from)].concat();
    let mut records = vec![(1, 1, frontier), (2, 1, log_record(&peaks)), (3, 1, second)];
    if from == 0 {
        records.insert(2, (3, 1, first));
    }
    records
}

#[test]
fn a_bundle_reads_back() {
    for (from, record_count) in [(0, 4), (2, 3)] {
        let bundle = decode(&complete(&sample(from))).unwrap();
        assert_eq!((bundle.version_minor, bundle.compatible_features), (0, 0));
        assert_eq!((bundle.workspace, bundle.bundle), (WORKSPACE, BUNDLE));
        assert_eq!((bundle.writer.as_str(), bundle.record_count), ("hand 1.0", record_count));
        assert_eq!(bundle.frontier.len(), 2);
        let [log] = bundle.logs.as_slice() else { panic!("{:?}", bundle.logs) };
        assert_eq!((log.from, log.created, log.row.size), (from, Some(7), 3));
        assert_eq!((log.predecessor_log, log.predecessor_size), ([0; 16], 0));
        assert_eq!(log.predecessor_root, [0; 32]);
        let payloads: Vec<_> =
            log.batches.iter().flat_map(|b| &b.entries).map(|e| e.payload.as_slice()).collect();
        let all = [b"a".as_slice(), b"b", b"c"];
        assert_eq!(payloads, all[usize::try_from(from).unwrap()..]);
    }
}

#[test]
fn a_bundle_without_entries_is_a_frontier() {
    let bundle = decode(&complete(&[(1, 1, row(LOG, 4, 9, &[8; 32], 4))])).unwrap();
    assert_eq!((bundle.frontier.len(), bundle.logs.len()), (1, 0));
    assert_eq!(decode(&complete(&[(1, 1, Vec::new())])).unwrap().frontier, []);
}

#[test]
fn a_bundle_that_ends_early_is_no_bundle() {
    let bytes = complete(&sample(0));
    for len in 0..bytes.len() {
        assert_cites(decode(&bytes[..len]), if len < 96 { "U-1" } else { "U-5" });
    }
    assert_cites(decode(&[bytes, vec![0]].concat()), "U-3: bytes follow");
}

#[test]
fn no_flip_goes_unseen() {
    let bytes = complete(&sample(0));
    for offset in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[offset] ^= 1 << (offset % 8);
        assert!(decode(&changed).is_err(), "the flip at {offset} goes unseen");
    }
}

#[test]
fn foreign_versions_are_refused() {
    for (offset, rule) in [(8, "V-1: version"), (24, "V-1: incompatible"), (12, "U-1"), (88, "U-1")]
    {
        let mut bytes = complete(&sample(0));
        bytes[offset] ^= 4;
        seal(&mut bytes);
        assert_cites(decode(&bytes), rule);
    }
}

#[test]
fn records_come_in_their_order() {
    let sound = sample(0);
    let without = |i: usize| {
        let mut records = sound.clone();
        records.remove(i);
        decode(&complete(&records))
    };
    assert_cites(without(0), "U-3: the first record is no frontier");
    assert_cites(without(1), "U-3: a row without its log record");
    assert_cites(without(2), "E-2");
    assert_cites(without(3), "U-3: the batches end at 2");
    let mut twice = sound.clone();
    twice.push(sound[0].clone());
    assert_cites(decode(&complete(&twice)), "U-3: record 4 of kind 1");
    let mut other = sound.clone();
    other[1].2[0] ^= 1;
    assert_cites(decode(&complete(&other)), "U-3: a log record out of order");
    let mut flags = sound.clone();
    flags[3].1 = 0;
    assert_cites(decode(&complete(&flags)), "U-3: record kind 3 is not critical");
}

#[test]
fn unknown_records_are_skipped_unless_critical() {
    let mut records = sample(0);
    records.insert(3, (9, 0, b"later".to_vec()));
    assert_eq!(decode(&complete(&records)).unwrap().record_count, 5);
    records[3].1 = 1;
    assert_cites(decode(&complete(&records)), "U-3: unknown critical record kind 9");
}

#[test]
fn the_row_is_the_last_word() {
    let with_row = |offset: usize| {
        let mut records = sample(0);
        records[0].2[88 + offset] ^= 1;
        decode(&complete(&records))
    };
    assert_cites(with_row(32), "U-3");
    assert_cites(with_row(40), "E-7: lamport");
    assert_cites(with_row(48), "U-4");
    assert_cites(with_row(80), "U-3: 0 peaks of 1");
    assert_cites(with_row(87), "U-3: from");
    for (from, record) in [(0, 2), (2, 2)] {
        let mut root = sample(from);
        root[record].2[64] ^= 1;
        assert_cites(decode(&complete(&root)), "B-1: root");
    }
    let mut peak = sample(2);
    peak[1].2[100] ^= 1;
    assert_cites(decode(&complete(&peak)), "B-1: root");
    let mut count = sample(2);
    count[1].2[96] = 2;
    assert_cites(decode(&complete(&count)), "U-3: 2 peaks of 2");
}

/// A bundle of a log whose first six entries are handed over as pruned, with two more.
fn pruned() -> Vec<Record> {
    let mut writer = before();
    let record = encoder::prune_record(&writer.entries);
    let peaks = encoder::peaks_of(&writer.leaves);
    let mut log = log_record(&peaks);
    log.truncate(log.len() - 64);
    log.extend(encoder::salt_record_without(&[(0, 6)]));
    let mut entry = writer.change(b"in a stream");
    entry.stream = 2;
    let first = writer.batch(&[entry]);
    let second = writer.batch(&[writer.change(b"h")]);
    let frontier = row(LOG, 8, 8, &encoder::root_of(&writer.leaves), 6);
    vec![(1, 1, frontier), (2, 1, log), (5, 1, record), (3, 1, first), (3, 1, second)]
}

#[test]
fn a_pruned_log_is_handed_over_with_its_record() {
    let bundle = decode(&complete(&pruned())).unwrap();
    let [log] = bundle.logs.as_slice() else { panic!("{:?}", bundle.logs) };
    let record = log.pruned.as_ref().unwrap();
    assert_eq!((log.from, record.size, record.declarations.len()), (6, 6, 2));
    assert_eq!(log.batches.len(), 2);

    // Who has the entries needs no record of them.
    let mut without = pruned();
    without.remove(2);
    assert!(decode(&complete(&without)).unwrap().logs[0].pruned.is_none());

    let mut twice = pruned();
    twice.insert(3, twice[2].clone());
    assert_cites(decode(&complete(&twice)), "U-3");
    let mut late = pruned();
    late.swap(2, 3);
    assert_cites(decode(&complete(&late)), "U-3");
    let mut early = pruned();
    early.swap(1, 2);
    assert_cites(decode(&complete(&early)), "U-3: a row without its log record");
    let mut optional = pruned();
    optional[2].1 = 0;
    assert_cites(decode(&complete(&optional)), "U-3: record kind 5 is not critical");
    let mut fewer = pruned();
    fewer[2].2 = encoder::prune_record(&before().entries[..5]);
    assert_cites(decode(&complete(&fewer)), "H-12: 5 entries pruned, and from 6");
    let mut other = before().entries;
    other[0].payload = b"z".to_vec();
    let mut peaks = pruned();
    peaks[2].2 = encoder::prune_record(&other);
    assert_cites(decode(&complete(&peaks)), "H-12: the peaks");
    let mut lamport = pruned();
    lamport[2].2[64] = 7;
    assert_cites(decode(&complete(&lamport)), "E-8");
}

#[test]
fn a_bundle_has_absent_payloads_as_they_are() {
    let mut writer = Writer::new();
    let change = writer.change(b"a");
    writer.entries.push(change);
    let mut entry = writer.change(&redaction(0, 1, b"by mistake"));
    entry.kind = KIND_REDACTION;
    writer.entries.push(entry);
    let entries = writer.take_entries();
    writer.batch(&entries);
    let root = encoder::root_of(&writer.leaves);
    let batch = encoder::batch_without(&entries, &[0], &root);
    let mut log = log_record(&[]);
    log.truncate(log.len() - 64);
    log.extend(encoder::salt_record_without(&[(0, 1)]));
    let frontier = row(LOG, 2, 2, &root, 0);
    let mut records = vec![(1, 1, frontier), (2, 1, log), (3, 1, batch)];
    let bundle = decode(&complete(&records)).unwrap();
    let gone = bundle.logs[0].batches[0].entries[0].absent.clone().unwrap();
    assert_eq!(gone.why, Why::Redacted { by: 1, reason: "by mistake".into() });
    records[2].2 = encoder::batch(&entries, &root);
    assert_cites(decode(&complete(&records)), "H-4: entry 0 has a payload");
}

#[test]
fn the_end_record_covers_all_before() {
    let records = sample(0);
    let mut bytes = encode(&records);
    let hash = *blake3::hash(&bytes).as_bytes();
    let end = |count: u64, hash: [u8; 32]| [count.to_le_bytes().as_slice(), &hash].concat();
    let with_end = |payload: &[u8]| {
        let mut bytes = bytes.clone();
        append(&mut bytes, 4, 4, 1, payload);
        decode(&bytes)
    };
    assert!(with_end(&end(4, hash)).is_ok());
    assert_cites(with_end(&end(5, hash)), "U-3: record_count");
    assert_cites(with_end(&end(4, [0; 32])), "U-3: hash");
    assert_cites(with_end(&[0; 41]), "U-3: an end record of 41");
    append(&mut bytes, 5, 4, 1, &end(4, hash));
    assert_cites(decode(&bytes), "U-2: sequence 5");
}

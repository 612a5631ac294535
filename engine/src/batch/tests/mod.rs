use proptest::prelude::*;

use super::{
    BATCH_ENTRY_COUNT_MAX, BATCH_META_LEN_MAX, Batch, BatchHeader, Codec, Decoder, Encoder, column,
    header::SectionHeader, set_root,
};
use crate::{
    bytes::{Hash, LogId, StreamId, Timestamp},
    entry::{ENTRY_PAYLOAD_LEN_MAX, EntryHeader, Kind, LOG_ENTRY_COUNT_MAX, Part},
};

mod columns;
mod hostile;

const LOG: LogId = LogId::from_bytes([0x5A; 16]);
const ROOT: Hash = Hash::from_bytes([0xC3; 32]);

fn encode(headers: &[EntryHeader], payloads: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new(1).encode(LOG, 1000, headers, payloads, ROOT, &mut bytes);
    bytes
}

fn change(lamport: u64, payload_len: u32) -> EntryHeader {
    EntryHeader {
        lamport,
        timestamp: None,
        payload_len,
        stream: StreamId::DEFAULT,
        kind: Kind::CHANGE,
        part: Part::WHOLE,
    }
}

/// A sequence of numbers that is random enough to resist compression.
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        Some(mixed ^ (mixed >> 29))
    })
}

/// A batch by its parts, to put together what no encoder writes.
struct Parts {
    header: BatchHeader,
    extensions: Vec<u8>,
    meta: Vec<u8>,
    payload: Vec<u8>,
}

impl Parts {
    /// Two changes with the payloads `hi` and `there`.
    fn sample() -> Self {
        let stored = |len| SectionHeader { codec: Codec::Stored, raw_len: len, len };
        let meta = vec![
            0, 0, // kind: change
            0, 0, // flags: whole
            0, 3, // stream 3
            2, 2, 5, // payload_len 2 and 5
            1, 9, 2, // lamport 9 and 10
            3, 100, 50, 3, // timestamp 100, 100 - 2 * 50
        ];
        Self {
            header: BatchHeader {
                continues: false,
                log: LOG,
                first_index: 77,
                entry_count: 2,
                extension_len: 0,
                meta: stored(16),
                payload: stored(7),
                root: ROOT,
            },
            extensions: Vec::new(),
            meta,
            payload: b"hithere".to_vec(),
        }
    }

    /// The batch; sections of other lengths than the header says get theirs into it.
    fn bytes(mut self) -> Vec<u8> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        self.header.extension_len = len(&self.extensions);
        let sections =
            [(&mut self.header.meta, &self.meta), (&mut self.header.payload, &self.payload)];
        for (header, bytes) in sections {
            header.len = len(bytes);
            if header.codec == Codec::Stored {
                header.raw_len = header.len;
            }
        }
        [&self.header.encode()[..], &self.extensions, &self.meta, &self.payload].concat()
    }
}

/// Values that suit one encoding or another, or none.
fn values(count: usize) -> impl Strategy<Value = Vec<u64>> {
    let walk = |scale: u64, steps: Vec<i8>| {
        let mut value = 1_700_000_000_000_000_u64;
        let next = move |step| {
            value = value.wrapping_add(i64::from(step).cast_unsigned().wrapping_mul(scale));
            value
        };
        steps.into_iter().map(next).collect::<Vec<_>>()
    };
    let line = move |first: u64, step: u64| {
        (0..count as u64).map(|i| first.wrapping_add(i.wrapping_mul(step))).collect::<Vec<_>>()
    };
    prop_oneof![
        any::<u64>().prop_map(move |value| vec![value; count]),
        (any::<u64>(), any::<u64>()).prop_map(move |(first, step)| line(first, step)),
        (0..100_u64, 0..3_u64).prop_map(move |(first, step)| line(first, step)),
        proptest::collection::vec(any::<u64>(), count),
        proptest::collection::vec(0..5_u64, count),
        (any::<u64>(), proptest::collection::vec(any::<i8>(), count))
            .prop_map(move |(scale, steps)| walk(scale, steps)),
        proptest::collection::vec(any::<i8>(), count).prop_map(move |steps| walk(1000, steps)),
        (any::<[u64; 3]>(), 1..50_usize).prop_map(move |(values, run)| {
            (0..count).map(|i| values[i / run % 3]).collect::<Vec<_>>()
        }),
    ]
}

/// Headers of an arbitrary batch, and its payloads.
fn contents() -> impl Strategy<Value = (Vec<EntryHeader>, Vec<u8>)> {
    let columns = (1..300_usize).prop_flat_map(|n| {
        let lens = prop_oneof![
            (0..20_u32).prop_map(move |len| vec![len; n]),
            proptest::collection::vec(0..40_u32, n),
        ];
        (values(n), values(n), values(n), lens, values(n), values(n))
    });
    (columns, any::<u64>(), any::<bool>()).prop_map(|(columns, seed, random)| {
        let (kinds, flags, streams, lens, gaps, times) = columns;
        let mut lamport = 0_u64;
        let header = |i: usize| {
            // The clocks may come as high as they can, but all of them must fit.
            let highest = crate::entry::LAMPORT_MAX - (lens.len() - 1 - i) as u64;
            lamport = (lamport + 1).saturating_add(gaps[i]).min(highest);
            EntryHeader {
                lamport,
                timestamp: Timestamp::decode(times[i].cast_signed()),
                payload_len: lens[i],
                stream: StreamId(u32::try_from(streams[i] >> 32).unwrap()),
                kind: Kind(u8::try_from(kinds[i] & 0xFF).unwrap()),
                part: Part::from_flags(u8::try_from(flags[i] & 3).unwrap()).unwrap(),
            }
        };
        let headers = (0..lens.len()).map(header).collect::<Vec<_>>();
        let mask = if random { 0xFF } else { 0x03 };
        let payloads = noise(seed).map(|value| u8::try_from(value & mask).unwrap());
        (headers, payloads.take(lens.iter().map(|&len| len as usize).sum()).collect())
    })
}

/// Checks all that can be read from `batch` against what was encoded.
fn check(batch: &Batch, headers: &[EntryHeader], payloads: &[u8]) {
    assert_eq!(batch.len(), headers.len());
    assert_eq!(batch.payloads(), payloads);
    let mut rest = payloads;
    for (i, header) in headers.iter().enumerate() {
        let payload = rest.split_off(..header.payload_len as usize).unwrap();
        assert_eq!(batch.entry_header(i), *header);
        assert_eq!(batch.payload(i), Some(payload));
    }
    assert!(batch.entries().map(|(header, _)| header).eq(headers.iter().copied()));

    let mut streams = headers.iter().map(|header| header.stream).collect::<Vec<_>>();
    streams.dedup();
    assert!(batch.streams().eq(streams.iter().copied()));
    assert_eq!(batch.single_stream(), (streams.len() == 1).then(|| streams[0]));
}

proptest! {
    #[test]
    fn a_batch_round_trips((headers, payloads) in contents(), level in -5..6, index in 0..1_u64 << 40) {
        let mut bytes = b"before".to_vec();
        let mut encoder = Encoder::new(level);
        let mut decoder = Decoder::new();
        // Twice, because both keep their scratch memory.
        for _ in 0..2 {
            bytes.truncate(6);
            encoder.encode(LOG, index, &headers, &payloads, ROOT, &mut bytes);
            let batch = decoder.decode(&bytes[6..])?;
            check(&batch, &headers, &payloads);
            let header = batch.header();
            prop_assert_eq!((header.log(), header.root()), (LOG, ROOT));
            prop_assert_eq!(header.indices(), index..index + headers.len() as u64);
            prop_assert_eq!(header.batch_len(), bytes.len() as u64 - 6);
            let meta = decoder.decode_meta(&bytes[6..])?;
            prop_assert!(meta.entry_headers().eq(headers.iter().copied()));
        }
    }
}

#[test]
fn hand_written_bytes_decode_to_what_the_format_says() {
    #[rustfmt::skip]
    let head = [
        b'A', b'N', b'B', b'1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A, 0x5A,
        77, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        16, 0, 0, 0, 16, 0, 0, 0, 7, 0, 0, 0, 7, 0, 0, 0,
    ];
    let parts = Parts::sample();
    let bytes = [&head[..], &[0xC3; 32], &parts.meta, &parts.payload].concat();
    assert_eq!(parts.bytes(), bytes);

    let batch = Decoder::new().decode(&bytes).unwrap();
    let header = |lamport, payload_len, micros| EntryHeader {
        timestamp: Some(Timestamp::from_micros(micros)),
        stream: StreamId(3),
        ..change(lamport, payload_len)
    };
    check(&batch, &[header(9, 2, 100), header(10, 5, 0)], b"hithere");
    assert_eq!((batch.first_index(), batch.end_index()), (77, 79));
    assert_eq!(batch.header().meta_codec(), Codec::Stored);
}

#[test]
fn the_root_can_be_set_after_encoding() {
    let mut bytes = encode(&[change(1, 3)], b"abc");
    let root = Hash::from_bytes([9; 32]);
    set_root(&mut bytes, &root);
    assert_eq!(BatchHeader::decode(&bytes).unwrap().root(), root);
    assert!(Decoder::new().decode(&bytes).is_ok());
}

#[test]
fn keystrokes_take_little_more_than_their_entropy() {
    // 1000 letters out of 16, one every 60 to 315 ms: 4 and 8 bits each make 1500 bytes. zstd does
    // not tell apart the two bytes that each time difference has, which costs most of the rest.
    let mut time = 1_780_000_000_000_000;
    let header = |(lamport, value): (u64, u64)| {
        time += 1000 * (60 + i64::try_from(value >> 56).unwrap());
        EntryHeader { timestamp: Some(Timestamp::from_micros(time)), ..change(lamport, 1) }
    };
    let headers = (5000..6000).zip(noise(1)).map(header).collect::<Vec<_>>();
    let letter = |value: u64| b'a' + u8::try_from(value >> 60).unwrap();
    let payloads = noise(2).map(letter).take(1000).collect::<Vec<_>>();
    let mut bytes = Vec::new();
    Encoder::new(3).encode(LOG, 5000, &headers, &payloads, ROOT, &mut bytes);
    assert!(bytes.len() < 2050, "{} bytes", bytes.len());
    check(&Decoder::new().decode(&bytes).unwrap(), &headers, &payloads);
}

#[test]
fn regular_entries_take_no_space_and_no_memory_each() {
    let headers = (1..=2000).map(|lamport| change(lamport, 13)).collect::<Vec<_>>();
    let bytes = encode(&headers, &vec![b'x'; 26_000]);
    assert!(bytes.len() < 96 + 50, "{} bytes", bytes.len());
    let batch = Decoder::new().decode(&bytes).unwrap();
    assert_eq!(batch.memory_len(), size_of::<Batch>() + 26_000);
}

#[test]
fn incompressible_and_tiny_sections_are_stored() {
    let payload = noise(3).flat_map(u64::to_le_bytes).take(4096).collect::<Vec<_>>();
    let bytes = encode(&[change(1, 4096)], &payload);
    let header = BatchHeader::decode(&bytes).unwrap();
    assert_eq!((header.meta_codec(), header.payload_codec()), (Codec::Stored, Codec::Stored));
    assert_eq!(&bytes[bytes.len() - 4096..], payload);

    let header = BatchHeader::decode(&encode(&[change(1, 40)], &[0; 40])).unwrap();
    assert_eq!(header.payload_codec(), Codec::Stored);
    let header = BatchHeader::decode(&encode(&[change(1, 400)], &[0; 400])).unwrap();
    assert_eq!(header.payload_codec(), Codec::Zstd);
}

#[test]
fn compressed_sections_state_their_size_and_nothing_else() {
    let bytes = encode(&[change(1, 400)], &[0; 400]);
    // Frame header descriptor: single segment and a content size of two bytes (400 - 256); no
    // checksum, no dictionary id (RFC 8878, section 3.1.1.1).
    let start = bytes.len() - BatchHeader::decode(&bytes).unwrap().payload.len as usize;
    assert_eq!(bytes[start..start + 7], [0x28, 0xB5, 0x2F, 0xFD, 0b0110_0000, 144, 0]);
}

#[test]
fn the_largest_batch_of_the_worst_columns_fits_its_limits() {
    let count = BATCH_ENTRY_COUNT_MAX as usize;
    let header = |(i, value): (usize, u64)| EntryHeader {
        lamport: (1 << 62) + (u64::try_from(i).unwrap() << 20) + (value >> 50),
        timestamp: Timestamp::decode((value | 1 << 63).cast_signed()),
        payload_len: u32::try_from(value & 63).unwrap(),
        stream: StreamId(u32::try_from(value >> 32).unwrap()),
        kind: Kind(u8::try_from(value >> 56).unwrap()),
        part: Part::of(i % 3, 3),
    };
    let headers = noise(4).take(count).enumerate().map(|(i, value)| header((i, value)));
    let headers = headers.collect::<Vec<_>>();
    let len = headers.iter().map(|header| header.payload_len as usize).sum();
    let payloads = vec![7; len];
    let mut bytes = Vec::new();
    let first_index = LOG_ENTRY_COUNT_MAX - count as u64;
    Encoder::new(-5).encode(LOG, first_index, &headers, &payloads, ROOT, &mut bytes);
    let batch = Decoder::new().decode(&bytes).unwrap();
    assert!(batch.header().meta.raw_len < BATCH_META_LEN_MAX);
    assert_eq!(batch.end_index(), LOG_ENTRY_COUNT_MAX);
    assert!(batch.entries().map(|(header, _)| header).eq(headers));
}

#[test]
fn the_longest_payload_is_encoded() {
    let payload = vec![1; ENTRY_PAYLOAD_LEN_MAX as usize];
    let header = change(1, ENTRY_PAYLOAD_LEN_MAX);
    check(&Decoder::new().decode(&encode(&[header], &payload)).unwrap(), &[header], &payload);
}

#[test]
#[should_panic(expected = "a batch has entries")]
fn an_empty_batch_is_a_bug_of_the_caller() {
    encode(&[], b"");
}

#[test]
#[should_panic(expected = "clocks rise")]
fn a_clock_that_stands_still_is_a_bug_of_the_caller() {
    encode(&[change(7, 0), change(7, 0)], b"");
}

#[test]
#[should_panic(expected = "as long as their headers say")]
fn payloads_of_another_length_are_a_bug_of_the_caller() {
    encode(&[change(1, 3)], b"ab");
}

#[test]
#[should_panic(expected = "no entry at this position")]
fn an_entry_beyond_the_batch_is_a_bug_of_the_caller() {
    Decoder::new().decode(&encode(&[change(1, 1)], b"a")).unwrap().payload(1);
}

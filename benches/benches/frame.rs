//! Frames: encoding one in place, and decoding and checking it; around the batch of one keystroke and a full one.
#![allow(missing_docs, reason = "criterion's macros define items without documentation")]

use annals::{
    bytes::SaltedCrc,
    frame::{FRAME_HEADER_LEN, FrameContext, FrameHeader, FrameKind, encode_frame},
};
use annals_benches::Chance;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const OFFSET: u64 = 16 << 10;

fn header() -> FrameHeader {
    FrameHeader {
        kind: FrameKind::BATCH,
        critical: true,
        copy: true,
        continues: false,
        payload_len: 0,
        payload_crc: 0,
        offset: OFFSET,
        generation: 0,
        incarnation: 4711,
        synced_upto: OFFSET,
        first_index: 1000,
        entry_count: 1,
        link: 0,
        opening: 1,
        header_crc: 0,
    }
}

fn frame(c: &mut Criterion) {
    let crc = SaltedCrc::new(&[7; 16]);
    let context = FrameContext { crc, align_log2: 3, generation: 0, carried_upto: 0 };
    let mut group = c.benchmark_group("frame");
    for len in [140, 16 << 10, 1 << 20] {
        group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: len as u64 });
        let mut frame = vec![0; FRAME_HEADER_LEN];
        frame.extend(Chance::new(9).bytes(len));
        group.bench_with_input(BenchmarkId::new("encode", len), &len, |b, len| {
            b.iter(|| {
                frame.truncate(FRAME_HEADER_LEN + len);
                encode_frame(header(), &context, &mut frame, 0)
            });
        });
        frame.truncate(FRAME_HEADER_LEN + len);
        encode_frame(header(), &context, &mut frame, 0);
        group.bench_with_input(BenchmarkId::new("decode", len), &frame, |b, frame| {
            b.iter(|| {
                let bytes = frame.first_chunk().expect("a header");
                let header = FrameHeader::decode(bytes, OFFSET, &context).expect("it is sound");
                header.payload(frame, &context).expect("it is sound").len()
            });
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = annals_benches::criterion(); targets = frame);
criterion_main!(benches);

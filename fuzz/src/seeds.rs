//! Writes the seeds from which the fuzzers start, into `seeds/`: sound examples of everything.

use std::{fs, path::Path, sync::Arc};

use annals::{
    AssetClaim, AssetId, AssetUrl, ClaimRef, ClientId, EntryHeader, Frontier, Hash, LogId, Options,
    Release, StreamId, Timestamp, Workspace, WorkspaceId,
    batch::Encoder,
    bytes::SaltedCrc,
    entry::{Kind, Part},
    io::Disk,
    pack::{
        CHUNK_LEN, ChunkEncoder, Codec, HaveHeader, HaveRow, PackHeader, PackKind, RecordHeader,
        TableBuilder, chunk_cv, encode_record, pins,
    },
};
use annals_tests::fuzzing::MemoryDisk;

fn main() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let put = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(seeds.join(target)).expect("a folder");
        fs::write(seeds.join(target).join(name), bytes).expect("a file");
    };
    let with_first = |first: u8, bytes: &[u8]| [&[first], bytes].concat();

    let disk = MemoryDisk::default();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let workspace =
        Workspace::create_on(shared, Path::new("w"), Options::default(), None).expect("created");
    for text in ["a", "b", "c"] {
        workspace.append(text.as_bytes()).expect("appended");
    }
    workspace.stream("s").expect("declared").append(&[b'x'; 200]).expect("appended");
    workspace.commit().expect("committed");
    let log = workspace.own_log();
    let mut bundle = Vec::new();
    workspace.export(&Frontier::empty(), &mut bundle).expect("exported");
    let inclusion =
        serde_json::to_vec(&log.prove_inclusion(2, None).expect("a proof")).expect("JSON");
    let consistency =
        serde_json::to_vec(&log.prove_consistency(2, None).expect("a proof")).expect("JSON");
    workspace.close().expect("closed");
    let path = disk
        .paths()
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "seg"))
        .expect("a segment");
    let segment = disk.content(&path).expect("it is there");

    // The weather, then act, seed and crash of each step, as `Plan::of_bytes` reads them.
    for (weather, name) in ["calm", "faults", "rot", "lies"].into_iter().enumerate() {
        let weather = u8::try_from(weather).expect("small");
        let mut plan = vec![weather];
        for number in 0..60_u8 {
            let act = if number % 3 == 0 { number / 3 % 22 } else { number % 5 };
            let crash = if number % 11 == 10 { 194 + number % 9 } else { 0 };
            plan.extend([act | number << 5, number, crash]);
        }
        put("operations", name, &plan);
    }
    put("frame", "frame", &segment[16384..]);
    put("segment", "whole", &with_first(0, &segment));
    put("segment", "cut", &[1, 0, 64, 200]);
    put("segment", "changed", &[2, 64, 10, 1, 66, 0, 255]);
    put("bundle", "whole", &with_first(0, &bundle));
    put("bundle", "cut", &[1, 0, 1, 0]);
    put("bundle", "changed", &[2, 0, 100, 1]);
    put("index", "changed", &[0, 0, 9, 1, 0, 16, 2, 255]);
    put("proof", "inclusion", &inclusion);
    put("proof", "consistency", &consistency);
    put("control", "head", &segment[..16384]);
    put("control", "salts", &segment[256..320]);

    let claim = AssetClaim {
        media_type: Some("image/svg+xml".to_owned()),
        name: "Üml aut (1).svg".to_owned(),
        preview: vec![1, 2, 3],
        ..AssetClaim::new(AssetId::of(b"abc"), 3)
    };
    let claims = (1..4).map(|log| ClaimRef { log: LogId::from_bytes([log; 16]), index: 7 });
    let release = Release { id: claim.id, claims: claims.collect() };
    let client = ClientId::from_bytes([1; 16]);
    let positional = AssetUrl::positional(client, 408, claim.id).with_name("a.pdf").with_size(3);
    put("url", "plain", AssetUrl::from(&claim).to_string().as_bytes());
    put("url", "positional", positional.to_string().as_bytes());
    put("url", "claim", &claim.encode().expect("it fits"));
    put("url", "release", &release.encode().expect("it fits"));

    for (name, len, step) in [("constant", 5, 0), ("lengths", 3, 2), ("long", 90, 7)] {
        let lens = (0..12_u32).map(|i| len + i * step % 11);
        let headers: Vec<EntryHeader> = (1_u64..)
            .zip(lens)
            .map(|(lamport, payload_len)| EntryHeader {
                lamport,
                timestamp: (step > 0).then(|| {
                    Timestamp::from_micros(
                        1_700_000_000_000_000 + (lamport * lamport * 1000).cast_signed(),
                    )
                }),
                payload_len,
                stream: StreamId(u32::try_from(lamport % 3).expect("small") * step),
                kind: Kind::CHANGE,
                part: Part::WHOLE,
            })
            .collect();
        let total: u32 = headers.iter().map(|header| header.payload_len).sum();
        let mut batch = Vec::new();
        let log = LogId::from_bytes([1; 16]);
        Encoder::new(1).encode(
            log,
            0,
            &headers,
            &vec![b'z'; total as usize],
            Hash::ZERO,
            &mut batch,
        );
        put("batch", name, &batch);
    }

    packs(&put);
}

/// Seeds for what packs consist of. The first byte says what it is to `pack`.
fn packs(put: &dyn Fn(&str, &str, &[u8])) {
    let with_first = |first: u8, bytes: &[u8]| [&[first], bytes].concat();
    let id = |byte| Hash::from_bytes([byte; 32]);
    let header = PackHeader {
        kind: PackKind::Shared,
        number: 1,
        created: None,
        workspace: WorkspaceId::from_bytes([1; 16]),
        client: ClientId::from_bytes([2; 16]),
        salt: [7; 16],
        writer: "seeds".to_owned(),
        version_minor: 0,
        compatible_features: 0,
    };
    put("pack", "head", &with_first(0, &header.encode_head()));

    let crc = SaltedCrc::new(&[7; 16]);
    let long = [&b"some text "[..]; 2 * CHUNK_LEN / 10 + 1].concat();
    for (name, content, codec) in [
        ("empty", &b""[..], Codec::Stored),
        ("short", b"hello", Codec::Stored),
        ("text", &long[..500], Codec::Zstd),
        ("chunks", &long, Codec::Zstd),
    ] {
        let mut encoder = ChunkEncoder::new(1);
        let mut table = TableBuilder::new(codec);
        let mut data = Vec::new();
        for (index, chunk) in (0..).zip(content.chunks(CHUNK_LEN)) {
            let stored = if codec == Codec::Zstd { encoder.encode(chunk) } else { chunk };
            data.extend_from_slice(stored);
            table.push(chunk_cv(index, chunk), u32::try_from(stored.len()).expect("short"));
        }
        let (table, id) = table.finish(&content[..content.len().min(CHUNK_LEN)]);
        let header = RecordHeader::asset(id, content.len() as u64, codec, data.len() as u64, 3);
        let record = encode_record(header.at(8192, 8192), &data, &table, crc);
        put("pack", name, &with_first(1, &record));
    }
    let dropped = RecordHeader::drop_of(id(9), 1, 8192).at(8320, 8192);
    put("pack", "drop", &with_first(1, &encode_record(dropped, b"", b"", crc)));
    let mark = RecordHeader::mark().at(8440, 8440);
    put("pack", "mark", &with_first(1, &encode_record(mark, b"", b"", crc)));

    let journal = HaveHeader { size: 9 * CHUNK_LEN as u64, id: id(9), salt: [7; 16] };
    let mut bytes = journal.encode().to_vec();
    for (first_chunk, count) in [(0, 2), (6, 3)] {
        let cvs = (0..count).map(id).collect();
        bytes.extend(HaveRow { first_chunk, cvs }.encode(journal.crc()));
    }
    put("pack", "journal", &with_first(2, &bytes));
    put("pack", "pins", &with_first(3, &pins::encode(&[id(1), id(2), id(9)])));

    for (name, count) in [("few", 3_u64), ("many", 600)] {
        let numbers = [count.to_le_bytes(), 4321_u64.to_le_bytes()].concat();
        let hashes = [[1; 32], [2; 32], [3; 32]].concat();
        put("table", name, &[&numbers[..], &hashes, b"and a bit more"].concat());
    }
}

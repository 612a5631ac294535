//! The engine's packs, read by the reference decoder; and frozen ones.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use annals::{AssetMeta, Clock, CollectOptions, Options, OtherCopy, Workspace};

use crate::{
    golden::is_blessing,
    reference::pack::{self, Record},
    support::{Random, TestDisk, files_of},
};

fn options() -> Options {
    Options::default().asset_single_min(64 << 10).clock(Clock::None)
}

/// All packs below a folder by their paths.
fn packs(folder: &Path) -> BTreeMap<String, pack::Pack> {
    let files = files_of(&folder.join("assets"));
    let packs =
        files.into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "pack"));
    packs
        .map(|(path, bytes)| {
            let name = path.to_str().unwrap().to_owned();
            let pack = pack::decode(&bytes).unwrap_or_else(|why| panic!("{name}: {why}"));
            (name, pack)
        })
        .collect()
}

/// What is here by the rules of the text alone: records that no drop is about.
fn present(packs: &BTreeMap<String, pack::Pack>) -> BTreeMap<[u8; 32], Vec<u8>> {
    let all =
        || packs.values().flat_map(|pack| pack.records.iter().map(|record| (pack.number, record)));
    let dropped: Vec<(u64, u64)> = all()
        .filter_map(|(_, record)| match record {
            Record::Drop { number, offset, .. } => Some((*number, *offset)),
            _ => None,
        })
        .collect();
    all()
        .filter_map(|(number, record)| match record {
            Record::Asset { offset, id, content } if !dropped.contains(&(number, *offset)) => {
                Some((*id, content.clone()))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn the_reference_decoder_finds_in_packs_what_the_engine_put_there() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        let mut workspace = Workspace::create(&path, options()).unwrap();
        let mut model = BTreeMap::new();
        for _ in 0..25 {
            let len = [0, 1, 700, 65_536, 65_537, 200_000, 300_000][random.place(7)];
            let mut content = random.bytes(len);
            if random.below(2) == 0 {
                // Compressible, some of its chunks more than others.
                content
                    .iter_mut()
                    .enumerate()
                    .filter(|(at, _)| at % 9 > 1)
                    .for_each(|(_, byte)| *byte = 7);
            }
            let added = workspace.assets().put(&content[..], AssetMeta::named("x")).unwrap();
            model.insert(*added.id.as_bytes(), content);
            match random.below(6) {
                0 => {
                    workspace.assets().evict(&added.id, OtherCopy::Forced).unwrap();
                    model.remove(added.id.as_bytes());
                }
                1 => {
                    workspace.assets().release(&added.id).unwrap();
                    let all = CollectOptions::default().waste_percent_min(0);
                    workspace.assets().collect(&all, |_, _| true).unwrap();
                    model.remove(added.id.as_bytes());
                }
                2 => {
                    workspace.close().unwrap();
                    workspace = Workspace::open(&path, options()).unwrap();
                }
                _ => {}
            }
        }
        workspace.close().unwrap();
        let packs = packs(&path);
        assert!(packs.values().all(|pack| pack.workspace != [0; 16]));
        let present = present(&packs);
        assert!(present == model, "seed {seed}: {} found, {} put", present.len(), model.len());
    }
}

/// A shared pack and a single one, from fixed random numbers; nothing in them is compressed.
fn sample(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let disk = TestDisk::fixed();
    let path = folder.join("w");
    let workspace = Workspace::create_on(disk.arc(), &path, options(), None).unwrap();
    let video = || AssetMeta::named("x").media_type("video/mp4");
    let gone = workspace.assets().put(&b"gone"[..], video()).unwrap();
    workspace.assets().put(&b"hello"[..], video()).unwrap();
    workspace.assets().put(&b""[..], video()).unwrap();
    workspace.assets().put(&vec![1; 70_000][..], video()).unwrap();
    workspace.assets().evict(&gone.id, OtherCopy::Forced).unwrap();
    workspace.close().unwrap();
    let name = |path: &Path| match path.file_stem().unwrap().len() {
        16 => "shared.pack".to_owned(),
        _ => "single.pack".to_owned(),
    };
    files_of(&path.join("assets")).into_iter().map(|(path, bytes)| (name(&path), bytes)).collect()
}

#[test]
fn packs_of_released_versions_stay_readable_and_are_still_written_so() {
    let folder = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1");
    for (name, written) in sample(folder.path()) {
        let path = golden.join(&name);
        if is_blessing() {
            std::fs::write(&path, &written).unwrap();
        }
        let frozen = std::fs::read(&path).unwrap();
        assert!(written == frozen, "{name} is written otherwise now");
        let pack = pack::decode(&frozen).unwrap();
        let contents: Vec<&[u8]> = pack
            .records
            .iter()
            .filter_map(|record| match record {
                Record::Asset { content, .. } => Some(content.as_slice()),
                _ => None,
            })
            .collect();
        if name == "single.pack" {
            assert_eq!((pack.number, contents), (0, vec![&[1; 70_000][..]]));
        } else {
            assert_eq!((pack.number, contents), (1, vec![&b"gone"[..], b"hello", b""]));
            assert!(matches!(
                pack.records[3..],
                [Record::Drop { number: 1, offset: 8192, .. }, Record::Mark]
            ));
        }
    }
}

const BEGIN: &str = "<!-- pack-sample:begin -->\n";
const END: &str = "<!-- pack-sample:end -->";

fn spaced(bytes: &[u8]) -> String {
    if bytes.len() > 4 && bytes.iter().all(|&byte| byte == 0) {
        return format!("00 x {}", bytes.len());
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// The vectors of section 13: what an entry and a URL say of the content `hello`, and its record in the frozen pack.
fn vectors() -> String {
    let id = annals::AssetId::of(b"hello");
    let claim = annals::AssetClaim {
        id,
        size: 5,
        media_type: Some("text/plain".into()),
        name: "a.txt".into(),
        preview: b"p".to_vec(),
    };
    let release = annals::Release {
        id,
        claims: vec![annals::ClaimRef { log: annals::LogId::from_bytes([7; 16]), index: 258 }],
    };
    let url = annals::AssetUrl::from(&claim);
    let mut text = format!(
        "The content `hello` has the id `{id}`, in base32 `{}`. Named `a.txt`, its URL is `{url}`.\n\n",
        id.to_base32()
    );
    text += "| what | bytes |\n|---|---|\n";
    writeln!(
        text,
        "| a claim of it, with the preview `p` | {} |",
        spaced(&claim.encode().unwrap())
    )
    .unwrap();
    write!(
        text,
        "| a release of entry 258 of the log 07..07 | {} |\n\n",
        spaced(&release.encode().unwrap())
    )
    .unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1/shared.pack");
    let file = std::fs::read(golden).unwrap();
    let salt = spaced(&file[80..96]);
    write!(
        text,
        "Its record in a pack with the salt {salt}:\n\n| offset | bytes | field |\n|---|---|---|\n"
    )
    .unwrap();
    // Behind the one of `gone`, which is as long but for a byte.
    let start = 8192 + 128;
    let fields: [(usize, &str); 21] = [
        (4, "`magic`"),
        (1, "`kind` 1"),
        (1, "`flags` critical"),
        (1, "`chunk_log2` 16"),
        (1, "`codec` 0"),
        (4, "`data_pad` 0"),
        (4, "`cipher_suite` 0, zero"),
        (8, "`record_offset`"),
        (8, "`synced_upto`"),
        (32, "`id`"),
        (8, "`size` 5"),
        (8, "`data_len` 5"),
        (12, "`key_epoch` 0, zero"),
        (4, "`header_crc`"),
        (5, "the only chunk: `hello`; there is no table"),
        (3, "zero"),
        (4, "`magic` of the footer"),
        (4, "`table_crc` of no bytes"),
        (8, "`record_len` 128"),
        (4, "`header_crc` again"),
        (4, "`footer_crc`"),
    ];
    let mut at = start;
    for (len, field) in fields {
        writeln!(text, "| {at} | {} | {field} |", spaced(&file[at..at + len])).unwrap();
        at += len;
    }
    assert_eq!(at, start + 128, "the whole record");
    text
}

#[test]
fn the_vectors_of_the_text_are_what_is_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("format-spec.md");
    let spec = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = spec.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    let vectors = vectors();
    if is_blessing() {
        std::fs::write(&path, format!("{before}{BEGIN}{vectors}{END}{after}")).unwrap();
    } else {
        assert!(shown == vectors, "section 13 should show\n{vectors}");
    }
}

//! What `format-spec.md` shows is what the code does.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use annals::{asset, batch, entry, frame};

use crate::{
    golden::{is_blessing, three_changes},
    reference::{self, bytes::hex, column, limits},
};

const BEGIN: &str = "<!-- sample:begin -->";
const END: &str = "<!-- sample:end -->";

fn spec_path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("format-spec.md")
}

/// `1,048,576`, `2^48` or `2^63 - 1`.
fn value(text: &str) -> u64 {
    let text = text.replace(',', "");
    if let Some((base, exponent)) = text.split_once('^') {
        assert_eq!(base, "2");
        let (exponent, less) = exponent.split_once(" - ").unwrap_or((exponent, "0"));
        return (1 << exponent.parse::<u32>().unwrap()) - less.parse::<u64>().unwrap();
    }
    text.parse().unwrap()
}

#[test]
fn limits_are_those_of_the_text() {
    let spec = std::fs::read_to_string(spec_path()).unwrap();
    let section = spec.split("### Limits").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let text: BTreeMap<&str, u64> =
        rows.map(|(name, rest)| (name, value(rest.split(" |").next().unwrap()))).collect();
    let engine = BTreeMap::from([
        ("ENTRY_PAYLOAD_LEN_MAX", entry::ENTRY_PAYLOAD_LEN_MAX.into()),
        ("BATCH_ENTRY_COUNT_MAX", batch::BATCH_ENTRY_COUNT_MAX.into()),
        ("BATCH_META_LEN_MAX", batch::BATCH_META_LEN_MAX.into()),
        ("BATCH_PAYLOAD_LEN_MAX", batch::BATCH_PAYLOAD_LEN_MAX.into()),
        ("BATCH_EXTENSION_LEN_MAX", batch::BATCH_EXTENSION_LEN_MAX.into()),
        ("FRAME_PAYLOAD_LEN_MAX", frame::FRAME_PAYLOAD_LEN_MAX.into()),
        ("LOG_ENTRY_COUNT_MAX", entry::LOG_ENTRY_COUNT_MAX),
        ("STREAM_NAME_LEN_MAX", entry::STREAM_NAME_LEN_MAX as u64),
        ("STREAM_COUNT_MAX", entry::STREAM_COUNT_MAX.into()),
        ("FRONTIER_LOG_COUNT_MAX", entry::FRONTIER_LOG_COUNT_MAX as u64),
        ("LAMPORT_MAX", entry::LAMPORT_MAX),
        ("ASSET_SIZE_MAX", asset::ASSET_SIZE_MAX),
        ("ASSET_NAME_LEN_MAX", asset::ASSET_NAME_LEN_MAX as u64),
        ("ASSET_MEDIA_TYPE_LEN_MAX", asset::ASSET_MEDIA_TYPE_LEN_MAX as u64),
        ("ASSET_PREVIEW_LEN_MAX", asset::ASSET_PREVIEW_LEN_MAX as u64),
        ("RELEASE_CLAIM_COUNT_MAX", asset::RELEASE_CLAIM_COUNT_MAX as u64),
        ("PIN_COUNT_MAX", asset::PIN_COUNT_MAX),
        ("REDACTION_REASON_LEN_MAX", entry::REDACTION_REASON_LEN_MAX as u64),
    ]);
    assert_eq!(text, engine);
    let reference = BTreeMap::from([
        ("ENTRY_PAYLOAD_LEN_MAX", limits::ENTRY_PAYLOAD_LEN_MAX),
        ("BATCH_ENTRY_COUNT_MAX", limits::BATCH_ENTRY_COUNT_MAX.into()),
        ("BATCH_META_LEN_MAX", limits::BATCH_META_LEN_MAX.into()),
        ("BATCH_PAYLOAD_LEN_MAX", limits::BATCH_PAYLOAD_LEN_MAX.into()),
        ("BATCH_EXTENSION_LEN_MAX", limits::BATCH_EXTENSION_LEN_MAX.into()),
        ("FRAME_PAYLOAD_LEN_MAX", limits::FRAME_PAYLOAD_LEN_MAX.into()),
        ("LOG_ENTRY_COUNT_MAX", limits::LOG_ENTRY_COUNT_MAX),
        ("STREAM_NAME_LEN_MAX", limits::STREAM_NAME_LEN_MAX as u64),
        ("STREAM_COUNT_MAX", limits::STREAM_COUNT_MAX.into()),
        ("FRONTIER_LOG_COUNT_MAX", limits::FRONTIER_LOG_COUNT_MAX as u64),
        ("LAMPORT_MAX", limits::LAMPORT_MAX),
        ("ASSET_SIZE_MAX", limits::ASSET_SIZE_MAX),
        ("ASSET_NAME_LEN_MAX", limits::ASSET_NAME_LEN_MAX as u64),
        ("ASSET_MEDIA_TYPE_LEN_MAX", limits::ASSET_MEDIA_TYPE_LEN_MAX as u64),
        ("ASSET_PREVIEW_LEN_MAX", limits::ASSET_PREVIEW_LEN_MAX as u64),
        ("RELEASE_CLAIM_COUNT_MAX", limits::RELEASE_CLAIM_COUNT_MAX.into()),
        ("PIN_COUNT_MAX", limits::PIN_COUNT_MAX),
        ("REDACTION_REASON_LEN_MAX", limits::REDACTION_REASON_LEN_MAX as u64),
    ]);
    assert_eq!(text, reference);
}

/// How the bytes of a field are explained.
#[derive(Clone, Copy)]
enum Show {
    /// By the name alone.
    Name,
    /// And as a number.
    Number,
    /// And as text.
    Text,
}
use Show::{Name, Number, Text};

/// Length, name, and what is shown, in the order of the table.
type Field = (usize, &'static str, Show);

/// S-2.
const HEADER: [Field; 30] = [
    (8, "`magic`", Name),
    (2, "`version_major`", Number),
    (2, "`version_minor`", Number),
    (1, "`unit`", Number),
    (1, "`hash_suite`", Number),
    (1, "`align_log2`", Number),
    (1, "`flags`", Number),
    (8, "`compatible_features`", Number),
    (8, "`incompatible_features`", Number),
    (8, "`generation`", Number),
    (8, "`carried_upto`", Number),
    (16, "`workspace`", Name),
    (16, "`client`", Name),
    (16, "`log`", Name),
    (16, "`salt`", Name),
    (8, "`created`", Number),
    (8, "`first_index`", Number),
    (16, "`predecessor_log`", Name),
    (8, "`predecessor_size`", Number),
    (32, "`predecessor_root`", Name),
    (32, "`writer`", Text),
    (4, "`salts_len`", Number),
    (4, "zero", Name),
    (8, "`salts_offset`", Number),
    (8, "`compacted_upto`", Number),
    (8, "`compacted_frames`", Number),
    (8, "zero", Name),
    (16, "salt record (P-3): version 1, `node_count` 1, `group_count` 0", Name),
    (16, "the node: `depth` 0, `position` 0", Name),
    (32, "its value, the root of the salt tree", Name),
];

/// C-1, for three entries.
const CHECKPOINT: [Field; 19] = [
    (8, "`magic`", Name),
    (8, "`sequence`", Number),
    (8, "`generation`", Number),
    (8, "`incarnation`", Name),
    (4, "`opening`", Number),
    (4, "`flags`", Number),
    (8, "`durable_len`", Number),
    (8, "`entry_count`", Number),
    (8, "`change_count`", Number),
    (8, "`payload_bytes`", Number),
    (8, "`frame_count`", Number),
    (8, "`lamport`", Number),
    (8, "`time_max` none", Name),
    (4, "`stream_count`", Number),
    (4, "`last_header_crc`", Name),
    (32, "`root` of 3 entries", Name),
    (4, "`peak_count`", Number),
    (32, "peak: entries 0 and 1", Name),
    (32, "peak: entry 2", Name),
];

/// F-1.
const FRAME: [Field; 15] = [
    (4, "`magic`", Text),
    (1, "`kind`", Number),
    (1, "`flags` critical, copy", Number),
    (2, "zero", Name),
    (4, "`payload_len`", Number),
    (4, "`payload_crc`", Name),
    (8, "`frame_offset`", Number),
    (8, "`generation`", Number),
    (8, "`incarnation`", Name),
    (8, "`synced_upto`", Number),
    (8, "`first_index`", Number),
    (4, "`entry_count`", Number),
    (4, "`link` the link seed", Name),
    (4, "`opening`", Number),
    (4, "`header_crc`", Name),
];

/// B-1.
const BATCH: [Field; 15] = [
    (4, "`magic`", Text),
    (1, "`meta_codec`", Number),
    (1, "`payload_codec`", Number),
    (1, "`cipher_suite`", Number),
    (1, "zero", Name),
    (4, "`key_epoch`", Number),
    (4, "`flags`", Number),
    (16, "`log`", Name),
    (8, "`first_index`", Number),
    (4, "`entry_count`", Number),
    (4, "`extension_len`", Number),
    (4, "`meta_raw_len`", Number),
    (4, "`meta_len`", Number),
    (4, "`payload_raw_len`", Number),
    (4, "`payload_len`", Number),
];

/// A segment as a table.
struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    out: String,
}

impl Table<'_> {
    fn title(&mut self, title: &str) {
        write!(self.out, "\n{title}\n\n| offset | bytes | field |\n|---|---|---|\n").unwrap();
    }

    fn row(&mut self, len: usize, meaning: &str) {
        let bytes = &self.bytes[self.at..self.at + len];
        let shown = if len > 4 && bytes.iter().all(|&byte| byte == 0) {
            format!("00 x {len}")
        } else {
            let end = bytes.iter().rposition(|&byte| byte != 0).map_or(len, |last| last + 1);
            let zeros = len - end;
            let kept = if zeros > 8 { end } else { len };
            let digits: Vec<String> = bytes[..kept].iter().map(|&byte| hex(&[byte])).collect();
            let rest = if kept < len { format!(" 00 x {zeros}") } else { String::new() };
            digits.join(" ") + &rest
        };
        writeln!(self.out, "| {} | {shown} | {meaning} |", self.at).unwrap();
        self.at += len;
    }

    fn fields(&mut self, fields: &[Field]) {
        for &(len, name, show) in fields {
            let bytes = &self.bytes[self.at..self.at + len];
            let meaning = match show {
                Name => name.to_owned(),
                Number => {
                    let mut number = [0; 8];
                    number[..len].copy_from_slice(bytes);
                    format!("{name} {}", u64::from_le_bytes(number))
                }
                Text => format!("{name} \"{}\"", reference::bytes::padded_text(bytes)),
            };
            self.row(len, &meaning);
        }
    }
}

/// The segment of the sample, field by field.
fn sample(bytes: &[u8]) -> String {
    let segment = reference::segment::decode(bytes).unwrap();
    let [frame] = segment.frames.as_slice() else { panic!("one commit is one frame") };
    let batch = &segment.batches[0].batch;
    let mut table = Table { bytes, at: 0, out: String::new() };
    table.title("**Header, unit 0.** Unit 1 at 4096 is the same but for `unit` and `crc`.");
    table.fields(&HEADER);
    table.row(4092 - table.at, "zero");
    table.row(4, "`crc`");
    table.at = 8192;
    table.title(
        "**Checkpoint slots.** Slot 0 was never written; slot 1 was, when the log was closed.",
    );
    table.row(4096, "slot 0");
    table.fields(&CHECKPOINT);
    table.row(16_380 - table.at, "zero");
    table.row(4, "`crc`");
    table.title("**The frame**");
    table.fields(&FRAME);
    table.title("**Its payload, a batch**");
    table.fields(&BATCH);
    table.row(32, "`root` of 3 entries");
    let meta_at = table.at;
    let meta = &bytes[meta_at..meta_at + usize::try_from(batch.meta_len).unwrap()];
    let mut at = 0;
    for name in ["kind", "flags", "stream", "payload_len", "lamport", "timestamp"] {
        let start = at;
        let encoding = ["constant", "linear", "plain", "delta", "runs"][usize::from(meta[at])];
        let values = column::decode(meta, &mut at, batch.entries.len()).unwrap();
        let none = values.iter().all(|&value| name == "timestamp" && value == 1 << 63);
        let shown = if none { "none".to_owned() } else { format!("{values:?}") };
        table.row(at - start, &format!("column `{name}`, {encoding}: {shown}"));
    }
    table.row(usize::try_from(batch.payload_len).unwrap(), "payloads \"a\", \"b\", \"c\"");
    table.title("**The end of the frame**");
    let trailer = usize::try_from(frame.end()).unwrap() - 8;
    if table.at < trailer {
        table.row(trailer - table.at, "zero");
    }
    table.fields(&[(4, "`frame_len`", Number), (4, "`header_crc`", Name)]);
    assert_eq!(table.at, bytes.len());
    table.out
}

#[test]
fn the_sample_is_what_the_engine_writes() {
    let folder = tempfile::tempdir().unwrap();
    let sample = sample(&three_changes(folder.path()));
    let spec = std::fs::read_to_string(spec_path()).unwrap();
    let (before, rest) = spec.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if is_blessing() {
        std::fs::write(spec_path(), format!("{before}{BEGIN}\n{sample}\n{END}{after}")).unwrap();
    } else {
        assert!(shown.trim() == sample.trim(), "section 16 should be\n{sample}");
    }
}

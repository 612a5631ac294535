//! Packs (section 13): heads, records, tables, chunks, from a whole file in memory.

use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::bytes::{
    array_at, crc, ensure, part, roundup, salted_crc, to_u64, to_usize, u8_at, u16_at, u32_at,
    u64_at, zero_at,
};

const HEAD_LEN: u64 = 8192;
const CHUNK_LEN: u64 = 65_536;

/// A record, with its content if it is an asset.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Record {
    Asset { offset: u64, id: [u8; 32], content: Vec<u8> },
    Drop { id: [u8; 32], number: u64, offset: u64 },
    Mark,
}

/// All that a pack holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pack {
    pub(crate) number: u64,
    pub(crate) workspace: [u8; 16],
    pub(crate) records: Vec<Record>,
}

/// Decodes a pack of which nothing is damaged; every content is verified against its id (K-6).
pub(crate) fn decode(file: &[u8]) -> Result<Pack, String> {
    let (first, second) = (part(file, 0, 4096)?, part(file, 4096, 4096)?);
    for (number, unit) in [(0, first), (1, second)] {
        ensure(unit.starts_with(&[0x89, 0x41, 0x4E, 0x4C, 0x50, 0x0D, 0x0A, 0x1A]), || {
            "K-1: magic".into()
        })?;
        ensure(u32_at(unit, 4092)? == crc(part(unit, 0, 4092)?), || "K-1: crc".into())?;
        ensure(u8_at(unit, 12)? == number, || "K-1: unit".into())?;
        ensure((u16_at(unit, 8)?, u8_at(unit, 13)?) == (1, 1), || "K-1: version".into())?;
        ensure(u64_at(unit, 24)? == 0, || "S-4: incompatible".into())?;
        zero_at(unit, 15, 1, "K-1")?;
        zero_at(unit, 128, 3964, "K-1")?;
    }
    ensure(first[..12] == second[..12] && first[13..4092] == second[13..4092], || {
        "K-1: units".into()
    })?;
    let (kind, number) = (u8_at(first, 14)?, u64_at(first, 32)?);
    ensure(matches!((kind, number), (1, 1..) | (2, 0)), || "K-1: kind and number".into())?;
    let salt = array_at(first, 80)?;
    let mut records = Vec::new();
    let mut at = HEAD_LEN;
    while at < to_u64(file.len()) {
        let (record, end) =
            record(file, at, &salt).map_err(|why| format!("record at {at}: {why}"))?;
        records.push(record);
        at = end;
    }
    if kind == 2 {
        let is_single = matches!(records[..], [Record::Asset { offset: HEAD_LEN, .. }]);
        ensure(is_single && u32_at(file, 8200)? == 4000, || "K-7".into())?;
    }
    Ok(Pack { number, workspace: array_at(first, 48)?, records })
}

fn record(file: &[u8], offset: u64, salt: &[u8; 16]) -> Result<(Record, u64), String> {
    let start = to_usize(offset)?;
    let header = part(file, start, 96)?;
    ensure(header.starts_with(b"ANK1"), || "magic".into())?;
    let header_crc = u32_at(header, 92)?;
    ensure(header_crc == salted_crc(salt, &header[..92]), || "header crc".into())?;
    let (kind, flags, chunk_log2, codec) =
        (u8_at(header, 4)?, u8_at(header, 5)?, u8_at(header, 6)?, u8_at(header, 7)?);
    ensure(flags == 1, || "flags".into())?;
    let data_pad = u64::from(u32_at(header, 8)?);
    ensure(data_pad <= 4096, || "data_pad".into())?;
    zero_at(header, 12, 4, "cipher suite")?;
    ensure(u64_at(header, 16)? == offset, || "record_offset".into())?;
    let synced_upto = u64_at(header, 24)?;
    ensure((HEAD_LEN..=offset).contains(&synced_upto), || "synced_upto".into())?;
    let id: [u8; 32] = array_at(header, 32)?;
    let (size, said_len) = (u64_at(header, 64)?, u64_at(header, 72)?);
    zero_at(header, 80, 12, "key epoch")?;
    let is_asset = kind == 1;
    let (chunks, data_len) = if is_asset { (size.div_ceil(CHUNK_LEN), said_len) } else { (0, 0) };
    ensure(
        if is_asset { chunk_log2 == 16 && codec <= 1 } else { chunk_log2 == 0 && codec == 0 },
        || "format".into(),
    )?;
    let levels = level_lens(chunks);
    let table_len = 32 * levels.iter().sum::<u64>() + if codec == 1 { 8 * chunks } else { 0 };
    let record_len = roundup(96 + data_pad + data_len + table_len + 24, 8);
    let bytes = part(file, start, to_usize(record_len)?)?;
    let data_at = to_usize(96 + data_pad)?;
    zero_at(bytes, 96, to_usize(data_pad)?, "pad")?;
    let data = part(bytes, data_at, to_usize(data_len)?)?;
    let table = part(bytes, data_at + data.len(), to_usize(table_len)?)?;
    let zeros_at = data_at + data.len() + table.len();
    zero_at(bytes, zeros_at, bytes.len() - 24 - zeros_at, "zeros")?;
    let footer = &bytes[bytes.len() - 24..];
    ensure(footer.starts_with(b"ANK2"), || "footer magic".into())?;
    ensure(u32_at(footer, 4)? == salted_crc(salt, table), || "table crc".into())?;
    ensure(u64_at(footer, 8)? == record_len, || "record_len".into())?;
    ensure(u32_at(footer, 16)? == header_crc, || "header crc again".into())?;
    ensure(u32_at(footer, 20)? == salted_crc(salt, &footer[..20]), || "footer crc".into())?;
    let record = match kind {
        1 => {
            Record::Asset { offset, id, content: content(&id, size, codec, data, table, &levels)? }
        }
        2 => Record::Drop { id, number: size, offset: said_len },
        3 => {
            ensure(synced_upto == offset && size == 0 && said_len == 0 && id == [0; 32], || {
                "mark".into()
            })?;
            Record::Mark
        }
        _ => return Err("K-3: unknown kind".into()),
    };
    Ok((record, offset + record_len))
}

/// Hashes of each level (K-5).
fn level_lens(chunks: u64) -> Vec<u64> {
    let mut lens = Vec::new();
    if chunks > 1 {
        lens.push(chunks);
        while lens[lens.len() - 1] > 256 {
            lens.push(lens[lens.len() - 1].div_ceil(256));
        }
    }
    lens
}

fn content(
    id: &[u8; 32],
    size: u64,
    codec: u8,
    data: &[u8],
    table: &[u8],
    levels: &[u64],
) -> Result<Vec<u8>, String> {
    let chunks = size.div_ceil(CHUNK_LEN);
    let ends_at = to_usize(32 * levels.iter().sum::<u64>())?;
    let mut content = Vec::new();
    let (mut start, mut cvs) = (0, Vec::new());
    for number in 0..chunks {
        let raw_len = to_usize(CHUNK_LEN.min(size - number * CHUNK_LEN))?;
        let end = match codec {
            0 => start + raw_len,
            _ => to_usize(u64_at(table, ends_at + 8 * to_usize(number)?)?)?,
        };
        ensure(start < end && end - start <= raw_len, || "K-4: chunk length".into())?;
        let stored = part(data, start, end - start)?;
        let chunk = if stored.len() == raw_len {
            stored.to_vec()
        } else {
            zstd::bulk::decompress(stored, raw_len).map_err(|error| error.to_string())?
        };
        ensure(chunk.len() == raw_len, || "K-4: raw length".into())?;
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(number * CHUNK_LEN).update(&chunk);
        if chunks > 1 {
            cvs.push(hasher.finalize_non_root());
        }
        content.extend_from_slice(&chunk);
        start = end;
    }
    ensure(start == data.len(), || "K-5: the last end is data_len".into())?;
    ensure(*blake3::hash(&content).as_bytes() == *id, || "A-1: id".into())?;
    // K-6, level by level.
    let mut at = 0;
    let mut below = cvs;
    for (level, len) in levels.iter().enumerate() {
        if level > 0 {
            below = below.chunks(256).map(tree).collect();
        }
        ensure(to_u64(below.len()) == *len, || "K-5: level".into())?;
        for cv in &below {
            ensure(array_at::<32>(table, at)? == *cv, || format!("K-6: level {level}"))?;
            at += 32;
        }
    }
    if !levels.is_empty() {
        let (left, right) = below.split_at(left_len(below.len()));
        let root = merge_subtrees_root(&tree(left), &tree(right), Mode::Hash);
        ensure(root.as_bytes() == id, || "K-6: root".into())?;
    }
    Ok(content)
}

/// The largest power of two below `len`.
fn left_len(len: usize) -> usize {
    let mut left = 1;
    while left * 2 < len {
        left *= 2;
    }
    left
}

fn tree(nodes: &[[u8; 32]]) -> [u8; 32] {
    if let [node] = nodes {
        return *node;
    }
    let (left, right) = nodes.split_at(left_len(nodes.len()));
    merge_subtrees_non_root(&tree(left), &tree(right), Mode::Hash)
}

//! Packs: heads, records, journals and pins. What decodes is encoded as it was; what is damaged is refused.

use std::{convert::Infallible, ops::Range};

use annals::{
    Hash,
    bytes::{SaltedCrc, crc},
    pack::{
        CHUNK_LEN, ChunkDecoder, Codec, Footer, HaveHeader, PACK_UNIT_LEN, RECORD_FOOTER_LEN,
        RECORD_HEADER_LEN, Record, RecordHeader, UnitState, Verifier, decode_head, decode_record,
        encode_record, have::HAVE_HEADER_LEN, pins, relocate,
    },
};

/// Most chunks of a record that are looked at.
const CHUNK_COUNT_MAX: u64 = 4;

/// The salted checksums of all records here.
fn salted() -> SaltedCrc {
    SaltedCrc::new(&[7; 16])
}

/// The target `pack`: the bytes as they are, and again with checksums that are right.
pub fn pack(data: &[u8]) {
    let Some((&what, data)) = data.split_first() else { return };
    match what % 4 {
        0 => {
            head(data);
            let mut units = data.to_vec();
            units.resize(2 * PACK_UNIT_LEN, 0);
            for unit in units.chunks_mut(PACK_UNIT_LEN) {
                seal(unit, crc);
            }
            head(&units);
        }
        1 => {
            record(data);
            record(&sealed_record(data));
        }
        2 => journal(data),
        _ => {
            for body in [data.to_vec(), sealed_pins(data)] {
                if let Ok(ids) = pins::decode(&body) {
                    assert_eq!(pins::encode(&ids), body, "there is one encoding");
                }
            }
        }
    }
}

/// Makes the last four bytes the checksum of those before.
fn seal(bytes: &mut [u8], checksum: impl Fn(&[u8]) -> u32) {
    if let Some((body, end)) = bytes.split_last_chunk_mut::<4>() {
        *end = checksum(body).to_le_bytes();
    }
}

fn head(bytes: &[u8]) {
    let Ok(decoded) = decode_head(bytes) else { return };
    // Names that are not UTF-8 are shown as well as can be.
    if decoded.header.writer.contains('\u{FFFD}') {
        return;
    }
    let again = decoded.header.encode_head();
    for (number, state) in decoded.units.into_iter().enumerate() {
        let unit = number * PACK_UNIT_LEN..(number + 1) * PACK_UNIT_LEN;
        assert!(state == UnitState::Damaged || again[unit.clone()] == bytes[unit]);
    }
}

/// A record with checksums that are right, in the place that it names.
fn sealed_record(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    if bytes.len() < RECORD_HEADER_LEN {
        return bytes;
    }
    seal(&mut bytes[..RECORD_HEADER_LEN], |bytes| salted().crc(bytes));
    let Some(header) = header(&bytes) else { return bytes };
    // The record is as long as its header says, if that is not absurd.
    if header.record_len() > 1 << 20 {
        return bytes;
    }
    bytes.resize(usize::try_from(header.record_len()).unwrap(), 0);
    let at = |offset: u64| usize::try_from(offset - header.offset).unwrap();
    let head = bytes[..RECORD_HEADER_LEN].first_chunk().unwrap();
    let table = &bytes[at(header.table_offset())..][..usize::try_from(header.table_len()).unwrap()];
    let footer = Footer::of(&header, RecordHeader::header_crc(head), table, salted());
    let start = bytes.len() - RECORD_FOOTER_LEN;
    bytes[start..].copy_from_slice(&footer.encode(salted()));
    bytes
}

/// The header of a record in the place that it names.
fn header(bytes: &[u8]) -> Option<RecordHeader> {
    let head = bytes.first_chunk::<RECORD_HEADER_LEN>()?;
    let offset = u64::from_le_bytes(*head[16..].first_chunk()?);
    let header = RecordHeader::decode(head, offset, salted()).ok()?;
    assert_eq!(&header.encode(salted()), head, "there is one encoding");
    assert_eq!(header.end_offset() - header.offset, header.record_len());
    Some(header)
}

fn record(bytes: &[u8]) {
    let Some(header) = header(bytes) else { return };
    let Ok(record) = decode_record(bytes, header.offset, salted()) else { return };
    let len = usize::try_from(header.record_len()).unwrap();
    let mut again = encode_record(header, record.data, record.table, salted());
    assert_eq!(again, bytes[..len], "there is one encoding");

    let there = SaltedCrc::new(b"there");
    let moved = relocate(&mut again, 1 << 20, 1 << 20, there);
    let found = decode_record(&again, 1 << 20, there).expect("it was moved");
    assert_eq!(found, Record { header: moved, ..record });
    chunks(&record);
}

/// Reads chunks as a store does: whatever the table says, that ends with a chunk or a reason.
fn chunks(record: &Record<'_>) {
    let header = &record.header;
    let shape = header.shape();
    let number = |at: u64| {
        let bytes = record.table[usize::try_from(at).unwrap()..].first_chunk();
        u64::from_le_bytes(*bytes.expect("the table is as long as its shape"))
    };
    let end = |chunk: u64| number(shape.ends_offset() + 8 * chunk);
    let mut verifier = Verifier::new(header.id, header.size);
    let mut decoder = ChunkDecoder::new();
    let mut content = Vec::new();
    for chunk in 0..header.chunk_count().min(CHUNK_COUNT_MAX) {
        let ends = match header.codec {
            Codec::Stored => (0, 0),
            Codec::Zstd => (chunk.checked_sub(1).map_or(0, end), end(chunk)),
        };
        let Ok(place) = header.chunk_place(chunk, ends) else { continue };
        let at = |offset: u64| usize::try_from(offset - header.data_offset()).unwrap();
        let stored = &record.data[at(place.start)..at(place.end)];
        let raw_len = header.chunk_len(chunk);
        if header.codec == Codec::Stored {
            assert_eq!(stored.len(), raw_len);
            content = stored.to_vec();
        } else if decoder.decode(stored, raw_len, &mut content).is_err() {
            continue;
        }
        assert!(content.len() == raw_len && raw_len <= CHUNK_LEN);
        let node = |level, j| {
            let at = usize::try_from(shape.node_offset(level, j)).unwrap();
            Hash::from_bytes(*record.table[at..].first_chunk().unwrap())
        };
        let nodes = |level, range: Range<u64>| {
            Ok::<_, Infallible>(range.map(|j| node(level, j)).collect::<Vec<_>>())
        };
        let _ = verifier.verify_chunk(chunk, &content, nodes);
    }
}

fn journal(data: &[u8]) {
    let Some((head, rows)) = data.split_first_chunk::<HAVE_HEADER_LEN>() else { return };
    let mut sealed = *head;
    seal(&mut sealed[..68], crc);
    for head in [*head, sealed] {
        let Ok(header) = HaveHeader::decode(&head) else { continue };
        assert_eq!(header.encode(), head, "there is one encoding");
        let mut rest = rows;
        while let Some((row, len)) = header.decode_row(rest) {
            assert_eq!(row.encode(header.crc()), rest[..len], "there is one encoding");
            rest = &rest[len..];
        }
        // The first row again, with a checksum that is right.
        let mut row = rows.to_vec();
        let Some(count) = row.get(8..12).and_then(|count| count.first_chunk()) else { continue };
        let hashes = usize::try_from(u32::from_le_bytes(*count)).unwrap().saturating_mul(32);
        let Some(body) = row.get(16..).and_then(|body| body.get(..hashes)) else { continue };
        let checksum = header.crc().bound_to(&row[..12]).crc(body);
        row[12..16].copy_from_slice(&checksum.to_le_bytes());
        if let Some((found, len)) = header.decode_row(&row) {
            assert_eq!(found.encode(header.crc()), row[..len], "there is one encoding");
        }
    }
}

fn sealed_pins(data: &[u8]) -> Vec<u8> {
    let mut body = data.to_vec();
    seal(&mut body, crc);
    body
}

//! Footers, and records in one piece (K-2, K-3).

use super::{RECORD_FOOTER_LEN, RECORD_HEADER_LEN, RecordError, RecordHeader};
use crate::bytes::{Put as _, Reader, SaltedCrc, fixed};

const MAGIC: [u8; 4] = *b"ANK2";
const CRC_OFFSET: usize = RECORD_FOOTER_LEN - 4;

/// The end of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Footer {
    /// Salted CRC of the table, of no bytes if there is none.
    pub table_crc: u32,
    /// Length of the whole record, in bytes.
    pub record_len: u64,
    /// The checksum of the record's header.
    pub header_crc: u32,
}

impl Footer {
    /// The footer of the record with this header, whose encoded form ends with `header_crc`.
    pub fn of(header: &RecordHeader, header_crc: u32, table: &[u8], crc: SaltedCrc) -> Self {
        Self { table_crc: crc.crc(table), record_len: header.record_len(), header_crc }
    }

    /// Encodes the footer.
    pub fn encode(&self, crc: SaltedCrc) -> [u8; RECORD_FOOTER_LEN] {
        fixed(|out| {
            out.put(&MAGIC);
            out.put_u32(self.table_crc);
            out.put_u64(self.record_len);
            out.put_u32(self.header_crc);
            out.put_u32(crc.crc(out));
        })
    }

    /// Decodes the footer of the record with this header; its encoded form ends with `header_crc`.
    ///
    /// # Errors
    ///
    /// [`RecordError::Footer`] if it is damaged or of another record.
    pub fn decode(
        bytes: &[u8; RECORD_FOOTER_LEN],
        header: &RecordHeader,
        header_crc: u32,
        crc: SaltedCrc,
    ) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.array()?;
        let footer =
            Self { table_crc: reader.u32()?, record_len: reader.u64()?, header_crc: reader.u32()? };
        let is_sound = reader.u32()? == crc.crc(&bytes[..CRC_OFFSET]) && magic == MAGIC;
        let belongs = footer.record_len == header.record_len() && footer.header_crc == header_crc;
        if is_sound && belongs { Ok(footer) } else { Err(RecordError::Footer) }
    }
}

/// A sound record in one piece.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    /// Its header.
    pub header: RecordHeader,
    /// Its data: the chunks of an asset as they stand in the file. They are not verified yet.
    pub data: &'a [u8],
    /// Its table, whose checksum is right.
    pub table: &'a [u8],
}

/// A whole record in memory: of a small asset, a drop or a mark.
///
/// Cost: one copy of the data, one CRC of the table.
///
/// # Panics
///
/// If the header is not valid (K-3), or data and table are not as long as it says.
pub fn encode_record(header: RecordHeader, data: &[u8], table: &[u8], crc: SaltedCrc) -> Vec<u8> {
    let encoded = header.encode(crc);
    let record_len = usize::try_from(header.record_len()).expect("the record fits into memory");
    let mut out = Vec::with_capacity(record_len);
    out.put(&encoded);
    out.pad_to(to_usize(header.data_offset() - header.offset));
    out.put(data);
    assert!(out.len() as u64 == header.table_offset() - header.offset, "the data has its length");
    out.put(table);
    assert!(table.len() as u64 == header.table_len(), "the table has its length");
    out.pad_to(record_len - RECORD_FOOTER_LEN);
    let header_crc = RecordHeader::header_crc(&encoded);
    out.put(&Footer::of(&header, header_crc, table, crc).encode(crc));
    out
}

/// Decodes the record at the start of `bytes`, which lie at `offset` of a file, and checks that it is
/// sound (K-3). What follows it is left alone.
///
/// Cost: one CRC of the table; the data is not looked at.
///
/// # Errors
///
/// What is wrong with it. [`RecordError::Padding`] if `bytes` end before the record does, and
/// [`RecordError::Magic`] if they end inside its header.
pub fn decode_record(bytes: &[u8], offset: u64, crc: SaltedCrc) -> Result<Record<'_>, RecordError> {
    let (head, _) = bytes.split_first_chunk().ok_or(RecordError::Magic)?;
    let header = RecordHeader::decode(head, offset, crc)?;
    let len = usize::try_from(header.record_len()).map_err(|_| RecordError::Padding)?;
    let bytes = bytes.get(..len).ok_or(RecordError::Padding)?;
    let (rest, footer) = bytes.split_last_chunk().ok_or(RecordError::Padding)?;
    let footer = Footer::decode(footer, &header, RecordHeader::header_crc(head), crc)?;

    let mut reader = Reader::new(rest);
    let mut part = |len: u64| reader.take(to_usize(len)).map_err(|_| RecordError::Padding);
    part(RECORD_HEADER_LEN as u64)?;
    let pad = part(header.data_pad.into())?;
    let data = part(header.table_offset() - header.data_offset())?;
    let table = part(header.table_len())?;
    if pad.iter().chain(reader.rest()).any(|&byte| byte != 0) {
        return Err(RecordError::Padding);
    }
    if crc.crc(table) != footer.table_crc {
        return Err(RecordError::TableCrc);
    }
    Ok(Record { header, data, table })
}

/// Moves an encoded record to `offset` of another file, with another salt: rewrites `record_offset`,
/// `synced_upto` and all checksums in place (K-12), and returns the header.
///
/// Cost: one CRC of the table. The old checksums are not looked at.
///
/// # Panics
///
/// If `record` is not, as a whole, a record that was found sound, or must not stand there.
pub fn relocate(record: &mut [u8], offset: u64, synced_upto: u64, crc: SaltedCrc) -> RecordHeader {
    let head: &mut [u8; RECORD_HEADER_LEN] = record.first_chunk_mut().expect("a whole record");
    head[16..24].copy_from_slice(&offset.to_le_bytes());
    head[24..32].copy_from_slice(&synced_upto.to_le_bytes());
    let checksum = crc.crc(&head[..RECORD_HEADER_LEN - 4]);
    head[RECORD_HEADER_LEN - 4..].copy_from_slice(&checksum.to_le_bytes());
    let head = *head;
    let header = RecordHeader::decode(&head, offset, crc).expect("a sound record, at its place");
    assert!(record.len() as u64 == header.record_len(), "the record is there as a whole");

    let table = to_usize(header.table_offset() - offset);
    let table = &record[table..table + to_usize(header.table_len())];
    let footer = Footer::of(&header, checksum, table, crc).encode(crc);
    *record.last_chunk_mut().expect("a whole record") = footer;
    header
}

/// Lengths inside of a record that lies in memory.
fn to_usize(len: u64) -> usize {
    usize::try_from(len).expect("the record is in memory as a whole")
}

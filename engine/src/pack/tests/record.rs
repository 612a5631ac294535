//! Record headers, footers and whole records: K-2, K-3.

use proptest::prelude::*;

use super::{crc, encode, noise};
use crate::{
    bytes::{Hash, SaltedCrc},
    pack::{
        ASSET_SIZE_MAX, CHUNK_LEN, Codec, DATA_PAD_MAX, Footer, LaterVersion, RECORD_HEADER_LEN,
        RecordError, RecordHeader, RecordKind, SINGLE_DATA_PAD, decode_record, encode_record,
        relocate,
    },
};

const ID: Hash = Hash::from_bytes([0xAB; 32]);

fn any_header() -> impl Strategy<Value = RecordHeader> {
    let asset =
        (any::<[u8; 32]>(), 0..=ASSET_SIZE_MAX, any::<bool>(), 0..=DATA_PAD_MAX, any::<u64>());
    let asset = asset.prop_map(|(id, size, stored, pad, len)| {
        let (codec, data_len) =
            if stored { (Codec::Stored, size) } else { (Codec::Zstd, len % (size + 1)) };
        RecordHeader::asset(Hash::from_bytes(id), size, codec, data_len, pad)
    });
    let dropped = (any::<[u8; 32]>(), 1..=u64::MAX, 1024..u64::MAX / 8)
        .prop_map(|(id, number, at)| RecordHeader::drop_of(Hash::from_bytes(id), number, at * 8));
    let other = (4..=255_u8, any::<bool>(), 0..=DATA_PAD_MAX, any::<u64>(), 0..=ASSET_SIZE_MAX);
    let other = other.prop_map(|(kind, critical, data_pad, size, data_len)| RecordHeader {
        kind: RecordKind::Other(kind),
        critical,
        data_pad,
        id: ID,
        size,
        data_len,
        ..RecordHeader::mark()
    });
    let kinds = prop_oneof![4 => asset, 1 => dropped, 1 => Just(RecordHeader::mark()), 1 => other];
    (kinds, 1024..1_u64 << 40, any::<u64>()).prop_map(|(header, at, synced)| {
        let offset = at * 8;
        let is_mark = header.kind == RecordKind::Mark;
        let synced_upto = if is_mark { offset } else { 8192 + synced % (offset - 8191) };
        header.at(offset, synced_upto)
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_at_its_place_only(header in any_header(), elsewhere: u64) {
        let encoded = header.encode(crc());
        prop_assert_eq!(RecordHeader::decode(&encoded, header.offset, crc()), Ok(header));
        let misplaced = RecordHeader::decode(&encoded, elsewhere, crc());
        prop_assert!(elsewhere == header.offset || misplaced == Err(RecordError::Misplaced(header.offset)));
        let other_pack = SaltedCrc::new(&[0; 16]);
        let foreign = RecordHeader::decode(&encoded, header.offset, other_pack);
        prop_assert_eq!(foreign, Err(RecordError::HeaderCrc));
    }

    /// The parts of a record follow each other, aligned, without a gap longer than seven bytes.
    #[test]
    fn parts_follow_each_other(header in any_header()) {
        let len = header.record_len();
        prop_assert!(len.is_multiple_of(8) && header.end_offset() == header.offset + len);
        prop_assert_eq!(header.data_offset(), header.offset + 96 + u64::from(header.data_pad));
        prop_assert_eq!(header.footer_offset(), header.end_offset() - 24);
        let table_end = header.table_offset() + header.table_len();
        prop_assert!(table_end <= header.footer_offset() && header.footer_offset() < table_end + 8);
        match header.kind {
            RecordKind::Asset | RecordKind::Other(_) => {
                prop_assert_eq!(header.table_offset(), header.data_offset() + header.data_len);
            }
            _ => prop_assert_eq!(len, 120),
        }
    }

    #[test]
    fn footers_belong_to_their_header(header in any_header(), table_crc: u32, bit in 0..192_usize) {
        let header_crc = RecordHeader::header_crc(&header.encode(crc()));
        let footer = Footer { table_crc, record_len: header.record_len(), header_crc };
        let mut bytes = footer.encode(crc());
        prop_assert_eq!(Footer::decode(&bytes, &header, header_crc, crc()), Ok(footer));
        let other = Footer::decode(&bytes, &header, header_crc ^ 1, crc());
        prop_assert_eq!(other, Err(RecordError::Footer));
        bytes[bit / 8] ^= 1 << (bit % 8);
        let damaged = Footer::decode(&bytes, &header, header_crc, crc());
        prop_assert_eq!(damaged, Err(RecordError::Footer));
    }

    /// Arbitrary fields with a right checksum: refused, or exactly what would be encoded.
    #[test]
    fn what_is_not_refused_is_canonical(
        header in any_header(),
        changes in prop::collection::vec((4..92_usize, any::<u8>()), 1..4),
    ) {
        let mut bytes = header.encode(crc());
        for (at, value) in changes {
            bytes[at] = value;
        }
        let bytes = sealed(bytes);
        if let Ok(decoded) = RecordHeader::decode(&bytes, header.offset, crc()) {
            prop_assert_eq!(decoded.encode(crc()), bytes);
        }
    }

    #[test]
    fn a_record_moves_to_another_pack(
        len in 0..3 * CHUNK_LEN,
        zstd: bool,
        pad in 0..200_u32,
        at in 1024..1_u64 << 30,
    ) {
        let content = noise(len);
        let codec = if zstd { Codec::Zstd } else { Codec::Stored };
        let (data, table, id) = encode(&content, codec);
        let header = RecordHeader::asset(id, len as u64, codec, data.len() as u64, pad);
        let mut record = encode_record(header.at(8192, 8192), &data, &table, crc());

        let there = SaltedCrc::new(b"another pack's..");
        let moved = relocate(&mut record, at * 8, at * 8 - 8, there);
        prop_assert_eq!(moved, header.at(at * 8, at * 8 - 8));
        prop_assert_eq!(&record, &encode_record(moved, &data, &table, there));
        let decoded = decode_record(&record, at * 8, there).unwrap();
        prop_assert_eq!((decoded.header, decoded.data, decoded.table), (moved, &data[..], &table[..]));
    }
}

/// The header with a right checksum.
fn sealed(mut bytes: [u8; RECORD_HEADER_LEN]) -> [u8; RECORD_HEADER_LEN] {
    let checksum = crc().crc(&bytes[..92]);
    bytes[92..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Decodes `header` after a change of its bytes.
fn changed(header: RecordHeader, change: impl Fn(&mut [u8])) -> Result<RecordHeader, RecordError> {
    let mut bytes = header.encode(crc());
    change(&mut bytes);
    RecordHeader::decode(&sealed(bytes), header.offset, crc())
}

fn asset() -> RecordHeader {
    RecordHeader::asset(ID, 100_000, Codec::Stored, 100_000, 0).at(9000, 8192)
}

#[test]
fn fields_stand_where_the_text_says() {
    let header = RecordHeader::asset(ID, 0x0102_0304, Codec::Zstd, 0x0101, 4000).at(0x4000, 0x3000);
    let bytes = header.encode(crc());
    assert_eq!(bytes[..12], [b'A', b'N', b'K', b'1', 1, 1, 16, 1, 0xA0, 0x0F, 0, 0]);
    assert_eq!(bytes[12..16], [0; 4]);
    assert_eq!(bytes[16..24], 0x4000_u64.to_le_bytes());
    assert_eq!(bytes[24..32], 0x3000_u64.to_le_bytes());
    assert_eq!(bytes[32..64], [0xAB; 32]);
    assert_eq!(bytes[64..72], 0x0102_0304_u64.to_le_bytes());
    assert_eq!(bytes[72..80], 0x0101_u64.to_le_bytes());
    assert_eq!(bytes[80..92], [0; 12]);
    assert_eq!(bytes[92..], RecordHeader::header_crc(&bytes).to_le_bytes());

    let bytes = RecordHeader::drop_of(ID, 5, 8192).at(8320, 8192).encode(crc());
    assert_eq!(bytes[4..8], [2, 1, 0, 0]);
    let bytes = RecordHeader::mark().at(8320, 8320).encode(crc());
    assert_eq!(bytes[4..8], [3, 1, 0, 0]);
    assert_eq!(bytes[32..92], [0; 60]);
}

#[test]
fn the_data_of_a_single_pack_starts_at_a_page() {
    let header = RecordHeader::asset(ID, 10, Codec::Stored, 10, SINGLE_DATA_PAD).at(8192, 8192);
    assert_eq!(header.data_offset(), 12_288);
}

#[test]
fn drops_name_a_record() {
    let header = RecordHeader::drop_of(ID, 5, 8200);
    assert_eq!(header.dropped(), Some((5, 8200)));
    assert_eq!((header.chunk_count(), header.table_len(), header.record_len()), (0, 0, 120));
    assert_eq!(asset().dropped(), None);
    assert_eq!(RecordHeader::mark().dropped(), None);
}

#[test]
fn a_header_breaks_no_rule() {
    let malformed = Err(RecordError::Malformed);
    let long = (ASSET_SIZE_MAX + 1).to_le_bytes();
    let set = |at: usize, value: u64| {
        move |bytes: &mut [u8]| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes())
    };
    // Reserved bits and bytes.
    for at in [13, 14, 15, 80, 83, 84, 91] {
        assert_eq!(changed(asset(), |bytes| bytes[at] = 1), malformed, "{at}");
    }
    for flags in [0, 2, 3, 0x81] {
        assert_eq!(changed(asset(), |bytes| bytes[5] = flags), malformed, "flags {flags}");
    }
    // Limits.
    assert_eq!(changed(asset(), |bytes| bytes[9] = 0x11), malformed);
    let size = |bytes: &mut [u8]| {
        bytes[64..72].copy_from_slice(&long);
        bytes[72..80].copy_from_slice(&long);
    };
    assert_eq!(changed(asset(), size), malformed);
    assert_eq!(changed(asset(), set(24, 9001)), malformed);
    assert_eq!(changed(asset(), set(24, 8191)), malformed);
    assert!(changed(asset(), set(24, 9000)).is_ok());
    // What must fit.
    assert_eq!(changed(asset(), set(72, 99_999)), malformed);
    let zstd = RecordHeader::asset(ID, 100, Codec::Zstd, 100, 0).at(9000, 8192);
    assert!(changed(zstd, set(72, 5)).is_ok());
    assert_eq!(changed(zstd, set(72, 101)), malformed);
    let dropped = RecordHeader::drop_of(ID, 5, 8192).at(9000, 8192);
    assert_eq!(changed(dropped, set(64, 0)), malformed);
    assert_eq!(changed(dropped, set(72, 8193)), malformed);
    assert_eq!(changed(dropped, set(72, 8184)), malformed);
    assert_eq!(changed(dropped, |bytes| bytes[8] = 8), malformed);
    let mark = RecordHeader::mark().at(9000, 9000);
    for at in [8, 32, 63, 64, 72] {
        assert_eq!(changed(mark, |bytes| bytes[at] = 8), malformed, "{at}");
    }
    assert_eq!(changed(mark, set(24, 8192)), malformed);
    // Places that no record has.
    for offset in [9001, (1 << 62) + 8, u64::MAX - 7] {
        let mut bytes = asset().encode(crc());
        bytes[16..24].copy_from_slice(&offset.to_le_bytes());
        assert_eq!(RecordHeader::decode(&sealed(bytes), offset, crc()), malformed, "{offset}");
    }
}

#[test]
fn later_versions_are_told_from_damage() {
    let with = |at: usize, value: u8| {
        // Other fields may mean something else there.
        changed(asset(), |bytes| (bytes[at], bytes[13], bytes[90]) = (value, 1, 1))
    };
    assert_eq!(with(6, 17), Err(LaterVersion::ChunkLog2(17).into()));
    assert_eq!(with(7, 2), Err(LaterVersion::Codec(2).into()));
    assert_eq!(with(12, 1), Err(LaterVersion::CipherSuite(1).into()));
    let dropped = RecordHeader::drop_of(ID, 5, 8192).at(9000, 8192);
    assert_eq!(changed(dropped, |bytes| bytes[7] = 1), Err(LaterVersion::Codec(1).into()));
    let mut elsewhere = asset().encode(crc());
    elsewhere[7] = 2;
    let found = RecordHeader::decode(&sealed(elsewhere), 9008, crc());
    assert_eq!(found, Err(RecordError::Misplaced(9000)));

    let other = changed(asset(), |bytes| (bytes[4], bytes[5], bytes[6]) = (77, 0, 0)).unwrap();
    assert_eq!((other.kind, other.critical), (RecordKind::Other(77), false));
    assert_eq!((other.chunk_count(), other.record_len()), (0, 96 + 100_000 + 24));
}

#[test]
fn whole_records_of_every_kind_are_decoded() {
    let drop_of = RecordHeader::drop_of(ID, 1, 8192).at(8400, 8192);
    let mark = RecordHeader::mark().at(8520, 8520);
    let other = RecordHeader { kind: RecordKind::Other(9), data_len: 5, ..drop_of };
    for (header, data) in [(drop_of, &b""[..]), (mark, b""), (other, b"later")] {
        let mut bytes = encode_record(header, data, b"", crc());
        let len = bytes.len();
        bytes.extend_from_slice(b"what follows");
        let record = decode_record(&bytes, header.offset, crc()).unwrap();
        assert_eq!((record.header, record.data, record.table), (header, data, &b""[..]));
        for cut in 0..len {
            let error = decode_record(&bytes[..cut], header.offset, crc()).unwrap_err();
            let expected = if cut < 96 { RecordError::Magic } else { RecordError::Padding };
            assert_eq!(error, expected, "{cut}");
        }
    }
}

#[test]
fn chunks_lie_where_the_ends_say() {
    let size = 2 * CHUNK_LEN as u64 + 10;
    let stored = RecordHeader::asset(ID, size, Codec::Stored, size, 16).at(8192, 8192);
    let start = 8192 + 96 + 16;
    assert_eq!(stored.chunk_place(0, (9, 9)), Ok(start..start + 65_536));
    assert_eq!(stored.chunk_place(2, (9, 9)), Ok(start + 131_072..start + 131_082));
    assert_eq!(stored.chunk_place(3, (9, 9)), Err(RecordError::ChunkEnd));
    assert_eq!(stored.chunk_place(u64::MAX, (9, 9)), Err(RecordError::ChunkEnd));

    let zstd = RecordHeader::asset(ID, size, Codec::Zstd, 65_700, 16).at(8192, 8192);
    assert_eq!(zstd.chunk_place(0, (0, 100)), Ok(start..start + 100));
    assert_eq!(zstd.chunk_place(1, (100, 65_636)), Ok(start + 100..start + 65_636));
    assert_eq!(zstd.chunk_place(2, (65_690, 65_700)), Ok(start + 65_690..start + 65_700));
    let wrong = [
        (0, (0, 0)),
        (0, (1, 100)),
        (0, (0, 65_537)),
        (0, (0, 65_700)),
        (1, (0, 100)),
        (1, (100, 99)),
        (1, (100, 65_637)),
        (2, (65_690, 65_699)),
        (2, (65_680, 65_700)),
        (2, (65_695, 65_701)),
        (3, (65_700, 65_701)),
    ];
    for (chunk, ends) in wrong {
        assert_eq!(zstd.chunk_place(chunk, ends), Err(RecordError::ChunkEnd), "{chunk}: {ends:?}");
    }
}

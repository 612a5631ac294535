//! The head of a pack: K-1, judged as S-3 and S-4.

use proptest::prelude::*;

use crate::{
    bytes::{ClientId, Timestamp, WorkspaceId, crc},
    pack::{PACK_UNIT_LEN, PackHeadError, PackHeader, PackKind, UnitState, decode_head},
};

fn header() -> PackHeader {
    PackHeader {
        kind: PackKind::Shared,
        number: 7,
        created: Some(Timestamp::from_micros(1_700_000_000_000_000)),
        workspace: WorkspaceId::from_bytes([1; 16]),
        client: ClientId::from_bytes([2; 16]),
        salt: [3; 16],
        writer: "annals test".to_owned(),
        version_minor: 0,
        compatible_features: 0,
    }
}

/// Changes both units (or one) and makes their checksums right again.
fn changed(units: &[usize], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut head = header().encode_head();
    for &unit in units {
        let bytes = &mut head[unit * PACK_UNIT_LEN..(unit + 1) * PACK_UNIT_LEN];
        change(bytes);
        let checksum = crc(&bytes[..PACK_UNIT_LEN - 4]);
        bytes[PACK_UNIT_LEN - 4..].copy_from_slice(&checksum.to_le_bytes());
    }
    head
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        single: bool,
        number in 1..=u64::MAX,
        created in proptest::option::of(any::<i64>()),
        ids: [[u8; 16]; 3],
        writer in "[a-z0-9 é]{0,15}",
        version_minor: u16,
        compatible_features: u64,
    ) {
        let header = PackHeader {
            kind: if single { PackKind::Single } else { PackKind::Shared },
            number: if single { 0 } else { number },
            created: created.map(Timestamp::from_micros),
            workspace: WorkspaceId::from_bytes(ids[0]),
            client: ClientId::from_bytes(ids[1]),
            salt: ids[2],
            writer,
            version_minor,
            compatible_features,
        };
        let head = header.encode_head();
        prop_assert_eq!(head.len(), 2 * PACK_UNIT_LEN);
        let decoded = decode_head(&head).unwrap();
        prop_assert_eq!(&decoded.header, &header);
        prop_assert_eq!(decoded.units, [UnitState::Valid; 2]);
        prop_assert_eq!(decoded.header.crc(), header.crc());
    }
}

#[test]
fn fields_stand_where_the_text_says() {
    let head = header().encode_head();
    assert_eq!(head[..8], [0x89, 0x41, 0x4E, 0x4C, 0x50, 0x0D, 0x0A, 0x1A]);
    assert_eq!(head[8..16], [1, 0, 0, 0, 0, 1, 1, 0]);
    assert_eq!(head[32..40], 7_u64.to_le_bytes());
    assert_eq!(head[48..64], [1; 16]);
    assert_eq!(head[64..80], [2; 16]);
    assert_eq!(head[80..96], [3; 16]);
    assert_eq!(head[96..107], *b"annals test");
    assert!(head[107..4092].iter().all(|&byte| byte == 0));
    assert_eq!(head[4096 + 12], 1);
    assert_eq!(head[4096..4096 + 12], head[..12]);
    assert_eq!(head[4096 + 13..8188], head[13..4092]);
}

/// One damaged copy costs nothing; every bit is covered.
#[test]
fn a_damaged_unit_is_noticed_and_the_other_serves() {
    let head = header().encode_head();
    for bit in (0..head.len() * 8).step_by(5).chain(0..1100).chain(32_768..32_868) {
        let mut damaged = head.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let decoded = decode_head(&damaged).unwrap();
        let mut units = [UnitState::Valid; 2];
        units[bit / 8 / PACK_UNIT_LEN] = UnitState::Damaged;
        assert_eq!((decoded.header, decoded.units), (header(), units), "bit {bit}");
        damaged[(bit / 8 + PACK_UNIT_LEN) % head.len()] ^= 0x10;
        let expected = match bit / 8 % PACK_UNIT_LEN {
            0..8 => PackHeadError::Foreign,
            _ => PackHeadError::Damaged,
        };
        assert_eq!(decode_head(&damaged), Err(expected), "bit {bit}");
    }
}

#[test]
fn units_that_contradict_each_other_are_damage() {
    for at in [8, 10, 14, 16, 24, 32, 40, 48, 64, 80, 96, 128, 4000] {
        let head = changed(&[1], |unit| unit[at] ^= 2);
        assert_eq!(decode_head(&head), Err(PackHeadError::Damaged), "{at}");
    }
    // The same unit twice is not two copies.
    let mut head = header().encode_head();
    head.copy_within(..PACK_UNIT_LEN, PACK_UNIT_LEN);
    assert_eq!(decode_head(&head).unwrap().units, [UnitState::Valid, UnitState::Damaged]);
}

#[test]
fn what_is_newer_is_named_and_not_called_malformed() {
    let what = |at: usize| {
        let head = changed(&[0, 1], |unit| {
            unit[at] ^= 0x82;
            // Whatever this version would say of the rest does not count.
            unit[15] = 9;
            unit[14] = 9;
        });
        match decode_head(&head) {
            Err(PackHeadError::Unsupported { writer, what }) => {
                assert_eq!(writer, "annals test");
                what
            }
            other => panic!("{at}: {other:?}"),
        }
    };
    assert_eq!([what(8), what(9)], ["version"; 2]);
    assert_eq!(what(13), "hash suite");
    assert_eq!([what(24), what(31)], ["incompatible features"; 2]);
    let kept = changed(&[0, 1], |unit| {
        unit[10] = 5;
        unit[16] = 0x81;
    });
    let decoded = decode_head(&kept).unwrap().header;
    assert_eq!((decoded.version_minor, decoded.compatible_features), (5, 0x81));
    assert_eq!(decoded.encode_head(), kept);
}

#[test]
fn malformed_heads_are_refused() {
    let single = |unit: &mut [u8]| unit[14] = 2;
    let no_number = |unit: &mut [u8]| unit[32] = 0;
    let kind = |unit: &mut [u8]| unit[14] = 3;
    let reserved = |unit: &mut [u8]| unit[15] = 1;
    let behind = |unit: &mut [u8]| unit[4091] = 1;
    let changes: [fn(&mut [u8]); 5] = [single, no_number, kind, reserved, behind];
    for (number, change) in changes.into_iter().enumerate() {
        let head = changed(&[0, 1], change);
        assert_eq!(decode_head(&head), Err(PackHeadError::Malformed), "{number}");
    }
}

#[test]
fn a_head_that_was_cut_is_short_and_what_is_not_ours_is_foreign() {
    let head = header().encode_head();
    for len in 0..head.len() {
        assert_eq!(decode_head(&head[..len]), Err(PackHeadError::Short), "{len}");
    }
    assert_eq!(decode_head(b"PK"), Err(PackHeadError::Foreign));
    assert_eq!(decode_head(&[0; 8192]), Err(PackHeadError::Foreign));
    let mut segment = head.clone();
    segment[4] = b'S';
    segment[4100] = b'S';
    assert_eq!(decode_head(&segment), Err(PackHeadError::Foreign));
}

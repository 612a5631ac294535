use super::*;
use crate::bytes::DecodeError;

fn sample() -> AssetClaim {
    AssetClaim {
        media_type: Some("text/plain".to_owned()),
        name: "é.txt".to_owned(),
        preview: vec![7, 0, 9],
        ..AssetClaim::new(COUNTING, 0x0102_0304_0506)
    }
}

/// The table of A-2, by hand.
fn sample_bytes() -> Vec<u8> {
    let mut bytes = vec![0, 10, 6, 0, 3, 0, 0, 0, 6, 5, 4, 3, 2, 1, 0, 0];
    bytes.extend(0..32);
    bytes.extend(b"text/plain");
    bytes.extend([0xC3, 0xA9, b'.', b't', b'x', b't', 7, 0, 9]);
    bytes
}

#[test]
fn a_claim_is_laid_out_like_the_table() {
    assert_eq!(sample().encode(), Ok(sample_bytes()));
    assert_eq!(AssetClaim::decode(&sample_bytes()), Ok(sample()));
    assert_eq!(AssetClaim::new(COUNTING, 0).encode().unwrap().len(), 48);
}

#[test]
fn limits_hold_at_the_edge_and_not_beyond() {
    let edge = AssetClaim {
        media_type: Some("~".repeat(ASSET_MEDIA_TYPE_LEN_MAX)),
        name: "n".repeat(ASSET_NAME_LEN_MAX),
        preview: vec![1; ASSET_PREVIEW_LEN_MAX],
        ..AssetClaim::new(COUNTING, ASSET_SIZE_MAX)
    };
    assert_eq!(AssetClaim::decode(&edge.encode().unwrap()), Ok(edge.clone()));

    let beyond = |change: fn(&mut AssetClaim)| {
        let mut claim = edge.clone();
        change(&mut claim);
        claim.encode().unwrap_err()
    };
    assert_eq!(beyond(|claim| claim.size += 1), AssetEntryError::Size(ASSET_SIZE_MAX + 1));
    assert_eq!(
        beyond(|claim| claim.media_type = Some("~".repeat(ASSET_MEDIA_TYPE_LEN_MAX + 1))),
        AssetEntryError::MediaType
    );
    assert_eq!(
        beyond(|claim| claim.name = "n".repeat(ASSET_NAME_LEN_MAX + 1)),
        AssetEntryError::Name
    );
    assert_eq!(
        beyond(|claim| claim.preview.push(1)),
        AssetEntryError::PreviewLen(ASSET_PREVIEW_LEN_MAX + 1)
    );
    assert_eq!(
        beyond(|claim| claim.preview = vec![1; 1 << 17]),
        AssetEntryError::PreviewLen(1 << 17)
    );
}

#[test]
fn a_reader_keeps_the_limits_too() {
    let mut bytes = AssetClaim::new(COUNTING, ASSET_SIZE_MAX).encode().unwrap();
    bytes[8] = 1;
    assert_eq!(AssetClaim::decode(&bytes), Err(AssetEntryError::Size(ASSET_SIZE_MAX + 1)));

    let mut bytes = AssetClaim::new(COUNTING, 0).encode().unwrap();
    bytes[1] = 128;
    bytes.extend([b'a'; 128]);
    assert_eq!(AssetClaim::decode(&bytes), Err(AssetEntryError::MediaType));

    let mut bytes = AssetClaim::new(COUNTING, 0).encode().unwrap();
    bytes[4..6].copy_from_slice(&[1, 4]);
    bytes.extend([0; 1025]);
    assert_eq!(AssetClaim::decode(&bytes), Err(AssetEntryError::PreviewLen(1025)));
}

#[test]
fn characters_that_do_not_belong_are_refused_on_both_sides() {
    for name in ["a/b", "a\0", "\n", "\u{1F}", "\u{7F}"] {
        let claim = AssetClaim { name: name.to_owned(), ..AssetClaim::new(COUNTING, 0) };
        assert_eq!(claim.encode(), Err(AssetEntryError::Name), "{name:?}");
        let mut bytes = AssetClaim::new(COUNTING, 0).encode().unwrap();
        bytes[2] = u8::try_from(name.len()).unwrap();
        bytes.extend(name.as_bytes());
        assert_eq!(AssetClaim::decode(&bytes), Err(AssetEntryError::Name), "{name:?}");
    }
    for media_type in ["text/plain; charset=utf-8", "é", "\u{7F}"] {
        let media_type = Some(media_type.to_owned());
        let claim = AssetClaim { media_type, ..AssetClaim::new(COUNTING, 0) };
        assert_eq!(claim.encode(), Err(AssetEntryError::MediaType), "{claim:?}");
    }
    for (len_at, error) in [(1, AssetEntryError::MediaType), (2, AssetEntryError::Name)] {
        let mut bytes = AssetClaim::new(COUNTING, 0).encode().unwrap();
        bytes[len_at] = 1;
        bytes.push(0xC3);
        assert_eq!(AssetClaim::decode(&bytes), Err(error), "not UTF-8");
    }
}

#[test]
fn other_forms_and_reserved_bytes_are_refused() {
    let refused = |at: usize, value| {
        let mut bytes = sample_bytes();
        bytes[at] = value;
        AssetClaim::decode(&bytes).unwrap_err()
    };
    assert_eq!(refused(0, 1), AssetEntryError::Form(1));
    for at in [3, 6, 7] {
        assert_eq!(refused(at, 1), AssetEntryError::Malformed(DecodeError::Reserved));
    }
    // Of another form nothing more is known, not even its length.
    assert_eq!(AssetClaim::decode(&[9]), Err(AssetEntryError::Form(9)));
    let mut longer = sample_bytes();
    longer.push(0);
    assert_eq!(AssetClaim::decode(&longer), Err(AssetEntryError::Malformed(DecodeError::Trailing)));
}

#[test]
fn an_empty_media_type_is_none() {
    let claim = AssetClaim { media_type: Some(String::new()), ..AssetClaim::new(COUNTING, 1) };
    assert_eq!(claim.encode(), AssetClaim::new(COUNTING, 1).encode());
}

#[test]
fn every_cut_of_a_claim_is_an_error() {
    let bytes = sample_bytes();
    for len in 0..bytes.len() {
        assert_eq!(
            AssetClaim::decode(&bytes[..len]),
            Err(AssetEntryError::Malformed(DecodeError::Truncated)),
            "{len}"
        );
    }
}

#[test]
fn every_changed_byte_is_refused_or_another_claim() {
    for at in 0..sample_bytes().len() {
        for value in 0..=u8::MAX {
            let mut bytes = sample_bytes();
            bytes[at] = value;
            if let Ok(claim) = AssetClaim::decode(&bytes) {
                assert_eq!(claim.encode(), Ok(bytes), "{at} {value}");
            }
        }
    }
}

#[test]
fn names_are_cleaned_between_characters() {
    assert_eq!(clean_name(""), "");
    assert_eq!(clean_name("a/b\\c\0\u{7F}\u{85}"), "ab\\c\u{85}");
    assert_eq!(clean_name(&"x".repeat(300)), "x".repeat(255));
    assert_eq!(clean_name(&format!("{}é", "x".repeat(253))).len(), 255);
    assert_eq!(clean_name(&format!("{}é", "x".repeat(254))).len(), 254);
    assert_eq!(clean_name(&format!("{}日x", "x".repeat(253))).len(), 253);
}

proptest! {
    #[test]
    fn claims_round_trip(claim in claims()) {
        prop_assert_eq!(AssetClaim::decode(&claim.encode()?), Ok(claim));
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same(bytes in vec(any::<u8>(), 0..80), lens in any::<[u8; 3]>()) {
        let mut bytes = bytes;
        for (at, len) in [1, 2, 4].into_iter().zip(lens) {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = len % 12;
            }
        }
        for at in [0, 3, 5, 6, 7, 14, 15] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = 0;
            }
        }
        if let Ok(claim) = AssetClaim::decode(&bytes) {
            prop_assert_eq!(claim.encode(), Ok(bytes));
        }
    }

    #[test]
    fn a_clean_name_fits_and_is_clean(name in names()) {
        let clean = clean_name(&name);
        let claim = AssetClaim { name: clean.clone(), ..AssetClaim::new(COUNTING, 0) };
        prop_assert!(claim.encode().is_ok());
        prop_assert_eq!(clean_name(&clean), clean.clone());
        let dirty = AssetClaim { name: name.clone(), ..claim };
        prop_assert_eq!(dirty.encode().is_ok(), clean == name, "nothing is dropped without need");
    }
}

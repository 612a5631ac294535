use super::*;
use crate::bytes::Hash;

#[test]
fn an_id_is_the_plain_hash_of_the_content() {
    // From the test vectors of BLAKE3, and what every implementation of it gives for "abc".
    for (content, hex) in [
        (&b""[..], "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (b"\0", "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        (b"abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
    ] {
        assert_eq!(AssetId::of(content).to_string(), hex);
    }
}

#[test]
fn base32_is_that_of_other_programs() {
    for (id, text) in [
        (COUNTING, COUNTING_BASE32),
        (AssetId::of(b""), "v4jutopv7gq2nicajxvdnxgjjgn4wjojvxarfn6mtkj4vza7gjra"),
        (AssetId::from_bytes([0; 32]), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        (AssetId::from_bytes([255; 32]), "777777777777777777777777777777777777777777777777777q"),
    ] {
        assert_eq!(id.to_base32(), text);
        assert_eq!(text.parse(), Ok(id));
    }
}

#[test]
fn trailing_bits_of_base32_are_zero() {
    let (rest, last) = COUNTING_BASE32.split_at(51);
    assert_eq!(last, "q");
    for symbol in "abcdefghijklmnopqrstuvwxyz234567".chars() {
        let read = format!("{rest}{symbol}").parse::<AssetId>();
        // The first bit belongs to the id: a is the other value that it can have.
        assert_eq!(read.is_ok(), matches!(symbol, 'a' | 'q'), "{symbol}");
    }
}

#[test]
fn text_that_is_no_id_is_refused() {
    let hex = COUNTING.to_string();
    for text in [
        String::new(),
        hex[..63].to_owned(),
        format!("{hex}0"),
        hex.replace("1f", "1g"),
        hex.replace("1f", "é"),
        format!(" {}", &hex[1..]),
        COUNTING_BASE32[..51].to_owned(),
        format!("{COUNTING_BASE32}===="),
        COUNTING_BASE32.replace("dypq", "dyp1"),
        COUNTING_BASE32.replace("dypq", "dyé"),
    ] {
        assert_eq!(text.parse::<AssetId>(), Err(ParseAssetIdError), "{text}");
    }
}

proptest! {
    #[test]
    fn both_texts_are_read_in_either_case(id in ids()) {
        for text in [id.to_string(), id.to_base32()] {
            prop_assert_eq!(&text.to_lowercase(), &text);
            prop_assert_eq!(text.parse(), Ok(id));
            prop_assert_eq!(text.to_uppercase().parse(), Ok(id));
        }
        prop_assert_eq!(AssetId::from(Hash::from(id)), id);
        prop_assert_eq!(Hash::from(id).to_string(), id.to_string());
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(&json, &format!("\"{id}\""));
        prop_assert_eq!(serde_json::from_str::<AssetId>(&json).unwrap(), id);
    }

    #[test]
    fn two_texts_of_base32_are_two_ids(text in "[a-z2-7]{52}") {
        if let Ok(id) = text.parse::<AssetId>() {
            prop_assert_eq!(id.to_base32(), text);
        }
    }
}

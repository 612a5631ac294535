use proptest::{collection::vec, prelude::*};

use super::{
    ASSET_MEDIA_TYPE_LEN_MAX, ASSET_NAME_LEN_MAX, ASSET_PREVIEW_LEN_MAX, ASSET_SIZE_MAX,
    AssetClaim, AssetEntryError, AssetId, AssetUrl, ClaimRef, ParseAssetIdError,
    ParseAssetUrlError, RELEASE_CLAIM_COUNT_MAX, Release, WrongSize, clean_name,
};

mod claims;
mod ids;
mod releases;
mod texts;
mod urls;

/// The bytes 0 to 31.
const COUNTING: AssetId = AssetId::from_bytes([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    26, 27, 28, 29, 30, 31,
]);
/// Its base32, made by another program.
const COUNTING_BASE32: &str = "aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq";
/// Its base64url, made by another program.
const COUNTING_BASE64URL: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn ids() -> impl Strategy<Value = AssetId> {
    any::<[u8; 32]>().prop_map(AssetId::from_bytes)
}

/// Names as people, and those who want to break something, give them.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[()\\[\\]<>\"'`+%#?&=;:@!$*,|^{}\\\\ ~_.a-]{0,24}",
        "%[0-9A-Fa-f]{2}[a-z]{0,3}",
        any::<String>(),
        "é{120,130}",
        Just(".".to_owned()),
        Just("..".to_owned()),
        Just("%2e%2E".to_owned()),
        Just("../../etc/passwd".to_owned()),
        Just("Üml aut (1).png".to_owned()),
        Just("日本語.txt".to_owned()),
        Just("&amp;&lt;".to_owned()),
        Just("a\u{202E}gnp.exe".to_owned()),
    ]
}

fn media_types() -> impl Strategy<Value = String> {
    prop_oneof![
        "[!-~]{1,20}",
        "[a-z]{1,9}/[a-z0-9+.-]{1,20}",
        Just("image/svg+xml".to_owned()),
        Just("text/plain;charset=utf-8".to_owned()),
    ]
}

fn claims() -> impl Strategy<Value = AssetClaim> {
    let media_type = proptest::option::of(media_types());
    (ids(), 0..=ASSET_SIZE_MAX, media_type, names(), vec(any::<u8>(), 0..40)).prop_map(
        |(id, size, media_type, name, preview)| AssetClaim {
            id,
            size,
            media_type,
            name: clean_name(&name),
            preview,
        },
    )
}

//! What documents and logs say of assets: refused, or one meaning with one text.

use annals::{AssetClaim, AssetUrl, Release};

/// All that a URL says: two are equal if their ids are, whatever else they say.
fn parts(url: &AssetUrl) -> impl PartialEq {
    (
        url.id(),
        url.position(),
        url.size(),
        url.media_type().map(str::to_owned),
        url.name().map(str::to_owned),
    )
}

/// The target `url`.
pub fn url(data: &[u8]) {
    if let Ok(url) = str::from_utf8(data).unwrap_or_default().parse::<AssetUrl>() {
        let text = url.to_string();
        let again: AssetUrl = text.parse().expect("it was just written");
        assert!(parts(&again) == parts(&url), "{text}");
        assert_eq!(again.to_string(), text);
    }
    if let Ok(claim) = AssetClaim::decode(data) {
        assert_eq!(claim.encode().as_deref(), Ok(data));
        let url = AssetUrl::from(&claim);
        let again: AssetUrl = url.to_string().parse().expect("it was just written");
        assert!(parts(&again) == parts(&url), "{url}");
    }
    if let Ok(release) = Release::decode(data) {
        assert_eq!(release.encode().as_deref(), Ok(data));
    }
}

use std::collections::HashSet;

use super::{ParseAssetUrlError as Error, *};
use crate::{bytes::ClientId, entry::LOG_ENTRY_COUNT_MAX};

const CLIENT: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

fn client() -> ClientId {
    CLIENT.parse().unwrap()
}

fn parse(text: &str) -> Result<AssetUrl, Error> {
    text.parse()
}

/// A URL with something behind the id.
fn with(rest: &str) -> Result<AssetUrl, Error> {
    parse(&format!("asset:///b3/{COUNTING_BASE32}{rest}"))
}

/// A positional one with something behind the index.
fn placed(rest: &str) -> Result<AssetUrl, Error> {
    parse(&format!("asset:///{CLIENT}/{rest}"))
}

#[test]
fn urls_are_written_as_the_rule_says() {
    let bare = format!("asset:///b3/{COUNTING_BASE32}");
    let url = AssetUrl::new(COUNTING);
    assert_eq!(url.to_string(), bare);
    assert_eq!(url.clone().with_name("a.txt").to_string(), format!("{bare}/a.txt"));
    assert_eq!(url.clone().with_size(5).to_string(), format!("{bare}?s=5"));
    assert_eq!(url.clone().with_media_type("a/b").to_string(), format!("{bare}?t=a/b"));
    assert_eq!(
        url.with_media_type("image/svg+xml")
            .with_size(9611)
            .with_name("Üml aut (1).png")
            .to_string(),
        format!("{bare}/%C3%9Cml%20aut%20%281%29.png?s=9611&t=image/svg%2Bxml")
    );

    let place = format!("asset:///{CLIENT}/408");
    let url = AssetUrl::positional(client(), 408, COUNTING);
    assert_eq!(url.to_string(), format!("{place}?d={COUNTING_BASE64URL}"));
    assert_eq!(
        url.with_name("-._~").with_size(0).with_media_type("a/b").to_string(),
        format!("{place}/-._~?s=0&t=a/b&d={COUNTING_BASE64URL}")
    );
}

#[test]
fn what_is_read_is_what_was_said() {
    let url = with("/a%20b%2bc+d?s=7&t=image/svg%2bxml").unwrap();
    assert_eq!(url.id(), COUNTING);
    assert_eq!(url.name(), Some("a b+c+d"), "a plus is a plus");
    assert_eq!(url.size(), Some(7));
    assert_eq!(url.media_type(), Some("image/svg+xml"));
    assert_eq!(url.position(), None);

    let url = placed(&format!("408/unnamed?s=9611&t=application%2Fpdf&d={COUNTING_BASE64URL}"));
    let url = url.unwrap();
    assert_eq!(url.id(), COUNTING);
    assert_eq!(url.position(), Some((client(), 408)));
    assert_eq!(url.media_type(), Some("application/pdf"));

    let bare = with("").unwrap();
    assert_eq!((bare.size(), bare.media_type(), bare.name()), (None, None, None));
}

#[test]
fn readers_are_as_patient_as_the_rule_says() {
    let same = |text: &str, canonical: &str| {
        assert_eq!(with(text).unwrap().to_string(), with(canonical).unwrap().to_string(), "{text}");
    };
    same("/", "");
    same("?", "");
    same("?&&", "");
    same("#", "");
    same("/n?t=a/b&s=1", "/n?s=1&t=a/b");
    same("/n?x=1&s=1&y&x=2&S=3", "/n?s=1");
    same("/n?s=1#t=10&s=2", "/n?s=1");
    same("/n#?s=x y%", "/n");
    same("/n?%73=1", "/n?s=1");
    same("/%6e", "/n");
    same("?t=", "");
    same("?s=007", "?s=7");
    same("/.", "");
    same("/..", "");
    same("/%2E%2e?s=1", "?s=1");
    same("/...#", "/...");
    same("?t=a?b/c", "?t=a%3Fb/c");
    same("?t=a=b", "?t=a%3Db");

    for text in [
        format!("ASSET:///b3/{COUNTING_BASE32}"),
        format!("Asset:///b3/{}", COUNTING_BASE32.to_uppercase()),
        format!("asset:///%62%33/%61{}", &COUNTING_BASE32[1..]),
    ] {
        assert_eq!(parse(&text).unwrap().to_string(), AssetUrl::new(COUNTING).to_string());
    }
    let plain = AssetUrl::positional(client(), 7, COUNTING).to_string();
    for text in [
        format!("{plain}="),
        format!("{plain}%3D"),
        plain.replace(CLIENT, &CLIENT.to_uppercase()),
        plain.replace("/7?", "/07/?"),
    ] {
        assert_eq!(parse(&text).unwrap().to_string(), plain, "{text}");
    }
}

#[test]
fn what_is_no_url_of_an_asset_says_why() {
    let of = |start: &str| parse(&format!("{start}{COUNTING_BASE32}")).unwrap_err();
    assert_eq!(of(""), Error::Scheme);
    assert_eq!(of("https:///b3/"), Error::Scheme);
    assert_eq!(of(" asset:///b3/"), Error::Scheme);
    assert_eq!(of("assets:///b3/"), Error::Scheme);
    assert_eq!(of("asset:/b3/"), Error::Authority);
    assert_eq!(of("asset://b3/"), Error::Authority);
    assert_eq!(of("asset://host/b3/"), Error::Authority);
    assert_eq!(of("asset:///"), Error::Path);
    assert_eq!(of("asset:////b3/"), Error::Client);
    assert_eq!(of("asset:///b3/../b3/"), Error::Path);
    assert_eq!(of("asset:///sha256/"), Error::Client);
    assert_eq!(of("asset:///B3/"), Error::Client);

    assert_eq!(parse("asset:///b3"), Err(Error::Path));
    assert_eq!(parse("asset:///b3/"), Err(Error::Id));
    assert_eq!(parse(&format!("asset:///b3/{COUNTING}")), Err(Error::Id), "hex is no base32");
    assert_eq!(with("="), Err(Error::Id));
    assert_eq!(with("/a/b"), Err(Error::Path));
    assert_eq!(with("/a/"), Err(Error::Path));
    assert_eq!(with("/a%2Fb"), Err(Error::Name));
    assert_eq!(with("/%00"), Err(Error::Name));
    assert_eq!(with("/%1b"), Err(Error::Name));
    assert_eq!(with("/%7F"), Err(Error::Name));

    for (text, bad) in [
        ("/a b", ' '),
        ("/é", 'é'),
        ("/a\"", '"'),
        ("/<", '<'),
        ("/>", '>'),
        ("/[", '['),
        ("/]", ']'),
        ("/\\", '\\'),
        ("/^", '^'),
        ("/`", '`'),
        ("/{", '{'),
        ("/|", '|'),
        ("/a\n", '\n'),
        ("?s=1 ", ' '),
        ("?unknown=é", 'é'),
        ("?é=1", 'é'),
    ] {
        assert_eq!(with(text), Err(Error::Character(bad)), "{text}");
    }
    for text in ["/%", "/%4", "/%%41", "/%g0", "/%4g", "/%+1", "?s=%", "?x=%zz", "?%", "/%e9%"] {
        assert_eq!(with(text), Err(Error::Escape), "{text}");
    }
    for text in ["/%E9", "/%C0%AF", "/%ED%A0%80", "?t=%FF", "?x=%FF", "?%FF"] {
        assert_eq!(with(text), Err(Error::Utf8), "{text}");
    }
    for text in ["?s=1&s=1", "?s=1&%73=1", "?t=&t=a", "?d=&d=", "?s&s=1"] {
        assert_eq!(with(text), Err(Error::Repeated), "{text}");
    }
    for text in ["?s", "?s=", "?s=+1", "?s=-1", "?s=1.5", "?s=1k", "?s=0x1", "?s=%D9%A1"] {
        assert_eq!(with(text), Err(Error::Size), "{text}");
    }
    for text in ["?t=a%20b", "?t=%00", "?t=%C3%A9"] {
        assert_eq!(with(text), Err(Error::MediaType), "{text}");
    }
}

#[test]
fn a_place_that_is_none_says_why() {
    let digest = format!("?d={COUNTING_BASE64URL}");
    assert_eq!(placed(&format!("x{digest}")), Err(Error::Index));
    assert_eq!(placed(&format!("+1{digest}")), Err(Error::Index));
    assert_eq!(placed(&digest), Err(Error::Index));
    assert_eq!(placed("1"), Err(Error::Digest), "the id is no hint");
    assert_eq!(placed("1/n?s=5"), Err(Error::Digest));
    assert_eq!(placed("1?d="), Err(Error::Digest));
    assert_eq!(placed(&format!("1{digest}==")), Err(Error::Digest));
    assert_eq!(placed(&format!("1{digest}A")), Err(Error::Digest));
    assert_eq!(placed(&format!("1?d={COUNTING_BASE32}")), Err(Error::Digest));
    let (rest, last) = digest.split_at(digest.len() - 1);
    assert_eq!(last, "8");
    assert_eq!(placed(&format!("1{rest}9")), Err(Error::Digest), "trailing bits are zero");
    for client in [CLIENT.replace('-', ""), format!("%7B{CLIENT}%7D"), format!("urn:uuid:{CLIENT}")]
    {
        assert_eq!(parse(&format!("asset:///{client}/1{digest}")), Err(Error::Client), "{client}");
    }
}

#[test]
fn limits_hold_at_the_edge_and_not_beyond() {
    let edge = |rest: &str| with(rest).is_ok();
    assert!(edge(&format!("?s={ASSET_SIZE_MAX}")));
    assert_eq!(with(&format!("?s={}", ASSET_SIZE_MAX + 1)), Err(Error::Size));
    assert_eq!(with(&format!("?s={}0", u64::MAX)), Err(Error::Size));
    assert!(edge(&format!("/{}", "%41".repeat(ASSET_NAME_LEN_MAX))));
    assert_eq!(with(&format!("/{}", "a".repeat(ASSET_NAME_LEN_MAX + 1))), Err(Error::Name));
    assert!(edge(&format!("?t={}", "a".repeat(ASSET_MEDIA_TYPE_LEN_MAX))));
    let beyond = format!("?t={}", "a".repeat(ASSET_MEDIA_TYPE_LEN_MAX + 1));
    assert_eq!(with(&beyond), Err(Error::MediaType));
    let at = |index| placed(&format!("{index}?d={COUNTING_BASE64URL}"));
    assert!(at(LOG_ENTRY_COUNT_MAX - 1).is_ok());
    assert_eq!(at(LOG_ENTRY_COUNT_MAX), Err(Error::Index));
}

#[test]
fn hints_that_do_not_fit_are_left_out() {
    let bare = AssetUrl::new(COUNTING).to_string();
    for name in ["", ".", "..", "/", "./", "/..", "\n"] {
        let url = AssetUrl::new(COUNTING).with_name(name);
        assert_eq!(url.to_string(), bare, "{name:?}");
    }
    for media_type in ["", "a b", "é", &"a".repeat(128)] {
        let url = AssetUrl::new(COUNTING).with_media_type(media_type);
        assert_eq!(url.to_string(), bare, "{media_type}");
    }
    assert_eq!(AssetUrl::new(COUNTING).with_size(ASSET_SIZE_MAX + 1).to_string(), bare);
    let nowhere = AssetUrl::positional(client(), LOG_ENTRY_COUNT_MAX, COUNTING);
    assert_eq!(nowhere.to_string(), bare);
    let url = AssetUrl::new(COUNTING).with_size(1).with_name("a").with_media_type("a/b");
    let url = url.with_size(u64::MAX).with_name("..").with_media_type(" ");
    assert_eq!(url.to_string(), bare, "what was said before is withdrawn");
}

#[test]
fn urls_are_equal_if_their_ids_are() {
    let urls = [
        AssetUrl::new(COUNTING),
        AssetUrl::new(COUNTING).with_name("n").with_size(1).with_media_type("a/b"),
        AssetUrl::positional(client(), 1, COUNTING),
    ];
    let distinct: HashSet<AssetUrl> = urls.into_iter().collect();
    assert_eq!(distinct.len(), 1);
    let other = AssetUrl::positional(client(), 1, AssetId::of(b""));
    assert!(!distinct.contains(&other));
}

#[test]
fn a_wrong_size_is_told() {
    let url = AssetUrl::new(COUNTING);
    assert_eq!(url.check_size(5), Ok(()), "nothing was said");
    assert_eq!(url.clone().with_size(5).check_size(5), Ok(()));
    let error = url.with_size(5).check_size(6);
    assert_eq!(error, Err(WrongSize { expected: 5, actual: 6 }));
}

//! URLs in other texts, and through other libraries: they come back as they were written.

use pulldown_cmark::{Event, LinkType, Parser, Tag};

use super::*;
use crate::{bytes::ClientId, entry::LOG_ENTRY_COUNT_MAX};

fn urls() -> impl Strategy<Value = AssetUrl> {
    let position = proptest::option::of((any::<[u8; 16]>(), 0..LOG_ENTRY_COUNT_MAX));
    let name = proptest::option::of(names());
    let media_type = proptest::option::of(media_types());
    let size = proptest::option::of(0..=ASSET_SIZE_MAX);
    (ids(), position, name, media_type, size).prop_map(|(id, position, name, media_type, size)| {
        let mut url = match position {
            Some((client, index)) => AssetUrl::positional(ClientId::from_bytes(client), index, id),
            None => AssetUrl::new(id),
        };
        if let Some(name) = name {
            url = url.with_name(&name);
        }
        if let Some(media_type) = media_type {
            url = url.with_media_type(&media_type);
        }
        if let Some(size) = size {
            url = url.with_size(size);
        }
        url
    })
}

/// All that a URL says. Its equality is that of the id alone.
fn parts(url: &AssetUrl) -> impl PartialEq + std::fmt::Debug {
    (url.id(), url.size(), url.media_type(), url.name(), url.position())
}

/// Where the only image or link of a Markdown text leads.
fn destination(markdown: &str) -> Option<(Option<LinkType>, String)> {
    Parser::new(markdown).find_map(|event| match event {
        Event::Start(Tag::Image { dest_url, .. }) => Some((None, dest_url.into_string())),
        Event::Start(Tag::Link { link_type, dest_url, .. }) => {
            Some((Some(link_type), dest_url.into_string()))
        }
        _ => None,
    })
}

#[test]
fn names_with_meaning_elsewhere_survive_everywhere() {
    for name in [
        "Üml aut (1).png",
        "a)b(c",
        "((",
        "\"quoted\" 'too'",
        "a+b",
        "100%",
        "%41",
        "%2e%2e",
        "#1",
        "what?",
        "a&b=c;d",
        "&amp;",
        " leading and trailing ",
        "...",
        "..a",
        "<script>",
        "`code` *bold* _em_ ~~s~~ [x] \\",
        "日本語 🎬.mp4",
        "C:\\a",
        "e\u{301}",
        "\u{FEFF}\u{200B}",
    ] {
        let url = AssetUrl::new(COUNTING).with_name(name).with_size(1);
        let text = url.to_string();
        assert_eq!(url.name(), Some(name));
        assert_eq!(text.parse::<AssetUrl>().unwrap().name(), Some(name), "{text}");
        assert_eq!(url::Url::parse(&text).unwrap().as_str(), text);
        assert_eq!(destination(&format!("![alt]({text})")), Some((None, text)));
    }
}

proptest! {
    #[test]
    fn urls_are_read_as_they_were_written(url in urls()) {
        let text = url.to_string();
        let read: AssetUrl = text.parse()?;
        prop_assert_eq!(parts(&read), parts(&url));
        prop_assert_eq!(&read, &url);
        prop_assert_eq!(read.to_string(), text.clone());
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%:/?=&".contains(&byte);
        prop_assert!(text.bytes().all(safe), "{}", text);
    }

    #[test]
    fn another_parser_of_urls_changes_nothing(url in urls(), fragment in "[a-z0-9=]{0,5}") {
        let text = url.to_string();
        let parsed = url::Url::parse(&text).expect("it is a URL");
        prop_assert_eq!(parsed.as_str(), &text);
        prop_assert_eq!(parsed.scheme(), "asset");
        prop_assert_eq!(parsed.host_str(), None);
        // What another program puts behind it does no harm.
        let with_fragment = format!("{text}#{fragment}");
        let parsed = url::Url::parse(&with_fragment).expect("it is still one");
        prop_assert_eq!(parsed.as_str(), &with_fragment);
        let read = with_fragment.parse::<AssetUrl>()?;
        prop_assert_eq!(parts(&read), parts(&url));
    }

    #[test]
    fn what_other_programs_write_is_read(url in urls()) {
        let Some(name) = url.name() else { return Ok(()) };
        let mut other = url::Url::parse("asset:///b3/").expect("a URL");
        let id = url.id().to_base32();
        other.path_segments_mut().expect("a path").pop_if_empty().push(&id).push(name);
        // Theirs leave a few characters as they are that a URL must not hold so.
        if !name.contains(['[', ']', '|', '^', '\\']) {
            let read: AssetUrl = other.as_str().parse()?;
            prop_assert_eq!(read.name(), Some(name), "{}", other);
        }
    }

    #[test]
    fn markdown_leads_to_the_same(url in urls()) {
        let text = url.to_string();
        for markdown in [
            format!("![alt]({text})"),
            format!("before ![alt]({text} \"title\") after"),
            format!("![alt](<{text}>)"),
            format!("![alt][ref]\n\n[ref]: {text}"),
        ] {
            prop_assert_eq!(destination(&markdown), Some((None, text.clone())), "{}", markdown);
        }
        prop_assert_eq!(
            destination(&format!("see <{text}>, please")),
            Some((Some(LinkType::Autolink), text))
        );
    }

    #[test]
    fn json_keeps_urls(url in urls()) {
        let json = serde_json::to_string(&url).expect("JSON");
        prop_assert_eq!(&json, &format!("\"{url}\""), "nothing has to be escaped");
        let read: AssetUrl = serde_json::from_str(&json).expect("it was just written");
        prop_assert_eq!(parts(&read), parts(&url));
        let escaped = json.replace('/', "\\/");
        let read: AssetUrl = serde_json::from_str(&escaped).expect("other programs do that");
        prop_assert_eq!(parts(&read), parts(&url));
    }

    #[test]
    fn whatever_is_read_is_written_as_one_text(
        start in prop_oneof![
            Just(format!("asset:///b3/{COUNTING_BASE32}")),
            Just("asset:///67e55044-10b1-426f-9247-bb680e5fe0c8/7".to_owned()),
        ],
        name in "(/[a-z.%0-9A-F+~]{0,8})?",
        query in "(\\?([std]=[a-z0-9%/]{0,6}&){0,3})?",
        digest in prop_oneof![Just(""), Just("&d=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")],
    ) {
        if let Ok(url) = format!("{start}{name}{query}{digest}").parse::<AssetUrl>() {
            let text = url.to_string();
            let again: AssetUrl = text.parse()?;
            prop_assert_eq!(parts(&again), parts(&url));
            prop_assert_eq!(again.to_string(), text);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), rest in "\\PC{0,60}") {
        let _ = text.parse::<AssetUrl>();
        let _ = format!("asset:///{rest}").parse::<AssetUrl>();
        let _ = format!("asset:///b3/{COUNTING_BASE32}{rest}").parse::<AssetUrl>();
    }

    #[test]
    fn the_url_of_a_claim_says_what_it_says(claim in claims()) {
        let url = AssetUrl::from(&claim);
        prop_assert_eq!(url.id(), claim.id);
        prop_assert_eq!(url.size(), Some(claim.size));
        prop_assert_eq!(url.media_type(), claim.media_type.as_deref());
        let steps = ["", ".", ".."];
        prop_assert_eq!(url.name().unwrap_or(&claim.name), &claim.name);
        prop_assert_eq!(url.name().is_none(), steps.contains(&claim.name.as_str()));
    }
}

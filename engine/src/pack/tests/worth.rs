//! Whether compressing pays.

use super::noise;
use crate::pack::pays;

#[test]
fn types_that_are_compressed_are_not_tried() {
    let text = vec![b'a'; 9000];
    for media_type in [
        "image/jpeg",
        "image/png",
        "IMAGE/WebP",
        "video/mp4",
        "video/x-matroska",
        "audio/mpeg; codecs=mp3",
        "application/zip",
        "application/x-zip-compressed",
        "application/x-7z-compressed",
        "application/gzip",
        "application/x-xz",
        "application/zstd",
        "font/woff2",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ] {
        assert!(!pays(Some(media_type), &text), "{media_type}");
    }
}

#[test]
fn other_types_are_judged_by_their_bytes() {
    let (text, noise) = (vec![b'a'; 9000], noise(9000));
    let plain = ["image/svg+xml", "image/bmp", "image/x-ms-bmp", "image/tiff", "audio/wav"];
    let others =
        ["audio/x-wav", "text/plain;charset=utf-8", "application/json", "", "nonsense", "/"];
    for media_type in plain.into_iter().chain(others).map(Some).chain([None]) {
        assert!(pays(media_type, &text), "{media_type:?}");
        assert!(!pays(media_type, &noise), "{media_type:?}");
    }
}

#[test]
fn the_entropy_is_that_of_windows_all_over_the_sample() {
    // Half of the alphabet has 7 bits, all of it 8; a short sample says nothing.
    let noise = noise(64 << 10);
    let seven: Vec<u8> = noise.iter().map(|byte| byte & 0x7F).collect();
    assert!(pays(None, &seven));
    assert!(!pays(None, &noise));
    assert!(!pays(None, &noise[..4096]));
    assert!(pays(None, &noise[..4095]) && pays(None, b""));
    // A title page does not make an archive worth it, when it is short.
    let mut mixed = vec![b' '; 1000];
    mixed.extend(&noise);
    assert!(!pays(None, &mixed));
    // Of four windows one is text.
    let mut mixed = noise;
    mixed[..16 << 10].fill(b' ');
    assert!(pays(None, &mixed));
}

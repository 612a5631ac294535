//! Whether compressing a content is worth a try.

/// Length of a window whose entropy is measured, in bytes.
const WINDOW_LEN: usize = 4096;
/// How many windows are measured, spread over the sample.
const WINDOW_COUNT: usize = 4;
/// Bits for each byte, on average over the windows, from which on zstd hardly makes anything shorter.
///
/// Measured on some sixty files in chunks with level 1: JPEG, PNG, PDF, zip, gzip and WOFF2 have 7.8 to
/// 7.96 and lose up to 1 percent, some archives 5 to 9; sound of 16 bits has 5.3 to 7.5 and loses 27 to
/// 4 percent, photographs in BMP or TIFF 5.7 to 7.5 and 30 to 3; text, programs and fonts are below 6.4
/// and lose a third to nine tenths.
const ENTROPY_MAX: f64 = 7.6;

/// Types that are compressed already, beside all of `image`, `audio` and `video`; without `x-`.
const COMPRESSED: [&str; 28] = [
    "application/7z-compressed",
    "application/brotli",
    "application/bzip",
    "application/bzip2",
    "application/compress",
    "application/epub+zip",
    "application/gzip",
    "application/java-archive",
    "application/lz4",
    "application/lzma",
    "application/ogg",
    "application/rar",
    "application/rar-compressed",
    "application/vnd.android.package-archive",
    "application/vnd.oasis.opendocument.presentation",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.rar",
    "application/xz",
    "application/zip",
    "application/zip-compressed",
    "application/zlib",
    "application/zstd",
    "font/woff",
    "font/woff2",
];

/// Types of `image`, `audio` and `video` that are not compressed; without `x-`.
const PLAIN: [&str; 18] = [
    "audio/aiff",
    "audio/basic",
    "audio/l16",
    "audio/l24",
    "audio/midi",
    "audio/pcm",
    "audio/vnd.wave",
    "audio/wav",
    "audio/wave",
    "image/bmp",
    "image/ms-bmp",
    "image/portable-anymap",
    "image/portable-bitmap",
    "image/portable-graymap",
    "image/portable-pixmap",
    "image/svg+xml",
    "image/tiff",
    "image/vnd.adobe.photoshop",
];

/// Whether compressing a content of this media type is worth a try. `sample` is its beginning, or all.
///
/// A type that is compressed already (JPEG, films, archives) is not. Otherwise the bytes decide: the
/// Shannon entropy of the byte histogram, on average over four windows of 4 KiB that are spread over the
/// sample, must be below 7.6 bits for each byte. A sample shorter than one window is always worth it: to
/// try costs microseconds.
///
/// Cost: microseconds, whatever the length of the sample.
pub fn pays(media_type: Option<&str>, sample: &[u8]) -> bool {
    if media_type.is_some_and(is_compressed) {
        return false;
    }
    sample.len() < WINDOW_LEN || entropy(sample) < ENTROPY_MAX
}

/// Whether content of a media type is compressed in itself. Parameters behind a `;` do not matter.
fn is_compressed(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((kind, name)) = essence.split_once('/') else { return false };
    let name = name.strip_prefix("x-").unwrap_or(name);
    let known = |types: &[&str]| types.iter().any(|it| it.split_once('/') == Some((kind, name)));
    match kind {
        "image" | "audio" | "video" => !known(&PLAIN),
        _ => known(&COMPRESSED),
    }
}

/// Bits for each byte: the mean over the windows of `sample`, which has at least one.
fn entropy(sample: &[u8]) -> f64 {
    let last = sample.len() - WINDOW_LEN;
    let windows = (0..WINDOW_COUNT).map(|i| last / (WINDOW_COUNT - 1) * i);
    let sum: f64 = windows.map(|start| window_entropy(&sample[start..start + WINDOW_LEN])).sum();
    #[expect(clippy::cast_precision_loss, reason = "a handful of windows")]
    let count = WINDOW_COUNT as f64;
    sum / count
}

/// Bits for each byte of one window: log2 n - 1/n sum(c log2 c) over the counts c of its n bytes.
fn window_entropy(window: &[u8]) -> f64 {
    let mut counts = [0_u16; 256];
    for &byte in window {
        counts[usize::from(byte)] += 1;
    }
    let weighted = |&count: &u16| f64::from(count) * f64::from(count.max(1)).log2();
    #[expect(clippy::cast_precision_loss, reason = "a window is short")]
    let len = window.len() as f64;
    len.log2() - counts.iter().map(weighted).sum::<f64>() / len
}

const _: () = assert!(WINDOW_LEN <= u16::MAX as usize);

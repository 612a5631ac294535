//! Single zstd frames, as B-2 has them: for sections of batches, and for chunks of assets.

use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::{self, CParameter},
};

/// First bytes of a zstd frame (RFC 8878, section 3.1.1); skippable frames start otherwise.
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Why bytes are not the one frame that was expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FrameFault {
    /// Not exactly one zstd frame.
    NotOne,
    /// The frame needs a dictionary.
    Dictionary,
    /// The frame does not decompress, at least not within the length.
    Content,
    /// The frame decompresses to another length.
    RawLen,
}

/// A context that compresses with zstd's `level`; one that zstd does not have becomes the nearest that
/// it has, and 0 is zstd's default.
///
/// # Panics
///
/// If there is no memory for zstd's context.
pub(crate) fn compressor(level: i32) -> Compressor<'static> {
    let levels = zstd::compression_level_range();
    let level = level.clamp(*levels.start(), *levels.end());
    let mut compressor = Compressor::default();
    // The size makes a reader's check cheap; checksums are the business of what stands around.
    let parameters = [
        CParameter::CompressionLevel(level),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
    ];
    for parameter in parameters {
        compressor.set_parameter(parameter).expect("zstd takes parameters in their range");
    }
    compressor
}

/// Replaces `out` by the `raw_len` bytes that `frame`, one zstd frame, decompresses to (B-2).
///
/// `raw_len` is within its limit. What the frame claims about its size or its window makes nobody
/// allocate more than that, since it is decompressed in one piece to where it belongs.
pub(crate) fn decompress(
    decompressor: &mut Decompressor<'static>,
    frame: &[u8],
    raw_len: usize,
    out: &mut Vec<u8>,
) -> Result<(), FrameFault> {
    // zstd itself would go on with any frames that follow, and pass over skippable ones.
    let frame_len = zstd_safe::find_frame_compressed_size(frame);
    if !frame.starts_with(&MAGIC) || frame_len != Ok(frame.len()) {
        return Err(FrameFault::NotOne);
    }
    if zstd_safe::get_dict_id_from_frame(frame).is_some() {
        return Err(FrameFault::Dictionary);
    }
    // A writer may leave the size out; one that is there is checked before memory is taken.
    match zstd_safe::get_frame_content_size(frame) {
        Ok(Some(len)) if len != raw_len as u64 => return Err(FrameFault::RawLen),
        Ok(_) => {}
        Err(_) => return Err(FrameFault::NotOne),
    }
    out.clear();
    out.reserve_exact(raw_len);
    match decompressor.decompress_to_buffer(frame, out) {
        Ok(len) if len == raw_len => Ok(()),
        Ok(_) => Err(FrameFault::RawLen),
        Err(_) => Err(FrameFault::Content),
    }
}

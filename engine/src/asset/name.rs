//! What a name and a media type may hold (A-2).

use super::{ASSET_MEDIA_TYPE_LEN_MAX, ASSET_NAME_LEN_MAX};

/// Whether a name may hold `character`. No control characters, which change what a terminal shows, and no
/// slash, so that a name is never a path.
fn fits_name(character: char) -> bool {
    !character.is_ascii_control() && character != '/'
}

pub(super) fn is_name(text: &str) -> bool {
    text.len() <= ASSET_NAME_LEN_MAX && text.chars().all(fits_name)
}

/// Whether `text` may stand as a media type. Its grammar is not looked at: it is what somebody said, and
/// whoever renders the content has to look for himself.
pub(super) fn is_media_type(text: &str) -> bool {
    text.len() <= ASSET_MEDIA_TYPE_LEN_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Makes `name` one that a claim may carry: without control characters and slashes, and cut between two
/// characters to at most [`ASSET_NAME_LEN_MAX`] bytes. What may be carried already stays as it is.
///
/// What is left need not be a good name for a file: it can be empty, `..`, or one that a system reserves.
///
/// # Examples
///
/// ```
/// use annals::asset::clean_name;
///
/// assert_eq!(clean_name("Üml aut (1).png"), "Üml aut (1).png");
/// assert_eq!(clean_name("../etc/\x1B[2Jpasswd\n"), "..etc[2Jpasswd");
/// assert_eq!(clean_name(&"é".repeat(200)), "é".repeat(127));
/// ```
pub fn clean_name(name: &str) -> String {
    let mut clean = String::new();
    for character in name.chars().filter(|&character| fits_name(character)) {
        if clean.len() + character.len_utf8() > ASSET_NAME_LEN_MAX {
            break;
        }
        clean.push(character);
    }
    clean
}

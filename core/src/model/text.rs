//! Texts of a file: UTF-8 that is safe to print.

use crate::EVERY_CHECK;
use crate::format::is_control;

/// Whether bytes are UTF-8 without control characters, in lines of at most `limit` bytes. `lines` says whether there may be
/// more than one of them. `core::str::from_utf8` is faster, and has 600 bytes of code and tables: too many for a program that
/// shows no text.
pub(super) fn is_clean(bytes: &[u8], limit: usize, lines: bool) -> bool {
    // The character so far, how many bytes of it are still to come, and the least that takes as many.
    let (mut character, mut left, mut least) = (0, 0, 0);
    let mut length = 0;
    for byte in bytes {
        if *byte == b'\n' && left == 0 && lines {
            length = 0;
            continue;
        }
        length += 1;
        if left > 0 && byte & 0xC0 == 0x80 {
            character = character << 6 | u32::from(byte & 0x3F);
            left -= 1;
        } else if left == 0 {
            (left, least) = match *byte {
                0..0x80 => (0, 0),
                0xC0..0xE0 => (1, 0x80),
                0xE0..0xF0 => (2, 0x800),
                0xF0..0xF8 => (3, 0x1_0000),
                _ => return false,
            };
            character = u32::from(*byte) & (0x7F >> left);
        } else {
            return false;
        }
        let is_none = character < least || matches!(character, 0xD800..0xE000 | 0x11_0000..);
        let is_unclean = EVERY_CHECK && (length > limit || (left == 0 && is_control(character)));
        if is_unclean || (left == 0 && is_none) {
            return false;
        }
    }
    left == 0
}

/// The text that bytes are; empty where they are none.
pub(super) fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::is_clean;

    /// The characters that a file may not have, by their Unicode names: C0, DELETE and C1, line and paragraph separator, the
    /// embeddings and overrides of direction, and the isolates.
    fn is_refused(character: char) -> bool {
        character.is_control()
            || ('\u{2028}'..='\u{2029}').contains(&character)
            || ('\u{202A}'..='\u{202E}').contains(&character)
            || ('\u{2066}'..='\u{2069}').contains(&character)
    }

    #[test]
    fn agrees_with_the_standard_library() {
        // The bytes around every limit, in every order.
        let ends = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED];
        let more = [0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF];
        let bytes = || ends.iter().chain(&more).copied();
        let pairs = || bytes().flat_map(|a| bytes().map(move |b| (a, b)));
        let step = if cfg!(miri) { 7 } else { 1 };
        let mut valid = 0;
        for (a, b) in pairs().step_by(step) {
            for (c, d) in pairs().step_by(step * step) {
                for length in 0..=5 {
                    let text = &[a, b, c, d, 0x41][..length];
                    let clean = core::str::from_utf8(text).is_ok_and(|text| !text.contains(is_refused));
                    assert_eq!(is_clean(text, 5, false), clean, "{text:x?}");
                    valid += usize::from(clean);
                }
            }
        }
        assert!(valid > 1000 / step);
    }

    #[test]
    fn every_character_is_judged_by_its_kind() {
        let step = if cfg!(miri) { 251 } else { 1 };
        for character in ('\0'..=char::MAX).step_by(step) {
            let text = std::format!("a{character}b");
            assert_eq!(is_clean(text.as_bytes(), 6, false), !is_refused(character), "{character:?}");
        }
    }

    #[test]
    fn lines_have_a_length_and_end_where_they_may() {
        for (text, limit, lines, clean) in [
            ("", 0, false, true),
            ("abc", 3, false, true),
            ("abc", 2, false, false),
            ("\u{e4}\u{e4}", 4, false, true),
            ("\u{e4}\u{e4}", 3, false, false),
            ("abc\nabc\n", 3, true, true),
            ("abc\nabcd", 3, true, false),
            ("abc\n", 9, false, false),
            ("abc\r\n", 9, true, false),
            ("a\tb", 9, true, false),
            ("\u{e4}\n\u{e4}", 2, true, true),
        ] {
            assert_eq!(is_clean(text.as_bytes(), limit, lines), clean, "{text:?} {limit} {lines}");
        }
        // A line end is no part of a character.
        assert!(!is_clean(b"\xC3\n", 9, true));
    }
}

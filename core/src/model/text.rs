//! Texts of a file, which are UTF-8.

/// Whether bytes are UTF-8. `core::str::from_utf8` is faster, and has 600 bytes of code and tables: too many for a program
/// that shows no text.
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    // How many bytes of the character are still to come, and the range of the next one.
    let mut left = 0;
    let (mut low, mut high) = (0x80, 0xBF);
    for byte in bytes {
        if left > 0 {
            if *byte < low || *byte > high {
                return false;
            }
            left -= 1;
            (low, high) = (0x80, 0xBF);
            continue;
        }
        left = match *byte {
            0..0x80 => 0,
            0xC2..0xE0 => 1,
            0xE0..0xF0 => 2,
            0xF0..0xF5 => 3,
            _ => return false,
        };
        match *byte {
            // What fewer bytes could hold.
            0xE0 => low = 0xA0,
            0xF0 => low = 0x90,
            // Surrogates, and what lies behind the last character.
            0xED => high = 0x9F,
            0xF4 => high = 0x8F,
            _ => {}
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
    use super::is_utf8;

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
                    assert_eq!(is_utf8(text), core::str::from_utf8(text).is_ok(), "{text:x?}");
                    valid += usize::from(is_utf8(text));
                }
            }
        }
        assert!(valid > 1000 / step);
    }
}

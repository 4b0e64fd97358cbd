//! Texts as `.tin` files may have them: without control characters, and not too long.
//!
//! Frameworks set no limit to the names of nodes, and ONNX files hold whatever bytes their maker wrote.

use tinception_core::format::{NAME_LIMIT, is_control};

/// What stands for the middle of a name that is too long.
const ELLIPSIS: &str = "...";

/// The name that a step of a file has for a node of this name: the same where it may stand in a file. Control characters
/// become escapes as Rust writes them, and the middle of a long name, whose end says most, three dots.
#[must_use]
pub fn step_name(name: &str) -> String {
    let name = escaped(name);
    if name.len() <= NAME_LIMIT {
        return name;
    }
    let kept = NAME_LIMIT - ELLIPSIS.len();
    let start = &name[..name.floor_char_boundary(kept / 4)];
    let end = &name[name.ceil_char_boundary(name.len() - (kept - start.len()))..];
    format!("{start}{ELLIPSIS}{end}")
}

/// A text with escapes in place of its control characters.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_control(character.into()) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Whether a text can't stand in a file as it is, whatever its length.
#[must_use]
pub fn has_control(text: &str) -> bool {
    text.chars().any(|character| is_control(character.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_stand_in_a_file_stay() {
        let longest = "n".repeat(NAME_LIMIT);
        for name in ["", "conv1/7x7_s2", "Faltung für Überblick", "卷积", "<b>&amp;</b>", longest.as_str()] {
            assert_eq!(step_name(name), name);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        for (name, expected) in [
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\0b", "a\\u{0}b"),
            ("a\tb\r\n", "a\\tb\\r\\n"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("\u{2028}\u{202e}x\u{2069}", "\\u{2028}\\u{202e}x\\u{2069}"),
        ] {
            assert_eq!(step_name(name), expected);
            assert!(has_control(name) && !has_control(expected));
        }
    }

    #[test]
    fn long_names_keep_their_ends() {
        // A TensorFlow scope, a name of characters of several bytes, one of escapes alone.
        let scope = format!("model/{}/Conv2D", "mixed_10/branch3x3dbl/".repeat(20));
        for name in [scope, "é".repeat(200), "名".repeat(300), "\u{1b}".repeat(300)] {
            let short = step_name(&name);
            assert!((NAME_LIMIT - 8..=NAME_LIMIT).contains(&short.len()), "{}", short.len());
            let (start, end) = short.split_once(ELLIPSIS).expect("three dots");
            let whole = escaped(&name);
            assert!(whole.starts_with(start) && whole.ends_with(end) && end.len() > 2 * start.len());
            assert!(!has_control(&short));
        }
        assert!(step_name(&format!("{}/Conv2D", "x".repeat(300))).ends_with("/Conv2D"));
    }
}

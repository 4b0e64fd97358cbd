//! What strangers wrote, for a terminal: labels, names of steps, nodes, tensors and files, answers of servers.
//!
//! A terminal obeys what it shows: escape sequences set its title, clear it, or make it type; marks of direction turn a
//! name round. So nothing that could be obeyed reaches it: the program's output goes through [`Plain`], and lines on standard
//! error through [`plain`]. JSON says the same in its own escapes.

pub(crate) mod graphics;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Whether a terminal, or who reads a line, would be misled by a character: all control characters (C0, DEL, C1), line
/// and paragraph separators, and the marks that change the direction of what follows (Unicode's `Bidi_Control`).
pub(crate) fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fff9}'..='\u{fffb}'
        )
}

/// The text with escapes of the form `\u{1b}` for all that would be obeyed, line ends included.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

fn escaped(text: &str, escape: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&escape) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if escape(character) {
            plain.extend(character.escape_unicode());
        } else {
            plain.push(character);
        }
    }
    Cow::Owned(plain)
}

/// Replaces what would be obeyed, but for line ends, by JSON's escapes. In a JSON document it stands in strings only;
/// control characters below U+0020 are escaped there already.
pub(crate) fn plain_json(document: &str) -> Cow<'_, str> {
    let escape = |character: char| is_obeyed(character) && character != '\n';
    if !document.contains(escape) {
        return Cow::Borrowed(document);
    }
    let mut plain = String::with_capacity(document.len() + 16);
    for character in document.chars() {
        if escape(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string does not fail.
                let _ = write!(plain, "\\u{unit:04x}");
            }
        } else {
            plain.push(character);
        }
    }
    Cow::Owned(plain)
}

/// Writes text for people: all that a terminal would obey is escaped, but for line ends.
pub(crate) struct Plain<W>(pub(crate) W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for chunk in bytes.utf8_chunks() {
            let text = escaped(chunk.valid(), |character| is_obeyed(character) && character != '\n');
            self.0.write_all(text.as_bytes())?;
            // What is no text could be a control character of eight bits.
            if !chunk.invalid().is_empty() {
                self.0.write_all("\u{fffd}".as_bytes())?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBEYED: [&str; 18] = [
        "\u{1b}]0;pwned\u{7}",
        "\u{1b}[2J",
        "\u{9b}2J",
        "\u{9d}0;x\u{9c}",
        "a\rb",
        "a\u{8}b",
        "a\tb",
        "\0",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\u{202e}gpj.exe",
        "\u{2066}x\u{2069}",
        "\u{200f}",
        "\u{61c}",
        "\u{90}q",
        "\u{fff9}",
    ];

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for text in OBEYED {
            let mut out = Vec::new();
            writeln!(Plain(&mut out), "label {text}").unwrap();
            let shown = String::from_utf8(out).unwrap();
            assert!(!shown.trim_end_matches('\n').contains(is_obeyed) && shown.contains("\\u{"), "{shown:?}");
            assert_eq!(plain(text), shown.trim_start_matches("label ").trim_end_matches('\n'));
        }
        assert_eq!(plain("a\nb\u{1b}"), "a\\u{a}b\\u{1b}");
        // Letters, marks, symbols, and joined ones.
        for text in ["K\u{e4}se, Ka\u{308}se", "\u{1f469}\u{200d}\u{1f33e}", "\u{5d0}\u{5d1}", "\u{e000}"] {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn json_stays_json() {
        for text in OBEYED {
            let document = serde_json::to_string(&[text]).unwrap();
            let plain = plain_json(&document);
            assert!(!plain.contains(is_obeyed), "{plain:?}");
            assert_eq!(serde_json::from_str::<Vec<String>>(&plain).unwrap(), [text]);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut out = Vec::new();
        Plain(&mut out).write_all(b"a\x9b2Jb\xff\n").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\u{fffd}2Jb\u{fffd}\n");
    }
}

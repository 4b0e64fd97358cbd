//! What a file calls its classes: names for people, ids for programs.
//!
//! Files since format 1.3 keep the two apart. Before that, label files of ImageNet were taken as they are, with WordNet's id
//! in front of each name: such lines are taken apart when they are read.

use core::str::Lines;

/// What a class is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label<'a> {
    /// Its id in the data set that it comes from, as WordNet's `n07920052`; `None` where the file states none.
    pub id: Option<&'a str>,
    /// Its name. Synonyms are separated by commas, the most usual one first.
    pub name: &'a str,
}

impl<'a> Label<'a> {
    /// Takes a line of a label file apart: `n07920052 espresso` is WordNet's id (`n` and eight digits), a space and a name.
    /// Any other line is a name.
    #[must_use]
    pub fn parse(line: &'a str) -> Self {
        if let Some((id, name)) = line.split_once(' ')
            && is_wordnet_id(id)
            && !name.trim_ascii().is_empty()
        {
            return Self { id: Some(id), name: name.trim_ascii() };
        }
        Self { id: None, name: line }
    }

    /// The first of the name's synonyms: what to show where space is short.
    #[must_use]
    pub fn short(&self) -> &'a str {
        match self.name.split_once(',') {
            Some((first, _)) if !first.trim_ascii().is_empty() => first.trim_ascii(),
            _ => self.name,
        }
    }
}

/// Whether a word is the id of a noun's synset in WordNet, as ImageNet names its classes.
fn is_wordnet_id(word: &str) -> bool {
    matches!(word.as_bytes(), [b'n', digits @ ..] if digits.len() == 8 && digits.iter().all(u8::is_ascii_digit))
}

/// The labels of all classes, in order: see [`Model::labels`](super::Model::labels).
#[derive(Clone, Debug)]
pub struct Labels<'a> {
    names: Lines<'a>,
    /// Where the file has a section of ids.
    ids: Option<Lines<'a>>,
}

impl<'a> Labels<'a> {
    /// Names, one a line, and ids, one a line or no text at all.
    pub(super) fn new(names: &'a str, ids: &'a str) -> Self {
        Self { names: names.lines(), ids: (!ids.is_empty()).then(|| ids.lines()) }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = Label<'a>;

    fn next(&mut self) -> Option<Label<'a>> {
        let name = self.names.next()?;
        Some(match &mut self.ids {
            Some(ids) => Label { id: ids.next().filter(|id| !id.is_empty()), name },
            None => Label::parse(name),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_line_is_an_id_and_a_name_or_a_name() {
        for (line, id, name) in [
            ("n07920052 espresso", Some("n07920052"), "espresso"),
            ("n01440764 tench, Tinca tinca", Some("n01440764"), "tench, Tinca tinca"),
            ("n01440764  tench", Some("n01440764"), "tench"),
            // An id alone is all that there is to show.
            ("n01440764", None, "n01440764"),
            ("n01440764 ", None, "n01440764 "),
            ("n0144076 tench", None, "n0144076 tench"),
            ("n014407640 tench", None, "n014407640 tench"),
            ("N01440764 tench", None, "N01440764 tench"),
            ("n0144076x tench", None, "n0144076x tench"),
            ("3D printer", None, "3D printer"),
            ("great white shark", None, "great white shark"),
            ("\u{20ac}\u{20ac}\u{20ac} b", None, "\u{20ac}\u{20ac}\u{20ac} b"),
            ("", None, ""),
        ] {
            assert_eq!(Label::parse(line), Label { id, name }, "{line}");
        }
    }

    #[test]
    fn the_first_synonym_is_short() {
        for (name, short) in
            [("tench, Tinca tinca", "tench"), ("espresso", "espresso"), ("", ""), (", x", ", x"), ("a ,b,c", "a")]
        {
            assert_eq!(Label { id: None, name }.short(), short, "{name}");
        }
    }

    #[test]
    fn ids_go_with_names_and_may_be_missing() {
        let all = |names, ids| Labels::new(names, ids).map(|label| (label.id, label.name)).collect::<Vec<_>>();
        assert_eq!(all("a\nb\n", ""), [(None, "a"), (None, "b")]);
        assert_eq!(all("a\nb\n", "x\n\n"), [(Some("x"), "a"), (None, "b")]);
        assert_eq!(all("a\nb\n", "\ny"), [(None, "a"), (Some("y"), "b")]);
        // With ids of their own, names are taken as they are.
        assert_eq!(all("n01440764 tench\n", "x\n"), [(Some("x"), "n01440764 tench")]);
        assert_eq!(all("n01440764 tench\nb", ""), [(Some("n01440764"), "tench"), (None, "b")]);
        assert_eq!(all("", ""), []);
    }
}

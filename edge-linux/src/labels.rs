//! What classes are called, and which class a folder's or file's name means.
//!
//! A label is a line: `n01440764 tench, Tinca tinca`, an id of WordNet and a name, or just a name, `airplane`. What stands
//! between commas are synonyms.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, bail};
use tinception_core::format::LABEL_LIMIT;
use tinception_models::compile::{self, Label};
use tinception_models::kind::{Kind, Wanted};
use tinception_models::names::has_control;
use unicode_normalization::UnicodeNormalization;

use crate::engine::Network;
use crate::files;
use crate::output::file_error;

/// Largest label file that is read.
const LARGEST_FILE: u64 = 16 << 20;

/// The labels of all classes, in the classes' order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    classes: Vec<Label>,
}

impl Labels {
    /// Labels as a network gives them.
    pub(crate) const fn new(classes: Vec<Label>) -> Self {
        Self { classes }
    }

    /// Those of a network: from a file, or as the network names its classes.
    pub(crate) fn of(network: &dyn Network, file: Option<&Path>) -> Result<Self> {
        match file {
            Some(path) => Ok(Self::read(path)?.fitting(network)),
            None => Ok(Self::new(network.labels())),
        }
    }

    /// The two labels of a network of one score, where one was given.
    pub(crate) fn fitting(self, network: &dyn Network) -> Self {
        match network.has_one_score() {
            true => Self { classes: compile::Labels::of_one_score(self.classes) },
            false => self,
        }
    }

    /// Reads a label file: UTF-8, one class a line.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = files::read(path, LARGEST_FILE)?;
        let kind = Kind::of(&bytes).filter(|kind| *kind != Kind::Empty);
        if let Some(what) = kind.and_then(|kind| kind.instead_of(Wanted::Labels)) {
            return Err(file_error(path, format_args!("not class names: {what}")));
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(file_error(path, "not a text file; labels are UTF-8, one class a line"));
        };
        let text = text.trim_start_matches('\u{feff}').trim_end();
        let lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        if let Some(empty) = lines.iter().position(String::is_empty) {
            return Err(file_error(path, format_args!("line {} is empty; every class needs a label", empty + 1)));
        }
        let unfit = lines.iter().position(|line| has_control(line) || line.len() > LABEL_LIMIT);
        if let Some(unfit) = unfit {
            let number = unfit + 1;
            return Err(file_error(
                path,
                format_args!(
                    "line {number} has a control character or more than {LABEL_LIMIT} bytes; write short names without"
                ),
            ));
        }
        if lines.is_empty() {
            return Err(file_error(path, "holds no labels; write one class a line"));
        }
        Ok(Self { classes: lines.iter().map(|line| Label::parse(line)).collect() })
    }

    /// How many classes have a label.
    pub(crate) fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The labels.
    #[cfg(feature = "tract")]
    pub(crate) fn classes(&self) -> &[Label] {
        &self.classes
    }

    /// The class's label; where there are none, its number.
    pub(crate) fn get(&self, class: usize) -> Label {
        self.classes.get(class).cloned().unwrap_or_else(|| Label::named(format!("class {class}")))
    }
}

/// Finds classes by name. Letters with marks are composed (Unicode's NFC) on both sides: macOS and archives made on it
/// have them decomposed in file names, and the same name would be another one.
pub(crate) struct LabelIndex {
    lines: Names,
    ids: Names,
    names: Names,
}

/// Names and their classes; `None` for a name that several classes have.
type Names = HashMap<String, Option<usize>>;

impl LabelIndex {
    /// An index of all the ways to name these classes.
    pub(crate) fn new(labels: &Labels) -> Self {
        let mut index = Self { lines: Names::new(), ids: Names::new(), names: Names::new() };
        for (class, label) in labels.classes.iter().enumerate() {
            let line = label.line();
            add(&mut index.lines, &line, class);
            let (first_word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            add(&mut index.ids, label.id.as_deref().unwrap_or(first_word), class);
            add(&mut index.names, &label.name, class);
            for name in line.split(',').chain(rest.split(',')) {
                add(&mut index.names, name.trim(), class);
            }
        }
        index
    }

    /// The class that a folder's name means: a whole label, an id or one of a label's names. Underscores count as
    /// spaces where the name as it stands means nothing.
    pub(crate) fn find(&self, folder: &str) -> Result<usize> {
        let composed: String = folder.nfc().collect();
        let spaced = composed.replace('_', " ");
        for name in [composed.as_str(), spaced.as_str()] {
            for names in [&self.lines, &self.ids, &self.names] {
                match names.get(name) {
                    Some(Some(class)) => return Ok(*class),
                    Some(None) => bail!("'{name}' is the name of several classes; use the class id or the whole label"),
                    None => {}
                }
            }
        }
        bail!(
            "'{folder}' is no label; folders are named by a label line, its first word (the class id) or one of its names"
        )
    }

    /// The class of an id.
    pub(crate) fn find_id(&self, id: &str) -> Option<usize> {
        self.ids.get(&id.nfc().collect::<String>()).copied().flatten()
    }
}

fn add(names: &mut Names, name: &str, class: usize) {
    if name.is_empty() {
        return;
    }
    let entry = names.entry(name.nfc().collect()).or_insert(Some(class));
    if *entry != Some(class) {
        *entry = None;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(lines: &[&str]) -> Labels {
        Labels::new(lines.iter().map(|line| Label::parse(line)).collect())
    }

    fn labels() -> Labels {
        of(&[
            "n01440764 tench, Tinca tinca",
            "n02012849 crane",
            "n03126707 crane, derrick",
            "great white shark",
            "c4 loudspeaker, speaker",
        ])
    }

    #[test]
    fn a_class_has_many_names() {
        let labels = labels();
        let index = LabelIndex::new(&labels);
        for (name, class) in [
            ("n01440764 tench, Tinca tinca", 0),
            ("n01440764", 0),
            ("n01440764_tench,_Tinca_tinca", 0),
            ("tench, Tinca tinca", 0),
            ("tench", 0),
            ("Tinca_tinca", 0),
            ("derrick", 2),
            ("n02012849", 1),
            ("n02012849 crane", 1),
            ("crane, derrick", 2),
            ("great white shark", 3),
            ("great_white_shark", 3),
            // Plain labels have no ids, but folders may be named by their first word.
            ("c4", 4),
            ("loudspeaker", 4),
            ("speaker", 4),
        ] {
            assert_eq!(index.find(name).unwrap(), class, "{name}");
        }
        assert!(index.find("crane").unwrap_err().to_string().contains("several classes"));
        assert!(index.find("trout").unwrap_err().to_string().contains("'trout' is no label"));
        assert_eq!(index.find_id("n03126707"), Some(2));
        assert_eq!(index.find_id("c4"), Some(4));
    }

    #[test]
    fn composed_and_decomposed_names_are_the_same_and_case_is_not() {
        for (label, folder) in [
            ("K\u{e4}se", "Ka\u{308}se"),
            ("Ka\u{308}se", "K\u{e4}se"),
            ("n1 K\u{e4}se, Caf\u{e9} au lait", "Cafe\u{301}_au_lait"),
            ("Vi\u{1ec7}t", "Vie\u{323}\u{302}t"),
            ("\u{d55c}", "\u{1112}\u{1161}\u{11ab}"),
            ("\u{212b}ngstr\u{f6}m", "A\u{30a}ngstro\u{308}m"),
        ] {
            let labels = of(&["dog", label]);
            assert_eq!(LabelIndex::new(&labels).find(folder).unwrap(), 1, "{label} {folder}");
            assert!(LabelIndex::new(&labels).find(&folder.to_lowercase()).is_err() || folder.to_lowercase() == folder);
        }
    }

    #[test]
    fn ids_are_wordnets() {
        assert_eq!(labels().get(1), Label { id: Some("n02012849".into()), name: "crane".into() });
        assert_eq!(labels().get(3), Label::named("great white shark"));
        assert_eq!(labels().get(4), Label::named("c4 loudspeaker, speaker"));
        assert_eq!(labels().get(9), Label::named("class 9"));
    }

    #[test]
    fn label_files_may_end_in_empty_lines_but_not_have_them_inside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.txt");
        fs::write(&path, "\u{feff}a\r\nb\r\n\r\n").unwrap();
        assert_eq!(Labels::read(&path).unwrap().classes, ["a", "b"].map(Label::named));
        fs::write(&path, "a\n\nb\n").unwrap();
        assert!(Labels::read(&path).unwrap_err().to_string().contains("line 2 is empty"));
        fs::write(&path, "\n").unwrap();
        assert!(Labels::read(&path).unwrap_err().to_string().contains("no labels"));
        fs::write(&path, b"a\xff\n").unwrap();
        assert!(Labels::read(&path).unwrap_err().to_string().contains("UTF-8"));
    }
}

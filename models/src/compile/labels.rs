//! What classes are called, from a file.

use tinception_core::format::LABEL_LIMIT;
use tinception_core::model;

use super::CompileError;
use super::error::LabelProblem;
use crate::names::has_control;

/// What a class is called: a [`model::Label`] that owns its texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// Its id in the data set that it comes from, as WordNet's `n07920052`, if it has one.
    pub id: Option<String>,
    /// Its name. Synonyms are separated by commas, the most usual one first.
    pub name: String,
}

impl Label {
    /// A line of a label file: `n07920052 espresso` is an id and a name, any other line a name
    /// ([`model::Label::parse`]).
    #[must_use]
    pub fn parse(line: &str) -> Self {
        model::Label::parse(line).into()
    }

    /// A class without an id.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { id: None, name: name.into() }
    }

    /// The first of the name's synonyms: what to show where space is short.
    #[must_use]
    pub fn short(&self) -> &str {
        model::Label { id: None, name: &self.name }.short()
    }

    /// The line of a label file that it is parsed from.
    #[must_use]
    pub fn line(&self) -> String {
        match &self.id {
            Some(id) => format!("{id} {}", self.name),
            None => self.name.clone(),
        }
    }
}

impl From<model::Label<'_>> for Label {
    fn from(label: model::Label<'_>) -> Self {
        Self { id: label.id.map(str::to_owned), name: label.name.to_owned() }
    }
}

/// What all classes are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Where they come from, for errors.
    pub file: String,
    /// One for each class, in the order of the scores.
    pub classes: Vec<Label>,
}

impl Labels {
    /// Those of a text, one a line; empty lines at its end are no classes.
    #[must_use]
    pub fn parse(file: impl Into<String>, text: &str) -> Self {
        let classes = text.trim_end().lines().map(|line| Label::parse(line.trim_end())).collect();
        Self { file: file.into(), classes }
    }

    /// The two classes that one score tells apart, the one of small scores first. A single name is that of the class with the
    /// large scores; without any, the classes are `no` and `yes`.
    #[must_use]
    pub fn of_one_score(mut classes: Vec<Label>) -> Vec<Label> {
        match classes.as_slice() {
            [] => vec![Label::named("no"), Label::named("yes")],
            [large] => {
                let small = Label::named(format!("not {}", large.name));
                classes.insert(0, small);
                classes
            }
            _ => classes,
        }
    }

    /// The names, one a line.
    pub(super) fn names(&self) -> String {
        self.classes.iter().map(|label| format!("{}\n", label.name)).collect()
    }

    /// The ids, one a line; `None` where no class has one.
    pub(super) fn ids(&self) -> Option<String> {
        let ids = || self.classes.iter().map(|label| label.id.as_deref().unwrap_or_default());
        ids().any(|id| !id.is_empty()).then(|| ids().map(|id| format!("{id}\n")).collect())
    }

    /// Fails unless there are as many as classes, and each can stand in a file.
    pub(super) fn check(&self, classes: usize) -> Result<(), CompileError> {
        for (line, label) in (1..).zip(&self.classes) {
            let id = label.id.as_deref().unwrap_or_default();
            let problem = if has_control(&label.name) || has_control(id) {
                LabelProblem::Control
            } else if label.name.len() > LABEL_LIMIT || id.len() > LABEL_LIMIT {
                LabelProblem::Length
            } else {
                continue;
            };
            return Err(CompileError::Label { file: self.file.clone(), line, problem });
        }
        if self.classes.len() == classes {
            return Ok(());
        }
        Err(CompileError::Labels { file: self.file.clone(), lines: self.classes.len(), classes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_score_has_two_names() {
        let names = |given: &[&str]| {
            let two = Labels::of_one_score(given.iter().map(|line| Label::parse(line)).collect());
            two.iter().map(Label::line).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["no", "yes"]);
        assert_eq!(names(&["cat"]), ["not cat", "cat"]);
        assert_eq!(names(&["n02121620 cat"]), ["not cat", "n02121620 cat"]);
        assert_eq!(names(&["dog", "cat"]), ["dog", "cat"]);
        assert_eq!(names(&["a", "b", "c"]).len(), 3, "for the check to refuse");
    }

    #[test]
    fn ids_are_a_text_of_their_own_where_there_are_any() {
        let labels = Labels::parse("x", "n07920052 espresso\nbackground\nn03297495 maker, espresso maker\n\n");
        assert_eq!(labels.names(), "espresso\nbackground\nmaker, espresso maker\n");
        assert_eq!(labels.ids().as_deref(), Some("n07920052\n\nn03297495\n"));
        assert_eq!(labels.classes[2].short(), "maker");
        assert_eq!(labels.classes[2].line(), "n03297495 maker, espresso maker");
        assert_eq!(Labels::parse("x", "espresso\ncup\n").ids(), None);
    }

    #[test]
    fn labels_that_no_file_may_have_are_named_by_their_line() {
        let check = |text: &str, classes| Labels::parse("names.txt", text).check(classes);
        assert_eq!(check("tench, Tinca tinca\nHund & Katze\n鳥\n", 3), Ok(()));
        assert_eq!(check(&"x".repeat(LABEL_LIMIT), 1), Ok(()));
        for (text, line, problem) in [
            ("a\nb\u{1b}]0;pwned\u{7}\nc\n", 2, LabelProblem::Control),
            ("a\0\nb\nc\n", 1, LabelProblem::Control),
            ("a\nb\nc\u{202e}d\n", 3, LabelProblem::Control),
            ("a\tb\nb\nc\n", 1, LabelProblem::Control),
            ("a\rb\nb\nc\n", 1, LabelProblem::Control),
            (&format!("a\n{}\nc\n", "é".repeat(128)), 2, LabelProblem::Length),
            (&format!("a\nb\nn07920052 {}\n", "x".repeat(256)), 3, LabelProblem::Length),
        ] {
            let error = check(text, 3).unwrap_err();
            assert_eq!(error, CompileError::Label { file: "names.txt".into(), line, problem });
            assert!(error.to_string().starts_with(&format!("names.txt: line {line} ")), "{error}");
        }
    }
}

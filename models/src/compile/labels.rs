//! Class names from a file.

use tinception_core::format::LABEL_LIMIT;

use super::CompileError;
use super::error::LabelProblem;
use crate::names::has_control;

/// Class names, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Where they come from, for errors.
    pub file: String,
    /// One line per class, in the order of the scores.
    pub lines: Vec<String>,
}

impl Labels {
    /// The lines of a text; empty ones at its end are no classes.
    #[must_use]
    pub fn parse(file: impl Into<String>, text: &str) -> Self {
        let lines = text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect();
        Self { file: file.into(), lines }
    }

    /// The names of the two classes that one score tells apart, the one of small scores first. A single name is that of the
    /// class with the large scores; without any, the classes are `no` and `yes`.
    #[must_use]
    pub fn of_one_score(mut lines: Vec<String>) -> Vec<String> {
        match lines.as_slice() {
            [] => vec!["no".into(), "yes".into()],
            [name] => {
                let other = format!("not {name}");
                lines.insert(0, other);
                lines
            }
            _ => lines,
        }
    }

    /// Fails unless there are as many lines as classes, and each can stand in a file.
    pub(super) fn check(&self, classes: usize) -> Result<(), CompileError> {
        for (line, label) in (1..).zip(&self.lines) {
            let problem = match label {
                label if has_control(label) => LabelProblem::Control,
                label if label.len() > LABEL_LIMIT => LabelProblem::Length,
                _ => continue,
            };
            return Err(CompileError::Label { file: self.file.clone(), line, problem });
        }
        if self.lines.len() == classes {
            return Ok(());
        }
        Err(CompileError::Labels { file: self.file.clone(), lines: self.lines.len(), classes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_score_has_two_names() {
        let names = |given: &[&str]| Labels::of_one_score(given.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(names(&[]), ["no", "yes"]);
        assert_eq!(names(&["cat"]), ["not cat", "cat"]);
        assert_eq!(names(&["dog", "cat"]), ["dog", "cat"]);
        assert_eq!(names(&["a", "b", "c"]).len(), 3, "for the check to refuse");
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
        ] {
            let error = check(text, 3).unwrap_err();
            assert_eq!(error, CompileError::Label { file: "names.txt".into(), line, problem });
            assert!(error.to_string().starts_with(&format!("names.txt: line {line} ")), "{error}");
        }
    }
}

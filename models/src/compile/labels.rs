//! Class names from a file.

use super::CompileError;

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

    /// Fails unless there are as many lines as classes.
    pub(super) fn check(&self, classes: usize) -> Result<(), CompileError> {
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
}

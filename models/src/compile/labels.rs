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

    /// Fails unless there are as many lines as classes.
    pub(super) fn check(&self, classes: usize) -> Result<(), CompileError> {
        if self.lines.len() == classes {
            return Ok(());
        }
        Err(CompileError::Labels { file: self.file.clone(), lines: self.lines.len(), classes })
    }
}

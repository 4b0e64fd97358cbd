//! The best classes of a picture, as they are printed.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use crate::engine::{Classes, Scores};
use crate::labels::Labels;
use crate::terminal::plain;

/// A class and its scores.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Class {
    /// Its index.
    pub(crate) class: usize,
    /// Its name.
    pub(crate) label: String,
    /// Its id, where the name has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// 0 to 1.
    pub(crate) probability: f64,
    /// What went into the softmax; null where the network gives probabilities only.
    pub(crate) logit: Option<f64>,
    /// Whether its probability is independent of the other classes'; left out where it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) independent: bool,
}

#[cfg(feature = "camera")]
impl std::fmt::Display for Class {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {:.0} %", self.label, self.probability * 100.0)
    }
}

/// A class, with what these scores say of it.
pub(crate) fn class(scores: &Scores, labels: &Labels, class: usize) -> Class {
    Class {
        class,
        label: labels.get(class),
        id: labels.id(class).map(str::to_owned),
        probability: scores.probabilities.get(class).copied().unwrap_or_default(),
        logit: scores.logit(class),
        independent: scores.classes == Classes::Independent,
    }
}

/// The `count` best classes, best first.
pub(crate) fn best(scores: &Scores, labels: &Labels, count: u16) -> Vec<Class> {
    scores.top(count.into()).into_iter().map(|best| class(scores, labels, best)).collect()
}

/// Writes a line for each class.
pub(crate) fn print(out: &mut dyn Write, classes: &[Class]) -> Result<()> {
    for class in classes {
        writeln!(out, "  {:7.3} %  {}", class.probability * 100.0, plain(&class.label))?;
    }
    Ok(())
}

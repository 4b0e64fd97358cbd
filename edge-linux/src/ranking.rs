//! The best classes of a picture, as they are printed.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;
use tinception_models::compile::Label;

use crate::engine::{Classes, Scores};
use crate::labels::Labels;
use crate::terminal::plain;

/// A class and its scores.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Class {
    /// Index of the class in the network's output.
    pub(crate) class: usize,
    /// Name of the class: synonyms separated by commas, the most usual one first.
    pub(crate) label: String,
    /// Id of the class in its data set; left out where the network states none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Probability of the class, from 0 to 1.
    pub(crate) probability: f64,
    /// What went into the softmax; null where the network gives probabilities only.
    pub(crate) logit: Option<f64>,
    /// Whether its probability is independent of the other classes'; left out where it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) independent: bool,
}

/// A class, with what these scores say of it.
pub(crate) fn class(scores: &Scores, labels: &Labels, class: usize) -> Class {
    let Label { id, name: label } = labels.get(class);
    Class {
        class,
        label,
        id,
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

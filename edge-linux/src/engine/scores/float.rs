//! Scores from the numbers that a float network gives.

use tinception_models::ending::Ending;

use super::{Classes, Scores};

impl Scores {
    /// Probabilities of classes that are true or not, each by itself.
    pub(crate) fn independent(probabilities: Vec<f64>) -> Self {
        Self { classes: Classes::Independent, ..Self::exclusive(probabilities) }
    }

    /// Scores from the numbers that a float network gives, `ending` being what they have gone through last. A single number
    /// stands for two classes. An error says what is wrong with the numbers and what to do about it.
    pub(crate) fn of_float(values: Vec<f64>, ending: Ending) -> Result<Self, &'static str> {
        match (ending, values.as_slice()) {
            (Ending::Softmax | Ending::LogSoftmax, [_]) => Err(
                "it gives a single number behind a softmax, and a softmax of a single score always is 1; let it end in all of \
                 its scores, or for two classes in one score or in a sigmoid",
            ),
            (Ending::Softmax, values) if !sums_up_to_one(values, KNOWN) => Err(NOT_OVER_THE_CLASSES),
            (Ending::LogSoftmax, values) if !sums_up_to_one(&exponentials(values), KNOWN) => Err(NOT_OVER_THE_CLASSES),
            (Ending::Softmax, _) => Ok(Self::exclusive(values)),
            (Ending::LogSoftmax, _) => Ok(Self::from_logits(values)),
            (Ending::Sigmoid, [probability]) => Ok(Self::exclusive(vec![1.0 - probability, *probability])),
            (Ending::Sigmoid, _) => Ok(Self::independent(values)),
            (Ending::Scores, [score]) => Ok(Self::from_logits(vec![0.0, *score])),
            (Ending::Scores, values) if sums_up_to_one(values, GUESSED) => Ok(Self::exclusive(values.to_vec())),
            (Ending::Scores, _) => Ok(Self::from_logits(values)),
        }
    }
}

/// What is wrong with a softmax whose probabilities don't sum up to 1.
const NOT_OVER_THE_CLASSES: &str =
    "its softmax does not sum up to 1: it runs over another axis, or classes are left out; let it end in scores";

/// How far from 1 the sum of a softmax's probabilities may be that a network is known to end in: float16 has 11 bits.
const KNOWN: f64 = 2e-2;
/// How far it may be where the numbers alone tell that they are probabilities.
const GUESSED: f64 = 1e-3;

/// Whether the numbers are probabilities of exclusive classes: none is negative, and they sum up to 1.
fn sums_up_to_one(values: &[f64], tolerance: f64) -> bool {
    let sum: f64 = values.iter().sum();
    values.iter().all(|value| *value >= 0.0) && (sum - 1.0).abs() < tolerance
}

fn exponentials(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.exp()).collect()
}

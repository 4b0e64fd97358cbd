//! What a network says about a picture, made from what its last operator gives.

#[cfg(any(test, feature = "tract"))]
mod float;

use serde::Serialize;
use tinception_models::ending::{Ending, OwnOutput};

/// How the classes go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Classes {
    /// One class of all is true, and the probabilities sum up to 1 (softmax).
    #[default]
    Exclusive,
    /// Each class is true or not by itself, and has a probability by itself (sigmoid).
    Independent,
}

/// What a network says about a picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scores {
    /// Probability of each class.
    pub(crate) probabilities: Vec<f64>,
    /// What went into the softmax or sigmoid; `None` where the network gives probabilities only.
    pub(crate) logits: Option<Vec<f64>>,
    /// How the classes go together.
    pub(crate) classes: Classes,
    /// Whether logits only rank the classes and are not shown: the network's own numbers are probabilities.
    hidden: bool,
}

impl Scores {
    /// Probabilities of classes of which one is true.
    pub(crate) const fn exclusive(probabilities: Vec<f64>) -> Self {
        Self { probabilities, logits: None, classes: Classes::Exclusive, hidden: false }
    }

    /// Scores from logits, by the softmax.
    pub(crate) fn from_logits(logits: Vec<f64>) -> Self {
        let (largest, sum) = powers(&logits);
        let probabilities = logits.iter().map(|logit| (logit - largest).exp() / sum).collect();
        Self { logits: Some(logits), ..Self::exclusive(probabilities) }
    }

    /// Scores from what an int8 network gives: its logits, its probabilities, how its classes go together, and what the float
    /// network's own output was.
    pub(crate) fn of_int8(logits: Vec<f64>, probabilities: Option<Vec<f64>>, classes: Classes, own: OwnOutput) -> Self {
        let scores = Self::from_logits(logits);
        let probabilities = probabilities.unwrap_or(scores.probabilities);
        let mut logits = scores.logits;
        if let (Ending::LogSoftmax, Some(logits)) = (own.ending, &mut logits) {
            // The float network gives logarithms of probabilities, which differ from logits by the same number each.
            let (largest, sum) = powers(logits);
            logits.iter_mut().for_each(|logit| *logit -= largest + sum.ln());
        }
        Self { probabilities, logits, classes, hidden: own.ending == Ending::Sigmoid }
    }

    /// What is shown of the class's logit.
    pub(crate) fn logit(&self, class: usize) -> Option<f64> {
        self.logits.as_ref().filter(|_| !self.hidden).and_then(|logits| logits.get(class)).copied()
    }

    /// The `count` best classes, best first; equal scores go to the lower class.
    pub(crate) fn top(&self, count: usize) -> Vec<usize> {
        let ranks = self.logits.as_ref().unwrap_or(&self.probabilities);
        let mut order: Vec<(usize, f64)> = ranks.iter().copied().enumerate().collect();
        order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        order.into_iter().take(count).map(|(class, _)| class).collect()
    }

    /// The best class.
    pub(crate) fn best(&self) -> usize {
        self.top(1).first().copied().unwrap_or_default()
    }
}

/// The largest logit, and the sum of all powers of e, each divided by that of the largest logit.
fn powers(logits: &[f64]) -> (f64, f64) {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (largest, logits.iter().map(|logit| (logit - largest).exp()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }

    #[test]
    fn equal_scores_go_to_the_lower_class() {
        let scores = Scores::from_logits(vec![1.0, 3.0, 3.0, -2.0]);
        assert_eq!(scores.top(3), [1, 2, 0]);
        assert_eq!(scores.best(), 1);
        assert_eq!(scores.top(9).len(), 4);
        assert_eq!(Scores::exclusive(vec![0.25, 0.5, 0.25]).top(3), [1, 0, 2]);
    }

    #[test]
    fn softmax_is_the_textbooks() {
        // exp(1), exp(2), exp(3) over their sum, and no overflow far out.
        let scores = Scores::from_logits(vec![1001.0, 1002.0, 1003.0]);
        assert_close(
            &scores.probabilities,
            &[0.090_030_573_170_380_46, 0.244_728_471_054_797_64, 0.665_240_955_774_821_9],
        );
    }

    #[test]
    fn one_score_is_two_classes() {
        // 1 / (1 + exp(-2)).
        let yes = 0.880_797_077_977_882_3;
        let scores = Scores::of_float(vec![2.0], Ending::Scores).unwrap();
        assert_close(&scores.probabilities, &[1.0 - yes, yes]);
        assert_eq!((scores.logit(0), scores.logit(1), scores.best()), (Some(0.0), Some(2.0), 1));
        let scores = Scores::of_float(vec![yes], Ending::Sigmoid).unwrap();
        assert_close(&scores.probabilities, &[1.0 - yes, yes]);
        assert_eq!((scores.logit(1), scores.best(), scores.classes), (None, 1, Classes::Exclusive));
        assert_eq!(Scores::of_float(vec![-1.0], Ending::Scores).unwrap().best(), 0);
        for ending in [Ending::Softmax, Ending::LogSoftmax] {
            assert!(Scores::of_float(vec![1.0], ending).unwrap_err().contains("a single score"));
        }
    }

    #[test]
    fn several_sigmoids_are_independent() {
        let scores = Scores::of_float(vec![0.9, 0.2, 0.8], Ending::Sigmoid).unwrap();
        assert_eq!((scores.classes, scores.top(2), scores.logits), (Classes::Independent, vec![0, 2], None));
        assert_eq!(scores.probabilities, [0.9, 0.2, 0.8]);
        // Those that happen to sum up to 1 are no softmax.
        assert_eq!(Scores::of_float(vec![0.25, 0.75], Ending::Sigmoid).unwrap().classes, Classes::Independent);
    }

    #[test]
    fn a_log_softmax_is_taken_like_a_softmax() {
        let probabilities = [0.1, 0.6, 0.3_f64];
        let logarithms = probabilities.map(f64::ln).to_vec();
        let scores = Scores::of_float(logarithms.clone(), Ending::LogSoftmax).unwrap();
        assert_close(&scores.probabilities, &probabilities);
        // The file has logits, which differ by one number; it shows the logarithms all the same.
        let own = OwnOutput { ending: Ending::LogSoftmax, one_score: false };
        let logits = logarithms.iter().map(|logarithm| logarithm + 5.0).collect();
        let int8 = Scores::of_int8(logits, Some(probabilities.to_vec()), Classes::Exclusive, own);
        assert_close(&int8.logits.unwrap(), &logarithms);
    }

    #[test]
    fn int8_scores_are_the_networks_own() {
        let own = |ending| OwnOutput { ending, one_score: false };
        let scores = |ending, classes| Scores::of_int8(vec![2.0, -1.0], Some(vec![0.9, 0.3]), classes, own(ending));
        assert_eq!(scores(Ending::Scores, Classes::Exclusive).logit(0), Some(2.0));
        let hidden = scores(Ending::Sigmoid, Classes::Independent);
        assert_eq!((hidden.logit(0), hidden.best(), hidden.probabilities), (None, 0, vec![0.9, 0.3]));
        let without = Scores::of_int8(vec![0.0, 0.0], None, Classes::Exclusive, OwnOutput::default());
        assert_eq!(without.probabilities, [0.5, 0.5]);
    }

    #[test]
    fn logits_are_told_from_probabilities() {
        let logits = |values: &[f64]| Scores::of_float(values.to_vec(), Ending::Scores).unwrap().logits;
        assert_eq!(logits(&[0.25, 0.75]), None);
        for values in [[-0.25, 1.25], [0.25, 0.5], [3.0, 1.0]] {
            assert!(logits(&values).is_some());
        }
        assert!(Scores::of_float(vec![1.0, 1.0], Ending::Softmax).unwrap_err().contains("another axis"));
        assert!(Scores::of_float(vec![0.0, 0.0], Ending::LogSoftmax).unwrap_err().contains("another axis"));
    }
}

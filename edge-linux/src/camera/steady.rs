//! A steady label from unsteady probabilities: averaged over some frames, and slow to change.

use crate::engine::{Classes, Scores};

/// When the label changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Steadiness {
    /// Frames that the average reaches back, about: the newest one counts `2 / (frames + 1)`.
    pub(crate) frames: u16,
    /// Averaged probability that a class needs to become the label; what suits the number of classes where it isn't said.
    pub(crate) threshold: Option<f64>,
    /// How far another class must lead before it takes over, and how far below the threshold the label may fall.
    pub(crate) hysteresis: f64,
}

/// The threshold for so many classes. The best of `n` classes has at least `1 / n`, whatever is on the picture, so a threshold
/// near that would never say `unknown`: it is a quarter above, and at least 0.3. 0.75 for two classes, 0.5 for four, 0.3 from
/// twenty on. A class that is independent of the others has no such least probability: it is there from 0.5 on.
pub(crate) fn usual_threshold(count: usize, classes: Classes) -> f64 {
    match classes {
        Classes::Exclusive => (1.0 / count.max(1) as f64 + 0.25).clamp(0.3, 0.75),
        Classes::Independent => 0.5,
    }
}

/// The label of what the camera sees. Its buffer is used again and again.
#[derive(Clone, Debug)]
pub(crate) struct SteadyLabel {
    steadiness: Steadiness,
    averages: Vec<f64>,
    current: Option<usize>,
    /// The classes above the threshold, each by itself; empty unless they are independent of each other.
    present: Vec<bool>,
}

impl SteadyLabel {
    /// No label yet.
    pub(crate) fn new(steadiness: Steadiness) -> Self {
        Self { steadiness, averages: Vec::new(), current: None, present: Vec::new() }
    }

    /// Changes when the label changes, from the next frame on. What was averaged up to now counts on.
    pub(crate) const fn adjust(&mut self, steadiness: Steadiness) {
        self.steadiness = steadiness;
    }

    /// Takes a frame's scores into account. `true` where the label changes.
    pub(crate) fn update(&mut self, scores: &Scores) -> bool {
        let Steadiness { frames, threshold, hysteresis } = self.steadiness;
        let threshold = threshold.unwrap_or_else(|| usual_threshold(scores.probabilities.len(), scores.classes));
        if self.averages.len() == scores.probabilities.len() {
            let weight = 2.0 / (f64::from(frames) + 1.0);
            for (average, probability) in self.averages.iter_mut().zip(&scores.probabilities) {
                *average += weight * (probability - *average);
            }
        } else {
            self.averages.clone_from(&scores.probabilities);
        }
        if scores.classes == Classes::Independent {
            self.present.resize(self.averages.len(), false);
            for (present, average) in self.present.iter_mut().zip(&self.averages) {
                *present = *average >= threshold || (*present && *average >= threshold - hysteresis);
            }
        }
        let before = self.current;
        if self.probability() < threshold - hysteresis {
            self.current = None;
        }
        let held = self.current.map(|_| self.probability() + hysteresis);
        let best =
            self.averages.iter().copied().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
        if let Some((class, average)) = best
            && average >= threshold
            && held.is_none_or(|held| average > held)
        {
            self.current = Some(class);
        }
        self.current != before
    }

    /// The label's class; `None` is `unknown`.
    pub(crate) const fn class(&self) -> Option<usize> {
        self.current
    }

    /// Where classes are independent of each other: all whose averaged probability is above the threshold, in their order.
    pub(crate) fn present(&self) -> Option<Vec<usize>> {
        let present = self.present.iter().enumerate().filter(|(_, present)| **present);
        (!self.present.is_empty()).then(|| present.map(|(class, _)| class).collect())
    }

    /// The label's averaged probability; 0 for `unknown`.
    pub(crate) fn probability(&self) -> f64 {
        self.current.and_then(|class| self.averages.get(class)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(probabilities: &[f64]) -> Scores {
        Scores::exclusive(probabilities.to_vec())
    }

    fn steady(frames: u16, threshold: f64, hysteresis: f64) -> SteadyLabel {
        SteadyLabel::new(Steadiness { frames, threshold: Some(threshold), hysteresis })
    }

    #[test]
    fn without_averages_and_thresholds_it_is_the_best_class() {
        let mut label = steady(1, 0.0, 0.0);
        for (probabilities, class) in [([0.2, 0.7, 0.1], 1), ([0.4, 0.2, 0.4], 0), ([0.0, 0.1, 0.9], 2)] {
            label.update(&scores(&probabilities));
            assert_eq!(label.class(), Some(class));
        }
    }

    #[test]
    fn an_average_over_three_frames_counts_the_newest_one_half() {
        let mut label = steady(3, 0.3, 0.0);
        label.update(&scores(&[1.0, 0.0]));
        label.update(&scores(&[0.0, 1.0]));
        // 0.5 each: the lower class stays.
        assert_eq!((label.class(), label.probability()), (Some(0), 0.5));
        assert!(label.update(&scores(&[0.5, 0.5001])));
        assert_eq!(label.class(), Some(1));
    }

    /// As a user changes them on the page: the averages go on, the label follows at the next frame.
    #[test]
    fn adjusting_keeps_the_averages() {
        let mut label = steady(3, 0.9, 0.0);
        label.update(&scores(&[0.8, 0.2]));
        assert_eq!(label.class(), None);
        label.adjust(Steadiness { frames: 3, threshold: Some(0.5), hysteresis: 0.0 });
        assert!(label.update(&scores(&[0.4, 0.6])), "(0.8 + 0.4) / 2 is above the new threshold");
        assert!((label.probability() - 0.6).abs() < 1e-12);
        label.adjust(Steadiness { frames: 1, threshold: Some(0.5), hysteresis: 0.0 });
        assert!(label.update(&scores(&[0.1, 0.9])));
        assert_eq!((label.class(), label.probability()), (Some(1), 0.9), "the newest frame alone counts");
    }

    #[test]
    fn a_rival_must_lead_by_the_hysteresis() {
        let mut label = steady(1, 0.3, 0.1);
        label.update(&scores(&[0.5, 0.4]));
        assert!(!label.update(&scores(&[0.45, 0.54])), "it leads by 0.09");
        assert!(label.update(&scores(&[0.42, 0.54])), "it leads by 0.12");
        assert_eq!(label.class(), Some(1));
    }

    #[test]
    fn each_of_independent_classes_has_the_threshold_for_itself() {
        let mut label = steady(1, 0.5, 0.1);
        let independent = |probabilities: &[f64]| Scores::independent(probabilities.to_vec());
        label.update(&independent(&[0.6, 0.9, 0.2]));
        assert_eq!((label.class(), label.present()), (Some(1), Some(vec![0, 1])), "the most probable one leads");
        label.update(&independent(&[0.45, 0.39, 0.48]));
        assert_eq!(label.present(), Some(vec![0]), "the hysteresis holds the first, the third has not come yet");
        label.update(&independent(&[0.1, 0.2, 0.3]));
        assert_eq!((label.class(), label.present()), (None, Some(vec![])));
        let mut label = steady(1, 0.5, 0.1);
        label.update(&scores(&[0.6, 0.4]));
        assert_eq!(label.present(), None, "of exclusive classes there is one");
    }

    #[test]
    fn below_the_threshold_it_is_unknown() {
        let mut label = steady(1, 0.5, 0.1);
        assert!(!label.update(&scores(&[0.49, 0.2])));
        assert_eq!(label.class(), None);
        assert!(label.update(&scores(&[0.5, 0.2])));
        assert!(!label.update(&scores(&[0.41, 0.2])), "held by the hysteresis");
        assert!(label.update(&scores(&[0.39, 0.2])));
        assert_eq!((label.class(), label.probability()), (None, 0.0));
    }

    /// Whatever the number of classes: a network that knows nothing has no label, and one that is sure has one.
    #[test]
    fn the_usual_threshold_acts_on_every_number_of_classes() {
        for classes in [2, 3, 4, 5, 6, 10, 19, 20, 100, 1000] {
            let new = || SteadyLabel::new(Steadiness { frames: 1, threshold: None, hysteresis: 0.1 });
            let chance = 1.0 / classes as f64;
            let even = vec![chance; classes];
            let mut label = new();
            label.update(&scores(&even));
            assert_eq!(label.class(), None, "{classes}");
            // The first class has so much, the others share the rest.
            let with = |first: f64| {
                let mut all = vec![(1.0 - first) / (classes - 1) as f64; classes];
                all[0] = first;
                scores(&all)
            };
            assert!(label.update(&with(0.9)), "{classes}");
            // What was sure and no longer is: a little above chance is below the threshold by more than the hysteresis.
            assert!(label.update(&with(chance + 0.05)), "{classes}");
            assert_eq!(label.class(), None, "{classes}");
        }
        for (classes, threshold) in [(0, 0.75), (1, 0.75), (2, 0.75), (4, 0.5), (10, 0.35), (20, 0.3), (1000, 0.3)] {
            assert!((usual_threshold(classes, Classes::Exclusive) - threshold).abs() < 1e-12, "{classes}");
            assert!((usual_threshold(classes, Classes::Independent) - 0.5).abs() < 1e-12, "{classes}");
        }
    }
}

//! The classes that lead: of a thousand, a chart can show a handful.

use std::time::{Duration, Instant};

use crate::engine::Scores;

/// Classes that are shown.
pub(super) const COUNT: usize = 5;
/// How long a class is remembered for a peak, in parts: the oldest goes when a new one begins.
const PART: Duration = Duration::from_secs(5);
const PARTS: usize = 13;

/// Remembers each class's highest probability within about the last minute.
pub(super) struct Leaders {
    since: Instant,
    /// Peaks of each part of the time, the newest last.
    parts: Vec<Vec<f64>>,
    /// Peaks of all of it.
    peaks: Vec<f64>,
    order: Vec<usize>,
}

impl Leaders {
    pub(super) const fn new(now: Instant) -> Self {
        Self { since: now, parts: Vec::new(), peaks: Vec::new(), order: Vec::new() }
    }

    /// Takes a frame's scores, and gives the classes with the highest peaks, highest first.
    pub(super) fn update(&mut self, now: Instant, scores: &Scores) -> &[usize] {
        let probabilities = &scores.probabilities;
        if self.peaks.len() != probabilities.len() {
            self.peaks = vec![0.0; probabilities.len()];
            self.order = (0..probabilities.len()).collect();
            self.parts.clear();
        }
        let passed = now.duration_since(self.since).as_secs() / PART.as_secs();
        if passed > 0 || self.parts.is_empty() {
            self.since += PART * u32::try_from(passed).unwrap_or(u32::MAX);
            self.begin(usize::try_from(passed).unwrap_or(PARTS).clamp(1, PARTS));
        }
        if let Some(newest) = self.parts.last_mut() {
            raise(newest, probabilities);
        }
        raise(&mut self.peaks, probabilities);
        let count = COUNT.min(self.order.len());
        let peaks = &self.peaks;
        let higher = |a: &usize, b: &usize| peaks[*b].total_cmp(&peaks[*a]).then(a.cmp(b));
        if count < self.order.len() {
            self.order.select_nth_unstable_by(count, higher);
        }
        self.order[..count].sort_unstable_by(higher);
        &self.order[..count]
    }

    /// Begins so many parts; those that are too old go.
    fn begin(&mut self, count: usize) {
        for _ in 0..count {
            let mut part = if self.parts.len() < PARTS { Vec::new() } else { self.parts.remove(0) };
            part.clear();
            part.resize(self.peaks.len(), 0.0);
            self.parts.push(part);
        }
        self.peaks.fill(0.0);
        for part in &self.parts {
            raise(&mut self.peaks, part);
        }
    }
}

fn raise(peaks: &mut [f64], values: &[f64]) {
    for (peak, value) in peaks.iter_mut().zip(values) {
        *peak = peak.max(*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(count: usize, class: usize, probability: f64) -> Scores {
        let mut all = vec![(1.0 - probability) / (count - 1) as f64; count];
        all[class] = probability;
        Scores::exclusive(all)
    }

    #[test]
    fn the_highest_peaks_of_the_minute_lead() {
        let start = Instant::now();
        let mut leaders = Leaders::new(start);
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(leaders.update(at(0), &scores(1000, 700, 0.9)), [700, 0, 1, 2, 3]);
        assert_eq!(leaders.update(at(1), &scores(1000, 5, 0.4))[..2], [700, 5]);
        assert_eq!(leaders.update(at(50), &scores(1000, 999, 0.95))[..3], [999, 700, 5]);
        // The first two are more than a minute old now.
        assert_eq!(leaders.update(at(70), &scores(1000, 9, 0.5))[..3], [999, 9, 0]);
        assert_eq!(leaders.update(at(7000), &scores(1000, 8, 0.5))[..2], [8, 0]);
    }

    #[test]
    fn networks_of_few_classes_have_few_leaders() {
        let start = Instant::now();
        let mut leaders = Leaders::new(start);
        assert_eq!(leaders.update(start, &scores(2, 1, 0.9)), [1, 0]);
        assert_eq!(leaders.update(start, &Scores::exclusive(Vec::new())), [0; 0]);
    }
}

//! Figures over time: frames a second over the last whole second, and percentiles of the latency over the last minute.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::camera::Counts;

/// How far back percentiles look.
const MINUTE: Duration = Duration::from_secs(60);
/// Latencies that are kept: a minute of 500 frames a second. Faster sources have percentiles over the newest of so many.
const MOST: usize = 30_000;

/// What happens a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Rates {
    /// Frames that come from the source.
    pub(crate) captured: f64,
    /// Frames that the network sees.
    pub(crate) classified: f64,
    /// Frames that are passed over, as `--every` asks for.
    pub(crate) skipped: f64,
    /// Frames that make room for newer ones.
    pub(crate) dropped: f64,
    /// Frames that cannot be decoded.
    pub(crate) broken: f64,
}

/// Percentiles of the time from frame to label, in milliseconds: each is the time of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// Half of the frames take no longer.
    pub(crate) p50_ms: f64,
    /// 95 of 100 frames take no longer.
    pub(crate) p95_ms: f64,
}

/// Takes frames, and gives figures that change once a second.
pub(super) struct Pace {
    since: Instant,
    classified: u64,
    counts: Counts,
    rates: Rates,
    latencies: VecDeque<(Instant, f64)>,
    sorted: Vec<f64>,
    latency: Latency,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        let counts = Counts { captured: 0, skipped: 0, dropped: 0, broken: 0, reconnects: 0 };
        let rates = Rates { captured: 0.0, classified: 0.0, skipped: 0.0, dropped: 0.0, broken: 0.0 };
        Self {
            since: now,
            classified: 0,
            counts,
            rates,
            latencies: VecDeque::new(),
            sorted: Vec::new(),
            latency: Latency { p50_ms: 0.0, p95_ms: 0.0 },
        }
    }

    /// Takes a frame, with what was counted since the start: those that were classified, and all others.
    pub(super) fn count(&mut self, now: Instant, classified: u64, counts: Counts, latency_ms: f64) -> (Rates, Latency) {
        if self.latencies.len() == MOST {
            self.latencies.pop_front();
        }
        self.latencies.push_back((now, latency_ms));
        let seconds = now.duration_since(self.since).as_secs_f64();
        let is_first = self.latencies.len() == 1;
        if seconds >= 1.0 {
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            self.rates = Rates {
                captured: rate(counts.captured, self.counts.captured),
                classified: rate(classified, self.classified),
                skipped: rate(counts.skipped, self.counts.skipped),
                dropped: rate(counts.dropped, self.counts.dropped),
                broken: rate(counts.broken, self.counts.broken),
            };
            (self.since, self.classified, self.counts) = (now, classified, counts);
        }
        if seconds >= 1.0 || is_first {
            while self.latencies.front().is_some_and(|(then, _)| now.duration_since(*then) > MINUTE) {
                self.latencies.pop_front();
            }
            self.sorted.clear();
            self.sorted.extend(self.latencies.iter().map(|(_, latency)| latency));
            self.sorted.sort_unstable_by(f64::total_cmp);
            self.latency = Latency { p50_ms: percentile(&self.sorted, 50), p95_ms: percentile(&self.sorted, 95) };
        }
        (self.rates, self.latency)
    }
}

/// The least value that so many of a hundred do not exceed (nearest rank).
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A camera of 20 frames a second, of which every second one is dropped.
    #[test]
    fn rates_are_of_whole_seconds() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let rates: Vec<Rates> = (1..=20)
            .map(|index| {
                let counts = Counts { captured: 2 * index, dropped: index, ..Counts::default() };
                pace.count(start + Duration::from_millis(100 * index), index, counts, 1.0).0
            })
            .collect();
        assert_eq!(rates[..9], [Rates::default(); 9]);
        for rates in &rates[9..] {
            for (rate, expected) in
                [(rates.captured, 20.0), (rates.classified, 10.0), (rates.dropped, 10.0), (rates.broken, 0.0)]
            {
                assert!((rate - expected).abs() < 1e-6, "{rates:?}");
            }
        }
    }

    #[test]
    fn percentiles_are_of_the_last_minute() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut at = |seconds: u64, latency| {
            pace.count(start + Duration::from_secs(seconds), seconds, Counts::default(), latency).1
        };
        assert_eq!(at(0, 7.0), Latency { p50_ms: 7.0, p95_ms: 7.0 });
        // 1 to 40 in an order of its own, a second each: 21 values are no larger than 20, and 39 no larger than 38.
        let found = (1..=40).map(|second| at(second, (second * 17 % 41) as f64)).last().unwrap();
        assert_eq!(found, Latency { p50_ms: 20.0, p95_ms: 38.0 });
        // An hour later these count no more.
        assert_eq!(at(3600, 2.0), Latency { p50_ms: 2.0, p95_ms: 2.0 });
    }

    #[test]
    fn memory_has_a_limit() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for frame in 0..2 * MOST as u64 {
            pace.count(start + Duration::from_micros(frame), frame, Counts::default(), 1.0);
        }
        assert_eq!(pace.latencies.len(), MOST);
    }
}

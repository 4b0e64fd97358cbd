//! So many pictures a second, and no more.

use std::thread;
use std::time::{Duration, Instant};

/// Waits between pictures.
pub(super) struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    /// `rate` pictures a second.
    pub(super) fn new(rate: u32) -> Self {
        Self { interval: Duration::from_secs(1) / rate.max(1), next: Instant::now() }
    }

    /// From picture to picture.
    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    /// Waits until the next picture is due. Who is late catches up on nothing.
    pub(super) fn wait(&mut self) {
        thread::sleep(self.next.saturating_duration_since(Instant::now()));
        self.next = Instant::now().max(self.next) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_distance() {
        let mut pace = Pace::new(20);
        let start = Instant::now();
        for _ in 0..4 {
            pace.wait();
        }
        let three_intervals = Duration::from_millis(150);
        assert!(start.elapsed() >= three_intervals);
        thread::sleep(Duration::from_millis(200));
        let late = Instant::now();
        pace.wait();
        pace.wait();
        assert!(late.elapsed() >= Duration::from_millis(50), "it caught up");
    }
}

//! What systemd is told of the camera, where it runs as a service: that it is ready, how it is, that it is alive.
//!
//! Without systemd (no `NOTIFY_SOCKET`) nothing is told.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::output::notice;

/// The service, as systemd sees it.
#[derive(Debug)]
pub(crate) struct Service {
    watchdog: Option<Watchdog>,
    /// Whether a message that could not be sent was reported.
    reported: bool,
}

/// Feeds the watchdog while things move on, and only then.
#[derive(Debug)]
struct Watchdog {
    /// Half of the time after which systemd ends the service.
    pause: Duration,
    fed: Instant,
    progress: u64,
    moved: bool,
}

impl Watchdog {
    fn new(limit: Duration, now: Instant) -> Self {
        Self { pause: limit / 2, fed: now, progress: 0, moved: false }
    }

    /// Whether it is to be fed now. `progress` is another number whenever something was achieved.
    fn is_due(&mut self, progress: u64, now: Instant) -> bool {
        self.moved |= progress != self.progress;
        self.progress = progress;
        let due = self.moved && now.duration_since(self.fed) >= self.pause;
        if due {
            (self.fed, self.moved) = (now, false);
        }
        due
    }
}

impl Service {
    /// Says that the service is ready. Its watchdog begins here, if it has one.
    pub(crate) fn ready() -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|limit| Watchdog::new(limit, Instant::now()));
        let mut service = Self { watchdog, reported: false };
        service.tell(&[NotifyState::Ready, NotifyState::Status("no frame yet")]);
        service
    }

    /// Says how things are, in one line.
    pub(crate) fn status(&mut self, text: &str) {
        // A line break would begin another message.
        let line = text.replace(char::is_control, " ");
        self.tell(&[NotifyState::Status(&line)]);
    }

    /// Feeds the watchdog when it is time, if `progress` is another number than the last time: a count of frames that were
    /// dealt with and of attempts to reach the source. So what hangs is ended, and what tries is not.
    pub(crate) fn alive(&mut self, progress: u64) {
        if self.watchdog.as_mut().is_some_and(|watchdog| watchdog.is_due(progress, Instant::now())) {
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    /// Says that the service ends.
    pub(crate) fn stopping(&mut self) {
        self.tell(&[NotifyState::Stopping]);
    }

    fn tell(&mut self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states)
            && !self.reported
        {
            self.reported = true;
            notice(format_args!("cannot notify systemd: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_while_things_move_on() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(Duration::from_secs(30), start);
        let mut due = |progress, second| watchdog.is_due(progress, start + Duration::from_secs(second));
        assert!(!due(1, 14), "too early");
        assert!(due(1, 15), "something moved since the start");
        assert!(!due(1, 40), "nothing moved since");
        assert!(due(2, 41), "late, but it moved");
        assert!(!due(3, 50));
        assert!(due(3, 56), "it moved, and now it is time");
        assert!(!due(3, 1000));
    }
}

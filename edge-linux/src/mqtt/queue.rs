//! States on their way to the broker. Whoever puts one in never waits.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::messages::LONGEST_STATE;
use crate::camera::MqttCounts;

/// States that wait for a broker that is slow; and states on their way that it has not acknowledged.
pub(super) const CAPACITY: usize = 16;

/// A queue with room for a few states, and what is known of the connection.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    states: VecDeque<Vec<u8>>,
    /// Handed to the connection last; published anew where a broker comes back.
    last: Option<Vec<u8>>,
    /// Handed to the connection, and not acknowledged.
    unacknowledged: u64,
    connected: bool,
    greeted: bool,
    closed: bool,
    counts: MqttCounts,
}

/// What the connection should do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Say what there is, and that it is on.
    Greet,
    /// Publish a state.
    State(Vec<u8>),
    /// Say that it is off, and end.
    End,
}

impl Queue {
    /// Puts a state in; the oldest makes room where there is none. One that is too long for a message is dropped itself: the
    /// connection would break over it.
    pub(super) fn push(&self, state: Vec<u8>) {
        let mut inner = self.lock();
        if state.len() > LONGEST_STATE {
            inner.counts.dropped += 1;
            return;
        }
        // A broker that is away learns how things are when it is back, not how they were.
        let room = if inner.connected { CAPACITY } else { 1 };
        inner.states.push_back(state);
        inner.keep(room);
        drop(inner);
        self.changed.notify_one();
    }

    /// Waits for something to do. Nothing is to be done without a connection.
    pub(super) async fn next(&self) -> Work {
        loop {
            if let Some(work) = self.lock().work() {
                return work;
            }
            self.changed.notified().await;
        }
    }

    /// Says that the broker is there. Returns how often it came.
    pub(super) fn connected(&self) -> u64 {
        let mut inner = self.lock();
        (inner.connected, inner.greeted) = (true, false);
        inner.unacknowledged = 0;
        inner.counts.connections += 1;
        inner.keep(1);
        if inner.states.is_empty() {
            let last = inner.last.clone();
            inner.states.extend(last);
        }
        let connections = inner.counts.connections;
        drop(inner);
        self.changed.notify_one();
        connections
    }

    /// Says that the broker can't be reached, or is gone. Returns how often that was so.
    pub(super) fn failed(&self) -> u64 {
        let mut inner = self.lock();
        inner.connected = false;
        inner.counts.failures += 1;
        // The last of those that were on their way is published anew.
        inner.counts.dropped += inner.unacknowledged.saturating_sub(1);
        inner.unacknowledged = 0;
        inner.keep(1);
        inner.counts.failures
    }

    /// Says that the broker has a state.
    pub(super) fn acknowledged(&self) {
        let mut inner = self.lock();
        // A broker may acknowledge what was never sent.
        if inner.unacknowledged > 0 {
            inner.unacknowledged -= 1;
            inner.counts.published += 1;
        }
        drop(inner);
        // The end waits for the last of them.
        self.changed.notify_one();
    }

    /// Says that no more states come. Returns whether the broker can be told so, now or in a moment.
    pub(super) fn close(&self) -> bool {
        let mut inner = self.lock();
        inner.closed = true;
        inner.keep(1);
        let MqttCounts { connections, failures, .. } = inner.counts;
        // A short run may end before the first connection stands.
        let may_be_told = inner.connected || connections + failures == 0;
        drop(inner);
        self.changed.notify_one();
        may_be_told
    }

    /// Whether no more states come.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// What became of the states up to now.
    pub(super) fn counts(&self) -> MqttCounts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn work(&mut self) -> Option<Work> {
        if !self.connected {
            return None;
        }
        if !self.greeted {
            self.greeted = true;
            return Some(Work::Greet);
        }
        let Some(state) = self.states.pop_front() else {
            return (self.closed && self.unacknowledged == 0).then_some(Work::End);
        };
        self.unacknowledged += 1;
        self.last = Some(state.clone());
        Some(Work::State(state))
    }

    /// Drops the oldest states, and counts them, until only so many are left.
    fn keep(&mut self, room: usize) {
        while self.states.len() > room {
            self.states.pop_front();
            self.counts.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(queue: &Queue) -> Option<Work> {
        queue.lock().work()
    }

    fn state(number: u8) -> Vec<u8> {
        vec![number]
    }

    #[test]
    fn the_oldest_make_room() {
        let queue = Queue::default();
        queue.connected();
        (0..20).for_each(|number| queue.push(state(number)));
        assert_eq!(work(&queue), Some(Work::Greet));
        for number in 4..20 {
            assert_eq!(work(&queue), Some(Work::State(state(number))));
        }
        assert_eq!(work(&queue), None);
        let counts = queue.counts();
        assert_eq!((counts.published, counts.dropped), (0, 4));
        // Published is what the broker says it has.
        (0..15).for_each(|_| queue.acknowledged());
        assert_eq!(queue.counts().published, 15);
        (0..5).for_each(|_| queue.acknowledged());
        assert_eq!(queue.counts().published, 16);
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let queue = Queue::default();
        queue.connected();
        queue.push(vec![0; LONGEST_STATE]);
        queue.push(vec![0; LONGEST_STATE + 1]);
        assert_eq!(work(&queue), Some(Work::Greet));
        assert!(matches!(work(&queue), Some(Work::State(state)) if state.len() == LONGEST_STATE));
        assert_eq!((work(&queue), queue.counts().dropped), (None, 1));
    }

    /// A broker that takes states and breaks the connection for them has published none.
    #[test]
    fn what_is_refused_is_not_published() {
        let queue = Queue::default();
        for round in 0..3 {
            queue.connected();
            assert_eq!(work(&queue), Some(Work::Greet));
            (0..3).for_each(|number| queue.push(state(number)));
            while work(&queue).is_some() {}
            queue.failed();
            queue.acknowledged();
            let counts = queue.counts();
            // Of each round but the last state all are lost, and the one of the round before.
            assert_eq!((counts.published, counts.dropped), (0, 2 + 3 * round));
        }
    }

    #[test]
    fn a_short_run_is_published_whole() {
        let queue = Queue::default();
        (0..3).for_each(|number| queue.push(state(number)));
        assert!(queue.close());
        assert_eq!(work(&queue), None);
        queue.connected();
        assert_eq!([work(&queue), work(&queue), work(&queue)], [Some(Work::Greet), Some(Work::State(state(2))), None]);
        queue.acknowledged();
        assert_eq!(work(&queue), Some(Work::End));
        // Nobody waits for a broker that was not there.
        let queue = Queue::default();
        queue.failed();
        assert!(!queue.close());
    }

    #[test]
    fn a_broker_that_comes_back_learns_the_newest() {
        let queue = Queue::default();
        (0..3).for_each(|number| queue.push(state(number)));
        assert_eq!(work(&queue), None);
        assert_eq!(queue.connected(), 1);
        assert_eq!([work(&queue), work(&queue), work(&queue)], [Some(Work::Greet), Some(Work::State(state(2))), None]);
        // Nothing new meanwhile: the last one again.
        assert_eq!(queue.failed(), 1);
        assert_eq!(queue.connected(), 2);
        assert_eq!([work(&queue), work(&queue), work(&queue)], [Some(Work::Greet), Some(Work::State(state(2))), None]);
        assert_eq!(queue.counts().dropped, 2);
        assert!(queue.close());
        assert_eq!(work(&queue), None);
        queue.acknowledged();
        assert_eq!(work(&queue), Some(Work::End));
    }
}

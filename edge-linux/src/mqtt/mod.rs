//! Labels for an MQTT broker, in the way that Home Assistant finds them by itself.
//!
//! ```text
//! camera loop -> Queue (newest states) -> connection thread -> broker
//! ```
//!
//! The camera loop never waits: where the broker is slow or gone, the oldest states make room and are counted.

mod address;
mod connection;
mod messages;
mod queue;

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::address::Broker;
pub(crate) use self::address::{BrokerText, Topic};
use self::queue::Queue;
use crate::camera::{Moment, MqttCounts};

/// A label that stays is published anew after so long.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the end of the program waits for the broker to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// The camera loop's side of the connection.
pub(crate) struct Mqtt {
    queue: Arc<Queue>,
    last: Option<Instant>,
    /// Hears of the connection's end; taken by the end of this side.
    ended: Option<Receiver<()>>,
}

impl Mqtt {
    /// Starts the connection's thread, which tries until the broker is there.
    ///
    /// # Errors
    /// No thread can be started, or the system gives no random numbers.
    pub(crate) fn start(broker: &Broker, topic: &Topic, model: &str) -> Result<Self> {
        let queue = Arc::new(Queue::default());
        let ended = connection::start(broker, topic, messages::discovery(topic, model), queue.clone())?;
        Ok(Self { queue, last: None, ended: Some(ended) })
    }

    /// Publishes what was seen, if the label is another or a second has passed.
    pub(crate) fn tell(&mut self, moment: &Moment<'_>) {
        let now = Instant::now();
        if moment.steady.changed || self.last.is_none_or(|last| now - last >= INTERVAL) {
            self.last = Some(now);
            self.queue.push(messages::state(moment));
        }
    }

    /// What became of the states up to now.
    pub(crate) fn counts(&self) -> MqttCounts {
        self.queue.counts()
    }

    /// Publishes what is left and says that the camera is off, if the broker is there to hear it.
    pub(crate) fn finish(&mut self) {
        if let Some(ended) = self.ended.take()
            && self.queue.close()
        {
            let _ = ended.recv_timeout(FAREWELL);
        }
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.finish();
    }
}

//! The connection: a thread that keeps it, opens it anew with growing pauses, and publishes what waits.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result};
use rumqttc::{AsyncClient, ClientError, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS};

use super::address::{Broker, Topic};
use super::messages::{LONGEST_MESSAGE, Message, OFFLINE, ONLINE};
use super::queue::{CAPACITY, Queue, Work};
use crate::output::notice;

/// First and longest pause before a broker is tried again; each is twice as long as the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// A connection without traffic is tested so often; the broker publishes the last will after one and a half of it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What is published, and where.
struct Publisher {
    client: AsyncClient,
    queue: Arc<Queue>,
    discovery: Message,
    state: String,
    availability: String,
}

/// Starts the thread. The receiver hears when it has ended.
pub(super) fn start(broker: &Broker, topic: &Topic, discovery: Message, queue: Arc<Queue>) -> Result<Receiver<()>> {
    let (client, events) = AsyncClient::new(options(broker, topic)?, 1);
    let publisher = Publisher { client, queue, discovery, state: topic.state(), availability: topic.availability() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start MQTT")?;
    let (end, ended) = sync_channel(1);
    let name = broker.to_string();
    let work = move || {
        let queue = publisher.queue.clone();
        runtime.spawn(async move { publisher.publish().await });
        runtime.block_on(keep(&name, events, &queue));
        let _ = end.send(());
        // The name of a host may still be looked up; nobody waits for it.
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("mqtt".into()).spawn(work).context("cannot start a thread")?;
    Ok(ended)
}

fn options(broker: &Broker, topic: &Topic) -> Result<MqttOptions> {
    // Two clients of one name throw each other out.
    let mut bits = [0; 4];
    getrandom::fill(&mut bits).ok().context("the system gives no random numbers for MQTT")?;
    let client = format!("tinception-{:08x}", u32::from_le_bytes(bits));
    let mut options = MqttOptions::new(client, &broker.host, broker.port);
    options.set_keep_alive(KEEP_ALIVE).set_max_packet_size(LONGEST_MESSAGE, LONGEST_MESSAGE);
    options.set_inflight(CAPACITY as u16);
    options.set_last_will(LastWill::new(topic.availability(), OFFLINE, QoS::AtLeastOnce, true));
    if let Some(user) = &broker.user {
        options.set_credentials(user, broker.password.as_deref().unwrap_or_default());
    }
    Ok(options)
}

/// Keeps the connection until the broker was told the end, or can't be.
async fn keep(name: &str, mut events: EventLoop, queue: &Queue) {
    let mut pause = PAUSES.0;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                if queue.connected().is_power_of_two() {
                    notice(format_args!("{name}: connected"));
                }
            }
            // Only states are acknowledged. A broker that takes one is well; one that only lets clients in may throw them out for
            // each state, and is tried less and less often.
            Ok(Event::Incoming(Packet::PubAck(_))) => {
                pause = PAUSES.0;
                queue.acknowledged();
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(_) => {}
            Err(_) if queue.is_closed() => return,
            Err(error) => {
                let failures = queue.failed();
                if failures.is_power_of_two() {
                    notice(format_args!("{name}: {error} ({failures} failures so far)"));
                }
                tokio::time::sleep(pause).await;
                pause = PAUSES.1.min(pause * 2);
            }
        }
    }
}

impl Publisher {
    /// Publishes until the end. Waits where the broker is slow; the queue does not.
    async fn publish(self) -> Result<(), ClientError> {
        let Self { client, queue, discovery, state, availability } = self;
        loop {
            match queue.next().await {
                Work::Greet => {
                    // Said again with each connection, so that acknowledgements are those of states.
                    let Message { topic, payload } = discovery.clone();
                    client.publish(topic, QoS::AtMostOnce, true, payload).await?;
                    client.publish(&availability, QoS::AtMostOnce, true, ONLINE).await?;
                }
                Work::State(payload) => client.publish(&state, QoS::AtLeastOnce, true, payload).await?,
                Work::End => {
                    client.publish(&availability, QoS::AtMostOnce, true, OFFLINE).await?;
                    return client.disconnect().await;
                }
            }
        }
    }
}

//! The MQTT output of `tinception camera`.

use std::path::Path;

use anyhow::Result;

use crate::mqtt::{BrokerText, Mqtt, Topic};

/// Where labels are published.
#[derive(clap::Args, Debug)]
pub(crate) struct MqttArgs {
    /// Publish labels at an MQTT broker: mqtt://HOST or mqtt://USER:PASSWORD@HOST:PORT. Home Assistant discovers the sensor
    #[arg(long, value_name = "BROKER")]
    mqtt: Option<BrokerText>,
    /// Topic below which state and availability are published; each camera needs a topic of its own
    #[arg(long, value_name = "TOPIC", default_value = "tinception")]
    mqtt_topic: Topic,
    /// Password of the broker's user; other users of this machine can see it on the command line, but not in the variable
    #[arg(long, value_name = "TEXT", env = "TINCEPTION_MQTT_PASSWORD", hide_env_values = true)]
    mqtt_password: Option<String>,
}

impl MqttArgs {
    /// Starts the connection, if it is asked for. It need not succeed now.
    pub(crate) fn start(&self, model: &Path) -> Result<Option<Mqtt>> {
        let Some(broker) = &self.mqtt else { return Ok(None) };
        let broker = broker.broker()?;
        let broker = match &self.mqtt_password {
            Some(password) => broker.with_password(password)?,
            None => broker,
        };
        let model = model.file_name().unwrap_or(model.as_os_str()).to_string_lossy();
        Mqtt::start(&broker, &self.mqtt_topic, &model).map(Some)
    }
}

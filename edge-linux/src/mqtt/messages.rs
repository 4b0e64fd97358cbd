//! What is published: a description for Home Assistant once, then states.

use serde::Serialize;
use serde_json::json;

use super::address::Topic;
use crate::camera::Moment;
use crate::ranking::Class;

/// What the availability's topic says while the camera is on.
pub(super) const ONLINE: &str = "online";
/// What it says afterwards; the broker says it where the program could not.
pub(super) const OFFLINE: &str = "offline";
/// Classes in a state, at most.
const TOP: usize = 5;

/// A message whose topic is where Home Assistant looks for sensors.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: String,
}

/// The description by which Home Assistant makes a sensor of the camera (MQTT discovery).
pub(super) fn discovery(topic: &Topic, model: &str) -> Message {
    let identifier = topic.identifier();
    let name = env!("CARGO_PKG_NAME");
    let version = env!("CARGO_PKG_VERSION");
    let payload = json!({
        "name": "Label",
        "unique_id": format!("{identifier}_label"),
        "state_topic": topic.state(),
        // Home Assistant refuses longer states.
        "value_template": "{{ value_json.label[:255] }}",
        "json_attributes_topic": topic.state(),
        "availability_topic": topic.availability(),
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "icon": "mdi:cctv",
        "device": { "identifiers": [identifier], "name": identifier, "model": model, "sw_version": version },
        "origin": { "name": name, "sw_version": version },
    });
    Message { topic: format!("homeassistant/sensor/{identifier}/config"), payload: payload.to_string() }
}

/// What was seen, as one JSON object.
pub(super) fn state(moment: &Moment<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct State<'a> {
        label: &'a str,
        class: Option<usize>,
        probability: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        present: Option<&'a [String]>,
        frame: u64,
        top: &'a [Class],
    }
    let state = State {
        label: moment.steady.label,
        class: moment.steady.class,
        probability: moment.steady.probability,
        present: moment.steady.present,
        frame: moment.frame,
        top: moment.top.get(..TOP).unwrap_or(&moment.top),
    };
    // Numbers and texts always become JSON; an empty message would tell Home Assistant nothing.
    serde_json::to_vec(&state).unwrap_or_default()
}

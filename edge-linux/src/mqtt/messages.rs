//! What is published: a description for Home Assistant once, then states.

use serde::Serialize;
use serde_json::json;
use tinception_models::compile::Label;

use super::address::Topic;
use crate::camera::{Moment, Present};
use crate::ranking::Class;

/// What the availability's topic says while the camera is on.
pub(super) const ONLINE: &str = "online";
/// What it says afterwards; the broker says it where the program could not.
pub(super) const OFFLINE: &str = "offline";
/// Classes in a state, at most.
const TOP: usize = 5;
/// Longest label and identity of a class, in bytes. They come from files of any kind; Home Assistant takes 255 letters.
const LONGEST_LABEL: usize = 1024;
/// Most bytes of the names and identities of all classes that are present, with two more for each of them.
const LONGEST_LIST: usize = 4 << 10;
/// Longest state, in bytes: a broker may refuse longer messages, and break the connection for them. A byte of a label takes up to six
/// in JSON, and there are twelve labels and identities and a list.
pub(super) const LONGEST_STATE: usize = 104 << 10;
/// Longest message: a state with its topic, and what MQTT adds.
pub(super) const LONGEST_MESSAGE: usize = LONGEST_STATE + 1024;

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
        // The first synonym; Home Assistant refuses longer states.
        "value_template": "{{ value_json.label.split(',')[0][:255] }}",
        "json_attributes_topic": topic.state(),
        "availability_topic": topic.availability(),
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "icon": "mdi:cctv",
        "device": { "identifiers": [identifier], "name": topic.to_string(), "model": model, "sw_version": version },
        "origin": { "name": name, "sw_version": version },
    });
    Message { topic: format!("homeassistant/sensor/{identifier}/config"), payload: payload.to_string() }
}

/// What was seen, as one JSON object.
pub(super) fn state(moment: &Moment<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct State<'a> {
        label: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        class: Option<usize>,
        probability: f64,
        #[serde(flatten)]
        present: Present,
        frame: u64,
        top: Vec<Class>,
    }
    let top = moment.top.iter().take(TOP).map(|class| {
        let mut class = class.clone();
        class.label.truncate(cut(&class.label).len());
        if let Some(id) = &mut class.id {
            id.truncate(cut(id).len());
        }
        class
    });
    let state = State {
        label: cut(moment.steady.label),
        id: moment.steady.id.map(cut),
        class: moment.steady.class,
        probability: moment.steady.probability,
        present: shortened(moment.steady.present),
        frame: moment.frame,
        top: top.collect(),
    };
    // Numbers and texts always become JSON; an empty message would tell Home Assistant nothing.
    serde_json::to_vec(&state).unwrap_or_default()
}

/// As many of the classes as there is room for, their texts cut.
fn shortened(present: &Present) -> Present {
    let Some(names) = &present.names else { return Present::default() };
    let ids = present.ids.iter().flatten().map(Option::as_deref).chain(std::iter::repeat(None));
    let mut room = LONGEST_LIST;
    let classes = names.iter().zip(ids).map_while(|(name, id)| {
        let label = Label { id: id.map(|id| cut(id).to_owned()), name: cut(name).to_owned() };
        room = room.checked_sub(label.name.len() + label.id.as_ref().map_or(0, String::len) + 2)?;
        Some(label)
    });
    Present::new(Some(classes.collect()))
}

/// The beginning of a text that is too long.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST_LABEL)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::pipeline::Counts;
    use crate::camera::{Stages, Steady};

    fn moment<'a>(label: &'a str, present: &'a Present) -> Moment<'a> {
        let class = |class| Class {
            class,
            label: label.into(),
            id: Some(label.into()),
            probability: 0.125,
            logit: None,
            independent: false,
        };
        Moment {
            frame: 7,
            latency_ms: 1.0,
            stages: Stages { decode_ms: 0.0, resize_ms: 0.0, network_ms: 0.0 },
            top: (0..9).map(class).collect(),
            steady: Steady {
                label,
                id: Some(label),
                short: label,
                class: Some(0),
                probability: 0.125,
                changed: false,
                present,
            },
            counts: Counts::default(),
            mqtt: None,
            #[cfg(feature = "serve")]
            saturation: None,
        }
    }

    /// Whatever labels a file has, a state is JSON that brokers take.
    #[test]
    fn states_have_an_end() {
        for (label, kept) in [
            ("cat".to_owned(), "cat".to_owned()),
            ("x".repeat(2 << 20), "x".repeat(1024)),
            ("\u{1}".repeat(1 << 20), "\u{1}".repeat(1024)),
            ("é".repeat(1 << 20), "é".repeat(512)),
            ("€".repeat(1 << 20), "€".repeat(341)),
            (format!("{}é", "x".repeat(1023)), "x".repeat(1023)),
            (String::new(), String::new()),
        ] {
            let named = Label { id: Some(label.clone()), name: label.clone() };
            let present = Present::new(Some(vec![named; 100]));
            let state = state(&moment(&label, &present));
            assert!(state.len() <= LONGEST_STATE, "{} bytes", state.len());
            let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
            let top = state["top"].as_array().unwrap();
            assert_eq!((state["label"].as_str(), top.len(), state["frame"].as_u64()), (Some(&*kept), 5, Some(7)));
            assert_eq!(state["id"], *kept);
            assert!(top.iter().all(|class| class["label"] == *kept && class["id"] == *kept));
            let listed = Some(100.min(LONGEST_LIST / (2 * kept.len() + 2)));
            assert_eq!(state["present"].as_array().map(Vec::len), listed);
            assert_eq!(state["present_ids"].as_array().map(Vec::len), listed);
        }
    }

    #[test]
    fn the_device_shows_the_topic() {
        let topic: Topic = "home/front door".parse().unwrap();
        let Message { topic, payload } = discovery(&topic, "nano");
        assert_eq!(topic, "homeassistant/sensor/home-2ffront-20door/config");
        let sensor: serde_json::Value = serde_json::from_str(&payload).unwrap();
        assert_eq!(
            (&sensor["device"]["name"], &sensor["unique_id"]),
            (&json!("home/front door"), &json!("home-2ffront-20door_label"))
        );
        assert_eq!(sensor["state_topic"], "home/front door/state");
    }
}
